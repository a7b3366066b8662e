//! Every input that was kept is read again.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::path::{Path, PathBuf};

use meshcore_fuzz::{TARGETS, Target};

fn kept(target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
        panic!("{}: {error}: keep what `make fuzz` has found", folder.display())
    });
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_was_kept_holds() {
    for target in TARGETS {
        for path in kept(target) {
            let data = std::fs::read(&path).unwrap();
            let run = std::panic::catch_unwind(|| (target.run)(&data));
            assert!(run.is_ok(), "{} of {}", path.display(), target.name);
        }
    }
}
