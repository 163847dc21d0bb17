//! Manifests come and go while the daemon runs; each change shows at once and disturbs nothing else.

use serde_json::{Value, json};

use crate::harness::{Daemon, Node, group, opaque, plugin, subscription, wg_interface};

const PARTS_OF: [&str; 2] = ["192.0.2.1/32", "192.0.2.2/32"];

/// A node with two parts from a plugin that counts its runs, and bystanders in files of their own.
fn busy_node() -> (Node, Daemon) {
    let node = Node::new();
    let counted = node.counted_plugin("");
    node.write(
        "base.yaml",
        &[group(), plugin("p", &counted, ""), subscription("s", "p", "[seen]", "")].join("---\n"),
    );
    node.write("bystander.yaml", &wg_interface("bystander", 1400));
    let daemon = node.serve();
    for subject in PARTS_OF {
        node.emit(subject, "seen", subject);
    }
    node.converge();
    assert_eq!((node.parts().len(), node.runs().len()), (2, 2));
    (node, daemon)
}

/// What must stay as it is, whatever happens elsewhere.
#[derive(Debug, PartialEq)]
struct Undisturbed {
    objects: Vec<(Value, Value, Value)>,
    parts: Vec<Value>,
    runs: usize,
}

fn undisturbed(node: &Node) -> Undisturbed {
    let objects = [
        ("EventGroup", "edge"),
        ("Plugin", "p"),
        ("EventSubscription", "s"),
        ("WireGuardInterface", "bystander"),
    ];
    Undisturbed {
        objects: objects
            .map(|(kind, name)| {
                let object = node.get(kind, name);
                let meta = &object["metadata"];
                (meta["uid"].clone(), meta["generation"].clone(), object["spec"].clone())
            })
            .to_vec(),
        parts: node.parts(),
        runs: node.runs().len(),
    }
}

fn generation(object: &Value) -> Option<u64> {
    object["metadata"]["generation"].as_u64()
}

#[test]
fn a_manifest_is_dropped_in_edited_broken_repaired_renamed_and_deleted() {
    let (node, _daemon) = busy_node();
    let before = undisturbed(&node);

    node.write("wg.yaml", &wg_interface("wg0", 1420));
    let dropped = node.soon_object("a manifest dropped in", "WireGuardInterface", "wg0", |o| {
        generation(o) == Some(1)
    });
    let uid = dropped["metadata"]["uid"].clone();

    node.write("wg.yaml", &wg_interface("wg0", 1380));
    let edited =
        node.soon_object("its edit", "WireGuardInterface", "wg0", |o| o["spec"]["mtu"] == 1380);
    assert_eq!((generation(&edited), &edited["metadata"]["uid"]), (Some(2), &uid));

    node.write("wg.yaml", &wg_interface("wg0", 1380).replace("mtu:", "mtuu:"));
    let problems = node.soon_problems("its breakage", |p| !p.is_empty());
    assert_eq!((&problems[0]["line"], &problems[0]["inForce"]), (&json!(5), &json!(true)));
    let kept = node.soon_object("its broken condition", "WireGuardInterface", "wg0", |o| {
        o["status"]["conditions"].as_array().is_some_and(|all| {
            all.iter().any(|c| c["message"].as_str().is_some_and(|m| m.contains("wg.yaml:5:")))
        })
    });
    assert_eq!((&kept["spec"]["mtu"], generation(&kept)), (&json!(1380), Some(2)));

    node.write("wg.yaml", &wg_interface("wg0", 1300));
    let repaired =
        node.soon_object("its repair", "WireGuardInterface", "wg0", |o| o["spec"]["mtu"] == 1300);
    assert_eq!((generation(&repaired), &repaired["metadata"]["uid"]), (Some(3), &uid));
    node.soon_problems("no problems left", <[Value]>::is_empty);

    std::fs::rename(node.conf("wg.yaml"), node.conf("renamed.yaml")).expect("rename");
    let renamed = node.soon_object("its new file", "WireGuardInterface", "wg0", |o| {
        o["status"]["source"]["file"].as_str().is_some_and(|f| f.ends_with("/renamed.yaml"))
    });
    assert_eq!((generation(&renamed), &renamed["metadata"]["uid"]), (Some(3), &uid));

    node.remove("renamed.yaml");
    node.soon_object("its deletion", "WireGuardInterface", "wg0", Value::is_null);
    node.converge();
    assert!(node.effective().iter().all(|r| r["metadata"]["name"] != "wg0"));

    assert_eq!(undisturbed(&node), before);
}

