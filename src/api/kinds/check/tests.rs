//! One row per rule: what is written, and the exact complaint.

use crate::api::kinds::decode::decode_resource;
use crate::api::kinds::registry::KINDS;
use crate::api::yaml::{Limits, parse_documents};

/// The complaints about a spec, which begins on line 5, column 3.
fn complaints(kind: &str, spec: &str) -> Vec<String> {
    let info = KINDS.iter().find(|info| info.kind == kind).expect("a known Kind");
    let mut text =
        format!("apiVersion: {}\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n", info.api_version);
    for line in spec.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    let documents = parse_documents(text.as_bytes(), &Limits::default());
    assert_eq!(documents.error, None, "{text}");
    match decode_resource(&documents.docs[0], "") {
        Ok(_) => Vec::new(),
        Err(rejected) => rejected.problems.iter().map(ToString::to_string).collect(),
    }
}

fn accepts(kind: &str, specs: &[&str]) {
    for spec in specs {
        assert_eq!(complaints(kind, spec), Vec::<String>::new(), "{spec}");
    }
}

/// Each row: a spec, and its complaints, one a line.
fn refuses(kind: &str, rows: &[(&str, &str)]) {
    for (spec, expected) in rows {
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!(complaints(kind, spec), expected, "{spec}");
    }
}

#[test]
fn event_groups() {
    accepts(
        "EventGroup",
        &[
            "nodeName: cloud-router",
            "nodeName: n\nlisten: {address: 'fd00::1', port: 8787}\nauth: {mode: none}",
            "nodeName: n\nauth: {secretFile: /s, secretRef: /s}",
            "nodeName: n\nauth: {secretFile: /s, secretRef: ''}",
        ],
    );
    refuses(
        "EventGroup",
        &[
            ("nodeName: ''", "5:13: spec.nodeName: must not be empty"),
            ("nodeName: ' n'", "5:13: spec.nodeName: \" n\" begins or ends with white space"),
            ("nodeName: \"a\\tb\"", "5:13: spec.nodeName: \"a\\tb\" holds a control character"),
            (
                "nodeName: n\nretention: {maxEvents: 0, maxAge: 10ms}",
                "6:26: spec.retention.maxEvents: expected 1 or more, found 0\n\
                 6:37: spec.retention.maxAge: expected 1s or more, found 10ms",
            ),
            (
                "nodeName: n\nretention: {maxAge: 900000h}",
                "6:23: spec.retention.maxAge: expected 0s to 87600h0m0s, found 900000h0m0s",
            ),
            (
                "nodeName: n\nlimits: {maxLiveFacts: 0}",
                "6:26: spec.limits.maxLiveFacts: expected 1 or more, found 0",
            ),
            (
                "nodeName: n\nlisten: {address: 'localhost', port: 0}",
                "6:21: spec.listen.address: \"localhost\" is not an IP address (the address of \
                 the tunnel that peers come through, without a port)\n\
                 6:40: spec.listen.port: expected 1 to 65535, found 0",
            ),
            (
                "nodeName: n\nlisten: {address: 10.0.0.1, port: 1, tls: {certFile: '', keyFile: k}}",
                "6:56: spec.listen.tls.certFile: must not be empty",
            ),
            (
                "nodeName: n\nauth: {secretFile: /a, secretRef: /b}",
                "6:37: spec.auth.secretRef: is another file than secretFile (both name the one \
                 secret of the group; keep one of them)",
            ),
            (
                "nodeName: n\nreplayWindow: 0",
                "6:17: spec.replayWindow: expected more than 0s, found 0s",
            ),
        ],
    );
    let long = format!("nodeName: {}", "n".repeat(513));
    refuses("EventGroup", &[(&long, "5:13: spec.nodeName: 513 bytes, at most 512")]);
}

