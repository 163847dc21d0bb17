//! Each rule as a sentence, then all of them against random histories.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::api::condition::ConditionStatus;
use crate::api::decode::Problem;
use crate::api::object::Resource;
use crate::api::value::{Map, Value};
use crate::api::yaml::{Limits as YamlLimits, Pos, YamlError, parse_documents};
use crate::sources::report::{HoldReason, Index, ProblemKind};
use crate::sources::scan::{DirectoryId, FileScan, Gap, Parsed, RootScan, RootState, Stamp};

const ROOT: &str = "/c";

/// One resource in a test's file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Doc {
    Good(&'static str, u32),
    Broken(&'static str),
    Nameless,
}
use Doc::{Broken, Good, Nameless};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("example.net/v1", "Thing", name)
}

fn claim(document: u32, doc: &Doc) -> Claim {
    let pos = Pos { line: document * 10 + 1, column: 1 };
    let place = (document, None, pos);
    let problem = || Problem {
        pos: Some(pos),
        path: "spec.x".into(),
        message: "is wrong".into(),
        hint: None,
    };
    match doc {
        Good(name, content) => {
            let body = Value::Map(Map::from_iter([("x", u64::from(*content))]));
            Claim::fit(place, Resource { key: key(name), body }, true, Vec::new())
        }
        Broken(name) => Claim::refused(place, Some(key(name)), vec![problem()], false),
        Nameless => Claim::refused(place, None, vec![problem()], true),
    }
}

/// A scan under construction, and the whole history around it.
struct World {
    set: AcceptedSet,
    memory: Memory,
    mono: Duration,
    uids: u32,
    scan: Scan,
    decision: Option<Decision>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            set: AcceptedSet::default(),
            memory: Memory::default(),
            mono: Duration::ZERO,
            uids: 0,
            scan: Scan::default(),
            decision: None,
        };
        world.root(RootState::Present(directory(1)));
        world
    }

    fn root(&mut self, directory: RootState) {
        let root = RootScan { path: ROOT.into(), directory, is_file: false, files: 0 };
        self.scan.roots = vec![root];
    }

    fn put(&mut self, file: &str, outcome: Outcome, version: u64) {
        self.remove(file);
        let path = format!("{ROOT}/{file}");
        let stamp = Some(Stamp { ino: 1, size: version, ..Stamp::default() });
        self.scan.files.push(FileScan { path, stamp, outcome });
        self.scan.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    fn file(&mut self, file: &str, docs: &[Doc]) {
        self.file_then(file, docs, None);
    }

    fn file_then(&mut self, file: &str, docs: &[Doc], error: Option<YamlError>) {
        let claims: Vec<_> = (0..).zip(docs).map(|(at, doc)| claim(at, doc)).collect();
        let text = format!("{docs:?}");
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&text).into();
        let size = text.len() as u64;
        self.put(file, Outcome::Read(Arc::new(Parsed { digest, claims, error })), size);
    }

    fn unreadable(&mut self, file: &str) {
        self.put(file, Outcome::Unreadable("permission denied".into()), 0);
    }

    fn remove(&mut self, file: &str) {
        let path = format!("{ROOT}/{file}");
        self.scan.files.retain(|file| file.path != path);
    }

    /// Scans and applies, so many milliseconds later.
    fn after(&mut self, millis: u64) -> &Decision {
        self.mono += Duration::from_millis(millis);
        for root in &mut self.scan.roots {
            root.files = self.scan.files.len();
        }
        let now = Time::UNIX_EPOCH + self.mono;
        let memory = std::mem::take(&mut self.memory);
        let uids = &mut self.uids;
        let mut new_uid = || {
            *uids += 1;
            format!("uid-{uids}")
        };
        let at = Moment { now, mono: self.mono };
        let decision = decide(&self.set, memory, &self.scan, at, &Waits::default(), &mut new_uid);
        self.memory = decision.memory.clone();
        self.set.apply(decision.upserts.clone(), &decision.deletes);
        if let Some(roots) = &decision.roots {
            self.set.roots.clone_from(roots);
        }
        assert_eq!(decision.findings.accepted, self.set.objects.len() as u64);
        self.decision.insert(decision)
    }

    fn restart(&mut self) {
        self.memory = Memory::default();
        self.mono = Duration::from_secs(1_000_000) + self.mono;
    }

    fn has(&self, name: &str) -> bool {
        self.set.objects.contains_key(&key(name))
    }

    fn get(&self, name: &str) -> &Accepted {
        self.set.objects.get(&key(name)).unwrap_or_else(|| panic!("{name} is not in force"))
    }

    fn findings(&self) -> &Findings {
        &self.decision.as_ref().expect("a decision was made").findings
    }

    fn kinds(&self) -> Vec<ProblemKind> {
        self.findings().problems.iter().map(|problem| problem.kind).collect()
    }

    fn condition(&self, name: &str, r#type: &str) -> Option<(ConditionStatus, String)> {
        let conditions = Index::of(self.findings()).conditions_of(self.get(name));
        let found = conditions.into_iter().find(|condition| condition.r#type == r#type);
        found.map(|condition| (condition.status, condition.message))
    }
}

