//! Resource limits of a child, set from outside the moment it runs.
//!
//! Limits belong to a process, not to a thread, so they cannot be inherited from the spawning
//! thread as the walls are: the daemon itself would be limited. `prlimit` sets them on the child
//! right after it was started, and before it is given any input. What it forked in the instant
//! before has none yet, and is looked for: children of a process that has its limits are born with
//! them. Who took more in that instant than it may have is killed.

use super::walls::Walls;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process_group, prlimit};
use std::io;

/// No core files: they would hold what the plugin was told, and fill the disk.
const CORE: u64 = 0;
/// Open descriptors.
const FILES: u64 = 1024;
/// Size of one file that is written; more ends the program (SIGXFSZ).
const FILE_SIZE: u64 = 256 << 20;

/// More descendants than this are not looked for: no honest program has them in its first instant.
const MAX_EARLY: usize = 4096;

/// Limits a child of ours that leads its group and is not reaped. Lowers only, which needs no
/// privilege as long as the child is the calling thread's own user's.
pub(super) fn impose(child: Pid, walls: Option<&Walls>) -> io::Result<()> {
    let mut limits =
        vec![(Resource::Core, CORE), (Resource::Nofile, FILES), (Resource::Fsize, FILE_SIZE)];
    let memory = walls.and_then(|walls| walls.memory);
    let processes = walls.and_then(|walls| walls.processes);
    limits.extend(memory.map(|bytes| (Resource::As, bytes)));
    limits.extend(processes.map(|count| (Resource::Nproc, u64::from(count))));
    set(child, &limits)?;
    if memory.is_some() || processes.is_some() {
        let family = limit_the_early(child, &limits, processes)?;
        let too_large = |&pid: &Pid| memory.is_some_and(|most| address_space(pid) > most);
        let too_many = processes.is_some_and(|most| family.len() > most as usize);
        if too_many || family.iter().any(too_large) {
            // Its run ends as one that was killed by a signal. Fails only if it is over already.
            let _ = kill_process_group(child, Signal::KILL);
        }
    }
    Ok(())
}

/// In bytes; 0 where it is gone.
fn address_space(pid: Pid) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", pid.as_raw_nonzero()));
    let pages = statm.ok().and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(rustix::param::page_size() as u64)
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

/// The child, and descendants that were forked before their parent had its limits; not more of them
/// than one too many. A parent is limited before its children are listed, so whoever is not on the
/// list was born limited.
fn limit_the_early(
    child: Pid,
    limits: &[(Resource, u64)],
    processes: Option<u32>,
) -> io::Result<Vec<Pid>> {
    let enough = processes.map_or(MAX_EARLY, |most| (most as usize + 1).min(MAX_EARLY));
    let mut family = vec![child];
    let mut looked_at = 0;
    while let Some(&parent) = family.get(looked_at) {
        looked_at += 1;
        for early in children_of(parent) {
            if family.contains(&early) {
                continue;
            }
            match set(early, limits) {
                // It is gone already.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => {}
                other => other?,
            }
            family.push(early);
            if family.len() >= enough {
                return Ok(family);
            }
        }
    }
    Ok(family)
}

/// Of all its threads; nothing where it is gone or the kernel does not tell.
fn children_of(parent: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", parent.as_raw_nonzero());
    let lists = std::fs::read_dir(tasks)
        .into_iter()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let pids = |list: String| {
        let pids = list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        pids.collect::<Vec<_>>()
    };
    lists.flat_map(pids).collect()
}