#[test]
fn event_peers() {
    let with = |more: &str| format!("groupRef: g\nnodeName: n\n{more}");
    for endpoint in [
        "http://169.254.110.2:8787",
        "https://edge.example.net",
        "HTTP://[fd00::2]:8787/",
        "https://[fd00::2]",
    ] {
        accepts("EventPeer", &[&with(&format!("endpoint: '{endpoint}'"))]);
    }
    accepts(
        "EventPeer",
        &[
            &with("direction: receive"),
            &with("direction: receive\nendpoint: ''"),
            &with("direction: receive\nauth: {secretFiles: [/a, /b]}\nrate: {perSecond: 0.5}"),
        ],
    );
    let like = "write it like http://169.254.110.2:8787";
    let either = format!("{like} or http://[fd00::2]:8787");
    for (endpoint, complaint) in [
        ("edge:8787", format!("\"edge:8787\" is not a URL ({like})")),
        ("ftp://edge", "expected http or https, found \"ftp\"".to_owned()),
        (
            "http://u:secret@edge",
            "holds credentials (name the file of the secret in auth.secretFile)".to_owned(),
        ),
        (
            "http://edge:8787/v1/events",
            "\"http://edge:8787/v1/events\" has more than a host and a port (write \
             http://edge:8787)"
                .to_owned(),
        ),
        (
            "http://edge?x=1",
            "\"http://edge?x=1\" has more than a host and a port (write http://edge)".to_owned(),
        ),
        ("http://", format!("\"\" is not a host with a port ({either})")),
        ("http://edge:0", format!("\"edge:0\" is not a host with a port ({either})")),
        ("http://edge:99999", format!("\"edge:99999\" is not a host with a port ({either})")),
        ("http://fd00::2:8787", format!("\"fd00::2:8787\" is not a host with a port ({either})")),
        ("http://[fd00::2]x", format!("\"[fd00::2]x\" is not a host with a port ({either})")),
        ("http://a b", format!("\"a b\" is not a host with a port ({either})")),
    ] {
        let spec = with(&format!("endpoint: '{endpoint}'"));
        refuses("EventPeer", &[(&spec, &format!("7:13: spec.endpoint: {complaint}"))]);
    }
    refuses(
        "EventPeer",
        &[
            (
                "groupRef: ' '\nnodeName: n\ndirection: receive",
                "5:13: spec.groupRef: must not be empty",
            ),
            (
                &with(""),
                &format!(
                    "5:3: spec: missing field \"endpoint\": where to push events to ({like}, or \
                     direction: receive)"
                ),
            ),
            (
                &with("direction: receive\ntypes: [a, '']\nsubjectPrefixes: [' ']"),
                "8:14: spec.types[1]: must not be empty\n\
                 9:21: spec.subjectPrefixes[0]: must not be empty",
            ),
            (
                &with("direction: receive\nauth: {secretFile: /a, secretFiles: [/a, /b, /c]}"),
                "8:39: spec.auth.secretFiles: stands beside secretFile (keep one of them)\n\
                 8:39: spec.auth.secretFiles: 3 files, at most 2 (the one in use and the one that \
                 follows it)",
            ),
            (
                &with("direction: receive\ntls: {certFile: /c}"),
                "8:8: spec.tls: missing field \"keyFile\": the key of certFile",
            ),
            (
                &with("direction: receive\ntls: {keyFile: /c}"),
                "8:8: spec.tls: missing field \"certFile\": the certificate of keyFile",
            ),
            (
                &with("direction: receive\nrate: {perSecond: 0, burst: 0}"),
                "8:21: spec.rate.perSecond: expected more than 0, found 0\n\
                 8:31: spec.rate.burst: expected 1 or more, found 0",
            ),
        ],
    );
}

