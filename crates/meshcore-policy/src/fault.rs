//! Faults that are injected on purpose, and shares of requests.

use meshcore_snapshot::Fault;

/// What is done to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injection {
    /// It waits so long first.
    pub delay_ms: Option<u64>,
    /// It is answered here.
    pub abort: Option<Abort>,
}

/// How a request is answered in place of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// With an HTTP status.
    Http(u16),
    /// With a gRPC status.
    Grpc(u32),
}

/// Parts of a share.
const MILLION: u64 = 1_000_000;

/// Whether a request falls into a share in parts per million.
pub fn falls_in(share_ppm: u32, random: u64) -> bool {
    random % MILLION < u64::from(share_ppm)
}

/// What a fault does to a request. Delay and abort are drawn apart.
///
/// Source: Envoy's fault filter, as Istio configures it.
pub fn inject(fault: &Fault, mut random: impl FnMut() -> u64) -> Injection {
    let mut drawn = |share| falls_in(share, random());
    let delay_ms = fault.delay.filter(|(_, share)| drawn(*share)).map(|(delay, _)| delay);
    let http = fault.abort.filter(|(_, share)| drawn(*share));
    let grpc = fault.abort_grpc.filter(|(_, share)| drawn(*share));
    let http = http.map(|(status, _)| Abort::Http(status));
    Injection { delay_ms, abort: http.or(grpc.map(|(status, _)| Abort::Grpc(status))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_what_it_says() {
        let hits = |share| (0..1_000_000).filter(|random| falls_in(share, *random)).count();
        assert_eq!(hits(0), 0);
        assert_eq!(hits(1), 1);
        assert_eq!(hits(250_000), 250_000);
        assert_eq!(hits(1_000_000), 1_000_000);
    }

    #[test]
    fn delay_and_abort_are_drawn_apart() {
        let fault =
            Fault { delay: Some((200, 500_000)), abort: Some((503, 500_000)), abort_grpc: None };
        let with = |draws: [u64; 2]| {
            let mut draws = draws.into_iter();
            inject(&fault, || draws.next().unwrap())
        };
        let abort = Some(Abort::Http(503));
        assert_eq!(with([0, 0]), Injection { delay_ms: Some(200), abort });
        assert_eq!(with([0, 999_999]), Injection { delay_ms: Some(200), abort: None });
        assert_eq!(with([999_999, 0]), Injection { delay_ms: None, abort });
        assert_eq!(with([999_999, 999_999]), Injection::default());
    }
}
