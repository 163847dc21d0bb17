//! The pure parts of the observer `neighbours`: what the kernel and the DHCP server say, and what is
//! said of it. `tests/e2e/observer.rs` runs the whole of it.

#[path = "../examples/observers/neighbours/evidence.rs"]
mod evidence;
#[expect(dead_code, reason = "reading and watching the file is the observer's own")]
#[path = "../examples/observers/neighbours/leases.rs"]
mod leases;
