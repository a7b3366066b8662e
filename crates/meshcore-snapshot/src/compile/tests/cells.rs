use std::sync::Arc;

use super::*;
use crate::{SnapshotCell, Stale};

fn revision(revision: u64) -> Snapshot {
    compiled(json!({"revision": revision}))
}

#[test]
fn a_reader_sees_what_was_stored_last() {
    let (cell, mut writer) = SnapshotCell::new(revision(1));
    let mut reader = cell.reader();
    let pinned = Arc::clone(reader.current());
    assert!(reader.refresh().is_none(), "nothing changed");
    let before = writer.store(revision(2)).unwrap();
    assert_eq!(before.revision, 1);
    assert_eq!(reader.held().revision, 1);
    assert_eq!(reader.refresh().map(|old| old.revision), Some(1));
    assert_eq!(reader.current().revision, 2);
    assert_eq!(pinned.revision, 1, "a request keeps the snapshot it began with");
}

#[test]
fn an_older_revision_is_refused() {
    let (cell, mut writer) = SnapshotCell::new(revision(5));
    assert_eq!(writer.store(revision(4)).unwrap_err(), Stale { current: 5, offered: 4 });
    assert_eq!(cell.load().revision, 5);
    assert!(writer.store(revision(5)).is_ok(), "the same revision with new addresses");
}

#[test]
fn readers_on_other_threads_never_go_back() {
    let (cell, mut writer) = SnapshotCell::new(revision(0));
    let snapshots: Vec<Snapshot> = (1..50).map(revision).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut reader = cell.reader();
            scope.spawn(move || {
                let mut last = 0;
                while last < 49 {
                    let now = reader.current().revision;
                    assert!(now >= last);
                    last = now;
                }
            });
        }
        for snapshot in snapshots {
            writer.store(snapshot).unwrap();
        }
    });
}
