//! Answers that clients have in common, and which change concerns which of them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::client::ClientId;
use crate::world::{Asked, Look, Name, Stored, Touched, World, answer};

/// All answers that somebody is subscribed to.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    known: HashMap<Arc<Asked>, Answer>,
    looking: HashMap<Look, HashSet<Arc<Asked>>>,
}

/// What holds for a question now.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) names: BTreeSet<Name>,
    /// The list of names as a resource.
    pub(crate) found: Stored,
    looked: HashSet<Look>,
    clients: HashSet<ClientId>,
}

/// What a change does to an answer.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) asked: Arc<Asked>,
    pub(crate) clients: Vec<ClientId>,
    pub(crate) added: Vec<Name>,
    pub(crate) removed: Vec<Name>,
    /// Names that stay, with another value.
    pub(crate) changed: Vec<Name>,
}

impl Answers {
    /// Subscribes a client; the question as it is shared, and the answer.
    pub(crate) fn subscribe(
        &mut self,
        world: &World,
        asked: Asked,
        client: ClientId,
    ) -> (Arc<Asked>, &BTreeSet<Name>) {
        let shared = match self.known.get_key_value(&asked) {
            Some((shared, _)) => Arc::clone(shared),
            None => self.ask(world, Arc::new(asked)),
        };
        let answer = self.known.entry(Arc::clone(&shared)).or_insert_with(Answer::nothing);
        answer.clients.insert(client);
        (shared, &answer.names)
    }

    fn ask(&mut self, world: &World, asked: Arc<Asked>) -> Arc<Asked> {
        let answered = answer(world, &asked);
        for look in &answered.looked {
            self.looking.entry(look.clone()).or_default().insert(Arc::clone(&asked));
        }
        let answer = Answer {
            found: Stored::found(&answered.names),
            names: answered.names,
            looked: answered.looked,
            clients: HashSet::new(),
        };
        self.known.insert(Arc::clone(&asked), answer);
        asked
    }

    /// Ends the subscription of a client. An answer that nobody is subscribed to is forgotten.
    pub(crate) fn unsubscribe(&mut self, asked: &Arc<Asked>, client: ClientId) {
        let Some(answer) = self.known.get_mut(asked) else { return };
        answer.clients.remove(&client);
        if answer.clients.is_empty()
            && let Some(answer) = self.known.remove(asked)
        {
            self.forget(asked, &answer.looked);
        }
    }

    /// The names of an answer.
    pub(crate) fn names(&self, asked: &Asked) -> impl Iterator<Item = &Name> {
        self.known.get(asked).into_iter().flat_map(|answer| &answer.names)
    }

    fn forget<'a>(&mut self, asked: &Arc<Asked>, looks: impl IntoIterator<Item = &'a Look>) {
        for look in looks {
            if let Some(asking) = self.looking.get_mut(look) {
                asking.remove(asked);
                if asking.is_empty() {
                    self.looking.remove(look);
                }
            }
        }
    }

    /// The list of names that a question has as its answer.
    pub(crate) fn found(&self, asked: &Asked) -> Option<&Stored> {
        self.known.get(asked).map(|answer| &answer.found)
    }

    /// Answers anew what looked at something that was touched.
    pub(crate) fn refresh(&mut self, world: &World, touched: &Touched) -> Vec<Difference> {
        let concerned = touched.looks.iter().filter_map(|look| self.looking.get(look));
        let concerned: HashSet<Arc<Asked>> = concerned.flatten().cloned().collect();
        concerned.into_iter().filter_map(|asked| self.again(world, touched, &asked)).collect()
    }

    fn again(
        &mut self,
        world: &World,
        touched: &Touched,
        asked: &Arc<Asked>,
    ) -> Option<Difference> {
        let answered = answer(world, asked);
        let answer = self.known.get_mut(asked)?;
        let difference = Difference {
            clients: answer.clients.iter().copied().collect(),
            added: answered.names.difference(&answer.names).cloned().collect(),
            removed: answer.names.difference(&answered.names).cloned().collect(),
            changed: touched.names.intersection(&answered.names).cloned().collect(),
            asked: Arc::clone(asked),
        };
        if !(difference.added.is_empty() && difference.removed.is_empty()) {
            answer.found = Stored::found(&answered.names);
        }
        let before = std::mem::replace(&mut answer.looked, answered.looked.clone());
        answer.names = answered.names;
        self.forget(asked, before.difference(&answered.looked));
        for look in answered.looked.difference(&before) {
            self.looking.entry(look.clone()).or_default().insert(Arc::clone(asked));
        }
        Some(difference)
    }

    /// How many questions are answered now.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

impl Answer {
    fn nothing() -> Self {
        Self {
            names: BTreeSet::new(),
            found: Stored::found([]),
            looked: HashSet::new(),
            clients: HashSet::new(),
        }
    }
}
