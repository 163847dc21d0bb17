//! The manifests of a simulated host: files that are edited well and badly, read by the real parser
//! and judged by the real rules of acceptance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use routerd::api::Time;
use routerd::api::accepted::Accepted;
use routerd::api::object::ObjectKey;
use routerd::api::value::Value;
use routerd::api::yaml::{Limits, parse_documents};
use routerd::sources::acceptance::{AcceptedSet, Decision, Memory, Moment, Waits, decide};
use routerd::sources::scan::{
    Decoder, DirectoryId, FileScan, Manifests, Outcome, Parsed, RootScan, RootState, Scan,
};
use routerd::store::{Store, StoreError};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::manifests::key;

/// How a file is spoilt.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It ends half way, as a copy does that is under way.
    Half,
    /// It is no YAML at all.
    NotYaml,
    /// A field is misspelt; such a resource is refused alone.
    Misspelt,
}

/// The files, and what was accepted from them.
#[derive(Default)]
pub struct Config {
    /// By path; parsed when they are written, as the daemon does. Beside each what it should put in
    /// force, if it is whole.
    files: BTreeMap<String, (Arc<Parsed>, Option<Json>)>,
    set: AcceptedSet,
    memory: Memory,
    uids: u64,
    /// What should be in force: of each object the last good version that was looked at.
    good: BTreeMap<ObjectKey, Json>,
}

fn file_of(key: &ObjectKey) -> String {
    format!("/conf/{}-{}.yaml", key.kind, key.name)
}

impl Config {
    /// What is in force.
    pub fn accepted(&self) -> &BTreeMap<ObjectKey, Accepted> {
        &self.set.objects
    }

    /// Writes a file that holds this resource.
    pub fn write(&mut self, resource: Json) {
        let (path, text) = (file_of(&key(&resource)), resource.to_string());
        self.put(path, &text, Some(resource));
    }

    /// Writes what should have been this resource. A new object does not come of it, and an old
    /// one stays as it was.
    pub fn spoil(&mut self, resource: &Json, fault: Fault) {
        let text = resource.to_string();
        let text = match fault {
            Fault::Half => text[..text.len() / 2].to_owned(),
            Fault::NotYaml => "kind: [\n".to_owned(),
            Fault::Misspelt => text.replacen("\"spec\":{", "\"spec\":{\"nosuchField\":1,", 1),
        };
        self.put(file_of(&key(resource)), &text, None);
    }

    fn put(&mut self, path: String, text: &str, whole: Option<Json>) {
        self.files.insert(path, (Arc::new(parse(text.as_bytes())), whole));
    }

    /// Deletes the file of this object, whatever it holds.
    pub fn remove(&mut self, key: &ObjectKey) {
        self.files.remove(&file_of(key));
    }

    /// The daemon was restarted: what waits, waits anew.
    pub fn restart(&mut self) {
        self.memory = Memory::default();
    }

    fn scan(&self) -> Scan {
        let files: Vec<FileScan> = self
            .files
            .iter()
            .map(|(path, (parsed, _))| FileScan {
                path: path.clone(),
                stamp: None,
                outcome: Outcome::Read(Arc::clone(parsed)),
            })
            .collect();
        let directory = RootState::Present(DirectoryId { dev: 1, ino: 2, born: 3 });
        let root = RootScan { path: "/conf".into(), directory, is_file: false, files: files.len() };
        Scan { roots: vec![root], files, ..Scan::default() }
    }

    /// Looks at the files as the daemon does, and again as long as something is due. `writes` are
    /// to the store.
    pub async fn apply(&mut self, store: &Store, began: Instant, now: impl Fn() -> Time) {
        loop {
            let at = Moment { now: now(), mono: began.elapsed() };
            let memory = std::mem::take(&mut self.memory);
            let scan = self.scan();
            let uids = &mut self.uids;
            let mut new_uid = || {
                *uids += 1;
                format!("uid-{uids}")
            };
            let waits = Waits::default();
            let decision = decide(&self.set, memory, &scan, at, &waits, &mut new_uid);
            let Decision { upserts, deletes, memory, wake_after, .. } = decision;
            self.memory = memory;
            let (rows, gone) = (upserts.clone(), deletes.clone());
            let wrote = store.write(move |txn| {
                rows.iter().try_for_each(|row| txn.put(row))?;
                gone.iter().try_for_each(|key| txn.delete::<Accepted>(key))?;
                Ok::<_, StoreError>(())
            });
            wrote.await.expect("the store takes it");
            self.set.apply(upserts, &deletes);
            match wake_after {
                Some(wait) => tokio::time::sleep(wait + Duration::from_millis(1)).await,
                None => break,
            }
        }
        self.model();
        self.check();
    }

    /// What follows from the files as they were looked at: one that is whole puts its object in force,
    /// one that is gone takes it away, one that is spoilt changes nothing.
    fn model(&mut self) {
        let files = &self.files;
        self.good.retain(|key, _| files.contains_key(&file_of(key)));
        for resource in files.values().filter_map(|(_, whole)| whole.as_ref()) {
            self.good.insert(key(resource), resource.clone());
        }
    }

    /// The accepted set is of each object the last good version, and nothing else.
    fn check(&self) {
        let keys: Vec<_> = self.set.objects.keys().collect();
        assert_eq!(keys, self.good.keys().collect::<Vec<_>>(), "what is in force");
        for (key, good) in &self.good {
            let body = Value::from_serialize(good).expect("plain data");
            assert_eq!(self.set.objects[key].resource.body, body, "{key}: the version in force");
        }
    }
}

fn parse(bytes: &[u8]) -> Parsed {
    let documents = parse_documents(bytes, &Limits::default());
    let numbered = (0..).zip(&documents.docs);
    let claims = numbered.flat_map(|(number, node)| Manifests.decode(number, node)).collect();
    Parsed { digest: Sha256::digest(bytes).into(), claims, error: documents.error }
}
