//! Damaged state directories under the real daemon: it finds the damage, moves the database aside,
//! says so in its log and in `routerctl status`, and goes on with a new one. It never aborts, and
//! never passes an empty state for a sound one.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::node::{Node, Said, event_line};
use super::random::Random;

const EVENTS: u32 = 150;

/// What is done to a state directory.
type Harm<'a> = &'a dyn Fn(&Path);

/// Harms copies of a store in every way, `harms` times at random places.
pub fn run(harms: u64, random: &mut Random) {
    let original = filled(EVENTS);
    let other = filled(5);
    let mut found = Found::default();
    let data = |state: &Path| state.join("db/db");
    let length = fs::metadata(data(original.state())).expect("metadata").len();

    assert!(!try_harm(&original, "copied and not harmed", &|_| ()), "a sound copy is distrusted");

    // Whatever comes of these, it must not be taken for a sound store.
    let must: [(&str, Harm<'_>); 6] = [
        ("emptied", &|state| fs::write(data(state), b"").expect("emptied")),
        ("zeroed", &|state| zero(&data(state), 0, length)),
        ("database deleted", &|state| fs::remove_dir_all(state.join("db")).expect("deleted")),
        ("data file deleted", &|state| fs::remove_file(data(state)).expect("deleted")),
        ("swapped", &|state| {
            fs::remove_dir_all(state.join("db")).expect("deleted");
            copy(&other.state().join("db"), &state.join("db"));
        }),
        ("noise", &|state| {
            let noise = Random::new(1).next().to_le_bytes().repeat(100_000);
            fs::write(data(state), noise).expect("written");
        }),
    ];
    for (what, harm) in must {
        let quarantined = try_harm(&original, what, harm);
        assert!(quarantined, "{what}: nobody noticed");
        found.count(true);
    }
    for _ in 0..harms {
        let at = random.below(length);
        found.count(try_harm(&original, &format!("truncated to {at}"), &|state| {
            let file = fs::OpenOptions::new().write(true).open(data(state)).expect("opened");
            file.set_len(at).expect("truncated");
        }));
        found.count(try_harm(&original, &format!("a bit flipped at {at}"), &|state| {
            flip(&data(state), at);
        }));
        found.count(try_harm(&original, &format!("4 KiB zeroed at {at}"), &|state| {
            zero(&data(state), at, 4096.min(length - at));
        }));
    }
    println!(
        "damage: {} kinds and places, quarantined and reported: {}, without effect: {}, silent: 0",
        found.quarantined + found.intact,
        found.quarantined,
        found.intact,
    );
}

#[derive(Default)]
struct Found {
    quarantined: u64,
    intact: u64,
}

impl Found {
    fn count(&mut self, quarantined: bool) {
        *(if quarantined { &mut self.quarantined } else { &mut self.intact }) += 1;
    }
}

/// A stopped node with events and parts.
fn filled(events: u32) -> Node {
    let mut node = Node::new();
    node.start();
    // Some at a time, so that there are many groups in the log.
    let numbers: Vec<u32> = (1..=events).collect();
    for chunk in numbers.chunks(10) {
        let line = |n: &u32| event_line(&format!("event-{n}"), *n, u64::from(*n));
        node.emit(&chunk.iter().map(line).collect::<Vec<_>>());
    }
    node.converge();
    node.stop();
    node
}

/// Starts a daemon on a harmed copy. Says whether it moved the database to quarantine; if not,
/// everything is there.
fn try_harm(original: &Node, what: &str, harm: Harm<'_>) -> bool {
    let mut node = Node::new();
    copy(original.state(), node.state());
    harm(node.state());
    let offline = node.ctl(&["status"]);
    node.start_busy();
    let status = node.status();
    if !node.has_quarantine() {
        assert_eq!(node.event_ids().len(), EVENTS as usize, "{what}: events vanished silently");
        assert_eq!(status["store"]["healthy"], true, "{what}: {status}");
        node.stop();
        return false;
    }
    assert_reported(&mut node, &status, &offline, what);
    true
}

fn assert_reported(node: &mut Node, status: &serde_json::Value, offline: &Said, what: &str) {
    // Without the daemon the damage is named and nothing is moved.
    assert_eq!(offline.code, Some(3), "{what}: {offline:?}");
    assert!(offline.stderr.contains("damaged"), "{what}: {offline:?}");
    assert!(node.log().contains("moved aside"), "{what}: the log says nothing\n{}", node.log());
    let store = &status["store"];
    assert_eq!((&store["healthy"], &store["writable"]), (&false.into(), &true.into()), "{what}");
    let entry = fs::read_dir(node.state().join("quarantine")).expect("the quarantine");
    let entry = entry.flatten().next().expect("an entry").path();
    assert!(entry.join("why").is_file(), "{what}: no reason is kept");
    let page = node.ctl(&["status"]).stdout;
    for words in ["needs attention", "Attention:", "quarantine", &entry.display().to_string()] {
        assert!(page.contains(words), "{what}: the status page lacks {words:?}:\n{page}");
    }
    // It goes on, and what it takes now lasts; the note stays until somebody has looked.
    node.converge();
    let answers = node.emit(&[event_line("after", 1, 1)]);
    assert_eq!(answers[0]["accepted"], true, "{what}: {answers:?}");
    node.converge();
    assert_eq!(node.parts().len(), 1, "{what}");
    node.stop();
    node.start();
    assert!(node.event_ids().contains("after"), "{what}");
    assert_eq!(node.status()["store"]["healthy"], false, "{what}: the note is gone");
    node.stop();
}

fn flip(file: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(file).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
}

fn zero(file: &Path, at: u64, length: u64) {
    let file = fs::OpenOptions::new().write(true).open(file).expect("opened");
    let zeros = vec![0; usize::try_from(length).expect("small")];
    file.write_all_at(&zeros, at).expect("written");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(path, target).expect("copied");
        }
    }
}
