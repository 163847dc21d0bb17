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
    // Sound for any arguments: an option that there is not is ignored.
    safe fn mi_option_set(option: c_int, value: c_long);
}

/// From now on memory that is freed goes back to the system after a tenth of a second, not one: what is
/// due is looked for when something is freed, and an idle node would keep what its start took.
pub fn give_back_soon() {
    mi_option_set(PURGE_DELAY, 100);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_option_is_the_delay() {
        use super::*;

        unsafe extern "C" {
            safe fn mi_option_get(option: c_int) -> c_long;
        }

        // Another version may number them anew: this one has a default that no other has.
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(mi_option_get(PURGE_DELAY), 1000);
        }
        give_back_soon();
        assert_eq!(mi_option_get(PURGE_DELAY), 100);
    }
}
