//! HTTP/1.1 and HTTP/2 framing over one header table.
#![forbid(unsafe_code)]
