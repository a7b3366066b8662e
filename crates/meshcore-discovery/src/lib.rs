//! How sidecars learn of the mesh: delta ADS and the certificate service, client and server.
//!
//! [`wire`] has the messages and the calls as they are on the wire; what they mean is in
//! `docs/design/mesh.md`. [`server`] answers them, [`client`] is the side of a sidecar;
//! [`certificates`] has both sides of identity.
#![forbid(unsafe_code)]

pub mod certificates;
pub mod client;
pub mod peer;
pub mod server;
pub mod wire;

mod registry;
mod world;
