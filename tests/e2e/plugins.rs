//! Plugins that come late, change, or propose what they may not.

use serde_json::Value;

use crate::harness::{Node, claim_plugin, group, opaque, plugin, subscription, wait_for};

#[test]
fn a_plugin_installed_late_makes_up_for_all_that_waited() {
    let node = Node::new();
    let path = node.path("bin/late");
    node.write(
        "all.yaml",
        &[
            group(),
            plugin("late", &path, ""),
            subscription("s", "late", "[seen]", ", retry: {maxAttempts: 1}"),
        ]
        .join("---\n"),
    );
    let _daemon = node.serve();
    for n in 1..=5 {
        node.emit(&format!("e{n}"), "seen", &format!("192.0.2.{n}/32"));
    }
    node.converge();
    let status = node.status();
    assert_eq!(status["plugins"][0]["ready"], false, "{status:#}");
    let message = status["plugins"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("bin/late"), "{message}");
    assert_eq!(status["subscriptions"][0]["deadLettered"], 0, "a missing plugin was not tried");
    assert!(status["notices"].to_string().contains("late"), "{}", status["notices"]);

    node.install(&claim_plugin(), "late");
    wait_for("all five parts", &node.log_path(), || {
        let parts = node.parts();
        if parts.len() == 5 {
            Ok(())
        } else {
            Err(format!("{} parts, {:#}", parts.len(), node.status()))
        }
    });
    node.converge();
    let status = node.status();
    assert_eq!(status["plugins"][0]["ready"], true);
    assert_eq!(status["subscriptions"][0]["deadLettered"], 0);
}

#[test]
fn an_executable_that_anyone_may_change_is_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::new();
    let path = node.counted_plugin("");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("mode");
    node.write(
        "all.yaml",
        &[group(), plugin("open", &path, ""), subscription("s", "open", "[seen]", "")]
            .join("---\n"),
    );
    let _daemon = node.serve();
    node.emit("one", "seen", "a");
    node.converge();
    assert_eq!(node.runs().len(), 0);
    let status = node.status();
    let message = status["plugins"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("chmod o-w"), "{message}");
}

#[test]
fn changed_arguments_run_again_and_a_changed_timeout_does_not() {
    let node = Node::new();
    let path = node.counted_plugin("");
    let manifest = |more: &str| {
        [group(), plugin("p", &path, more), subscription("s", "p", "[seen]", "")].join("---\n")
    };
    node.write("all.yaml", &manifest(""));
    let _daemon = node.serve();
    node.emit("one", "seen", "192.0.2.1/32");
    node.converge();
    node.write("all.yaml", &manifest("timeout: 20s\nconcurrency: 3"));
    node.converge();
    assert_eq!(node.runs().len(), 1);
    node.write("all.yaml", &manifest("env: {SIDE: cloud}"));
    node.converge();
    let runs = node.runs();
    assert_eq!(runs.len(), 2);
    assert_ne!(runs[0], runs[1]);
}

#[test]
fn a_plugin_sees_only_its_own_environment() {
    let node = Node::new();
    let seen = node.path("environment");
    let program = node.install(&claim_plugin(), "claim");
    let body = format!("env > {}\nexec {}", seen.display(), program.display());
    let path = node.script("nosy", &body);
    node.write(
        "all.yaml",
        &[
            group(),
            plugin("nosy", &path, "env: {GREETING: hello}"),
            subscription("s", "nosy", "[seen]", ""),
        ]
        .join("---\n"),
    );
    let _daemon = node.serve();
    node.emit("one", "seen", "a");
    node.converge();
    let environment = std::fs::read_to_string(&seen).expect("the plugin ran");
    let names: Vec<&str> =
        environment.lines().filter_map(|l| l.split_once('=')).map(|(n, _)| n).collect();
    for name in &names {
        // The shell sets the last three itself.
        let known = [
            "PATH",
            "GREETING",
            "ROUTERD_RUN_KEY",
            "ROUTERD_PLUGIN_NAME",
            "TRACEPARENT",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
        ];
        assert!(known.contains(name), "{name} leaked: {environment}");
    }
    assert!(names.contains(&"GREETING") && names.contains(&"ROUTERD_RUN_KEY"), "{environment}");
}

