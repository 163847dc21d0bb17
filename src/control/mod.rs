//! The admin API: HTTP and JSON on a unix socket, for `routerctl` and for scripts.
//!
//! [`Control`] holds the operations and knows nothing of HTTP, so that the daemon ([`server`]) and
//! a `routerctl` without a daemon answer from the same code. What only a running daemon knows
//! comes through [`Live`]; all else is read from the store. `docs/control-api.md` is the
//! reference of the routes.
//!
//! May import `api`, `store`, `render` and `runtime`.

mod backend;
mod backup;
pub mod client;
mod config_report;
mod deliveries;
mod effective;
mod emit;
mod error;
mod events;
mod kinds;
mod lines;
mod offline;
pub mod operate;
mod operations;
mod read;
pub mod server;
mod status;
pub mod views;

pub use backend::{
    Converged, EffectiveRevision, Figures, GroupFigures, ListenerView, Live, PeerFigures, Pending,
    RunFigures, WorkFigures,
};
pub use config_report::{ConfigReport, FileFigures, HeldView, ProblemView, RootView, WatchingView};
pub use deliveries::{DeliveryFilter, MAX_DELIVERIES_LISTED, RetryAnswer, RetryRequest};
pub use effective::{Effective, LeftOut, Masked, MaskedBy, Report, StartupProblem};
pub use emit::{Answer, EmitRequest, MAX_BATCH_BYTES, MAX_BATCH_LINES, MAX_LINE_BYTES};
pub use error::{ApiError, Reason};
pub use events::{EventFilter, MAX_EVENTS_LISTED};
pub use offline::Offline;
pub use operate::{WorkAnswer, WorkFilter};
pub use operations::{
    Control, MAX_WAIT, RenderFormat, RenderReport, Rendered, WaitAnswer, WaitRequest,
};

/// The version of this program, as `status` and `version` tell it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
