//! A data plane without Python, for measuring: `serve MESH.json NODE.json [WORKERS]`.
//!
//! Prints where it listens, as JSON, and serves until its standard input ends.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use meshcore_proxy::hooks::NoHooks;
use meshcore_proxy::{Options, Proxy};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, mesh, node, rest @ ..] = arguments.as_slice() else {
        return Err("usage: serve MESH.json NODE.json [WORKERS]".into());
    };
    let mesh = serde_json::from_slice(&std::fs::read(mesh)?)?;
    let node = serde_json::from_slice(&std::fs::read(node)?)?;
    let workers = rest.first().map_or(Ok(1), |workers| workers.parse())?;
    let options = Options {
        workers,
        drain: Duration::from_secs(5),
        version: "measure".into(),
        discovery: None,
    };
    let proxy = Proxy::start(&mesh, &node, Vec::new(), None, options, Arc::new(NoHooks), &[])?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string(proxy.addresses())?)?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