#[test]
fn what_startup_says_wins_over_what_a_plugin_proposes() {
    let node = Node::new();
    let proposal = r#"{"apiVersion":"plugin.routerd.net/v1alpha1","kind":"PluginResult","status":{"ttl":"30m","resources":[{"apiVersion":"net.routerd.net/v1alpha1","kind":"Interface","metadata":{"name":"lan0"},"spec":{"ifname":"evil"}},{"apiVersion":"net.routerd.net/v1alpha1","kind":"Interface","metadata":{"name":"lan1"},"spec":{"ifname":"fine"}}]}}"#;
    let path = node.script("proposes", &format!("cat >/dev/null\necho '{proposal}'"));
    node.write(
        "all.yaml",
        &[
            group(),
            opaque("lan0"),
            plugin(
                "proposes",
                &path,
                "produces: [{apiVersion: net.routerd.net/v1alpha1, kind: Interface}]",
            ),
            subscription("s", "proposes", "[seen]", ""),
        ]
        .join("---\n"),
    );
    let _daemon = node.serve();
    node.emit("one", "seen", "a");
    node.converge();
    let interfaces: Vec<Value> =
        node.effective().into_iter().filter(|r| r["kind"] == "Interface").collect();
    assert_eq!(interfaces.len(), 2, "{interfaces:#?}");
    assert_eq!(interfaces[0]["spec"]["ifname"], "lan0");
    assert_eq!(interfaces[0]["metadata"]["annotations"], Value::Null);
    assert_eq!(interfaces[1]["metadata"]["annotations"]["routerd.net/event-id"], "one");
    assert!(node.ctl("render --report").exits(0).stdout.contains("lan0"));
}

#[test]
fn a_wall_that_cannot_be_put_up_keeps_a_plugin_from_running_until_the_line_goes() {
    let node = Node::new();
    let path = node.counted_plugin("");
    let manifest = |sandbox: &str| {
        let more = format!("sandbox: {{{sandbox}}}");
        [group(), plugin("p", &path, &more), subscription("s", "p", "[seen]", "")].join("---\n")
    };
    let sandboxed = || {
        let conditions = node.get("plugin", "p")["status"]["conditions"].clone();
        let all = conditions.as_array().cloned().unwrap_or_default();
        all.into_iter().find(|c| c["type"] == "Sandboxed").expect("the condition is there")
    };
    // Without a user there is nothing to count by, on every machine.
    node.write("all.yaml", &manifest("memory: 4Gi, processes: 64"));
    let _daemon = node.serve();
    node.emit("one", "seen", "192.0.2.1/32");
    node.converge();
    assert_eq!(node.runs().len(), 0);
    let told = sandboxed();
    assert_eq!((&told["status"], &told["reason"]), (&"False".into(), &"NotAvailable".into()));
    let message = told["message"].as_str().unwrap_or_default();
    assert!(message.contains("memory is enforced"), "{message}");
    assert!(message.contains("processes is not available"), "{message}");
    let plugins = &node.status()["plugins"];
    assert_eq!(plugins[0]["reason"], "SandboxNotAvailable", "{plugins:#}");
    assert_eq!(plugins[0]["runs"]["total"], 0, "{plugins:#}");
    assert_ne!(plugins[0]["runs"]["hostFailures"], 0, "{plugins:#}");

    node.write("all.yaml", &manifest("memory: 4Gi"));
    node.converge();
    assert_eq!(node.runs().len(), 1);
    assert_eq!(sandboxed()["status"], "True");
    let plugins = &node.status()["plugins"];
    assert_eq!(plugins[0]["runs"]["outcomes"]["Succeeded"], 1, "{plugins:#}");
    assert!(node.ctl("describe plugin p").exits(0).stdout.contains("Succeeded"));
}

#[test]
fn plugin_lock_prints_the_line_that_pins_an_executable() {
    let node = Node::new();
    let path = node.counted_plugin("");
    let manifest = |more: &str| {
        [group(), plugin("p", &path, more), subscription("s", "p", "[seen]", "")].join("---\n")
    };
    node.write("all.yaml", &manifest(""));
    let _daemon = node.serve();
    let printed = node.ctl("plugin lock p").exits(0).stdout;
    let line = printed.lines().find(|line| line.trim().starts_with("sha256: ")).expect("a pin");
    node.write("all.yaml", &manifest(line.trim()));
    // The pin is part of what makes a run: an event that comes before it would run twice.
    node.converge();
    node.emit("one", "seen", "192.0.2.1/32");
    node.converge();
    assert_eq!(node.runs().len(), 1, "the pinned bytes are run");
    assert!(node.ctl("plugin lock").exits(0).stdout.contains("pinned so already"));

    node.write("all.yaml", &manifest(&format!("sha256: {}", "0".repeat(64))));
    node.converge();
    node.emit("two", "seen", "192.0.2.2/32");
    node.converge();
    assert_eq!(node.runs().len(), 1);
    let plugins = &node.status()["plugins"];
    assert_eq!(plugins[0]["reason"], "DigestMismatch", "{plugins:#}");
    let message = plugins[0]["message"].as_str().unwrap_or_default();
    let pin = line.trim().trim_start_matches("sha256: ");
    assert!(message.contains(pin) && message.contains(&"0".repeat(64)), "{message}");
    assert!(node.ctl("plugin lock p").exits(0).stdout.contains("another digest is pinned"));

    let by_path = node.ctl(&format!("plugin lock {} -o json", path.display())).exits(0).json();
    assert_eq!(by_path[0]["sha256"], pin);
    node.ctl("plugin lock /no/such/program").exits(1);
}
