//! How much memory the system lets this process have, and how much of it is used.
//!
//! Source: the kernel's `admin-guide/cgroup-v2.rst` (section "Memory") and
//! `admin-guide/cgroup-v1/memory.rst`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A limit that is larger than this is none: version 1 says "none" by a number close to 2^63.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// The tightest limit on the memory of the control group that this process is in. Whoever passes
/// it is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit {
    bytes: u64,
    group: PathBuf,
    files: &'static Files,
}

/// What the files of a version of control groups are called.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    limit: &'static str,
    used: &'static str,
    /// In `memory.stat`: pages of files that nobody uses, which are given up before anybody is
    /// killed.
    inactive: &'static str,
    /// In `memory.stat`: what sockets hold, where the group counts it.
    sockets: Option<&'static str>,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    inactive: "total_inactive_file",
    sockets: None,
};

const V2: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    inactive: "inactive_file",
    sockets: Some("sock"),
};

impl MemoryLimit {
    /// The limit of this process; `None` where there is none, or no control groups.
    pub fn find() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        mounts.lines().filter_map(|mount| tightest(mount, &groups)).min_by_key(|found| found.bytes)
    }

    /// The limit in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that count against the limit and cannot be had back by dropping caches, and those
    /// of them that are in sockets, where the system tells.
    ///
    /// # Errors
    ///
    /// When the group has gone.
    pub fn used_bytes(&self) -> io::Result<(u64, u64)> {
        let used = read_number(&self.group.join(self.files.used))?;
        let statistics = fs::read_to_string(self.group.join("memory.stat"))?;
        let sockets = self.files.sockets.map_or(0, |name| statistic(&statistics, name));
        Ok((used.saturating_sub(statistic(&statistics, self.files.inactive)), sockets))
    }
}

/// Bytes that this process alone has in use, without files.
///
/// # Errors
///
/// When the system does not say.
pub fn own_bytes() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kib = |line: &str| {
        let value = line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?;
        value.parse::<u64>().ok()
    };
    let found = status.lines().find_map(kib).ok_or(io::ErrorKind::InvalidData)?;
    Ok(found.saturating_mul(1024))
}

/// Gives memory that this thread has freed back to the system, now: the allocator of the data
/// plane, mimalloc, keeps it for the thread until the thread frees more.
pub fn release_free_memory() {
    // SAFETY: takes no pointer and keeps none; it may be called at any time, from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// The tightest limit of the groups above and at this process, in the hierarchy of one mount.
fn tightest(mount: &str, groups: &str) -> Option<MemoryLimit> {
    let (root, point, files) = memory_mount(mount)?;
    let own = groups.lines().find_map(|line| own_group(line, files))?;
    // In a container its own group may be the root of what is mounted.
    let below = Path::new(own).strip_prefix(root).unwrap_or(Path::new(""));
    let ancestors = below.ancestors().map(|group| Path::new(point).join(group));
    let limited = ancestors.filter_map(|group| {
        let bytes = read_number(&group.join(files.limit)).ok()?;
        (bytes < NO_LIMIT_BYTES).then_some(MemoryLimit { bytes, group, files })
    });
    limited.min_by_key(|found| found.bytes)
}

/// Root, mount point and version of a line of `mountinfo`, if it is a hierarchy with memory.
/// Source: `proc_pid_mountinfo(5)`.
fn memory_mount(line: &str) -> Option<(&str, &str, &'static Files)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let mut fields = after.split(' ');
    let files = match (fields.next()?, fields.nth(1)?) {
        ("cgroup2", _options) => &V2,
        ("cgroup", options) if options.split(',').any(|option| option == "memory") => &V1,
        _other => return None,
    };
    Some((root, point, files))
}

/// Our group in a line of `/proc/self/cgroup`, if it is of that hierarchy. Source: cgroups(7).
fn own_group<'a>(line: &'a str, files: &Files) -> Option<&'a str> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
    let is_ours = if files == &V2 {
        number == "0"
    } else {
        controllers.split(',').any(|controller| controller == "memory")
    };
    is_ours.then_some(group)
}

fn read_number(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_max| io::ErrorKind::InvalidData.into())
}

fn statistic(statistics: &str, name: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    statistics.lines().find_map(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNT_V1: &str =
        "36 25 0:31 /a /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory";
    const MOUNT_V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn hierarchies_with_memory_are_told_from_others() {
        assert_eq!(memory_mount(MOUNT_V1), Some(("/a", "/sys/fs/cgroup/memory", &V1)));
        assert_eq!(memory_mount(MOUNT_V2), Some(("/", "/sys/fs/cgroup", &V2)));
        let other = "36 25 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids";
        assert_eq!(memory_mount(other), None);
        assert_eq!(memory_mount("22 1 0:20 / /proc rw - proc proc rw"), None);
        assert_eq!(own_group("4:memory,hugetlb:/a/b", &V1), Some("/a/b"));
        assert_eq!(own_group("0::/a/b", &V2), Some("/a/b"));
        assert_eq!(own_group("0::/a/b", &V1), None);
        assert_eq!(own_group("8:pids:/", &V1), None);
    }

    #[test]
    fn the_tightest_limit_above_us_counts() {
        let root = std::env::temp_dir().join(format!("meshcore-memory-{}", std::process::id()));
        let own = root.join("pod/container");
        fs::create_dir_all(&own).unwrap();
        for (group, limit) in [("", "max"), ("pod", "1000"), ("pod/container", "max")] {
            fs::write(root.join(group).join("memory.max"), format!("{limit}\n")).unwrap();
        }
        let mount = format!("30 23 0:26 / {} rw - cgroup2 cgroup2 rw", root.display());
        let found = tightest(&mount, "4:pids:/\n0::/pod/container\n").unwrap();
        assert_eq!((found.bytes(), &found.group), (1000, &root.join("pod")));
        assert_eq!(tightest(&mount, "4:pids:/\n"), None);
        fs::write(root.join("pod/memory.current"), "900\n").unwrap();
        let statistics = "anon 500\ninactive_file_x 7\ninactive_file 300\nsock 40\n";
        fs::write(root.join("pod/memory.stat"), statistics).unwrap();
        assert_eq!(found.used_bytes().unwrap(), (600, 40));
        fs::remove_dir_all(&root).unwrap();
        assert!(found.used_bytes().is_err());
    }

    #[test]
    fn what_this_system_says_can_be_read() {
        if let Some(limit) = MemoryLimit::find() {
            assert!(limit.bytes() > 0 && limit.used_bytes().unwrap().0 > 0);
        }
        assert!(own_bytes().unwrap() > 100_000);
        release_free_memory();
    }
}
