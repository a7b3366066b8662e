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
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken promise is a panic here"
)]

mod chunks;
mod conversation;
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
    /// Longest input that is worth making, in bytes.
    pub max_bytes: usize,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "request", run: request::run, max_bytes: 1024 },
    Target { name: "response", run: response::run, max_bytes: 1024 },
    Target { name: "chunks", run: chunks::run, max_bytes: 512 },
    Target { name: "conversation", run: conversation::run, max_bytes: 2048 },
    Target { name: "h2_head", run: h2_head::run, max_bytes: 1024 },
    Target { name: "path", run: path::run, max_bytes: 256 },
    Target { name: "hello", run: hello::run, max_bytes: 4096 },
    Target { name: "names", run: names::run, max_bytes: 300 },
    Target { name: "mesh", run: mesh::run, max_bytes: 16 * 1024 },
    Target { name: "record", run: record::run, max_bytes: 512 },
    Target { name: "wire", run: wire::run, max_bytes: 4096 },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
