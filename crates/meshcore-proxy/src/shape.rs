//! Stage: what is changed on the way, of the request and of its answer.

use std::fmt::Write as _;
use std::time::Duration;

use meshcore_http::{Fields, Known, RequestHead, ResponseHead};
use meshcore_model::{Failure, Flag, HookStage, Kind};
use meshcore_policy::{Abort, inject, rewrite_path};
use meshcore_snapshot::{Fault, HeaderEdits};

use crate::ask::{Wish, misplaced};
use crate::authorize::Authorized;
use crate::client::Direction;
use crate::exchange::Exchange;
use crate::gateway::tell_client;
use crate::hooks::{Denial, Edits};
use crate::pipeline::Walk;
use crate::route::{Routed, To};
use crate::timer::sleep;
use crate::worker::Worker;

/// A request as it is forwarded. Only this stage makes one.
#[derive(Debug)]
pub(crate) struct Shaped<'s>(Routed<'s>);

impl<'s> Shaped<'s> {
    pub(crate) fn into_routed(self) -> Routed<'s> {
        self.0
    }
}

/// Applies faults, rewrites, header edits and hooks to the request.
///
/// # Errors
///
/// `FaultInjected`; `Denied` and `Undecided` by hooks; `Internal` when an edit cannot be said.
pub(crate) async fn shape<'s>(
    walk: &mut Walk<'_>,
    authorized: Authorized<'s>,
    exchange: &mut Exchange<'_>,
) -> Result<Shaped<'s>, Failure> {
    let routed = authorized.into_routed();
    if let Some(fault) = routed.rule().and_then(|rule| rule.fault) {
        suffer(walk, &fault).await?;
    }
    add_request_id(walk.worker, exchange.head)?;
    match walk.client.direction {
        Direction::Inbound => {
            if !walk.client.is_mtls() {
                exchange.head.fields.remove(Known::XEnvoyOriginalPath);
            }
            tell_identity(walk, exchange.head)?;
        }
        // The next sidecar tells who calls, and logs what was asked; what the application says
        // of itself is not known to be true. Source: Envoy's `SANITIZE`, which Istio's outbound
        // listeners set.
        Direction::Outbound => {
            exchange.head.fields.remove(Known::XForwardedClientCert);
            exchange.head.fields.remove(Known::XEnvoyOriginalPath);
        }
        Direction::Gateway => tell_client(walk.client, exchange.head)?,
    }
    edit_request(&routed, exchange.head)?;
    walk.ask_about_request(HookStage::OnRequest, routed.port, exchange).await?;
    Ok(Shaped(routed))
}

async fn suffer(walk: &mut Walk<'_>, fault: &Fault) -> Result<(), Failure> {
    let injection = inject(fault, || walk.worker.random());
    if let Some(delay_ms) = injection.delay_ms {
        walk.record.flag(Flag::DelayInjected);
        sleep(Duration::from_millis(delay_ms)).await;
    }
    let denial = match injection.abort {
        None => return Ok(()),
        Some(Abort::Http(status)) => aborted(status, None),
        Some(Abort::Grpc(status)) => aborted(200, u8::try_from(status).ok()),
    };
    walk.record.denial = Some(denial);
    Err(Kind::FaultInjected.into())
}

fn aborted(status: u16, grpc_status: Option<u8>) -> Denial {
    Denial { status, grpc_status, reason: "fault filter abort".into(), code: "".into() }
}

/// Gives a request a name that all its logs share. Source: RFC 9562 section 5.4 (UUID version 4).
fn add_request_id(worker: &Worker, head: &mut RequestHead) -> Result<(), Failure> {
    if head.fields.get(Known::XRequestId).is_some() {
        return Ok(());
    }
    let (high, low) = (worker.random(), worker.random());
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let mut id = IdText { text: [0; 36], length: 0 };
    let written = write!(
        id,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff,
    );
    written.map_err(|error| Failure::because(Kind::Internal, error))?;
    set(&mut head.fields, b"x-request-id", id.as_bytes())
}

/// The text of a UUID, without a place on the heap.
struct IdText {
    text: [u8; 36],
    length: usize,
}

