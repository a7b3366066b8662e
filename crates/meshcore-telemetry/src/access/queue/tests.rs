use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A file in memory whose writes wait while it is shut, and fail when told to.
#[derive(Clone, Default)]
struct Fake(Arc<(Mutex<Inside>, Condvar)>);

#[derive(Default)]
struct Inside {
    text: Vec<u8>,
    is_shut: bool,
    fails_next: bool,
    is_writing: bool,
}

impl Fake {
    fn shut() -> Self {
        let fake = Self::default();
        fake.0.0.lock().is_shut = true;
        fake
    }

    fn open(&self) {
        self.0.0.lock().is_shut = false;
        self.0.1.notify_all();
    }

    fn until_writing(&self) {
        let mut inside = self.0.0.lock();
        let wait = self.0.1.wait_while_for(&mut inside, |inside| !inside.is_writing, LONG);
        assert!(!wait.timed_out());
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().text.clone()).unwrap()
    }

    fn queue(&self, capacity_bytes: usize) -> LogQueue {
        LogQueue::start(LogSink::to(Box::new(self.clone())), capacity_bytes).unwrap()
    }
}

impl Write for Fake {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inside = self.0.0.lock();
        inside.is_writing = true;
        self.0.1.notify_all();
        self.0.1.wait_while(&mut inside, |inside| inside.is_shut);
        if std::mem::take(&mut inside.fails_next) {
            inside.text.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        inside.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("meshcore-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn lines_arrive_whole_and_in_order_within_a_worker() {
    let fake = Fake::default();
    let queue = fake.queue(1 << 20);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let mut buffer = queue.sender().buffer();
            scope.spawn(move || {
                for n in 0..2_000 {
                    buffer.line(|out| writeln!(out, "{worker} {n:0>20}").unwrap()).unwrap();
                }
            });
        }
    });
    assert_eq!(queue.stats().dropped, 0);
    assert_eq!(queue.close(LONG), Closed::Flushed);
    let text = fake.text();
    assert_eq!(text.lines().count(), 8_000);
    for worker in 0..4 {
        let of_worker = text.lines().filter_map(|line| line.strip_prefix(&format!("{worker} ")));
        let numbers: Vec<usize> = of_worker.map(|n| n.parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..2_000));
    }
}

#[test]
fn lines_are_written_without_being_asked_for() {
    let fake = Fake::default();
    let queue = fake.queue(1 << 20);
    queue.sender().send(b"one\n".to_vec(), 1).unwrap();
    fake.until_writing();
    drop(queue);
}

#[test]
fn a_stuck_file_blocks_no_worker_and_drops_are_counted() {
    let fake = Fake::shut();
    let queue = fake.queue(100);
    let sender = queue.sender();
    sender.send(vec![b'a'; 60], 6).unwrap();
    fake.until_writing();
    sender.send(vec![b'b'; 40], 4).unwrap();
    // Both what waits and what is being written count against the room.
    assert_eq!(sender.send(vec![b'c'; 1], 3), Err(QueueFull { lines: 3 }));
    let stats = LogStats { dropped: 3, ..LogStats::default() };
    assert_eq!(queue.stats(), stats);
    fake.open();
    assert_eq!(queue.close(LONG), Closed::Flushed);
    assert_eq!(fake.text().len(), 100);
    assert_eq!(sender.send(vec![b'd'], 1), Err(QueueFull { lines: 1 }));
}

#[test]
fn closing_gives_up_on_a_stuck_file() {
    let fake = Fake::shut();
    let queue = fake.queue(100);
    queue.sender().send(b"one\ntwo\n".to_vec(), 2).unwrap();
    fake.until_writing();
    queue.sender().send(b"three\n".to_vec(), 1).unwrap();
    assert_eq!(queue.close(Duration::from_millis(10)), Closed::Abandoned { lines: 3 });
    fake.open();
}

#[test]
fn half_a_line_does_not_swallow_the_next() {
    let fake = Fake::default();
    fake.0.0.lock().fails_next = true;
    let queue = fake.queue(1000);
    queue.sender().send(b"lost\n".to_vec(), 1).unwrap();
    fake.until_writing();
    while queue.stats().failed == 0 {
        std::thread::yield_now();
    }
    queue.sender().send(b"kept\n".to_vec(), 1).unwrap();
    let shared = Arc::clone(&queue.shared);
    assert_eq!(queue.close(LONG), Closed::Flushed);
    assert_eq!(fake.text(), "lo\nkept\n");
    let stats = LogStats { written: 1, failed: 1, ..LogStats::default() };
    assert_eq!(shared.state.lock().stats, stats);
}

#[test]
fn a_renamed_file_is_opened_anew() {
    let folder = Folder::new("rotation");
    let (path, old) = (folder.0.join("access.log"), folder.0.join("access.log.1"));
    fs::write(&path, "before\n").unwrap();
    let queue = LogQueue::start(LogSink::open(&path).unwrap(), 1000).unwrap();
    queue.sender().send(b"first\n".to_vec(), 1).unwrap();
    while queue.stats().written == 0 {
        std::thread::yield_now();
    }
    fs::rename(&path, &old).unwrap();
    queue.reopen();
    queue.sender().send(b"second\n".to_vec(), 1).unwrap();
    while queue.stats().written == 1 {
        std::thread::yield_now();
    }
    assert_eq!(fs::read_to_string(&old).unwrap(), "before\nfirst\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
    fs::rename(&path, &old).unwrap();
    fs::create_dir(&path).unwrap();
    queue.reopen();
    queue.sender().send(b"third\n".to_vec(), 1).unwrap();
    while queue.stats().written == 2 {
        std::thread::yield_now();
    }
    assert_eq!(queue.stats().reopen_failures, 1);
    assert_eq!(queue.close(LONG), Closed::Flushed);
    assert_eq!(fs::read_to_string(&old).unwrap(), "second\nthird\n");
}

#[test]
fn a_dead_writer_is_not_waited_for() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("broken on purpose");
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let queue = LogQueue::start(LogSink::to(Box::new(Broken)), 1000).unwrap();
    let sender = queue.sender();
    sender.send(b"one\n".to_vec(), 1).unwrap();
    assert_eq!(queue.close(LONG), Closed::Abandoned { lines: 1 });
    assert_eq!(sender.send(b"two\n".to_vec(), 1), Err(QueueFull { lines: 1 }));
}

#[test]
fn standard_output_is_a_file_of_ours() {
    for path in ["/dev/stdout", "/dev/stderr"] {
        LogSink::open(path.as_ref()).unwrap();
    }
    assert!(LogSink::open("/no/such/folder/access.log".as_ref()).is_err());
}
