//! Files that are secret, and there whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::StoreError;

/// Largest file that is read: a list of 60,000 tokens.
pub(super) const MAX_FILE_BYTES: u64 = 16 << 20;

/// What is not finished yet has this at the end of its name.
const UNFINISHED: &str = ".new";

/// Tells one state of a file from another: a file is never changed, but replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// Held while something is written; let go of when dropped, or when the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

// === impl Stamp ===

impl Stamp {
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let found = fs::metadata(path).map_err(|error| StoreError::io(path, &error))?;
        Ok(Self {
            inode: found.ino(),
            bytes: found.len(),
            seconds: found.mtime(),
            nanoseconds: found.mtime_nsec(),
        })
    }
}

/// Waits until nobody else writes in `directory`, and removes what a writer that was killed left.
pub(super) fn lock(directory: &Path) -> Result<Lock, StoreError> {
    let path = directory.join("lock");
    let failed = |error| StoreError::io(&path, &error);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(failed)?;
    file.lock().map_err(failed)?;
    for below in [directory.to_owned(), directory.join("ca"), directory.join("tokens")] {
        remove_unfinished(&below);
    }
    Ok(Lock(file))
}

/// Makes the directory and those above it, if missing; refuses one that others may use.
pub(super) fn private_directory(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| StoreError::io(path, &error))?;
    check_private(path)
}

/// Reads a text that no other user may read or have written.
pub(super) fn read_secret(path: &Path) -> Result<String, StoreError> {
    check_private(path)?;
    read(path)
}

/// Reads a text of bounded size.
pub(super) fn read(path: &Path) -> Result<String, StoreError> {
    let failed = |error: std::io::Error| StoreError::io(path, &error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(StoreError::at(path, "longer than 16 MiB"));
    }
    // Comments between the parts of a PEM file may be in any encoding.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Replaces a file in one step, which is on disk when this returns.
pub(super) fn replace(path: &Path, data: &[u8]) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    let beside = path.with_file_name(name);
    write_new(&beside, data)?;
    let (from, to) = (&beside, path);
    fs::rename(from, to).map_err(|error| StoreError::io(path, &error))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes a directory with these files in one step, which is on disk when this returns.
pub(super) fn create_whole(path: &Path, files: &[(&str, &str)]) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    let beside = path.with_file_name(name);
    private_directory(&beside)?;
    for (name, text) in files {
        write_new(&beside.join(name), text.as_bytes())?;
    }
    sync_directory(&beside)?;
    fs::rename(&beside, path).map_err(|error| StoreError::io(path, &error))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Removes a directory of files. What cannot be removed stays: nothing refers to it.
pub(super) fn remove_directory(path: &Path) {
    let _ = fs::remove_dir_all(path);
}

fn write_new(path: &Path, data: &[u8]) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::io(path, &error);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(data).map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let opened = File::open(path).and_then(|directory| directory.sync_all());
    opened.map_err(|error| StoreError::io(path, &error))
}

fn remove_unfinished(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            let path = entry.path();
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(_) => remove_directory(&path),
            }
        }
    }
}

/// Refuses what another user made or may read, such as a directory below /tmp.
fn check_private(path: &Path) -> Result<(), StoreError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::metadata(path),
        other => other,
    };
    let found = found.map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return StoreError::at(path, "is missing");
        }
        StoreError::io(path, &error)
    })?;
    if found.uid() != 0 && found.uid() != rustix::process::geteuid().as_raw() {
        return Err(StoreError::at(path, "belongs to another user, use another directory"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(StoreError::at(path, "is open to other users: chmod go= it"));
    }
    Ok(())
}
