//! The part of a mesh that was asked for.
//!
//! A node that asks for hosts one by one also gets those that their routes lead to, but not the
//! rules for calling these themselves. Nobody may find such a host by its name, before it was
//! asked for by that name; and nothing may be found under a wildcard, because the name may be that
//! of a host of its own.

use std::net::IpAddr;
use std::sync::Arc;

use crate::map::{Map, Set};
use crate::outbound::{Outbound, TcpTable, VirtualHost, suffixes};

/// What was asked for, of all that is known.
pub(super) fn narrow(whole: Outbound, asked: &[String]) -> Outbound {
    let addresses: Set<IpAddr> = asked.iter().filter_map(|name| super::ip(name)).collect();
    let mut part = Outbound::default();
    let mut complete: Set<*const VirtualHost> = Set::default();
    for name in asked {
        if let Some(vhost) = whole.exact.get(name.as_bytes()) {
            complete.insert(Arc::as_ptr(vhost));
        } else if let Some(vhost) = wildcard_of(&whole, name.as_bytes()) {
            part.exact.insert(name.as_bytes().into(), Arc::clone(vhost));
            if part.wild.iter().all(|known| !Arc::ptr_eq(known, vhost)) {
                part.wild.push(Arc::clone(vhost));
            }
        }
    }
    for (address, here) in whole.addresses {
        if addresses.contains(&address) {
            complete.extend(here.iter().map(Arc::as_ptr));
            part.addresses.insert(address, here);
        }
    }
    let of_complete = whole.exact.into_iter();
    part.exact.extend(of_complete.filter(|(_, vhost)| complete.contains(&Arc::as_ptr(vhost))));
    part.tcp = narrow_tcp(whole.tcp, asked, &addresses, &part.exact);
    part
}

/// The wildcard that a name is under.
fn wildcard_of<'a>(whole: &'a Outbound, name: &[u8]) -> Option<&'a Arc<VirtualHost>> {
    suffixes(name).find_map(|suffix| whole.suffixes.get(suffix)).or(whole.any.as_ref())
}

fn narrow_tcp(
    whole: TcpTable,
    asked: &[String],
    addresses: &Set<IpAddr>,
    names: &Map<Box<[u8]>, Arc<VirtualHost>>,
) -> TcpTable {
    let mut part = TcpTable { services: whole.services, ..TcpTable::default() };
    for name in asked {
        for suffix in suffixes(name.as_bytes()) {
            for ((end, port), position) in &whole.suffixes {
                if **end == *suffix {
                    part.hosts.entry((name.as_bytes().into(), *port)).or_insert(*position);
                }
            }
        }
    }
    let of_asked = whole.hosts.into_iter().filter(|((host, _), _)| names.contains_key(host));
    part.hosts.extend(of_asked);
    let of_asked = whole.addresses.into_iter().filter(|((one, _), _)| addresses.contains(one));
    part.addresses.extend(of_asked);
    for address in addresses {
        let blocks = whole.blocks.iter().filter(|(block, _, _)| block.contains(*address));
        let blocks = blocks.map(|(_, port, position)| (port, position));
        for (port, position) in blocks.chain(&whole.ports) {
            part.addresses.entry((*address, *port)).or_insert(*position);
        }
    }
    part
}
