//! Feeds stdin and drains stdout and stderr, all at the same time, in bounded memory.
//!
//! Writing first and reading later deadlocks as soon as both sides fill a pipe. Touches the three
//! descriptors and nothing else; deadlines and signals are `supervise`'s.

mod exchange;

pub(super) use exchange::Exchanged;

use super::contract::{Limits, StderrTail};
use bytes::{Bytes, BytesMut};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};

/// Read in one call: a pipe's default capacity.
const CHUNK: usize = 64 << 10;

/// Our ends of a child's three pipes.
#[derive(Debug)]
pub(super) struct Pipes {
    stdin: Sender,
    stdout: Receiver,
    stderr: Receiver,
}

/// What was read. Whole at any moment, so a pump may be dropped at any moment.
#[derive(Debug)]
pub(super) struct Captured {
    limits: Limits,
    stdout: BytesMut,
    stderr: BytesMut,
    stderr_dropped: u64,
}

/// How a pump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Nobody holds the other ends of stdout and stderr any more.
    Ended,
    /// More than the limit came from stdout, which is closed now.
    TooLarge,
}

impl Pipes {
    /// Takes the pipes of a child that was spawned with all three. Needs the runtime's context.
    pub(super) fn of(child: &mut Child) -> io::Result<Self> {
        let missing = || io::Error::other("a standard stream is not a pipe");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        Ok(Self {
            stdin: Sender::from_owned_fd(OwnedFd::from(stdin))?,
            stdout: Receiver::from_owned_fd(OwnedFd::from(stdout))?,
            stderr: Receiver::from_owned_fd(OwnedFd::from(stderr))?,
        })
    }

    /// Writes `input` to stdin and closes it, and reads the other two to their end.
    ///
    /// Input that nobody reads does not hold the pump: it ends with the output.
    pub(super) async fn pump(self, input: Bytes, captured: &mut Captured) -> Pumped {
        let Self { stdin, stdout, stderr } = self;
        let Captured { limits, stdout: out, stderr: err, stderr_dropped } = captured;
        let drain = async {
            let out = read_capped(stdout, out, limits.stdout);
            let err = read_tail(stderr, err, limits.stderr_tail, stderr_dropped);
            tokio::pin!(out, err);
            // Too much output ends the pump at once, whoever still holds stderr.
            tokio::select! {
                pumped = &mut out => {
                    if pumped == Pumped::Ended {
                        err.await;
                    }
                    pumped
                }
                () = &mut err => out.await,
            }
        };
        let write = feed(stdin, input);
        tokio::pin!(drain, write);
        let mut fed = false;
        loop {
            tokio::select! {
                pumped = &mut drain => return pumped,
                () = &mut write, if !fed => fed = true,
            }
        }
    }
}

/// A program that does not read its input is within its rights: EPIPE is not an error.
async fn feed(mut stdin: Sender, input: Bytes) {
    if let Err(error) = stdin.write_all(&input).await
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        tracing::debug!(%error, "stdin of a run could not be written");
    }
}

/// Reads to the end, or to one byte more than `limit`: then the pipe is closed on return.
async fn read_capped(mut from: Receiver, into: &mut BytesMut, limit: usize) -> Pumped {
    loop {
        let room = limit - into.len();
        into.reserve(room.saturating_add(1).min(CHUNK));
        match (&mut from).take(room as u64 + 1).read_buf(into).await {
            Ok(0) | Err(_) => return Pumped::Ended,
            Ok(_) if into.len() > limit => {
                into.truncate(limit);
                return Pumped::TooLarge;
            }
            Ok(_) => {}
        }
    }
}

/// Reads to the end and keeps the last `limit` bytes; in between up to twice as many, so that bytes
/// are moved once per `limit` and not at every read.
async fn read_tail(mut from: Receiver, into: &mut BytesMut, limit: usize, dropped: &mut u64) {
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        match from.read_buf(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(_) => keep_tail(&chunk, into, limit, dropped),
        }
    }
}

fn keep_tail(chunk: &[u8], into: &mut BytesMut, limit: usize, dropped: &mut u64) {
    into.extend_from_slice(chunk);
    if into.len() > limit.saturating_mul(2) {
        cut_front(into, limit, dropped);
    }
}

fn cut_front(bytes: &mut BytesMut, limit: usize, dropped: &mut u64) {
    let excess = bytes.len().saturating_sub(limit);
    bytes.copy_within(excess.., 0);
    bytes.truncate(bytes.len() - excess);
    *dropped += excess as u64;
}

impl Captured {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, stdout: BytesMut::new(), stderr: BytesMut::new(), stderr_dropped: 0 }
    }

    /// Stdout, and the end of stderr.
    pub(super) fn finish(mut self) -> (Bytes, StderrTail) {
        cut_front(&mut self.stderr, self.limits.stderr_tail, &mut self.stderr_dropped);
        let stderr = StderrTail { bytes: self.stderr.freeze(), dropped: self.stderr_dropped };
        (self.stdout.freeze(), stderr)
    }
}

#[cfg(test)]
mod tests;