#[test]
fn a_subscription_must_name_its_types() {
    let why = "a subscription must name its types; it never matches every event";
    let way = "(write match.types: [routerd.client.ipv4.observed])";
    let with = |matching: &str| format!("groupRef: g\ntrigger: {{pluginRef: p}}\n{matching}");
    for (matching, expected) in [
        ("", format!("5:3: spec.match.types: {why} {way}")),
        ("match:", format!("7:3: spec.match.types: {why} {way}")),
        ("match: {}", format!("7:10: spec.match.types: {why} {way}")),
        ("match: {types: }", format!("7:11: spec.match.types: {why} {way}")),
        ("match: {types: []}", format!("7:18: spec.match.types: {why} {way}")),
        (
            "match: {types: [t, ' ']}",
            format!("7:22: spec.match.types[1]: must not be empty ({why})"),
        ),
    ] {
        refuses("EventSubscription", &[(&with(matching), &expected)]);
    }
}

#[test]
fn event_subscriptions() {
    let with = |matching: &str, trigger: &str| {
        format!("groupRef: g\nmatch: {{types: [t]{matching}}}\ntrigger: {{pluginRef: p{trigger}}}")
    };
    accepts(
        "EventSubscription",
        &[
            &with(
                ", subjectCIDRs: [10.88.60.0/24, 'fd00::/8', 0.0.0.0/0], retractTypes: [gone]",
                ", batchWindow: 1h, debounce: 0, retry: {maxAttempts: 1, backoff: 1s, maxBackoff: 1s}",
            ),
            &(with("", "") + "\nretire: {grace: 5m}\nsuspend: true"),
        ],
    );
    refuses(
        "EventSubscription",
        &[
            (
                &with(", subjectCIDRs: [10.88.60.9/24]", ""),
                "6:38: spec.match.subjectCIDRs[0]: \"10.88.60.9/24\" has bits set behind the \
                 prefix (the network is 10.88.60.0/24)",
            ),
            (
                &with(", subjectCIDRs: [10.88.60.9]", ""),
                "6:38: spec.match.subjectCIDRs[0]: \"10.88.60.9\" is not a network (one address \
                 is 10.88.60.9/32)",
            ),
            (
                &with(", subjectCIDRs: [lan]", ""),
                "6:38: spec.match.subjectCIDRs[0]: \"lan\" is not a network (write it like \
                 10.0.0.0/24)",
            ),
            (
                &with(", subjectPrefixes: [''], sourceNodes: [' ']", ""),
                "6:41: spec.match.subjectPrefixes[0]: must not be empty\n\
                 6:60: spec.match.sourceNodes[0]: must not be empty",
            ),
            (
                &with(", retractTypes: ['', t]", ""),
                "6:38: spec.match.retractTypes[0]: must not be empty\n\
                 6:42: spec.match.retractTypes[1]: \"t\" is also in types (an event cannot both \
                 make a fact and end it)",
            ),
            (
                &with("", ", batchWindow: 61m, debounce: 2h"),
                "7:40: spec.trigger.batchWindow: expected 0s to 1h0m0s, found 1h1m0s\n\
                 7:55: spec.trigger.debounce: expected 0s to 1h0m0s, found 2h0m0s",
            ),
            (
                &with("", ", retry: {maxAttempts: 0, backoff: 0s}"),
                "7:48: spec.trigger.retry.maxAttempts: expected 1 or more, found 0\n\
                 7:60: spec.trigger.retry.backoff: expected more than 0s, found 0s",
            ),
            (
                &with("", ", retry: {backoff: 10m}"),
                "7:44: spec.trigger.retry.backoff: backoff 10m0s is longer than maxBackoff 5m0s",
            ),
            (
                &with("", ", retry: {maxBackoff: 100ms}"),
                "7:47: spec.trigger.retry.maxBackoff: backoff 1s is longer than maxBackoff 100ms",
            ),
            (
                "groupRef: ''\nmatch: {types: [t]}\ntrigger: {pluginRef: ''}",
                "5:13: spec.groupRef: must not be empty\n\
                 7:24: spec.trigger.pluginRef: must not be empty",
            ),
        ],
    );
}

