//! Names of endpoints, resolved again and again.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use meshcore_snapshot::{DnsTarget, Resolution, Snapshot};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::Control;
use crate::route::LOOK_UP_WITHIN;

/// How often names are resolved. Source: Envoy's default `dns_refresh_rate`.
const EVERY: Duration = Duration::from_secs(5);

/// How long a new snapshot waits for the first answers about its names. Source: long enough for
/// a resolver that answers, short enough for a change to go on without one that does not.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// Names that are looked up at the same time.
const AT_ONCE: usize = 8;

/// Looks up the names of a new snapshot that have no addresses yet, so that its first request
/// finds some. Names without an answer in time are left to [`keep_resolved`].
pub(crate) fn with_first_answers(mut snapshot: Snapshot) -> Snapshot {
    let hosts = hosts(&snapshot, |target| target.addresses.is_empty());
    let deadline = Instant::now().checked_add(FIRST_WITHIN);
    let (answer, answers) = mpsc::channel();
    let threads = hosts.len().min(AT_ONCE);
    let queue = Arc::new(Mutex::new(hosts));
    for _thread in 0..threads {
        let (queue, answer) = (Arc::clone(&queue), answer.clone());
        let look_up = move || {
            while deadline.is_some_and(|at| Instant::now() < at) {
                let Some(host) = queue.lock().pop_first() else { return };
                let found = (&*host, 0).to_socket_addrs();
                let addresses = found.map(distinct).unwrap_or_default();
                let _late = answer.send((host, addresses)); // nobody waits any more
            }
        };
        // Without a thread the names are looked up by others, or later.
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

/// The addresses in the order of the resolver, which is its advice on which to take first.
fn distinct(found: impl Iterator<Item = SocketAddr>) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    found.map(|address| address.ip()).filter(|address| seen.insert(*address)).collect()
}

/// Keeps the addresses of all names up to date. A name that cannot be resolved keeps the
/// addresses that it had.
pub(super) async fn keep_resolved(control: Arc<Control>) {
    loop {
        let changed = control.shared.changed(); // also one that comes while names are looked up
        let hosts = hosts(&control.shared.cell.load(), |_all| true);
        let found = |host: Arc<str>, addresses: Vec<IpAddr>| {
            if !addresses.is_empty() && is_news(&control.shared.cell.load(), &host, &addresses) {
                control.shared.resolved(&host, &addresses);
            }
        };
        look_up_all(hosts, look_up, found).await;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = changed => {}
        }
    }
}

/// Looks names up, some at the same time, so that dead ones do not hold up the others.
async fn look_up_all<F: Future<Output = Vec<IpAddr>> + 'static>(
    hosts: BTreeSet<Arc<str>>,
    look_up: impl Fn(Arc<str>) -> F,
    mut found: impl FnMut(Arc<str>, Vec<IpAddr>),
) {
    let mut waiting = hosts.into_iter();
    let mut looking = JoinSet::new();
    loop {
        for host in waiting.by_ref().take(AT_ONCE.saturating_sub(looking.len())) {
            let addresses = look_up(Arc::clone(&host));
            looking.spawn_local(async move { (host, addresses.await) });
        }
        match looking.join_next().await {
            Some(Ok((host, addresses))) => found(host, addresses),
            Some(Err(_panicked)) => {}
            None => return,
        }
    }
}

async fn look_up(host: Arc<str>) -> Vec<IpAddr> {
    let looking = tokio::net::lookup_host((&*host, 0));
    match tokio::time::timeout(LOOK_UP_WITHIN, looking).await {
        Ok(Ok(found)) => distinct(found),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Whether a name has other addresses than before. Resolvers turn the order of the same ones
/// around with each answer, which is none.
fn is_news(snapshot: &Snapshot, host: &str, addresses: &[IpAddr]) -> bool {
    let is_other =
        |target: &DnsTarget| &*target.host == host && !are_same(&target.addresses, addresses);
    !hosts(snapshot, is_other).is_empty()
}

fn are_same(some: &[IpAddr], others: &[IpAddr]) -> bool {
    some.iter().collect::<BTreeSet<_>>() == others.iter().collect::<BTreeSet<_>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_resolver_is_kept_and_is_no_news() {
        let [first, second] = [IpAddr::from([10, 0, 0, 9]), IpAddr::from([10, 0, 0, 1])];
        let found = [first, second, first].map(|ip| SocketAddr::new(ip, 0));
        assert_eq!(distinct(found.into_iter()), [first, second]);
        assert!(are_same(&[first, second], &[second, first]));
        assert!(!are_same(&[first], &[second, first]));
    }

    #[tokio::test]
    async fn dead_names_do_not_hold_up_the_others() {
        let hosts: BTreeSet<Arc<str>> = (0..40).map(|at| Arc::from(format!("{at:02}"))).collect();
        let mut answers = 0;
        let began = Instant::now();
        let look_up = |host: Arc<str>| async move {
            let dead = host.parse::<u32>().unwrap() < 7;
            tokio::time::sleep(Duration::from_millis(if dead { 500 } else { 1 })).await;
            vec![IpAddr::from([10, 0, 0, 1])]
        };
        let all = look_up_all(hosts, look_up, |_host, _addresses| answers += 1);
        tokio::task::LocalSet::new().run_until(all).await;
        assert_eq!(answers, 40);
        assert!(began.elapsed() < Duration::from_secs(2), "one after the other takes 3.5 s");
    }
}
