//! The certificate service. Source: Istio's `security/v1alpha1/ca.proto`.

use prost::Message;
use prost_types::Struct;

/// Path of the call.
pub const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/// Asks for a certificate.
#[derive(Clone, PartialEq, Message)]
pub struct CertificateRequest {
    /// PEM of the request; only its key counts.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// Wanted validity in seconds; 0 takes what the authority gives.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// What the authority may look at: `ImpersonatedIdentity` and the like.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<Struct>,
}

/// A certificate.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CertificateResponse {
    /// PEM, one certificate in each: the leaf, those above it, and last a root.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}
