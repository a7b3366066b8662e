//! The mesh model: resources, identities and failures, the words every room shares.
#![forbid(unsafe_code)]
