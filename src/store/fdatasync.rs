//! Makes sled's `flush` durable.
//!
//! sled 0.34 ends a flush with `sync_file_range(2)`, which writes dirty pages but neither flushes
//! the disk's cache nor commits the file's size: after a power cut acknowledged data is gone. This
//! file defines the C symbol `sync_file_range` as `fdatasync(2)`, which takes precedence over the C
//! library's in every program that links this library. Whether it did is checked at every open,
//! with [`calls`]. The reasons are in `docs/adr/0001-sled-durability.md`.
//!
//! sled writes each batch in two parts, a marker of some 24 bytes and the batch, and asks for both to
//! be synced at the same time; as both must be durable before a flush returns, one `fdatasync` for
//! both halves the latency of a commit. So a call for a few bytes waits a moment for a later one of
//! the same file to cover it.
//!
//! The only unsafe code of the store.

#![allow(unsafe_code)] // there is no other way to define a C symbol

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::slack::Slack;

/// No larger than this is the marker before a batch.
const MARKER_BYTES: i64 = 64;
/// How long a marker waits for its batch; a larger batch takes longer and does not wait for it.
const MARKER_WAIT: Duration = Duration::from_micros(300);

static CALLS: AtomicU64 = AtomicU64::new(0);
static FILES: Mutex<BTreeMap<c_int, Progress>> = Mutex::new(BTreeMap::new());
static COVERED: Condvar = Condvar::new();

/// The calls for one descriptor, counted. A descriptor that is closed and used anew goes on
/// counting, which is harmless: no call is left waiting when it is closed.
#[derive(Debug, Default)]
struct Progress {
    /// Calls that arrived; each after its bytes were written.
    arrived: u64,
    /// Calls that are covered by an `fdatasync` that began after they arrived.
    covered: u64,
}

unsafe extern "C" {
    // Sound for any argument: a descriptor that is not open gives EBADF.
    safe fn fdatasync(fd: c_int) -> c_int;
}

/// `fdatasync` under the name that sled calls: 0, or -1 with `errno` set.
// SAFETY: replaces a C library function by one of the same signature and contract; whoever asks for
// a range to be written gets the whole file written, which includes it.
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(fd: c_int, _offset: i64, bytes: i64, _flags: u32) -> c_int {
    CALLS.fetch_add(1, Ordering::Relaxed);
    let mut files = lock();
    let progress = files.entry(fd).or_default();
    progress.arrived += 1;
    let mine = progress.arrived;
    if bytes <= MARKER_BYTES {
        let open = |files: &mut BTreeMap<c_int, Progress>| {
            files.get(&fd).is_some_and(|progress| progress.covered < mine)
        };
        // Timers of sled's threads may be late.
        let exact = Slack::take_off();
        let waited = COVERED.wait_timeout_while(files, MARKER_WAIT, open);
        let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(exact);
        if !timeout.timed_out() {
            return 0;
        }
        files = guard;
    }
    let covers = files.get(&fd).map_or(mine, |progress| progress.arrived);
    drop(files);
    let result = fdatasync(fd);
    if result == 0 {
        let mut files = lock();
        let progress = files.entry(fd).or_default();
        progress.covered = progress.covered.max(covers);
        drop(files);
        COVERED.notify_all();
    }
    result
}

fn lock() -> MutexGuard<'static, BTreeMap<c_int, Progress>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a flush of sled's arrived here, in this process.
pub(super) fn calls() -> u64 {
    // Naming the function keeps the linker from dropping the object that defines it.
    std::hint::black_box(sync_file_range as extern "C" fn(c_int, i64, i64, u32) -> c_int);
    CALLS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    //! The contract of the C function, on real descriptors.

    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_marker_and_its_batch_are_synced_and_counted() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"marker and batch").expect("written");
        let fd = file.as_raw_fd();
        let before = calls();
        let _slack = Slack::give();
        let marker = std::thread::spawn(move || sync_file_range(fd, 0, 6, 0));
        assert_eq!(sync_file_range(fd, 6, 1000, 0), 0);
        assert_eq!(marker.join().expect("no panic"), 0);
        assert!(calls() >= before + 2);
    }

    #[test]
    fn a_failing_sync_fails_every_call_that_needed_it() {
        // A pipe cannot be synced.
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let _slack = Slack::give();
        for bytes in [6, 1000] {
            assert_eq!(sync_file_range(reader.as_raw_fd(), 0, bytes, 0), -1);
            let error = std::io::Error::last_os_error();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
    }
}
