//! The resolvers of this host: `/etc/resolv.conf`, read again when it changes.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Port of DNS.
const PORT: u16 = 53;

/// Resolvers that are asked at most. Source: `MAXNS` of resolver(3).
const MAX_SERVERS: usize = 3;

/// Search domains at most. Source: glibc before 2.26 had 6; Kubernetes allows 32.
const MAX_SEARCH: usize = 32;

/// How often it is looked whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Whom to ask, and what programs put behind short names.
#[derive(Debug)]
pub(super) struct Resolvers {
    own: Vec<SocketAddr>,
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    looked: Option<Instant>,
    modified: Option<SystemTime>,
}

impl Resolvers {
    /// Those of this host but for our `own` addresses.
    pub(super) fn new(own: Vec<SocketAddr>) -> Self {
        let mut resolvers =
            Self { own, servers: Vec::new(), search: Vec::new(), looked: None, modified: None };
        resolvers.look();
        resolvers
    }

    /// Whom to ask, in order.
    pub(super) fn servers(&mut self) -> Vec<SocketAddr> {
        self.look();
        self.servers.clone()
    }

    /// A name without the search domain at its end; `None` when it has none.
    pub(super) fn without_search_domain<'n>(&mut self, name: &'n str) -> Option<&'n str> {
        self.look();
        let strip = |domain: &String| name.strip_suffix(domain.as_str())?.strip_suffix('.');
        self.search.iter().find_map(strip)
    }

    fn look(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let path = Path::new(RESOLV_CONF);
        let modified = std::fs::metadata(path).and_then(|file| file.modified()).ok();
        if modified == self.modified && modified.is_some() {
            return;
        }
        if let Ok(text) = std::fs::read(path) {
            self.modified = modified;
            self.read(&String::from_utf8_lossy(&text));
        }
    }

    fn read(&mut self, text: &str) {
        self.servers.clear();
        self.search.clear();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(server);
                    let server = server.filter(|server| !self.own.contains(server));
                    self.servers.extend(server);
                }
                Some("search" | "domain") => {
                    let domain = |word: &str| word.trim_end_matches('.').to_ascii_lowercase();
                    self.search = words.map(domain).filter(|domain| !domain.is_empty()).collect();
                }
                Some(_) | None => {}
            }
        }
        self.servers.truncate(MAX_SERVERS);
        self.search.truncate(MAX_SEARCH);
    }
}

/// The address of a resolver, which may be of one interface: `fe80::1%eth0`.
fn server(word: &str) -> Option<SocketAddr> {
    let (address, interface) = word.split_once('%').unwrap_or((word, ""));
    match address.parse().ok()? {
        IpAddr::V4(address) => Some((address, PORT).into()),
        IpAddr::V6(address) => {
            let scope = index_of(interface)?;
            Some(SocketAddrV6::new(address, PORT, 0, scope).into())
        }
    }
}

fn index_of(interface: &str) -> Option<u32> {
    if interface.is_empty() || interface.contains('/') {
        return interface.is_empty().then_some(0);
    }
    let said = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"));
    interface.parse().ok().or_else(|| said.ok()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, own: &[&str]) -> Resolvers {
        let mut resolvers = Resolvers::new(own.iter().map(|own| own.parse().unwrap()).collect());
        resolvers.read(text);
        resolvers
    }

    #[test]
    fn servers_are_read_in_order() {
        let text = "# a comment\nnameserver 10.0.0.1\nnameserver  fd00::53\nnameserver x\n\
                    options ndots:5\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
        let expected = ["10.0.0.1:53", "[fd00::53]:53", "10.0.0.2:53"];
        assert_eq!(read(text, &[]).servers, expected.map(|one| one.parse().unwrap()));
    }

    #[test]
    fn it_never_asks_itself() {
        let text = "nameserver 127.0.0.1\nnameserver 10.0.0.1\n";
        assert_eq!(read(text, &["127.0.0.1:53"]).servers, ["10.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn the_last_search_list_counts() {
        let mut resolvers = read("domain old.example\nsearch A.example. b.example\n", &[]);
        assert_eq!(resolvers.without_search_domain("host.a.example"), Some("host"));
        assert_eq!(resolvers.without_search_domain("x.y.b.example"), Some("x.y"));
        assert_eq!(resolvers.without_search_domain("host.old.example"), None);
        assert_eq!(resolvers.without_search_domain("xa.example"), None);
    }
}
