//! `plugin lock`: the SHA-256 of executables, as the line that pins them in the manifest.
//!
//! Hashes here, not in the daemon: what is pinned is what the operator sees. Changes no manifest.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::super::Session;
use crate::cli::args::Format;
use crate::cli::failure::{Failure, NO};

/// One executable and its digest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pin {
    /// The Plugin; absent for a path that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    executable: String,
    sha256: String,
    /// The pin that the manifest has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<String>,
}

/// Names of Plugins, or paths of executables; none are all Plugins.
pub(super) async fn run(session: &mut Session, names: &[String]) -> Result<(), Failure> {
    let format = session.output.format(&[Format::Table, Format::Yaml, Format::Json])?;
    let mut pins = Vec::new();
    if names.is_empty() {
        pins = of_plugins(session, None).await?;
    }
    for name in names {
        if name.contains('/') {
            pins.push(pin(None, name.clone(), None)?);
        } else {
            pins.extend(of_plugins(session, Some(name)).await?);
        }
    }
    match format {
        Format::Json => session.output.json(&pins),
        Format::Yaml => session.output.yaml_all(&pins),
        _ => pins.iter().try_for_each(|pin| print(session, pin)),
    }
}

async fn of_plugins(session: &Session, name: Option<&str>) -> Result<Vec<Pin>, Failure> {
    let objects = session.reading().await?.objects("plugin", name).await?;
    let mut pins = Vec::with_capacity(objects.len());
    for object in objects {
        // As written: the manifest was accepted, so both are words if they are there.
        let spec = serde_json::to_value(&object.spec).unwrap_or_default();
        let word = |field: &str| spec[field].as_str().map(str::to_owned);
        let executable =
            word("executable").ok_or_else(|| Failure::new(NO, "the Plugin names no executable"))?;
        pins.push(pin(Some(object.metadata.name), executable, word("sha256"))?);
    }
    Ok(pins)
}

fn pin(plugin: Option<String>, executable: String, pinned: Option<String>) -> Result<Pin, Failure> {
    let sha256 = digest(Path::new(&executable)).map_err(|error| {
        Failure::new(NO, format!("cannot read {executable}: {error}"))
            .hint("run it on the node that has the executable, as a user who may read it")
    })?;
    Ok(Pin { plugin, executable, sha256, pinned })
}

/// In pieces: an executable may be larger than what is to be held in memory.
fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            n => hasher.update(&piece[..n]),
        }
    }
}

/// Lines that can be pasted below `spec:`; what is said about them is a YAML comment.
fn print(session: &mut Session, pin: &Pin) -> Result<(), Failure> {
    let of = pin.plugin.as_deref().map_or_else(String::new, |name| format!("Plugin {name}: "));
    let state = match &pin.pinned {
        None => "",
        Some(pinned) if pinned.eq_ignore_ascii_case(&pin.sha256) => " (pinned so already)",
        Some(_) => " (another digest is pinned)",
    };
    session.output.line(&format!("  # {of}{}{state}", pin.executable))?;
    session.output.line(&format!("  sha256: {}", pin.sha256))
}
