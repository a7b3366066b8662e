//! The certificate service: Istio's `CreateCertificate`, both sides, and the secure port.
//!
//! - [`Certificates`] answers the call, for whoever proved an identity.
//! - [`Own`] is the control plane's own certificate, and what the mesh is to trust.
//! - [`SecureListener`] accepts sidecars over TLS, with a certificate or without.
//! - [`Enrolment`] asks, on the side of a sidecar. [`Secure`] connects with what it got.

mod client;
mod counts;
mod dial;
mod expiring;
mod own;
mod secure;
mod server;

pub use client::{Credentials, EnrolError, Enrolment, EnrolmentOptions};
pub use counts::{Counts, Reason};
pub use dial::Secure;
pub use own::{Own, OwnError};
pub use secure::SecureListener;
pub use server::{Certificates, Policy};

#[cfg(test)]
mod tests;
