//! The rules of one host, found by path in about the same time however many there are.
//!
//! Every match of every rule is an [`Entry`]. Entries are kept in the order of the document and
//! indexed by the form of their path; of those whose path and predicates hold, the first in
//! the document wins, whichever index found it.

use std::cell::Cell;
use std::sync::Arc;

use meshcore_model::PathMatch;
use regex::bytes::RegexSet;

use crate::map::Map;
use crate::rejected::Reason;
use crate::rule::Rule;
use crate::text::{Text, ValuePredicate, anchored};
use crate::trie::Trie;

/// The rules of one host.
#[derive(Debug, Default)]
pub struct RouteTable {
    rules: Box<[Rule]>,
    entries: Box<[Entry]>,
    exact: Map<Box<[u8]>, Vec<u32>>,
    exact_folded: Map<Box<[u8]>, Vec<u32>>,
    prefixes: Trie,
    prefixes_folded: Trie,
    segments: Map<Box<[u8]>, Vec<u32>>,
    regexes: Vec<Regexes>,
    any: Vec<u32>,
}

/// One match of a rule.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Position of the rule in the table.
    pub rule: u32,
    /// Name of rule and match, for logs.
    pub name: Arc<str>,
    /// How the path is matched.
    pub form: PathForm,
    /// The path as it was written, for explanations.
    pub path: Option<PathMatch>,
    /// Further conditions; `None` is none.
    pub predicates: Option<Box<Predicates>>,
}

/// How the path of an entry is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathForm {
    /// Any path.
    Any,
    /// The whole path.
    Exact,
    /// A prefix of so many bytes.
    Prefix(usize),
    /// A prefix of so many bytes, which ends with a segment.
    SegmentPrefix(usize),
    /// An expression.
    Regex,
}

/// Conditions beside the path, all of which must hold.
#[derive(Debug, Clone, Default)]
pub struct Predicates {
    /// Method.
    pub method: Option<Text>,
    /// Scheme, in lower case.
    pub scheme: Option<Text>,
    /// Host, without its port and in lower case.
    pub authority: Option<Text>,
    /// Header fields that must match.
    pub headers: Box<[ValuePredicate]>,
    /// Header fields that must not match.
    pub without_headers: Box<[ValuePredicate]>,
    /// Query parameters that must match.
    pub query: Box<[ValuePredicate]>,
    /// Port the request was sent to.
    pub port: Option<u16>,
}

/// A match before it is indexed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) entry: Entry,
    pub(crate) ignore_case: bool,
}

/// Expressions that are tried together.
#[derive(Debug)]
struct Regexes {
    set: RegexSet,
    entries: Vec<u32>,
}

/// So many expressions share an automaton. Source: larger sets reach the size limit of the
/// `regex` crate (10 MB) with expressions of ordinary length.
const REGEXES_TOGETHER: usize = 64;

impl RouteTable {
    /// Indexes the entries.
    ///
    /// # Errors
    ///
    /// Position of the rule with an expression that cannot be compiled, and why.
    pub(crate) fn new(rules: Vec<Rule>, drafts: Vec<Draft>) -> Result<Self, (u32, Reason)> {
        let mut table = Self::default();
        let (mut prefixes, mut prefixes_folded) = (Vec::new(), Vec::new());
        let mut regexes = Vec::new();
        for (draft, index) in drafts.iter().zip(0_u32..) {
            let fold = draft.ignore_case;
            match &draft.entry.path {
                None => table.any.push(index),
                Some(PathMatch::Exact(path)) if fold => {
                    table.exact_folded.entry(folded(path)).or_default().push(index);
                }
                Some(PathMatch::Exact(path)) => {
                    table.exact.entry(path.as_bytes().into()).or_default().push(index);
                }
                Some(PathMatch::Prefix(path)) if fold => {
                    prefixes_folded.push((folded(path), index));
                }
                Some(PathMatch::Prefix(path)) => prefixes.push((path.as_bytes().into(), index)),
                Some(PathMatch::SegmentPrefix(path)) => {
                    let path = path.strip_suffix('/').unwrap_or(path);
                    table.segments.entry(path.as_bytes().into()).or_default().push(index);
                }
                Some(PathMatch::Regex(pattern)) => {
                    regexes.push((index, draft.entry.rule, pattern.as_str()));
                }
            }
        }
        table.prefixes = Trie::new(prefixes);
        table.prefixes_folded = Trie::new(prefixes_folded);
        for some in regexes.chunks(REGEXES_TOGETHER) {
            table.add_regexes(some)?;
        }
        table.rules = rules.into();
        table.entries = drafts.into_iter().map(|draft| draft.entry).collect();
        Ok(table)
    }

