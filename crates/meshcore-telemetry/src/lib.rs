//! Counters, histograms and access records.
//!
//! Start reading at [`Recorder`] (what a worker counts), [`Registry`] (what a scrape reads),
//! [`AccessRecord`] (what the access log can say).
#![forbid(unsafe_code)]

mod access;
mod metrics;

pub use access::{AccessHeaders, AccessRecord};
pub use metrics::{Counter, Gauge, Labelled, Level};
pub use metrics::{CounterHandle, Recorder, RequestHandle, TcpHandle};
pub use metrics::{Family, FamilyKind, Sample, TextFormat, Totals, Value};
pub use metrics::{Registry, RegistryOptions};
pub use metrics::{Reporter, RequestKey, RequestProtocol, Security, TcpKey};