impl IdText {
    fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

impl std::fmt::Write for IdText {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        let end = self.length.saturating_add(piece.len());
        let place = self.text.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Tells the application who calls. What a client without an identity says of itself is
/// removed; what a mesh peer says of those before it is kept in front.
///
/// Source: Envoy's `x-forwarded-client-cert`, in Istio's setting `APPEND_FORWARD`.
fn tell_identity(walk: &Walk<'_>, head: &mut RequestHead) -> Result<(), Failure> {
    const NAME: &[u8] = b"x-forwarded-client-cert";
    let Some(identity) = &walk.client.identity else {
        head.fields.remove(Known::XForwardedClientCert);
        return Ok(());
    };
    let mut value = Vec::with_capacity(128);
    for before in head.fields.values(Known::XForwardedClientCert) {
        value.extend_from_slice(before);
        value.push(b',');
    }
    value.extend_from_slice(b"By=");
    value.extend_from_slice(walk.snapshot.node.identity.as_str().as_bytes());
    value.extend_from_slice(b";URI=");
    value.extend_from_slice(identity.as_str().as_bytes());
    set(&mut head.fields, NAME, &value)
}

fn edit_request(routed: &Routed<'_>, head: &mut RequestHead) -> Result<(), Failure> {
    let Some(matched) = &routed.matched else { return Ok(()) };
    let rule = matched.rule;
    if let Some(rewrite) = &rule.rewrite {
        if let Some(mut target) = rewrite_path(rewrite, matched.form, head.path()) {
            if let Some(query) = head.query() {
                target.push(b'?');
                target.extend_from_slice(query);
            }
            let original = head.target().to_vec();
            head.set_target(&target)
                .map_err(|bad| Failure::because(Kind::Internal, bad.reason()))?;
            set(&mut head.fields, ORIGINAL_PATH, &original)?;
        }
        if let Some(authority) = &rewrite.authority {
            set_authority(head, authority.as_bytes())?;
        }
    }
    if let To::Cluster(_, Some(destination)) = routed.to {
        edit(&mut head.fields, &destination.request_headers)?;
        if let Some(authority) = &destination.request_headers.authority {
            set_authority(head, authority)?;
        }
    }
    edit(&mut head.fields, &rule.request_headers)?;
    if let Some(authority) = &rule.request_headers.authority {
        set_authority(head, authority)?;
    }
    Ok(())
}

/// Tells logs and the upstream what the client asked for. Source: Envoy's header of that name,
/// which Istio's access log shows in place of the path.
const ORIGINAL_PATH: &[u8] = b"x-envoy-original-path";

fn set_authority(head: &mut RequestHead, authority: &[u8]) -> Result<(), Failure> {
    head.set_authority(authority).map_err(|bad| Failure::because(Kind::Internal, bad.reason()))
}

/// Applies what a rule or a destination changes in the fields of a message.
///
/// # Errors
///
/// `Internal` when a name or value cannot be said.
pub(crate) fn edit(fields: &mut Fields, edits: &HeaderEdits) -> Result<(), Failure> {
    for name in &edits.remove {
        fields.remove_named(name);
    }
    for (name, value) in &edits.set {
        set(fields, name, value)?;
    }
    for (name, value) in &edits.add {
        fields.append(name, value).map_err(|bad| Failure::because(Kind::Internal, bad))?;
    }
    Ok(())
}

fn set(fields: &mut Fields, name: &[u8], value: &[u8]) -> Result<(), Failure> {
    fields.set(name, value).map_err(|bad| Failure::because(Kind::Internal, bad))
}

/// Applies what a hook changes in a request.
///
/// # Errors
///
/// `Internal` when a name or value cannot be said.
pub(crate) fn apply_request_edits(head: &mut RequestHead, edits: &Edits) -> Result<(), Failure> {
    apply_edits(&mut head.fields, edits)?;
    match &edits.path {
        Some(path) => {
            head.set_target(path).map_err(|bad| Failure::because(Kind::Internal, bad.reason()))
        }
        None => Ok(()),
    }
}

fn apply_edits(fields: &mut Fields, edits: &Edits) -> Result<(), Failure> {
    for name in &edits.remove {
        fields.remove_named(name);
    }
    for (name, value) in &edits.set {
        set(fields, name, value)?;
    }
    Ok(())
}

/// Applies header edits and hooks to an answer. A new body comes back.
///
/// # Errors
///
/// `Internal` when an edit cannot be said; `Undecided` when a hook failed and its declared
/// answer is to deny.
pub(crate) async fn shape_response(
    walk: &mut Walk<'_>,
    routed: &Routed<'_>,
    request: &RequestHead,
    response: &mut ResponseHead,
) -> Result<Option<std::sync::Arc<[u8]>>, Failure> {
    if let To::Cluster(_, Some(destination)) = routed.to {
        edit(&mut response.fields, &destination.response_headers)?;
    }
    if let Some(rule) = routed.rule() {
        edit(&mut response.fields, &rule.response_headers)?;
    }
    if walk.snapshot.hooks.of(HookStage::OnResponse).is_empty() {
        return Ok(None);
    }
    let snapshot = walk.snapshot;
    let mut body = None;
    for hook in snapshot.hooks.of(HookStage::OnResponse) {
        if !hook.meets(request.host(), request.path(), request.method_bytes()) {
            continue;
        }
        match walk.ask(hook, routed.port, request, Some(response)).await? {
            Wish::Nothing => {}
            Wish::Edits(edits) => {
                apply_edits(&mut response.fields, &edits)?;
                if let Some(status) = edits.status {
                    response
                        .set_status(status)
                        .map_err(|bad| Failure::because(Kind::Internal, bad.reason()))?;
                }
                body = edits.body.clone().or(body);
            }
            Wish::RouteTo(_) => return Err(misplaced(hook)),
        }
    }
    Ok(body)
}
