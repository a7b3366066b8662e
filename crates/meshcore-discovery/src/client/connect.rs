//! A connection to the control plane.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

/// How long a connection may take, with its handshakes.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How often the control plane has to show that it is there, and how long it may take. Source:
/// gRPC's guide asks for no more than one ping in ten seconds.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);

/// Bytes to and from the control plane.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Wire>>> + Send>>;

/// Makes connections: in plain text, or over TLS with what the client has at that time.
pub trait Connector: Send + Sync + fmt::Debug {
    /// Makes one.
    fn connect(&self) -> Connecting;
}

/// Plain text, for a control plane on this host.
#[derive(Debug, Clone)]
pub struct Plain {
    /// `HOST:PORT`, looked up each time.
    pub address: String,
}

impl Connector for Plain {
    fn connect(&self) -> Connecting {
        let address = self.address.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream: Box<dyn Wire> = Box::new(stream);
            Ok(stream)
        })
    }
}

/// Connects to the control plane.
///
/// # Errors
///
/// In words for people.
pub(crate) async fn connect(connector: Arc<dyn Connector>) -> Result<Channel, String> {
    let endpoint = Endpoint::from_static("http://meshcore-control")
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .keep_alive_while_idle(true);
    let connecting = endpoint.connect_with_connector(Dial(connector));
    match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
        Ok(channel) => channel.map_err(|error| innermost(&error)),
        Err(_) => Err(format!("no connection within {CONNECT_WITHIN:?}")),
    }
}

/// What is behind an error: the outer ones only say that there was one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A connector as tonic calls it.
struct Dial(Arc<dyn Connector>);

impl Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Wire>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let connecting = self.0.connect();
        Box::pin(async move { Ok(TokioIo::new(connecting.await?)) })
    }
}
