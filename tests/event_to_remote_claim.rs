//! The example plugins as the daemon runs them: a request on stdin, a result on stdout, once or line
//! by line. The one in Python answers as the one in Rust does.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use routerd::api::kinds::decode::decode_value;
use routerd::api::plugin::{PROTOCOL, PluginResult};
use serde_json::{Value, json};

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The executable that cargo built beside this test. `cargo test` builds the examples; with
/// `--test` it does not: `cargo build --example event-to-remote-claim` first.
fn in_rust() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("examples/event-to-remote-claim")
}

/// The same plugin in Python, where there is one.
fn in_python() -> Option<PathBuf> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        let asked = Command::new("python3").arg("--version").env("PATH", PATH).output();
        let found = asked.is_ok_and(|output| output.status.success());
        if !found {
            println!("skipped: the plugin in Python, there is no python3");
        }
        found
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = "examples/plugins/event-to-remote-claim-python/event-to-remote-claim";
    found.then(|| root.join(program))
}

fn run(executable: &Path, protocol: Option<&str>, input: &str) -> Output {
    let mut child = Command::new(executable)
        .env_clear()
        .env("PATH", PATH)
        .envs(protocol.map(|protocol| (PROTOCOL, protocol)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}; is the example built?", executable.display()));
    // A plugin may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// What a program answers in both protocols: the same, twice.
fn answer_of(executable: &Path, request: &str) -> Value {
    let name = executable.display();
    let once = run(executable, None, request);
    assert!(once.status.success(), "{name}: {}", String::from_utf8_lossy(&once.stderr));
    let lines = run(executable, Some("stream"), &format!("{request}\n{request}\n"));
    assert!(lines.status.success(), "{name}: {}", String::from_utf8_lossy(&lines.stderr));
    let text = String::from_utf8(lines.stdout).unwrap();
    let answers: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answer: Value = serde_json::from_slice(&once.stdout).unwrap();
    assert_eq!(answers, [answer.clone(), answer.clone()], "{name}");
    answer
}

fn request(events: &Value) -> String {
    json!({
        "apiVersion": "plugin.routerd.net/v1alpha1",
        "kind": "PluginRequest",
        "metadata": {"name": "event-to-remote-claim"},
        "spec": {
            "trigger": {
                "type": "federation-subscription",
                "topic": "routerd.federation.subscription/cloud-claims",
            },
            "now": "2026-11-22T12:00:00Z",
            "startupConfigHash": "",
            "previousDynamicGeneration": 0,
            "events": events,
        },
    })
    .to_string()
}

/// What both programs answer in both protocols.
fn answer(events: &Value) -> Value {
    let request = request(events);
    let answer = answer_of(&in_rust(), &request);
    if let Some(python) = in_python() {
        assert_eq!(answer_of(&python, &request), answer, "Python answers as Rust does");
    }
    let result: PluginResult = serde_json::from_value(answer.clone()).unwrap();
    for resource in &result.status.resources {
        let decoded = decode_value(resource, "").unwrap_or_else(|r| panic!("{:?}", r.problems));
        assert!(decoded.typed);
    }
    answer
}

fn event(id: &str, subject: &str, payload: &Value) -> Value {
    json!({
        "id": id, "group": "cloudedge", "type": "routerd.client.ipv4.observed",
        "sourceNode": "onprem-router", "subject": subject, "payload": payload,
        "runKey": format!("run-{id}"), "previousDynamicGeneration": 0,
    })
}

#[test]
fn an_observed_client_becomes_a_claim() {
    let payload = json!({
        "address": "10.88.60.9/32", "domain": "cloudedge-same-subnet", "ownerSide": "onprem",
        "peerRef": "onprem-main", "providerRef": "example-provider",
    });
    assert_eq!(
        answer(&json!([event("e1", "10.88.60.9/32", &payload)])),
        json!({
            "apiVersion": "plugin.routerd.net/v1alpha1",
            "kind": "PluginResult",
            "status": {
                "observedAt": "2026-11-22T12:00:00Z",
                "ttl": "30m",
                "resources": [{
                    "apiVersion": "hybrid.routerd.net/v1alpha1",
                    "kind": "RemoteAddressClaim",
                    "metadata": {
                        "name": "onprem-10-88-60-9",
                        "annotations": {"routerd.net/event-id": "e1"},
                    },
                    "spec": {
                        "domainRef": "cloudedge-same-subnet",
                        "address": "10.88.60.9/32",
                        "ownerSide": "onprem",
                        "capture": {
                            "type": "provider-secondary-ip",
                            "providerRef": "example-provider",
                            "providerMode": "secondary-ip",
                            "nicRef": "example-nic-ref",
                            "configureOSAddress": false,
                        },
                        "delivery": {
                            "peerRef": "onprem-main",
                            "mode": "route",
                            "tunnelInterface": "wg-hybrid",
                        },
                    },
                }],
            },
        })
    );
}

#[test]
fn the_payload_comes_before_the_subject_and_the_defaults() {
    let payload = json!({
        "address": "10.88.60.7", "domain": "d", "ownerSide": "cloud", "peerRef": "p",
        "providerRef": "q", "nicRef": "n",
    });
    let result = answer(&json!([event("e1", "10.88.60.9/32", &payload)]));
    let claim = &result["status"]["resources"][0];
    assert_eq!(claim["metadata"]["name"], "cloud-10-88-60-7");
    assert_eq!(claim["spec"]["address"], "10.88.60.7/32");
    assert_eq!(claim["spec"]["ownerSide"], "cloud");
    assert_eq!(claim["spec"]["delivery"]["peerRef"], "p");
    assert_eq!(claim["spec"]["capture"]["providerRef"], "q");
    assert_eq!(claim["spec"]["capture"]["nicRef"], "n");
}

#[test]
fn each_event_of_a_batch_is_answered_by_its_mark_or_not_at_all() {
    let domain = json!({"domain": "d"});
    let mut other = event("other", "10.88.60.3", &domain);
    other["type"] = json!("routerd.client.ipv4.expired");
    let events = json!([
        event("a", "10.88.60.1", &domain),
        event("network", "10.88.60.0/24", &domain),
        event("six", "fd00::1/128", &domain),
        event("name", "printer", &domain),
        event("nothing", "", &domain),
        event("nowhere", "10.88.60.2", &json!({})),
        other,
        event("b", "", &json!({"address": "10.88.60.4/32", "domain": "d"})),
    ]);
    let result = answer(&events);
    let marks: Vec<&Value> = result["status"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| &claim["metadata"]["annotations"]["routerd.net/event-id"])
        .collect();
    assert_eq!(marks, ["a", "b"]);
}

#[test]
fn no_event_is_no_claim() {
    assert_eq!(answer(&json!([]))["status"]["resources"], json!([]));
}

#[test]
fn the_same_request_gives_the_same_bytes() {
    let events = json!([event("a", "10.88.60.1", &json!({"domain": "d"}))]);
    for program in [Some(in_rust()), in_python()].into_iter().flatten() {
        let bytes = || run(&program, None, &request(&events)).stdout;
        assert_eq!(bytes(), bytes());
    }
}

#[test]
fn an_unreadable_request_fails_and_says_so() {
    for program in [Some(in_rust()), in_python()].into_iter().flatten() {
        for (protocol, input) in
            [(None, ""), (None, "{}"), (None, "not json"), (Some("stream"), "{}\n")]
        {
            let output = run(&program, protocol, input);
            assert!(!output.status.success());
            assert!(output.stdout.is_empty());
            assert!(!output.stderr.is_empty());
        }
    }
}
