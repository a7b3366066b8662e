//! Whether a failed request is tried again, and when.

use meshcore_model::{Kind, RetryOn};
use meshcore_snapshot::RetryPolicy;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Without an answer.
    Failed {
        /// Why. A [`Kind::UpstreamTimeout`] is that of one try, not of the whole request.
        kind: Kind,
        /// Some byte of the request was sent.
        sent: bool,
    },
    /// With an answer whose header came.
    Answered {
        /// HTTP status.
        status: u16,
        /// gRPC status, when the header has it.
        grpc_status: Option<u32>,
    },
}

/// Longest back-off, in multiples of the first. Source: Envoy's `RetryBackOff.max_interval`.
const MAX_BACKOFF: u64 = 10;

/// Whether the request is tried again after `retries` further tries were made. Whether its body
/// can be sent again is for the caller to know.
///
/// Source: Envoy's router, `x-envoy-retry-on` and `x-envoy-retry-grpc-on`.
pub fn should_retry(policy: &RetryPolicy, retries: u32, outcome: Outcome) -> bool {
    if retries >= policy.attempts {
        return false;
    }
    match outcome {
        Outcome::Failed { kind, sent } => retries_failure(policy, kind, sent),
        Outcome::Answered { status, grpc_status } => {
            retries_status(policy, status) || grpc_status.is_some_and(|it| retries_grpc(policy, it))
        }
    }
}

fn retries_failure(policy: &RetryPolicy, kind: Kind, sent: bool) -> bool {
    let any = |classes: &[RetryOn]| classes.iter().any(|class| policy.on.has(*class));
    let no_answer = any(&[RetryOn::Reset, RetryOn::ServerError, RetryOn::GatewayError])
        || !sent && policy.on.has(RetryOn::ResetBeforeRequest);
    match kind {
        Kind::UpstreamRefused | Kind::UpstreamConnectTimeout | Kind::UpstreamTls => {
            no_answer || policy.on.has(RetryOn::ConnectFailure)
        }
        Kind::UpstreamRefusedStream => no_answer || policy.on.has(RetryOn::RefusedStream),
        Kind::UpstreamClosed | Kind::UpstreamReset | Kind::UpstreamTimeout => no_answer,
        Kind::BadRequest
        | Kind::TargetTooLong
        | Kind::HeadTooLarge
        | Kind::ExpectationFailed
        | Kind::NotImplemented
        | Kind::VersionNotSupported
        | Kind::RequestTimeout
        | Kind::NoRoute
        | Kind::Misdirected
        | Kind::Blocked
        | Kind::NoCluster
        | Kind::NoEndpoint
        | Kind::Denied
        | Kind::Undecided
        | Kind::Overflow
        | Kind::Overload
        | Kind::UpstreamProtocol
        | Kind::FaultInjected
        | Kind::DownstreamClosed
        | Kind::Loop
        | Kind::Internal => false,
    }
}

fn retries_status(policy: &RetryPolicy, status: u16) -> bool {
    let on = policy.on;
    (status >= 500 && on.has(RetryOn::ServerError))
        || (matches!(status, 502..=504) && on.has(RetryOn::GatewayError))
        || (status == 409 && on.has(RetryOn::Conflict))
        || policy.statuses.contains(&status)
}

/// Source: gRPC status codes.
fn retries_grpc(policy: &RetryPolicy, status: u32) -> bool {
    let class = match status {
        1 => RetryOn::GrpcCancelled,
        4 => RetryOn::GrpcDeadlineExceeded,
        8 => RetryOn::GrpcResourceExhausted,
        13 => RetryOn::GrpcInternal,
        14 => RetryOn::GrpcUnavailable,
        _ => return false,
    };
    policy.on.has(class)
}

