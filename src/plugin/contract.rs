//! What a run is asked for and what it answers: the types on both sides of [`Spawner`].
//!
//! Pure values. A simulation replaces [`Spawner`] and never starts a process.

use super::pin::Digest;
use super::trust::{TrustProblem, TrustWarning};
use super::walls::{Confinement, Wall, WallState, Walls};
use super::warm::Lease;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time between TERM and KILL when a run is stopped.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(2);

/// Starts one process for one run.
pub trait Spawner: Send + Sync {
    /// Runs `spec` to its end.
    ///
    /// Cancelling the token stops the process gracefully (TERM, grace, KILL) and ends in
    /// [`Exit::Cancelled`]. Dropping the future kills the process group at once.
    fn run(
        &self,
        spec: RunSpec,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<Outcome, HostError>>;

    /// Whether this host can put up the walls that are asked for. Looked at each time: a user may
    /// have been created since.
    fn walls(&self, asked: &Walls) -> Vec<WallState>;

    /// Ends the warm processes of this pool that are not of `version`; all of them for `None`.
    /// Cheap when there are none, so it may be called at every look.
    fn keep_warm(&self, _pool: &str, _version: Option<&str>) {}

    /// Ends all warm processes (TERM, grace, KILL) and keeps none from then on. Runs under way are
    /// their cancellation tokens' business.
    fn close(&self) -> BoxFuture<'_, ()> {
        futures::future::ready(()).boxed()
    }
}

/// Asks for a process that may have served before and may serve again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmSpec {
    /// Whose processes: runs of one pool share them.
    pub pool: String,
    /// Of what the process is made. Another version ends the processes of this one.
    pub version: String,
}

/// One execution of one program.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// Absolute path of the program; also its `argv[0]`.
    pub executable: PathBuf,
    /// The arguments after `argv[0]`.
    pub args: Vec<String>,
    /// The complete environment: nothing is inherited, so the caller adds `PATH`.
    pub env: Vec<(String, String)>,
    /// Written to stdin, which is then closed. A program need not read it.
    pub stdin: Bytes,
    /// From the start of the process to its exit *and* the end of its output.
    pub timeout: Duration,
    /// From TERM to KILL when the run is stopped; [`DEFAULT_GRACE`] unless there is a reason.
    pub grace: Duration,
    /// How much output is kept.
    pub limits: Limits,
    /// How far the program is trusted.
    pub confinement: Confinement,
    /// Refuse to run any other bytes than those with this SHA-256.
    pub sha256: Option<Digest>,
    /// Names the run in log lines: its run key.
    pub label: String,
    /// Speak with a warm process, a line for a line, in place of one process for this run. `stdin`
    /// is then one line without its end, and `env` must hold nothing of this run alone.
    pub warm: Option<WarmSpec>,
}

/// Bounds of what a run may write, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// More than this on stdout stops the run with [`Exit::OutputTooLarge`].
    pub stdout: usize,
    /// Of stderr the last so many bytes are kept; the rest is read and counted.
    pub stderr_tail: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stdout: 1 << 20, stderr_tail: 64 << 10 }
    }
}

/// A process that ran, and how that went.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub exit: Exit,
    /// All of stdout, at most [`Limits::stdout`] bytes. Without meaning unless `exit` is a success:
    /// a run that was stopped may have been cut off in the middle of a word.
    pub stdout: Bytes,
    /// The end of stderr.
    pub stderr: StderrTail,
    /// The program exited, but a process it left behind kept stdout or stderr open and was killed
    /// with its group. `stdout` holds everything the program itself wrote; what such a process had
    /// still to write is lost.
    pub pipes_held: bool,
    /// From the start of the process until it and its group were gone; of a warm one, from the
    /// request to the answer.
    pub duration: Duration,
    /// SHA-256 of the executed file, where `RunSpec::sha256` asked for it.
    pub digest: Option<Digest>,
    /// What was put up with when the executable was checked.
    pub warnings: Vec<TrustWarning>,
    /// The warm process that answered and lives. Dropped, it is ended: whoever reads the answer
    /// says by [`Lease::keep`] that it was one.
    pub lease: Option<Lease>,
}

