//! `schema`: the JSON Schema of a Kind.

use super::args::Format;
use super::commands::Session;
use super::failure::{Failure, NO};
use super::table::Table;
use crate::api::decode::nearest;
use crate::api::kinds::registry::{KINDS, by_name};

pub(super) fn run(session: &mut Session, kind: Option<&str>) -> Result<(), Failure> {
    let Some(word) = kind else { return list(session) };
    let format = session.output.format(&[Format::Json, Format::Yaml])?;
    let Some(info) = by_name(word) else {
        let failure = Failure::new(NO, format!("no schema for the kind {word:?}"));
        return Err(match nearest(word, KINDS.iter().map(|info| info.kind)) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure.hint("routerctl schema lists the kinds that have one"),
        });
    };
    let schema = info.schema();
    match format {
        Format::Yaml => session.output.yaml(&schema),
        _ => session.output.json(&schema),
    }
}

fn list(session: &mut Session) -> Result<(), Failure> {
    if session.output.format(&[Format::Table, Format::Name])? == Format::Name {
        return KINDS.iter().try_for_each(|info| session.output.line(info.kind));
    }
    let mut table = Table::new(&["KIND", "API VERSION", "SHORT"]);
    for info in KINDS {
        table.row([info.kind.to_owned(), info.api_version.to_owned(), info.short.join(",")]);
    }
    session.output.write(&table.to_string())
}