/// How long to wait before the further try of this number, counted from 1: anything up to the
/// first back-off doubled for each try before it.
///
/// Source: "full jitter", Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
pub fn backoff_ms(policy: &RetryPolicy, retry: u32, random: u64) -> u64 {
    let doublings = retry.saturating_sub(1).min(63);
    let longest = policy.backoff_ms.saturating_mul(MAX_BACKOFF);
    let limit = policy.backoff_ms.saturating_mul(1_u64 << doublings).min(longest);
    random.checked_rem(limit.saturating_add(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(on: &[RetryOn]) -> RetryPolicy {
        RetryPolicy {
            attempts: 2,
            per_try_timeout_ms: None,
            on: on.iter().copied().collect(),
            statuses: [418].into(),
            backoff_ms: 25,
            avoid_previous_hosts: true,
        }
    }

    const ISTIO: &[RetryOn] = &[
        RetryOn::ConnectFailure,
        RetryOn::RefusedStream,
        RetryOn::GrpcUnavailable,
        RetryOn::GrpcCancelled,
    ];

    #[test]
    fn each_class_retries_what_it_names() {
        let failed = |kind| Outcome::Failed { kind, sent: true };
        let unsent = |kind| Outcome::Failed { kind, sent: false };
        let status = |status| Outcome::Answered { status, grpc_status: None };
        let grpc = |code| Outcome::Answered { status: 200, grpc_status: Some(code) };
        for (name, on, outcome, expected) in [
            ("istio: refused", ISTIO, failed(Kind::UpstreamRefused), true),
            ("istio: connect timeout", ISTIO, failed(Kind::UpstreamConnectTimeout), true),
            ("istio: stream refused", ISTIO, failed(Kind::UpstreamRefusedStream), true),
            ("istio: closed", ISTIO, failed(Kind::UpstreamClosed), false),
            ("istio: timeout", ISTIO, failed(Kind::UpstreamTimeout), false),
            ("istio: not on 503", ISTIO, status(503), false),
            ("istio: grpc unavailable", ISTIO, grpc(14), true),
            ("istio: grpc internal", ISTIO, grpc(13), false),
            ("5xx: 500", &[RetryOn::ServerError], status(500), true),
            ("5xx: 499", &[RetryOn::ServerError], status(499), false),
            ("5xx: reset", &[RetryOn::ServerError], failed(Kind::UpstreamReset), true),
            ("5xx: timeout of a try", &[RetryOn::ServerError], failed(Kind::UpstreamTimeout), true),
            ("gateway: 500", &[RetryOn::GatewayError], status(500), false),
            ("gateway: 504", &[RetryOn::GatewayError], status(504), true),
            ("reset: closed", &[RetryOn::Reset], failed(Kind::UpstreamClosed), true),
            ("reset: 503", &[RetryOn::Reset], status(503), false),
            ("before: sent", &[RetryOn::ResetBeforeRequest], failed(Kind::UpstreamClosed), false),
            ("before: not", &[RetryOn::ResetBeforeRequest], unsent(Kind::UpstreamClosed), true),
            ("conflict", &[RetryOn::Conflict], status(409), true),
            ("listed status", &[], status(418), true),
            ("overflow never", &[RetryOn::ServerError], failed(Kind::Overflow), false),
            ("denied never", &[RetryOn::ServerError], failed(Kind::Denied), false),
            ("faults never", &[RetryOn::ServerError], failed(Kind::FaultInjected), false),
        ] {
            assert_eq!(should_retry(&policy(on), 0, outcome), expected, "{name}");
        }
    }

    #[test]
    fn tries_end() {
        let policy = policy(ISTIO);
        let outcome = Outcome::Failed { kind: Kind::UpstreamRefused, sent: false };
        assert!(should_retry(&policy, 1, outcome));
        assert!(!should_retry(&policy, 2, outcome));
        assert!(!should_retry(&RetryPolicy::never(), 0, outcome));
    }

    #[test]
    fn the_backoff_doubles_up_to_ten_times_the_first() {
        let policy = policy(ISTIO);
        for (retry, longest) in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (100, 250)] {
            let most = (0..1000).map(|random| backoff_ms(&policy, retry, random)).max();
            assert_eq!(most, Some(longest), "try {retry}");
            assert_eq!(backoff_ms(&policy, retry, 0), 0);
        }
        assert_eq!(backoff_ms(&RetryPolicy::never(), 1, 7), 0);
    }
}
