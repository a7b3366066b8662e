//! TLS of the mesh: who we are, who the peer is, and what the first bytes of a stranger say.
//!
//! - [`Materials`] are a certificate, its key and a [`TrustBundle`], checked as a whole.
//! - [`MeshTls`] makes rustls configurations that follow [`MeshTls::rotate`].
//! - [`Originator`] makes the configurations for servers outside the mesh.
//! - [`client_hello()`] tells TLS from plain text, and gives SNI and ALPN.
//! - [`ca::Authority`] signs workload certificates; [`tokens`] say who may ask for one.
//! - [`store`] keeps both on the disk of a control plane, and rotates roots.
//!
//! This crate opens no socket, and reads no file but those of [`store`] and, if asked, the system's
//! root certificates.
#![forbid(unsafe_code)]

pub mod alpn;
mod bundle;
pub mod ca;
mod client_hello;
mod expected;
#[cfg(test)]
mod interop;
mod leaf;
mod materials;
mod mesh;
mod originate;
mod pinned;
mod provider;
mod refusal;
mod revocation;
mod sessions;
mod shared;
pub mod store;
mod terminate;
#[cfg(test)]
mod testing;
mod ticket;
pub mod tokens;
mod verified;
mod verify;

pub use bundle::TrustBundle;
pub use client_hello::{ClientHello, MAX_CLIENT_HELLO_BYTES, NotTls};
pub use client_hello::{begins_as_handshake, client_hello};
pub use expected::Expected;
pub use materials::{ChainLink, Materials, MaterialsError};
pub use mesh::{MeshTls, MeshTlsOptions};
pub use originate::{ClientPair, OriginateError, Originated, Origination, Originator};
pub use pinned::{Anchor, anchored_config};
pub use provider::provider;
pub use refusal::Refusal;
pub use terminate::client_certificate;
pub use terminate::{ClientCertificate, ClientRules, Terminate, TerminateError, Terminated};

pub use rustls;
pub use rustls_pki_types;
pub use tokio_rustls;
