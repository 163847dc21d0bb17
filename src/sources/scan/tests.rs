//! Scans of real directories.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::*;
use crate::api::object::{ObjectKey, Resource};
use crate::api::value::Value;
use crate::api::yaml::Node;

/// Counts the documents it is given; each becomes a resource with the document as its body.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Decoder for Counter {
    fn decode(&self, document: u32, node: &Node) -> Vec<Claim> {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert_ne!(node.get("kind").and_then(Node::text), Some("Bug"), "a fault of the decoder");
        let body = Value::try_from(node).expect("tests hold plain documents");
        let name = node.get("name").and_then(Node::text).unwrap_or("x");
        let key = ObjectKey::new("v1", "Thing", name);
        vec![Claim::fit((document, None, node.pos), Resource { key, body }, false, Vec::new())]
    }
}

struct Place {
    dir: TempDir,
    decoder: Arc<Counter>,
    scanner: Scanner,
    at: Duration,
}

impl Place {
    fn with(limits: Limits, below: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let paths: Vec<_> = below.iter().map(|path| dir.path().join(path)).collect();
        let decoder = Arc::<Counter>::default();
        let scanner = Scanner::new(&paths, limits, decoder.clone());
        Self { dir, decoder, scanner, at: Duration::ZERO }
    }

    fn new() -> Self {
        Self::with(Limits::default(), &[""])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    }

    /// A scan ten seconds after the last one: long after any tick.
    fn scan(&mut self) -> Scan {
        self.at += Duration::from_secs(10);
        self.scanner.scan(self.at)
    }

    fn names(&self, scan: &Scan) -> Vec<String> {
        let below = |path: &str| {
            let path = Path::new(path).strip_prefix(self.dir.path()).expect("below the root");
            path.to_string_lossy().into_owned()
        };
        scan.files.iter().map(|file| below(&file.path)).collect()
    }

    fn parsed(&self) -> usize {
        self.decoder.0.load(Ordering::Relaxed)
    }
}

fn unreadable(scan: &Scan) -> Vec<&str> {
    let messages = scan.files.iter().filter_map(|file| match &file.outcome {
        Outcome::Unreadable(message) => Some(message.as_str()),
        Outcome::Read(_) => None,
    });
    messages.collect()
}

#[test]
fn manifests_are_found_by_their_extension_and_backups_are_not() {
    let mut place = Place::new();
    for name in ["b.yml", "a.yaml", "sub/c.json", "sub/deep/d.yaml"] {
        place.write(name, "{}");
    }
    for name in [
        ".hidden.yaml",
        ".git/e.yaml",
        "a.yaml~",
        "#a.yaml#",
        ".#a.yaml",
        "a.yaml.swp",
        "4913",
        "old~/f.yaml",
        "README.md",
    ] {
        place.write(name, "{}");
    }
    let scan = place.scan();
    assert_eq!(place.names(&scan), ["a.yaml", "b.yml", "sub/c.json", "sub/deep/d.yaml"]);
    assert_eq!((scan.roots[0].files, scan.gaps.len()), (4, 0));
}

#[test]
fn only_what_changed_is_parsed_again() {
    let mut place = Place::new();
    for number in 0..20 {
        place.write(&format!("{number}.yaml"), "x: 1");
    }
    place.scan();
    place.scan();
    assert_eq!(place.parsed(), 20);
    place.write("7.yaml", "x: 2");
    place.write("8.yaml", "x: 1");
    place.scan();
    assert_eq!(place.parsed(), 21, "a touched file that says the same is not parsed");
}

#[test]
fn a_change_that_leaves_the_stamp_alone_is_seen_within_the_tick() {
    let place = Place::new();
    place.write("a.yaml", "x: 1");
    let path = place.path("a.yaml");
    let stamp = Stamp::from(&fs::metadata(&path).expect("a file"));
    let mut reader = Reader::default();
    let limits = yaml::Limits::default();
    let mut read = |seconds| {
        let at = Duration::from_secs(seconds);
        let read = reader.read(&path, stamp, at, &limits, &*place.decoder);
        read.expect("readable").expect("there").1.digest
    };
    let first = read(0);
    place.write("a.yaml", "x: 2");
    let second = read(1);
    assert_ne!(first, second);
}

