//! One stream of delta ADS.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;

use super::answer::{ask, hello};
use super::backoff::Backoff;
use super::collect::{Pieces, cut};
use super::node::with_health;
use super::run::Runner;
use crate::wire::{DELTA_RESOURCES, DeltaRequest, DeltaResponse};

/// Largest message. Pieces are of 1 MiB; a single resource may be larger.
const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;
/// How long the control plane may take to answer the first request, or to take another one.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long the last requests may take.
const FAREWELL_WITHIN: Duration = Duration::from_millis(500);
/// Requests that wait to be sent.
const QUEUE: usize = 16;
/// Largest token.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// What is said on a stream, and has been.
struct Saying {
    requests: mpsc::Sender<DeltaRequest>,
    /// Keys that the control plane knows of.
    said: HashSet<Arc<str>>,
}

impl Runner {
    /// Listens until the stream ends; returns why, or `None` when it was told to stop.
    pub(super) async fn listen(
        &mut self,
        channel: Channel,
        backoff: &mut Backoff,
    ) -> Option<String> {
        let (requests, taken) = mpsc::channel(QUEUE);
        let mut keys = self.keys.all();
        let said = keys.iter().cloned().collect();
        keys.extend(self.own_keys().iter().map(|key| Arc::from(*key)));
        let node = with_health(&self.options.node, self.health.as_ref());
        let _first = requests.try_send(hello(&node, &keys, self.held.versions()));
        self.forget_stream();
        let opened = open(channel, taken, self.options.token.clone());
        let mut stream = match self.attend(tokio::time::timeout(ANSWER_WITHIN, opened)).await? {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => return Some(why),
            Err(_) => return Some(format!("no answer within {ANSWER_WITHIN:?}")),
        };
        let mut saying = Saying { requests, said };
        let mut pieces = Pieces::default();
        loop {
            if let Err(why) = self.say(&mut saying).await {
                return Some(why);
            }
            let piece = match self.attend_stream(&mut stream).await {
                Some(Heard::Piece(piece)) => piece,
                Some(Heard::Told) => continue,
                Some(Heard::Ended(why)) => return Some(why),
                None => {
                    drop(saying);
                    let _late = tokio::time::timeout(FAREWELL_WITHIN, end(stream)).await;
                    return None;
                }
            };
            // One that answers takes us, and always answers at first.
            self.news.heard();
            match pieces.add(*piece) {
                Ok(Some(whole)) => {
                    backoff.reset(); // not before: who sends nonsense is not asked again at once
                    self.put(whole);
                }
                Ok(None) => {}
                Err(nonsense) => {
                    self.news.nonsense();
                    return Some(nonsense.to_string());
                }
            }
        }
    }

    /// Says what there is to say.
    async fn say(&mut self, saying: &mut Saying) -> Result<(), String> {
        if std::mem::take(&mut self.has_new_keys) {
            let now: HashSet<Arc<str>> = self.keys.all().into_iter().collect();
            let names = |names: Vec<&Arc<str>>| names.iter().map(ToString::to_string).collect();
            let more: Vec<String> = names(now.difference(&saying.said).collect());
            let no_more: Vec<String> = names(saying.said.difference(&now).collect());
            if !(more.is_empty() && no_more.is_empty()) {
                self.outbox.push(ask(more, no_more));
            }
            saying.said = now;
        }
        for request in std::mem::take(&mut self.outbox) {
            let sending = saying.requests.send(request);
            match tokio::time::timeout(ANSWER_WITHIN, sending).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err("it ended the stream".to_owned()),
                Err(_) => return Err(format!("it took no request within {ANSWER_WITHIN:?}")),
            }
        }
        Ok(())
    }

    /// The next piece, or that there is something to say.
    async fn attend_stream(&mut self, stream: &mut Streaming<DeltaResponse>) -> Option<Heard> {
        tokio::select! {
            piece = stream.message() => Some(match piece {
                Ok(Some(piece)) => Heard::Piece(Box::new(piece)),
                Ok(None) => Heard::Ended("it ended the stream".to_owned()),
                Err(status) => Heard::Ended(words(&status)),
            }),
            goes_on = self.told() => goes_on.then_some(Heard::Told),
        }
    }
}

/// What happened on a stream.
enum Heard {
    Piece(Box<DeltaResponse>),
    /// Something was said to us, not by the control plane.
    Told,
    Ended(String),
}

async fn open(
    channel: Channel,
    requests: mpsc::Receiver<DeltaRequest>,
    token: Option<std::path::PathBuf>,
) -> Result<Streaming<DeltaResponse>, String> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut request = Request::new(ReceiverStream::new(requests));
    if let Some(path) = token {
        request.metadata_mut().insert("authorization", bearer(&path)?);
    }
    grpc.ready().await.map_err(|error| error.to_string())?;
    let codec = ProstCodec::default();
    let opened = grpc.streaming(request, PathAndQuery::from_static(DELTA_RESOURCES), codec).await;
    opened.map(tonic::Response::into_inner).map_err(|status| words(&status))
}

/// Reads on until the control plane has taken the last request, and ends the stream too.
async fn end(mut stream: Streaming<DeltaResponse>) {
    while let Ok(Some(_late)) = stream.message().await {}
}

/// The token in a file, as a header.
fn bearer(path: &Path) -> Result<AsciiMetadataValue, String> {
    let told = |why: &str| format!("token {}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(told("there is no token in it, make one with `meshcore token create`"));
    }
    let mut header = AsciiMetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| told("that is no token, make one with `meshcore token create`"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// An error of gRPC in words.
fn words(status: &tonic::Status) -> String {
    let message = cut(status.message());
    let code = status.code();
    if matches!(code, Code::PermissionDenied | Code::Unauthenticated) {
        return format!("it refuses us: {message}");
    }
    if code == Code::Unimplemented {
        return format!("it is no control plane of meshcore: {message}");
    }
    format!("{code:?}: {message}")
}
