//! A sink that takes everything, until there is one that puts it in force.

use std::collections::HashMap;

use meshcore_model::Mesh;

use super::held::{Sink, Unfit};

/// Takes everything.
pub(super) struct TakeAll;

impl Sink for TakeAll {
    fn apply(&mut self, _mesh: &Mesh) -> Result<(), Unfit> {
        Ok(())
    }

    fn carried(&self) -> HashMap<String, u64> {
        HashMap::new()
    }
}
