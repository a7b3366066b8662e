//! Names of endpoints, resolved again and again.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use meshcore_snapshot::Resolution;

use super::Control;

/// How often names are resolved. Source: Envoy's default `dns_refresh_rate`.
const EVERY: Duration = Duration::from_secs(5);

/// How long one answer is waited for.
const WITHIN: Duration = Duration::from_secs(5);

/// Keeps the addresses of all names up to date. A name that cannot be resolved keeps the
/// addresses that it had.
pub(super) async fn keep_resolved(control: Arc<Control>) {
    loop {
        let changed = control.shared.changed(); // also one that comes while names are looked up
        let snapshot = control.shared.cell.load();
        let mut hosts = BTreeSet::new();
        for cluster in snapshot.clusters() {
            match &cluster.resolution {
                Resolution::Dns { targets, .. } => {
                    hosts.extend(targets.iter().map(|target| Arc::clone(&target.host)));
                }
                Resolution::Static | Resolution::OriginalDst => {}
            }
        }
        drop(snapshot);
        for host in hosts {
            let looking = tokio::net::lookup_host((&*host, 0));
            if let Ok(Ok(found)) = tokio::time::timeout(WITHIN, looking).await {
                let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                addresses.sort_unstable();
                addresses.dedup();
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
