//! One endpoint of a cluster.

use meshcore_model::LoadBalancer;
use meshcore_snapshot::{Cluster, ClusterId, Endpoint, EndpointId};

use crate::health::Health;
use crate::loads::Loads;

/// What a worker knows when it chooses.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Requests under way.
    pub loads: &'a Loads,
    /// Endpoints that are out.
    pub health: &'a Health,
    /// Endpoints that this request was already tried on.
    pub tried: &'a [EndpointId],
    /// Now.
    pub now_ms: u64,
}

/// Whose turn it is, for each cluster that takes turns.
#[derive(Debug, Default)]
pub struct Cursors {
    next: Vec<Option<u64>>,
}

impl Cursors {
    /// The next turn. A worker begins anywhere, so that workers do not walk in step.
    fn turn(&mut self, cluster: ClusterId, random: &mut impl FnMut() -> u64) -> u64 {
        if self.next.len() <= cluster.index() {
            self.next.resize(cluster.index().saturating_add(1), None);
        }
        let Some(next) = self.next.get_mut(cluster.index()) else { return 0 };
        let turn = next.unwrap_or_else(|| random() >> 32);
        *next = Some(turn.wrapping_add(1));
        turn
    }
}

/// So many draws look for a usable endpoint before all are looked at. Source: with half of the
/// endpoints out, one of 256 picks comes to that.
const DRAWS: usize = 8;

/// Chooses an endpoint. One that is out or was tried is taken only when there is no other:
/// first those that are out come back, then those that were tried. `None` when the cluster has
/// no endpoints.
pub fn pick<'a>(
    cluster: &'a Cluster,
    known: &Known<'_>,
    cursors: &mut Cursors,
    random: &mut impl FnMut() -> u64,
) -> Option<&'a Endpoint> {
    let endpoints = &*cluster.endpoints;
    if let [] | [_] = endpoints {
        return endpoints.first();
    }
    let heeds_health = !known.health.is_empty() && !is_in_panic(cluster, known);
    let untried = |one: &Endpoint| !known.tried.contains(&one.id);
    let usable = |one: &Endpoint| {
        untried(one) && !(heeds_health && known.health.is_out(one.id, known.now_ms))
    };
    let mut draws = Draws { cluster, cursors, random };
    if known.tried.is_empty() && !heeds_health {
        return draws.choose(known.loads, &|_| true);
    }
    draws
        .choose(known.loads, &usable)
        .or_else(|| draws.choose(known.loads, &untried))
        .or_else(|| draws.choose(known.loads, &|_| true))
}

/// With too few endpoints left, all are used. Source: Envoy's panic threshold, which Istio sets
/// to `minHealthPercent`.
fn is_in_panic(cluster: &Cluster, known: &Known<'_>) -> bool {
    let minimum = cluster.outlier_detection.as_ref().map_or(0, |policy| policy.min_health_percent);
    if minimum == 0 {
        return false;
    }
    let all = cluster.endpoints.len();
    let healthy = all.saturating_sub(known.health.count_out(cluster.id, known.now_ms));
    healthy.saturating_mul(100) < all.saturating_mul(minimum as usize)
}

struct Draws<'a, 'b, R> {
    cluster: &'a Cluster,
    cursors: &'b mut Cursors,
    random: &'b mut R,
}

impl<'a, R: FnMut() -> u64> Draws<'a, '_, R> {
    /// An endpoint that is usable, as the cluster's policy chooses.
    fn choose(
        &mut self,
        loads: &Loads,
        usable: &impl Fn(&Endpoint) -> bool,
    ) -> Option<&'a Endpoint> {
        match self.cluster.load_balancer {
            LoadBalancer::LeastRequest => self.less_busy(loads, usable),
            LoadBalancer::RoundRobin => self.draw(usable, Self::next),
            LoadBalancer::Random | LoadBalancer::Passthrough => self.draw(usable, Self::any),
        }
    }

    /// The less busy of two, each drawn by weight.
    ///
    /// Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001. Loads
    /// are compared by weight; of two equal ones the first is taken, so that idle endpoints are
    /// chosen as their weights say.
    fn less_busy(
        &mut self,
        loads: &Loads,
        usable: &impl Fn(&Endpoint) -> bool,
    ) -> Option<&'a Endpoint> {
        let first = self.draw(usable, Self::any)?;
        let other = |one: &Endpoint| one.id != first.id && usable(one);
        let Some(second) = self.draw(&other, Self::any) else { return Some(first) };
        let load = |one: &Endpoint, of: &Endpoint| {
            u64::from(loads.of(one.id)).saturating_mul(u64::from(of.weight))
        };
        Some(if load(second, first) < load(first, second) { second } else { first })
    }

    /// Draws until an endpoint is usable; after some draws, the first usable one from there on.
    fn draw(
        &mut self,
        usable: &impl Fn(&Endpoint) -> bool,
        position: fn(&mut Self) -> usize,
    ) -> Option<&'a Endpoint> {
        let mut at = 0;
        for _ in 0..DRAWS {
            at = position(self);
            let drawn = self.cluster.endpoints.get(at);
            if let Some(endpoint) = drawn.filter(|endpoint| usable(endpoint)) {
                return Some(endpoint);
            }
        }
        let (before, after) = self.cluster.endpoints.split_at_checked(at)?;
        after.iter().chain(before).find(|endpoint| usable(endpoint))
    }

    /// Anywhere, by weight.
    fn any(&mut self) -> usize {
        let weights = &self.cluster.weights();
        if weights.are_equal() {
            let position = scale((self.random)(), self.cluster.endpoints.len() as u64);
            return usize::try_from(position).unwrap_or(0);
        }
        weights.position(scale((self.random)(), weights.total()))
    }

    /// The next in turn, by weight.
    fn next(&mut self) -> usize {
        let turn = self.cursors.turn(self.cluster.id, self.random);
        let weights = self.cluster.weights();
        if weights.are_equal() {
            let position = turn.checked_rem(self.cluster.endpoints.len() as u64);
            return usize::try_from(position.unwrap_or(0)).unwrap_or(0);
        }
        let total = weights.total();
        let turn = turn.checked_rem(total).unwrap_or(0);
        let point = u128::from(turn).saturating_mul(u128::from(weights.stride()));
        let point = point.checked_rem(u128::from(total)).unwrap_or(0);
        weights.position(u64::try_from(point).unwrap_or(0))
    }
}

/// A number below `limit`. Source: Lemire, Fast Random Integer Generation in an Interval, 2019
/// (without its last correction, which is below one part in 2^32 here).
fn scale(random: u64, limit: u64) -> u64 {
    let scaled = u128::from(random).saturating_mul(u128::from(limit)) >> 64;
    u64::try_from(scaled).unwrap_or(0)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small counts")]
mod tests;
