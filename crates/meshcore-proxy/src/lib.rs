//! The data plane: workers, the pipeline of a request, pools, drain and hooks.
//!
//! Start reading at [`pipeline`], the way of one request.
#![forbid(unsafe_code)]

mod accept;
mod access;
mod answer;
mod ask;
mod attempt;
mod authorize;
mod bind;
mod body;
mod buffer;
mod client;
mod connect;
mod contain;
mod control;
mod converse;
mod counted;
mod detect;
mod dial;
pub mod discovery;
mod dns;
mod exchange;
mod forward;
mod gateway;
mod h2_client;
pub mod hooks;
mod opaque;
mod overload;
mod pipeline;
mod pool;
mod proxy;
mod record;
mod recycle;
mod replay;
mod reply;
mod route;
mod serve_h1;
mod serve_h2;
mod shape;
mod shared;
mod sink;
mod stream;
mod target;
mod timer;
mod tunnel;
mod waits;
mod worker;

pub use bind::Taken;
#[doc(hidden)]
pub use dns::message as dns_message;
pub use proxy::{ApplyError, Options, Proxy, StartError};
