//! ConfigOutputs: the file and its hook, and `render --watch`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::{Node, opaque, wait_for};

/// A ConfigOutput of the Interfaces into `out.yaml`, with this hook.
fn output(node: &Node, hook: &Path) -> String {
    format!(
        "apiVersion: config.routerd.net/v1alpha1\nkind: ConfigOutput\nmetadata: {{name: out}}\n\
         spec:\n  path: {}\n  select: [{{apiVersion: net.routerd.net/v1alpha1, kind: Interface}}]\n  \
         onChange: {{executable: {}, timeout: 20s}}\n",
        node.path("out.yaml").display(),
        hook.display()
    )
}

fn applied(node: &Node) -> Value {
    let object = node.get("configoutput", "out");
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|c| c["type"] == "Applied").unwrap_or_default()
}

fn file(node: &Node) -> String {
    fs::read_to_string(node.path("out.yaml")).unwrap_or_default()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A hook that notes what the file held when it ran, and that it succeeded.
fn hook(node: &Node, before: &str) -> std::path::PathBuf {
    let body = format!(
        "echo ran >> {0}/hook-runs\n{before}\ngrep -c 'kind: Interface' $ROUTERD_OUTPUT_PATH >> \
         {0}/hook-saw\nexit 0",
        node.path("").display().to_string().trim_end_matches('/')
    );
    node.script("hook", &body)
}

/// Waits for a file, but not for ever: a hook whose daemon was killed is nobody's child.
fn until(go: &Path) -> String {
    let go = go.display();
    format!("n=0; until [ -e {go} ] || [ $n -gt 1500 ]; do sleep 0.02; n=$((n+1)); done")
}

#[test]
fn a_hook_that_fails_three_times_is_run_until_it_succeeds_for_the_newest_content() {
    let node = Node::new();
    let body = format!(
        "[ $(wc -l < {}/hook-runs) -gt 3 ] || {{ echo no bus >&2; exit 9; }}",
        node.path("").display().to_string().trim_end_matches('/')
    );
    let hook = hook(&node, &body);
    node.write("a.yaml", &opaque("lan0"));
    node.write("out.yaml", &output(&node, &hook));
    let _daemon = node.serve();
    node.converge();
    assert_eq!(lines(&node.path("hook-runs")).len(), 4, "{}", node.log());
    let condition = applied(&node);
    assert_eq!(condition["status"], "True", "{condition}");
    let revision = node.status()["effective"]["revision"].as_u64().expect("a revision");
    let said = condition["message"].as_str().expect("text");
    assert!(said.ends_with(&format!("revision {revision}")), "{said}");
    assert_eq!(lines(&node.path("hook-saw")).last().map(String::as_str), Some("1"));
    // What is there already writes nothing and runs nothing.
    node.write("other.yaml", &crate::harness::wg_interface("wg0", 1400));
    node.converge();
    assert_eq!(lines(&node.path("hook-runs")).len(), 4, "what it does not select is no news");
}

#[test]
fn a_hook_that_is_slow_while_ten_changes_arrive_runs_once_more_for_the_newest() {
    let node = Node::new();
    let go = node.path("go");
    let body = until(&go);
    let hook = hook(&node, &body);
    node.write("a.yaml", &opaque("lan0"));
    node.write("out.yaml", &output(&node, &hook));
    let _daemon = node.serve();
    wait_for("the hook to run", &node.log_path(), || {
        if lines(&node.path("hook-runs")).len() == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    });
    // Whoever reads the file sees one of the true states, whole.
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (path, done) = (node.path("out.yaml"), Arc::clone(&done));
        move || {
            let mut seen = BTreeSet::new();
            while !done.load(SeqCst) {
                seen.insert(fs::read_to_string(&path).expect("the file is always there"));
            }
            seen
        }
    });
    for n in 1..=10 {
        node.write(&format!("b{n}.yaml"), &opaque(&format!("lan{n}")));
        wait_for("the change", &node.log_path(), || {
            let interfaces = node.effective();
            let count = interfaces.iter().filter(|r| r["kind"] == "Interface").count();
            if count == n + 1 { Ok(()) } else { Err(format!("{count}")) }
        });
    }
    assert_eq!(lines(&node.path("hook-runs")).len(), 1, "it still runs");
    fs::write(&go, "").expect("written");
    node.converge();
    done.store(true, SeqCst);
    assert_eq!(lines(&node.path("hook-runs")).len(), 2, "ten changes, one more run");
    assert_eq!(lines(&node.path("hook-saw")).last().map(String::as_str), Some("11"));
    for text in reader.join().expect("it read") {
        let state: Value = serde_yaml::from_str(&text).expect("whole");
        let names: BTreeSet<String> = state["spec"]["resources"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|resource| resource["metadata"]["name"].as_str().expect("a name").to_owned())
            .collect();
        let so_far: BTreeSet<String> = (0..names.len()).map(|n| format!("lan{n}")).collect();
        assert_eq!(names, so_far, "one of the true states");
    }
    assert_eq!(applied(&node)["status"], "True");
}