fn directory(ino: u64) -> DirectoryId {
    DirectoryId { dev: 1, ino, born: 0 }
}

fn many(count: usize) -> Vec<Doc> {
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    NAMES[..count].iter().map(|name| Good(name, 1)).collect()
}

fn yaml_error() -> YamlError {
    parse_documents(b"a: [", &YamlLimits::default()).error.expect("this is not YAML")
}

#[test]
fn what_did_not_change_writes_nothing() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1), Good("y", 1)]);
    assert_eq!(world.after(0).upserts.len(), 2);
    for _ in 0..3 {
        let decision = world.after(60_000);
        assert!(decision.is_fixed_point(), "{decision:?}");
        assert_eq!(decision.wake_after, None);
    }
    world.restart();
    assert!(world.after(0).is_fixed_point(), "nor does a restart");
}

#[test]
fn a_generation_tells_of_content_and_of_nothing_else() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.after(0);
    let first = world.get("x").clone();
    assert_eq!((first.generation, first.uid.as_str()), (1, "uid-1"));

    world.file("a.yaml", &[Good("other", 1), Good("x", 1)]);
    world.after(1_000);
    let moved = world.get("x").clone();
    assert_eq!((moved.generation, moved.accepted_at), (1, first.accepted_at));
    assert_eq!(moved.source.to_string(), "/c/a.yaml:11");

    world.file("a.yaml", &[Good("other", 1), Good("x", 2)]);
    world.after(1_000);
    let edited = world.get("x");
    assert_eq!((edited.generation, edited.uid.as_str()), (2, "uid-1"));
    assert!(edited.accepted_at > first.accepted_at);
    assert_eq!(edited.created_at, first.created_at);
}

#[test]
fn a_reformat_is_taken_over_without_a_generation() {
    let body = |keys: [&str; 2]| {
        Value::Map(keys.iter().map(|key| ((*key).to_owned(), Value::from(true))).collect())
    };
    let fit = |keys| {
        let pos = Pos::START;
        let resource = Resource { key: key("x"), body: body(keys) };
        Claim::fit((0, None, pos), resource, false, Vec::new()).outcome.expect("it fits")
    };
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.after(0);
    let old = fit(["p", "q"]);
    let previous =
        Accepted { resource: old.resource, digest: old.digest, ..world.get("x").clone() };
    let source = previous.source.clone();
    let next = succeed(&previous, &fit(["q", "p"]), source, Time::MAX).expect("it differs");
    assert_eq!(next.generation, previous.generation);
    assert_ne!(next.resource, previous.resource, "the text is rendered, so it is taken over");
}

