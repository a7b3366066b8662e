//! How text and labels are matched in documents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Labels of a workload.
pub type Labels = BTreeMap<String, String>;

/// A match on one text value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StringMatch {
    /// The whole value, byte by byte.
    Exact(String),
    /// The value begins with this text.
    Prefix(String),
    /// The value ends with this text.
    Suffix(String),
    /// The whole value matches this RE2-style expression.
    Regex(String),
    /// There is a value, and it is not empty.
    Present,
    /// A path template of Istio's authorization: `{*}` is one segment, `{**}` any number.
    Template(String),
}

/// A match on the path of a request (without its query).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// A prefix by bytes: `/foo` matches `/foobar` (VirtualService).
    Prefix(String),
    /// A prefix by segments: `/foo` matches `/foo/bar`, not `/foobar` (Gateway API).
    SegmentPrefix(String),
    /// The whole path matches this expression.
    Regex(String),
}

/// Which workloads of a namespace are meant: all labels must be there. Empty selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selector(pub Labels);

impl Selector {
    /// Whether every wanted label is on the workload.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Whether no label is wanted, so that every workload is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_needs_all_of_its_labels() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
        };
        let workload = labels(&[("app", "web"), ("version", "v1")]);
        assert!(Selector::default().selects(&workload));
        assert!(Selector(labels(&[("app", "web")])).selects(&workload));
        assert!(!Selector(labels(&[("app", "web"), ("version", "v2")])).selects(&workload));
        assert!(!Selector(labels(&[("zone", "a")])).selects(&workload));
    }
}
