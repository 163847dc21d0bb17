//! `backup` and `restore`: the store as one file, and back.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use serde::Serialize;

use super::Session;
use crate::api::Time;
use crate::cli::access;
use crate::cli::args::Format;
use crate::cli::failure::{Failure, INVALID, NO, UNAVAILABLE};
use crate::cli::new_file::{NewFile, directory_of};
use crate::control::client::Client;
use crate::store::OpenOptions;
use crate::store::backup::{BackupSummary, BadBackup, RestoreError, verify};

/// How long the next piece of a backup may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a backup holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BackupView<'a> {
    path: &'a Path,
    revision: u64,
    rows: u64,
    bytes: u64,
    made_at: Time,
    made_by: &'a str,
    #[serde(rename = "storeID")]
    store_id: uuid::Uuid,
    /// The id of the store that was made of it.
    #[serde(rename = "restoredStoreID", skip_serializing_if = "Option::is_none")]
    restored: Option<uuid::Uuid>,
}

impl<'a> BackupView<'a> {
    fn of(path: &'a Path, summary: &'a BackupSummary) -> Self {
        Self {
            path,
            revision: summary.revision,
            rows: summary.rows(),
            bytes: summary.bytes,
            made_at: summary.header.made_at,
            made_by: &summary.header.made_by,
            store_id: summary.header.store_id,
            restored: None,
        }
    }
}

pub(super) async fn run(session: &mut Session, to: &Path, force: bool) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    if !force && to.exists() {
        return Err(taken(to));
    }
    outside_the_state(to, &session.paths.state)?;
    let schema = OpenOptions::offline(&session.paths.state, session.now(), false).schema;
    let mut chunks = session.reading().await?.backup().await?;
    let unwritten = |error: std::io::Error| unwritten(to, &error);
    let mut made = NewFile::beside(to).map_err(unwritten)?;
    loop {
        let chunk = tokio::time::timeout(PATIENCE, chunks.next()).await.map_err(|_| {
            let why = format!("no more of the backup came within {}s", PATIENCE.as_secs());
            Failure::new(UNAVAILABLE, why).hint("see routerctl status and the daemon's log")
        })?;
        let Some(chunk) = chunk else { break };
        made.file.write_all(&chunk?).map_err(unwritten)?;
    }
    // Read back as a restore will: what is placed is whole.
    made.file.rewind().map_err(unwritten)?;
    let summary = verify(BufReader::new(&mut made.file), schema).map_err(|bad| {
        Failure::new(NO, format!("no backup was made: {}", chain(&bad)))
            .hint("nothing was written; see routerctl status and the daemon's log")
    })?;
    made.place(force).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => taken(to),
        _ => unwritten(error),
    })?;
    let view = BackupView::of(to, &summary);
    print(session, format, &view, &|view| {
        let (path, revision, rows, bytes) =
            (view.path.display(), view.revision, view.rows, view.bytes);
        format!("{path}: revision {revision}, {rows} rows, {bytes} bytes")
    })
}

pub(super) async fn restore(session: &mut Session, from: &Path) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    let state = session.paths.state.clone();
    if access::probe(&Client::new(&session.paths.socket)).await.is_ok() {
        let why = format!("a routerd answers on {}", session.paths.socket.display());
        return Err(Failure::new(NO, why).hint("stop it first"));
    }
    let unread = |error| {
        Failure::new(INVALID, format!("cannot read {}: {error}", from.display()))
            .hint("--from names a file that routerctl backup made")
    };
    let mut file = File::open(from).map_err(unread)?;
    // A directory opens as well, and says so when it is read.
    file.read(&mut [0]).and_then(|_| file.rewind()).map_err(unread)?;
    let options = OpenOptions::offline(&state, session.now(), true);
    let restored = crate::store::backup::restore(&options, &mut file);
    let restored = restored.map_err(|error| explain(from, &state, &error))?;
    let mut view = BackupView::of(from, &restored.backup);
    view.restored = Some(restored.store_id);
    session.notes.push(
        "note: the store has a new id, so peers send again what it does not have; what was recorded \
         here after the backup, and on no peer, is lost"
            .to_owned(),
    );
    print(session, format, &view, &|view| {
        let (state, revision, made) = (state.display(), view.revision, view.made_at);
        format!("{state}: restored to revision {revision} of {made}; start routerd serve")
    })
}

fn print(
    session: &mut Session,
    format: Format,
    view: &BackupView<'_>,
    sentence: &dyn Fn(&BackupView<'_>) -> String,
) -> Result<(), Failure> {
    match format {
        Format::Json => session.output.json(view),
        Format::Yaml => session.output.yaml(view),
        _ => session.output.line(&sentence(view)),
    }
}

fn taken(to: &Path) -> Failure {
    Failure::new(NO, format!("{} is there already and stays as it is", to.display()))
        .hint("name a new file, or replace this one with --force")
}

fn unwritten(to: &Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let failure = Failure::new(NO, format!("cannot make {}: {error}", to.display()));
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied => {
            failure.hint("--to names a file in a directory that is there and yours to write to")
        }
        _ => failure,
    }
}

/// A file in there could take the place of the store's own, and would be lost with it.
fn outside_the_state(to: &Path, state: &Path) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let directory = real(directory_of(to));
    // Any state directory, also that of a daemon which was only named by its socket.
    let is_state = |directory: &Path| directory.join("identity.json").exists();
    let within = state.exists() && directory.starts_with(real(state));
    if within || directory.ancestors().any(is_state) {
        let why = format!("{} lies in the state directory", to.display());
        return Err(Failure::new(NO, why).hint("--to names a file elsewhere, best on another disk"));
    }
    Ok(())
}

fn explain(from: &Path, state: &Path, error: &RestoreError) -> Failure {
    match error {
        RestoreError::Backup(bad) => {
            let failure = Failure::new(INVALID, format!("{}: {}", from.display(), chain(bad)));
            match bad {
                BadBackup::CutShort { .. } | BadBackup::Damaged { .. } => {
                    failure.hint("nothing was touched; copy it again, or use another backup")
                }
                _ => failure.hint("nothing was touched"),
            }
        }
        RestoreError::NotEmpty { .. } => Failure::new(NO, chain(error)).hint(format!(
            "nothing was touched; move it away, as in: mv {0} {0}.old",
            state.display()
        )),
        RestoreError::NotTheStore(_) => Failure::new(INVALID, chain(error))
            .hint("nothing of it is left in the state directory; use another backup"),
        _ => Failure::new(UNAVAILABLE, chain(error)),
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
