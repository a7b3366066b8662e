//! One rule of a route, compiled.

use std::sync::Arc;

use meshcore_model::{Origin, RetryOn};
use regex::bytes::Regex;

use crate::ids::ClusterId;

/// What is done with the requests that a rule matches.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Name for logs; `default` when the document has none.
    pub name: Arc<str>,
    /// The document, at the line of the rule.
    pub origin: Arc<Origin>,
    /// Position in the document, counted from 0.
    pub index: u32,
    /// What is done.
    pub action: RuleAction,
    /// Change of path and authority before forwarding.
    pub rewrite: Option<Rewrite>,
    /// Limit for the whole request with its retries; `None` is no limit.
    pub timeout_ms: Option<u64>,
    /// When and how often a failed request is tried again.
    pub retries: RetryPolicy,
    /// Faults injected on purpose.
    pub fault: Option<Fault>,
    /// Where copies of the request go.
    pub mirrors: Box<[Mirror]>,
    /// Changes to the request's header.
    pub request_headers: HeaderEdits,
    /// Changes to the response's header.
    pub response_headers: HeaderEdits,
}

/// What a rule does.
#[derive(Debug, Clone)]
pub enum RuleAction {
    /// Sends the request to one of these.
    Forward(Destinations),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Answers with this.
    Respond {
        /// HTTP status.
        status: u16,
        /// Body.
        body: Arc<[u8]>,
    },
}

/// Destinations, chosen by weight.
#[derive(Debug, Clone, Default)]
pub struct Destinations {
    list: Box<[WeightedDestination]>,
    /// Sum of the weights up to and with each destination.
    sums: Box<[u64]>,
}

impl Destinations {
    pub(crate) fn new(list: Vec<WeightedDestination>) -> Self {
        let only = list.len() == 1;
        let sums = list
            .iter()
            .scan(0_u64, |sum, destination| {
                let weight = if only { 1 } else { u64::from(destination.weight) };
                *sum = sum.saturating_add(weight);
                Some(*sum)
            })
            .collect();
        Self { list: list.into(), sums }
    }

    /// All of them.
    pub fn all(&self) -> &[WeightedDestination] {
        &self.list
    }

    /// The one that `random` falls on: each as often as its weight says. `None` when no
    /// destination has a weight, which no compiled rule allows.
    pub fn choose(&self, random: u64) -> Option<&WeightedDestination> {
        if let [only] = &*self.list {
            return Some(only);
        }
        let total = self.sums.last().copied()?;
        let point = random.checked_rem(total)?;
        self.list.get(self.sums.partition_point(|sum| *sum <= point))
    }
}

/// One place a request may be sent to.
#[derive(Debug, Clone)]
pub struct WeightedDestination {
    /// Fully qualified host.
    pub host: Arc<str>,
    /// Share among the destinations of a rule; ignored when there is only one.
    pub weight: u32,
    /// Changes to the request's header for this destination alone.
    pub request_headers: HeaderEdits,
    /// Changes to the response's header for this destination alone.
    pub response_headers: HeaderEdits,
    pub(crate) clusters: Clusters,
}

/// How a destination's port, and with it its cluster, is found.
#[derive(Debug, Clone)]
pub(crate) enum Clusters {
    /// The destination has a port, or the service has only one.
    Fixed(ClusterId),
    /// The port the request was sent to.
    ByPort(Arc<[(u16, ClusterId)]>),
    /// There is no such service, port or subset.
    Missing,
}

impl WeightedDestination {
    /// The cluster for a request that was sent to `port`; `None` when the destination does not
    /// exist.
    pub fn cluster(&self, port: u16) -> Option<ClusterId> {
        match &self.clusters {
            Clusters::Fixed(cluster) => Some(*cluster),
            Clusters::ByPort(clusters) => {
                clusters.iter().find(|(number, _)| *number == port).map(|(_, cluster)| *cluster)
            }
            Clusters::Missing => None,
        }
    }
}

/// A redirect; what is `None` stays as it was in the request.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// In place of the whole path.
    pub path: Option<Arc<str>>,
    /// In place of the matched prefix.
    pub prefix: Option<Arc<str>>,
    /// New authority.
    pub authority: Option<Arc<str>>,
    /// New port; `None` keeps the request's unless `default_port` is set.
    pub port: Option<u16>,
    /// The port of the scheme.
    pub default_port: bool,
    /// New scheme.
    pub scheme: Option<Arc<str>>,
}

/// Change of a request before it is forwarded. The query stays.
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// In place of the matched prefix, or of the whole path.
    pub path: Option<Arc<str>>,
    /// New authority.
    pub authority: Option<Arc<str>>,
    /// Expression searched in the path, and its replacement (`${1}` is the first group).
    pub regex: Option<(Box<Regex>, Box<[u8]>)>,
}

