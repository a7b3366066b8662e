//! Where lines end up.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where lines end up: a file by name, which can be opened anew, or anything that is written
/// to.
pub struct LogSink {
    path: Option<PathBuf>,
    out: Box<dyn Write + Send>,
    /// The last write failed, perhaps in the middle of a line.
    is_torn: bool,
}

/// Lines may hold what users sent, so that not everybody may read them.
const FILE_MODE: u32 = 0o640;

impl LogSink {
    /// Appends to a file, which is made when it is not there. `/dev/stdout` and `/dev/stderr`
    /// are the process' own, whatever they are connected to.
    ///
    /// Opening a named pipe waits for its reader.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: Some(path.into()), out: Box::new(open(path)?), is_torn: false })
    }

    /// Writes to `out`.
    pub fn to(out: Box<dyn Write + Send>) -> Self {
        Self { path: None, out, is_torn: false }
    }

    /// Opens the file by its name again, after it was renamed. When it cannot be opened, the
    /// old one stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        self.out = Box::new(open(path)?);
        self.is_torn = false;
        Ok(())
    }

    /// Writes whole lines. After a failure the next write begins on a new line, so that half
    /// a line does not swallow a good one.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let out = &mut self.out;
        let start: &[u8] = if self.is_torn { b"\n" } else { b"" };
        let written = out.write_all(start).and_then(|()| out.write_all(lines));
        let written = written.and_then(|()| out.flush());
        self.is_torn = written.is_err();
        written
    }
}

fn open(path: &Path) -> io::Result<File> {
    // By duplicating: opening the name fails when the output is a socket.
    if path == Path::new("/dev/stdout") {
        return io::stdout().as_fd().try_clone_to_owned().map(File::from);
    }
    if path == Path::new("/dev/stderr") {
        return io::stderr().as_fd().try_clone_to_owned().map(File::from);
    }
    // The standard library sets O_CLOEXEC.
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSink").field("path", &self.path).finish_non_exhaustive()
    }
}
