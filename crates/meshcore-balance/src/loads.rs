//! How busy endpoints are, as far as this worker knows.

use meshcore_snapshot::EndpointId;

/// Endpoints of a page. Ids are handed out one after the other, so that those of a cluster lie
/// close together.
const PAGE: usize = 256;

/// Requests under way to each endpoint.
///
/// Ids only grow: pages whose endpoints are all gone or idle give their memory back.
#[derive(Debug, Default)]
pub struct Loads {
    pages: Vec<Option<Box<[u32; PAGE]>>>,
}

impl Loads {
    /// Requests under way to an endpoint.
    pub fn of(&self, id: EndpointId) -> u32 {
        let (page, slot) = place(id);
        let page = self.pages.get(page).and_then(Option::as_ref);
        page.and_then(|page| page.get(slot)).copied().unwrap_or(0)
    }

    /// A request begins.
    pub fn begin(&mut self, id: EndpointId) {
        let (page, slot) = place(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page.saturating_add(1), || None);
        }
        let counts = self.pages.get_mut(page).map(|page| page.get_or_insert_with(empty));
        if let Some(count) = counts.and_then(|counts| counts.get_mut(slot)) {
            *count = count.saturating_add(1);
        }
    }

    /// A request ends. Every `begin` has one `end`.
    pub fn end(&mut self, id: EndpointId) {
        let (page, slot) = place(id);
        let counts = self.pages.get_mut(page).and_then(Option::as_mut);
        if let Some(count) = counts.and_then(|counts| counts.get_mut(slot)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Gives back the memory of idle pages. For every change of the snapshot.
    pub fn trim(&mut self) {
        for page in &mut self.pages {
            if page.as_ref().is_some_and(|counts| counts.iter().all(|count| *count == 0)) {
                *page = None;
            }
        }
    }
}

fn empty() -> Box<[u32; PAGE]> {
    Box::new([0; PAGE])
}

fn place(id: EndpointId) -> (usize, usize) {
    (id.index() / PAGE, id.index() % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_is_counted_until_it_ends() {
        let mut loads = Loads::default();
        let (a, b) = (EndpointId::from_index(3), EndpointId::from_index(70_000));
        assert_eq!(loads.of(b), 0);
        loads.begin(a);
        loads.begin(b);
        loads.begin(b);
        assert_eq!((loads.of(a), loads.of(b)), (1, 2));
        loads.end(a);
        loads.trim();
        assert_eq!((loads.of(a), loads.of(b)), (0, 2));
        assert_eq!(loads.pages.iter().flatten().count(), 1);
        loads.end(a);
        assert_eq!(loads.of(a), 0, "an end too many is not an endless load");
    }
}
