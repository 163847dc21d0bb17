//! `plugin`: what an operator does with plugins beside writing their manifests.

mod lock;

use super::Session;
use crate::cli::args::PluginCommand;
use crate::cli::failure::Failure;

pub(super) async fn run(session: &mut Session, command: PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::Lock { names } => lock::run(session, &names).await,
    }
}
