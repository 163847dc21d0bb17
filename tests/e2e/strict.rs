//! Manifests with mistakes: what is refused, and how it is said.

use crate::harness::{Node, opaque};

#[test]
fn a_misspelt_field_is_named_with_file_line_column_and_the_nearest_field() {
    let node = Node::of_the_guide();
    let text = std::fs::read_to_string(node.conf("router.yaml")).expect("manifest");
    node.write("router.yaml", &text.replace("persistentKeepalive:", "persistentKeepAlive:"));
    let line =
        1 + text.lines().position(|l| l.contains("persistentKeepalive")).expect("it is there");
    let column = 1 + text.lines().nth(line - 1).and_then(|l| l.find("persistent")).expect("there");
    let _daemon = node.serve();

    let status = node.status();
    let problem = &status["config"]["problems"][0];
    assert_eq!(problem["file"], node.conf("router.yaml").to_str().expect("UTF-8"));
    assert_eq!(
        (problem["line"].as_u64(), problem["column"].as_u64()),
        (Some(line as u64), Some(column as u64))
    );
    assert!(
        problem["hint"].as_str().is_some_and(|h| h.contains("persistentKeepalive")),
        "{problem:#}"
    );
    assert_eq!(problem["object"]["name"], "onprem-main");

    let place = format!("{}:{line}:{column}", node.conf("router.yaml").display());
    let text = node.ctl("status").exits(0).stdout;
    assert!(text.contains(&place), "{text}");
    let said = node.ctl("validate").exits(4);
    assert!(
        said.stdout.contains(&place) && said.stdout.contains("persistentKeepalive"),
        "{}",
        said.stdout
    );
    // The other resources of the same Router are in force.
    assert_eq!(node.get("EventGroup", "cloudedge")["metadata"]["generation"], 1);
}

#[test]
fn kinds_that_routerd_does_not_know_are_rendered_verbatim() {
    let node = Node::new();
    let resources = "    - apiVersion: net.routerd.net/v1alpha1
      kind: Interface
      metadata:
        name: lan0
        labels: {zone: \"1\"}
      spec:
        ifname: eth1
        mtu: 1500
        addresses: [192.0.2.1/24, \"2001:db8::1/64\"]
        adminUp: on
    - apiVersion: net.routerd.net/v1alpha1
      kind: IPv4Route
      metadata:
        name: default
      spec:
        destination: 0.0.0.0/0
        via: 192.0.2.254
        nested: {a: [1, 2.5, null, {b: ~}], empty: {}, text: '007'}
";
    let router = format!(
        "apiVersion: routerd.net/v1alpha1\nkind: Router\nmetadata:\n  name: r1\nspec:\n  \
         reconcile: {{interval: 30s}}\n  resources:\n{resources}"
    );
    node.write("router.yaml", &router);
    let _daemon = node.serve();
    let rendered: serde_json::Value =
        serde_yaml::from_str(&node.ctl("render").exits(0).stdout).expect("YAML");
    let written: serde_json::Value = serde_yaml::from_str(&router).expect("YAML");
    assert_eq!(rendered, written);
    assert_eq!(node.ctl("render -o json").json(), written);
    let interface = node.get("Interface", "lan0");
    let typed = interface["status"]["conditions"].as_array().expect("conditions");
    assert!(typed.iter().any(|c| c["type"] == "Typed" && c["status"] == "False"), "{interface:#}");
}

#[test]
fn a_subscription_without_types_is_refused_however_it_is_written() {
    let node = Node::new();
    let subscription = |name: &str, matches: &str| {
        format!(
            "apiVersion: federation.routerd.net/v1alpha1\nkind: EventSubscription\n\
             metadata: {{name: {name}}}\nspec:\n  groupRef: g\n{matches}  trigger: {{pluginRef: p}}\n"
        )
    };
    let cases = [
        ("no-match", ""),
        ("no-types", "  match: {subjectPrefixes: [a]}\n"),
        ("null-types", "  match: {types: null}\n"),
        ("empty-types", "  match: {types: []}\n"),
        ("blank-type", "  match: {types: [a, \"  \"]}\n"),
        ("empty-type", "  match: {types: [\"\"]}\n"),
    ];
    for (name, matches) in cases {
        node.write(&format!("{name}.yaml"), &subscription(name, matches));
    }
    let _daemon = node.serve();
    let status = node.status();
    let problems = status["config"]["problems"].as_array().expect("problems");
    for (name, _) in cases {
        let said = problems.iter().any(|p| {
            p["object"]["name"] == name
                && p["inForce"] == false
                && format!("{} {}", p["path"], p["message"]).contains("match")
        });
        assert!(said, "{name}: {problems:#?}");
    }
    node.ctl("get EventSubscription").exits(0);
    assert_eq!(node.ctl("get EventSubscription -o json").json(), serde_json::json!([]));
}

#[test]
fn a_kind_within_two_letters_of_a_known_one_is_a_mistake_and_not_opaque() {
    let node = Node::new();
    node.write("a.yaml", &opaque("fine").replace("kind: Interface", "kind: WireGuardInterfce"));
    node.write("b.yaml", &opaque("fine"));
    let _daemon = node.serve();
    let problems = node.status()["config"]["problems"].clone();
    assert_eq!(problems.as_array().map(Vec::len), Some(1), "{problems:#}");
    assert!(
        problems[0]["hint"].as_str().is_some_and(|h| h.contains("WireGuardInterface")),
        "{problems:#}"
    );
    node.get("Interface", "fine");
}
