//! Which endpoints are better left alone for a while.

use meshcore_snapshot::{ClusterId, EndpointId};

/// First time out after a refused connection, in milliseconds. Source: below the time of a first
/// retry's longest back-off (250 ms), so that one lost packet costs an endpoint little.
const FIRST_MS: u64 = 100;

/// Longest time out after refused connections, in milliseconds. Source: a restarted endpoint is
/// used again within about the time of Kubernetes's default readiness period (10 s).
const LONGEST_MS: u64 = 10_000;

/// What a worker has learned from its own connections and requests.
#[derive(Debug, Default)]
pub struct Health {
    out: hashbrown::HashMap<EndpointId, Out, foldhash::fast::RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Out {
    cluster: ClusterId,
    /// Refused connections in a row.
    refused: u32,
    refused_until_ms: u64,
    ejected_until_ms: u64,
}

impl Out {
    fn new(cluster: ClusterId) -> Self {
        Self { cluster, refused: 0, refused_until_ms: 0, ejected_until_ms: 0 }
    }

    fn until_ms(&self) -> u64 {
        self.refused_until_ms.max(self.ejected_until_ms)
    }
}

impl Health {
    /// A connection could not be made: the endpoint is out, twice as long after each time.
    pub fn failed(&mut self, cluster: ClusterId, id: EndpointId, now_ms: u64) {
        let out = self.out.entry(id).or_insert(Out::new(cluster));
        let doubled = FIRST_MS.checked_shl(out.refused).unwrap_or(LONGEST_MS);
        out.refused = out.refused.saturating_add(1).min(32);
        out.refused_until_ms = now_ms.saturating_add(doubled.min(LONGEST_MS));
    }

    /// A connection was made: refused ones are forgotten.
    pub fn connected(&mut self, id: EndpointId, now_ms: u64) {
        // The common case: nothing is out.
        if self.out.is_empty() {
            return;
        }
        let Some(out) = self.out.get_mut(&id) else { return };
        out.refused = 0;
        out.refused_until_ms = 0;
        if out.ejected_until_ms <= now_ms {
            self.out.remove(&id);
        }
    }

    /// The endpoint is an outlier, and out until then.
    pub fn eject(&mut self, cluster: ClusterId, id: EndpointId, until_ms: u64) {
        let out = self.out.entry(id).or_insert(Out::new(cluster));
        out.ejected_until_ms = out.ejected_until_ms.max(until_ms);
    }

    /// Whether the endpoint is out.
    pub fn is_out(&self, id: EndpointId, now_ms: u64) -> bool {
        !self.out.is_empty() && self.out.get(&id).is_some_and(|out| now_ms < out.until_ms())
    }

    /// How many endpoints of a cluster are out.
    pub fn count_out(&self, cluster: ClusterId, now_ms: u64) -> usize {
        let is_out = |out: &&Out| out.cluster == cluster && now_ms < out.until_ms();
        self.out.values().filter(is_out).count()
    }

    /// Whether no endpoint is known to be out.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Forgets endpoints that have been back for long. For every change of the snapshot.
    pub fn trim(&mut self, now_ms: u64) {
        self.out.retain(|_, out| now_ms < out.until_ms().saturating_add(LONGEST_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene;

    fn ids() -> (ClusterId, EndpointId) {
        let snapshot = scene::snapshot("random", &[1]);
        let cluster = scene::cluster(&snapshot);
        (cluster.id, cluster.endpoints[0].id)
    }

    #[test]
    fn a_refused_connection_keeps_an_endpoint_out_longer_each_time() {
        let (cluster, id) = ids();
        let mut health = Health::default();
        let mut now = 0;
        for longest in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            health.failed(cluster, id, now);
            assert!(health.is_out(id, now + longest - 1), "{longest}");
            assert!(!health.is_out(id, now + longest), "{longest}");
            now += longest;
        }
        health.connected(id, now);
        assert!(health.is_empty());
        health.failed(cluster, id, now);
        assert!(!health.is_out(id, now + 100), "a success starts from the first again");
    }

    #[test]
    fn outs_are_counted_by_cluster_and_forgotten() {
        let (cluster, id) = ids();
        let mut health = Health::default();
        health.eject(cluster, id, 1_000);
        assert_eq!(health.count_out(cluster, 999), 1);
        assert_eq!(health.count_out(cluster, 1_000), 0);
        health.trim(5_000);
        assert!(!health.is_empty());
        health.trim(11_000);
        assert!(health.is_empty());
    }

    #[test]
    fn an_outlier_stays_out_though_it_takes_connections() {
        let (cluster, id) = ids();
        let mut health = Health::default();
        health.failed(cluster, id, 0);
        health.eject(cluster, id, 1_000);
        health.connected(id, 10);
        assert!(health.is_out(id, 10));
    }
}