#[test]
fn a_hook_that_is_killed_with_the_daemon_runs_again_at_the_next_start() {
    let node = Node::new();
    let go = node.path("go");
    let body = until(&go);
    let hook = hook(&node, &body);
    node.write("a.yaml", &opaque("lan0"));
    node.write("out.yaml", &output(&node, &hook));
    for (round, kill) in [(1, true), (2, false)] {
        let daemon = node.serve();
        wait_for("the hook to run", &node.log_path(), || {
            let runs = lines(&node.path("hook-runs")).len();
            if runs == round { Ok(()) } else { Err(format!("{runs} runs")) }
        });
        if kill {
            daemon.kill();
        } else {
            assert!(daemon.stop().success());
        }
    }
    assert!(!node.path("hook-saw").exists() || lines(&node.path("hook-saw")).is_empty());
    fs::write(&go, "").expect("written");
    let daemon = node.serve();
    node.converge();
    assert_eq!(lines(&node.path("hook-saw")).last().map(String::as_str), Some("1"));
    assert_eq!(applied(&node)["status"], "True");
    let runs = lines(&node.path("hook-runs")).len();
    assert!(daemon.stop().success());
    // It succeeded for this content: another start runs nothing.
    let _daemon = node.serve();
    node.converge();
    assert_eq!(lines(&node.path("hook-runs")).len(), runs);
}

#[test]
fn a_file_that_somebody_else_changed_or_deleted_is_written_anew_at_the_next_start() {
    // While the daemon runs it looks once a minute; the simulation of that is in the controllers.
    let node = Node::new();
    let hook = hook(&node, "");
    node.write("a.yaml", &opaque("lan0"));
    node.write("out.yaml", &output(&node, &hook));
    let right = {
        let daemon = node.serve();
        node.converge();
        assert!(daemon.stop().success());
        file(&node)
    };
    for (round, spoil) in [(2, true), (3, false)] {
        let path = node.path("out.yaml");
        if spoil {
            fs::write(&path, "kind: Nonsense\n").expect("written");
        } else {
            fs::remove_file(&path).expect("removed");
        }
        let daemon = node.serve();
        node.converge();
        assert_eq!(file(&node), right);
        assert_eq!(lines(&node.path("hook-runs")).len(), round, "whoever read it is told again");
        assert!(daemon.stop().success());
    }
}

#[test]
fn a_hook_that_keeps_failing_keeps_nothing_out_of_the_file_and_does_not_hold_up_serve_once() {
    let node = Node::new();
    let hook = node.script("hook", "echo no bus >&2; exit 9");
    node.write("a.yaml", &opaque("lan0"));
    node.write("out.yaml", &output(&node, &hook));
    let daemon = node.serve();
    node.converge();
    let said = applied(&node);
    assert_eq!((&said["status"], &said["reason"]), (&"False".into(), &"Failing".into()));
    let status = node.status();
    assert_eq!(status["outputs"][0]["applied"], false, "{status}");
    let notices = status["notices"].to_string();
    assert!(
        notices.contains("output out is not applied") && notices.contains("no bus"),
        "{notices}"
    );
    // Gone from the config, gone from the file, whatever the hook does.
    node.write("b.yaml", &opaque("lan1"));
    node.converge();
    assert!(file(&node).contains("lan1"), "{}", file(&node));
    node.remove("b.yaml");
    wait_for("the file", &node.log_path(), || {
        if file(&node).contains("lan1") { Err(file(&node)) } else { Ok(()) }
    });
    assert!(daemon.stop().success());
    assert!(node.start(&["--once"]).wait().success());
}

