//! Responses that come in pieces, as one change.

use crate::wire::{DeltaResponse, RESOURCE};

use super::held::{Change, Given};

/// Bytes of the pieces of one response at most: more than all that a mesh of 10,000 services says.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// Resources of one response, and names that are gone, at most.
const MAX_COUNT: usize = 500_000;
/// Longest name of a resource.
const MAX_NAME_BYTES: usize = 1024;
/// Most bytes of a text that are repeated in a message.
const MAX_QUOTED: usize = 400;

/// A response that cannot be: the stream is given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the control plane sent {0}")]
pub(super) struct Nonsense(pub(super) String);

/// The pieces of a response so far.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    change: Change,
    bytes: usize,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) change: Change,
    /// What the answer names.
    pub(super) nonce: String,
}

impl Pieces {
    /// Adds a piece; returns the whole when it was the last one.
    ///
    /// # Errors
    ///
    /// [`Nonsense`]; nothing of it is used.
    pub(super) fn add(&mut self, piece: DeltaResponse) -> Result<Option<Whole>, Nonsense> {
        if piece.type_url != RESOURCE {
            return Err(Nonsense(format!("resources of type {:?}", cut(&piece.type_url))));
        }
        if piece.nonce.is_empty() || piece.nonce.len() > MAX_NAME_BYTES {
            return Err(Nonsense("a response without a nonce, or a huge one".to_owned()));
        }
        for resource in piece.resources {
            let value = resource.resource.filter(|any| any.type_url == RESOURCE);
            let value = value.map(|any| any.value).unwrap_or_default(); // is refused by its name
            self.take(&resource.name, value.len().saturating_add(resource.version.len()))?;
            let (name, version) = (resource.name, resource.version);
            self.change.given.push(Given { name, version, value });
        }
        for name in piece.removed_resources {
            self.take(&name, 0)?;
            self.change.removed.push(name);
        }
        let said = piece.system_version_info;
        if said.len() > MAX_NAME_BYTES {
            return Err(Nonsense("a huge revision".to_owned()));
        }
        if said.ends_with('+') {
            return Ok(None);
        }
        let Self { mut change, .. } = std::mem::take(self);
        change.revision = said;
        Ok(Some(Whole { change, nonce: piece.nonce }))
    }

    fn take(&mut self, name: &str, more: usize) -> Result<(), Nonsense> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(Nonsense(format!("a resource with the name {:?}", cut(name))));
        }
        self.bytes = self.bytes.saturating_add(name.len()).saturating_add(more);
        let count = self.change.given.len().saturating_add(self.change.removed.len());
        if self.bytes > MAX_BYTES || count >= MAX_COUNT {
            return Err(Nonsense(format!("more than {MAX_BYTES} bytes or {MAX_COUNT} resources")));
        }
        Ok(())
    }
}

/// As much of a text as fits into a message.
pub(super) fn cut(text: &str) -> &str {
    let end = (0..=MAX_QUOTED).rev().find(|at| text.is_char_boundary((*at).min(text.len())));
    text.get(..end.unwrap_or(0).min(text.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Any, Resource};

    fn piece(revision: &str, names: &[&str]) -> DeltaResponse {
        let resource = |name: &&str| Resource {
            name: (*name).to_owned(),
            version: "1".into(),
            resource: Some(Any { type_url: RESOURCE.into(), value: b"{}".as_slice().into() }),
        };
        DeltaResponse {
            system_version_info: revision.into(),
            resources: names.iter().map(resource).collect(),
            type_url: RESOURCE.into(),
            nonce: "n".into(),
            removed_resources: Vec::new(),
        }
    }

    #[test]
    fn pieces_become_one_change() {
        let mut pieces = Pieces::default();
        assert!(pieces.add(piece("7+", &["a", "b"])).unwrap().is_none());
        let whole = pieces.add(piece("7", &["c"])).unwrap().unwrap();
        assert_eq!((whole.change.given.len(), whole.change.revision.as_str()), (3, "7"));
        let next = pieces.add(piece("8", &[])).unwrap().unwrap();
        assert!(next.change.given.is_empty(), "what was used is not used again");
    }

    #[test]
    fn nonsense_is_told() {
        let long = "n".repeat(MAX_NAME_BYTES + 1);
        for (wrong, case) in [
            (DeltaResponse { type_url: "t".into(), ..piece("1", &[]) }, "of another type"),
            (DeltaResponse { nonce: String::new(), ..piece("1", &[]) }, "without a nonce"),
            (piece("1", &[""]), "without a name"),
            (piece("1", &[&long]), "with a huge name"),
            (piece(&long, &[]), "with a huge revision"),
        ] {
            assert!(Pieces::default().add(wrong).is_err(), "{case}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"é".repeat(399)).len(), 400);
        assert_eq!(cut(&format!("a{}", "é".repeat(399))).len(), 399);
    }
}