#[test]
fn a_broken_version_keeps_the_last_good_one_and_says_where() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1), Good("y", 1)]);
    world.after(0);
    world.file("a.yaml", &[Broken("x"), Good("y", 2)]);
    world.after(60_000);
    assert_eq!(world.get("x").generation, 1);
    assert_eq!(world.get("y").generation, 2, "the neighbour is not disturbed");
    let (status, message) = world.condition("x", "Accepted").expect("it is told");
    assert_eq!(status, ConditionStatus::False);
    assert!(message.contains("/c/a.yaml:1:1: Thing/x: spec.x: is wrong"), "{message}");
    assert!(message.ends_with("generation 1 stays in force"), "{message}");

    world.restart();
    assert!(world.after(60_000).is_fixed_point(), "also across a restart");
    world.file("a.yaml", &[Good("x", 3), Good("y", 2)]);
    world.after(0);
    assert_eq!(world.get("x").generation, 2);
    assert_eq!(world.condition("x", "Accepted").expect("told").0, ConditionStatus::True);
    assert!(world.findings().problems.is_empty());
}

#[test]
fn a_problem_is_dated_from_its_first_sight_also_when_lines_move() {
    let mut world = World::new();
    world.file("a.yaml", &[Broken("x")]);
    world.after(1_000);
    let since = world.findings().problems[0].since;
    world.file("a.yaml", &[Good("y", 1), Broken("x")]);
    world.after(1_000);
    assert_eq!(world.findings().problems[0].since, since);
    assert!(!world.findings().problems[0].in_force);
}

#[test]
fn the_first_of_two_is_in_force_and_the_next_takes_over_with_the_same_uid() {
    let mut world = World::new();
    world.file("b.yaml", &[Good("x", 2)]);
    world.file("a.yaml", &[Good("x", 1), Good("x", 3)]);
    world.after(0);
    assert_eq!(world.get("x").source.to_string(), "/c/a.yaml:1");
    let shadowed: Vec<_> = world.findings().problems.iter().map(ToString::to_string).collect();
    assert_eq!(shadowed.len(), 2);
    assert!(shadowed[0].starts_with("/c/a.yaml:11:1: Thing/x: the same object at /c/a.yaml:1 "));
    assert!(shadowed[1].starts_with("/c/b.yaml:1:1: Thing/x: the same object at /c/a.yaml:1 "));
    assert_eq!(world.condition("x", "Shadowed").expect("told").0, ConditionStatus::True);

    world.remove("a.yaml");
    world.after(100);
    assert_eq!(world.get("x").source.file, "/c/a.yaml", "an editor's rename is not a loss");
    world.after(400);
    let heir = world.get("x");
    assert_eq!((heir.source.file.as_str(), heir.generation), ("/c/b.yaml", 2));
    assert_eq!(heir.uid, "uid-1");
    assert!(world.findings().problems.is_empty());
}

#[test]
fn a_shadowed_claim_is_looked_at_again_when_the_first_file_has_been_gone_long_enough() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.file("b.yaml", &[Good("x", 2)]);
    world.after(0);
    world.remove("a.yaml");
    assert_eq!(world.after(0).wake_after, Some(Waits::default().vanished_file));
    let decision = world.after(400);
    assert_eq!(decision.upserts[0].source.file, "/c/b.yaml");
    assert_eq!(decision.wake_after, None);
}

#[test]
fn a_broken_first_claim_holds_its_place_only_if_it_ever_was_good() {
    let mut world = World::new();
    world.file("b.yaml", &[Good("x", 2)]);
    world.after(0);
    world.file("a.yaml", &[Broken("x")]);
    world.after(0);
    assert_eq!(world.get("x").source.file, "/c/b.yaml");
    assert_eq!(world.condition("x", "Accepted").expect("told").0, ConditionStatus::True);
    assert_eq!(world.kinds(), [ProblemKind::Broken]);

    world.file("a.yaml", &[Good("x", 1)]);
    world.after(0);
    world.file("a.yaml", &[Broken("x")]);
    world.after(60_000);
    assert_eq!(world.get("x").source.file, "/c/a.yaml", "the last good version stays in force");
    assert_eq!(world.kinds(), [ProblemKind::Broken, ProblemKind::Shadowed]);
}

