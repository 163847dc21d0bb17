//! Resource limits of a child, set from outside the moment it runs.
//!
//! Limits belong to a process, not to a thread, so they cannot be inherited from the spawning
//! thread as the walls are: the daemon itself would be limited. `prlimit` sets them on the child
//! right after it was started. What it forked in the instant before has none yet, and is looked
//! for: children of a process that has its limits are born with them.

use super::walls::Walls;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::collections::BTreeSet;
use std::io;

/// No core files: they would hold what the plugin was told, and fill the disk.
const CORE: u64 = 0;
/// Open descriptors.
const FILES: u64 = 1024;
/// Size of one file that is written; more ends the program (SIGXFSZ).
const FILE_SIZE: u64 = 256 << 20;

/// More descendants than this are not looked for: no honest program has them in its first instant.
const MAX_EARLY: usize = 4096;

/// Limits a child of ours that is not reaped. Lowers only, which needs no privilege as long as the
/// child is the calling thread's own user's.
pub(super) fn impose(child: Pid, walls: Option<&Walls>) -> io::Result<()> {
    let mut limits =
        vec![(Resource::Core, CORE), (Resource::Nofile, FILES), (Resource::Fsize, FILE_SIZE)];
    let memory = walls.and_then(|walls| walls.memory);
    let processes = walls.and_then(|walls| walls.processes);
    limits.extend(memory.map(|bytes| (Resource::As, bytes)));
    limits.extend(processes.map(|count| (Resource::Nproc, u64::from(count))));
    set(child, &limits)?;
    if memory.is_some() || processes.is_some() {
        limit_the_early(child, &limits)?;
    }
    Ok(())
}

fn set(pid: Pid, limits: &[(Resource, u64)]) -> io::Result<()> {
    for &(resource, wanted) in limits {
        // What we have ourselves is the most that may be given.
        let most = getrlimit(resource).maximum;
        let value = Some(most.map_or(wanted, |most| most.min(wanted)));
        prlimit(Some(pid), resource, Rlimit { current: value, maximum: value })?;
    }
    Ok(())
}

/// Descendants that were forked before their parent had its limits. A parent is limited before its
/// children are listed, so whoever is not on the list was born limited.
fn limit_the_early(child: Pid, limits: &[(Resource, u64)]) -> io::Result<()> {
    let mut seen = BTreeSet::from([child.as_raw_nonzero().get()]);
    let mut ahead = vec![child];
    while let Some(parent) = ahead.pop() {
        for pid in children_of(parent) {
            let Some(early) = Pid::from_raw(pid).filter(|_| seen.insert(pid)) else { continue };
            if seen.len() > MAX_EARLY {
                return Err(io::Error::other("it forks faster than it can be limited"));
            }
            match set(early, limits).map_err(|error| Errno::from_io_error(&error).ok_or(error)) {
                // It is gone already.
                Ok(()) | Err(Ok(Errno::SRCH)) => ahead.push(early),
                Err(Ok(errno)) => return Err(errno.into()),
                Err(Err(error)) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Of all its threads; nothing where it is gone or the kernel does not tell.
fn children_of(parent: Pid) -> Vec<i32> {
    let tasks = format!("/proc/{}/task", parent.as_raw_nonzero());
    let lists = std::fs::read_dir(tasks)
        .into_iter()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}
