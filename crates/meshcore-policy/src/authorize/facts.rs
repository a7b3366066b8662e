//! What is known of a request, held against a rule.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use meshcore_model::{AuthorizationAction as Action, ConditionKey};
use meshcore_snapshot::{Authority, Cidr, CompiledCondition, CompiledOperation, CompiledRule};
use meshcore_snapshot::{CompiledSource, ConditionTest, Test, TextSet};

use crate::request::{Peer, Request};

use super::trail::Unmet;

/// What is known of a request; of a TCP connection, `request` is `None`.
pub(super) struct Facts<'r, R> {
    request: Option<&'r R>,
    peer: &'r Peer<'r>,
    authority: OnceCell<Option<Hosts<'r>>>,
    path: OnceCell<Paths<'r>>,
}

/// The forms of an authority that rules may name, in lower case.
struct Hosts<'r> {
    received: Cow<'r, [u8]>,
    parsed: Authority<'r>,
    /// Host and port in their one spelling: `A.:080` is `a:80`.
    canonical: Vec<u8>,
}

/// The path, and what it is without parameters if it has any.
struct Paths<'r> {
    whole: &'r [u8],
    bare: Option<Vec<u8>>,
}

impl<'r, R: Request> Facts<'r, R> {
    pub(super) fn new(request: Option<&'r R>, peer: &'r Peer<'r>) -> Self {
        Self { request, peer, authority: OnceCell::new(), path: OnceCell::new() }
    }

    /// Whether a rule matches, or the first thing it misses.
    pub(super) fn meet(&self, rule: &CompiledRule, action: Action) -> Result<(), Unmet> {
        let deny = action == Action::Deny;
        if self.request.is_none() && rule.needs_http && !deny {
            return Err(Unmet::NeedsHttp);
        }
        any(&rule.from, Unmet::From, |source| self.source(source))?;
        any(&rule.to, Unmet::To, |operation| self.operation(operation, deny))?;
        for (index, condition) in rule.when.iter().enumerate() {
            if !self.condition(condition, deny) {
                return Err(Unmet::When(index));
            }
        }
        Ok(())
    }

