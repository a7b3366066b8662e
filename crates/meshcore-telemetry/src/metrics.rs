//! What is counted, by whom, and how it is read.

mod carried;
mod counters;
mod histogram;
mod key;
mod recorder;
mod registry;
mod series;
mod text;
mod totals;
mod walk;

#[cfg(test)]
mod tests;

pub use counters::{Counter, Gauge, Labelled, Level};
pub use key::{Reporter, RequestKey, RequestProtocol, Security, TcpKey};
pub use recorder::{CounterHandle, Recorder, RequestHandle, TcpHandle};
pub use registry::{Registry, RegistryOptions};
pub use text::TextFormat;
pub use totals::{Family, FamilyKind, Sample, Totals, Value};