/// When and how often a failed request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first one.
    pub attempts: u32,
    /// Limit for one try; `None` is the limit of the whole request.
    pub per_try_timeout_ms: Option<u64>,
    /// Which failures are tried again.
    pub on: RetrySet,
    /// Statuses that are tried again.
    pub statuses: Box<[u16]>,
    /// First back-off in milliseconds.
    pub backoff_ms: u64,
    /// An endpoint that failed is not chosen again while there are others.
    pub avoid_previous_hosts: bool,
}

impl RetryPolicy {
    /// No second try.
    pub fn never() -> Self {
        Self {
            attempts: 0,
            per_try_timeout_ms: None,
            on: RetrySet::default(),
            statuses: Box::default(),
            backoff_ms: 0,
            avoid_previous_hosts: false,
        }
    }
}

/// Classes of failures, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetrySet(u16);

impl RetrySet {
    /// Whether the class is in the set.
    pub const fn has(self, class: RetryOn) -> bool {
        self.0 & Self::bit(class) != 0
    }

    /// Whether no class is.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn bit(class: RetryOn) -> u16 {
        match class {
            RetryOn::ServerError => 1,
            RetryOn::GatewayError => 1 << 1,
            RetryOn::Reset => 1 << 2,
            RetryOn::ResetBeforeRequest => 1 << 3,
            RetryOn::ConnectFailure => 1 << 4,
            RetryOn::Conflict => 1 << 5,
            RetryOn::RefusedStream => 1 << 6,
            RetryOn::GrpcCancelled => 1 << 7,
            RetryOn::GrpcDeadlineExceeded => 1 << 8,
            RetryOn::GrpcInternal => 1 << 9,
            RetryOn::GrpcResourceExhausted => 1 << 10,
            RetryOn::GrpcUnavailable => 1 << 11,
        }
    }
}

impl FromIterator<RetryOn> for RetrySet {
    fn from_iter<T: IntoIterator<Item = RetryOn>>(classes: T) -> Self {
        Self(classes.into_iter().fold(0, |set, class| set | Self::bit(class)))
    }
}

/// A fault injected on purpose. Shares are in parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Delay in milliseconds, and its share.
    pub delay: Option<(u64, u32)>,
    /// HTTP status of the abort, and its share.
    pub abort: Option<(u16, u32)>,
    /// gRPC status of the abort, and its share.
    pub abort_grpc: Option<(u32, u32)>,
}

/// Where a copy of a request is sent.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Where the copy goes.
    pub destination: WeightedDestination,
    /// Share of requests in parts per million.
    pub share_ppm: u32,
}

/// A header field: its name in lower case, its value.
pub type Field = (Box<[u8]>, Box<[u8]>);

/// Changes to header fields, applied in the order remove, set, add. Names are in lower case and
/// never `host` or a pseudo-header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    /// Fields that are replaced, or made when missing.
    pub set: Box<[Field]>,
    /// Fields that are appended.
    pub add: Box<[Field]>,
    /// Names of fields that are removed.
    pub remove: Box<[Box<[u8]>]>,
    /// New authority: a `host` or `:authority` that was set or added.
    pub authority: Option<Box<[u8]>>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
            && self.add.is_empty()
            && self.remove.is_empty()
            && self.authority.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(weights: &[u32]) -> Destinations {
        let destination = |(index, weight): (usize, &u32)| WeightedDestination {
            host: format!("d{index}").into(),
            weight: *weight,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            clusters: Clusters::Missing,
        };
        Destinations::new(weights.iter().enumerate().map(destination).collect())
    }

    #[test]
    fn each_is_chosen_as_its_weight_says() {
        let counts = |weights: &[u32]| {
            let all = destinations(weights);
            let mut counts = vec![0; weights.len()];
            for random in 0..1000 {
                let chosen = all.choose(random).unwrap();
                counts[chosen.host[1..].parse::<usize>().unwrap()] += 1;
            }
            counts
        };
        assert_eq!(counts(&[90, 10]), [900, 100]);
        assert_eq!(counts(&[1, 0, 1]), [500, 0, 500]);
        assert_eq!(counts(&[0]), [1000], "the weight of an only destination is ignored");
        assert!(destinations(&[0, 0]).choose(7).is_none());
        assert!(destinations(&[]).choose(7).is_none());
    }

    #[test]
    fn a_set_has_what_it_was_made_of() {
        let set: RetrySet = [RetryOn::Reset, RetryOn::GrpcUnavailable].into_iter().collect();
        assert!(set.has(RetryOn::Reset) && set.has(RetryOn::GrpcUnavailable));
        assert!(!set.has(RetryOn::ServerError) && !set.is_empty());
        assert!(RetrySet::default().is_empty());
    }
}
