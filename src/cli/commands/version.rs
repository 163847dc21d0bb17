//! `version`.

use serde::Serialize;

use super::Session;
use crate::cli::access;
use crate::cli::args::Format;
use crate::cli::failure::Failure;
use crate::control::VERSION;
use crate::control::client::Client;

/// Both versions.
#[derive(Serialize)]
struct Versions {
    client: &'static str,
    /// `null` if no daemon answers.
    daemon: Option<String>,
}

/// Answers always: a daemon that does not answer has no version.
pub(super) async fn run(session: &mut Session) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    let probed = access::probe(&Client::new(&session.paths.socket)).await;
    let (daemon, why) = match probed {
        Ok(probed) => (Some(probed.version), String::new()),
        Err(error) => (None, error.to_string()),
    };
    let versions = Versions { client: VERSION, daemon };
    let out = &mut session.output;
    match format {
        Format::Json => out.json(&versions),
        Format::Yaml => out.yaml(&versions),
        _ => {
            out.line(&format!("routerctl {VERSION}"))?;
            out.line(&format!("routerd   {}", versions.daemon.as_deref().unwrap_or(&why)))
        }
    }
}
