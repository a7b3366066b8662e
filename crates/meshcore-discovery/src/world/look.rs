//! Where resources are looked for.
//!
//! An answer notes each place that it looked at. Whatever a change puts there or takes away
//! concerns the answer, and nothing else does.

use std::net::IpAddr;

use meshcore_model::{Protocol, Resolution, Resource, Selector, Service};

use super::stored::{Name, Stored};

type Text = Box<str>;

/// A place to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Look {
    /// All resources.
    Everything,
    /// The resource of a name.
    Named(Name),
    /// Services of a host, as it is written.
    Host(Text),
    /// Services with this virtual address.
    Virtual(IpAddr),
    /// Services with a block of virtual addresses.
    Blocks,
    /// Opaque services without an address, which are found by their port.
    Opaque,
    /// Services of a namespace whose selector begins with this label; `None` selects all.
    Selecting(Text, Option<(Text, Text)>),
    /// Services that list an endpoint at this address.
    Listing(IpAddr),
    /// Workloads of a namespace.
    Members(Text),
    /// Workloads of a namespace with a label.
    Labelled(Text, Text, Text),
    /// Workloads at an address.
    At(IpAddr),
    /// Routes of a host, as it is written.
    Route(Text),
    /// Gateways.
    Gateways,
    /// Certificates and keys of gateways of a namespace.
    Credentials(Text),
    /// Routes that are bound to a gateway, `namespace/name`.
    Bound(Text),
    /// Traffic policies of a namespace for a host, as it is written.
    Policy(Text, Text),
    /// Peer authentication of a namespace.
    PeerAuths(Text),
    /// Authorization of a namespace.
    Authorizations(Text),
}

/// All places where a resource is found.
pub(crate) fn of(name: &Name, stored: &Stored) -> Vec<Look> {
    let mut looks = vec![Look::Named(name.clone())];
    if stored.is_withdrawn {
        return looks;
    }
    looks.push(Look::Everything);
    match &*stored.resource {
        Resource::Service(service) => of_service(service, &mut looks),
        Resource::Workload(workload) => {
            let namespace = || Text::from(&*workload.namespace);
            looks.push(Look::Members(namespace()));
            let labels = workload.labels.iter();
            looks.extend(labels.map(|(key, value)| {
                Look::Labelled(namespace(), key.as_str().into(), value.as_str().into())
            }));
            looks.extend(ip(&workload.address).map(Look::At));
        }
        Resource::Route(route) => {
            looks.extend(route.hosts.iter().map(|host| Look::Route(host.as_str().into())));
            looks.extend(route.gateways.iter().map(|name| Look::Bound(name.as_str().into())));
        }
        Resource::TrafficPolicy(policy) => {
            let namespace = policy.origin.namespace.as_str().into();
            looks.push(Look::Policy(namespace, policy.host.as_str().into()));
        }
        Resource::PeerAuth(auth) => {
            looks.push(Look::PeerAuths(auth.origin.namespace.as_str().into()));
        }
        Resource::Authorization(policy) => {
            looks.push(Look::Authorizations(policy.origin.namespace.as_str().into()));
        }
        Resource::Gateway(_) => looks.push(Look::Gateways),
        Resource::Credential(credential) => {
            looks.push(Look::Credentials(credential.origin.namespace.as_str().into()));
        }
        Resource::Settings(_)
        | Resource::WorkloadGroup(_)
        | Resource::Trust(_)
        | Resource::Found(_) => {}
    }
    looks
}

fn of_service(service: &Service, looks: &mut Vec<Look>) {
    looks.push(Look::Host(service.host.as_str().into()));
    for address in &service.addresses {
        match ip(address) {
            Some(address) => looks.push(Look::Virtual(address)),
            None => looks.push(Look::Blocks),
        }
    }
    let is_anywhere = match service.resolution {
        Resolution::None | Resolution::Dns | Resolution::DnsRoundRobin => true,
        Resolution::Static => false,
    };
    let is_opaque = |protocol| matches!(protocol, Protocol::Tcp | Protocol::Tls);
    let has_opaque = service.ports.iter().any(|port| is_opaque(port.protocol));
    if service.addresses.is_empty() && is_anywhere && has_opaque {
        looks.push(Look::Opaque);
    }
    if let Some(selector) = &service.selector {
        let namespace = service.namespace.as_str().into();
        looks.push(Look::Selecting(namespace, first_label(selector)));
    }
    let listed = service.endpoints.iter().filter_map(|workload| ip(&workload.address));
    looks.extend(listed.map(Look::Listing));
}

fn first_label(selector: &Selector) -> Option<(Text, Text)> {
    let (key, value) = selector.0.first_key_value()?;
    Some((key.as_str().into(), value.as_str().into()))
}

/// An address written as an IP, as snapshots read it.
pub(crate) fn ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Whether a block of addresses such as `10.0.0.0/8` has this one.
pub(crate) fn contains(block: &str, address: IpAddr) -> bool {
    let Some((network, length)) = block.split_once('/') else { return ip(block) == Some(address) };
    let (Some(network), Ok(length)) = (ip(network), length.parse::<u32>()) else { return false };
    let (one, other, full) = match (network, address.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let differing: u128 = one ^ other;
    let Some(free) = u32::checked_sub(full, length) else { return false };
    differing.checked_shr(free).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_their_addresses() {
        for (block, address, holds) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "fd12::1", true),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("nonsense", "10.0.0.0", false),
        ] {
            assert_eq!(contains(block, address.parse().unwrap()), holds, "{block} {address}");
        }
    }
}