#[test]
fn one_resource_of_a_router_is_broken_and_repaired_and_the_others_stay() {
    let (node, _daemon) = busy_node();
    let router = |mtu: &str| {
        let indent =
            |text: String| format!("      {}\n", text.trim_end().replace('\n', "\n      "));
        let mut text = "apiVersion: routerd.net/v1alpha1\nkind: Router\nmetadata: {name: r}\nspec:\n  resources:\n".to_owned();
        for n in 0..40 {
            let resource = if n == 20 {
                wg_interface("wg20", 1420).replace("mtu: 1420", mtu)
            } else {
                opaque(&format!("eth{n}"))
            };
            text.push_str(&indent(resource).replacen("      ", "    - ", 1));
        }
        text
    };
    node.write("router.yaml", &router("mtu: 1420"));
    node.soon_object("the Router", "Interface", "eth39", |o| !o.is_null());
    node.converge();
    let before = undisturbed(&node);
    let others = node.ctl("get Interface -o json").json();
    assert_eq!(others.as_array().map(Vec::len), Some(39));
    let good = node.get("WireGuardInterface", "wg20");

    node.write("router.yaml", &router("mtu: plenty"));
    let problems = node.soon_problems("one broken resource", |p| !p.is_empty());
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(problems[0]["object"]["name"], "wg20");
    assert_eq!(problems[0]["inForce"], true);
    let text = node.ctl("status").exits(0).stdout;
    assert!(
        text.contains(&format!("router.yaml:{}:{}", problems[0]["line"], problems[0]["column"])),
        "{text}"
    );
    assert_eq!(node.get("WireGuardInterface", "wg20")["spec"], good["spec"]);
    assert_eq!(node.ctl("get Interface -o json").json(), others);
    assert!(node.effective().iter().any(|r| r["metadata"]["name"] == "wg20"));

    node.write("router.yaml", &router("mtu: 1280"));
    let repaired =
        node.soon_object("its repair", "WireGuardInterface", "wg20", |o| o["spec"]["mtu"] == 1280);
    assert_eq!(repaired["metadata"]["uid"], good["metadata"]["uid"]);
    node.soon_problems("no problems left", <[Value]>::is_empty);
    assert_eq!(node.ctl("get Interface -o json").json(), others);
    assert_eq!(undisturbed(&node), before);
}

#[test]
fn a_resource_taken_out_of_a_file_goes_once_the_file_has_been_quiet() {
    let (node, _daemon) = busy_node();
    let before = undisturbed(&node);
    let both = format!("{}---\n{}", wg_interface("stays", 1400), wg_interface("goes", 1400));
    node.write("two.yaml", &both);
    let stays = node.soon_object("both", "WireGuardInterface", "stays", |o| !o.is_null());
    node.soon_object("both", "WireGuardInterface", "goes", |o| !o.is_null());
    node.write("two.yaml", &wg_interface("stays", 1400));
    node.soon_object(
        "the removal from inside a file",
        "WireGuardInterface",
        "goes",
        Value::is_null,
    );
    let still = node.get("WireGuardInterface", "stays");
    assert_eq!(still["metadata"], stays["metadata"]);
    assert_eq!(undisturbed(&node), before);
}

#[test]
fn a_file_that_is_half_yaml_deletes_nothing() {
    let (node, _daemon) = busy_node();
    let both = format!("{}---\n{}", wg_interface("first", 1400), wg_interface("second", 1400));
    node.write("two.yaml", &both);
    node.soon_object("both", "WireGuardInterface", "second", |o| !o.is_null());
    node.write("two.yaml", &format!("{}---\n{{ not yaml: [\n", wg_interface("first", 1300)));
    let problems = node.soon_problems("the file that is not YAML", |p| !p.is_empty());
    assert_eq!(problems[0]["kind"], "NotYaml");
    // What stands before the damage is read; what may stand behind it is kept, also by a wait
    // that outlasts every settling time.
    node.soon_object("the readable half", "WireGuardInterface", "first", |o| {
        o["spec"]["mtu"] == 1300
    });
    node.converge();
    assert_eq!(node.get("WireGuardInterface", "second")["spec"]["mtu"], 1400);
}

