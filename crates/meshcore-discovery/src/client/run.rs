//! The loop of a client: connect, listen, wait, and do as it is told meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc as channel;
use tokio::time::Instant;

use super::answer::{Health, answer, health};
use super::asked::Keys;
use super::backoff::Backoff;
use super::collect::Whole;
use super::connect::connect;
use super::held::{Held, Refusal, Sink};
use super::news::{News, Origin};
use super::take::TakeAll;
use super::{Options, kept};
use crate::wire::DeltaRequest;

/// How often what is in force is kept, if it changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often hosts that were not used are looked for, if they are not dropped sooner.
const USE_EVERY: Duration = Duration::from_mins(1);
/// The key that is always asked for.
const SELF: &str = "self";
/// The keys that a sidecar, and a gateway, asks for as long as it lives.
const OF_SIDECARS: [&str; 1] = [SELF];
const OF_GATEWAYS: [&str; 2] = [SELF, "gateway"];

/// What a client is told.
pub(super) enum Command {
    /// There are other keys.
    Keys,
    Run(Box<dyn FnOnce(&mut Held) + Send>),
    TryOut(Box<dyn FnMut(&mut Runner) + Send>),
    Follow(Box<dyn Sink>),
    Health(Health),
    Stop,
}

/// A client on its thread.
pub(super) struct Runner {
    pub(super) options: Options,
    pub(super) keys: Arc<Keys>,
    pub(super) news: Arc<News>,
    pub(super) commands: channel::UnboundedReceiver<Command>,
    pub(super) held: Held,
    sink: Option<Box<dyn Sink>>,
    /// A response that was taken before anybody could put it in force.
    unanswered: Option<(String, Vec<Refusal>)>,
    pub(super) health: Option<Health>,
    /// What is to be said on the stream.
    pub(super) outbox: Vec<DeltaRequest>,
    /// Whether the keys have changed since they were said.
    pub(super) has_new_keys: bool,
    /// Whether something is in force that is not on disk.
    is_dirty: bool,
    tells_disk: bool,
    look_at: Instant,
    use_at: Instant,
    /// What services had carried at the last look, by host.
    carried: HashMap<String, u64>,
}

impl Runner {
    pub(super) fn new(
        options: Options,
        (keys, news): (Arc<Keys>, Arc<News>),
        commands: channel::UnboundedReceiver<Command>,
    ) -> Self {
        let mut runner = Self {
            held: Held::new(options.access_log.clone()),
            options,
            keys,
            news,
            commands,
            sink: None,
            unanswered: None,
            health: None,
            outbox: Vec::new(),
            has_new_keys: false,
            is_dirty: false,
            tells_disk: true,
            look_at: Instant::now(),
            use_at: Instant::now(),
            carried: HashMap::new(),
        };
        runner.restore();
        runner
    }

