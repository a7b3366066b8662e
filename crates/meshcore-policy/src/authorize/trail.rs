//! What is remembered of a decision, for those who ask.

use meshcore_model::AuthorizationAction as Action;
use meshcore_snapshot::CompiledRule;

use super::RuleRef;

/// A rule that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The rule.
    pub rule: RuleRef<'a>,
    /// What it does when it matches.
    pub action: Action,
    /// It is only counted.
    pub dry_run: bool,
    /// The first thing it missed; `None` when it matched.
    pub unmet: Option<Unmet>,
}

/// A condition that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// The rule looks at HTTP, and this is a connection of opaque bytes.
    NeedsHttp,
    /// This field of this entry of `from`; the last that was tried.
    From(usize, &'static str),
    /// This field of this entry of `to`; the last that was tried.
    To(usize, &'static str),
    /// This entry of `when`.
    When(usize),
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NeedsHttp => f.write_str("it looks at HTTP, and the port is TCP"),
            Self::From(index, field) => write!(f, "from[{index}].source.{field}"),
            Self::To(index, field) => write!(f, "to[{index}].operation.{field}"),
            Self::When(index) => write!(f, "when[{index}]"),
        }
    }
}

/// Takes note of the rules that are tried.
pub(super) trait Trail<'a> {
    fn record(
        &mut self,
        rule: &'a CompiledRule,
        action: Action,
        dry_run: bool,
        outcome: Result<(), Unmet>,
    );
}

/// Takes no note.
pub(super) struct Silent;

impl<'a> Trail<'a> for Silent {
    fn record(&mut self, _: &'a CompiledRule, _: Action, _: bool, _: Result<(), Unmet>) {}
}

impl<'a> Trail<'a> for Vec<Step<'a>> {
    fn record(
        &mut self,
        rule: &'a CompiledRule,
        action: Action,
        dry_run: bool,
        outcome: Result<(), Unmet>,
    ) {
        self.push(Step { rule: rule.into(), action, dry_run, unmet: outcome.err() });
    }
}
