use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn registration(number: usize) -> Registration {
    serde_json::from_value(json!({
        "identity": "spiffe://cluster.local/ns/one/sa/web", "workload": format!("web-{number}"),
        "service": "web.one.svc.cluster.local", "group": null, "version": "v1", "labels": {},
        "address": "10.0.0.1", "locality": "", "ports": {"http": 80}, "inbound_port": 15006,
        "hbone_port": null, "is_healthy": true,
    }))
    .unwrap()
}

fn put(number: usize) -> Write {
    let registration = registration(number);
    Write::Put(registration.resource(), Box::new(registration))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn what_was_written_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let (store, kept) = Store::open(directory.path()).unwrap();
    assert!(kept.is_empty());
    run(async {
        store.write(vec![put(1), put(2)]).await.unwrap();
        store.write(vec![Write::Remove(registration(1).resource())]).await.unwrap();
    });
    let busy = Store::open(directory.path()).unwrap_err().to_string();
    assert!(busy.contains("used by another control plane"), "{busy}");
    drop(store);
    let (_store, kept) = Store::open(directory.path()).unwrap();
    assert_eq!(kept, [registration(2)]);
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    std::fs::write(&path, "not a registry".repeat(1000)).unwrap();
    let error = Store::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("registry.redb") && error.contains("is no registry"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), "not a registry".repeat(1000).as_bytes());
}

#[test]
fn a_database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let table: TableDefinition<'_, &str, u64> = TableDefinition::new("theirs");
    let database = Database::create(directory.path().join(FILE)).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(table).unwrap().insert("a", 1).unwrap();
    write.commit().unwrap();
    drop(database);
    let error = Store::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("another program or version"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_or_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(directory.path()).unwrap();
    run(store.write((0..50).map(put).collect())).unwrap();
    drop(store);
    let path = directory.path().join(FILE);
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().skip(at).take(64) {
            *byte = !*byte;
        }
        std::fs::write(&path, damaged).unwrap();
        let opened = std::panic::catch_unwind(|| Store::open(directory.path()));
        if let Ok((store, kept)) = opened.unwrap() {
            drop(store);
            assert_eq!(kept.len(), 50, "damaged at {at}");
        }
    }
}

/// Variable by which the test below tells its child where to write.
const DIRECTORY: &str = "MESHCORE_TEST_REGISTRY";

#[test]
fn a_kill_loses_nothing_that_was_written() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut written = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_kill_loses_nothing_that_was_written", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let until = Instant::now() + Duration::from_millis(40 + 17 * round);
        let mut last = written;
        for line in lines {
            if let Some(number) = line.unwrap().strip_prefix("written ") {
                last = number.parse().unwrap();
            }
            if Instant::now() > until && last > written {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (store, kept) = Store::open(directory.path()).unwrap();
        drop(store);
        assert!(kept.len() >= last, "{} are kept of {last}", kept.len());
        written = kept.len();
    }
    assert!(written > 8, "{written} were written");
}

fn write_until_killed(directory: &Path) {
    let (store, kept) = Store::open(directory).unwrap();
    run(async {
        for number in kept.len().. {
            store.write(vec![put(number)]).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nwritten {}", number + 1).unwrap();
            out.flush().unwrap();
        }
    });
}
