//! Which Kind two words name: one that we know, one that we carry, or a slip.
//!
//! Pure. It exists because most of a real config are Kinds that this program carries without
//! knowing them, and a misspelt `EventSubscription` must not pass as one of those: it would be
//! rendered, and never run.

use super::registry::{self, KINDS, KindInfo};
use crate::api::decode::{nearest, nearest_within};

/// Groups without opaque Kinds: in these an unknown Kind can only be a slip.
const CLOSED: [&str; 4] =
    ["routerd.net", "federation.routerd.net", "plugin.routerd.net", "config.routerd.net"];
/// Letters by which a Kind may differ from a known one and still be taken for a slip of it.
const SLIP: usize = 2;
/// Known Kinds shorter than this are too near to honest words (`Route` to `Router`).
const SHORTEST_SLIP: usize = 8;
/// The longest apiVersion and Kind, in bytes.
const LONGEST: usize = 253;

/// What a Kind is to us.
#[derive(Debug, Clone, Copy)]
pub enum Class {
    /// Known: decoded and checked.
    Typed(&'static KindInfo),
    /// Not known: carried as written.
    Opaque,
}

/// Why two words name no Kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misnamed {
    /// Which of the two is wrong: `apiVersion` or `kind`.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
}

/// Tells what `kind` of `api_version` is.
pub fn classify(api_version: &str, kind: &str) -> Result<Class, Misnamed> {
    if let Some(info) = registry::find(api_version, kind) {
        return Ok(Class::Typed(info));
    }
    well_formed("apiVersion", api_version)?;
    well_formed("kind", kind)?;
    let group = api_version.split_once('/').map_or(api_version, |(group, _)| group);
    if let Some(info) = KINDS.iter().find(|info| info.kind == kind) {
        return if is_foreign(group) {
            Ok(Class::Opaque)
        } else {
            Err(wrong_version(api_version, info))
        };
    }
    let closed = CLOSED.contains(&group);
    match slip_of(kind, closed) {
        Some(info) => Err(unknown(kind, Some(suggestion(api_version, info)))),
        None if closed => Err(unknown(kind, Some(members(group)))),
        None => Ok(Class::Opaque),
    }
}

fn well_formed(field: &'static str, text: &str) -> Result<(), Misnamed> {
    let message = if text.is_empty() {
        "must not be empty".to_owned()
    } else if text.len() > LONGEST {
        format!("{} bytes, at most {LONGEST}", text.len())
    } else if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        format!("{text:?} holds white space or a control character")
    } else {
        return Ok(());
    };
    Err(Misnamed { field, message, hint: None })
}

/// The known Kind that `kind` is most likely a slip of.
fn slip_of(kind: &str, closed: bool) -> Option<&'static KindInfo> {
    let all = KINDS.iter().map(|info| info.kind);
    let near = if closed {
        nearest(kind, all)
    } else {
        let same = KINDS.iter().map(|info| info.kind).filter(|k| k.eq_ignore_ascii_case(kind));
        let long = all.filter(|known| known.len() >= SHORTEST_SLIP);
        same.into_iter().next().or_else(|| nearest_within(kind, long, SLIP))
    }?;
    KINDS.iter().find(|info| info.kind == near)
}

/// Whether a group is somebody else's, and not a misspelt one of ours.
fn is_foreign(group: &str) -> bool {
    const EDITS: usize = 3;
    let ours = KINDS.iter().map(KindInfo::group);
    group.contains('.')
        && !group.ends_with("routerd.net")
        && nearest_within(group, ours, EDITS).is_none()
}

fn wrong_version(api_version: &str, info: &KindInfo) -> Misnamed {
    Misnamed {
        field: "apiVersion",
        message: format!("{api_version:?} has no Kind {:?}", info.kind),
        hint: Some(format!("write apiVersion: {}", info.api_version)),
    }
}

fn unknown(kind: &str, hint: Option<String>) -> Misnamed {
    Misnamed { field: "kind", message: format!("unknown Kind {kind:?}"), hint }
}

fn suggestion(api_version: &str, info: &KindInfo) -> String {
    if info.api_version == api_version {
        format!("did you mean {:?}?", info.kind)
    } else {
        format!("did you mean {:?}, apiVersion {}?", info.kind, info.api_version)
    }
}

