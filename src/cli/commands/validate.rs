//! `validate`: the daemon's own reading of the manifests, without the daemon.

use serde::Serialize;

use super::Session;
use crate::cli::args::{Format, ValidateArgs};
use crate::cli::failure::{Failure, INVALID};
use crate::cli::manifests::{self, Manifests};
use crate::sources::report::{ConfigProblem, ProblemKind};

/// What is found, for `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict<'a> {
    valid: bool,
    files: u64,
    objects: usize,
    problems: &'a [ConfigProblem],
    problems_omitted: u64,
    /// Paths that were named and are not there.
    missing: &'a [String],
}

pub(super) fn run(session: &mut Session, args: &ValidateArgs) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    if args.files.iter().any(|file| file == std::path::Path::new("-")) {
        return Err(Failure::usage("-f -: it reads files, which its messages name")
            .hint("save it first, as in: routerctl get all -o json > all.json"));
    }
    let given = if args.files.is_empty() { &session.paths.config } else { &args.files };
    let Manifests { accepted, findings } = manifests::load(given, session.clock.now());
    let missing: Vec<String> = findings
        .roots
        .iter()
        .filter(|root| {
            !root.present || (root.files == 0 && !std::path::Path::new(&root.path).exists())
        })
        .map(|root| root.path.clone())
        .collect();
    let wrong = findings.problems.iter().filter(|p| p.kind != ProblemKind::Note).count() as u64
        + findings.problems_omitted
        + missing.len() as u64;
    let verdict = Verdict {
        valid: wrong == 0,
        files: findings.files.read + findings.files.not_yaml + findings.files.unreadable,
        objects: accepted.len(),
        problems: &findings.problems,
        problems_omitted: findings.problems_omitted,
        missing: &missing,
    };
    let out = &mut session.output;
    match format {
        Format::Json => out.json(&verdict)?,
        Format::Yaml => out.yaml(&verdict)?,
        _ => {
            for path in &missing {
                out.line(&format!("{path}: is not there"))?;
            }
            for problem in &findings.problems {
                let note = if problem.kind == ProblemKind::Note { "note: " } else { "" };
                out.line(&format!("{}{note}{}", place(problem), sentence(problem)))?;
                if let Some(hint) = &problem.hint {
                    out.line(&format!("  hint: {hint}"))?;
                }
            }
            if findings.problems_omitted > 0 {
                out.line(&format!("and {} more problems", findings.problems_omitted))?;
            }
            if wrong == 0 {
                let (objects, files) = (verdict.objects, verdict.files);
                out.line(&format!("ok: {objects} objects in {files} files"))?;
            }
        }
    }
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::new(INVALID, "1 problem")),
        n => Err(Failure::new(INVALID, format!("{n} problems"))),
    }
}

/// `file:line:col: `, as editors and CI jump to it.
fn place(problem: &ConfigProblem) -> String {
    match problem.line {
        0 => format!("{}: ", problem.file),
        line => format!("{}:{line}:{}: ", problem.file, problem.column),
    }
}

fn sentence(problem: &ConfigProblem) -> String {
    match problem.path.as_str() {
        "" => problem.message.clone(),
        path => format!("{path}: {}", problem.message),
    }
}
