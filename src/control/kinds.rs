//! Kinds by the names people type: `eventgroup`, `EventGroups`, `plugins`.

use crate::api::kinds::{config, federation, hybrid, net, plugin};
use crate::api::object::ObjectKey;

/// The Kinds this program knows, with their apiVersions.
pub(super) const KNOWN: &[(&str, &str)] = &[
    ("Router", "routerd.net/v1alpha1"),
    ("EventGroup", federation::API_VERSION),
    ("EventPeer", federation::API_VERSION),
    ("EventSubscription", federation::API_VERSION),
    ("Plugin", plugin::API_VERSION),
    ("DynamicConfigSource", plugin::API_VERSION),
    ("DynamicOverridePolicy", config::API_VERSION),
    ("DynamicConfigPart", config::API_VERSION),
    ("ConfigOutput", config::API_VERSION),
    ("HybridRoute", hybrid::API_VERSION),
    ("OverlayPeer", hybrid::API_VERSION),
    ("AddressMobilityDomain", hybrid::API_VERSION),
    ("CloudProviderProfile", hybrid::API_VERSION),
    ("RemoteAddressClaim", hybrid::API_VERSION),
    ("WireGuardInterface", net::API_VERSION),
    ("WireGuardPeer", net::API_VERSION),
];

/// The key of an object of a known Kind.
pub(super) fn key(kind: &str, name: &str) -> ObjectKey {
    let version = KNOWN.iter().find(|(known, _)| *known == kind).map_or("", |(_, version)| version);
    ObjectKey::new(version, kind, name)
}

/// Whether `typed` means `kind`: whatever the case, in the singular or the plural.
pub(super) fn means(typed: &str, kind: &str) -> bool {
    let typed = typed.to_ascii_lowercase();
    let kind = kind.to_ascii_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if kind.ends_with(['s', 'x']) || kind.ends_with("ch") => format!("{kind}es"),
        _ => format!("{kind}s"),
    };
    typed == kind || typed == plural || typed == format!("{kind}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_in_any_case_and_number() {
        for (typed, kind) in [
            ("EventGroup", "EventGroup"),
            ("eventgroups", "EventGroup"),
            ("dynamicoverridepolicies", "DynamicOverridePolicy"),
            ("DynamicOverridePolicys", "DynamicOverridePolicy"),
            ("plugins", "Plugin"),
            ("ipaddresses", "IPAddress"),
        ] {
            assert!(means(typed, kind), "{typed} {kind}");
        }
        assert!(!means("event", "EventGroup"));
        assert!(!means("", "EventGroup"));
    }
}
