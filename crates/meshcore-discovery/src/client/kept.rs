//! What was in force, on disk for the next start.
//!
//! Two lines of JSON: what the second one is, with its checksum; and the resources. A file that is
//! not whole, or of somebody else, is passed over and said so.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::held::{Change, Given, Held, Kept};

/// Grows when an older meshcore would misread it.
const FORMAT: u32 = 1;
/// Bytes that are read at most: what [`super::collect`] takes, with names.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    /// Whose it is: the id of the node.
    node: String,
    /// Of the second line, without its end.
    sha256: String,
}

#[derive(Serialize)]
struct Body<'a> {
    revision: &'a str,
    /// Name, version, resource.
    resources: Vec<(&'a str, &'a str, Kept<'a>)>,
}

#[derive(Deserialize)]
struct ReadBody {
    revision: String,
    resources: Vec<(String, String, serde_json::Value)>,
}

/// Replaces the file in one step, after it is on the disk.
///
/// # Errors
///
/// It cannot be written; the file of before stays.
pub(super) fn write(path: &Path, node: &str, held: &Held) -> io::Result<()> {
    let body = Body { revision: &held.said, resources: held.kept().collect() };
    let body = serde_json::to_vec(&body)?;
    let first = Head { format: FORMAT, node: node.to_owned(), sha256: sha256(&body) };
    let mut whole = serde_json::to_vec(&first)?;
    whole.push(b'\n');
    whole.extend_from_slice(&body);
    whole.push(b'\n');
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(&whole).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Reads what was written; `None` if nothing was.
///
/// # Errors
///
/// In words for people: it cannot be read, is not whole, or is of another node.
pub(super) fn read(path: &Path, node: &str) -> Result<Option<Change>, String> {
    let mut whole = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut whole).map_err(|why| why.to_string())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let damaged = || "it is damaged".to_owned();
    let mut lines = whole.split(|byte| *byte == b'\n');
    let (head, body) = lines.next().zip(lines.next()).ok_or_else(damaged)?;
    lines.next().ok_or_else(damaged)?; // the end of the second line
    let head: Head = serde_json::from_slice(head).map_err(|_| damaged())?;
    if head.format != FORMAT {
        return Err(format!("its format is {}, and this meshcore reads {FORMAT}", head.format));
    }
    if head.node != node {
        return Err(format!("it is of {}", head.node));
    }
    if head.sha256 != sha256(body) {
        return Err(damaged());
    }
    let body: ReadBody = serde_json::from_slice(body).map_err(|why| why.to_string())?;
    let given = body.resources.into_iter().map(|(name, version, value)| {
        let value = serde_json::to_vec(&value).unwrap_or_default().into();
        Given { name, version, value }
    });
    let given = given.collect();
    Ok(Some(Change { revision: body.revision, given, removed: Vec::new() }))
}

fn sha256(data: &[u8]) -> String {
    let digest = digest(&SHA256, data);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // into a text, which takes all
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::take::TakeAll;

    fn held() -> Held {
        let mut held = Held::new(None);
        let found = |name: &str| Given {
            name: name.into(),
            version: "v".into(),
            value: br#"{"found": ["a"]}"#.as_slice().into(),
        };
        let given = vec![found("self"), found("host/a")];
        held.put(Change { revision: "7".into(), given, removed: Vec::new() }, &mut TakeAll);
        held
    }

    fn written() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/web.json");
        write(&path, "node", &held()).unwrap();
        (directory, path)
    }

    #[test]
    fn what_is_written_is_read() {
        let (directory, path) = written();
        let change = read(&path, "node").unwrap().unwrap();
        assert_eq!((change.revision.as_str(), change.given.len()), ("7", 2));
        let mut again = Held::new(None);
        again.put(change, &mut TakeAll);
        assert_eq!(again.versions(), held().versions());
        assert_eq!(again.found("host/a"), held().found("host/a"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left");
        drop(directory);
    }

    #[test]
    fn what_stands_in_for_a_policy_does_so_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.json");
        let mut held = Held::new(None);
        for (name, value) in [
            ("authorization/prod/newer", br#"{"authorization": {"new": 1}}"#.as_slice()),
            ("peer_auth/prod/junk", b"junk".as_slice()),
        ] {
            let given = Given { name: name.into(), version: "v".into(), value: value.into() };
            let given = vec![given];
            held.put(Change { revision: "7".into(), given, removed: Vec::new() }, &mut TakeAll);
        }
        let strict = held.mesh();
        assert_eq!((strict.authorizations.len(), strict.peer_auths.len()), (2, 1));
        write(&path, "node", &held).unwrap();
        let mut again = Held::new(None);
        again.put(read(&path, "node").unwrap().unwrap(), &mut TakeAll);
        assert_eq!(again.mesh(), strict);
        assert!(again.versions().is_empty(), "the control plane is to send them again");
    }

    #[test]
    fn a_file_that_was_touched_is_not_used() {
        let (_directory, path) = written();
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(read(&path, "node").is_err(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path, "node").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_file_of_another_node_is_not_used() {
        let (_directory, path) = written();
        assert!(read(&path, "other").unwrap_err().contains("of node"));
        assert!(read(&path.with_extension("none"), "node").unwrap().is_none());
    }
}
