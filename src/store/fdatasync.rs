//! Makes sled's `flush` durable.
//!
//! sled 0.34 ends a flush with `sync_file_range(2)`, which writes dirty pages but neither flushes
//! the disk's cache nor commits the file's size: after a power cut acknowledged data is gone. This
//! file defines the C symbol `sync_file_range` as `fdatasync(2)`, which takes precedence over the C
//! library's in every program that links this library. Whether it did is checked at every open,
//! with [`calls`]. The reasons are in `docs/adr/0001-sled-durability.md`.
//!
//! The only unsafe code of the store.

#![allow(unsafe_code)] // there is no other way to define a C symbol

use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    // Sound for any argument: a descriptor that is not open gives EBADF.
    safe fn fdatasync(fd: c_int) -> c_int;
}

/// `fdatasync` under the name that sled calls: 0, or -1 with `errno` set.
// SAFETY: replaces a C library function by one of the same signature and contract; whoever asks for
// a range to be written gets the whole file written, which includes it.
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(fd: c_int, _offset: i64, _bytes: i64, _flags: u32) -> c_int {
    CALLS.fetch_add(1, Ordering::Relaxed);
    fdatasync(fd)
}

/// How often a flush of sled's arrived here, in this process.
pub(super) fn calls() -> u64 {
    // Naming the function keeps the linker from dropping the object that defines it.
    std::hint::black_box(sync_file_range as extern "C" fn(c_int, i64, i64, u32) -> c_int);
    CALLS.load(Ordering::Relaxed)
}
