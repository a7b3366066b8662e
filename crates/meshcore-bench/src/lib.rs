//! What benches stand on: the floor that a proxy is measured against, an origin that is never the
//! bottleneck, and a load that checks every answer. No part of the product.
//!
//! All of it is one thread on a bare epoll, so that its own cost is small and does not wobble. A
//! program ends at the first wrong answer, with what it saw.
#![forbid(unsafe_code)]

mod arguments;
mod engine;
mod exchange;
pub mod http1;
mod poll;
mod slots;
mod tls;
mod wire;

pub use arguments::Arguments;
pub use engine::{Outcome, Pace, drive};
pub use exchange::{Echo, Exchange, Http};
pub use poll::{Poll, Ready, Watch};
pub use slots::Slots;
pub use tls::client_config;
pub use wire::{Connector, Wire};

/// Whatever ends a program, in words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
