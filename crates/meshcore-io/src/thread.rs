//! What the system knows of a thread.

use std::mem::MaybeUninit;

/// How often the calling thread has given its processor up to wait for something. It does not grow
/// when the thread is interrupted. A system call; `None` when the system does not say.
pub fn waits_of_this_thread() -> Option<u64> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to memory of the size of the result.
    let done = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    if done != 0 {
        return None;
    }
    // SAFETY: getrusage(2) has filled it.
    let usage = unsafe { usage.assume_init() };
    u64::try_from(usage.ru_nvcsw).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sleep_is_a_wait() {
        let before = waits_of_this_thread().unwrap();
        std::thread::park_timeout(Duration::from_millis(1));
        assert!(waits_of_this_thread().unwrap() > before);
    }
}
