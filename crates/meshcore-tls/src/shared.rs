//! What every configuration of one process looks at: the materials now in force.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use crate::materials::Materials;
use crate::verified::VerifiedChains;

/// The materials in force and what was learned under them.
pub(crate) struct Shared {
    current: ArcSwap<Current>,
    rotating: Mutex<()>,
    pub(crate) verified: VerifiedChains,
}

/// One rotation's materials. Immutable.
pub(crate) struct Current {
    pub(crate) materials: Materials,
    /// Counts rotations.
    pub(crate) generation: u64,
    /// Counts changes of our identity or of whom we trust.
    pub(crate) trust_epoch: u64,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(materials: Materials) -> Self {
        let first = Current { materials, generation: 0, trust_epoch: 0 };
        Self {
            current: ArcSwap::from_pointee(first),
            rotating: Mutex::new(()),
            verified: VerifiedChains::default(),
        }
    }

    pub(crate) fn current(&self) -> Guard<Arc<Current>> {
        self.current.load()
    }

    pub(crate) fn rotate(&self, materials: Materials) {
        let _one_at_a_time = self.rotating.lock();
        let before = self.current.load_full();
        let trust_is_equal = before.materials.identity() == materials.identity()
            && before.materials.bundle().fingerprint() == materials.bundle().fingerprint();
        let trust_epoch = before.trust_epoch.saturating_add(u64::from(!trust_is_equal));
        let generation = before.generation.saturating_add(1);
        self.current.store(Arc::new(Current { materials, generation, trust_epoch }));
        if !trust_is_equal {
            self.verified.forget_all(); // unreachable by their epoch; this frees the memory
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let current = self.current();
        f.debug_struct("Shared")
            .field("identity", current.materials.identity())
            .field("generation", &current.generation)
            .field("trust_epoch", &current.trust_epoch)
            .finish_non_exhaustive()
    }
}
