//! What tests of the data plane stand on: a test CA, small meshes, sidecars on free ports, and
//! peers that do exactly what a script says.
//!
//! Everything listens on loopback and panics with what it saw when something does not come in
//! time. A sidecar ends when it is dropped, a peer with the process. A dev-dependency only.
#![forbid(unsafe_code)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails here, where it says why"
)]

mod application;
mod certificates;
mod client;
mod closed;
mod full;
pub mod h2;
mod mesh;
mod message;
mod scripted;
mod sidecar;
pub mod tls;

use std::time::Duration;

pub use application::{Application, Reply, Seen};
pub use certificates::TestCa;
pub use client::{Answer, Client, ask};
pub use closed::ClosedPort;
pub use full::FullListener;
pub use mesh::{MeshBuilder, host, origin, rule};
pub use scripted::{Gate, Scripted, Step};
pub use sidecar::{Sidecar, SidecarBuilder};

/// How long a test waits for what must happen.
pub const WITHIN: Duration = Duration::from_secs(10);
