//! A panic ends what it happened in, is counted, and nothing else ends.
//!
//! The panic hook of the process has said by then what happened, and in which line.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use meshcore_telemetry::{Counter, Recorder};

use crate::timer::sleep;

/// How long a loop pauses that panicked, so that one which does so each time costs little.
const PAUSE: Duration = Duration::from_millis(100);

/// Polls a future; `None` when it panics, after which it must not be polled again.
pub(crate) fn poll_contained<F: Future>(
    recorder: &Recorder,
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Option<F::Output>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_told) => {
            recorder.count(Counter::Panics, 1);
            Poll::Ready(None)
        }
    }
}

/// Runs a loop to its end, and begins it again when it panics: the process needs it.
pub(crate) async fn for_ever<F: Future<Output = ()>>(recorder: Recorder, begin: impl Fn() -> F) {
    loop {
        let mut running = pin!(begin());
        let ended =
            std::future::poll_fn(|cx| poll_contained(&recorder, running.as_mut(), cx)).await;
        if ended.is_some() {
            return;
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use meshcore_telemetry::{Registry, RegistryOptions};

    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_begins_again() {
        let recorder = Registry::new(RegistryOptions::default()).recorder();
        let (begun, is_over) = (Cell::new(0), Cell::new(false));
        let turn = async || {
            begun.set(begun.get() + 1);
            assert!(begun.get() > 2, "a bug");
            is_over.set(true);
        };
        for_ever(recorder, turn).await;
        assert_eq!((begun.get(), is_over.get()), (3, true));
    }
}
