//! All resources by name, and an index of where each is looked for.

mod answer;
mod look;
mod stored;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use meshcore_model::{Resource, Settings};

pub(crate) use answer::{Asked, Key, Own, answer};
pub(crate) use look::Look;
pub(crate) use stored::{Name, Stored, Version};

/// Name of the settings.
pub(crate) const SETTINGS: &str = "settings/mesh";
/// Name of what is trusted.
pub(crate) const TRUST: &str = "trust/mesh";

/// The resources that hold.
#[derive(Debug, Default)]
pub(crate) struct World {
    resources: HashMap<Name, Stored>,
    index: HashMap<Look, BTreeSet<Name>>,
    unset: Settings,
}

/// What a change concerns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Names of resources that are new, other, or gone.
    pub(crate) names: BTreeSet<Name>,
    /// Where they are found now or were before.
    pub(crate) looks: HashSet<Look>,
}

impl World {
    /// Puts resources in place, and others away.
    pub(crate) fn apply(
        &mut self,
        changed: impl IntoIterator<Item = (Name, Stored)>,
        removed: impl IntoIterator<Item = Name>,
    ) -> Touched {
        let mut touched = Touched::default();
        for name in removed {
            self.remove(&name, &mut touched);
        }
        for (name, stored) in changed {
            let state = |stored: &Stored| (stored.version, stored.is_withdrawn);
            if self.resources.get(&name).map(state) == Some(state(&stored)) {
                continue;
            }
            self.remove(&name, &mut touched);
            for look in look::of(&name, &stored) {
                self.index.entry(look.clone()).or_default().insert(Arc::clone(&name));
                touched.looks.insert(look);
            }
            touched.names.insert(Arc::clone(&name));
            self.resources.insert(name, stored);
        }
        touched
    }

    fn remove(&mut self, name: &Name, touched: &mut Touched) {
        let Some(stored) = self.resources.remove(name) else { return };
        for look in look::of(name, &stored) {
            if let Some(names) = self.index.get_mut(&look) {
                names.remove(name);
                if names.is_empty() {
                    self.index.remove(&look);
                }
            }
            touched.looks.insert(look);
        }
        touched.names.insert(Arc::clone(name));
    }

    /// The resource of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Stored> {
        self.resources.get(name)
    }

    /// What is found at a place, by name.
    pub(crate) fn at(&self, look: &Look) -> impl Iterator<Item = (&Name, &Resource)> {
        let names = self.index.get(look).into_iter().flatten();
        names.filter_map(|name| Some((name, &*self.resources.get(name)?.resource)))
    }

    /// How much is found at a place.
    pub(crate) fn count(&self, look: &Look) -> usize {
        self.index.get(look).map_or(0, BTreeSet::len)
    }

    /// All resources, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Name, &Stored)> {
        self.resources.iter()
    }

    /// What holds for the whole mesh.
    pub(crate) fn settings(&self) -> &Settings {
        let stored = self.resources.get(SETTINGS).map(|stored| &*stored.resource);
        if let Some(Resource::Settings(settings)) = stored { settings } else { &self.unset }
    }

    /// Uses these settings while no resource has any.
    pub(crate) fn set_defaults(&mut self, settings: Settings) {
        self.unset = settings;
    }
}
