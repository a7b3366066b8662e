//! Names of endpoints, resolved again and again.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use meshcore_snapshot::{DnsTarget, Resolution, Snapshot};

use super::Control;

/// How often names are resolved. Source: Envoy's default `dns_refresh_rate`.
const EVERY: Duration = Duration::from_secs(5);

/// How long one answer is waited for.
const WITHIN: Duration = Duration::from_secs(5);

/// How long a new snapshot waits for the first answers about its names. Source: long enough for
/// a resolver that answers, short enough for a change to go on without one that does not.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// Looks up the names of a new snapshot that have no addresses yet, so that its first request
/// finds some. Names without an answer in time are left to [`keep_resolved`].
pub(crate) fn with_first_answers(mut snapshot: Snapshot) -> Snapshot {
    let hosts = hosts(&snapshot, |target| target.addresses.is_empty());
    let deadline = Instant::now().checked_add(FIRST_WITHIN);
    let (answer, answers) = mpsc::channel();
    for host in &hosts {
        let (host, answer) = (Arc::clone(host), answer.clone());
        let look_up = move || {
            let found = (&*host, 0).to_socket_addrs();
            let addresses = found.map(distinct).unwrap_or_default();
            let _late = answer.send((host, addresses)); // nobody waits any more
        };
        // Without a thread the name is looked up later.
        let _none = std::thread::Builder::new().name("meshcore-names".into()).spawn(look_up);
    }
    drop(answer);
    while let Some(left) = deadline.and_then(|at| at.checked_duration_since(Instant::now())) {
        let Ok((host, addresses)) = answers.recv_timeout(left) else { break };
        if let Some(resolved) = snapshot.with_resolved(&host, &addresses) {
            snapshot = resolved;
        }
    }
    snapshot
}

fn hosts(snapshot: &Snapshot, wanted: impl Fn(&DnsTarget) -> bool) -> BTreeSet<Arc<str>> {
    let mut hosts = BTreeSet::new();
    for cluster in snapshot.clusters() {
        match &cluster.resolution {
            Resolution::Dns { targets, .. } => {
                let wanted = targets.iter().filter(|target| wanted(target));
                hosts.extend(wanted.map(|target| Arc::clone(&target.host)));
            }
            Resolution::Static | Resolution::OriginalDst => {}
        }
    }
    hosts
}

fn distinct(found: impl Iterator<Item = SocketAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Keeps the addresses of all names up to date. A name that cannot be resolved keeps the
/// addresses that it had.
pub(super) async fn keep_resolved(control: Arc<Control>) {
    loop {
        let changed = control.shared.changed(); // also one that comes while names are looked up
        let snapshot = control.shared.cell.load();
        let hosts = hosts(&snapshot, |_all| true);
        drop(snapshot);
        for host in hosts {
            let looking = tokio::net::lookup_host((&*host, 0));
            if let Ok(Ok(found)) = tokio::time::timeout(WITHIN, looking).await {
                let addresses = distinct(found);
                if !addresses.is_empty() {
                    control.shared.resolved(&host, &addresses);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = changed => {}
        }
    }
}
