//! Resources and who I am, compiled into an immutable snapshot.
#![forbid(unsafe_code)]