    /// The keys that are asked for whatever is called.
    pub(super) fn own_keys(&self) -> &'static [&'static str] {
        if self.options.is_gateway { &OF_GATEWAYS } else { &OF_SIDECARS }
    }

    /// Whether it is known what it is, and what it serves.
    fn has_own(&self) -> bool {
        self.own_keys().iter().all(|key| self.held.found(key).is_some())
    }

    /// Begins with what was in force in an earlier life.
    fn restore(&mut self) {
        let Some(path) = &self.options.file else { return };
        let change = match kept::read(path, &self.options.node.id) {
            Ok(Some(change)) => change,
            Ok(None) => return,
            Err(why) => {
                let text = format!("last good state {} is not used: {why}", path.display());
                return self.news.notice(true, text);
            }
        };
        let keys: Vec<String> = change.given.iter().map(|given| given.name.clone()).collect();
        self.held.put(change, &mut TakeAll);
        for key in keys.iter().filter(|key| !OF_GATEWAYS.contains(&key.as_str())) {
            if let Some(found) = self.held.found(key) {
                self.keys.restore(key, !found.is_empty());
            }
        }
        if self.has_own() {
            self.news.has_self(Origin::Disk);
        }
        self.note();
    }

    /// Goes on until it is told to stop.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while let Some(why) = Box::pin(self.once(&mut backoff)).await {
            self.news.lost(why, self.held.count() > 0);
            if self.attend(tokio::time::sleep(backoff.next())).await.is_none() {
                break;
            }
        }
        self.keep();
        self.news.stopped();
    }

    /// Connects and listens; returns why that ended, or `None` when it was told to stop.
    async fn once(&mut self, backoff: &mut Backoff) -> Option<String> {
        let connecting = connect(Arc::clone(&self.options.connector));
        match Box::pin(self.attend(connecting)).await? {
            Ok(channel) => Box::pin(self.listen(channel, backoff)).await,
            Err(why) => Some(why),
        }
    }

    /// Does what it is told while something goes on; `None` when it was told to stop.
    pub(super) async fn attend<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Some(output),
                goes_on = self.told() => if !goes_on {
                    return None;
                },
            }
        }
    }

    /// Waits until it is told something, or has to look around; whether it goes on.
    pub(super) async fn told(&mut self) -> bool {
        tokio::select! {
            command = self.commands.recv() => self.obey(command),
            () = tokio::time::sleep_until(self.look_at) => {
                self.look_around();
                true
            }
        }
    }

    /// Whether it goes on.
    fn obey(&mut self, command: Option<Command>) -> bool {
        match command {
            Some(Command::Keys) => self.has_new_keys = true,
            Some(Command::Run(run)) => run(&mut self.held),
            Some(Command::TryOut(mut run)) => run(self),
            Some(Command::Follow(sink)) => self.follow(sink),
            Some(Command::Health(now)) => {
                self.outbox.push(health(&now));
                self.health = Some(now);
            }
            Some(Command::Stop) | None => return false,
        }
        true
    }

    /// Tries what is held with a sink, and holds what it refuses no more.
    pub(super) fn put_all(&mut self, sink: &mut dyn Sink) {
        let refused = self.held.put_all(sink);
        self.news.applied(&refused);
        if let Some((_, refusals)) = &mut self.unanswered {
            refusals.extend(refused);
        }
        self.note();
    }

    fn follow(&mut self, mut sink: Box<dyn Sink>) {
        self.put_all(&mut *sink);
        self.sink = Some(sink);
        if let Some((nonce, refusals)) = self.unanswered.take() {
            self.outbox.push(answer(nonce, &refusals));
        }
        self.is_dirty = true;
    }

    /// Puts a response in force, and answers it once that can be done.
    pub(super) fn put(&mut self, Whole { change, nonce }: Whole) {
        let given = change.given.iter().map(|given| given.name.clone());
        let names: Vec<String> = given.chain(change.removed.iter().cloned()).collect();
        let refusals = match &mut self.sink {
            Some(sink) => self.held.put(change, &mut **sink),
            None => self.held.put(change, &mut TakeAll),
        };
        for name in &names {
            let is_there = self.held.found(name).is_some_and(|found| !found.is_empty());
            self.keys.answered(name, is_there);
        }
        let is_refused = |name: &str| refusals.iter().any(|refusal| refusal.name == name);
        self.news.mended(|name| names.iter().any(|one| one == name) && !is_refused(name));
        self.news.applied(&refusals);
        if self.has_own() {
            self.news.has_self(Origin::ControlPlane);
        }
        if self.sink.is_some() {
            self.outbox.push(answer(nonce, &refusals));
        } else {
            let before = self.unanswered.take().map(|(_, before)| before).unwrap_or_default();
            self.unanswered = Some((nonce, [before, refusals].concat()));
        }
        self.is_dirty = true;
        self.note();
    }

    /// A new stream begins: what was not answered is not known there.
    pub(super) fn forget_stream(&mut self) {
        self.unanswered = None;
        self.outbox.clear();
        self.outbox.extend(self.health.as_ref().map(health));
    }

    /// Keeps what is in force, and drops hosts that were not used.
    fn look_around(&mut self) {
        let now = Instant::now();
        self.look_at = now.checked_add(LOOK_EVERY).unwrap_or(now);
        if std::mem::take(&mut self.is_dirty) {
            self.keep();
        }
        if now >= self.use_at {
            let every = self.options.unused.checked_div(10).unwrap_or_default().min(USE_EVERY);
            self.use_at = now.checked_add(every).unwrap_or(now);
            self.note_use();
            self.has_new_keys |= self.keys.drop_unused(self.options.unused);
        }
        self.note();
    }

    /// Notes which hosts were used since the last look, by what their services have carried.
    fn note_use(&mut self) {
        let Some(sink) = &self.sink else { return };
        let now = sink.carried();
        for key in self.keys.all() {
            let names = self.held.found(&key).unwrap_or_default();
            let is_used = names.iter().filter_map(|name| self.held.host(name)).any(|host| {
                now.get(host).is_some_and(|count| self.carried.get(host) != Some(count))
            });
            if is_used {
                self.keys.used(&key);
            }
        }
        self.carried = now;
    }

    fn keep(&mut self) {
        let (Some(path), true) = (&self.options.file, self.sink.is_some()) else { return };
        match kept::write(path, &self.options.node.id, &self.held) {
            Ok(()) => self.tells_disk = true,
            Err(error) => {
                if std::mem::take(&mut self.tells_disk) {
                    let path = path.display();
                    self.news
                        .notice(true, format!("last good state cannot be kept: {path}: {error}"));
                }
            }
        }
    }

    fn note(&self) {
        self.news.holds(&self.held.said, self.held.count(), self.keys.counts());
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "Keys",
            Self::Run(_) => "Run",
            Self::TryOut(_) => "TryOut",
            Self::Follow(_) => "Follow",
            Self::Health(_) => "Health",
            Self::Stop => "Stop",
        })
    }
}