    /// Puts the expressions into one set, or into smaller ones when it would be too large or
    /// one of them needs another mode (see [`crate::text::build`]).
    fn add_regexes(&mut self, regexes: &[(u32, u32, &str)]) -> Result<(), (u32, Reason)> {
        for (_, rule, pattern) in regexes {
            // A pattern is a whole expression by itself, so that it cannot end the group that
            // is put around it.
            crate::text::build(pattern, false).map_err(|reason| (*rule, reason))?;
        }
        let patterns = regexes.iter().map(|(_, _, pattern)| anchored(pattern));
        let build = |unicode: bool| {
            regex::bytes::RegexSetBuilder::new(patterns.clone()).unicode(unicode).build()
        };
        let set = match (build(false), regexes) {
            (Ok(set), _) => set,
            (Err(_), [(_, rule, pattern)]) => {
                build(true).map_err(|error| (*rule, format!("{pattern:?}: {error}")))?
            }
            (Err(_), _) => {
                let (left, right) = regexes.split_at(regexes.len() >> 1);
                self.add_regexes(left)?;
                return self.add_regexes(right);
            }
        };
        let entries = regexes.iter().map(|(index, _, _)| *index).collect();
        self.regexes.push(Regexes { set, entries });
        Ok(())
    }

    /// The first entry, in the order of the document, whose path matches and for which `holds`
    /// says that its predicates do.
    pub fn first(
        &self,
        path: &[u8],
        mut holds: impl FnMut(&Entry) -> bool,
    ) -> Option<(&Rule, &Entry)> {
        let best = Cell::new(u32::MAX);
        let mut offer = |candidates: &[u32]| {
            let better = candidates.iter().take_while(|index| **index < best.get());
            for index in better {
                if self.entries.get(*index as usize).is_some_and(&mut holds) {
                    best.set(*index);
                    return;
                }
            }
        };
        if let Some(found) = self.exact.get(path) {
            offer(found);
        }
        self.prefixes.walk(path, &mut offer);
        if !self.segments.is_empty() {
            self.probe_segments(path, &mut offer);
        }
        if !self.exact_folded.is_empty() || !self.prefixes_folded.is_empty() {
            let path = path.to_ascii_lowercase();
            if let Some(found) = self.exact_folded.get(&*path) {
                offer(found);
            }
            self.prefixes_folded.walk(&path, &mut offer);
        }
        offer(&self.any);
        for regexes in &self.regexes {
            // An automaton is the dearest index: it runs only while it could still win.
            if regexes.entries.first().is_none_or(|first| *first > best.get()) {
                break;
            }
            for hit in regexes.set.matches(path) {
                offer(regexes.entries.get(hit..=hit).unwrap_or_default());
            }
        }
        let entry = self.entries.get(best.get() as usize)?;
        Some((self.rules.get(entry.rule as usize)?, entry))
    }

    /// Looks up the path up to each slash, and all of it.
    fn probe_segments(&self, path: &[u8], offer: &mut impl FnMut(&[u32])) {
        if path.first() != Some(&b'/') {
            return;
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            if let Some(found) = path.get(..end).and_then(|start| self.segments.get(start)) {
                offer(found);
            }
        }
    }

    /// The rules, in the order of the document.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The matches of the rules, in the order of the document.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

fn folded(path: &str) -> Box<[u8]> {
    path.to_ascii_lowercase().into_bytes().into()
}

impl Predicates {
    pub(crate) fn is_empty(&self) -> bool {
        self.method.is_none()
            && self.scheme.is_none()
            && self.authority.is_none()
            && self.headers.is_empty()
            && self.without_headers.is_empty()
            && self.query.is_empty()
            && self.port.is_none()
    }
}
