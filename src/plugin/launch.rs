//! From a [`RunSpec`] to a running process: every check, then `posix_spawn`.
//!
//! Works on the caller's thread: looking at a path and `posix_spawn` take some 0.2 ms, and handing
//! them to another thread and back takes as long again (measured by `benches/spawn.rs`). Only
//! hashing goes to a blocking thread. A sandbox will need a short-lived thread of its own: what a
//! thread imposes on itself before it spawns (no_new_privs, Landlock, seccomp), the child inherits.

use super::contract::{HostError, RunSpec};
use super::group::Group;
use super::pin::{Digests, Pinned};
use super::pipes::Pipes;
use super::scratch::{Base, Scratch};
use super::trust::check_executable;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A process that runs. Dropped in this order: the process ends before its directory is removed and
/// before the descriptor it was executed from is closed.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) group: Group,
    pub(super) pipes: Pipes,
    pub(super) started: Instant,
    pub(super) scratch: Scratch,
    pub(super) pinned: Option<Pinned>,
}

/// A file that is open for writing cannot be executed. Any process that is being spawned holds our
/// descriptors for an instant, also one we write an executable through; an installation takes
/// longer, and is the caller's to retry.
const BUSY_RETRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Checks the executable and starts it.
pub(super) async fn launch(
    spec: &RunSpec,
    base: &Arc<Base>,
    digests: &Arc<Digests>,
) -> Result<Launched, HostError> {
    let checked = check_executable(&spec.executable, rustix::process::geteuid().as_raw())?;
    let pinned = match spec.sha256 {
        Some(pin) => Some(digests.open_pinned(&checked.path, pin).await?),
        None => None,
    };
    let program = pinned.as_ref().map_or_else(|| checked.path.clone(), Pinned::path);
    let scratch = base.take().map_err(|(path, source)| HostError::Scratch { path, source })?;
    let mut command = command(spec, &program, scratch.path());
    let mut group = spawn(&mut command).await.map_err(|error| explain(checked.path, error))?;
    let started = Instant::now();
    let pipes = group
        .child_mut()
        .ok_or_else(|| io::Error::other("the process is gone"))
        .and_then(Pipes::of)
        .map_err(|source| HostError::Spawn { path: program, source })?;
    Ok(Launched { group, pipes, started, scratch, pinned })
}

/// Only what std hands to `posix_spawn`: see the module's head for what must never be added here.
/// Every descriptor of ours but the three pipes is close-on-exec, as std and tokio open them.
#[expect(clippy::disallowed_methods, reason = "the one place where processes are started")]
fn command(spec: &RunSpec, program: &Path, cwd: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg0(&spec.executable)
        .args(&spec.args)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir(cwd)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn spawn(command: &mut Command) -> io::Result<Group> {
    let mut retries = 0;
    loop {
        match Group::spawn(command) {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && retries < BUSY_RETRIES =>
            {
                retries += 1;
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// The file itself passed its checks, so the system's bare answer would mislead.
fn explain(path: PathBuf, source: io::Error) -> HostError {
    use rustix::io::Errno;
    let why = match Errno::from_io_error(&source) {
        Some(Errno::NOEXEC) => {
            "it is neither a program for this machine nor does it start with #!; check the \
             architecture, or add the line"
        }
        Some(Errno::NOENT) => {
            "the interpreter or dynamic loader that it names does not exist; install it, or \
             correct its #! line"
        }
        Some(Errno::ACCESS) => {
            "the daemon's user may not execute it, or it is on a file system mounted noexec"
        }
        Some(Errno::TXTBSY) => return HostError::Busy { path },
        _ => return HostError::Spawn { path, source },
    };
    HostError::NotExecutable { path, why }
}
