//! The authorization of this node.

use std::sync::Arc;

use meshcore_model::{Authorization, AuthorizationAction, AuthorizationRule, Condition};
use meshcore_model::{ConditionKey, Matchers, Mesh, Node, Operation, Origin, ServiceAccount};
use meshcore_model::{Settings, Source, StringMatch};

use crate::authorization::{AuthorizationTable, CompiledAuthorization, CompiledCondition};
use crate::authorization::{CompiledOperation, CompiledRule, CompiledSource, ConditionTest};
use crate::authorization::{ServiceAccounts, Test};
use crate::cidr::Cidr;
use crate::rejected::{Reason, Rejected};
use crate::text::{Text, TextSet};

use super::headers;
use super::tcp::blocks;

/// A field and what is wrong with it.
type Wrong = (&'static str, Reason);

/// Compiles the policies of the root namespace and of the node's that select the node.
pub(super) fn build(mesh: &Mesh, node: &Node) -> Result<AuthorizationTable, Rejected> {
    let mut table = AuthorizationTable::default();
    for policy in &mesh.authorizations {
        let namespace = &policy.origin.namespace;
        let in_scope = *namespace == mesh.settings.root_namespace || *namespace == node.namespace;
        if in_scope && policy.selector.selects(&node.labels) {
            let part = if policy.dry_run {
                table.dry_run.get_or_insert_default()
            } else {
                &mut table.enforced
            };
            add(part, policy, &mesh.settings)?;
        }
    }
    Ok(table)
}

fn add(
    part: &mut CompiledAuthorization,
    policy: &Authorization,
    settings: &Settings,
) -> Result<(), Rejected> {
    let rules = match policy.action {
        AuthorizationAction::Allow => {
            part.has_allow = true;
            part.allow_policies.push(Arc::new(policy.origin.clone()));
            &mut part.allow
        }
        AuthorizationAction::Deny => &mut part.deny,
    };
    for (wanted, index) in policy.rules.iter().zip(0_u32..) {
        let rule = Compiler { origin: &policy.origin, settings }.rule(wanted, index);
        rules.push(rule.map_err(|(field, reason)| {
            Rejected::new(&policy.origin, format!("rules[{index}].{field}"), reason)
        })?);
    }
    Ok(())
}

struct Compiler<'a> {
    origin: &'a Origin,
    settings: &'a Settings,
}

impl Compiler<'_> {
    fn rule(&self, wanted: &AuthorizationRule, index: u32) -> Result<CompiledRule, Wrong> {
        let from: Box<[_]> =
            wanted.from.iter().map(|source| self.source(source)).collect::<Result<_, _>>()?;
        let to: Box<[_]> = wanted.to.iter().map(operation).collect::<Result<_, _>>()?;
        let when: Box<[_]> =
            wanted.when.iter().map(|one| self.condition(one)).collect::<Result<_, _>>()?;
        let needs_http = from.iter().any(|source| !source.request_principals.is_empty())
            || to.iter().any(CompiledOperation::needs_http)
            || when.iter().any(CompiledCondition::needs_http);
        let line = if wanted.line == 0 { self.origin.line } else { wanted.line };
        Ok(CompiledRule {
            origin: Arc::new(self.origin.at(line)),
            index,
            needs_http,
            from,
            to,
            when,
        })
    }

    fn source(&self, wanted: &Source) -> Result<CompiledSource, Wrong> {
        let accounts = |all: &[ServiceAccount]| -> Result<ServiceAccounts, Reason> {
            let pair =
                |one: &ServiceAccount| (one.namespace.as_str().into(), one.name.as_str().into());
            Ok(ServiceAccounts(all.iter().map(pair).collect()))
        };
        Ok(CompiledSource {
            principals: self.principals(&wanted.principals).map_err(at("from.principals"))?,
            request_principals: texts(&wanted.request_principals, false)
                .map_err(at("from.request_principals"))?,
            namespaces: texts(&wanted.namespaces, false).map_err(at("from.namespaces"))?,
            service_accounts: test(&wanted.service_accounts, accounts)
                .map_err(at("from.service_accounts"))?,
            ip_blocks: test(&wanted.ip_blocks, blocks).map_err(at("from.ip_blocks"))?,
            remote_ip_blocks: test(&wanted.remote_ip_blocks, blocks)
                .map_err(at("from.remote_ip_blocks"))?,
        })
    }

    /// Principals, each in all trust domains that mean the same.
    fn principals(&self, wanted: &Matchers<StringMatch>) -> Result<Test<TextSet>, Reason> {
        test(wanted, |all| {
            let expanded = all.iter().flat_map(|one| self.aliases(one));
            let compiled = expanded.map(|one| Text::compile(&one, false));
            Ok(TextSet::new(compiled.collect::<Result<Vec<_>, _>>()?))
        })
    }

    /// Source: Istio's `trustdomain.Bundle`: a principal in the mesh's trust domain, or in one
    /// of its aliases, is one in all of them.
    fn aliases(&self, wanted: &StringMatch) -> Vec<StringMatch> {
        let (text, make): (_, fn(String) -> StringMatch) = match wanted {
            StringMatch::Exact(text) => (text, StringMatch::Exact),
            StringMatch::Prefix(text) => (text, StringMatch::Prefix),
            StringMatch::Suffix(_)
            | StringMatch::Regex(_)
            | StringMatch::Present
            | StringMatch::Template(_) => return vec![wanted.clone()],
        };
        let domains = || {
            let aliases = self.settings.trust_domain_aliases.iter();
            std::iter::once(&self.settings.trust_domain).chain(aliases)
        };
        match text.split_once('/') {
            Some((domain, rest)) if domains().any(|known| known == domain) => {
                domains().map(|domain| make(format!("{domain}/{rest}"))).collect()
            }
            Some(_) | None => vec![wanted.clone()],
        }
    }

    fn condition(&self, wanted: &Condition) -> Result<CompiledCondition, Wrong> {
        let values = &wanted.values;
        let test = match &wanted.key {
            ConditionKey::SourceIp | ConditionKey::RemoteIp | ConditionKey::DestinationIp => {
                ConditionTest::Blocks(test(values, blocks_of).map_err(at("when"))?)
            }
            ConditionKey::DestinationPort => {
                ConditionTest::Ports(test(values, ports_of).map_err(at("when"))?)
            }
            ConditionKey::SourcePrincipal => {
                ConditionTest::Text(self.principals(values).map_err(at("when"))?)
            }
            ConditionKey::SourceServiceAccount => {
                let full = test(values, |all| self.accounts(all)).map_err(at("when"))?;
                ConditionTest::Text(full)
            }
            ConditionKey::RequestHeader(name) => {
                let fold = headers::is_authority(name);
                ConditionTest::Text(texts(values, fold).map_err(at("when"))?)
            }
            ConditionKey::SourceNamespace
            | ConditionKey::RequestPrincipal
            | ConditionKey::RequestAudiences
            | ConditionKey::RequestPresenter
            | ConditionKey::RequestClaim(_)
            | ConditionKey::ConnectionSni => {
                ConditionTest::Text(texts(values, false).map_err(at("when"))?)
            }
        };
        Ok(CompiledCondition { key: lower_case(&wanted.key), test })
    }

    /// A service account without a namespace is of the policy's own.
    fn accounts(&self, wanted: &[StringMatch]) -> Result<TextSet, Reason> {
        let full = wanted.iter().map(|one| match one {
            StringMatch::Exact(name) if !name.contains('/') => {
                StringMatch::Exact(format!("{}/{name}", self.origin.namespace))
            }
            StringMatch::Exact(_)
            | StringMatch::Prefix(_)
            | StringMatch::Suffix(_)
            | StringMatch::Regex(_)
            | StringMatch::Present
            | StringMatch::Template(_) => one.clone(),
        });
        let compiled = full.map(|one| Text::compile(&one, false));
        Ok(TextSet::new(compiled.collect::<Result<Vec<_>, _>>()?))
    }
}

