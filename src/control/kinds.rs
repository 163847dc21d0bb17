//! Kinds by the names people type: `eventgroup`, `EventGroups`, `eg`, and those of opaque Kinds.

use crate::api::kinds::registry::{KINDS, by_name};
use crate::api::object::ObjectKey;

/// The names of the Kinds this program knows.
pub(super) fn known<'a>() -> impl Iterator<Item = &'a str> {
    KINDS.iter().map(|info| info.kind)
}

/// The key of an object of a known Kind.
pub(super) fn key(kind: &str, name: &str) -> ObjectKey {
    let version = KINDS.iter().find(|info| info.kind == kind).map_or("", |info| info.api_version);
    ObjectKey::new(version, kind, name)
}

/// Whether `typed` means `kind`: a known Kind by any of its names, every other whatever the case, in
/// the singular or the plural.
pub(super) fn means(typed: &str, kind: &str) -> bool {
    if let Some(info) = by_name(typed) {
        return info.kind == kind;
    }
    let typed = typed.to_ascii_lowercase();
    let kind = kind.to_ascii_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if kind.ends_with(['s', 'x']) || kind.ends_with("ch") => format!("{kind}es"),
        _ => format!("{kind}s"),
    };
    typed == kind || typed == plural
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
            ("plugins.plugin.routerd.net", "Plugin"),
            ("ipaddresses", "IPAddress"),
            ("widgets", "Widget"),
        ] {
            assert!(means(typed, kind), "{typed} {kind}");
        }
        assert!(!means("event", "EventGroup"));
        assert!(!means("", "EventGroup"));
    }
}
