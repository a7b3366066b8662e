//! A load that checks every answer: `load http|echo|bulk|handshakes|idle --port PORT ...`.
//!
//! | load | options | what it does |
//! |---|---|---|
//! | `http` | `--connections N`, and `--seconds S [--rate R]` or `--count N` | asks |
//! | `echo` | as `http`, and `--bytes N` | sends bytes that come back |
//! | `bulk` | `--mebibytes N` | sends to an origin that counts |
//! | `handshakes` | `--count N` | full handshakes, one after the other |
//! | `idle` | `--steps N,M` | holds connections after a request each, until a line comes |
//!
//! `--tls FOLDER` is mutual TLS with `ca.pem`, `cert.pem` and `key.pem`; `--host`, `--path` and
//! `--fields` (lines with CRLF between them) are those of requests. Prints what came of it as JSON.
//! The first wrong answer ends it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use meshcore_bench::{
    Arguments, Connector, Echo, Exchange, Failure, Http, Outcome, Pace, Wire, client_config, drive,
};
use serde_json::{Value, json};

const BODY_BYTES: usize = 1024;
const PIECE_BYTES: usize = 256 << 10;
const SILENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    let host: String = arguments.option("host")?.unwrap_or_else(|| "origin.test".into());
    let path: String = arguments.option("path")?.unwrap_or_else(|| "/".into());
    let tls = match arguments.option::<PathBuf>("tls")? {
        Some(folder) => Some((client_config(&folder)?, host.clone().try_into()?)),
        None => None,
    };
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.needed("port")?));
    let connector = Connector { to, tls };
    let fields: String = arguments.option("fields")?.unwrap_or_default();
    let http = Http::new(&host, &path, &fields, vec![b'x'; BODY_BYTES]);
    let told = match arguments.word(0) {
        "http" => ask(&arguments, &connector, &http)?,
        "echo" => ask(&arguments, &connector, &Echo::new(arguments.needed("bytes")?))?,
        "bulk" => bulk(&connector, arguments.needed("mebibytes")?)?,
        "handshakes" => handshakes(&connector, arguments.needed("count")?)?,
        "idle" => return idle(&connector, &http, &arguments.needed::<String>("steps")?),
        other => return Err(format!("no load {other:?}").into()),
    };
    println!("{told}");
    Ok(())
}

fn ask(
    arguments: &Arguments,
    connector: &Connector,
    exchange: &dyn Exchange,
) -> Result<Value, Failure> {
    // A timer of the default slack is 50 us late.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let within = || arguments.needed("seconds").map(Duration::from_secs_f64);
    let pace = match (arguments.option("count")?, arguments.option("rate")?) {
        (Some(count), _) => Pace::Count(count),
        (None, Some(per_second)) => Pace::Rate(per_second, within()?),
        (None, None) => Pace::Saturated(within()?),
    };
    Ok(told(&drive(connector, arguments.needed("connections")?, exchange, pace)?))
}

fn told(outcome: &Outcome) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "ns of a second")]
    let us = |ns: u64| ns as f64 / 1e3;
    let latency = |quantile| us(outcome.latency.value_at_quantile(quantile));
    json!({
        "units": outcome.answers,
        "seconds": outcome.took.as_secs_f64(),
        "p50_us": latency(0.5), "p99_us": latency(0.99), "p999_us": latency(0.999),
        "max_us": us(outcome.latency.max()),
        "lag_p99_us": us(outcome.lag.value_at_quantile(0.99)),
    })
}

/// Sends, says that it was all, and compares what the origin has counted.
fn bulk(connector: &Connector, mebibytes: u64) -> Result<Value, Failure> {
    let (begun, mut wire) = (Instant::now(), connector.connect()?);
    let piece = vec![b'x'; PIECE_BYTES];
    let bytes = mebibytes.saturating_mul(1 << 20);
    for _piece in 0..bytes.div_euclid(PIECE_BYTES as u64) {
        wire.write_all(&piece)?;
    }
    wire.close()?;
    let mut counted = [0; 8];
    wire.socket().set_read_timeout(Some(SILENCE))?;
    wire.read_exact(&mut counted)?;
    let counted = u64::from_be_bytes(counted);
    if counted != bytes {
        return Err(format!("of {bytes} bytes {counted} came").into());
    }
    Ok(json!({"units": mebibytes, "seconds": begun.elapsed().as_secs_f64()}))
}

/// Makes handshakes; the server's own end says that it was content with the certificate too.
fn handshakes(connector: &Connector, count: u64) -> Result<Value, Failure> {
    let begun = Instant::now();
    for _handshake in 0..count {
        let mut wire = connector.connect()?;
        wire.socket().set_read_timeout(Some(SILENCE))?;
        wire.close()?;
        match wire.read(&mut [0; 64]) {
            Ok(0) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            Ok(_bytes) => return Err("the server said something".into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(json!({"units": count, "seconds": begun.elapsed().as_secs_f64()}))
}

/// Opens connections up to each step, says so, and waits for a line.
fn idle(connector: &Connector, exchange: &dyn Exchange, steps: &str) -> Result<(), Failure> {
    let mut open: Vec<Wire> = Vec::new();
    for step in steps.split(',') {
        let step: usize = step.parse()?;
        while open.len() < step {
            let mut wire = connector.connect()?;
            wire.socket().set_read_timeout(Some(SILENCE))?;
            wire.write_all(exchange.question())?;
            let (mut answer, mut buffer) = (Vec::new(), vec![0; 4096]);
            while exchange.answer_bytes(&answer)?.is_none() {
                let count = wire.read(&mut buffer)?;
                if count == 0 {
                    return Err("a connection was closed".into());
                }
                answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
            open.push(wire);
        }
        println!("{}", json!({"open": open.len()}));
        std::io::stdout().flush()?;
        if std::io::stdin().read_line(&mut String::new())? == 0 {
            break;
        }
    }
    Ok(())
}
