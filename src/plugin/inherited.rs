//! Descriptors that this process was started with.
//!
//! Whoever starts a daemon from a shell or an old supervisor may leave files open in it, and what is
//! not marked goes on to every plugin, through all walls: an open descriptor needs no permission.

#![allow(unsafe_code)] // a descriptor that we did not open has no safe handle

use std::ffi::c_int;
use std::io;

/// `F_SETFD` and `FD_CLOEXEC` of fcntl.h.
const SET_FLAGS: c_int = 2;
const CLOSE_ON_EXEC: c_int = 1;

unsafe extern "C" {
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
}

/// Marks everything that is open beyond stdin, stdout and stderr, so that no program we start gets
/// it. Called once, at the start; what is opened later is marked when it is opened.
pub fn keep_descriptors() -> io::Result<()> {
    let open: Vec<c_int> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // SAFETY: sets a flag of a descriptor, whosever it is; one that is closed gives EBADF.
        let _gone = unsafe { fcntl(fd, SET_FLAGS, CLOSE_ON_EXEC) };
    }
    Ok(())
}
