//! What is shown of the stored things: complete, stable, camelCase JSON.
//!
//! Pure: rows and the time in, views out. Scripts rely on these shapes, so a member is added and
//! never renamed or taken away.

mod delivery;
mod event;
mod failure;
mod object;
mod part;
mod run;

pub use delivery::{DeliveryList, DeliveryStatus, DeliverySummary, DeliveryView, PeerView};
pub use event::{EventList, EventView};
pub use failure::FailureView;
pub use object::{Metadata, ObjectStatus, ObjectView};
pub use part::{PartSpec, PartStatus, PartView};
pub(in crate::control) use part::{is_fact, parse_name};
pub use run::RunView;

pub use super::status::{
    EffectiveStatus, GroupStatus, PartFigures, PeerStatus, PluginStatus, StatusView, StoreStatus,
    SubscriptionStatus, counted,
};
