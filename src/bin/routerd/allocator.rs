//! The memory allocator of the daemon: mimalloc.
//!
//! sled and the queues around it allocate on one thread what another frees, in many sizes, which
//! costs the C library's allocator a part of the time in which an event is accepted, and leaves holes.
//! The tools and plugins, which run for milliseconds, keep that one: it starts sooner.

#![allow(unsafe_code)] // there is no other way to set an option of the allocator

use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, in milliseconds.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// From now on memory that is freed goes back to the system after a tenth of a second, not one: what is
/// due is looked for when something is freed, and an idle node would keep what its start took. What the
/// environment says (`MIMALLOC_PURGE_DELAY`) counts more. For the beginning of `main`.
pub fn give_back_soon() {
    // SAFETY: a plain store of a number that the C code reads; no other thread runs yet. The number of
    // the option is that of the pinned version, and a test looks at it.
    unsafe { mi_option_set_default(PURGE_DELAY, 100) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_option_is_the_delay() {
        use super::*;

        unsafe extern "C" {
            // Sound for any argument: an option that there is not is 0.
            safe fn mi_option_get(option: c_int) -> c_long;
        }

        let from_outside = ["MIMALLOC_PURGE_DELAY", "MIMALLOC_RESET_DELAY"];
        if from_outside.iter().any(|name| std::env::var_os(name).is_some()) {
            return;
        }
        // Another version may number them anew: this one has a default that no other has.
        assert_eq!(mi_option_get(PURGE_DELAY), 1000);
        give_back_soon();
        assert_eq!(mi_option_get(PURGE_DELAY), 100);
    }
}
