//! Manifests read by the command itself: for `validate`, for `render --config`, and for an `emit`
//! before the daemon ever ran. The same scan and the same rules as the daemon's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::access::{self, Access};
use super::commands::Session;
use super::failure::Failure;
use super::paths::Paths;
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::decode::decode_value;
use crate::api::kinds::federation::EventGroupSpec;
use crate::api::part::Part;
use crate::control::{Control, Effective, RenderFormat, RenderReport};
use crate::sources::acceptance::{AcceptedSet, Memory, Moment, Waits, decide};
use crate::sources::report::Findings;
use crate::sources::scan::{self, Limits, Scanner};

/// What some paths hold.
pub(super) struct Manifests {
    pub accepted: Vec<Accepted>,
    pub findings: Findings,
}

/// Reads the manifests at these paths, as a node would that never saw them before.
pub(super) fn load(paths: &[PathBuf], now: Time) -> Manifests {
    let scan =
        Scanner::new(paths, Limits::default(), Arc::new(scan::Manifests)).scan(Duration::ZERO);
    let at = Moment { now, mono: Duration::ZERO };
    let mut new_uid = || Control::new_id(now);
    let fresh = AcceptedSet::default();
    let decision = decide(&fresh, Memory::default(), &scan, at, &Waits::default(), &mut new_uid);
    Manifests { accepted: decision.upserts, findings: decision.findings }
}

/// The EventGroups in the manifests of `--config`, by name.
pub(super) fn groups(paths: &Paths, now: Time) -> BTreeMap<String, EventGroupSpec> {
    let groups = load(&paths.config, now).accepted.into_iter();
    groups
        .filter(|accepted| accepted.typed && accepted.key().kind == "EventGroup")
        .filter_map(|accepted| {
            let spec = decode_value(accepted.resource.body.get("spec")?, "spec").ok()?;
            Some((accepted.resource.key.name, spec))
        })
        .collect()
}

/// Who renders: the daemon or the store, or this command from files of its own.
pub(super) enum Rendering {
    Access(Access),
    Files(Box<Effective>),
}

impl Rendering {
    pub(super) async fn render(&self, format: RenderFormat) -> Result<Bytes, Failure> {
        match (self, format) {
            (Self::Access(access), _) => access.render(format).await,
            (Self::Files(effective), RenderFormat::Yaml) => Ok(effective.yaml().into()),
            (Self::Files(effective), RenderFormat::Json) => Ok(effective.json()?.into()),
        }
    }

    pub(super) async fn report(&self) -> Result<RenderReport, Failure> {
        match self {
            Self::Access(access) => access.report().await,
            Self::Files(effective) => Ok(RenderReport {
                revision: None,
                digest: effective.digest.clone(),
                report: effective.report()?,
            }),
        }
    }
}

/// Decides who renders. With `--config` it is those files, against the parts there are, unless
/// they are what the daemon watches anyway.
pub(super) async fn rendering(session: &mut Session) -> Result<Rendering, Failure> {
    if !session.paths.config_given {
        return Ok(Rendering::Access(session.reading().await?));
    }
    let parts = match access::reading_if_any(&session.paths, &session.clock).await? {
        None => {
            let state = session.paths.state.display();
            session.notes.push(format!("note: no store at {state}; rendered without parts"));
            Vec::new()
        }
        Some(access @ Access::Store(_)) => access.stored_parts().await?,
        Some(access @ Access::Daemon(_)) => {
            let config = access.status().await?.config.unwrap_or_default();
            let watched = config.roots.iter().map(|root| Path::new(&root.path));
            let given = session.paths.config.iter().map(PathBuf::as_path);
            if resolved(watched) == resolved(given) {
                return Ok(Rendering::Access(access));
            }
            session.notes.push(
                "note: --config is not what the daemon watches; rendered these files against \
                 the daemon's parts"
                    .to_owned(),
            );
            access.stored_parts().await?
        }
    };
    Ok(Rendering::Files(Box::new(of_files(session, parts))))
}

fn of_files(session: &mut Session, parts: Vec<Part>) -> Effective {
    let now = session.clock.now();
    let manifests = load(&session.paths.config, now);
    for problem in &manifests.findings.problems {
        session.notes.push(format!("note: {problem}"));
    }
    let accepted: Vec<_> = manifests.accepted.into_iter().map(Arc::new).collect();
    let parts: Vec<_> = parts.into_iter().map(Arc::new).collect();
    Effective::of(&accepted, &parts, now)
}

/// Paths as a set, links followed where they lead somewhere.
fn resolved<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeSet<PathBuf> {
    let resolve = |path: &Path| {
        std::fs::canonicalize(path)
            .or_else(|_| std::path::absolute(path))
            .unwrap_or_else(|_| path.to_owned())
    };
    paths.map(resolve).collect()
}
