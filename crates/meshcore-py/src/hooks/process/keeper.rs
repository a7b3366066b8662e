//! The thread that keeps a plugin's process: one life after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use meshcore_proxy::hooks::HookError;

use super::super::clerk::Severity;
use super::super::entry::count;
use super::Shared;
use super::child::{Fault, Recipe};
use super::life::{End, Life, Orders};

/// First pause before it is started again, the longest one, and how long it has to live for the
/// pause to be the first one again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const GOOD_LIFE: Duration = Duration::from_secs(30);
/// How long it may go on when it is not wanted any more, and when it is at fault.
const END_WITHIN: Duration = Duration::from_secs(1);
const FAULT_WITHIN: Duration = Duration::from_millis(300);

/// The first frame of the process, or in words why there is none.
pub(super) type Begun = Result<Vec<u8>, String>;

/// What keeps a process.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) recipe: Recipe,
    pub(super) orders: Orders,
    pub(super) shared: Arc<Shared>,
}

/// Why a life ended, and how.
type Ended = (Fault, String);

// === impl Keeper ===

impl Keeper {
    /// The whole thread. Says once how the first start went.
    pub(super) fn run(self, begun: &Sender<Begun>) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.keep(begun)),
            Err(error) => drop(begun.send(Err(format!("no event loop for it: {error}")))),
        }
    }

    async fn keep(mut self, begun: &Sender<Begun>) {
        let (mut life, hello) = match self.begin().await {
            Ok(first) => first,
            Err(ended) => return drop(begun.send(Err(self.first_words(&ended)))),
        };
        // Nobody may wait for it any more; then there will be no calls either.
        let _ = begun.send(Ok(hello.clone()));
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let Some(ended) = self.live(life).await else { return };
            if started.elapsed() >= GOOD_LIFE {
                pause = FIRST_PAUSE;
            }
            let Some(next) = self.begin_again(ended, &hello, &mut pause).await else { return };
            life = next;
        }
    }

    /// Starts the process and waits until it has loaded its plugin; returns its first frame too.
    async fn begin(&self) -> Result<(Life, Vec<u8>), Ended> {
        let mut life = Life::start(&self.recipe).map_err(|fault| (fault, String::new()))?;
        match life.load(self.recipe.within).await {
            Ok(hello) => Ok((life, hello)),
            Err(fault) => Err((fault, life.end(FAULT_WITHIN, &self.shared).await)),
        }
    }

    /// Lets it take calls until it ends; `None` when it is not wanted any more.
    async fn live(&mut self, mut life: Life) -> Option<Ended> {
        self.shared.is_up.store(true, Ordering::Relaxed);
        let end = life.run(&mut self.orders, &self.shared).await;
        self.shared.is_up.store(false, Ordering::Relaxed);
        match end {
            End::Unwanted => {
                life.end(END_WITHIN, &self.shared).await;
                None
            }
            End::Fault(fault) => Some((fault, life.end(FAULT_WITHIN, &self.shared).await)),
        }
    }

    /// Starts it again, with growing pauses, until it has loaded what it had loaded before; `None`
    /// when it is not wanted any more.
    async fn begin_again(
        &mut self,
        mut ended: Ended,
        hello: &[u8],
        pause: &mut Duration,
    ) -> Option<Life> {
        loop {
            self.report(&ended, *pause);
            self.wait(*pause).await?;
            *pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            count(&self.shared.counts.restarts);
            ended = match self.begin().await {
                Ok((life, frame)) if frame == hello => return Some(life),
                Ok((life, _)) => (Fault::Changed, life.end(FAULT_WITHIN, &self.shared).await),
                Err(ended) => ended,
            };
        }
    }

    /// Waits, and answers calls that were on their way; `None` when the process is not wanted.
    async fn wait(&mut self, pause: Duration) -> Option<()> {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        while !self.shared.is_retired() {
            tokio::select! {
                () = &mut over => return Some(()),
                () = self.shared.changed.notified() => {}
                call = self.orders.calls.recv() => call?.finish(Err(HookError::Down), Duration::ZERO),
            }
        }
        None
    }

    /// Why the first start failed, with what the process said.
    fn first_words(&self, (fault, how): &Ended) -> String {
        let why = if matches!(fault, Fault::Ended) {
            format!("its process {how} while it was loaded")
        } else {
            fault.to_string()
        };
        let said = std::mem::take(&mut self.shared.audience.lock().early);
        [&[why][..], &said].concat().join("\n")
    }

    fn report(&self, (fault, how): &Ended, pause: Duration) {
        count(&self.shared.counts.faults);
        let why =
            if matches!(fault, Fault::Ended) { how.clone() } else { format!("was ended: {fault}") };
        let text = format!(
            "plugin {}: its process {why}; it is started again in {} ms, until then its requests \
             get the answer of on_error",
            self.shared.name,
            pause.as_millis(),
        );
        self.shared.report(Severity::Error, text);
    }
}