#[test]
fn an_object_that_moved_and_broke_at_once_is_kept() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1), Good("y", 1)]);
    world.after(0);
    world.file("a.yaml", &[Good("y", 1)]);
    world.file("b.yaml", &[Broken("x")]);
    world.after(60_000);
    world.after(60_000);
    assert!(world.has("x"));
    assert_eq!(world.condition("x", "Accepted").expect("told").0, ConditionStatus::False);
}

#[test]
fn an_object_that_left_its_file_goes_once_the_file_is_quiet_for_two_seconds() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1), Good("y", 1)]);
    world.after(10_000);
    world.file("a.yaml", &[Good("x", 1)]);
    let decision = world.after(10_000);
    assert_eq!(decision.wake_after, Some(Duration::from_secs(2)));
    assert_eq!(decision.findings.settling, 1);
    world.file("a.yaml", &[Good("x", 2)]);
    world.after(1_999);
    world.after(1_999);
    assert!(world.has("y"), "the file changed meanwhile");
    world.after(1);
    assert!(!world.has("y"));
    world.file("a.yaml", &[Good("x", 2), Good("y", 1)]);
    world.after(0);
    assert_ne!(world.get("y").uid, "uid-2", "a new object has a new uid");
}

#[test]
fn the_objects_of_a_deleted_file_go_within_a_second() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.file("b.yaml", &[Good("y", 1)]);
    world.after(0);
    world.remove("a.yaml");
    let wake = world.after(0).wake_after.expect("it looks again");
    assert!(world.has("x") && wake < Duration::from_millis(500));
    world.after(u64::try_from(wake.as_millis()).unwrap());
    assert!(!world.has("x") && world.has("y"));
}

#[test]
fn a_file_that_vanishes_for_an_instant_loses_nothing() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.after(0);
    for _ in 0..3 {
        world.remove("a.yaml");
        assert!(world.after(300).deletes.is_empty());
        world.file("a.yaml", &[Good("x", 1)]);
        assert!(world.after(300).is_fixed_point());
    }
}

#[test]
fn a_renamed_file_and_an_object_that_moves_between_files_change_only_the_source() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1), Good("y", 1)]);
    world.after(0);
    world.remove("a.yaml");
    world.file("z.yaml", &[Good("x", 1)]);
    world.file("b.yaml", &[Good("y", 1)]);
    assert!(world.after(0).deletes.is_empty());
    for (name, file, uid) in [("x", "/c/z.yaml", "uid-1"), ("y", "/c/b.yaml", "uid-2")] {
        let object = world.get(name);
        assert_eq!((object.generation, object.source.file.as_str()), (1, file));
        assert_eq!(object.uid, uid);
    }
    assert!(world.after(10_000).is_fixed_point());
}

#[test]
fn nothing_is_deleted_from_what_cannot_be_seen() {
    let torn = |world: &mut World| world.file_then("a.yaml", &[Good("x", 1)], Some(yaml_error()));
    let unreadable = |world: &mut World| world.unreadable("a.yaml");
    let nameless = |world: &mut World| world.file("a.yaml", &[Good("x", 1), Nameless]);
    let gap = |world: &mut World| {
        world.remove("a.yaml");
        world.scan.gaps = vec![Gap { path: "/c".into(), message: "permission denied".into() }];
    };
    let blind = |world: &mut World| {
        world.remove("a.yaml");
        world.root(RootState::Unreadable("input/output error".into()));
    };
    let ways: [&dyn Fn(&mut World); 5] = [&torn, &unreadable, &nameless, &gap, &blind];
    for (number, hide) in ways.iter().enumerate() {
        let mut world = World::new();
        world.file("a.yaml", &[Good("x", 1), Good("y", 1)]);
        world.after(0);
        hide(&mut world);
        for step in 0..4 {
            world.after(60_000);
            if step == 1 {
                world.restart();
            }
            assert!(world.has("x") && world.has("y"), "way {number}");
        }
        let (status, message) = world.condition("y", "Accepted").expect("told");
        assert_eq!(status, ConditionStatus::Unknown, "way {number}: {message}");
        assert_eq!(world.findings().settling, 0, "way {number}");
    }
}

