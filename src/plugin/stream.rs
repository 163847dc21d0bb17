//! A process that serves many runs, one line each: started, asked, ended.
//!
//! Started it is as for a single run: every check, the pin, an empty directory, its own group. The
//! limits hold for each request: the deadline, the length of the line, the tail of stderr. A line
//! that came whole is the answer, whatever becomes of the process afterwards; without one, the way
//! it ended is the outcome, as of a single run.

use super::contract::{Exit, HostError, Outcome, RunSpec, StderrTail};
use super::group::Group;
use super::launch::{Host, Launched, launch};
use super::pin::Pinned;
use super::pipes::{Captured, Exchanged, Pipes};
use super::scratch::Scratch;
use super::supervise::{Ended, LINGER, take_down};
use super::trust::TrustWarning;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::FusedFuture;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// A warm process. Dropped in this order: the process ends before its directory is removed and
/// before the descriptor it was executed from is closed.
#[derive(Debug)]
pub(super) struct Process {
    group: Group,
    pipes: Pipes,
    scratch: Scratch,
    pinned: Option<Pinned>,
    warnings: Vec<TrustWarning>,
    captured: Captured,
    executable: PathBuf,
    file: Option<FileState>,
    grace: Duration,
}

/// What changes when the file at a path is replaced, written to, or given other rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    file: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

/// How asking ended.
pub(super) enum Asked {
    /// With an answer, of a process that may be asked again if `in_step`.
    Answered { process: Process, line: Bytes, stderr: StderrTail, in_step: bool },
    /// With the end of the process.
    Over(Outcome),
}

impl Process {
    pub(super) async fn start(spec: &RunSpec, host: &Host) -> Result<Self, HostError> {
        // Before the checks: a file that is replaced meanwhile is noticed at the next request.
        let file = FileState::of(&spec.executable);
        let Launched { group, pipes, started: _, scratch, pinned, warnings } =
            launch(spec, host).await?;
        Ok(Self {
            group,
            pipes,
            scratch,
            pinned,
            warnings,
            captured: Captured::new(spec.limits),
            executable: spec.executable.clone(),
            file,
            grace: spec.grace,
        })
    }

    /// Whether it lives, its file is the one it was started from, and it said nothing unasked.
    pub(super) fn is_good(&self) -> bool {
        !self.group.has_exited()
            && self.file.is_some()
            && FileState::of(&self.executable) == self.file
            && self.pipes.is_quiet()
    }

    /// Writes the request as one line and reads one line.
    pub(super) async fn ask(mut self, spec: &RunSpec, cancel: &CancellationToken) -> Asked {
        let started = Instant::now();
        let mut request = Vec::with_capacity(spec.stdin.len() + 1);
        request.extend_from_slice(&spec.stdin);
        request.push(b'\n');
        let ended = match self.answer(&request, started + spec.timeout, cancel).await {
            Ok((line, in_step)) => {
                let stderr = self.captured.take_stderr();
                return Asked::Answered { process: self, line, stderr, in_step };
            }
            Err(ended) => ended,
        };
        if let Ended::Stopped(why) = ended {
            tracing::debug!(run = spec.label, "stopping a process that {why}");
        }
        let (digest, warnings) = (self.digest(), self.warnings.clone());
        let (status, captured) = self.take_down(ended.grace(spec.grace)).await;
        let (stdout, stderr) = captured.finish();
        Asked::Over(Outcome {
            exit: ended.exit(status),
            stdout,
            stderr,
            pipes_held: ended == Ended::Exited { pipes_held: true },
            duration: started.elapsed(),
            digest,
            warnings,
            lease: None,
        })
    }

    /// What was put up with when its file was checked.
    pub(super) fn warnings(&self) -> &[TrustWarning] {
        &self.warnings
    }

    pub(super) fn digest(&self) -> Option<super::Digest> {
        self.pinned.as_ref().map(|pinned| pinned.digest)
    }

    /// Closes stdin and asks it to end; kills it after its grace.
    pub(super) async fn end(self) {
        let grace = self.grace;
        self.take_down(Some(grace)).await;
    }

    async fn answer(
        &mut self,
        request: &[u8],
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<(Bytes, bool), Ended> {
        let Self { group, pipes, captured, .. } = self;
        let mut exchange = pin!(pipes.exchange(request, captured).fuse());
        let (mut exited, mut until) = (false, deadline);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled(), if !exited => return Err(Ended::Stopped(Exit::Cancelled)),
                exchanged = &mut exchange, if !exchange.is_terminated() => match exchanged {
                    Exchanged::Answer { line, in_step } => return Ok((line, in_step && !exited)),
                    Exchanged::TooLarge => return Err(Ended::Stopped(Exit::OutputTooLarge)),
                    Exchanged::Ended if exited => return Err(Ended::Exited { pipes_held: false }),
                    // Without output it has until the deadline to exit.
                    Exchanged::Ended => {}
                },
                () = group.exited(), if !exited => {
                    if exchange.is_terminated() {
                        return Err(Ended::Exited { pipes_held: false });
                    }
                    exited = true;
                    until = deadline.min(Instant::now() + LINGER);
                },
                // A plugin that never stops writing must not use up the time that is for this.
                () = tokio::task::unconstrained(sleep_until(until)) => return Err(if exited {
                    Ended::Exited { pipes_held: true }
                } else {
                    Ended::Stopped(Exit::TimedOut)
                }),
            }
        }
    }

    async fn take_down(self, grace: Option<Duration>) -> (Option<ExitStatus>, Captured) {
        // Should this future be dropped, bindings go in reverse order: the process first.
        let Self { pinned: _pinned, scratch: _scratch, pipes, mut captured, mut group, .. } = self;
        {
            let pump = pin!(pipes.pump(Bytes::new(), &mut captured).fuse());
            take_down(&group, pump, grace).await;
        }
        (group.reap(), captured)
    }
}

impl FileState {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