/// Why a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself with this status.
    Code(i32),
    /// A signal that was not ours killed it.
    Signal(i32),
    /// It, or its output, had not ended when `RunSpec::timeout` had passed.
    TimedOut,
    /// It wrote more than [`Limits::stdout`].
    OutputTooLarge,
    /// The cancellation token was cancelled while it ran.
    Cancelled,
}

impl Exit {
    /// Exit status 0. Whether the output is a result is the caller's to say: a child whose parent
    /// died sees an empty stdin and may well exit 0 with no output.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut => f.write_str("did not end within its timeout"),
            Self::OutputTooLarge => f.write_str("wrote more to stdout than allowed"),
            Self::Cancelled => f.write_str("was stopped by a shutdown"),
        }
    }
}

/// The last bytes a process wrote to stderr.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StderrTail {
    /// At most [`Limits::stderr_tail`] bytes, as written: not necessarily UTF-8, and when something
    /// was dropped the first line may be cut.
    pub bytes: Bytes,
    /// How many bytes before `bytes` were read and dropped.
    pub dropped: u64,
}

/// The host could not run the program. Not an attempt of the program: nothing of it ran.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No such file, or a symlink to nothing.
    #[error("no executable at {path}: {component} does not exist; install the program there", path = .path.display(), component = .component.display())]
    NotFound {
        /// The configured path.
        path: PathBuf,
        /// The first component of it (links followed) that is missing.
        component: PathBuf,
    },
    /// The file is there and trusted, but the kernel will not execute it.
    #[error("cannot execute {path}: {why}", path = .path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        why: &'static str,
    },
    /// The file or a directory above it could be changed by someone who is not trusted.
    #[error("refused to execute {path}: {problem}", path = .path.display())]
    Refused {
        /// The configured path.
        path: PathBuf,
        /// What was found, and the way out.
        problem: TrustProblem,
    },
    /// The file's bytes are not the pinned ones.
    #[error("refused to execute {path}: its sha256 is {actual}, but {expected} is pinned; check who changed it, then pin the new digest", path = .path.display())]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// The pin.
        expected: Digest,
        /// What the file has now.
        actual: Digest,
    },
    /// The file is open for writing: it is being installed right now.
    #[error("{path} is being written; it is run once the writer has closed it", path = .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file or a directory above it could not be looked at.
    #[error("cannot read {path}", path = .path.display())]
    Unreadable {
        /// The component.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A wall that was asked for cannot be put up, so nothing was run.
    #[error("did not execute {path}: sandbox.{wall} is asked for and not available: {why}; or take it out of the Plugin to run without", path = .path.display())]
    Sandbox {
        /// The file.
        path: PathBuf,
        /// Which one.
        wall: Wall,
        /// What is missing.
        why: String,
    },
    /// The private working directory could not be made.
    #[error("cannot create the working directory {path}", path = .path.display())]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refused to start the process.
    #[error("cannot start {path}", path = .path.display())]
    Spawn {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The warm processes of this program failed one after the other; the next is started later.
    #[error(
        "its process failed {failures} times in a row, last because it {why}; the next is started after a pause of {pause:?}"
    )]
    Resting {
        /// Failures since the last good answer.
        failures: u32,
        /// What the last one was.
        why: String,
        /// What is left of the pause.
        pause: Duration,
    },
    /// Cancelled before the process was started.
    #[error("stopped before the process was started")]
    Cancelled,
}

impl HostError {
    /// A CamelCase word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "NotFound",
            Self::NotExecutable { .. } => "NotExecutable",
            Self::Refused { .. } => "NotTrusted",
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::Busy { .. } => "Busy",
            Self::Unreadable { .. } => "Unreadable",
            Self::Sandbox { .. } => "SandboxNotAvailable",
            Self::Scratch { .. } | Self::Spawn { .. } => "HostFailure",
            Self::Resting { .. } => "Restarting",
            Self::Cancelled => "Stopped",
        }
    }
}
