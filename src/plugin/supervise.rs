//! From a running process to its [`Outcome`]: what ends a run, and in which order it is taken down.
//!
//! A run is over when the program has exited **and** its output has ended; the deadline covers both.
//! A process it left behind may hold the output open for ever, so once the program has exited the
//! end of the output is waited for only [`LINGER`] longer. Then the program's own exit status
//! decides: everything it wrote before it exited is in the pipe, and is read.
//!
//! Taking down is the same however a run ends: (TERM and grace, if it was stopped,) KILL to the
//! group, end of the orphans, a last bounded read, and only then the leader is reaped.

use super::contract::{Exit, HostError, Outcome, RunSpec};
use super::group::Group;
use super::launch::Launched;
use super::orphans;
use super::pipes::{Captured, Pumped};
use futures::FutureExt;
use futures::future::FusedFuture;
use std::os::unix::process::ExitStatusExt;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long after the program's exit its output may stay open.
pub(super) const LINGER: Duration = Duration::from_millis(100);
/// How long after KILL the output may stay open: only a process that escaped can hold it.
const LAST_READ: Duration = Duration::from_millis(50);
/// How long a killed process may take to be gone before it is left to the background.
const KILLED: Duration = Duration::from_secs(1);

/// Sees a process through to its end.
pub(super) async fn supervise(
    launched: Launched,
    spec: RunSpec,
    cancel: &CancellationToken,
) -> Result<Outcome, HostError> {
    // Should this future be dropped, bindings go in reverse order: the process first.
    let Launched { pinned, scratch, started, pipes, mut group, warnings } = launched;
    let mut captured = Captured::new(spec.limits);
    let ended = {
        let mut pump = pin!(pipes.pump(spec.stdin, &mut captured).fuse());
        let ended = first_end(&group, pump.as_mut(), started + spec.timeout, cancel).await;
        if let Ended::Stopped(why) = ended {
            tracing::debug!(run = spec.label, "stopping a process that {why}");
        }
        take_down(&group, pump, ended.grace(spec.grace)).await;
        ended
    };
    let status = group.reap();
    let duration = started.elapsed();
    drop(group);
    if ended == (Ended::Exited { pipes_held: false }) {
        scratch.give_back();
    } else {
        drop(scratch);
    }
    let (stdout, stderr) = captured.finish();
    Ok(Outcome {
        exit: ended.exit(status),
        stdout,
        stderr,
        pipes_held: ended == Ended::Exited { pipes_held: true },
        duration,
        digest: pinned.map(|pinned| pinned.digest),
        warnings,
        lease: None,
    })
}

/// Ends a group and everything that came of it: after TERM and this grace, or at once. The leader
/// is left to be reaped.
pub(super) async fn take_down<P: FusedFuture<Output = Pumped>>(
    group: &Group,
    mut pump: Pin<&mut P>,
    grace: Option<Duration>,
) {
    if let Some(grace) = grace {
        group.terminate();
        let _ = timeout(grace, both_end(group, pump.as_mut())).await;
    }
    group.kill();
    let _ = timeout(KILLED, group.exited()).await;
    orphans::end_orphans().await;
    let _ = timeout(LAST_READ, output_ends(pump)).await;
}

/// What came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The program exited; its output ended, or is held by somebody else.
    Exited { pipes_held: bool },
    /// It has to be stopped.
    Stopped(Exit),
}

impl Ended {
    /// How long a process that has to be stopped is given to end by itself.
    pub(super) fn grace(self, grace: Duration) -> Option<Duration> {
        matches!(self, Self::Stopped(_)).then_some(grace)
    }

    pub(super) fn exit(self, status: Option<ExitStatus>) -> Exit {
        match (self, status) {
            (Self::Stopped(why), _) => why,
            (Self::Exited { .. }, Some(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, signal) => Exit::Signal(signal.unwrap_or_default()),
            },
            // Unreachable: an exited child that is ours can be reaped.
            (Self::Exited { .. }, None) => Exit::TimedOut,
        }
    }
}

async fn first_end<P>(
    group: &Group,
    mut pump: Pin<&mut P>,
    deadline: Instant,
    cancel: &CancellationToken,
) -> Ended
where
    P: FusedFuture<Output = Pumped>,
{
    let mut exited = false;
    let mut until = deadline;
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled(), if !exited => return Ended::Stopped(Exit::Cancelled),
            pumped = &mut pump, if !pump.is_terminated() => match pumped {
                Pumped::TooLarge => return Ended::Stopped(Exit::OutputTooLarge),
                Pumped::Ended if exited => return Ended::Exited { pipes_held: false },
                Pumped::Ended => {}
            },
            () = group.exited(), if !exited => {
                if pump.is_terminated() {
                    return Ended::Exited { pipes_held: false };
                }
                exited = true;
                until = deadline.min(Instant::now() + LINGER);
            },
            () = tokio::time::sleep_until(until) => return if exited {
                Ended::Exited { pipes_held: true }
            } else {
                Ended::Stopped(Exit::TimedOut)
            },
        }
    }
}

async fn both_end<P: FusedFuture<Output = Pumped>>(group: &Group, pump: Pin<&mut P>) {
    tokio::join!(group.exited(), output_ends(pump));
}

async fn output_ends<P: FusedFuture<Output = Pumped>>(pump: Pin<&mut P>) {
    if !pump.is_terminated() {
        pump.await;
    }
}