#[test]
fn an_output_writes_over_no_other_and_not_among_the_manifests() {
    let node = Node::new();
    let output = |name: &str, path: &Path| {
        format!(
            "apiVersion: config.routerd.net/v1alpha1\nkind: ConfigOutput\n\
             metadata: {{name: {name}}}\nspec: {{path: {}}}\n",
            path.display()
        )
    };
    let of = |name: &str| {
        let object = node.get("configoutput", name);
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|c| c["type"] == "Applied").unwrap_or_default()
    };
    node.write("a.yaml", &opaque("lan0"));
    node.write("first.yaml", &output("first", &node.path("out.yaml")));
    node.write("second.yaml", &output("second", &node.path("out.yaml")));
    node.write("inside.yaml", &output("inside", &node.conf("out.yaml")));
    node.write("state.yaml", &output("state", &node.path("state/db/db")));
    node.write("deep.yaml", &output("deep", &node.path("no/such/out.yaml")));
    let _daemon = node.serve();
    node.converge();
    let message = of("state")["message"].to_string();
    assert!(message.contains("state directory"), "{message}");
    assert_eq!(of("deep")["reason"], "Failing", "and nobody waits for it for ever");
    assert_eq!(of("first")["status"], "True");
    let message = of("second")["message"].to_string();
    assert!(message.contains("ConfigOutput") && message.contains("first"), "{message}");
    let message = of("inside")["message"].to_string();
    assert!(message.contains("where manifests are read from"), "{message}");
    assert!(!node.conf("out.yaml").exists());
    // The way out needs no restart.
    node.remove("first.yaml");
    wait_for("the second to have the file", &node.log_path(), || {
        let said = of("second");
        if said["status"] == "True" { Ok(()) } else { Err(said.to_string()) }
    });
}

#[test]
fn render_watch_shows_whole_states_none_twice_in_a_row_and_ends_with_the_newest() {
    let node = Node::new();
    node.write("a.yaml", &opaque("lan0"));
    let daemon = node.serve();
    node.converge();
    let mut watch = node
        .bare_ctl()
        .env("ROUTERD_STATE", node.path("state"))
        .args(["render", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout = BufReader::new(watch.stdout.take().expect("piped"));
    let shown = Arc::new(Mutex::new(String::new()));
    let reader = std::thread::spawn({
        let shown = Arc::clone(&shown);
        move || {
            for line in stdout.lines() {
                let line = line.expect("UTF-8");
                let mut shown = shown.lock().expect("no panic");
                shown.push_str(&line);
                shown.push('\n');
            }
        }
    });
    for n in 1..=30 {
        node.write("b.yaml", &opaque(&format!("lan{}", n % 2 + 1)));
        // Now and then both in one look, or in two.
        if n % 3 == 0 {
            node.converge();
        }
    }
    node.write("b.yaml", &opaque("last"));
    node.converge();
    let newest = node.ctl("render").exits(0).stdout;
    wait_for("the watch to have the newest", &node.log_path(), || {
        let text = shown.lock().expect("no panic").clone();
        if text.contains("name: last\n") && text.ends_with(&newest) { Ok(()) } else { Err(text) }
    });
    // Stopping the daemon ends the watch.
    assert!(daemon.stop().success());
    watch.wait().expect("it ends");
    reader.join().expect("it read");
    let text = shown.lock().expect("no panic").clone();
    let shown: Vec<&str> = text.split("\n---\n").map(str::trim_end).collect();
    assert_eq!(shown.last().copied(), Some(newest.trim_end()), "the newest comes last");
    for pair in shown.windows(2) {
        assert_ne!(pair[0], pair[1], "nothing is shown twice in a row");
    }
    for document in shown {
        assert!(document.contains("kind: Router") && document.contains("lan0"), "{document}");
    }
}