#[test]
fn a_claim_elsewhere_does_not_outrank_what_cannot_be_seen() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.file("b.yaml", &[Good("x", 2)]);
    world.after(0);
    world.unreadable("a.yaml");
    world.after(60_000);
    assert_eq!(world.get("x").source.file, "/c/a.yaml");
    world.file("0.yaml", &[Good("x", 3)]);
    world.after(0);
    assert_eq!(world.get("x").source.file, "/c/0.yaml", "but one that comes first does");
}

#[test]
fn a_root_that_vanished_is_held_until_it_is_back() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.after(0);
    let files = std::mem::take(&mut world.scan.files);
    world.root(RootState::Missing);
    world.after(60_000);
    world.restart();
    world.after(60_000);
    world.after(60_000);
    assert!(world.has("x"));
    assert_eq!(world.findings().held[0].reason, HoldReason::PathVanished);
    assert!(world.findings().roots[0].held);
    assert_eq!(world.condition("x", "ConfigHeld").expect("told").0, ConditionStatus::True);

    world.root(RootState::Present(directory(2)));
    world.after(60_000);
    world.restart();
    world.after(60_000);
    world.after(60_000);
    assert!(world.has("x"), "empty and another directory: still held");
    assert_eq!(world.findings().held[0].reason, HoldReason::PathReplaced);

    world.scan.files = files;
    world.after(60_000);
    assert!(world.findings().held.is_empty());
    assert_eq!(world.get("x").generation, 1);
}

#[test]
fn a_new_directory_with_one_manifest_is_believed() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.after(0);
    world.scan.files.clear();
    world.root(RootState::Present(directory(2)));
    world.after(60_000);
    world.file("b.yaml", &[Good("y", 1)]);
    world.after(60_000);
    world.after(60_000);
    assert!(!world.has("x") && world.has("y"));
}

#[test]
fn the_same_directory_may_be_emptied() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.after(0);
    world.remove("a.yaml");
    world.restart();
    world.after(0);
    world.after(400);
    assert!(!world.has("x"));
    assert!(world.findings().held.is_empty());
}

#[test]
fn a_path_that_never_was_is_no_hold() {
    let mut world = World::new();
    world.root(RootState::Missing);
    world.after(0);
    assert!(world.findings().held.is_empty());
    assert!(!world.findings().roots[0].present);
}

#[test]
fn most_of_ten_objects_go_only_when_a_later_scan_agrees() {
    let mut world = World::new();
    world.file("a.yaml", &many(10));
    world.after(0);
    world.file("a.yaml", &many(4));
    world.after(10_000);
    let held = &world.findings().held[0];
    assert_eq!((held.reason, held.objects.len()), (HoldReason::MassDeletion, 6));
    assert_eq!(held.until, Some(held.since + Duration::from_secs(30)));
    assert_eq!(world.condition("j", "ConfigHeld").expect("told").0, ConditionStatus::True);
    world.after(29_999);
    assert!(world.has("j"));
    world.restart();
    world.after(0);
    world.after(29_999);
    assert!(world.has("j"), "a restart waits anew");
    world.after(1);
    assert_eq!(world.set.objects.len(), 4);
    assert!(world.findings().held.is_empty());
}

#[test]
fn a_mass_that_comes_back_in_time_loses_nothing() {
    let mut world = World::new();
    world.file("a.yaml", &many(12));
    world.after(0);
    world.file("a.yaml", &many(1));
    world.after(10_000);
    world.file("a.yaml", &many(12));
    assert!(world.after(29_000).is_fixed_point());
    world.file("a.yaml", &many(1));
    world.after(2_000);
    assert_eq!(world.set.objects.len(), 12, "the next time waits from its own beginning");
}

#[test]
fn half_of_ten_and_most_of_nine_are_no_mass() {
    for (before, left) in [(10, 5), (9, 1)] {
        let mut world = World::new();
        world.file("a.yaml", &many(before));
        world.after(0);
        world.file("a.yaml", &many(left));
        world.after(10_000);
        world.after(2_000);
        assert_eq!(world.set.objects.len(), left);
    }
}

