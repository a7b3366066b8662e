//! A stream of delta ADS, from its first request to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshcore_model::Identity;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::Server;
use super::client::ClientId;
use super::node::Facts;
use super::requests::Ended;
use super::serve::{Answering, Call, Hangup, Known};
use crate::peer::{self, Peer};
use crate::wire::{self, DeltaRequest, DeltaResponse};

/// Largest request. Source: gRPC's default.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// The call of delta ADS.
#[derive(Debug, Clone)]
pub struct Ads {
    server: Arc<Server>,
    places: Arc<Semaphore>,
}

/// How often a stream that was opened with a token has to prove who it is. Costs a look at a file.
const PROVED_AGAIN: Duration = Duration::from_secs(10);

type Responses = mpsc::Sender<Result<DeltaResponse, Status>>;

/// Who opened a stream, by what the connection and its header say.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) peer: Peer,
    pub(super) bearer: Option<String>,
    hangup: Hangup,
    known: Known,
}

impl Ads {
    /// Answers for a server.
    pub fn new(server: Arc<Server>) -> Self {
        let places = Arc::new(Semaphore::new(server.limits.streams));
        Self { server, places }
    }
}

impl Call for Ads {
    fn path(&self) -> &'static str {
        wire::DELTA_RESOURCES
    }

    fn answer(&self, request: http::Request<tonic::body::Body>) -> Answering {
        let streams = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<DeltaResponse, DeltaRequest>::default();
            let limits = (Some(MAX_REQUEST_BYTES), None);
            let mut grpc = Grpc::new(codec).apply_max_message_size_config(limits.0, limits.1);
            grpc.streaming(streams, request).await
        })
    }
}

impl StreamingService<DeltaRequest> for Ads {
    type Response = DeltaResponse;
    type ResponseStream = ReceiverStream<Result<DeltaResponse, Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<DeltaRequest>>) -> Self::Future {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let server = Arc::clone(&self.server);
        Box::pin(async move {
            let place =
                place.map_err(|_| Status::resource_exhausted("too many streams: try later"))?;
            let caller = Caller::of(&request);
            // One response at a time: what a client does not take yet is not made yet.
            let (responses, stream) = mpsc::channel(1);
            tokio::spawn(async move {
                let ended = converse(&server, &caller, request.into_inner(), &responses).await;
                if let Err(status) = ended {
                    server.state.lock().counts.ended(status.code());
                    // A client that does not take it is gone.
                    let _ = timeout(server.limits.write, responses.send(Err(status))).await;
                }
                drop(place);
            });
            Ok(Response::new(ReceiverStream::new(stream)))
        })
    }
}

impl Caller {
    fn of<T>(request: &Request<T>) -> Self {
        let extensions = request.extensions();
        Self {
            peer: extensions.get::<Peer>().cloned().unwrap_or_default(),
            hangup: extensions.get::<Hangup>().cloned().unwrap_or_default(),
            known: extensions.get::<Known>().cloned().unwrap_or_default(),
            bearer: peer::bearer(request.metadata()).map(str::to_owned),
        }
    }
}

/// Takes the client out again, however its stream ends.
struct Joined<'a> {
    server: &'a Server,
    id: ClientId,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        self.server.state.lock().leave(self.id, Instant::now());
    }
}

async fn converse(
    server: &Server,
    caller: &Caller,
    mut requests: Streaming<DeltaRequest>,
    responses: &Responses,
) -> Result<(), Status> {
    let late = || Status::deadline_exceeded("a stream begins with a request that has a node");
    let first = timeout(server.limits.hello, requests.message()).await.map_err(|_| late())??;
    let Some(first) = first else { return Ok(()) };
    let node = first.node.as_ref().ok_or_else(|| Status::invalid_argument("node is missing"))?;
    let facts = Facts::read(node).map_err(Status::invalid_argument)?;
    server.proved(caller)?;
    caller.known.is_known();
    // Before the mesh is known, nothing can be said of it: not even that it is empty.
    let mut is_ready = server.is_ready.subscribe();
    tokio::select! {
        _ = is_ready.wait_for(|is_ready| *is_ready) => {}
        () = responses.closed() => return Ok(()),
    }
    let identity = server.identify(caller, &facts)?;
    let joined = server.join(facts.clone(), identity.clone());
    server.register(joined.id, &facts, identity.as_ref()).await?;
    server.take(joined.id, &first, true).await?;
    drop(first);
    let wake = server.state.lock().wake(joined.id);
    // A token ends, or is revoked; a certificate ends with its connection.
    let is_by_token = caller.peer.identity.is_none() && caller.bearer.is_some();
    let mut again = tokio::time::interval(PROVED_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while let Some(pieces) = server.respond(joined.id) {
            for piece in pieces {
                send(server, caller, responses, piece).await?;
            }
        }
        tokio::select! {
            request = requests.message() => match request? {
                Some(request) => server.take(joined.id, &request, false).await?,
                None => return Ok(()),
            },
            () = wake.notified() => {}
            _ = again.tick(), if is_by_token => drop(server.identify(caller, &facts)?),
            () = responses.closed() => return Ok(()),
        }
    }
}

/// Sends a piece; the connection of a client that does not take it is closed.
async fn send(
    server: &Server,
    caller: &Caller,
    responses: &Responses,
    piece: DeltaResponse,
) -> Result<(), Status> {
    match timeout(server.limits.write, responses.send(Ok(piece))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Status::cancelled("the client is gone")),
        Err(_) => {
            server.state.lock().counts.slow();
            caller.hangup.hang_up();
            Err(Status::deadline_exceeded("the client does not read"))
        }
    }
}

impl Server {
    fn join(&self, facts: Facts, identity: Option<Identity>) -> Joined<'_> {
        let mut state = self.state.lock();
        let id = state.number();
        state.join(id, facts, identity, Instant::now());
        drop(state);
        Joined { server: self, id }
    }

    fn respond(&self, id: ClientId) -> Option<Vec<DeltaResponse>> {
        self.state.lock().respond(id, Instant::now())
    }

    async fn take(
        &self,
        id: ClientId,
        request: &DeltaRequest,
        is_first: bool,
    ) -> Result<(), Status> {
        let now = Instant::now();
        if is_first {
            return self.state.lock().begin(id, request, now).map_err(Status::from);
        }
        match request.type_url.as_str() {
            wire::HEALTH => {
                self.hear_health(id, request.error_detail.as_ref()).await;
                Ok(())
            }
            wire::RESOURCE | "" => {
                self.state.lock().request(id, request, now).map_err(Status::from)
            }
            other => {
                let shown: String = other.chars().take(100).collect();
                Err(Status::invalid_argument(format!("{shown:?} is no type that is served here")))
            }
        }
    }
}

impl From<Ended> for Status {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Malformed(reason) => Self::invalid_argument(reason),
            Ended::TooMuch(reason) => Self::resource_exhausted(reason),
        }
    }
}

#[cfg(test)]
mod tests;
