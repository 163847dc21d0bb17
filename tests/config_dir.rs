//! The configuration directory as an operator meets it: real files, the real watcher, a store.
//!
//! Tests wait for reports, never for time. Those that need long waits poll on paused time.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use routerd::api::accepted::Accepted;
use routerd::api::clock::Clock;
use routerd::api::decode::Problem;
use routerd::api::object::{ObjectKey, Resource};
use routerd::api::value::Value;
use routerd::api::yaml::Node;
use routerd::sources::config_dir::{ConfigDir, ConfigError, ConfigHandle, Options};
use routerd::sources::node_time::SystemClock;
use routerd::sources::report::{ConfigReport, HoldReason, ProblemKind, Watching};
use routerd::sources::scan::{Claim, Decoder, Manifests};
use routerd::store::{Fault, MemoryEngine, Operation, Store};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what should be there within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads `Thing`s, and Routers of them: enough of the Kinds to exercise acceptance.
fn decode(document: u32, node: &Node) -> Vec<Claim> {
    let inner = node.get("spec").and_then(|spec| spec.get("resources")).and_then(Node::items);
    match inner {
        None => vec![decode_thing(document, None, node)],
        Some(items) => {
            (0..).zip(items).map(|(i, item)| decode_thing(document, Some(i), item)).collect()
        }
    }
}

fn decode_thing(document: u32, index: Option<u32>, node: &Node) -> Claim {
    let place = (document, index, node.pos);
    let name = node.get("metadata").and_then(|m| m.get("name")).and_then(Node::text);
    let key = name.map(|name| ObjectKey::new("example.net/v1", "Thing", name));
    let problem = |pos, path: &str, message: &str, hint: Option<&str>| Problem {
        pos: Some(pos),
        path: path.to_owned(),
        message: message.to_owned(),
        hint: hint.map(str::to_owned),
    };
    let body = match Value::try_from(node) {
        Ok(body) => body,
        Err(faults) => return Claim::refused(place, key, faults, false),
    };
    let Some(key) = key else {
        let missing = problem(node.pos, "metadata.name", "is required", None);
        return Claim::refused(place, None, vec![missing], true);
    };
    if let Some(entry) = node.entry("spce") {
        let hint = Some("did you mean spec?");
        let misspelt = problem(entry.key.pos, "spce", "unknown field", hint);
        return Claim::refused(place, Some(key), vec![misspelt], false);
    }
    Claim::fit(place, Resource { key, body }, true, Vec::new())
}

fn thing(name: &str, value: u32) -> String {
    format!("kind: Thing\nmetadata: {{name: {name}}}\nspec: {{value: {value}}}\n")
}

fn things(names: &[&str]) -> String {
    names.iter().map(|name| thing(name, 1)).collect::<Vec<_>>().join("---\n")
}

/// A directory, a store, and the loop between them.
struct Host {
    dir: TempDir,
    engine: MemoryEngine,
    store: Store,
    handle: ConfigHandle,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConfigError>>,
}

impl Host {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn polling() -> Self {
        Self::start_with(|options| options.always_poll = true).await
    }

