//! Groups of processes.

use std::io;

/// Ends a process group at once: the process it is named after, and those it started that did
/// not leave it.
///
/// The process must not have been waited for, or its number may have come to mean another.
///
/// # Errors
///
/// When there is no such group, or it is another user's.
pub fn end_group(leader: u32) -> io::Result<()> {
    let leader = libc::pid_t::try_from(leader).map_err(|_| io::ErrorKind::InvalidInput)?;
    if leader <= 1 {
        // To kill(2), 0 is the group of the caller, and -1 is everybody.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: kill(2) takes two numbers and touches no memory of ours.
    let result = unsafe { libc::kill(leader.saturating_neg(), libc::SIGKILL) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    use super::*;

    #[test]
    fn a_group_ends_as_a_whole() {
        let mut shell =
            Command::new("sh").args(["-c", "sleep 60 & wait"]).process_group(0).spawn().unwrap();
        end_group(shell.id()).unwrap();
        assert_eq!(shell.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn numbers_that_mean_something_else_are_refused() {
        assert!(end_group(0).is_err());
        assert!(end_group(1).is_err());
        assert!(end_group(u32::MAX).is_err());
    }
}
