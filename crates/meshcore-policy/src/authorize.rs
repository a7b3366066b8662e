//! Whether a request or a connection is allowed.
//!
//! DENY rules are tried first, then ALLOW rules. Whatever is missing, said twice or ambiguous
//! counts for denying: a DENY rule takes the reading that matches, an ALLOW rule the one that
//! does not.

mod facts;
mod trail;

use meshcore_model::{AuthorizationAction as Action, Origin};
use meshcore_snapshot::{AuthorizationTable, CompiledAuthorization, CompiledRule};

use crate::request::{NoRequest, Peer, Request};

use facts::Facts;
use trail::{Silent, Trail};
pub use trail::{Step, Unmet};

/// What policy says, and why.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'a> {
    /// Whether the request may go on.
    pub allowed: bool,
    /// The rule that decided, if one did.
    pub by: Option<RuleRef<'a>>,
    /// Why.
    pub why: Why,
    /// What the policies that are only counted would have said; `None` when there is none.
    pub dry_run: Option<DryRun<'a>>,
}

/// What policies that are only counted would have said.
#[derive(Debug, Clone, Copy)]
pub struct DryRun<'a> {
    /// Whether the request would have gone on.
    pub allowed: bool,
    /// The rule that would have decided, if one would.
    pub by: Option<RuleRef<'a>>,
    /// Why.
    pub why: Why,
}

/// Why policy says what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no ALLOW policy, and no DENY rule matched.
    NoPolicy,
    /// A DENY rule matched.
    DenyRule,
    /// An ALLOW rule matched.
    AllowRule,
    /// There is an ALLOW policy, and none of its rules matched.
    NoAllowRule,
}

/// A rule of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleRef<'a> {
    /// The document, at the line of the rule.
    pub origin: &'a Origin,
    /// Position in the document, counted from 0.
    pub index: u32,
}

impl RuleRef<'_> {
    /// Line of the rule; 0 when unknown.
    pub fn line(&self) -> u32 {
        self.origin.line
    }
}

impl<'a> From<&'a CompiledRule> for RuleRef<'a> {
    fn from(rule: &'a CompiledRule) -> Self {
        Self { origin: &rule.origin, index: rule.index }
    }
}

impl std::fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.why, self.by) {
            (Why::DenyRule, Some(rule)) => write!(f, "denied by {}[{}]", rule.origin, rule.index),
            (Why::AllowRule, Some(rule)) => {
                write!(f, "allowed by {}[{}]", rule.origin, rule.index)
            }
            (Why::NoAllowRule, _) => f.write_str("denied: no ALLOW rule matched"),
            (Why::NoPolicy | Why::DenyRule | Why::AllowRule, _) => {
                f.write_str("allowed: no policy matched")
            }
        }
    }
}

/// Decides on an HTTP request.
pub fn authorize_http<'a, R: Request>(
    table: &'a AuthorizationTable,
    request: &R,
    peer: &Peer<'_>,
) -> Verdict<'a> {
    decide(table, &Facts::new(Some(request), peer), &mut Silent)
}

/// Decides on a connection of opaque bytes. Rules that look at HTTP never allow one, and deny
/// as if they did not look at it.
///
/// Source: Istio's generation of TCP filters, which drops such ALLOW rules.
pub fn authorize_tcp<'a>(table: &'a AuthorizationTable, peer: &Peer<'_>) -> Verdict<'a> {
    decide(table, &Facts::new(None::<&NoRequest>, peer), &mut Silent)
}

/// As [`authorize_http`], with every rule that was tried and the first thing it missed.
pub fn explain_http<'a, R: Request>(
    table: &'a AuthorizationTable,
    request: &R,
    peer: &Peer<'_>,
) -> (Verdict<'a>, Vec<Step<'a>>) {
    let mut steps = Vec::new();
    (decide(table, &Facts::new(Some(request), peer), &mut steps), steps)
}

/// As [`authorize_tcp`], with every rule that was tried and the first thing it missed.
pub fn explain_tcp<'a>(
    table: &'a AuthorizationTable,
    peer: &Peer<'_>,
) -> (Verdict<'a>, Vec<Step<'a>>) {
    let mut steps = Vec::new();
    (decide(table, &Facts::new(None::<&NoRequest>, peer), &mut steps), steps)
}

fn decide<'a, R: Request>(
    table: &'a AuthorizationTable,
    facts: &Facts<'_, R>,
    trail: &mut impl Trail<'a>,
) -> Verdict<'a> {
    let (allowed, by, why) = walk(&table.enforced, facts, false, trail);
    let dry_run = table.dry_run.as_ref().map(|part| {
        let (allowed, by, why) = walk(part, facts, true, trail);
        DryRun { allowed, by, why }
    });
    Verdict { allowed, by, why, dry_run }
}

fn walk<'a, R: Request>(
    part: &'a CompiledAuthorization,
    facts: &Facts<'_, R>,
    dry_run: bool,
    trail: &mut impl Trail<'a>,
) -> (bool, Option<RuleRef<'a>>, Why) {
    if let Some(rule) = first(&part.deny, facts, Action::Deny, dry_run, trail) {
        return (false, Some(rule.into()), Why::DenyRule);
    }
    if !part.has_allow {
        return (true, None, Why::NoPolicy);
    }
    match first(&part.allow, facts, Action::Allow, dry_run, trail) {
        Some(rule) => (true, Some(rule.into()), Why::AllowRule),
        None => (false, None, Why::NoAllowRule),
    }
}

fn first<'a, R: Request>(
    rules: &'a [CompiledRule],
    facts: &Facts<'_, R>,
    action: Action,
    dry_run: bool,
    trail: &mut impl Trail<'a>,
) -> Option<&'a CompiledRule> {
    rules.iter().find(|rule| {
        let outcome = facts.meet(rule, action);
        trail.record(rule, action, dry_run, outcome);
        outcome.is_ok()
    })
}

#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "tables of cases")]
mod tests;
