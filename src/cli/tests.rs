use std::ffi::OsString;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use clap::CommandFactory;
use tempfile::TempDir;

use super::args::{Args, Command};
use super::*;
use crate::api::Time;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Time {
        "2026-05-30T12:00:00Z".parse().unwrap()
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Ran {
    code: u8,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

async fn routerctl(args: &[&str], stdin: &str) -> Ran {
    let (out, err) = (Captured::default(), Captured::default());
    let io = Io {
        stdout: Box::new(out.clone()),
        stderr: Box::new(err.clone()),
        stdin: Box::new(Cursor::new(stdin.to_owned().into_bytes())),
        terminal: false,
        env: |_| None,
        clock: Arc::new(Fixed),
    };
    let args = std::iter::once("routerctl").chain(args.iter().copied()).map(OsString::from);
    let code = run(args, io).await;
    Ran { code, out: out.text(), err: err.text() }
}

const GROUP: &str = "\
apiVersion: federation.routerd.net/v1alpha1
kind: EventGroup
metadata: {name: cloudedge}
spec: {nodeName: cloud-router}
";

/// A node without a daemon.
struct Offline {
    dir: TempDir,
}

impl Offline {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("group.yaml"), GROUP).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    async fn run(&self, args: &[&str], stdin: &str) -> Ran {
        let (state, config) = (self.path("state"), self.path("group.yaml"));
        let shared = ["--state", state.as_str(), "--config", config.as_str()];
        routerctl(&[&shared, args].concat(), stdin).await
    }
}

#[test]
fn the_command_line_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn shared_flags_stand_before_or_after_and_aliases_mean_the_same() {
    let parse = |line: &str| Args::try_parse_from(line.split(' ')).unwrap();
    for line in [
        "routerctl --state-file /s -o json dynamic render --config /c",
        "routerctl dynamic render --config /c --state /s --output json",
        "routerctl --config /c render --state /s -o json",
    ] {
        let args = parse(line);
        assert_eq!(args.global.state.as_deref(), Some(Path::new("/s")), "{line}");
        assert_eq!(args.global.config, [Path::new("/c")], "{line}");
        assert_eq!(args.global.output, Some(args::Format::Json), "{line}");
    }
    for line in [
        "routerctl fed event emit --group g --type t --payload a=b --payload c=d=e --ttl 30m",
        "routerctl federation event emit --group g --type t --payload a=b --payload c=d=e --ttl 30m",
    ] {
        assert!(matches!(parse(line).command, Command::Federation(_)), "{line}");
    }
    let Command::Emit(emit) = parse("routerctl emit --group g --type t --payload c=d=e").command
    else {
        panic!()
    };
    assert_eq!(emit.payload, [("c".to_owned(), "d=e".to_owned())]);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    for line in [
        "routerctl",
        "routerctl frobnicate",
        "routerctl emit --group g",
        "routerctl emit --group g --type t --payload novalue",
        "routerctl emit --group g --type t --ttl soon",
        "routerctl emit --group g --type t --ttl 1s --expires-at 2026-05-30T12:00:00Z",
        "routerctl emit -f - --group g",
        "routerctl get events --limit 0",
        "routerctl wait",
    ] {
        let error = Args::try_parse_from(line.split(' ')).unwrap_err();
        assert!(error.use_stderr(), "{line}");
    }
}

#[test]
fn paths_come_from_flags_then_the_environment_then_defaults() {
    let env = |name: &str| match name {
        "ROUTERD_CONFIG" => Some("/e1:/e2".into()),
        "ROUTERD_STATE" => Some("/estate".into()),
        "ROUTERD_SOCKET" => Some("".into()),
        _ => None,
    };
    let mut flags = args::Global::default();
    let paths = Paths::resolve(&flags, env);
    assert_eq!(paths.config, [Path::new("/e1"), Path::new("/e2")]);
    assert_eq!(paths.socket, Path::new("/estate/control.sock"));
    flags.config = vec!["/f".into()];
    flags.state = Some("/fstate".into());
    let paths = Paths::resolve(&flags, env);
    assert_eq!(paths.config, [Path::new("/f")]);
    assert_eq!(paths.socket, Path::new("/fstate/control.sock"));
    let paths = Paths::resolve(&args::Global::default(), |_| None);
    assert_eq!(paths.state, Path::new(DEFAULT_STATE));
    assert!(!paths.config_given);
}

#[tokio::test]
async fn help_goes_to_stdout_and_usage_errors_to_stderr() {
    let help = routerctl(&["--help"], "").await;
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    assert!(help.out.contains("Exit codes"));
    let wrong = routerctl(&["frobnicate"], "").await;
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    let format = routerctl(&["render", "-o", "table"], "").await;
    assert_eq!(format.code, 2);
    assert!(format.err.contains("hint: it has yaml, json"), "{}", format.err);
}

#[tokio::test]
async fn without_daemon_and_store_reads_fail_with_3_and_make_nothing() {
    let node = Offline::new();
    for args in [&["status"][..], &["get", "events"], &["wait", "--converged"]] {
        let ran = node.run(args, "").await;
        assert_eq!(ran.code, 3, "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{}", ran.err);
        assert!(ran.out.is_empty());
    }
    assert!(!Path::new(&node.path("state")).exists());
}

#[tokio::test]
async fn an_event_emitted_without_a_daemon_is_kept_in_a_new_store() {
    let node = Offline::new();
    let emit = ["emit", "--group", "cloudedge", "--type", "seen", "--subject", "s", "--id", "e1"];
    let first = node.run(&[&emit[..], &["-o", "json"]].concat(), "").await;
    assert_eq!(first.code, 0, "{}", first.err);
    let answer = first.json();
    assert_eq!(answer["accepted"], true);
    assert_eq!(answer["id"], "e1");
    assert_eq!(answer["duplicate"], false);
    let again = node.run(&[&emit[..], &["-o", "json"]].concat(), "").await;
    assert_eq!(again.json()["duplicate"], true);
    let list = node.run(&["get", "events", "-o", "json"], "").await;
    assert_eq!(list.json()[0]["id"], "e1");
    assert_eq!(list.json()[0]["sourceNode"], "cloud-router");
    let table = node.run(&["federation", "event", "list"], "").await;
    assert!(table.out.contains("e1"), "{}", table.out);
    let wait = node.run(&["wait", "--converged"], "").await;
    assert_eq!(wait.code, 3);
}

#[tokio::test]
async fn an_unknown_group_is_invalid_input_and_names_the_near_one() {
    let node = Offline::new();
    let ran = node.run(&["emit", "--group", "cloudegde", "--type", "t"], "").await;
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("hint: did you mean cloudedge?"), "{}", ran.err);
}