#[test]
fn a_path_that_is_not_configured_any_more_is_gone() {
    let mut world = World::new();
    world.file("a.yaml", &[Good("x", 1)]);
    world.after(0);
    world.restart();
    world.scan.files.clear();
    world.scan.roots[0].path = "/d".into();
    world.after(0);
    world.after(400);
    assert!(!world.has("x"));
    assert_eq!(world.set.roots.keys().collect::<Vec<_>>(), ["/d"]);
}

/// What a file is made to be in a random history.
#[derive(Debug, Clone)]
enum Turn {
    Write(usize, Vec<Doc>),
    Tear(usize, Vec<Doc>),
    Lock(usize),
    Remove(usize),
    Restart,
}

const FILES: [&str; 3] = ["a.yaml", "b.yaml", "c.yaml"];

fn docs() -> impl Strategy<Value = Vec<Doc>> {
    let name = prop::sample::select(vec!["x", "y", "z"]);
    let doc = prop_oneof![
        6 => (name.clone(), 0..3_u32).prop_map(|(name, content)| Good(name, content)),
        2 => name.prop_map(Broken),
        1 => Just(Nameless),
    ];
    prop::collection::vec(doc, 0..4)
}

fn turn() -> impl Strategy<Value = Turn> {
    let file = 0..FILES.len();
    prop_oneof![
        4 => (file.clone(), docs()).prop_map(|(file, docs)| Turn::Write(file, docs)),
        1 => (file.clone(), docs()).prop_map(|(file, docs)| Turn::Tear(file, docs)),
        1 => file.clone().prop_map(Turn::Lock),
        1 => file.prop_map(Turn::Remove),
        1 => Just(Turn::Restart),
    ]
}

proptest! {
    /// Whatever happened: a quiet world reaches a fixed point; what is in force is then exactly
    /// the first good claim, or was in force before; nothing claimed good is missing.
    #[test]
    fn a_quiet_world_reaches_a_fixed_point(
        turns in prop::collection::vec((turn(), 0..3_000_u64), 1..12)
    ) {
        let mut world = World::new();
        for (turn, millis) in turns {
            match turn {
                Turn::Write(file, docs) => world.file(FILES[file], &docs),
                Turn::Tear(file, docs) => world.file_then(FILES[file], &docs, Some(yaml_error())),
                Turn::Lock(file) => world.unreadable(FILES[file]),
                Turn::Remove(file) => world.remove(FILES[file]),
                Turn::Restart => world.restart(),
            }
            let before = world.set.clone();
            world.after(millis);
            for (key, object) in &world.set.objects {
                if let Some(old) = before.objects.get(key) {
                    prop_assert_eq!(&old.uid, &object.uid);
                    let grown = u64::from(old.digest != object.digest);
                    prop_assert_eq!(old.generation + grown, object.generation);
                }
            }
        }
        for _ in 0..3 {
            world.after(60_000);
        }
        let last = world.after(60_000);
        prop_assert!(last.is_fixed_point(), "{:?}", last);
        prop_assert_eq!(last.wake_after, None);

        // What is seen whole decides alone.
        let whole = world.scan.files.iter().all(|file| matches!(
            &file.outcome,
            Outcome::Read(p) if p.error.is_none() && p.claims.iter().all(|c| c.outcome.is_ok())
        ));
        if whole {
            let mut expected = BTreeMap::new();
            for file in &world.scan.files {
                let Outcome::Read(parsed) = &file.outcome else { continue };
                for claim in &parsed.claims {
                    let Ok(fit) = &claim.outcome else { continue };
                    expected.entry(fit.resource.key.clone()).or_insert(fit.digest.clone());
                }
            }
            let actual: BTreeMap<_, _> =
                world.set.objects.iter().map(|(k, o)| (k.clone(), o.digest.clone())).collect();
            prop_assert_eq!(actual, expected);
        }
    }
}
