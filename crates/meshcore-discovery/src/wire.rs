//! Messages as they are on the wire, and the paths of the calls.
//!
//! Only the fields that meshcore reads or writes: who does not know a field passes over it, as
//! protocol buffers mean it. The numbers are those of the sources that are named.

mod certificate;
mod discovery;

pub use certificate::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};
pub use discovery::{Any, DELTA_RESOURCES, DeltaRequest, DeltaResponse, Locality, Node, Resource};
pub use discovery::{HEALTH, REFUSALS, RESOURCE, Status};
