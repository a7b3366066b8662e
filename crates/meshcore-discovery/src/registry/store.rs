//! Registrations on disk: what was written survives a kill at any moment.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::Registration;
use crate::world::Name;

/// Registrations as JSON, by the name of their resource.
const REGISTRATIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("registrations");

/// What kind of file it is, and of which form.
const FORM: TableDefinition<'_, &str, u64> = TableDefinition::new("form");
const FORM_KEY: &str = "meshcore-registry";
const FORM_NUMBER: u64 = 1;

/// Name of the file in the state directory.
const FILE: &str = "registry.redb";

/// Most writes that wait; who writes more waits.
const WAITING: usize = 1024;

/// The file of registrations. One thread writes all that waits in one transaction, so that many
/// registrations at a time cost few waits for the disk.
#[derive(Debug)]
pub(crate) struct Store {
    /// `None` only while it is dropped.
    writes: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// One change of the file.
#[derive(Debug)]
pub(crate) enum Write {
    /// A registration as it is now.
    Put(Name, Box<Registration>),
    /// A registration that is no more.
    Remove(Name),
}

type Job = (Vec<Write>, oneshot::Sender<Result<(), StoreError>>);

/// The file cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub(crate) struct StoreError {
    path: PathBuf,
    what: String,
}

impl Store {
    /// Opens the file in a directory, which must be there, and reads it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read, is damaged, is of another program, or is in use.
    pub(crate) fn open(directory: &Path) -> Result<(Self, Vec<Registration>), StoreError> {
        let path = directory.join(FILE);
        // redb panics on some damages that it does not look for.
        let opened = std::panic::catch_unwind(|| {
            let file = File::open(path.clone())?;
            let kept = file.read()?;
            Ok((file, kept))
        });
        let (file, kept) = opened.unwrap_or_else(|_| Err(damaged(&path, "it cannot be read")))?;
        let (writes, jobs) = mpsc::channel(WAITING);
        let path = file.path.clone();
        let writer = std::thread::Builder::new()
            .name("meshcore-registry".into())
            .spawn(move || write_all(&file, jobs))
            .map_err(|error| StoreError { path, what: format!("no thread to write: {error}") })?;
        Ok((Self { writes: Some(writes), writer: Some(writer) }, kept))
    }

    /// Writes; when it returns, it is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing of this was written.
    pub(crate) async fn write(&self, changes: Vec<Write>) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        let ended = || StoreError { path: FILE.into(), what: "the writer has ended".into() };
        let writes = self.writes.as_ref().ok_or_else(ended)?;
        writes.send((changes, done)).await.map_err(|_| ended())?;
        written.await.map_err(|_| ended())?
    }
}

impl Drop for Store {
    /// Waits until all is written and the file is closed, so that it can be opened again.
    fn drop(&mut self) {
        self.writes = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has told so itself.
            let _ = writer.join();
        }
    }
}

fn damaged(path: &Path, why: impl fmt::Display) -> StoreError {
    let what = format!(
        "is no registry, or is damaged: {why}; put back a copy, or move the file away, so that \
         workloads register anew"
    );
    StoreError { path: path.to_owned(), what }
}

fn write_all(file: &File, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while jobs.blocking_recv_many(&mut batch, WAITING) > 0 {
        let changes = batch.iter().flat_map(|(changes, _)| changes);
        let written = file.write(changes);
        for (_, done) in batch.drain(..) {
            // Who asked may be gone.
            let _ = done.send(written.clone());
        }
    }
}

/// The open file.
struct File {
    path: PathBuf,
    database: Database,
}

impl File {
    fn open(path: PathBuf) -> Result<Self, StoreError> {
        let opened = Database::create(&path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError {
                path: path.clone(),
                what: "is used by another control plane: stop that one, or use another state \
                       directory"
                    .into(),
            },
            error => damaged(&path, error),
        });
        let mut database = opened?;
        match database.check_integrity() {
            Ok(true) => {}
            Ok(false) => return Err(damaged(&path, "a checksum is wrong")),
            Err(error) => return Err(damaged(&path, error)),
        }
        let file = Self { path, database };
        file.mark()?;
        Ok(file)
    }

    fn error(&self, error: impl fmt::Display) -> StoreError {
        StoreError { path: self.path.clone(), what: error.to_string() }
    }

    /// Marks a new file as ours, and refuses one that is not.
    fn mark(&self) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(|error| self.error(error))?;
        {
            let has_tables =
                write.list_tables().map_err(|error| self.error(error))?.next().is_some();
            let mut form = write.open_table(FORM).map_err(|error| self.error(error))?;
            let found = form.get(FORM_KEY).map_err(|error| self.error(error))?;
            match found.map(|number| number.value()) {
                Some(FORM_NUMBER) => {}
                None if !has_tables => {
                    form.insert(FORM_KEY, FORM_NUMBER).map_err(|error| self.error(error))?;
                }
                Some(_) | None => {
                    return Err(self.error(
                        "is a registry of another program or version: use another state directory",
                    ));
                }
            }
            write.open_table(REGISTRATIONS).map_err(|error| self.error(error))?;
        }
        write.commit().map_err(|error| self.error(error))
    }

    fn read(&self) -> Result<Vec<Registration>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.error(error))?;
        let table = read.open_table(REGISTRATIONS).map_err(|error| self.error(error))?;
        let rows = table.iter().map_err(|error| self.error(error))?;
        let one = |row: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), _>| {
            let (name, value) = row.map_err(|error: redb::StorageError| self.error(error))?;
            serde_json::from_slice(value.value()).map_err(|error| {
                self.error(format!("the registration {} cannot be read: {error}", name.value()))
            })
        };
        rows.map(one).collect()
    }

    /// One transaction, on disk when it returns: redb's default durability syncs the file.
    fn write<'a>(&self, changes: impl Iterator<Item = &'a Write>) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(|error| self.error(error))?;
        {
            let mut table = write.open_table(REGISTRATIONS).map_err(|error| self.error(error))?;
            for change in changes {
                match change {
                    Write::Put(name, registration) => {
                        let json = serde_json::to_vec(registration).map_err(|e| self.error(e))?;
                        table.insert(&**name, json.as_slice()).map_err(|e| self.error(e))?;
                    }
                    Write::Remove(name) => {
                        table.remove(&**name).map_err(|error| self.error(error))?;
                    }
                }
            }
        }
        write.commit().map_err(|error| self.error(error))
    }
}

#[cfg(test)]
mod tests;
