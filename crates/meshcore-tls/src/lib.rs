//! rustls configurations, SPIFFE verification, certificate issue and rotation.
#![forbid(unsafe_code)]