#[test]
fn plugins() {
    let with = |more: &str| format!("executable: /p\n{more}");
    let digest = "0123456789abcdef".repeat(4);
    accepts(
        "Plugin",
        &[
            &with("env: {DEBUG: 1, PATH: /bin}\ntimeout: 1h\nbatch: {maxEvents: 1000}"),
            &with(&format!("sha256: {digest}\nconcurrency: 64")),
            &with("produces: [{apiVersion: net.routerd.net/v1alpha1, kind: IPv4Route}]"),
            &with("sandbox: {memory: 256Mi, processes: 8, network: none}"),
        ],
    );
    refuses(
        "Plugin",
        &[
            (
                "executable: bin/p",
                "5:15: spec.executable: \"bin/p\" is not absolute (a path begins with /)",
            ),
            (
                "executable: /opt/p/",
                "5:15: spec.executable: \"/opt/p/\" is a directory, not a file",
            ),
            (
                "executable: ''",
                "5:15: spec.executable: \"\" is not absolute (a path begins with /)",
            ),
            ("executable: \"/p\\0\"", "5:15: spec.executable: holds a NUL character"),
            (&with("args: [a, \"b\\0\"]"), "6:13: spec.args[1]: holds a NUL character"),
            (&with("timeout: 0s"), "6:12: spec.timeout: expected more than 0s, found 0s"),
            (&with("timeout: 2h"), "6:12: spec.timeout: expected 0s to 1h0m0s, found 2h0m0s"),
            (
                &with("env: {ROUTERD_RUN_KEY: x}"),
                "6:9: spec.env.ROUTERD_RUN_KEY: ROUTERD_RUN_KEY is set by the daemon (names that \
                 begin with ROUTERD_, and TRACEPARENT, are reserved)",
            ),
            (
                &with("env: {TRACEPARENT: x}"),
                "6:9: spec.env.TRACEPARENT: TRACEPARENT is set by the daemon (names that begin \
                 with ROUTERD_, and TRACEPARENT, are reserved)",
            ),
            (&with("env: {'A=B': x}"), "6:9: spec.env[\"A=B\"]: \"A=B\" is no name of a variable"),
            (&with("env: {'': x}"), "6:9: spec.env[\"\"]: the name of a variable is empty"),
            (&with("env: {A: \"\\0\"}"), "6:12: spec.env.A: holds a NUL character"),
            (
                &with("batch: {maxEvents: 0}\nconcurrency: 65"),
                "6:22: spec.batch.maxEvents: expected 1 to 1000, found 0\n\
                 7:16: spec.concurrency: expected 1 to 64, found 65",
            ),
            (
                &with("sha256: abc"),
                "6:11: spec.sha256: expected 64 hexadecimal digits, found 3 characters (the first \
                 word that sha256sum prints)",
            ),
            (
                &with("produces: [{apiVersion: plugin.routerd.net/v1alpha1, kind: Plugin}]"),
                "6:62: spec.produces[0].kind: a plugin never produces a Plugin (control Kinds are \
                 written by people)",
            ),
            (
                &with("produces: [{apiVersion: hybrid.routerd.net/v1, kind: OverlayPeer}]"),
                "6:27: spec.produces[0].apiVersion: \"hybrid.routerd.net/v1\" has no Kind \
                 \"OverlayPeer\" (write apiVersion: hybrid.routerd.net/v1alpha1)",
            ),
            (
                &with("sandbox: {memory: 256MB, processes: 0}"),
                "6:21: spec.sandbox.memory: \"256MB\" is not a size (write it like 256Mi)\n\
                 6:39: spec.sandbox.processes: expected 1 or more, found 0",
            ),
            (
                &with("capabilities: [propose.dynamicconfig]"),
                "6:18: spec.capabilities[0]: expected one of \"observe.cloud\", \
                 \"observe.events\", \"propose.dynamicConfig\", \"propose.providerAction\", found \
                 \"propose.dynamicconfig\" (did you mean \"propose.dynamicConfig\"?)",
            ),
        ],
    );
    refuses("DynamicConfigSource", &[("pluginRef: ''", "5:14: spec.pluginRef: must not be empty")]);
}

