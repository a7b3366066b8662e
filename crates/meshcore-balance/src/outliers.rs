//! Endpoints that answer worse than they should.

use meshcore_model::OutlierDetection;
use meshcore_snapshot::{Cluster, EndpointId};

/// Longest time out, in milliseconds, unless the first is longer. Source: Envoy's
/// `max_ejection_time`.
const LONGEST_MS: u64 = 300_000;

/// How a request to an endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// With this HTTP status.
    Status(u16),
    /// Without an answer: no connection, a lost one, or a timeout.
    LocalFailure,
    /// For clusters of opaque TCP: a connection was made.
    Connected,
}

/// An endpoint is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// The endpoint.
    pub id: EndpointId,
    /// Until then.
    pub until_ms: u64,
}

/// The outliers of one cluster.
///
/// Source: Envoy's outlier detection: consecutive failures, a time out that grows with every
/// further one, and a limit on how many may be out.
#[derive(Debug, Default)]
pub struct Outliers {
    states: hashbrown::HashMap<EndpointId, State, foldhash::fast::RandomState>,
    next_check_ms: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    server_errors: u32,
    gateway_errors: u32,
    local_failures: u32,
    /// How often in a row it was out; what the time out is multiplied by.
    ejections: u32,
    out_until_ms: Option<u64>,
}

impl Outliers {
    /// Takes note of how a request ended. The endpoint is taken out when it failed too often in
    /// a row and not too many are out already; never where the cluster has no outlier detection.
    pub fn observe(
        &mut self,
        cluster: &Cluster,
        id: EndpointId,
        seen: Seen,
        now_ms: u64,
    ) -> Option<Ejection> {
        let policy = cluster.outlier_detection.as_ref()?;
        self.check(policy, cluster, now_ms);
        if !self.states.contains_key(&id) && is_good(seen) {
            return None;
        }
        let state = self.states.entry(id).or_default();
        state.come_back(now_ms);
        if state.out_until_ms.is_some() {
            return None; // of requests that were under way when it was taken out
        }
        state.count(policy, seen);
        if !state.is_outlier(policy) {
            return None;
        }
        if !self.may_eject(policy, cluster) {
            return None;
        }
        let state = self.states.get_mut(&id)?;
        let until_ms = state.eject(policy, now_ms);
        Some(Ejection { id, until_ms })
    }

    /// Whether the endpoint is out.
    pub fn is_out(&self, id: EndpointId, now_ms: u64) -> bool {
        let state = self.states.get(&id);
        state.and_then(|state| state.out_until_ms).is_some_and(|until_ms| now_ms < until_ms)
    }

    /// Once an interval: endpoints whose time is over come back, the time out of those that
    /// stayed in shrinks, and endpoints that are gone are forgotten.
    fn check(&mut self, policy: &OutlierDetection, cluster: &Cluster, now_ms: u64) {
        if now_ms < self.next_check_ms {
            return;
        }
        self.next_check_ms = now_ms.saturating_add(policy.interval_ms.max(1));
        self.states.retain(|id, state| {
            match state.out_until_ms {
                Some(_) => state.come_back(now_ms),
                None => state.ejections = state.ejections.saturating_sub(1),
            }
            !state.is_blank() && cluster.endpoint(*id).is_some()
        });
    }

    fn may_eject(&self, policy: &OutlierDetection, cluster: &Cluster) -> bool {
        let out = self.states.values().filter(|state| state.out_until_ms.is_some()).count();
        let limit = policy.max_ejection_percent.min(100) as usize;
        out.saturating_mul(100) < cluster.endpoints.len().saturating_mul(limit)
    }
}

impl State {
    /// Puts the endpoint back in when its time is over.
    fn come_back(&mut self, now_ms: u64) {
        if self.out_until_ms.is_some_and(|until_ms| now_ms >= until_ms) {
            self.out_until_ms = None;
        }
    }

    /// Without `split_local_errors`, a failure without an answer is one more 5xx.
    fn count(&mut self, policy: &OutlierDetection, seen: Seen) {
        let next = |count: u32, failed: bool| if failed { count.saturating_add(1) } else { 0 };
        match seen {
            Seen::Status(status) => {
                self.server_errors = next(self.server_errors, status >= 500);
                self.gateway_errors = next(self.gateway_errors, matches!(status, 502..=504));
                self.local_failures = 0;
            }
            Seen::LocalFailure if policy.split_local_errors => {
                self.local_failures = next(self.local_failures, true);
            }
            Seen::LocalFailure => {
                self.server_errors = next(self.server_errors, true);
                self.gateway_errors = next(self.gateway_errors, true);
            }
            Seen::Connected if policy.split_local_errors => self.local_failures = 0,
            Seen::Connected => {
                self.server_errors = 0;
                self.gateway_errors = 0;
            }
        }
    }

    fn is_outlier(&self, policy: &OutlierDetection) -> bool {
        let reached = |count: u32, limit: u32| limit > 0 && count >= limit;
        reached(self.server_errors, policy.consecutive_5xx)
            || reached(self.gateway_errors, policy.consecutive_gateway_errors)
            || (policy.split_local_errors
                && reached(self.local_failures, policy.consecutive_local_failures))
    }

    fn eject(&mut self, policy: &OutlierDetection, now_ms: u64) -> u64 {
        self.ejections = self.ejections.saturating_add(1);
        let base = policy.base_ejection_ms;
        let time_ms = base.saturating_mul(u64::from(self.ejections)).min(base.max(LONGEST_MS));
        let until_ms = now_ms.saturating_add(time_ms);
        let ejections = self.ejections;
        *self = Self { ejections, out_until_ms: Some(until_ms), ..Self::default() };
        until_ms
    }

    fn is_blank(&self) -> bool {
        self.server_errors == 0
            && self.gateway_errors == 0
            && self.local_failures == 0
            && self.ejections == 0
            && self.out_until_ms.is_none()
    }
}

fn is_good(seen: Seen) -> bool {
    match seen {
        Seen::Status(status) => status < 500,
        Seen::LocalFailure => false,
        Seen::Connected => true,
    }
}

#[cfg(test)]
mod tests;
