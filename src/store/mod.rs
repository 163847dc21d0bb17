//! The durable truth of a node: typed rows, one ordered writer, revisions and watches.
//!
//! What a reader needs to know first:
//!
//! * A [`Record`] is a typed row of one [`Table`]; its key encoding sorts like its components.
//! * [`Store::write`] runs a closure on the one writer, in order with all others, and returns when
//!   what it wrote is on disk. Closures that wait together share one sync (group commit).
//! * Each transaction that changes something gets the next [`Revision`]. [`Store::watch`] tells
//!   which keys changed after a revision that is durable; [`Store::watch_applied`] does so while it
//!   is being synced, and [`Store::settled`] waits for that. Reads show what is applied.
//! * Below the typed surface lies an [`Engine`]: sled on disk, or [`MemoryEngine`], which models
//!   crashes for simulation.
//!
//! May import `api` only; sled is named in `sled_engine` and nowhere else. All is generic but for
//! `tables`, `events`, `facts` and `order`, which know what is kept and how an event is accepted.

pub mod backup;
mod change_log;
mod commit;
mod engine;
mod error;
pub mod events;
pub mod facts;
mod fdatasync;
mod frame;
mod handle;
mod health;
mod identity;
mod key;
mod memory;
mod meta;
mod open;
mod open_error;
pub mod order;
mod reads;
mod record;
mod rows;
mod scan;
mod scrub;
mod slack;
mod sled_engine;
mod state_dir;
pub mod tables;
mod txn;
mod watch;
mod watchdog;
mod writer;

pub use commit::Committed;
pub use engine::{Engine, EngineBatch, EngineError, RawRow, RawRows};
pub use error::{StoreError, WriteError};
pub use frame::{FrameError, MAX_RECORD_BYTES};
pub use handle::{Limits, Store};
pub use health::{Health, HealthNote, Writes};
pub use key::{KeyError, KeyReader, KeyWriter, RecordKey};
pub use memory::{Fault, MemoryEngine, Operation, Stall};
pub use open::{Commits, OpenOptions, OpenReport, Quarantined};
pub use open_error::OpenError;
pub use record::{Record, Table};
pub use rows::Rows;
pub use scan::Scan;
pub use sled_engine::FreeSpace;
pub use txn::Txn;
pub use watch::{Change, ChangeKind, Changes, Watch};

/// The number of a durable transaction: 0 for a new store, +1 for each that changes something.
pub type Revision = u64;
