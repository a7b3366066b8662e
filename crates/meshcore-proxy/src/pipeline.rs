//! The way of one request, in the order in which it happens. Start reading here.
//!
//! Each stage takes what the one before it made, so that none can be left out:
//! `Exchange -> Routed -> Authorized -> Shaped`; only the last can be forwarded. What comes
//! before a request (accept, identify, detect) is in [`crate::accept`]; inbound and outbound are
//! the same line, with different ends.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

use meshcore_model::{Failure, Kind};
use meshcore_snapshot::Snapshot;
use meshcore_telemetry::Gauge;

use crate::answer::{deny, refuse};
use crate::authorize::authorize;
use crate::client::Client;
use crate::contain::poll_contained;
use crate::counted::Counted;
use crate::discovery::Answer;
use crate::exchange::{After, Exchange};
use crate::forward::forward;
use crate::overload::is_refusing;
use crate::record::Record;
use crate::route::{Way, route};
use crate::shape::shape;
use crate::worker::Worker;

/// Carries one request to its end and records how it ended, whichever stage ended it.
pub(crate) async fn carry(
    worker: &Rc<Worker>,
    client: &Client,
    exchange: &mut Exchange<'_>,
) -> After {
    let snapshot = worker.snapshot(); // pinned: a change never splits a request
    let _active = Counted::begin(&worker.recorder, Gauge::RequestsActive);
    let mut record = Record::open(exchange.head, client);
    let ended = {
        let record = &mut record;
        let mut walk = Walk { worker, client, snapshot: &snapshot, record, questions: 0 };
        let mut stages = pin!(walk.all_stages(exchange));
        poll_fn(|cx| poll_contained(&worker.recorder, stages.as_mut(), cx)).await
    };
    let ended = ended.unwrap_or_else(|| {
        exchange.reply.close(); // nobody knows in what state a bug has left the connection
        Err(Failure::because(Kind::Internal, "panicked"))
    });
    let after = match ended {
        Ok(after) => after,
        Err(failure) => {
            record.failed(&failure);
            match record.denial.take() {
                Some(denial) => deny(exchange, &denial, &mut record).await,
                None => refuse(exchange, failure.kind(), &mut record).await,
            }
            if failure.kind() == Kind::DownstreamClosed { After::Gone } else { After::Next }
        }
    };
    record.request_bytes = exchange.body.total();
    record.close(worker, &snapshot, client, exchange.head);
    after
}

/// What every stage can look at.
#[derive(Debug)]
pub(crate) struct Walk<'w> {
    pub(crate) worker: &'w Rc<Worker>,
    pub(crate) client: &'w Client,
    pub(crate) snapshot: &'w Arc<Snapshot>,
    pub(crate) record: &'w mut Record,
    /// How often a control plane was asked for what the snapshot does not know.
    pub(crate) questions: u8,
}

impl Walk<'_> {
    async fn all_stages(&mut self, exchange: &mut Exchange<'_>) -> Result<After, Failure> {
        let snapshot = self.snapshot;
        if is_refusing() {
            exchange.reply.close();
            return Err(Kind::Overload.into());
        }
        let routed = match route(self, snapshot, exchange).await? {
            Way::To(routed) => routed,
            Way::Asked(answer) => return self.discover(answer, exchange).await,
        };
        self.record.port = routed.port;
        let authorized = authorize(self, routed, exchange).await?;
        let shaped = shape(self, authorized, exchange).await?;
        forward(self, shaped, exchange).await
    }

    /// Begins again with what is in force once the control plane has answered.
    fn discover<'s>(
        &'s mut self,
        answer: Answer,
        exchange: &'s mut Exchange<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<After, Failure>> + 's>> {
        Box::pin(async move {
            answer.wait().await;
            let snapshot = self.worker.snapshot();
            let mut again = Walk {
                worker: self.worker,
                client: self.client,
                snapshot: &snapshot,
                record: &mut *self.record,
                questions: self.questions,
            };
            again.all_stages(exchange).await
        })
    }
}