#[tokio::test]
async fn lines_are_answered_one_by_one_and_a_refused_one_makes_exit_1() {
    let node = Offline::new();
    let good = r#"{"group": "cloudedge", "type": "t", "id": "a", "paylod": {}}"#;
    let ran = node.run(&["emit", "-f", "-"], &format!("{good}\nnonsense\n")).await;
    assert_eq!(ran.code, 1, "{}", ran.err);
    let answers: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[0]["accepted"], true);
    assert_eq!(answers[0]["ignored"][0], "paylod");
    assert_eq!(answers[1]["error"]["reason"], "invalid");
    assert!(ran.err.contains("1 of 2 events were refused"), "{}", ran.err);
    let fine = node.run(&["emit", "-f", "-"], good).await;
    assert_eq!(fine.code, 0, "{}", fine.err);
}

#[tokio::test]
async fn the_listed_events_can_be_emitted_again_as_they_are() {
    let node = Offline::new();
    node.run(&["emit", "--group", "cloudedge", "--type", "t", "--id", "a"], "").await;
    let list = node.run(&["get", "events", "-o", "json"], "").await.json();
    let ran = node.run(&["emit", "-f", "-"], &format!("{}\n", list[0])).await;
    let answer = ran.json();
    assert_eq!(answer["duplicate"], true, "{answer}");
    assert_eq!(answer.get("ignored"), None);
}

