//! Counters, histograms and access records.
//!
//! Start reading at [`Recorder`] (what a worker counts), [`Registry`] (what a scrape reads),
//! [`AccessFormat`] (a line of the access log) and [`LogQueue`] (its way to the file).
#![forbid(unsafe_code)]

mod access;
mod metrics;

pub use access::{AccessFormat, AccessHeaders, AccessRecord, PatternError};
pub use access::{Closed, LogBuffer, LogQueue, LogSender, LogSink, LogStats, QueueFull};
pub use metrics::{Counter, Gauge, Labelled, Level};
pub use metrics::{CounterHandle, Recorder, RequestHandle, TcpHandle};
pub use metrics::{Family, FamilyKind, Sample, TextFormat, Totals, Value};
pub use metrics::{Registry, RegistryOptions};
pub use metrics::{Reporter, RequestKey, RequestProtocol, Security, TcpKey};
