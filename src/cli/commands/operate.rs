//! `retry` and `rerun`.

use super::Session;
use crate::cli::access;
use crate::cli::args::{Format, RerunArgs, RetryRunsArgs, WorkArgs};
use crate::cli::failure::{Failure, NO};
use crate::control::views::counted;
use crate::control::{WorkAnswer, WorkFilter};

pub(super) async fn retry(session: &mut Session, args: RetryRunsArgs) -> Result<(), Failure> {
    let answer = access::daemon(&session.paths).await?.retry(&filter(args.work)).await?;
    print(
        session,
        &answer,
        "nothing failed to be retried",
        "routerctl get failures lists what fails",
    )
}

pub(super) async fn rerun(session: &mut Session, args: RerunArgs) -> Result<(), Failure> {
    let filter = filter(args.work);
    if filter == WorkFilter::default() && !args.all {
        return Err(Failure::usage("rerun: say what, or --all for everything that this node runs"));
    }
    let answer = access::daemon(&session.paths).await?.rerun(&filter).await?;
    print(session, &answer, "nothing to run anew", "routerctl dynamic list lists what was made")
}

fn filter(args: WorkArgs) -> WorkFilter {
    let WorkArgs { names, subscription, plugin, event } = args;
    WorkFilter { subscription, plugin, event, names }
}

fn print(
    session: &mut Session,
    answer: &WorkAnswer,
    nothing: &str,
    hint: &str,
) -> Result<(), Failure> {
    let out = &mut session.output;
    match out.format(&[Format::Table, Format::Yaml, Format::Json, Format::Name])? {
        Format::Json => out.json(answer)?,
        Format::Yaml => out.yaml(answer)?,
        Format::Name => answer.names.iter().try_for_each(|name| out.line(name))?,
        Format::Table => {
            let WorkAnswer { changed, suspended, unchanged, ended, .. } = answer;
            let mut said = vec![format!("{} run again", counted(changed - suspended, "fact"))];
            if *suspended > 0 {
                said.push(format!("{suspended} when the suspended subscription is resumed"));
            }
            if *unchanged > 0 {
                said.push(format!("{unchanged} with nothing to do"));
            }
            if *ended > 0 {
                said.push(format!("{ended} that have ended"));
            }
            out.line(&said.join("; "))?;
        }
    }
    out.flush()?;
    match answer.changed + answer.unchanged {
        0 => Err(Failure::new(NO, nothing).hint(hint)),
        _ => Ok(()),
    }
}
