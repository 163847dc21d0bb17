//! Checks of `federation.routerd.net`.

use super::super::federation::{
    Direction, EventGroupSpec, EventPeerSpec, EventSubscriptionSpec, GroupAuth, Listen, Match,
    PeerAuth, PeerTls, Rate, Retry, TriggerSpec,
};
use super::super::place::Place;
use super::super::spec::KindSpec;
use super::words::{
    all_filled, at_least, bearable, between, filled, lasting, network, no_nul, positive,
};
use crate::api::duration::GoDuration;
use crate::api::event::MAX_WORD;

/// The longest time that events are collected or waited for.
const LONGEST_WINDOW: GoDuration = GoDuration::from_secs(3600);

impl KindSpec for EventGroupSpec {
    fn check(&self, at: &Place<'_>) {
        node_name(&at.field("nodeName"), &self.node_name);
        let retention = at.field("retention");
        at_least(&retention.field("maxEvents"), self.retention.max_events, 1);
        let age = retention.field("maxAge");
        if self.retention.max_age < GoDuration::from_secs(1) {
            age.refuse(format!("expected 1s or more, found {}", self.retention.max_age));
        }
        bearable(&age, self.retention.max_age);
        at_least(&at.field("limits").field("maxLiveFacts"), self.limits.max_live_facts, 1);
        if let Some(listen) = &self.listen {
            check_listen(listen, &at.field("listen"));
        }
        if let Some(auth) = &self.auth {
            check_group_auth(auth, &at.field("auth"));
        }
        positive(&at.field("replayWindow"), self.replay_window);
    }
}

fn node_name(at: &Place<'_>, name: &str) {
    if name.trim().is_empty() {
        at.refuse("must not be empty");
    } else if name.trim() != name {
        at.refuse(format!("{name:?} begins or ends with white space"));
    } else if name.chars().any(char::is_control) {
        at.refuse(format!("{name:?} holds a control character"));
    } else if name.len() > MAX_WORD {
        at.refuse(format!("{} bytes, at most {MAX_WORD}", name.len()));
    }
}

fn check_listen(listen: &Listen, at: &Place<'_>) {
    if listen.address.parse::<std::net::IpAddr>().is_err() {
        at.field("address").refuse_with(
            format!("{:?} is not an IP address", listen.address),
            "the address of the tunnel that peers come through, without a port",
        );
    }
    between(&at.field("port"), listen.port, 1, u16::MAX);
    if let Some(tls) = &listen.tls {
        let at = at.field("tls");
        filled(&at.field("certFile"), &tls.cert_file);
        filled(&at.field("keyFile"), &tls.key_file);
    }
}

fn check_group_auth(auth: &GroupAuth, at: &Place<'_>) {
    if let (Some(file), Some(reference)) = (&auth.secret_file, &auth.secret_ref)
        && file != reference
    {
        at.field("secretRef").refuse_with(
            "is another file than secretFile",
            "both name the one secret of the group; keep one of them",
        );
    }
}

impl KindSpec for EventPeerSpec {
    fn check(&self, at: &Place<'_>) {
        filled(&at.field("groupRef"), &self.group_ref);
        node_name(&at.field("nodeName"), &self.node_name);
        match &self.endpoint {
            Some(endpoint) => check_endpoint(endpoint, &at.field("endpoint")),
            None if self.direction == Direction::Receive => {}
            None => at.refuse_with(
                "missing field \"endpoint\": where to push events to",
                "write it like http://169.254.110.2:8787, or direction: receive",
            ),
        }
        all_filled(&at.field("types"), &self.types);
        all_filled(&at.field("subjectPrefixes"), &self.subject_prefixes);
        if let Some(auth) = &self.auth {
            check_peer_auth(auth, &at.field("auth"));
        }
        if let Some(tls) = &self.tls {
            check_peer_tls(tls, &at.field("tls"));
        }
        if let Some(rate) = self.rate {
            check_rate(rate, &at.field("rate"));
        }
    }
}

