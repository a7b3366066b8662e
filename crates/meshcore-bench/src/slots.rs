//! Things by number; a number is used again only after the events of one turn.

/// A table with gaps.
#[derive(Debug)]
pub struct Slots<T> {
    all: Vec<Option<T>>,
    gaps: Vec<usize>,
    new_gaps: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { all: Vec::new(), gaps: Vec::new(), new_gaps: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// The number of what is put in next.
    pub fn next(&self) -> usize {
        self.gaps.last().copied().unwrap_or(self.all.len())
    }

    /// Puts it where `next` says.
    pub fn put(&mut self, value: T) {
        match self.gaps.pop().and_then(|gap| self.all.get_mut(gap)) {
            Some(gap) => *gap = Some(value),
            None => self.all.push(Some(value)),
        }
    }

    /// What has this number, if anything has.
    pub fn get(&mut self, number: usize) -> Option<&mut T> {
        self.all.get_mut(number)?.as_mut()
    }

    /// Takes it out.
    pub fn remove(&mut self, number: usize) -> Option<T> {
        let removed = self.all.get_mut(number)?.take();
        if removed.is_some() {
            self.new_gaps.push(number);
        }
        removed
    }

    /// All events of a turn were seen: nothing can mean what was removed any more.
    pub fn end_turn(&mut self) {
        self.gaps.append(&mut self.new_gaps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_only_in_the_next_turn() {
        let mut slots = Slots::default();
        for value in ["a", "b"] {
            slots.put(value);
        }
        assert_eq!(slots.remove(0), Some("a"));
        assert_eq!(slots.next(), 2, "an event for 0 may still come");
        slots.end_turn();
        assert_eq!(slots.next(), 0);
        slots.put("c");
        assert_eq!((slots.get(0).copied(), slots.get(1).copied()), (Some("c"), Some("b")));
    }
}
