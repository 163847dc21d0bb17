//! From a [`RunSpec`] to a running process: every check, then `posix_spawn`.
//!
//! Works on the caller's thread where it can: looking at a path and `posix_spawn` take some 0.2 ms,
//! and handing them to another thread and back takes as long again (measured by `benches/spawn.rs`).
//! Only hashing goes to a blocking thread, and what needs another one goes where `threads` says.

use super::contract::{HostError, RunSpec};
use super::group::Group;
use super::limits;
use super::pin::{Digests, Pinned};
use super::pipes::Pipes;
use super::sandbox::{self, User};
use super::scratch::{Scratch, Scratches};
use super::threads::{Privileged, on_own};
use super::trust::{TrustWarning, check_executable};
use super::walls::{Confinement, Wall};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a launch needs of this host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) scratches: Scratches,
    pub(super) digests: Arc<Digests>,
    pub(super) privileged: Privileged,
}

/// A process that runs. Dropped in this order: the process ends before its directory is removed and
/// before the descriptor it was executed from is closed.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) group: Group,
    pub(super) pipes: Pipes,
    pub(super) started: Instant,
    pub(super) scratch: Scratch,
    pub(super) pinned: Option<Pinned>,
    pub(super) warnings: Vec<TrustWarning>,
}

/// A file that is open for writing cannot be executed. Any process that is being spawned holds our
/// descriptors for an instant, also one we write an executable through; an installation takes
/// longer, and is the caller's to retry.
const BUSY_RETRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Checks the executable and starts it. Everything of the spec counts here but the input, the
/// deadline and the output's limits, which are its supervisor's.
pub(super) async fn launch(spec: &RunSpec, host: &Host) -> Result<Launched, HostError> {
    let checked = check_executable(&spec.executable, rustix::process::geteuid().as_raw())?;
    let user = match spec.confinement.walls() {
        Some(walls) => sandbox::check(&checked.path, walls)?,
        None => None,
    };
    let pinned = match spec.sha256 {
        Some(pin) => Some(host.digests.open_pinned(&checked.path, pin).await?),
        None => None,
    };
    if spec.confinement.walls().is_some_and(super::walls::Walls::need_a_thread)
        && pinned.as_ref().is_some_and(|pinned| pinned.is_script)
    {
        return Err(HostError::NotExecutable {
            path: checked.path,
            why: "a #! script cannot be pinned and have sandbox.user, landlock or network: its \
                  interpreter could not read the checked bytes; take out sha256 or the walls, or \
                  make it a program",
        });
    }
    let program = pinned.as_ref().map_or_else(|| checked.path.clone(), Pinned::path);
    let scratch = host.scratches.take(user).map_err(scratch_error)?;
    let start = Start { spec, program, file: &checked.path, user, cwd: scratch.path() };
    let mut group = start.patiently(&host.privileged).await?;
    let started = Instant::now();
    let pipes = group
        .child_mut()
        .ok_or_else(|| io::Error::other("the process is gone"))
        .and_then(Pipes::of)
        .map_err(|source| HostError::Spawn { path: checked.path, source })?;
    Ok(Launched { group, pipes, started, scratch, pinned, warnings: checked.warnings })
}

fn scratch_error((path, source): (PathBuf, io::Error)) -> HostError {
    HostError::Scratch { path, source }
}

/// Everything that a start needs, checked.
struct Start<'a> {
    spec: &'a RunSpec,
    /// What is executed: the file, or the descriptor of a pinned one.
    program: PathBuf,
    file: &'a Path,
    user: Option<User>,
    cwd: &'a Path,
}

/// Why a program did not start.
enum Failed {
    Spawn(io::Error),
    Wall(Wall, String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Spawn(error)
    }
}

impl Start<'_> {
    async fn patiently(&self, privileged: &Privileged) -> Result<Group, HostError> {
        let mut retries = 0;
        loop {
            match self.once(privileged).await {
                Err(Failed::Spawn(error))
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && retries < BUSY_RETRIES =>
                {
                    retries += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(failed) => return Err(self.explain(failed)),
                Ok(group) => return Ok(group),
            }
        }
    }

    /// On the thread that the confinement needs.
    async fn once(&self, privileged: &Privileged) -> Result<Group, Failed> {
        let mut command = self.command();
        let group = match &self.spec.confinement {
            Confinement::Hook => privileged.run(move || Group::spawn(&mut command)).await??,
            Confinement::Walled(walls) if walls.need_a_thread() => {
                let (walls, user) = (walls.clone(), self.user);
                let (program, cwd) = (self.program.clone(), self.cwd.to_owned());
                let spawn = move || {
                    sandbox::raise(&walls, user, &program, &cwd)
                        .map_err(|(wall, why)| Failed::Wall(wall, why))?;
                    let group = Group::spawn(&mut command)?;
                    limits::impose(group.pid(), Some(&walls))?;
                    Ok::<_, Failed>(group)
                };
                on_own(spawn).await??
            }
            confinement @ (Confinement::Plugin | Confinement::Walled(_)) => {
                rustix::thread::set_no_new_privs(true).map_err(io::Error::from)?;
                let group = Group::spawn(&mut command)?;
                limits::impose(group.pid(), confinement.walls())?;
                group
            }
        };
        Ok(group.watched()?)
    }

    /// Only what std hands to `posix_spawn`: see the module's head for what must never be added
    /// here. Every descriptor of ours but the three pipes is close-on-exec, as std and tokio open
    /// them.
    #[expect(clippy::disallowed_methods, reason = "the one place where processes are started")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg0(&self.spec.executable)
            .args(&self.spec.args)
            .env_clear()
            .envs(self.spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.cwd)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The file itself passed its checks, so the system's bare answer would mislead.
    fn explain(&self, failed: Failed) -> HostError {
        use rustix::io::Errno;
        let path = self.file.to_owned();
        let source = match failed {
            Failed::Wall(wall, why) => return HostError::Sandbox { path, wall, why },
            Failed::Spawn(source) => source,
        };
        let why = match Errno::from_io_error(&source) {
            Some(Errno::NOEXEC) => {
                "it is neither a program for this machine nor does it start with #!; check the \
                 architecture, or add the line"
            }
            Some(Errno::NOENT) => {
                "the interpreter or dynamic loader that it names does not exist; install it, or \
                 correct its #! line"
            }
            Some(Errno::ACCESS) if self.spec.confinement.walls().is_some() => {
                "within its sandbox it may not be executed: the user needs the right to execute it \
                 and to search the directories above, and an interpreter has to be below /usr, \
                 /bin, /lib or /opt"
            }
            Some(Errno::ACCESS) => {
                "the daemon's user may not execute it, or it is on a file system mounted noexec"
            }
            Some(Errno::TXTBSY) => return HostError::Busy { path },
            _ => return HostError::Spawn { path, source },
        };
        HostError::NotExecutable { path, why }
    }
}
