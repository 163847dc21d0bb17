//! `emit`, also as `federation event emit`.

use std::io::Read;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, Stream};
use serde::Deserialize;

use super::Session;
use crate::api::payload::Payload;
use crate::cli::access;
use crate::cli::args::{EmitArgs, Format};
use crate::cli::failure::{Failure, INVALID, NO, UNAVAILABLE};
use crate::cli::manifests;
use crate::control::{Answer, Control, EmitRequest};

/// Bytes read from a file at a time, and how many such pieces wait.
const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS_WAITING: usize = 4;

pub(super) async fn run(session: &mut Session, args: EmitArgs) -> Result<(), Failure> {
    match &args.file {
        Some(file) => lines(session, file).await,
        None => one(session, args).await,
    }
}

async fn one(session: &mut Session, args: EmitArgs) -> Result<(), Failure> {
    let format =
        session.output.format(&[Format::Table, Format::Yaml, Format::Json, Format::Name])?;
    let request = request(session, args)?;
    let id = request.id.clone().unwrap_or_default();
    let (paths, now) = (session.paths.clone(), session.now());
    let access =
        access::emitting(&paths, &session.clock, || manifests::groups(&paths, now)).await?;
    let answer = access.emit(request).await.map_err(|failure| match failure.code {
        // It may have been accepted: the same id makes the second try safe.
        UNAVAILABLE => failure.hint(format!("sending it again with --id {id} is safe")),
        _ => failure,
    })?;
    match format {
        Format::Json => session.output.json(&answer),
        Format::Yaml => session.output.yaml(&answer),
        Format::Name => session.output.line(&answer.id),
        Format::Table => session.output.line(&sentence(&answer)),
    }
}

fn sentence(answer: &Answer) -> String {
    let what = match (answer.refreshed, answer.duplicate) {
        (true, _) => "refreshed",
        (false, true) => "known already",
        (false, false) => "accepted",
    };
    format!("event {} {what} at revision {}", answer.id, answer.revision)
}

fn request(session: &Session, args: EmitArgs) -> Result<EmitRequest, Failure> {
    let given = &args.payload;
    if let Some((_, (key, _))) =
        given.iter().enumerate().find(|(at, (key, _))| given[..*at].iter().any(|(k, _)| k == key))
    {
        return Err(Failure::usage(format!("--payload {key}: given twice")));
    }
    let payload: Payload = args.payload.into_iter().collect();
    Ok(EmitRequest {
        id: Some(args.id.unwrap_or_else(|| Control::new_id(session.now()))),
        group: args.group.unwrap_or_default(),
        r#type: args.r#type.unwrap_or_default(),
        source_node: args.source_node,
        subject: args.subject,
        dedupe_key: args.dedupe_key,
        payload: (!payload.is_empty()).then_some(payload),
        observed_at: args.observed_at,
        expires_at: args.expires_at,
        ttl: args.ttl.map(|ttl| ttl.to_string()),
        ..EmitRequest::default()
    })
}

/// The part of an answer line that decides the exit code.
#[derive(Deserialize)]
struct Verdict {
    accepted: bool,
}

async fn lines(session: &mut Session, file: &Path) -> Result<(), Failure> {
    session.output.format(&[Format::Json])?;
    let input = open(session, file)?;
    let (paths, now) = (session.paths.clone(), session.now());
    let access =
        access::emitting(&paths, &session.clock, || manifests::groups(&paths, now)).await?;
    let mut answers = access.emit_lines(chunks(input)?).await?;
    let (mut buffer, mut total, mut refused) = (BytesMut::new(), 0_u64, 0_u64);
    while let Some(chunk) = answers.next().await {
        let chunk = chunk.map_err(|failure| {
            failure.hint(format!("{total} lines were answered; the others may be sent again"))
        })?;
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line = buffer.split_to(end + 1);
            total += 1;
            refused += u64::from(!is_accepted(&line));
            session.output.json_text(&String::from_utf8_lossy(&line))?;
        }
        session.output.flush()?;
    }
    match refused {
        0 => Ok(()),
        _ => Err(Failure::new(NO, format!("{refused} of {total} events were refused"))),
    }
}

fn is_accepted(line: &[u8]) -> bool {
    serde_json::from_slice::<Verdict>(line).is_ok_and(|verdict| verdict.accepted)
}

fn open(session: &mut Session, file: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if file == Path::new("-") {
        return session.stdin.take().ok_or_else(|| Failure::usage("stdin was read already"));
    }
    let open = || -> std::io::Result<std::fs::File> {
        let opened = std::fs::File::open(file)?;
        let is_directory = opened.metadata()?.is_dir();
        if is_directory { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(opened) }
    };
    match open() {
        Ok(opened) => Ok(Box::new(opened)),
        Err(error) => Err(Failure::new(INVALID, format!("{}: {error}", file.display()))),
    }
}

/// Reads on a thread of its own, because a pipe may be silent for as long as it likes, and no
/// further ahead than a few pieces.
fn chunks(
    mut input: Box<dyn Read + Send>,
) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>, Failure> {
    let (sender, receiver) = tokio::sync::mpsc::channel(CHUNKS_WAITING);
    let read = move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let chunk = match input.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let last = chunk.is_err();
            // Nobody listens any more: the command is over.
            if sender.blocking_send(chunk).is_err() || last {
                return;
            }
        }
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
    Ok(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }))
}
