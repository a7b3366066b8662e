//! What holds for any input from outside, as functions of that input.
//!
//! Each target panics when the code under it breaks a promise, and returns for any input that is
//! merely refused. `make fuzz` drives them with libFuzzer, `cargo test -p meshcore-fuzz` with
//! made inputs and with all that were kept in `corpus`.
#![forbid(unsafe_code)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken promise is a panic here"
)]

mod chunks;
mod conversation;
mod dns;
mod h2_head;
mod hello;
mod mesh;
pub mod mutate;
mod names;
mod path;
mod reads;
mod record;
mod request;
mod response;
mod strict;
mod wire;

/// Something that reads bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus`.
    pub name: &'static str,
    /// Reads one input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "request", run: request::run },
    Target { name: "response", run: response::run },
    Target { name: "chunks", run: chunks::run },
    Target { name: "conversation", run: conversation::run },
    Target { name: "h2_head", run: h2_head::run },
    Target { name: "path", run: path::run },
    Target { name: "hello", run: hello::run },
    Target { name: "names", run: names::run },
    Target { name: "mesh", run: mesh::run },
    Target { name: "record", run: record::run },
    Target { name: "dns", run: dns::run },
    Target { name: "wire", run: wire::run },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
