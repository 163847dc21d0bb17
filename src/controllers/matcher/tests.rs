use proptest::prelude::*;

use super::*;

fn event(r#type: &str, subject: &str, node: &str, payload: &[(&str, &str)]) -> Event {
    Event {
        id: "e".into(),
        group: "g".into(),
        r#type: r#type.into(),
        source_node: node.into(),
        subject: subject.into(),
        dedupe_key: String::new(),
        payload: payload.iter().copied().collect(),
        observed_at: None,
        expires_at: None,
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

#[test]
fn a_network_holds_addresses_by_arithmetic_not_by_text() {
    let spec = Match {
        types: words(&["t"]),
        subject_cidrs: words(&["10.88.60.0/24", "2001:db8::/32"]),
        ..Match::default()
    };
    let matches = Matches::new("g", &spec);
    for (subject, holds) in [
        ("10.88.60.9/32", true),
        ("10.88.60.9", true),
        ("10.88.60.0/25", true),
        ("10.88.60.0/23", false),
        ("10.88.61.9/32", false),
        ("10.88.600.9/32", false),
        ("10.88.60.", false),
        ("2001:db8::1", true),
        ("2001:db9::1", false),
        ("", false),
        ("some-host", false),
    ] {
        assert_eq!(matches.matches(&event("t", subject, "n", &[])), holds, "{subject}");
    }
}

fn any_match() -> impl Strategy<Value = Match> {
    let pick = |options: &'static [&'static str], max: usize| {
        prop::sample::subsequence(options, 0..=max).prop_map(|list| words(&list))
    };
    (
        prop::sample::subsequence(&["t1", "t2", "t3"][..], 1..=2),
        pick(&["10.", "10.1.", "host-", ""], 2),
        pick(&["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "fd00::/8"], 2),
        prop::sample::subsequence(&[("a", "1"), ("a", "2"), ("b", "1")][..], 0..=2),
        pick(&["n1", "n2"], 1),
    )
        .prop_map(|(types, subject_prefixes, subject_cidrs, payload, source_nodes)| Match {
            types: words(&types),
            subject_prefixes,
            subject_cidrs,
            payload: payload.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            source_nodes,
            retract_types: Vec::new(),
        })
}

proptest! {
    #[test]
    fn the_index_finds_exactly_what_the_definition_says(
        specs in prop::collection::vec(any_match(), 1..12),
        removed in prop::collection::vec(any::<bool>(), 12),
        subject in prop::sample::select(
            &["10.1.2.3", "10.1.2.3/32", "10.2.0.0/16", "host-1", "fd00::1", "", "11.0.0.1"][..]),
        r#type in prop::sample::select(&["t1", "t2", "t3", "t4"][..]),
        node in prop::sample::select(&["n1", "n2", "n3"][..]),
        payload in prop::sample::subsequence(&[("a", "1"), ("b", "1"), ("c", "1")][..], 0..=3),
    ) {
        let mut matcher = Matcher::default();
        let mut left = Vec::new();
        for (at, spec) in specs.iter().enumerate() {
            let name: Name = format!("s{at:02}").into();
            matcher.put(&name, Arc::new(Matches::new("g", spec)));
            // Put twice: replacing must leave nothing behind.
            matcher.put(&name, Arc::new(Matches::new("g", spec)));
            left.push(name);
        }
        for (at, name) in left.clone().iter().enumerate() {
            if removed[at] {
                matcher.remove(name);
                left.retain(|other| other != name);
            }
        }
        let event = event(r#type, subject, node, &payload);
        let expected: Vec<Name> = left
            .iter()
            .filter(|name| matcher.get(name).unwrap().matches(&event))
            .cloned()
            .collect();
        prop_assert_eq!(matcher.matching(&event), expected);
        left.iter().for_each(|name| { matcher.remove(name); });
        prop_assert!(matcher.types.values().all(HashMap::is_empty));
    }
}
