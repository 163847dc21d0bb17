//! routerd as its users meet it: the real daemon, real plugins, real files, real signals.
//!
//! Each test has a node in a directory of its own, so they run side by side. Run them by
//! `cargo test`; `cargo test --test e2e` needs `cargo build --examples` first.

mod harness;

mod backup;
mod cli;
mod emit;
mod events;
mod faults;
mod guide;
mod log;
mod manifests;
mod observer;
mod offline;
mod operate;
mod output;
mod plugin_tools;
mod plugins;
mod receive;
mod restart;
mod signals;
mod state;
mod stream;
mod strict;
mod two_nodes;
mod wait;
