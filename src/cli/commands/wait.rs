//! `wait --converged`.

use super::Session;
use crate::api::Time;
use crate::cli::access;
use crate::cli::args::{Format, WaitArgs};
use crate::cli::failure::{Failure, NO};
use crate::cli::table::{Table, until};
use crate::control::{MAX_WAIT, Pending, WaitRequest};

pub(super) async fn run(session: &mut Session, args: &WaitArgs) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    // Clap requires the flag: one day there will be other things to wait for.
    debug_assert!(args.converged);
    if args.timeout > MAX_WAIT {
        let message = format!("--timeout {}: {MAX_WAIT} at most", args.timeout);
        return Err(Failure::usage(message).hint("wait again when the time is over"));
    }
    let request = WaitRequest { timeout: Some(args.timeout), deliveries: args.deliveries };
    let answer = access::daemon(&session.paths).await?.wait(request).await?;
    let out = &mut session.output;
    match format {
        Format::Json => out.json(&answer)?,
        Format::Yaml => out.yaml(&answer)?,
        _ if answer.converged => {
            let revision = answer.revision.unwrap_or_default();
            out.line(&format!("converged at revision {revision}"))?;
        }
        _ => out.write(&table(&answer.pending, session.clock.now()).to_string())?,
    }
    if answer.converged {
        return Ok(());
    }
    out.flush()?;
    let why = match answer.pending.len() {
        0 => "the node is still looking at its configuration".to_owned(),
        pending => format!("{pending} pending"),
    };
    Err(Failure::new(NO, format!("not converged within {}: {why}", args.timeout)))
}

/// What is not settled.
pub(super) fn table(pending: &[Pending], now: Time) -> Table {
    let mut table = Table::new(&["PENDING", "CONTROLLER", "STATE", "DUE", "MESSAGE"]);
    for item in pending {
        table.row([
            item.key.clone(),
            item.controller.clone(),
            item.state.clone(),
            item.due.map(|due| until(due, now)).unwrap_or_default(),
            item.message.clone(),
        ]);
    }
    table
}
