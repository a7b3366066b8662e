//! Pure choice of an endpoint.
#![forbid(unsafe_code)]
