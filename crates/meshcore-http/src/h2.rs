//! HTTP/2 heads in the same table as HTTP/1, and its connection's writes gathered.
//!
//! The `h2` crate frames and compresses; here its heads are checked as if they were to be
//! written as HTTP/1 ([`head_from_h2`], [`response_head_from_h2`], [`trailers_from_h2`]), made from
//! the table ([`request_to_h2`], [`response_to_h2`], [`trailers_to_h2`]), and its small writes are
//! turned into one a turn of the loop ([`DeferredIo`]).

mod deferred;
mod read;
mod write;

pub use deferred::{DeferredIo, Drain, accept, drive_client};
pub use read::{body_from_h2, head_from_h2, response_head_from_h2, trailers_from_h2};
pub use write::{request_to_h2, response_to_h2, trailers_to_h2};

#[cfg(test)]
mod tests;
