//! File systems to cut and to fill: images on loop devices, mounted for as long as a value lives.
//!
//! All of it happens in a mount and pid namespace of its own (see [`enter`]): when this process
//! ends, however it does, its mounts and its children go with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the namespaces.
const INSIDE: &str = "CRASH_INSIDE";

/// Why file systems cannot be made here, if they cannot.
pub fn unavailable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there is no /dev/loop-control".to_owned());
    }
    let missing = |program: &&str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        !found.is_ok_and(|output| output.status.success())
    };
    let programs = ["mkfs.ext4", "mount", "umount", "fsfreeze", "unshare"];
    programs.iter().find(|program| missing(program)).map(|program| format!("{program} is missing"))
}

/// Whether this process is inside its namespaces.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this program again with the same arguments in a mount and a pid namespace. Returns its
/// exit code.
pub fn enter() -> i32 {
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc"])
        .arg("--kill-child=KILL")
        .arg(std::env::current_exe().expect("this test has a path"))
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status();
    status.expect("unshare runs").code().unwrap_or(1)
}

fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().expect("the program runs");
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{program} {arguments:?}: {said}"))
}

/// Where images lie: in memory if possible, so that a full sync costs no seeks.
pub fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
        .expect("a directory")
}

/// A mounted file system; unmounted when dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Makes an image of `megabytes` with an empty ext4 on it and mounts it.
    pub fn create(image: &Path, megabytes: u64, point: &Path) -> Self {
        let file = fs::File::create(image).expect("an image");
        file.set_len(megabytes << 20).expect("its size");
        drop(file);
        run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), image]).expect("formatted");
        Self::open(image, point)
    }

    /// Mounts an image that has a file system; the kernel replays its journal.
    pub fn open(image: &Path, point: &Path) -> Self {
        fs::create_dir_all(point).expect("a mount point");
        run("mount", &[Path::new("-o"), Path::new("loop"), image, point]).expect("mounted");
        Self(point.to_owned())
    }

    /// A file system in memory.
    pub fn memory(point: &Path, megabytes: u64) -> Self {
        fs::create_dir_all(point).expect("a mount point");
        let size = format!("size={megabytes}m,mode=0755");
        let words = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        let words: Vec<&Path> = words.iter().map(Path::new).chain([point]).collect();
        run("mount", &words).expect("mounted");
        Self(point.to_owned())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Stops everything that is written to this file system, at once, until the answer is dropped.
    pub fn freeze(&self) -> Frozen<'_> {
        run("fsfreeze", &[Path::new("-f"), &self.0]).expect("frozen");
        Frozen(&self.0)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Busy, because a process is still ending: then it goes when that has ended.
        if run("umount", &[&self.0]).is_err()
            && let Err(error) = run("umount", &[Path::new("-l"), &self.0])
        {
            eprintln!("{error}");
        }
    }
}

/// A file system that takes no writes.
pub struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Err(error) = run("fsfreeze", &[Path::new("-u"), self.0]) {
            eprintln!("{error}");
        }
    }
}