#[test]
fn links_are_followed_once_and_loops_end() {
    let mut place = Place::new();
    place.write("..2026_11_22/a.yaml", "x: 1");
    symlink("..2026_11_22", place.path("..data")).expect("a link");
    symlink("..data/a.yaml", place.path("a.yaml")).expect("a link");
    symlink("a.yaml", place.path("again.yaml")).expect("a link");
    place.write("sub/b.yaml", "x: 1");
    symlink("..", place.path("sub/up")).expect("a link");
    symlink("sub", place.path("alias")).expect("a link");
    symlink("nowhere", place.path("dangling.yaml")).expect("a link");
    let scan = place.scan();
    assert_eq!(place.names(&scan), ["a.yaml", "alias/b.yaml", "dangling.yaml"]);
    assert_eq!(unreadable(&scan), ["is a link: there is nothing of that name"]);
    let real = fs::canonicalize(place.path("..2026_11_22")).expect("a directory");
    assert!(scan.directories.iter().any(|(path, _)| *path == real), "the target is watched");
}

#[test]
fn overlapping_paths_count_each_file_once() {
    let mut place = Place::with(Limits::default(), &["", "sub", "sub/a.yaml", "."]);
    place.write("sub/a.yaml", "x: 1");
    let scan = place.scan();
    assert_eq!(place.names(&scan), ["sub/a.yaml"]);
    assert_eq!(scan.roots.len(), 3);
    assert!(scan.roots.iter().all(|root| root.files == 1));
}

#[test]
fn what_is_no_regular_file_is_named_and_not_opened() {
    let mut place = Place::new();
    fs::create_dir(place.path("a.yaml")).expect("a directory");
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, place.path("b.yaml"), fifo, mode, 0).expect("a pipe");
    let scan = place.scan();
    assert_eq!(unreadable(&scan), ["is a directory, not a manifest", "is not a regular file"]);
}

#[test]
fn each_limit_names_itself() {
    let small = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        let mut place = Place::with(limits, &[""]);
        for name in ["a.yaml", "b.yaml", "c/d/e.yaml"] {
            place.write(name, "xxxxxxx: 1");
        }
        let scan = place.scan();
        let gaps = scan.gaps.iter().map(|gap| gap.message.as_str());
        gaps.chain(unreadable(&scan)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(small(|_| {}).is_empty());
    let files = small(|limits| limits.files = 2);
    assert_eq!(files, ["holds more than 2 manifest files; the rest is not read"]);
    let depth = small(|limits| limits.depth = 1);
    assert_eq!(depth, ["lies deeper than 1 directories"]);
    let entries = small(|limits| limits.entries = 3);
    assert_eq!(entries, ["holds more than 3 names; the rest is not read"]);
    let bytes = small(|limits| limits.file.file_bytes = 9);
    assert_eq!(bytes, ["is 10 bytes, at most 9 are read"; 3]);
    let total = small(|limits| limits.total_bytes = 20);
    assert_eq!(total, ["is not read: all files together, up to this one, exceed 20 bytes"]);
}

#[test]
fn a_missing_path_is_a_file_or_a_directory_by_its_name() {
    let mut place = Place::with(Limits::default(), &["r.yaml", "manifests"]);
    let scan = place.scan();
    let [manifests, router] = &scan.roots[..] else { panic!("two roots") };
    assert_eq!((manifests.is_file, &manifests.directory), (false, &RootState::Missing));
    assert!(router.is_file && matches!(router.directory, RootState::Present(_)));
    assert!(scan.files.is_empty() && scan.gaps.is_empty());
}

#[test]
fn a_torn_file_keeps_the_documents_before_the_tear() {
    let mut place = Place::new();
    place.write("a.yaml", "name: a\n---\nname: b\n---\nc: [");
    let scan = place.scan();
    let Outcome::Read(parsed) = &scan.files[0].outcome else { panic!("readable") };
    assert_eq!(parsed.claims.len(), 2);
    assert!(parsed.error.is_some());
}

#[test]
fn a_decoder_that_panics_costs_its_document_alone() {
    let mut place = Place::new();
    place.write("a.yaml", "name: a\n---\nkind: Bug\n---\nname: c");
    let scan = place.scan();
    let Outcome::Read(parsed) = &scan.files[0].outcome else { panic!("readable") };
    assert_eq!(parsed.claims.len(), 2);
    assert_eq!(parsed.error.as_ref().map(|error| error.pos.line), Some(3));
}

#[test]
fn a_name_too_long_for_a_key_is_refused_and_may_be_any_object() {
    let key = ObjectKey::new("v".repeat(300), "Thing", "x");
    let resource = Resource { key, body: Value::null() };
    let claim = Claim::fit((0, None, crate::api::yaml::Pos::START), resource, false, Vec::new());
    assert!(claim.outcome.is_err() && claim.may_hide_others());
}
