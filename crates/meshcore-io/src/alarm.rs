//! A clock that wakes a loop.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Rings once, when it was asked to.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// An alarm that rings in the loop of the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor for it.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: it owns its descriptor, which is the same and open until it is dropped.
        let registered = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Rings after `delay`, and no more when it was to ring before.
    ///
    /// # Errors
    ///
    /// When `delay` is longer than the system can say.
    pub fn ring_in(&self, delay: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec::try_from(delay.max(Duration::from_nanos(1)))
                .map_err(|_| io::ErrorKind::InvalidInput)?,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// Waits until it rings.
    ///
    /// # Errors
    ///
    /// When the runtime ends.
    pub async fn rung(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut count = [0_u8; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut count)?));
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_rings_once_at_the_time_that_was_said_last() {
        let (alarm, began) = (Alarm::new().unwrap(), Instant::now());
        alarm.ring_in(Duration::from_hours(1)).unwrap();
        alarm.ring_in(Duration::from_millis(20)).unwrap();
        alarm.rung().await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(20));
        let again = tokio::time::timeout(Duration::from_millis(50), alarm.rung()).await;
        assert!(again.is_err());
        alarm.ring_in(Duration::ZERO).unwrap();
        alarm.rung().await.unwrap();
    }
}
