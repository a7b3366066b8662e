//! Pure choice of an endpoint: load, weights, health and outliers.
//!
//! Nothing here reads a clock or draws a random number: time (in milliseconds, from any start)
//! and randomness are arguments. All state is a worker's own.
#![forbid(unsafe_code)]

mod health;
mod loads;
mod outliers;
mod pick;
#[cfg(test)]
mod scene;

pub use health::Health;
pub use loads::Loads;
pub use outliers::{Ejection, Outliers, Seen};
pub use pick::{Cursors, Known, pick};