impl CompiledOperation {
    fn needs_http(&self) -> bool {
        !(self.hosts.is_empty() && self.methods.is_empty() && self.paths.is_empty())
    }
}

impl CompiledCondition {
    fn needs_http(&self) -> bool {
        match self.key {
            ConditionKey::RequestHeader(_)
            | ConditionKey::RequestPrincipal
            | ConditionKey::RequestAudiences
            | ConditionKey::RequestPresenter
            | ConditionKey::RequestClaim(_) => true,
            ConditionKey::SourceIp
            | ConditionKey::RemoteIp
            | ConditionKey::SourceNamespace
            | ConditionKey::SourcePrincipal
            | ConditionKey::SourceServiceAccount
            | ConditionKey::DestinationIp
            | ConditionKey::DestinationPort
            | ConditionKey::ConnectionSni => false,
        }
    }
}

fn operation(wanted: &Operation) -> Result<CompiledOperation, Wrong> {
    let ports = |all: &[u16]| -> Result<Box<[u16]>, Reason> { Ok(all.into()) };
    Ok(CompiledOperation {
        hosts: texts(&wanted.hosts, true).map_err(at("to.hosts"))?,
        ports: test(&wanted.ports, ports).map_err(at("to.ports"))?,
        methods: texts(&wanted.methods, false).map_err(at("to.methods"))?,
        paths: texts(&wanted.paths, false).map_err(at("to.paths"))?,
    })
}

fn at(field: &'static str) -> impl Fn(Reason) -> Wrong {
    move |reason| (field, reason)
}

fn lower_case(key: &ConditionKey) -> ConditionKey {
    if let ConditionKey::RequestHeader(name) = key {
        return ConditionKey::RequestHeader(name.to_ascii_lowercase());
    }
    key.clone()
}

/// Compiles both lists; one that is empty asks nothing.
fn test<T, C>(
    wanted: &Matchers<T>,
    compile: impl Fn(&[T]) -> Result<C, Reason>,
) -> Result<Test<C>, Reason> {
    let some = |list: &[T]| if list.is_empty() { Ok(None) } else { compile(list).map(Some) };
    Ok(Test { any: some(&wanted.any)?, none: some(&wanted.none)? })
}

fn texts(wanted: &Matchers<StringMatch>, fold: bool) -> Result<Test<TextSet>, Reason> {
    test(wanted, |all| {
        let compiled = all.iter().map(|one| Text::compile(one, fold));
        Ok(TextSet::new(compiled.collect::<Result<Vec<_>, _>>()?))
    })
}

fn blocks_of(wanted: &[StringMatch]) -> Result<Box<[Cidr]>, Reason> {
    let texts: Vec<String> = wanted.iter().map(exact).collect::<Result<_, _>>()?;
    blocks(&texts)
}

fn ports_of(wanted: &[StringMatch]) -> Result<Box<[u16]>, Reason> {
    let port = |one: &StringMatch| {
        let text = exact(one)?;
        text.parse().map_err(|_| format!("{text:?} is not a port"))
    };
    wanted.iter().map(port).collect()
}

fn exact(wanted: &StringMatch) -> Result<String, Reason> {
    match wanted {
        StringMatch::Exact(text) => Ok(text.clone()),
        StringMatch::Prefix(_)
        | StringMatch::Suffix(_)
        | StringMatch::Regex(_)
        | StringMatch::Present
        | StringMatch::Template(_) => {
            Err("this attribute takes whole values only, without `*`".to_owned())
        }
    }
}
