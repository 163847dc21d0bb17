//! A node of one's own: a temporary directory, a real daemon, real plugins, routerctl as a child.
//!
//! Nothing in here sleeps for the sake of time: [`wait_for`] asks again and again until what it is
//! told comes true, and at its deadline says what it saw last and what the daemon logged.

mod answer;
mod daemon;
mod manifests;
mod network;
mod node;
mod plugins;
mod wait;

pub use answer::Answer;
pub use daemon::Daemon;
pub use manifests::{group, opaque, plugin, subscription, wg_interface};
pub use network::Network;
pub use node::{GUIDE_EVENT, Node};
pub use plugins::{badplugin, claim_plugin, neighbours};
pub use wait::{soon, wait_for};
