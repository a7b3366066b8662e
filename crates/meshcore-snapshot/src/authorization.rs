//! Authorization, compiled. The rules are evaluated in `meshcore-policy`.

use std::sync::Arc;

use meshcore_model::{ConditionKey, Origin};

use crate::cidr::Cidr;
use crate::map::Set;
use crate::text::TextSet;

/// All rules that hold for a workload.
#[derive(Debug, Default)]
pub struct AuthorizationTable {
    /// What is enforced.
    pub enforced: CompiledAuthorization,
    /// What is only counted (`istio.io/dry-run`); `None` when there is no such policy.
    pub dry_run: Option<CompiledAuthorization>,
}

/// Rules, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct CompiledAuthorization {
    /// A match denies, before anything may allow.
    pub deny: Vec<CompiledRule>,
    /// A match allows.
    pub allow: Vec<CompiledRule>,
    /// There is an ALLOW policy, even if it has no rules: what none allows is denied.
    pub has_allow: bool,
    /// The documents of the ALLOW policies, for the reason of a denial.
    pub allow_policies: Vec<Arc<Origin>>,
}

/// One rule.
#[derive(Debug)]
pub struct CompiledRule {
    /// The document, at the line of the rule.
    pub origin: Arc<Origin>,
    /// Position in the document, counted from 0.
    pub index: u32,
    /// It looks at HTTP somewhere.
    pub needs_http: bool,
    /// Any of these; empty holds.
    pub from: Box<[CompiledSource]>,
    /// Any of these; empty holds.
    pub to: Box<[CompiledOperation]>,
    /// All of these.
    pub when: Box<[CompiledCondition]>,
}

/// `any` must match (unless `None`), `none` must not.
#[derive(Debug, Clone)]
pub struct Test<T> {
    /// Must match.
    pub any: Option<T>,
    /// Must not match.
    pub none: Option<T>,
}

impl<T> Default for Test<T> {
    fn default() -> Self {
        Self { any: None, none: None }
    }
}

impl<T> Test<T> {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.any.is_none() && self.none.is_none()
    }
}

/// Who calls; all fields must hold.
#[derive(Debug, Default)]
pub struct CompiledSource {
    /// Principal, with trust domain aliases written out.
    pub principals: Test<TextSet>,
    /// Principal of a token.
    pub request_principals: Test<TextSet>,
    /// Namespace of the identity.
    pub namespaces: Test<TextSet>,
    /// `namespace/name` of the identity's service account.
    pub service_accounts: Test<ServiceAccounts>,
    /// Address of the peer.
    pub ip_blocks: Test<Box<[Cidr]>>,
    /// Address of the client.
    pub remote_ip_blocks: Test<Box<[Cidr]>>,
}

/// Service accounts, compared literally.
#[derive(Debug, Clone, Default)]
pub struct ServiceAccounts(pub(crate) Set<(Box<str>, Box<str>)>);

impl ServiceAccounts {
    /// Whether the account is one of these.
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        self.0.contains(&Account(namespace, name))
    }
}

#[derive(Hash)]
struct Account<'a>(&'a str, &'a str);

impl hashbrown::Equivalent<(Box<str>, Box<str>)> for Account<'_> {
    fn equivalent(&self, key: &(Box<str>, Box<str>)) -> bool {
        self.0 == &*key.0 && self.1 == &*key.1
    }
}

/// What is called; all fields must hold.
#[derive(Debug, Default)]
pub struct CompiledOperation {
    /// Authority in lower case.
    pub hosts: Test<TextSet>,
    /// Port of the workload.
    pub ports: Test<Box<[u16]>>,
    /// Method.
    pub methods: Test<TextSet>,
    /// Path.
    pub paths: Test<TextSet>,
}

/// A further condition.
#[derive(Debug)]
pub struct CompiledCondition {
    /// The attribute.
    pub key: ConditionKey,
    /// What its value must be.
    pub test: ConditionTest,
}

/// What the value of an attribute must be.
#[derive(Debug)]
pub enum ConditionTest {
    /// Text.
    Text(Test<TextSet>),
    /// Addresses.
    Blocks(Test<Box<[Cidr]>>),
    /// Ports.
    Ports(Test<Box<[u16]>>),
}
