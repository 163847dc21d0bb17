//! A child process and its process group, from birth to reaping.
//!
//! The one rule: **a group is only signalled while its leader is not reaped.** A reaped pid may
//! belong to somebody else a moment later, and with it the group id. A zombie holds on to both. So
//! the end of the leader is noticed through a pidfd, which does not reap it; the group is killed
//! then; and only after that the leader is waited for. `tokio::process` reaps on its own as soon as
//! it can, hence std's `Child` here.

use super::orphans;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, pidfd_open,
    waitid,
};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Dropped in the middle of a run it kills the group at once and reaps in the background.
#[derive(Debug)]
pub(super) struct Group {
    /// `None` once it was reaped.
    child: Option<Child>,
    pid: Pid,
    pidfd: Option<AsyncFd<OwnedFd>>,
}

impl Group {
    /// Spawns a command that is set to lead a new process group. On any thread; the child inherits
    /// what that thread imposed on itself. Watch it before waiting for it.
    ///
    /// Blocks until the child has executed its program: 0.1 ms to 1 ms.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = orphans::born(|| command.spawn(), Pid::from_child)?;
        let pid = Pid::from_child(&child);
        Ok(Self { child: Some(child), pid, pidfd: None })
    }

    /// Lets [`Self::exited`] know of the end. Needs the runtime's context.
    pub(super) fn watched(mut self) -> io::Result<Self> {
        // The child is ours and not reaped, so the pid is still its own.
        let pidfd = pidfd_open(self.pid, PidfdFlags::NONBLOCK)?;
        self.pidfd = Some(watch(pidfd)?);
        Ok(self)
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn child_mut(&mut self) -> Option<&mut Child> {
        self.child.as_mut()
    }

    /// Waits until the leader has exited; it stays a zombie. Cancel safe.
    pub(super) async fn exited(&self) {
        match &self.pidfd {
            // Readiness is never cleared: an exited process does not come back. An error means that
            // the runtime is shutting down; the caller's deadline ends the wait.
            Some(pidfd) => match pidfd.readable().await {
                Ok(_) => {}
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Whether the leader has exited, by the system's word; it stays a zombie.
    pub(super) fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// Asks every process of the group to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills every process of the group, and the leader even if it moved to another group.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
        if self.child.is_some() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        orphans::ending(self.pid);
    }

    fn signal(&self, signal: Signal) {
        if self.child.is_some() {
            // Fails only if no process of the group is left to be told.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Reaps the leader; `None` if it has not exited, and the drop then sees to it.
    pub(super) fn reap(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let status = orphans::bury(self.pid, || child.try_wait().ok()?)?;
        self.child = None;
        Some(status)
    }
}

#[expect(
    deprecated,
    reason = "deprecated for types that may change their descriptor; an OwnedFd cannot, and the \
              replacement is an unsafe fn"
)]
fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.child.is_none() {
            return;
        }
        self.kill();
        if self.reap().is_some() {
            return;
        }
        let Some(mut child) = self.child.take() else { return };
        let pid = self.pid;
        // A killed process is gone within microseconds, or hangs in the kernel for long: neither
        // may hold the caller. Without a thread it stays a zombie until the daemon ends.
        let wait = move || {
            let exited_not_reaped = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = waitid(WaitId::Pid(pid), exited_not_reaped);
            orphans::bury(pid, || child.try_wait().ok()?);
        };
        if let Err(error) = std::thread::Builder::new().name("reap".into()).spawn(wait) {
            tracing::warn!(%error, "a killed process could not be waited for");
        }
    }
}