/// An http(s) URL of a host: paths are the protocol's, secrets have their own field.
fn check_endpoint(endpoint: &str, at: &Place<'_>) {
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        let message = format!("{endpoint:?} is not a URL");
        return at.refuse_with(message, "write it like http://169.254.110.2:8787");
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return at.refuse(format!("expected http or https, found {scheme:?}"));
    }
    if rest.contains('@') {
        // The URL is not repeated: it holds a password.
        return at
            .refuse_with("holds credentials", "name the file of the secret in auth.secretFile");
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if let Some(end) = authority.find(['/', '?', '#']) {
        let hint = format!("write {scheme}://{}", &authority[..end]);
        return at.refuse_with(format!("{endpoint:?} has more than a host and a port"), hint);
    }
    if !is_authority(authority) {
        let message = format!("{authority:?} is not a host with a port");
        at.refuse_with(message, "write it like http://169.254.110.2:8787 or http://[fd00::2]:8787");
    }
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((host, rest)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                (None, rest.strip_prefix(':').or((!rest.is_empty()).then_some("")))
            }
            _ => return false,
        },
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(authority), None),
        },
    };
    let host_fits = host.is_none_or(|host| {
        !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    });
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

fn check_peer_auth(auth: &PeerAuth, at: &Place<'_>) {
    let files = at.field("secretFiles");
    if auth.secret_file.is_some() && !auth.secret_files.is_empty() {
        files.refuse_with("stands beside secretFile", "keep one of them");
    }
    if auth.secret_files.len() > 2 {
        let message = format!("{} files, at most 2", auth.secret_files.len());
        files.refuse_with(message, "the one in use and the one that follows it");
    }
    all_filled(&files, &auth.secret_files);
}

fn check_peer_tls(tls: &PeerTls, at: &Place<'_>) {
    match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => at.refuse("missing field \"keyFile\": the key of certFile"),
        (None, Some(_)) => at.refuse("missing field \"certFile\": the certificate of keyFile"),
        _ => {}
    }
}

fn check_rate(rate: Rate, at: &Place<'_>) {
    if !(rate.per_second.is_finite() && rate.per_second > 0.0) {
        at.field("perSecond").refuse(format!("expected more than 0, found {}", rate.per_second));
    }
    if let Some(burst) = rate.burst {
        at_least(&at.field("burst"), burst, 1);
    }
}

impl KindSpec for EventSubscriptionSpec {
    fn check(&self, at: &Place<'_>) {
        filled(&at.field("groupRef"), &self.group_ref);
        check_match(&self.r#match, &at.field("match"));
        check_trigger(&self.trigger, &at.field("trigger"));
        bearable(&at.field("retire").field("grace"), self.retire.grace);
    }
}

/// Why a subscription without types is refused.
const TYPES: &str = "a subscription must name its types; it never matches every event";

fn check_match(spec: &Match, at: &Place<'_>) {
    let types = at.field("types");
    if spec.types.is_empty() {
        types.refuse_with(TYPES, "write match.types: [routerd.client.ipv4.observed]");
    }
    for (index, word) in spec.types.iter().enumerate() {
        if word.trim().is_empty() {
            types.item(index).refuse_with("must not be empty", TYPES);
        }
    }
    all_filled(&at.field("subjectPrefixes"), &spec.subject_prefixes);
    let cidrs = at.field("subjectCIDRs");
    for (index, cidr) in spec.subject_cidrs.iter().enumerate() {
        network(&cidrs.item(index), cidr);
    }
    all_filled(&at.field("sourceNodes"), &spec.source_nodes);
    let retracts = at.field("retractTypes");
    all_filled(&retracts, &spec.retract_types);
    for (index, word) in spec.retract_types.iter().enumerate() {
        if !word.trim().is_empty() && spec.types.contains(word) {
            retracts.item(index).refuse_with(
                format!("{word:?} is also in types"),
                "an event cannot both make a fact and end it",
            );
        }
    }
}

fn check_trigger(trigger: &TriggerSpec, at: &Place<'_>) {
    filled(&at.field("pluginRef"), &trigger.plugin_ref);
    no_nul(&at.field("pluginRef"), &trigger.plugin_ref);
    let none = GoDuration::default();
    lasting(&at.field("batchWindow"), trigger.batch_window, none, LONGEST_WINDOW);
    lasting(&at.field("debounce"), trigger.debounce, none, LONGEST_WINDOW);
    check_retry(&trigger.retry, &at.field("retry"));
}

fn check_retry(retry: &Retry, at: &Place<'_>) {
    at_least(&at.field("maxAttempts"), retry.max_attempts, 1);
    positive(&at.field("backoff"), retry.backoff);
    bearable(&at.field("maxBackoff"), retry.max_backoff);
    if retry.backoff > retry.max_backoff {
        // Stands at whichever of the two was written; the other is its default.
        let written = at.field("maxBackoff");
        let place = if written.is_given() { written } else { at.field("backoff") };
        place.refuse(format!(
            "backoff {} is longer than maxBackoff {}",
            retry.backoff, retry.max_backoff
        ));
    }
}
