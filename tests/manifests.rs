//! The manifests, schemas and examples that this repository shows are what the program reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use routerd::api::kinds::claim::check_membership;
use routerd::api::kinds::decode::{Decoded, decode_document};
use routerd::api::kinds::references::references;
use routerd::api::kinds::registry::KINDS;
use routerd::api::kinds::spec::Spec;
use routerd::api::object::ObjectKey;
use routerd::api::yaml::{Limits, parse_documents};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The YAML files of a directory, sorted.
fn files(directory: &str) -> Vec<PathBuf> {
    let directory = root().join(directory);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// Every resource of a file, none of which may be refused or carry anything that is ignored.
fn load(file: &Path) -> Vec<Decoded> {
    let text = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let documents = parse_documents(&text, &Limits::default());
    assert_eq!(documents.error, None, "{}", file.display());
    documents
        .docs
        .iter()
        .flat_map(decode_document)
        .map(|item| {
            let decoded = item.outcome.unwrap_or_else(|rejected| {
                let problems: Vec<_> = rejected.problems.iter().map(ToString::to_string).collect();
                panic!("{}: {}", file.display(), problems.join("\n"))
            });
            assert_eq!(decoded.notes, [], "{}", file.display());
            decoded
        })
        .collect()
}

/// The resources by key; none may be there twice.
fn by_key(resources: Vec<Decoded>) -> BTreeMap<ObjectKey, Decoded> {
    let mut found = BTreeMap::new();
    for decoded in resources {
        let key = decoded.resource.key.clone();
        assert!(found.insert(key.clone(), decoded).is_none(), "{key} twice");
    }
    found
}

/// Every name, soft ones too, must name something: examples show the whole picture.
fn assert_resolved(resources: &BTreeMap<ObjectKey, Decoded>) {
    for (key, decoded) in resources {
        for reference in references(&decoded.spec) {
            let target = reference.target();
            assert!(resources.contains_key(&target), "{key}: {}: no {target}", reference.path);
        }
    }
}

#[test]
fn there_is_a_manifest_of_each_kind_that_people_write() {
    let resources = by_key(files("manifests").iter().flat_map(|file| load(file)).collect());
    let shown: BTreeSet<&str> =
        resources.values().filter(|d| d.typed).map(|d| d.resource.key.kind.as_str()).collect();
    let written: BTreeSet<&str> =
        KINDS.iter().map(|info| info.kind).filter(|kind| *kind != "DynamicConfigPart").collect();
    assert_eq!(shown, written);
    assert_resolved(&resources);
}

#[test]
fn the_manifest_of_a_kind_stands_in_a_file_of_its_name() {
    for file in files("manifests") {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap().replace('-', "");
        let first = &load(&file)[0].resource.key.kind;
        assert_eq!(first.to_ascii_lowercase(), stem, "{}", file.display());
    }
}

#[test]
fn claims_of_the_manifests_lie_in_their_domain() {
    let resources = by_key(files("manifests").iter().flat_map(|file| load(file)).collect());
    let mut claims = 0;
    for (key, decoded) in &resources {
        let Spec::RemoteAddressClaim(claim) = &decoded.spec else { continue };
        let domain = references(&decoded.spec)[0].target();
        let Spec::AddressMobilityDomain(domain) = &resources[&domain].spec else { panic!("{key}") };
        assert_eq!(check_membership(claim, domain), Ok(()));
        claims += 1;
    }
    assert_eq!(claims, 1);
}

#[test]
fn the_federation_example_is_whole() {
    let receiver = load(&root().join("examples/event-federation/receiver-cloud.yaml"));
    let kinds: Vec<String> = receiver.iter().map(|d| d.resource.key.to_string()).collect();
    assert_eq!(
        kinds,
        [
            "Router/cloud-router",
            "EventGroup/cloudedge",
            "EventSubscription/cloud-claims",
            "Plugin/event-to-remote-claim",
            "WireGuardInterface/wg-hybrid",
            "WireGuardPeer/onprem-main",
            "OverlayPeer/onprem-main",
            "AddressMobilityDomain/cloudedge-same-subnet",
            "CloudProviderProfile/example-provider",
        ]
    );
    assert_resolved(&by_key(receiver));
    let sender = load(&root().join("examples/event-federation/sender-onprem.yaml"));
    assert_eq!(sender.len(), 3);
    assert_resolved(&by_key(sender));
}

#[test]
fn the_two_nodes_of_the_example_speak_with_each_other() {
    let find = |file: &str| by_key(load(&root().join("examples/event-federation").join(file)));
    let (receiver, sender) = (find("receiver-cloud.yaml"), find("sender-onprem.yaml"));
    let group = |resources: &BTreeMap<ObjectKey, Decoded>| {
        resources.values().find_map(|d| match &d.spec {
            Spec::EventGroup(spec) => Some((d.resource.key.clone(), (**spec).clone())),
            _ => None,
        })
    };
    let (here, there) = (group(&receiver).unwrap(), group(&sender).unwrap());
    assert_eq!(here.0, there.0, "one group");
    assert_eq!(here.1.auth, there.1.auth, "one secret");
    let listen = here.1.listen.unwrap();
    let peer = sender.values().find_map(|d| match &d.spec {
        Spec::EventPeer(spec) => Some(spec),
        _ => None,
    });
    let peer = peer.unwrap();
    assert_eq!(peer.endpoint, Some(format!("http://{}:{}", listen.address, listen.port)));
    assert_eq!(peer.node_name, here.1.node_name);
    let subscription = receiver.values().find_map(|d| match &d.spec {
        Spec::EventSubscription(spec) => Some(spec),
        _ => None,
    });
    let wanted = &subscription.unwrap().r#match;
    assert_eq!(wanted.source_nodes, [there.1.node_name]);
    let sent: BTreeSet<&String> = peer.types.iter().collect();
    assert_eq!(sent, wanted.types.iter().chain(&wanted.retract_types).collect());
}

#[test]
fn the_plugin_of_the_example_is_the_one_of_the_receiver() {
    let own = load(&root().join("examples/plugins/event-to-remote-claim/plugin.yaml"));
    let receiver = load(&root().join("examples/event-federation/receiver-cloud.yaml"));
    assert!(receiver.iter().any(|decoded| decoded.spec == own[0].spec));
    let text = format!("{:?}", own[0].spec);
    let readme = root().join("examples/plugins/event-to-remote-claim/README.md");
    let installed =
        "/usr/local/libexec/routerd/plugins/event-to-remote-claim/bin/event-to-remote-claim";
    assert!(text.contains(installed));
    assert!(fs::read_to_string(readme).unwrap().contains(installed));
}

#[test]
fn whatever_line_is_missing_every_refusal_says_why_and_where() {
    let mut refusals = 0;
    let examples = files("examples/event-federation");
    for file in files("manifests").iter().chain(&examples) {
        let text = fs::read_to_string(file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for missing in 0..lines.len() {
            let rest = [&lines[..missing], &lines[missing + 1..]].concat().join("\n");
            let documents = parse_documents(rest.as_bytes(), &Limits::default());
            for item in documents.docs.iter().flat_map(decode_document) {
                let Err(rejected) = item.outcome else { continue };
                refusals += 1;
                assert!(!rejected.problems.is_empty(), "{rest}");
                assert!(rejected.problems.iter().all(|p| p.pos.is_some()), "{rest}");
                assert!(rejected.key.is_some() || rejected.hides, "{rest}");
            }
        }
    }
    assert!(refusals > 100, "only {refusals} refusals: the test tests nothing");
}

#[test]
fn schemas_are_in_step_with_the_kinds() {
    let directory = root().join("manifests/schemas");
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    let mut expected = BTreeSet::new();
    for info in KINDS {
        let file = directory.join(format!("{}.json", info.kind));
        let schema = serde_json::to_string_pretty(&info.schema()).unwrap() + "\n";
        if update {
            fs::write(&file, &schema).unwrap();
        }
        let checked_in = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            checked_in == schema,
            "{} is out of step; run UPDATE_SCHEMAS=1 cargo test --test manifests",
            file.display()
        );
        expected.insert(file);
    }
    let found: BTreeSet<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found, expected);
}