    async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        fs::create_dir(dir.path().join("conf")).expect("a directory");
        Self::run(dir, MemoryEngine::new(), change).await
    }

    async fn run(dir: TempDir, engine: MemoryEngine, change: impl FnOnce(&mut Options)) -> Self {
        Self::run_decoding(dir, engine, change, Arc::new(decode)).await
    }

    async fn run_decoding(
        dir: TempDir,
        engine: MemoryEngine,
        change: impl FnOnce(&mut Options),
        decoder: Arc<dyn Decoder>,
    ) -> Self {
        let mut options = Options::new(vec![dir.path().join("conf")]);
        change(&mut options);
        let store = Store::in_memory(engine.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (config, handle) = ConfigDir::new(options, store.clone(), clock, decoder);
        let stop = CancellationToken::new();
        let task = tokio::spawn(config.run(stop.clone()));
        let host = Self { dir, engine, store, handle, stop, task };
        host.until("first scan", |report| report.scan_revision > 0).await;
        host
    }

    async fn restart(self) -> Self {
        let (dir, engine) = self.shut_down().await;
        Self::run(dir, engine, |options| options.always_poll = true).await
    }

    async fn shut_down(self) -> (TempDir, MemoryEngine) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("no error");
        self.store.close().await;
        (self.dir, self.engine.crash())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("conf").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// As editors and configuration tools do it.
    fn replace(&self, name: &str, text: &str) {
        self.write(".tmp", text);
        fs::rename(self.path(".tmp"), self.path(name)).expect("a rename");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    fn get(&self, name: &str) -> Option<Accepted> {
        let key = ObjectKey::new("example.net/v1", "Thing", name);
        self.store.get::<Accepted>(&key).expect("the store reads")
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn generation(&self, name: &str) -> u64 {
        self.get(name).map_or(0, |object| object.generation)
    }

    /// Waits for a report after which something holds.
    async fn until(
        &self,
        what: &str,
        mut holds: impl FnMut(&ConfigReport) -> bool,
    ) -> ConfigReport {
        let mut reports = self.handle.reports();
        let found = tokio::time::timeout(PATIENCE, reports.wait_for(|report| holds(report))).await;
        let Ok(report) = found else {
            panic!("no {what}; the last report: {:#?}", self.handle.reports().borrow())
        };
        (**report.expect("the loop runs")).clone()
    }

    async fn rescan(&self) -> Arc<ConfigReport> {
        self.handle.rescan().await.expect("applied")
    }
}

fn kinds(report: &ConfigReport) -> Vec<ProblemKind> {
    report.findings.problems.iter().map(|problem| problem.kind).collect()
}

#[tokio::test]
async fn the_life_of_a_manifest_is_followed_by_the_kernels_word_alone() {
    let host = Host::start().await;
    host.until("watch", |report| report.watching == Watching::Inotify).await;

    host.write("a.yaml", thing("x", 1));
    host.until("drop-in", |_| host.has("x")).await;
    host.write("other.yaml", thing("bystander", 1));
    host.until("second file", |_| host.has("bystander")).await;
    let uid = host.get("x").expect("accepted").uid;

    host.write("a.yaml", thing("x", 2));
    host.until("edit in place", |_| host.generation("x") == 2).await;
    host.replace("a.yaml", &thing("x", 3));
    host.until("atomic rename", |_| host.generation("x") == 3).await;

    host.write("a.yaml", "kind: Thing\nmetadata: {name: x}\nspce: {value: 4}\n");
    let report = host.until("complaint", |report| kinds(report) == [ProblemKind::Broken]).await;
    let said = report.findings.problems[0].to_string();
    let expected = "conf/a.yaml:3:1: Thing/x: spce: unknown field (did you mean spec?)";
    assert!(said.ends_with(expected), "{said}");
    assert!(report.findings.problems[0].in_force);
    assert_eq!(host.generation("x"), 3);

    host.write("a.yaml", thing("x", 4));
    host.until("repair", |report| kinds(report).is_empty()).await;
    assert_eq!(host.generation("x"), 4);

    fs::rename(host.path("a.yaml"), host.path("b.yaml")).expect("a rename");
    let file = || host.get("x").expect("in force").source.file;
    host.until("rename", |_| file().ends_with("conf/b.yaml")).await;
    assert_eq!(host.generation("x"), 4);

    fs::create_dir(host.path("sub")).expect("a directory");
    host.write("sub/c.yaml", thing("y", 1));
    host.until("file in a new directory", |_| host.has("y")).await;

    host.remove("b.yaml");
    host.until("deletion", |_| !host.has("x")).await;
    host.write("b.yaml", thing("x", 4));
    host.until("return", |_| host.has("x")).await;
    assert_ne!(host.get("x").expect("accepted").uid, uid);
    assert_eq!(host.generation("bystander"), 1);
}

#[tokio::test]
async fn a_root_that_is_removed_and_made_again_is_watched_again() {
    let host = Host::start().await;
    host.write("a.yaml", thing("x", 1));
    host.until("drop-in", |_| host.has("x")).await;
    fs::remove_dir_all(host.path("")).expect("removed");
    let held = |report: &ConfigReport| report.findings.held.first().map(|held| held.reason);
    host.until("hold", |report| held(report) == Some(HoldReason::PathVanished)).await;
    assert!(host.has("x"));
    fs::create_dir(host.path("")).expect("a directory");
    host.until("hold", |report| held(report) == Some(HoldReason::PathReplaced)).await;
    assert!(host.has("x"));
    host.write("a.yaml", thing("x", 2));
    host.until("return", |_| host.generation("x") == 2).await;
    host.until("end of the hold", |report| report.findings.held.is_empty()).await;
}

#[tokio::test]
async fn a_config_map_is_followed_through_its_swaps() {
    let host = Host::start().await;
    let version = |name: &str, value: u32| {
        fs::create_dir(host.path(name)).expect("a directory");
        host.write(&format!("{name}/x.yaml"), thing("x", value));
        symlink(name, host.path("..tmp")).expect("a link");
        fs::rename(host.path("..tmp"), host.path("..data")).expect("a rename");
    };
    version("..1", 1);
    symlink("..data/x.yaml", host.path("x.yaml")).expect("a link");
    host.until("first version", |_| host.generation("x") == 1).await;
    version("..2", 2);
    fs::remove_dir_all(host.path("..1")).expect("removed");
    host.until("swap", |_| host.generation("x") == 2).await;
    assert!(host.get("x").expect("accepted").source.file.ends_with("conf/x.yaml"));
}

#[tokio::test]
async fn a_single_file_is_watched_without_its_neighbours() {
    let host = Host::start_with(|options| {
        options.paths = vec![options.paths[0].join("router.yaml")];
    })
    .await;
    host.write("other.yaml", thing("y", 1));
    host.write("router.yaml", thing("x", 1));
    host.until("drop-in", |_| host.has("x")).await;
    host.replace("router.yaml", &thing("x", 2));
    host.until("edit", |_| host.generation("x") == 2).await;
    assert!(!host.has("y"));
    host.remove("router.yaml");
    host.until("deletion", |_| !host.has("x")).await;
}

#[tokio::test(start_paused = true)]
async fn one_resource_of_a_router_breaks_and_is_repaired_alone() {
    let router = |third: &str| {
        let item = |name: &str| format!("    - {{kind: Thing, metadata: {{name: {name}}}}}\n");
        let (a, b) = (item("a"), item("b"));
        format!("kind: Router\nspec:\n  resources:\n{a}{b}    - {{kind: Thing, {third}}}\n")
    };
    let host = Host::polling().await;
    host.write("r.yaml", router("metadata: {name: c}, spec: 1"));
    host.rescan().await;
    assert_eq!(host.get("c").expect("accepted").source.index, Some(2));
    host.write("r.yaml", router("metadata: {name: c}, spce: 2"));
    let report = host.rescan().await;
    assert_eq!(report.findings.problems[0].line, 6);
    let host = host.restart().await;
    for name in ["a", "b", "c"] {
        assert_eq!(host.generation(name), 1, "{name}");
    }
    host.write("r.yaml", router("metadata: {name: c}, spec: 2"));
    host.rescan().await;
    assert_eq!((host.generation("c"), host.generation("a")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_half_written_file_that_is_valid_yaml_loses_nothing() {
    let host = Host::polling().await;
    let whole = things(&["a", "b", "c"]);
    host.write("a.yaml", &whole);
    host.rescan().await;
    host.write("a.yaml", things(&["a"]));
    let report = host.rescan().await;
    assert_eq!(report.findings.settling, 2);
    host.write("a.yaml", &whole);
    host.rescan().await;
    for name in ["a", "b", "c"] {
        assert_eq!(host.generation(name), 1);
    }
    host.write("a.yaml", things(&["a"]));
    host.until("removal from inside the file", |_| !host.has("b") && !host.has("c")).await;
    assert!(host.has("a"));
}

#[tokio::test(start_paused = true)]
async fn an_object_moves_between_files_without_a_generation() {
    let host = Host::polling().await;
    host.write("a.yaml", things(&["x", "y"]));
    host.write("b.yaml", things(&["z"]));
    host.rescan().await;
    let before = host.get("y").expect("accepted");
    host.write("a.yaml", things(&["x"]));
    host.write("b.yaml", things(&["z", "y"]));
    let report = host.rescan().await;
    let after = host.get("y").expect("accepted");
    assert_eq!((after.generation, &after.uid), (1, &before.uid));
    assert!(after.source.file.ends_with("b.yaml"));
    assert_eq!(report.findings.settling, 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_read_keeps_what_came_from_it_also_across_a_restart() {
    type Way = (&'static str, fn(&Path), ProblemKind);
    let unreadable: [Way; 4] = [
        ("a directory", |path| fs::create_dir(path).expect("made"), ProblemKind::Unreadable),
        ("a link", |path| symlink("nowhere", path).expect("made"), ProblemKind::Unreadable),
        ("not UTF-8", |path| fs::write(path, b"a: \xff").expect("made"), ProblemKind::NotYaml),
        ("torn", |path| fs::write(path, "a: [").expect("made"), ProblemKind::NotYaml),
    ];
    for (what, make, kind) in unreadable {
        let host = Host::polling().await;
        host.write("a.yaml", thing("x", 1));
        host.rescan().await;
        host.remove("a.yaml");
        make(&host.path("a.yaml"));
        let scans = |past: u64| move |report: &ConfigReport| report.scan_revision > past;
        host.until("ten scans", scans(10)).await;
        let host = host.restart().await;
        let report = host.until("ten scans more", scans(10)).await;
        assert!(host.has("x"), "{what}");
        assert_eq!(kinds(&report), [kind], "{what}");
        assert_eq!(report.findings.problems[0].keeps.len(), 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_files_harm_nothing_but_themselves() {
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..40 {
        let below = level - 1;
        writeln!(bomb, "a{level}: &a{level} [*a{below}, *a{below}]").expect("a string grows");
    }
    let host = Host::polling().await;
    host.write("good.yaml", thing("x", 1));
    host.write("aliases.yaml", bomb);
    host.write("depth.yaml", "[".repeat(100_000));
    host.write("size.yaml", vec![b'#'; (4 << 20) + 1]);
    host.write("twice.yaml", "kind: Thing\nkind: Thing\nmetadata: {name: t}\n");
    host.write("bytes.yaml", b"\xff\xfe\x00");
    let report = host.rescan().await;
    let files = report.findings.problems.iter().filter_map(|p| p.file.rsplit('/').next());
    let mut names: Vec<_> = files.collect();
    names.dedup();
    let expected = ["aliases.yaml", "bytes.yaml", "depth.yaml", "size.yaml", "twice.yaml"];
    assert_eq!(names, expected);
    assert!(host.has("x"));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_documents_are_accepted_and_then_cost_nothing() {
    for in_one_file in [true, false] {
        let host = Host::polling().await;
        let documents: Vec<_> = (0..10_000).map(|n| thing(&format!("t{n}"), n)).collect();
        if in_one_file {
            host.write("all.yaml", documents.join("---\n"));
        } else {
            for (number, text) in documents.iter().enumerate() {
                host.write(&format!("{number}.yaml"), text);
            }
        }
        let report = host.rescan().await;
        assert_eq!(report.findings.accepted, 10_000);
        assert_eq!(host.generation("t9999"), 1);
        let rows = host.engine.rows_written();
        host.rescan().await;
        assert_eq!(host.engine.rows_written(), rows, "a fixed point writes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn most_of_everything_goes_only_after_a_second_look() {
    let names: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let host = Host::polling().await;
    for name in &names {
        host.write(&format!("{name}.yaml"), thing(name, 1));
    }
    host.rescan().await;
    for name in &names[1..] {
        host.remove(&format!("{name}.yaml"));
    }
    let began = tokio::time::Instant::now();
    let report = host.until("hold", |report| !report.findings.held.is_empty()).await;
    assert_eq!(report.findings.held[0].reason, HoldReason::MassDeletion);
    assert_eq!(report.findings.held[0].objects.len(), 19);
    host.until("agreement", |report| report.findings.accepted == 1).await;
    assert!(began.elapsed() >= Duration::from_secs(30), "on paused time");
    assert!(host.has("t0"));
}

#[tokio::test(start_paused = true)]
async fn polling_says_so_and_sees_changes_by_itself() {
    let host = Host::polling().await;
    let report = host.until("mode", |_| true).await;
    assert_eq!(report.watching, Watching::Polling { reason: "as configured".to_owned() });
    host.write("a.yaml", thing("x", 1));
    host.until("drop-in", |_| host.has("x")).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_and_overcome() {
    let host = Host::polling().await;
    host.engine.fail(Operation::Apply, 1, Fault::DiskFull);
    host.write("a.yaml", thing("x", 1));
    let refused = host.handle.rescan().await.expect_err("not written");
    assert!(refused.to_string().contains("disk full"), "{refused}");
    host.until("next try", |report| report.store_error.is_none() && host.has("x")).await;
    assert_eq!(host.generation("x"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_keeps_its_shape_through_json() {
    let host = Host::polling().await;
    host.write("a.yaml", "a: [");
    let report = host.rescan().await;
    let json = serde_json::to_value(&*report).expect("it serializes");
    assert_eq!(json["watching"]["mode"], "polling");
    assert_eq!(json["scanRevision"].as_u64(), Some(report.scan_revision));
    assert_eq!(json["problems"][0]["kind"], "NotYaml");
    let back: ConfigReport = serde_json::from_value(json).expect("it comes back");
    assert_eq!(back, *report);
}

#[tokio::test(start_paused = true)]
async fn the_kinds_of_the_product_are_accepted_one_by_one() {
    let dir = TempDir::new().expect("a temporary directory");
    fs::create_dir(dir.path().join("conf")).expect("a directory");
    let poll = |options: &mut Options| options.always_poll = true;
    let host = Host::run_decoding(dir, MemoryEngine::new(), poll, Arc::new(Manifests)).await;
    let router = |types: &str| {
        format!(
            "apiVersion: routerd.net/v1alpha1
kind: Router
metadata: {{name: r}}
spec:
  resources:
    - apiVersion: net.routerd.net/v1alpha1
      kind: Interface
      metadata: {{name: eth0}}
      spec: {{mtu: 0x5dc}}
    - apiVersion: federation.routerd.net/v1alpha1
      kind: EventSubscription
      metadata: {{name: s}}
      spec:
        groupRef: g
        match: {{{types}}}
        trigger: {{pluginRef: p}}
"
        )
    };
    host.write("r.yaml", router("types: [a.b]"));
    let report = host.rescan().await;
    assert_eq!((report.findings.accepted, kinds(&report)), (3, vec![]));
    host.write("r.yaml", router("typs: [a.b]"));
    let report = host.rescan().await;
    assert_eq!(report.findings.accepted, 3, "the last good version stays in force");
    let said: Vec<_> = report.findings.problems.iter().map(ToString::to_string).collect();
    let misspelt = said.iter().find(|said| said.contains("typs")).expect("it is named");
    assert!(misspelt.contains("conf/r.yaml:15:17: EventSubscription/s: "), "{misspelt}");
    assert!(misspelt.contains("types"), "{misspelt}");
}
