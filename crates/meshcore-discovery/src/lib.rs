//! How sidecars learn of the mesh: delta ADS and the certificate service, client and server.
//!
//! [`client`] is the side of a sidecar. [`wire`] has the messages and the calls as they are on the wire; what they mean is in
//! `docs/design/mesh.md`.
#![forbid(unsafe_code)]

pub mod client;
pub mod wire;
