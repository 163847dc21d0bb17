//! Ends processes that escaped from their run.
//!
//! A plugin can start a process that leaves its group (`setsid`, a double fork: "daemonising"), so
//! that killing the group misses it. When the daemon is the subreaper of its descendants, such an
//! orphan becomes its child the moment its parent dies; a child of ours that we did not spawn is
//! therefore somebody's orphan. [`end_orphans`] looks for them when a run ends, kills those that
//! belong to no live run's group, and reaps all that are dead. A program has no reason to
//! daemonise: what it started ends with its run at the latest.
//!
//! The set of our own children is a property of the process, so the register is a static, and every
//! process must be spawned through this module's parent: a child that is not in the register would
//! be killed as an orphan.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, waitid};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// What a child that we spawned is doing. Its pid is its process group's id too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leader {
    /// Orphans of its group are left alone.
    Running,
    /// Its group was killed.
    Ending,
}

static LEADERS: Mutex<Option<HashMap<Pid, Leader>>> = Mutex::new(None);

/// Read while a child is born, written while orphans are told from children: a child exists for a
/// moment before its pid can be registered.
static BIRTH: RwLock<()> = RwLock::new(());

static ADOPTING: AtomicBool = AtomicBool::new(false);

/// How long [`end_orphans`] waits for killed processes to be gone: the sum of the pauses, 126 ms. The
/// death of one may bring up its children, so there are as many passes as a family has generations.
const PAUSES_MS: [u64; 13] = [0, 1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32];

/// What is left then is looked after in the background this often, for 5 s.
const LATER: Duration = Duration::from_millis(20);
const LATER_PASSES: u32 = 250;
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// Makes this process the parent of every orphaned descendant and the end of those that escaped
/// from their run. Called once, when the daemon starts.
///
/// From then on **every** child that was not started by [`super::ProcessSpawner`] is killed. Fails
/// where the kernel lacks subreapers or `/proc/…/children` (`CONFIG_PROC_CHILDREN`); runs then
/// work as before, but an escaped process lives on.
pub fn adopt_orphans() -> io::Result<()> {
    children()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    ADOPTING.store(true, Ordering::Release);
    Ok(())
}

/// Runs `spawn` and registers its child before anybody can take it for an orphan.
pub(super) fn born<T>(
    spawn: impl FnOnce() -> io::Result<T>,
    pid: impl Fn(&T) -> Pid,
) -> io::Result<T> {
    let _birth = BIRTH.read().unwrap_or_else(PoisonError::into_inner);
    let child = spawn()?;
    leaders().get_or_insert_default().insert(pid(&child), Leader::Running);
    Ok(child)
}

/// From now on what is left of this child's group counts as orphaned.
pub(super) fn ending(pid: Pid) {
    leaders().get_or_insert_default().insert(pid, Leader::Ending);
}

/// Reaps a child of ours with `try_wait` and forgets it, in one step: once it is reaped, its pid may
/// be the next child's, which must not be forgotten in its place. `try_wait` must not block.
pub(super) fn bury<T>(pid: Pid, try_wait: impl FnOnce() -> Option<T>) -> Option<T> {
    let mut leaders = leaders();
    let status = try_wait()?;
    leaders.get_or_insert_default().remove(&pid);
    Some(status)
}

/// Kills and reaps the orphans there are, until none is left or 126 ms have passed. After that the
/// caller is not held up any more; a process that cannot die at all (in the middle of a hung device
/// call) is left to the next run's end.
pub(super) async fn end_orphans() {
    if !ADOPTING.load(Ordering::Acquire) {
        return;
    }
    for pause in PAUSES_MS {
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        match sweep() {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "orphaned processes could not be looked for");
                return;
            }
        }
    }
    if !UNDER_WAY.swap(true, Ordering::AcqRel) {
        tokio::spawn(async {
            for _ in 0..LATER_PASSES {
                tokio::time::sleep(LATER).await;
                if !sweep().is_ok_and(|left| left > 0) {
                    break;
                }
            }
            UNDER_WAY.store(false, Ordering::Release);
        });
    }
}

/// One pass; answers how many orphans are to be ended and not yet gone.
fn sweep() -> io::Result<usize> {
    // Nearly always there is no stranger, and no spawn is held up to find that out.
    if strangers()?.is_empty() {
        return Ok(0);
    }
    let _no_birth = BIRTH.write().unwrap_or_else(PoisonError::into_inner);
    // Only this function reaps strangers, one caller at a time, so their pids stay theirs.
    Ok(strangers()?.into_iter().filter(|&pid| !is_gone_or_spared(pid)).count())
}

/// Reaps a dead orphan; kills a live one unless it belongs to a live run.
fn is_gone_or_spared(pid: Pid) -> bool {
    if reap(pid) {
        return true;
    }
    let in_live_group = getpgid(Some(pid)).is_ok_and(|group| {
        leaders().as_ref().and_then(|all| all.get(&group)) == Some(&Leader::Running)
    });
    if in_live_group {
        return true;
    }
    tracing::info!(pid = pid.as_raw_nonzero().get(), "ending a process that escaped from its run");
    // Can only fail if it is gone, which the next line finds out.
    let _ = kill_process(pid, Signal::KILL);
    reap(pid)
}

fn reap(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

/// Kills what an earlier daemon, which was killed itself, left running with a working directory below
/// `base`: an old hook that ends after a new one would have the last word, about an old state.
pub(super) fn end_left_behind(base: &Path) -> io::Result<()> {
    // As the kernel names it.
    let base = base.canonicalize()?;
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
        // One that is gone, or another user's, has no directory that we may read.
        let works_here = std::fs::read_link(entry.path().join("cwd"))
            .is_ok_and(|cwd| cwd != base && cwd.starts_with(&base));
        if works_here {
            let number = pid.as_raw_nonzero().get();
            tracing::warn!(pid = number, "ending a process that an earlier daemon left running");
            // Can only fail if it is gone.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    Ok(())
}

fn strangers() -> io::Result<Vec<Pid>> {
    let mut found = children()?;
    let leaders = leaders();
    if let Some(ours) = leaders.as_ref() {
        found.retain(|pid| !ours.contains_key(pid));
    }
    Ok(found)
}

/// The main thread's children. Orphans are always given to it, as long as it lives.
fn children() -> io::Result<Vec<Pid>> {
    let me = std::process::id();
    let list = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children"))?;
    Ok(list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect())
}

fn leaders() -> MutexGuard<'static, Option<HashMap<Pid, Leader>>> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}
