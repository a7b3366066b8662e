//! HTTP/1.1 and HTTP/2 framing over one header table.
//!
//! [`RequestHead`] and [`ResponseHead`] are the one form of a head: HTTP/1 is parsed into it
//! ([`h1::parse_request`]), HTTP/2 is checked into it ([`h2::head_from_h2`]), routes, policy, logs
//! and Python read it, and what is forwarded is made from it. Framing is always made anew from
//! what was understood; bytes that were not understood are refused, never passed on.
//!
//! Nothing here reads a clock or opens a socket, and heads, bodies and tables keep their
//! memory, so that a connection that is warm allocates nothing for an HTTP/1 request.
#![forbid(unsafe_code)]

mod authority;
mod fields;
pub mod h1;
pub mod h2;
mod head;
mod known;
mod rejected;
mod scan;

pub use fields::{Fields, InvalidField};
pub use head::{Method, RequestHead, ResponseHead, Scheme, Version};
pub use known::{Known, KnownSet};
pub use rejected::Rejected;