    /// Whether the peer is this source, or the field that says otherwise.
    fn source(&self, source: &CompiledSource) -> Result<(), &'static str> {
        let identity = self.peer.identity;
        let principal = identity.map(|identity| identity.principal().as_bytes());
        check("principals", text(&source.principals, principal))?;
        // There is no token: a request principal never is one of some, and is not in any.
        let token = self.request.is_none() || text(&source.request_principals, None);
        check("requestPrincipals", token)?;
        let namespace = identity.map(|identity| identity.namespace().as_bytes());
        check("namespaces", text(&source.namespaces, namespace))?;
        let accounts = test(&source.service_accounts, |accounts| {
            identity.is_some_and(|it| accounts.has(it.namespace(), it.service_account()))
        });
        check("serviceAccounts", accounts)?;
        check("ipBlocks", blocks(&source.ip_blocks, self.peer.address))?;
        check("remoteIpBlocks", blocks(&source.remote_ip_blocks, self.peer.remote))
    }

    /// Whether the request is this operation, or the field that says otherwise.
    fn operation(&self, operation: &CompiledOperation, deny: bool) -> Result<(), &'static str> {
        let port = self.peer.destination.port();
        check("ports", test(&operation.ports, |ports| ports.contains(&port)))?;
        let Some(request) = self.request else { return Ok(()) };
        check("methods", text(&operation.methods, Some(request.method())))?;
        check("hosts", operation.hosts.is_empty() || self.host(&operation.hosts, deny))?;
        check("paths", operation.paths.is_empty() || self.path(&operation.paths, deny))
    }

    /// Whether any form of the authority is named. One that cannot be read decides for denying.
    fn host(&self, wanted: &Test<TextSet>, deny: bool) -> bool {
        let Some(hosts) = self.hosts() else { return deny };
        test(wanted, |set| hosts.are_in(set))
    }

    fn hosts(&self) -> Option<&Hosts<'r>> {
        let read = || Hosts::read(self.request?.authority());
        self.authority.get_or_init(read).as_ref()
    }

    /// Whether the authority is named as a header, with its port. For a DENY rule, any form of
    /// it is enough.
    fn authority_header(&self, wanted: &Test<TextSet>, deny: bool) -> bool {
        let Some(hosts) = self.hosts() else { return deny };
        readings(wanted, deny, |set| set.is_match(&hosts.received), |set| hosts.are_in(set))
    }

    /// Whether the path is named. A path with parameters (`/a;b/c`) is one thing to some servers
    /// and another to others: it counts as both, so that neither reading passes a DENY.
    fn path(&self, wanted: &Test<TextSet>, deny: bool) -> bool {
        let paths = self.path.get_or_init(|| {
            let whole = self.request.map(R::path).unwrap_or_default();
            Paths { whole, bare: whole.contains(&b';').then(|| without_parameters(whole)) }
        });
        if paths.whole.is_empty() {
            return deny;
        }
        let whole = text(wanted, Some(paths.whole));
        match &paths.bare {
            None => whole,
            Some(bare) if deny => whole || text(wanted, Some(bare)),
            Some(bare) => whole && text(wanted, Some(bare)),
        }
    }

    fn condition(&self, condition: &CompiledCondition, deny: bool) -> bool {
        match &condition.test {
            ConditionTest::Text(wanted) => self.text_condition(&condition.key, wanted, deny),
            ConditionTest::Blocks(wanted) => match self.address(&condition.key) {
                Some(address) => blocks(wanted, address),
                None => deny,
            },
            ConditionTest::Ports(wanted) => {
                test(wanted, |ports| ports.contains(&self.peer.destination.port()))
            }
        }
    }

    fn address(&self, key: &ConditionKey) -> Option<IpAddr> {
        match key {
            ConditionKey::SourceIp => Some(self.peer.address),
            ConditionKey::RemoteIp => Some(self.peer.remote),
            ConditionKey::DestinationIp => Some(self.peer.destination.ip()),
            ConditionKey::RequestHeader(_)
            | ConditionKey::SourceNamespace
            | ConditionKey::SourcePrincipal
            | ConditionKey::SourceServiceAccount
            | ConditionKey::RequestPrincipal
            | ConditionKey::RequestAudiences
            | ConditionKey::RequestPresenter
            | ConditionKey::RequestClaim(_)
            | ConditionKey::DestinationPort
            | ConditionKey::ConnectionSni => None,
        }
    }

    fn text_condition(&self, key: &ConditionKey, wanted: &Test<TextSet>, deny: bool) -> bool {
        let identity = self.peer.identity;
        match key {
            ConditionKey::RequestHeader(name) => match (self.request, &**name) {
                (None, _) => deny,
                (Some(_), ":authority" | "host") => self.authority_header(wanted, deny),
                (Some(_), ":path") => self.path(wanted, deny),
                (Some(request), ":method") => text(wanted, Some(request.method())),
                (Some(request), ":scheme") => text(wanted, Some(request.scheme())),
                (Some(request), name) => header(request, name, wanted, deny),
            },
            ConditionKey::SourceNamespace => {
                text(wanted, identity.map(|it| it.namespace().as_bytes()))
            }
            ConditionKey::SourcePrincipal => {
                text(wanted, identity.map(|it| it.principal().as_bytes()))
            }
            ConditionKey::SourceServiceAccount => {
                let account = identity.map(|it| [it.namespace(), it.service_account()].join("/"));
                text(wanted, account.as_deref().map(str::as_bytes))
            }
            ConditionKey::ConnectionSni => text(wanted, self.peer.sni.map(str::as_bytes)),
            // There is no token. On a TCP connection it is not looked at.
            ConditionKey::RequestPrincipal
            | ConditionKey::RequestAudiences
            | ConditionKey::RequestPresenter
            | ConditionKey::RequestClaim(_) => self.request.is_none() || text(wanted, None),
            ConditionKey::SourceIp
            | ConditionKey::RemoteIp
            | ConditionKey::DestinationIp
            | ConditionKey::DestinationPort => deny,
        }
    }
}

