//! The clock that is passed in: node time, and nothing else, decides what has expired.

use super::Time;

/// Where "now" comes from. The daemon passes the wall clock, guarded against steps; a simulation
/// passes its own.
pub trait Clock: Send + Sync + 'static {
    /// Node time.
    fn now(&self) -> Time;
}
