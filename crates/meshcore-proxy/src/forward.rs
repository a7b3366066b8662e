//! Stage: carry the request to where it goes, and the answer back.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use meshcore_model::{Failure, Flag, Kind};
use meshcore_policy::{Outcome, backoff_ms, redirect_location, should_retry};
use meshcore_snapshot::{EndpointId, RetryPolicy};
use meshcore_telemetry::Counter;

use crate::answer::{Answer, respond};
use crate::attempt::{Attempt, Tried};
use crate::converse::client_gone;
use crate::exchange::{After, Exchange};
use crate::pipeline::Walk;
use crate::pool::Turn;
use crate::replay::Replay;
use crate::route::{Asked, Routed, To};
use crate::shape::Shaped;
use crate::target::Target;
use crate::timer::{sleep, timeout_at};

/// Carries the request and its answer.
///
/// # Errors
///
/// Whatever kept the client from getting an answer.
pub(crate) async fn forward(
    walk: &mut Walk<'_>,
    shaped: Shaped<'_>,
    exchange: &mut Exchange<'_>,
) -> Result<After, Failure> {
    let routed = shaped.into_routed();
    match routed.to {
        To::Redirect(_) | To::Respond(..) => answer_here(walk, &routed, exchange).await,
        To::Cluster(..) | To::Application(_) | To::Address(_) => {
            Tries::new(&routed, exchange).all(walk, &routed, exchange).await
        }
    }
}

/// Waits for `work` until the deadline, if there is one.
async fn until<T>(
    deadline: Option<Instant>,
    work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    match deadline {
        None => work.await,
        Some(deadline) => timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_elapsed| Err(Kind::UpstreamTimeout.into())),
    }
}

async fn answer_here(
    walk: &mut Walk<'_>,
    routed: &Routed<'_>,
    exchange: &mut Exchange<'_>,
) -> Result<After, Failure> {
    walk.record.details = "direct_response";
    let edits = routed.rule().map(|rule| &rule.response_headers);
    let sent = match (&routed.to, &routed.matched) {
        (To::Redirect(redirect), Some(matched)) => {
            let location = redirect_location(redirect, matched.form, &Asked(exchange.head));
            let fields: [(&[u8], &[u8]); 1] = [(b"location", &location)];
            let answer = Answer { status: redirect.status, fields: &fields, body: &[], edits };
            respond(exchange, &answer, None, walk.record).await
        }
        (To::Respond(status, body), _) => {
            let answer = Answer { status: *status, fields: &[], body, edits };
            respond(exchange, &answer, None, walk.record).await
        }
        _forwarded => return Err(Kind::Internal.into()),
    };
    sent.map(|()| After::Next).map_err(|error| client_gone(&error))
}

/// The tries of one request.
#[derive(Debug)]
struct Tries {
    policy: RetryPolicy,
    replay: Replay,
    tried: Vec<EndpointId>,
    retries: u32,
    turns: Vec<Turn>,
    /// When the time of the route is over, for all tries together.
    deadline: Option<Instant>,
}

impl Tries {
    fn new(routed: &Routed<'_>, exchange: &Exchange<'_>) -> Self {
        let policy = routed.rule().map_or_else(RetryPolicy::never, |rule| rule.retries.clone());
        let timeout_ms = routed.rule().and_then(|rule| rule.timeout_ms);
        let may_try_again = policy.attempts > 0 && !exchange.wants_upgrade;
        Self {
            policy,
            replay: Replay::new(may_try_again),
            tried: Vec::new(),
            retries: 0,
            turns: Vec::new(),
            deadline: timeout_ms
                .and_then(|limit_ms| Instant::now().checked_add(Duration::from_millis(limit_ms))),
        }
    }

    async fn all(
        &mut self,
        walk: &mut Walk<'_>,
        routed: &Routed<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Result<After, Failure> {
        self.take_turn(walk, routed)?;
        loop {
            let target = Target::choose(walk, routed, (exchange.head.host(), &self.tried))?;
            let can_repeat = self.retries < self.policy.attempts;
            let mut attempt = Attempt {
                routed,
                target: &target,
                policy: &self.policy,
                replay: &self.replay,
                can_repeat,
            };
            let result = until(self.deadline, pin!(attempt.make(walk, exchange))).await;
            target.settle(walk, exchange, &result);
            let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            match result {
                Ok(Tried::Answered(after)) => return Ok(after),
                Err(failure) if is_late || !self.may_retry(walk, exchange, &failure) => {
                    return Err(failure);
                }
                Ok(Tried::Unwanted) | Err(_) => {}
            }
            let deadline = self.deadline;
            until(deadline, pin!(self.begin_retry(walk, routed, &target))).await?;
        }
    }

    /// Counts the request against the limit of its cluster.
    fn take_turn(&mut self, walk: &Walk<'_>, routed: &Routed<'_>) -> Result<(), Failure> {
        if let To::Cluster(cluster, _) = routed.to
            && let Some(usage) = walk.worker.usage(cluster)
        {
            let turn = usage
                .begin(cluster.limits.max_requests)
                .map_err(|full| walk.worker.overflow(full))?;
            self.turns.push(turn);
        }
        Ok(())
    }

    fn may_retry(&self, walk: &mut Walk<'_>, exchange: &Exchange<'_>, failure: &Failure) -> bool {
        let kind = failure.kind();
        let outcome = Outcome::Failed { kind, sent: !kind.is_surely_unprocessed() };
        if exchange.reply.is_started()
            || !self.replay.is_whole()
            || !should_retry(&self.policy, 0, outcome)
        {
            return false;
        }
        let is_left = should_retry(&self.policy, self.retries, outcome);
        if !is_left {
            walk.record.flag(Flag::RetryLimitExceeded);
        }
        is_left
    }

    async fn begin_retry(
        &mut self,
        walk: &Walk<'_>,
        routed: &Routed<'_>,
        target: &Target<'_>,
    ) -> Result<(), Failure> {
        if let To::Cluster(cluster, _) = routed.to
            && let Some(usage) = walk.worker.usage(cluster)
        {
            let turn = usage.retry(cluster.limits.max_retries).map_err(|full| {
                walk.worker.recorder.count(Counter::RetriesRefused, 1);
                walk.worker.overflow(full)
            })?;
            self.turns.push(turn);
        }
        if self.policy.avoid_previous_hosts
            && let Some(endpoint) = target.endpoint
        {
            self.tried.push(endpoint.id);
        }
        self.retries = self.retries.saturating_add(1);
        walk.worker.recorder.count(Counter::Retries, 1);
        let wait_ms = backoff_ms(&self.policy, self.retries, walk.worker.random());
        sleep(Duration::from_millis(wait_ms)).await;
        Ok(())
    }
}
