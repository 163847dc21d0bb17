//! The receiver's disk is full for a while: nothing is lost, nothing is given up.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pair::Pair;

/// A small file system in memory; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn at(point: &Path, megabytes: u32) -> Result<Self, String> {
        fs::create_dir_all(point).map_err(|error| error.to_string())?;
        let size = format!("size={megabytes}m,mode=0700");
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(point).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(Self(point.to_owned()));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Takes all the room there is.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).expect("a file");
        let block = vec![1; 1 << 16];
        while file.write_all(&block).is_ok() {}
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the daemon that has it open may still be ending.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}

#[test]
fn a_receiver_whose_disk_is_full_for_a_while_ends_up_with_everything() {
    let mut disk = None;
    let started = Pair::start_with(|cloud| {
        disk = Some(Mounted::at(&cloud.path("state"), 224)?);
        Ok(())
    });
    let pair = match started {
        Ok(pair) => pair,
        Err(why) => return println!("skipped: needs a file system of its own: {why}"),
    };
    let disk = disk.expect("mounted");
    let ids = |prefix: &str| (0..20).map(move |n| format!("{prefix}-{n}")).collect::<Vec<_>>();
    pair.emit(ids("before"));
    pair.deliver();
    pair.check();
    let filler = disk.fill();
    pair.emit(ids("full"));
    pair.trouble(&["Unavailable"]);
    assert_eq!(pair.arrived().len(), 20, "what was there still is");
    fs::remove_file(filler).expect("room");
    pair.emit(ids("after"));
    pair.deliver();
    pair.check();
    assert_eq!(pair.arrived().len(), 60);
    drop(pair);
}
