//! The commands: one file each, and the one place that tells them apart.

mod backup;
mod deliveries;
mod describe;
mod emit;
mod events;
mod get;
mod keygen;
mod operate;
mod plugin;
mod render;
mod status;
mod validate;
mod version;
mod wait;

use std::io::Read;
use std::sync::Arc;

use super::access::{self, Access};
use super::args::{Command, DynamicCommand, EventCommand, FederationCommand};
use super::failure::Failure;
use super::output::Output;
use super::paths::Paths;
use super::schema;
use crate::api::Time;
use crate::api::clock::Clock;

/// What a command works with.
pub(super) struct Session {
    pub paths: Paths,
    pub output: Output,
    pub clock: Arc<dyn Clock>,
    /// Taken by the command that reads it.
    pub stdin: Option<Box<dyn Read + Send>>,
    /// Lines for stderr.
    pub notes: Vec<String>,
}

impl Session {
    fn now(&self) -> Time {
        self.clock.now()
    }

    /// The daemon, or the store as it is.
    pub(in crate::cli) async fn reading(&self) -> Result<Access, Failure> {
        access::reading(&self.paths, &self.clock).await
    }
}

/// Runs a command.
pub(super) async fn dispatch(command: Command, session: &mut Session) -> Result<(), Failure> {
    use {DynamicCommand as Dynamic, EventCommand as Event, FederationCommand as Federation};
    match command {
        Command::Status => status::run(session).await,
        Command::Render(args) | Command::Dynamic(Dynamic::Render(args)) => {
            render::run(session, &args).await
        }
        Command::Get(args) => get::run(session, &args).await,
        Command::Describe { kind, name } => describe::run(session, &kind, &name).await,
        Command::Emit(args) | Command::Federation(Federation::Event(Event::Emit(args))) => {
            emit::run(session, *args).await
        }
        Command::Federation(Federation::Event(Event::List(args))) => {
            events::run(session, &args).await
        }
        Command::Federation(Federation::Peers) => deliveries::peers(session).await,
        Command::Federation(
            Federation::Deliveries(args) | Federation::Event(Event::Deliveries(args)),
        ) => deliveries::run(session, &args).await,
        Command::Federation(Federation::Retry(args)) => deliveries::retry(session, args).await,
        Command::Federation(Federation::Keygen { file, force }) => {
            keygen::run(session, &file, force)
        }
        Command::Dynamic(Dynamic::List) => get::parts(session, None).await,
        Command::Dynamic(Dynamic::Describe { name }) => describe::part(session, &name).await,
        Command::Validate(args) => validate::run(session, &args),
        Command::Schema { kind } => schema::run(session, kind.as_deref()),
        Command::Wait(args) => wait::run(session, &args).await,
        Command::Plugin(command) => plugin::run(session, command).await,
        Command::Retry(args) => operate::retry(session, args).await,
        Command::Rerun(args) => operate::rerun(session, args).await,
        Command::Backup { to, force } => backup::run(session, &to, force).await,
        Command::Restore { from } => backup::restore(session, &from).await,
        Command::Version => version::run(session).await,
    }
}
