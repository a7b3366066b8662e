//! Prefixes of bytes in a flat array.

use std::ops::Range;

/// Values under prefixes, found along a text in one walk.
///
/// A radix tree whose nodes lie level by level in one array, so that the children of a node are
/// neighbours and the walk touches few cache lines.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    /// First byte of each node's label, beside `nodes`.
    firsts: Vec<u8>,
    labels: Vec<u8>,
    values: Vec<u32>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    label: Range<usize>,
    children: Range<usize>,
    values: Range<usize>,
}

/// A part of the sorted prefixes that share their first `depth` bytes.
struct Part {
    node: usize,
    prefixes: Range<usize>,
    depth: usize,
}

impl Trie {
    /// Builds the tree. The values of one prefix keep their order.
    pub(crate) fn new(mut prefixes: Vec<(Box<[u8]>, u32)>) -> Self {
        if prefixes.is_empty() {
            return Self::default();
        }
        prefixes.sort_by(|a, b| a.0.cmp(&b.0));
        let mut trie = Self::default();
        trie.push(&[]);
        let whole = Part { node: 0, prefixes: 0..prefixes.len(), depth: 0 };
        let mut open = std::collections::VecDeque::from([whole]);
        while let Some(part) = open.pop_front() {
            trie.grow(&prefixes, &part, &mut open);
        }
        trie
    }

    fn grow(
        &mut self,
        all: &[(Box<[u8]>, u32)],
        part: &Part,
        open: &mut std::collections::VecDeque<Part>,
    ) {
        let prefixes = all.get(part.prefixes.clone()).unwrap_or_default();
        let here = prefixes.iter().take_while(|(prefix, _)| prefix.len() == part.depth).count();
        let values_start = self.values.len();
        self.values.extend(prefixes.iter().take(here).map(|(_, value)| *value));
        let children_start = self.nodes.len();
        let mut rest = prefixes.get(here..).unwrap_or_default();
        let mut start = part.prefixes.start.saturating_add(here);
        while let Some((first, _)) = rest.first() {
            let byte = first.get(part.depth);
            let size = rest.partition_point(|(prefix, _)| prefix.get(part.depth) == byte);
            let (group, others) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            let depth = group.last().map_or(part.depth, |(last, _)| shared(first, last));
            let node = self.push(first.get(part.depth..depth).unwrap_or_default());
            let end = start.saturating_add(group.len());
            open.push_back(Part { node, prefixes: start..end, depth });
            start = end;
            rest = others;
        }
        let node = Node {
            label: self.nodes.get(part.node).map_or(0..0, |node| node.label.clone()),
            children: children_start..self.nodes.len(),
            values: values_start..self.values.len(),
        };
        if let Some(slot) = self.nodes.get_mut(part.node) {
            *slot = node;
        }
    }

    fn push(&mut self, label: &[u8]) -> usize {
        let start = self.labels.len();
        self.labels.extend_from_slice(label);
        self.firsts.push(label.first().copied().unwrap_or_default());
        self.nodes.push(Node { label: start..self.labels.len(), ..Node::default() });
        self.nodes.len().saturating_sub(1)
    }

    /// Calls `found` with the values of every prefix of `text`, shortest first.
    pub(crate) fn walk(&self, text: &[u8], mut found: impl FnMut(&[u32])) {
        let mut rest = text;
        let mut next = self.nodes.first();
        while let Some(node) = next {
            if !node.values.is_empty() {
                found(self.values.get(node.values.clone()).unwrap_or_default());
            }
            next = rest.first().and_then(|byte| self.child(node, *byte)).and_then(|child| {
                let label = self.labels.get(child.label.clone())?;
                rest = rest.strip_prefix(label)?;
                Some(child)
            });
        }
    }

    fn child(&self, node: &Node, byte: u8) -> Option<&Node> {
        let firsts = self.firsts.get(node.children.clone())?;
        // Siblings are sorted by their first byte.
        let position = if firsts.len() <= 16 {
            firsts.iter().position(|first| *first == byte)?
        } else {
            firsts.binary_search(&byte).ok()?
        };
        self.nodes.get(node.children.start.saturating_add(position))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// How many bytes both begin with.
fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(prefixes: &[(&[u8], u32)], text: &[u8]) -> Vec<u32> {
        let trie = Trie::new(prefixes.iter().map(|(p, v)| ((*p).into(), *v)).collect());
        let mut all = Vec::new();
        trie.walk(text, |values| all.extend_from_slice(values));
        all
    }

    #[test]
    fn every_prefix_is_found_shortest_first() {
        let prefixes: &[(&[u8], u32)] =
            &[(b"/api", 0), (b"/", 1), (b"/api/v1", 2), (b"/apple", 3), (b"/api", 4), (b"", 5)];
        assert_eq!(found(prefixes, b"/api/v1/x"), [5, 1, 0, 4, 2]);
        assert_eq!(found(prefixes, b"/app"), [5, 1]);
        assert_eq!(found(prefixes, b"/apple"), [5, 1, 3]);
        assert_eq!(found(prefixes, b""), [5]);
        assert_eq!(found(prefixes, b"x"), [5]);
        assert!(found(&[], b"/").is_empty());
    }

    proptest! {
        #[test]
        fn as_a_linear_search_finds_them(
            prefixes in prop::collection::vec("[ab/]{0,5}", 0..40),
            text in "[ab/]{0,8}",
        ) {
            let numbered = prefixes.iter().zip(0_u32..);
            let trie = Trie::new(numbered.map(|(p, v)| (p.as_bytes().into(), v)).collect());
            let mut walked = Vec::new();
            trie.walk(text.as_bytes(), |values| walked.extend_from_slice(values));
            walked.sort_unstable();
            let linear: Vec<u32> = prefixes
                .iter()
                .zip(0_u32..)
                .filter(|(prefix, _)| text.starts_with(prefix.as_str()))
                .map(|(_, value)| value)
                .collect();
            prop_assert_eq!(walked, linear);
        }
    }
}
