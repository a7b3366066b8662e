//! Pure decisions: match a route, authorize, retry.
#![forbid(unsafe_code)]