fn members(group: &str) -> String {
    let names: Vec<&str> =
        KINDS.iter().filter(|info| info.group() == group).map(|info| info.kind).collect();
    format!("Kinds of {group}: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(api_version: &str, kind: &str) -> String {
        let error = classify(api_version, kind).expect_err(kind);
        format!("{}: {} ({})", error.field, error.message, error.hint.unwrap_or_default())
    }

    #[test]
    fn every_known_kind_is_typed() {
        for info in KINDS {
            assert!(matches!(classify(info.api_version, info.kind),
                Ok(Class::Typed(found)) if found.kind == info.kind));
        }
    }

    #[test]
    fn the_kinds_of_a_real_config_are_carried() {
        let net = "Interface PPPoESession TailscaleNode IPsecConnection VRF VXLANTunnel BGPRouter \
                   BGPPeer BGPDynamicPeer IPv4Route IPv4StaticAddress EventRule DerivedEvent \
                   HealthCheck EgressRoutePolicy NAT44Rule DNSZone Route Router6 Link Bridge";
        let firewall = "FirewallZone FirewallPolicy ClientPolicy FirewallRule PortForward";
        let hybrid = "TunnelInterface ProviderActionPolicy";
        for (group, kinds) in [
            ("net.routerd.net/v1alpha1", net),
            ("firewall.routerd.net/v1alpha1", firewall),
            ("hybrid.routerd.net/v1alpha1", hybrid),
            ("system.routerd.net/v1alpha1", "Sysctl Package Hostname LogSink NTPClient"),
            ("example.com/v1", "Router Plugin Deployment Service"),
            ("v1", "ConfigMap"),
        ] {
            for kind in kinds.split_whitespace() {
                assert!(matches!(classify(group, kind), Ok(Class::Opaque)), "{group} {kind}");
            }
        }
    }

    #[test]
    fn a_slip_in_the_kind_names_the_right_one() {
        for (api_version, kind, expected) in [
            (
                "federation.routerd.net/v1alpha1",
                "EventSubscripton",
                "kind: unknown Kind \"EventSubscripton\" (did you mean \"EventSubscription\"?)",
            ),
            (
                "federation.routerd.net/v1alpha1",
                "Timer",
                "kind: unknown Kind \"Timer\" (Kinds of federation.routerd.net: EventGroup, \
                 EventPeer, EventSubscription)",
            ),
            (
                "routerd.net/v1alpha1",
                "Ruoter",
                "kind: unknown Kind \"Ruoter\" (did you mean \"Router\"?)",
            ),
            (
                "net.routerd.net/v1alpha1",
                "WireguardPeer",
                "kind: unknown Kind \"WireguardPeer\" (did you mean \"WireGuardPeer\"?)",
            ),
            (
                "example.com/v1",
                "RemoteAddresClaims",
                "kind: unknown Kind \"RemoteAddresClaims\" (did you mean \"RemoteAddressClaim\", \
                 apiVersion hybrid.routerd.net/v1alpha1?)",
            ),
            (
                "v1",
                "plugin",
                "kind: unknown Kind \"plugin\" (did you mean \"Plugin\", \
                 apiVersion plugin.routerd.net/v1alpha1?)",
            ),
        ] {
            assert_eq!(hint(api_version, kind), expected);
        }
    }

    #[test]
    fn a_slip_in_the_api_version_names_the_right_one() {
        for api_version in [
            "federation.routerd.net/v1",
            "federaton.routerd.net/v1alpha1",
            "federation.routed.net/v1alpha1",
            "net.routerd.net/v1alpha1",
            "federation/v1alpha1",
            "v1alpha1",
        ] {
            let expected = format!(
                "apiVersion: {api_version:?} has no Kind \"EventGroup\" \
                 (write apiVersion: federation.routerd.net/v1alpha1)"
            );
            assert_eq!(hint(api_version, "EventGroup"), expected);
        }
    }

    #[test]
    fn words_that_are_no_names_are_refused() {
        for (api_version, kind) in
            [("", "Interface"), ("v1", ""), ("v1", "Two Words"), ("a\u{7}/v1", "Interface")]
        {
            assert!(classify(api_version, kind).is_err(), "{api_version:?} {kind:?}");
        }
        assert!(classify("v1", &"K".repeat(300)).is_err());
    }
}
