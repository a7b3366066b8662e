//! The access log: what a line looks like, and its way to the file.

mod record;

pub use record::{AccessHeaders, AccessRecord};