#[tokio::test]
async fn render_without_a_daemon_shows_the_files_of_config() {
    let node = Offline::new();
    let ran = node.run(&["dynamic", "render"], "").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("apiVersion: routerd.net/v1alpha1\nkind: Router\n"), "{}", ran.out);
    assert!(ran.out.contains("name: cloud-router"), "{}", ran.out);
    assert!(ran.err.contains("rendered without parts"), "{}", ran.err);
    let json = node.run(&["render", "-o", "json"], "").await.json();
    assert_eq!(json["spec"]["resources"][0]["kind"], "EventGroup");
    let report = node.run(&["render", "--report"], "").await;
    assert_eq!(report.out, "nothing was left out\n");
}

#[tokio::test]
async fn validate_points_at_the_place_and_the_nearest_field() {
    let node = Offline::new();
    let fine = node.run(&["validate"], "").await;
    assert_eq!((fine.code, fine.out.as_str()), (0, "ok: 1 objects in 1 files\n"), "{}", fine.err);
    let bad = node.path("bad.yaml");
    std::fs::write(&bad, GROUP.replace("nodeName", "nodName")).unwrap();
    let ran = node.run(&["validate", "-f", &bad], "").await;
    assert_eq!(ran.code, 4);
    assert!(ran.out.contains(&format!("{bad}:4:")), "{}", ran.out);
    assert!(ran.out.contains("nodeName"), "{}", ran.out);
    let json = node.run(&["validate", "-f", &bad, "-o", "json"], "").await;
    assert_eq!((json.code, json.json()["valid"].as_bool()), (4, Some(false)));
    let missing = node.path("missing");
    let ran = node.run(&["validate", "-f", &missing], "").await;
    assert_eq!(ran.code, 4, "{}", ran.out);
}

#[tokio::test]
async fn schema_knows_every_kind_and_corrects_a_slip() {
    let schema = routerctl(&["schema", "eventgroups"], "").await;
    assert_eq!(schema.code, 0);
    assert!(schema.json().to_string().contains("nodeName"));
    let list = routerctl(&["schema"], "").await;
    assert!(list.out.contains("RemoteAddressClaim"));
    let slip = routerctl(&["schema", "EventGruop"], "").await;
    assert_eq!(slip.code, 1);
    assert!(slip.err.contains("did you mean EventGroup?"), "{}", slip.err);
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

#[tokio::test]
async fn a_broken_pipe_is_quiet() {
    for args in [&["routerctl", "schema"][..], &["routerctl", "--help"]] {
        let err = Captured::default();
        let io = Io {
            stdout: Box::new(Closed),
            stderr: Box::new(err.clone()),
            stdin: Box::new(Cursor::new(Vec::new())),
            terminal: false,
            env: |_| None,
            clock: Arc::new(Fixed),
        };
        let code = run(args.iter().map(OsString::from), io).await;
        assert_eq!((code, err.text().as_str()), (0, ""), "{args:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_does_not_answer_is_given_ten_seconds_and_a_way_out() {
    let node = Offline::new();
    let socket = node.path("control.sock");
    let _mute = tokio::net::UnixListener::bind(&socket).unwrap();
    let began = tokio::time::Instant::now();
    for command in ["status", "render", "get all"] {
        let args: Vec<&str> = ["--socket", &socket].into_iter().chain(command.split(' ')).collect();
        let ran = node.run(&args, "").await;
        assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("within 10s") && ran.err.contains("kill -CONT"), "{}", ran.err);
    }
    assert_eq!(began.elapsed().as_secs(), 30, "by the clock of the test, which is nobody's wall");
}
