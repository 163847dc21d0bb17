//! The watched config as `status` shows it. The JSON is that of the daemon's own report, which this
//! layer does not know.

use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::object::ObjectKey;
use crate::store::Revision;

/// The watched config after a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigReport {
    /// The configured paths.
    pub roots: Vec<RootView>,
    /// Files by what came of reading them.
    pub files: FileFigures,
    /// Objects in force.
    pub accepted: u64,
    /// Objects that are gone from the files and will be deleted within seconds.
    pub settling: u64,
    /// What is wrong, by file and place.
    pub problems: Vec<ProblemView>,
    /// Problems not listed.
    #[serde(default)]
    pub problems_omitted: u64,
    /// What is kept against its absence (`ConfigHeld`).
    pub held: Vec<HeldView>,
    /// How changes are noticed.
    pub watching: WatchingView,
    /// When the last scan began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scan: Option<Time>,
    /// Scans applied since the start.
    #[serde(default)]
    pub scan_revision: u64,
    /// The store's revision that holds what was accepted.
    #[serde(default)]
    pub store_revision: Revision,
    /// Why the last decision could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_error: Option<String>,
}

/// A configured path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootView {
    /// Absolute.
    pub path: String,
    /// Whether it is there.
    pub present: bool,
    /// Manifest files at or below it.
    pub files: u64,
    /// Whether what was accepted from it is held.
    #[serde(default)]
    pub held: bool,
}

/// Files by what came of reading them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileFigures {
    /// Read to the end.
    pub read: u64,
    /// Not YAML, or not from some place on.
    pub not_yaml: u64,
    /// Could not be read.
    pub unreadable: u64,
}

/// How changes are noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchingView {
    /// `starting`, `inotify` or `polling`.
    pub mode: String,
    /// Why it is polling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemView {
    /// `Broken`, `Shadowed`, `Unreadable`, `NotYaml` or `Note`.
    pub kind: String,
    /// The file or directory.
    pub file: String,
    /// From 1; 0 if it is about the whole file.
    #[serde(default)]
    pub line: u32,
    /// From 1; 0 if it is about the whole file.
    #[serde(default)]
    pub column: u32,
    /// The object, if that much could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
    /// The path in the document, such as `spec.match.types[0]`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether a version of the object is in force.
    #[serde(default)]
    pub in_force: bool,
    /// Since when it is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl ProblemView {
    /// Whether it is only a note: something was ignored.
    pub fn is_note(&self) -> bool {
        self.kind == "Note"
    }
}

impl std::fmt::Display for ProblemView {
    /// `file:line:col: path: message`, as editors and CI jump to it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column.max(1))?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Objects that stay in force although they are gone from the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldView {
    /// `PathVanished`, `PathReplaced` or `MassDeletion`.
    pub reason: String,
    /// The configured path, unless it is about all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Since when.
    pub since: Time,
    /// When it ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// They.
    pub objects: Vec<ObjectKey>,
}