#[test]
fn a_broken_state_survives_a_restart_and_the_last_good_version_with_it() {
    let (node, daemon) = busy_node();
    node.write("wg.yaml", &wg_interface("wg0", 1420));
    let good = node.soon_object("a manifest", "WireGuardInterface", "wg0", |o| !o.is_null());
    node.write("wg.yaml", &wg_interface("wg0", 1420).replace("mtu:", "mtuu:"));
    // And one that was never good.
    node.write("never.yaml", &wg_interface("never", 1420).replace("spec:", "spce:"));
    let broken = node.soon_problems("the breakage", |p| p.len() == 2);
    let before = undisturbed(&node);

    assert!(daemon.stop().success());
    let _daemon = node.serve();
    node.converge();
    assert_eq!(undisturbed(&node), before);
    let after = node.soon_problems("the breakage again", |p| p.len() == 2);
    let place = |p: &Value| {
        (p["file"].clone(), p["line"].clone(), p["column"].clone(), p["inForce"].clone())
    };
    assert_eq!(
        after.iter().map(place).collect::<Vec<_>>(),
        broken.iter().map(place).collect::<Vec<_>>()
    );
    let kept = node.get("WireGuardInterface", "wg0");
    assert_eq!((&kept["metadata"], &kept["spec"]), (&good["metadata"], &good["spec"]));
    assert!(node.effective().iter().any(|r| r["metadata"]["name"] == "wg0"));

    node.write("wg.yaml", &wg_interface("wg0", 1300));
    let repaired =
        node.soon_object("its repair", "WireGuardInterface", "wg0", |o| o["spec"]["mtu"] == 1300);
    assert_eq!(repaired["metadata"]["uid"], good["metadata"]["uid"]);
    assert_eq!(undisturbed(&node), before);
}

#[test]
fn a_deletion_made_while_the_daemon_was_down_is_seen_at_its_start() {
    let (node, daemon) = busy_node();
    node.write("wg.yaml", &wg_interface("wg0", 1420));
    node.soon_object("a manifest", "WireGuardInterface", "wg0", |o| !o.is_null());
    let before = undisturbed(&node);
    assert!(daemon.stop().success());
    node.remove("wg.yaml");
    let _daemon = node.serve();
    node.soon_object("its absence", "WireGuardInterface", "wg0", Value::is_null);
    assert_eq!(undisturbed(&node), before);
}

#[test]
fn the_same_object_twice_is_shadowed_and_takes_over_when_the_first_goes() {
    let (node, _daemon) = busy_node();
    node.write("a.yaml", &wg_interface("wg0", 1300));
    node.soon_object("the first", "WireGuardInterface", "wg0", |o| o["spec"]["mtu"] == 1300);
    node.write("b.yaml", &wg_interface("wg0", 1400));
    let problems = node.soon_problems("the second is shadowed", |p| !p.is_empty());
    assert_eq!(problems[0]["kind"], "Shadowed");
    assert!(problems[0]["file"].as_str().is_some_and(|f| f.ends_with("/b.yaml")), "{problems:#?}");
    node.remove("a.yaml");
    node.soon_object("the second takes over", "WireGuardInterface", "wg0", |o| {
        o["spec"]["mtu"] == 1400
    });
    node.soon_problems("no problems left", <[Value]>::is_empty);
}

#[test]
fn a_subscription_that_is_deleted_takes_its_parts_with_it_and_a_new_one_has_another_uid() {
    let (node, _daemon) = busy_node();
    let extra = subscription("extra", "p", "[seen]", "");
    node.write("extra.yaml", &extra);
    node.converge();
    assert_eq!(node.parts().len(), 4);
    let uid = node.get("EventSubscription", "extra")["metadata"]["uid"].clone();
    node.remove("extra.yaml");
    node.soon_object("its deletion", "EventSubscription", "extra", Value::is_null);
    node.converge();
    let left = node.parts();
    assert!(left.iter().all(|p| p["spec"]["source"] == "EventSubscription/s"), "{left:#?}");
    node.write("extra.yaml", &extra);
    node.converge();
    assert_ne!(node.get("EventSubscription", "extra")["metadata"]["uid"], uid);
    assert_eq!(node.parts().len(), 4);
}

#[test]
fn a_member_of_spec_that_two_routers_have_is_reported_and_told_on_the_second() {
    let node = Node::new();
    let router = |name: &str, host: &str| {
        format!(
            "apiVersion: routerd.net/v1alpha1\nkind: Router\nmetadata: {{name: {name}}}\n\
             spec: {{hostname: {host}, version: 1, resources: []}}\n"
        )
    };
    node.write("a.yaml", &router("first", "one"));
    node.write("b.yaml", &router("second", "two"));
    let _daemon = node.serve();
    node.converge();
    let report = node.ctl("render --report -o json").json();
    let problems = report["startupProblems"].as_array().cloned().unwrap_or_default();
    assert_eq!(problems.len(), 1, "the same value twice is no conflict: {report:#}");
    assert_eq!(problems[0]["reason"], "MemberConflict");
    let conflicted = |object: &Value| object["status"]["conditions"].to_string().contains("a.yaml");
    node.soon_object("the condition", "Router", "second", |o| {
        conflicted(o) && o["status"]["conditions"].to_string().contains("Conflicted")
    });
    node.remove("a.yaml");
    node.soon_object("its end", "Router", "second", |o| !o.is_null() && !conflicted(o));
}