#[test]
fn override_policies() {
    let route = "{apiVersion: net.routerd.net/v1alpha1, kind: IPv4Route, name: r}";
    let with = |source: &str, operations: &str, targets: &str| {
        format!(
            "allow:\n  - source: {source}\n    operations: [{operations}]\n    targets: [{targets}]"
        )
    };
    accepts(
        "DynamicOverridePolicy",
        &["allow: []", &with("EventSubscription/cloud-claims", "mask", route)],
    );
    for source in ["cloud-claims", "Plugin/p", "EventSubscription/", "EventSubscription/A"] {
        let expected = format!(
            "6:15: spec.allow[0].source: {source:?} is not a source (write it like \
             EventSubscription/cloud-claims)"
        );
        refuses("DynamicOverridePolicy", &[(&with(source, "mask", route), &expected)]);
    }
    let control = "{apiVersion: federation.routerd.net/v1alpha1, kind: EventGroup, name: g}";
    let slip = "{apiVersion: hybrid.routerd.net/v1alpha1, kind: HybridRoutes, name: R}";
    refuses(
        "DynamicOverridePolicy",
        &[
            (
                &with("EventSubscription/s", "", ""),
                "7:19: spec.allow[0].operations: names no operation (the only one is mask)\n\
                 8:16: spec.allow[0].targets: names no target (each is an apiVersion, a kind and \
                 a name)",
            ),
            (
                &with("EventSubscription/s", "mask", control),
                "8:69: spec.allow[0].targets[0].kind: EventGroup is never masked",
            ),
            (
                &with("EventSubscription/s", "mask", slip),
                "8:65: spec.allow[0].targets[0].kind: unknown Kind \"HybridRoutes\" (did you mean \
                 \"HybridRoute\"?)\n\
                 8:85: spec.allow[0].targets[0].name: the name \"R\" holds 'R' (a name is a-z, \
                 0-9, '-' and '.', beginning and ending with a letter or digit, 253 bytes at most)",
            ),
        ],
    );
}

#[test]
fn config_outputs() {
    accepts(
        "ConfigOutput",
        &["path: /run/x.yaml\nonChange: {executable: /bin/true, args: [a], timeout: 5s}"],
    );
    refuses(
        "ConfigOutput",
        &[
            ("path: x.yaml", "5:9: spec.path: \"x.yaml\" is not absolute (a path begins with /)"),
            (
                "path: /x\nselect: [{apiVersion: config.routerd.net/v1alpha1, kind: Output}]",
                "6:60: spec.select[0].kind: unknown Kind \"Output\" (Kinds of \
                 config.routerd.net: DynamicOverridePolicy, DynamicConfigPart, ConfigOutput)",
            ),
            (
                "path: /x\nonChange: {executable: true, args: [\"\\0\"], timeout: 0}",
                "6:26: spec.onChange.executable: \"true\" is not absolute (a path begins with /)\n\
                 6:39: spec.onChange.args[0]: holds a NUL character\n\
                 6:55: spec.onChange.timeout: expected more than 0s, found 0s",
            ),
        ],
    );
}

