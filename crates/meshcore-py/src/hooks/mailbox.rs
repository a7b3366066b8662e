//! What a worker has to do with threads that run hooks: it calls and is answered once in a turn of
//! its loop, since waking a thread up costs more than most hooks.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;

use super::PyHooks;
use super::reply::{Decided, Reply};

/// Answers that are handed on at a time.
const BATCH: usize = 64;

thread_local!(static MAILBOX: RefCell<Option<Mailbox>> = const { RefCell::new(None) });

/// The mailbox of one worker.
#[derive(Debug)]
struct Mailbox {
    answers: mpsc::UnboundedSender<Answered>,
    calls: Rc<Notify>,
}

/// A decision, and the request that waits for it.
pub(crate) type Answered = (oneshot::Sender<Decided>, Decided);

/// Where the answer for a request of this worker goes. Called in its loop.
pub(crate) fn reply_to(host: &Arc<PyHooks>, waiting: oneshot::Sender<Decided>) -> Reply {
    MAILBOX.with_borrow_mut(|mailbox| {
        let mailbox = mailbox.get_or_insert_with(|| Mailbox::open(host));
        Reply::Worker { waiting, answers: mailbox.answers.clone() }
    })
}

/// A call of this worker waits in the queue: threads hear of it when the worker has looked at all
/// that is ready now.
pub(crate) fn has_called() {
    MAILBOX.with_borrow(|mailbox| {
        if let Some(mailbox) = mailbox {
            mailbox.calls.notify_one();
        }
    });
}

/// The worker's loop is over.
pub(crate) fn close() {
    MAILBOX.take();
}

// === impl Mailbox ===

impl Mailbox {
    fn open(host: &Arc<PyHooks>) -> Self {
        // As long as the calls that wait, which are bounded.
        let (answers, answered) = mpsc::unbounded_channel();
        let calls = Rc::new(Notify::new());
        spawn_local(hand_on(answered));
        spawn_local(ring(Arc::clone(host), Rc::clone(&calls)));
        Self { answers, calls }
    }
}

async fn hand_on(mut answered: mpsc::UnboundedReceiver<Answered>) {
    let mut some = Vec::with_capacity(BATCH);
    while answered.recv_many(&mut some, BATCH).await > 0 {
        for (waiting, decided) in some.drain(..) {
            // Who waited may have given up meanwhile.
            let _ = waiting.send(decided);
        }
    }
}

async fn ring(host: Arc<PyHooks>, calls: Rc<Notify>) {
    loop {
        calls.notified().await;
        host.queue.ring();
    }
}