impl<'r> Hosts<'r> {
    fn read(received: &'r [u8]) -> Option<Self> {
        let parsed = Authority::parse(received)?;
        let received = if received.iter().any(u8::is_ascii_uppercase) {
            Cow::Owned(received.to_ascii_lowercase())
        } else {
            Cow::Borrowed(received)
        };
        let canonical = parsed.to_string().into_bytes();
        Some(Self { received, parsed, canonical })
    }

    /// Whether one form of the authority is in the set: the host alone, and with its port as it
    /// was written and as it is.
    fn are_in(&self, set: &TextSet) -> bool {
        set.is_match(self.parsed.host())
            || set.is_match(&self.received)
            || set.is_match(&self.canonical)
    }
}

/// Whether one of the entries holds, or there is none; else where the last one failed.
fn any<T>(
    entries: &[T],
    unmet: fn(usize, &'static str) -> Unmet,
    holds: impl Fn(&T) -> Result<(), &'static str>,
) -> Result<(), Unmet> {
    let mut missed = Ok(());
    for (index, entry) in entries.iter().enumerate() {
        match holds(entry) {
            Ok(()) => return Ok(()),
            Err(field) => missed = Err(unmet(index, field)),
        }
    }
    missed
}

fn check(field: &'static str, holds: bool) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(field) }
}

fn test<T>(wanted: &Test<T>, mut matches: impl FnMut(&T) -> bool) -> bool {
    wanted.any.as_ref().is_none_or(&mut matches) && !wanted.none.as_ref().is_some_and(matches)
}

/// A value that is missing matches nothing.
fn text(wanted: &Test<TextSet>, value: Option<&[u8]>) -> bool {
    test(wanted, |set| value.is_some_and(|value| set.is_match(value)))
}

fn blocks(wanted: &Test<Box<[Cidr]>>, address: IpAddr) -> bool {
    test(wanted, |blocks| blocks.iter().any(|block| block.contains(address)))
}

/// Tests a header field that may have several values.
///
/// For a DENY rule, one reading that matches is enough: a value, a part of it between commas, or
/// all values joined. For an ALLOW rule, every value must match, and no reading may be among
/// those that must not.
fn header<R: Request>(request: &R, name: &str, wanted: &Test<TextSet>, deny: bool) -> bool {
    let mut values: Vec<&[u8]> = Vec::new();
    request.for_each_value(name, |value| values.push(value));
    let every =
        |set: &TextSet| !values.is_empty() && values.iter().all(|value| set.is_match(value));
    let some = |set: &TextSet| {
        values.iter().any(|value| set.is_match(value) || parts(value).any(|one| set.is_match(one)))
            || values.len() > 1 && set.is_match(&values.join(&b','))
    };
    readings(wanted, deny, every, some)
}

/// Tests a value that can be read in several ways, so that no reading passes a DENY or is let
/// in by an ALLOW: `every` and `some` tell whether all readings, or one, are in a set.
fn readings(
    wanted: &Test<TextSet>,
    deny: bool,
    every: impl Fn(&TextSet) -> bool,
    some: impl Fn(&TextSet) -> bool,
) -> bool {
    let any = wanted.any.as_ref().is_none_or(|set| if deny { some(set) } else { every(set) });
    let none = wanted.none.as_ref().is_none_or(|set| if deny { !every(set) } else { !some(set) });
    any && none
}

/// What stands between commas, when there is one.
fn parts(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let has_comma = value.contains(&b',');
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(move |_| has_comma)
}

/// The path without what follows a `;` in each segment. Source: Servlet 6.0 section 3.5.2.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut bare = Vec::with_capacity(path.len());
    let mut skips = false;
    for byte in path {
        skips = match byte {
            b';' => true,
            b'/' => false,
            _ => skips,
        };
        if !skips {
            bare.push(*byte);
        }
    }
    bare
}
