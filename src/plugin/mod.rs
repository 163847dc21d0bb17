//! Run one executable once, safely: bytes in, bytes out, and nothing left behind.
//!
//! A plugin is trusted local code, but it hangs, floods, forks and crashes beside a daemon that
//! runs as root. This module is the only place that starts processes. It knows nothing of plugins'
//! JSON, of retries or of clocks: a caller passes a [`RunSpec`] to a [`Spawner`] and gets an
//! [`Outcome`] (the process ran) or a [`HostError`] (it did not, which is not an attempt).
//!
//! The path of a run:
//!
//! 1. [`check_executable`]: may this file be run at all (`trust`), and are its bytes the pinned
//!    ones (`pin`)?
//! 2. `launch`: an empty working directory (`scratch`), a clean environment, its own process
//!    group, three pipes, the `sandbox` on the thread that `threads` chooses, `posix_spawn`, and
//!    the child's `limits`. Never `pre_exec`, `uid()` or `gid()`: they make std
//!    fork the whole daemon, which is 300 times slower at 1 GB of memory.
//! 3. `supervise`: feed and drain the pipes at the same time (`pipes`) until the process has exited
//!    and its output ended, or until the deadline, the output limit or a cancellation stops it.
//! 4. `group`: whatever happened, the whole process group is killed *before* its leader is reaped;
//!    `orphans` then ends what escaped from the group.
//!
//! A run that asks for a warm process goes the same way up to 2, and then: `stream` asks the process
//! one line and reads one line, under the same limits; who reads the answer gives the process back
//! to its pool (`warm`, whose rules are `pool`) or lets it end as in 3 and 4.
//!
//! Linux 5.3 or later (pidfds) with `/proc`.

mod contract;
mod group;
mod inherited;
mod launch;
mod limits;
mod orphans;
mod pin;
mod pipes;
mod pool;
mod sandbox;
mod scratch;
mod spawner;
mod stream;
mod supervise;
mod threads;
mod trust;
mod walls;
mod warm;

pub use contract::{
    DEFAULT_GRACE, Exit, HostError, Limits, Outcome, RunSpec, Spawner, StderrTail, WarmSpec,
};
pub use inherited::keep_descriptors;
pub use orphans::adopt_orphans;
pub use pin::Digest;
pub use spawner::ProcessSpawner;
pub use trust::{Checked, TrustProblem, TrustWarning, check_executable};
pub use walls::{Availability, Confinement, Wall, WallState, Walls};
pub use warm::Lease;
