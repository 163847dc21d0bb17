//! The outside world into the store: the configuration paths, and the time.
//!
//! * [`scan`] reads the configuration paths into values; it needs no store, so that routerctl can
//!   use it offline.
//! * [`acceptance`] is pure: what was accepted and what a scan saw in, what to write and to report
//!   out. It holds every rule about what stays in force.
//! * [`report`] is what acceptance has to say, for people and for conditions.
//! * [`config_dir`] is the loop around them: a hint of a change, a full scan, one decision, one
//!   write.
//! * [`node_time`] guards the wall clock against steps.

pub mod acceptance;
pub mod clock_set;
pub mod config_dir;
pub mod node_time;
pub mod report;
pub mod scan;
