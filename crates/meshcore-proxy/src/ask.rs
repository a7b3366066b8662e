//! Asks the hooks of a stage about a request.

use std::sync::Arc;

use meshcore_http::{RequestHead, ResponseHead};
use meshcore_model::{Failure, HookStage, Kind};
use meshcore_snapshot::SnapshotHook;

use crate::exchange::Exchange;
use crate::hooks::{Decision, Edits, RouteTo, View};
use crate::pipeline::Walk;
use crate::shape::apply_request_edits;

/// What a hook wants that does not end the request.
#[derive(Debug)]
pub(crate) enum Wish {
    Nothing,
    Edits(Arc<Edits>),
    RouteTo(RouteTo),
}

impl Walk<'_> {
    /// Asks one hook.
    ///
    /// # Errors
    ///
    /// `Denied` when it refuses, which the record then tells; `Undecided` when it gave no answer
    /// and its declared answer is to deny.
    pub(crate) async fn ask(
        &mut self,
        hook: &SnapshotHook,
        port: u16,
        request: &RequestHead,
        response: Option<&ResponseHead>,
    ) -> Result<Wish, Failure> {
        let view = View {
            request,
            response,
            identity: self.client.identity.as_ref(),
            address: self.client.peer.ip(),
            port,
            route: self.record.route.as_deref().unwrap_or_default(),
        };
        match self.worker.decide(&hook.hook, &view).await? {
            Decision::Abstain => Ok(Wish::Nothing),
            Decision::Allow(edits) | Decision::Modify(edits) => Ok(Wish::Edits(edits)),
            Decision::RouteTo(wanted) => Ok(Wish::RouteTo(wanted)),
            Decision::Deny(denial) => {
                let why = format!("{}: {}", hook.hook.name, denial.reason);
                self.record.denied_by = Some(hook.hook.name.as_str().into());
                self.record.denial = Some(denial);
                Err(Failure::because(Kind::Denied, why))
            }
        }
    }

    /// Asks the hooks of a stage that judges or changes requests, each of which sees what those
    /// before it have changed.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`]; `Undecided` for an answer that is none to this stage, `Internal` when an
    /// edit cannot be said.
    pub(crate) async fn ask_about_request(
        &mut self,
        stage: HookStage,
        port: u16,
        exchange: &mut Exchange<'_>,
    ) -> Result<(), Failure> {
        if self.snapshot.hooks.of(stage).is_empty() {
            return Ok(());
        }
        let snapshot = self.snapshot;
        for hook in snapshot.hooks.of(stage) {
            let head = &*exchange.head;
            if !hook.meets(head.host(), head.path(), head.method_bytes()) {
                continue;
            }
            match self.ask(hook, port, exchange.head, None).await? {
                Wish::Nothing => {}
                Wish::Edits(edits) => apply_request_edits(exchange.head, &edits)?,
                Wish::RouteTo(_) => return Err(misplaced(hook)),
            }
        }
        Ok(())
    }
}

/// The failure for an answer that a stage has no use for.
pub(crate) fn misplaced(hook: &SnapshotHook) -> Failure {
    let why = format!("{}: its answer is none to this stage", hook.hook.name);
    Failure::because(Kind::Undecided, why)
}
