//! The access log: what a line looks like, and its way to the file.

mod clock;
mod escape;
mod format;
mod operator;
mod pattern;
mod queue;
mod record;
mod sink;

#[cfg(test)]
mod tests;

pub use format::AccessFormat;
pub use pattern::PatternError;
pub use queue::{Closed, LogBuffer, LogQueue, LogSender, LogStats, QueueFull};
pub use record::{AccessHeaders, AccessRecord};
pub use sink::LogSink;