#[test]
fn addresses_that_move() {
    refuses(
        "AddressMobilityDomain",
        &[
            (
                "prefix: 10.88.60.1/24\nmode: selective-address",
                "5:11: spec.prefix: \"10.88.60.1/24\" has bits set behind the prefix (the network \
                 is 10.88.60.0/24)",
            ),
            (
                "prefix: 'fd00::/8'\nmode: selective-address",
                "5:11: spec.prefix: \"fd00::/8\" is not an IPv4 network (write it like \
                 10.0.0.0/24)",
            ),
        ],
    );
    let claim = |address: &str, capture: &str| {
        format!(
            "domainRef: d\naddress: '{address}'\nownerSide: onprem\n\
             capture: {{type: proxy-arp{capture}}}\ndelivery: {{peerRef: p, mode: route}}"
        )
    };
    accepts("RemoteAddressClaim", &[&claim("10.0.0.1/32", ", configureOSAddress: false")]);
    refuses(
        "RemoteAddressClaim",
        &[
            (
                &claim("10.0.0.1", ""),
                "6:12: spec.address: \"10.0.0.1\" is not an IPv4 host (one address is 10.0.0.1/32)",
            ),
            (
                &claim("10.0.0.1/24", ""),
                "6:12: spec.address: \"10.0.0.1/24\" is not an IPv4 host (one address is \
                 10.0.0.1/32)",
            ),
            (
                &claim("fd00::1/128", ""),
                "6:12: spec.address: \"fd00::1/128\" is not an IPv4 host (write it like \
                 10.0.0.1/32)",
            ),
            (
                &claim("10.0.0.1/32", ", configureOSAddress: true"),
                "8:50: spec.capture.configureOSAddress: must be false (the address belongs to a \
                 host on the other side, never to this system)",
            ),
            (
                &claim("10.0.0.1/32", "").replace("mode: route", "mode: nat"),
                "9:32: spec.delivery.mode: expected \"route\", found \"nat\"",
            ),
            (
                &claim("10.0.0.1/32", "")
                    .replace("peerRef: p", "peerRef: ''")
                    .replace("f: d", "f: ''"),
                "5:14: spec.domainRef: must not be empty\n\
                 9:23: spec.delivery.peerRef: must not be empty",
            ),
        ],
    );
}

#[test]
fn both_ends_of_the_overlay() {
    refuses("OverlayPeer", &[("role: cloud\nnodeID: ''", "6:11: spec.nodeID: must not be empty")]);
    refuses(
        "HybridRoute",
        &[
            (
                "destinationCIDRs: []\npeerRef: ''",
                "5:21: spec.destinationCIDRs: names no destination (write it like [10.0.0.0/24])\n\
                 6:12: spec.peerRef: must not be empty",
            ),
            (
                "destinationCIDRs: [10.0.0.1/8]\npeerRef: p",
                "5:22: spec.destinationCIDRs[0]: \"10.0.0.1/8\" has bits set behind the prefix \
                 (the network is 10.0.0.0/8)",
            ),
        ],
    );
    refuses(
        "CloudProviderProfile",
        &[
            (
                "provider: aws\ncapabilities: []\nauth: {mode: external-command, command: ' '}",
                "6:17: spec.capabilities: names no capability (write it like [secondary-ip])\n\
                 7:43: spec.auth.command: must not be empty",
            ),
            (
                "provider: aws\ncapabilities: ['']\nauth: {mode: external-command, command: c}",
                "6:18: spec.capabilities[0]: must not be empty",
            ),
        ],
    );
}

#[test]
fn wireguard() {
    accepts(
        "WireGuardPeer",
        &["interface: wg0\npublicKey: any\nallowedIPs: [10.0.0.1/24, 10.0.0.2, 'fd00::/8']"],
    );
    accepts("WireGuardInterface", &["{}", "privateKeyFile: /k\nprivateKey: ''\nlistenPort: 0"]);
    refuses(
        "WireGuardInterface",
        &[
            (
                "privateKey: s3cret\nprivateKeyFile: /k",
                "6:19: spec.privateKeyFile: stands beside privateKey (keep one of them)",
            ),
            ("mtu: 100", "5:8: spec.mtu: expected 576 to 65535, found 100"),
        ],
    );
    refuses(
        "WireGuardPeer",
        &[
            (
                "interface: ''\npublicKey: ''\nallowedIPs: [lan]\npersistentKeepalive: 70000",
                "5:14: spec.interface: must not be empty\n\
                 6:14: spec.publicKey: must not be empty\n\
                 7:16: spec.allowedIPs[0]: \"lan\" is not an address or a network (write it like \
                 10.0.0.0/24)\n\
                 8:24: spec.persistentKeepalive: expected 0 to 65535, found 70000",
            ),
            (
                "interface: i\npublicKey: k\nallowedIPs: []\npresharedKey: a\npresharedKeyFile: /a",
                "9:21: spec.presharedKeyFile: stands beside presharedKey (keep one of them)",
            ),
        ],
    );
}
