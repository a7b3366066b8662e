//! Things that are counted in a gauge while they exist.

use meshcore_telemetry::{Gauge, Recorder};

/// One more in a gauge, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    recorder: Recorder,
    gauge: Gauge,
}

impl Counted {
    pub(crate) fn begin(recorder: &Recorder, gauge: Gauge) -> Self {
        recorder.gauge(gauge, 1);
        Self { recorder: recorder.clone(), gauge }
    }

    /// What counts it.
    pub(crate) const fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.recorder.gauge(self.gauge, -1);
    }
}
