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
use crate::control::{ApiError, ConfigReport, Control, Effective, RenderFormat, RenderReport};
use crate::sources::acceptance::{AcceptedSet, Memory, Moment, Waits, decide};
use crate::sources::config_dir;
use crate::sources::report::{self, Findings};
use crate::sources::scan::{self, Limits, Scan, Scanner};
use crate::store::Store;

/// What some paths hold.
pub(super) struct Manifests {
    pub accepted: Vec<Accepted>,
    pub findings: Findings,
}

/// Reads the manifests at these paths, as a node would that never saw them before.
pub(super) fn load(paths: &[PathBuf], now: Time) -> Manifests {
    let (scan, nothing) = (scan(paths), AcceptedSet::default());
    settled(nothing, &scan, now)
}

/// Reads the manifests at these paths, as the node of this store will when it starts: what is broken
/// in them stays as it was accepted last. What was accepted from elsewhere is not looked at.
pub(super) fn load_after(
    paths: &[PathBuf],
    store: &Store,
    now: Time,
) -> Result<Manifests, Failure> {
    let scan = scan(paths);
    let mut before = config_dir::accepted(store).map_err(ApiError::from)?;
    let is_read =
        |file: &str| scan.roots.iter().any(|root| Path::new(file).starts_with(&root.path));
    before.objects.retain(|_, object| is_read(&object.source.file));
    before.roots.retain(|path, _| scan.roots.iter().any(|root| root.path == *path));
    Ok(settled(before, &scan, now))
}

fn scan(paths: &[PathBuf]) -> Scan {
    Scanner::new(paths, Limits::default(), Arc::new(scan::Manifests)).scan(Duration::ZERO)
}

/// What is in force at the end of a start: what is gone from a file has been looked for once more,
/// and what is held because so much is gone is still held.
fn settled(mut set: AcceptedSet, scan: &Scan, now: Time) -> Manifests {
    let (mut memory, mut findings) = (Memory::default(), Findings::default());
    let waits = Waits::default();
    for mono in [Duration::ZERO, waits.mass / 2] {
        let (at, mut new_uid) = (Moment { now, mono }, || Control::new_id(now));
        let decision = decide(&set, memory, scan, at, &waits, &mut new_uid);
        set.apply(decision.upserts, &decision.deletes);
        set.roots = decision.roots.unwrap_or(set.roots);
        (memory, findings) = (decision.memory, decision.findings);
    }
    Manifests { accepted: set.objects.into_values().collect(), findings }
}

/// What there is to say about the files of a node that nobody serves; none if there are no files and
/// nobody named any.
pub(super) fn report(session: &Session, store: &Store) -> Result<Option<ConfigReport>, Failure> {
    let findings = load_after(&session.paths.config, store, session.clock.now())?.findings;
    if !session.paths.config_given && findings.roots.iter().all(|root| !root.present) {
        return Ok(None);
    }
    let last_scan = Some(session.clock.now());
    let report = report::ConfigReport { findings, last_scan, ..report::ConfigReport::default() };
    // Both sides are the same JSON by contract; the daemon does the same.
    let shown = serde_json::to_value(&report).and_then(serde_json::from_value);
    let mut shown: ConfigReport = shown.map_err(std::io::Error::other)?;
    "not watched".clone_into(&mut shown.watching.mode);
    Ok(Some(shown))
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
    let (paths, now) = (session.paths.config.clone(), session.clock.now());
    let (manifests, parts) = match access::reading_if_any(&session.paths, &session.clock).await? {
        None => {
            let state = session.paths.state.display();
            session.notes.push(format!("note: no store at {state}; rendered without parts"));
            (load(&paths, now), Vec::new())
        }
        Some(Access::Store(control)) => {
            (load_after(&paths, control.store(), now)?, control.stored_parts()?)
        }
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
            (load(&paths, now), access.stored_parts().await?)
        }
    };
    Ok(Rendering::Files(Box::new(of_files(session, manifests, parts))))
}

fn of_files(session: &mut Session, manifests: Manifests, parts: Vec<Part>) -> Effective {
    let now = session.clock.now();
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
