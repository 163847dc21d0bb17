//! What the rules need to know of a resource's fields: hard references, domains, claims, control
//! Kinds.
//!
//! Pure. The one place of this layer that names Kinds and field paths. It reads the fields where
//! they stand, because the typed decoder (`kinds::decode`) costs several times what a whole render
//! may; a test holds the table of references equal to `kinds::references`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::api::kinds::{config, federation, hybrid, plugin, registry, router};
use crate::api::object::{ObjectKey, Resource};
use crate::api::value::Value;

/// The Kind of the whole document.
pub(super) const ROUTER: &str = "Router";

/// An identity, borrowed: what a lookup asks for without building an `ObjectKey`. Hashes like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyRef<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

impl hashbrown::Equivalent<ObjectKey> for KeyRef<'_> {
    fn equivalent(&self, key: &ObjectKey) -> bool {
        self.api_version == key.api_version && self.kind == key.kind && self.name == key.name
    }
}

impl<'a> From<&'a ObjectKey> for KeyRef<'a> {
    fn from(key: &'a ObjectKey) -> Self {
        Self { api_version: &key.api_version, kind: &key.kind, name: &key.name }
    }
}

impl KeyRef<'_> {
    /// The owned identity.
    pub(super) fn to_key(self) -> ObjectKey {
        ObjectKey::new(self.api_version, self.kind, self.name)
    }
}

/// One hard reference of a Kind.
struct Field {
    /// `(apiVersion, kind)` of what holds it.
    of: (&'static str, &'static str),
    /// Where the name stands.
    path: &'static str,
    /// `(apiVersion, kind)` of what it names.
    to: (&'static str, &'static str),
}

const GROUP: (&str, &str) = (federation::API_VERSION, "EventGroup");
const PEER: (&str, &str) = (federation::API_VERSION, "EventPeer");
const SUBSCRIPTION: (&str, &str) = (federation::API_VERSION, "EventSubscription");
const PLUGIN: (&str, &str) = (plugin::API_VERSION, "Plugin");
const SOURCE: (&str, &str) = (plugin::API_VERSION, "DynamicConfigSource");
const POLICY: (&str, &str) = (config::API_VERSION, "DynamicOverridePolicy");
const OVERLAY: (&str, &str) = (hybrid::API_VERSION, "OverlayPeer");
const DOMAIN: (&str, &str) = (hybrid::API_VERSION, "AddressMobilityDomain");
const PROFILE: (&str, &str) = (hybrid::API_VERSION, "CloudProviderProfile");
const CLAIM: (&str, &str) = (hybrid::API_VERSION, "RemoteAddressClaim");

/// The hard references of the design, §4.
const FIELDS: [Field; 8] = [
    Field { of: PEER, path: "spec.groupRef", to: GROUP },
    Field { of: SUBSCRIPTION, path: "spec.groupRef", to: GROUP },
    Field { of: SUBSCRIPTION, path: "spec.trigger.pluginRef", to: PLUGIN },
    Field { of: SOURCE, path: "spec.pluginRef", to: PLUGIN },
    Field { of: DOMAIN, path: "spec.peerRef", to: OVERLAY },
    Field { of: CLAIM, path: "spec.domainRef", to: DOMAIN },
    Field { of: CLAIM, path: "spec.capture.providerRef", to: PROFILE },
    Field { of: CLAIM, path: "spec.delivery.peerRef", to: OVERLAY },
];

fn is(key: &ObjectKey, (api_version, kind): (&str, &str)) -> bool {
    key.kind == kind && key.api_version == api_version
}

/// A reference as a resource has it.
pub(super) struct Reference<'a> {
    /// Where the name stands.
    pub(super) path: &'static str,
    /// What it names.
    pub(super) to: KeyRef<'a>,
}

/// The hard references that `resource` has. An empty or absent name refers to nothing.
pub(super) fn references(resource: &Resource) -> impl Iterator<Item = Reference<'_>> {
    FIELDS.iter().filter(|field| is(&resource.key, field.of)).filter_map(|field| {
        let name = text(&resource.body, field.path)?;
        let (api_version, kind) = field.to;
        Some(Reference { path: field.path, to: KeyRef { api_version, kind, name } })
    })
}

/// Hard references lead to lower ranks only: what a rank looks at is settled before it.
pub(super) fn rank(key: &ObjectKey) -> u8 {
    if is(key, CLAIM) { 2 } else { u8::from(FIELDS.iter().any(|field| is(key, field.of))) }
}

/// Whether this Kind steers the program itself.
pub(super) fn is_control(key: &ObjectKey) -> bool {
    registry::find(&key.api_version, &key.kind).is_some_and(|info| info.control)
}

/// Whether this is the document's own Kind, which stands around the resources and not among them.
pub(super) fn is_router(key: &ObjectKey) -> bool {
    is(key, (router::API_VERSION, ROUTER))
}

/// Whether this names the node.
pub(super) fn is_group(key: &ObjectKey) -> bool {
    is(key, GROUP)
}

/// Whether this allows masks.
pub(super) fn is_policy(key: &ObjectKey) -> bool {
    is(key, POLICY)
}

/// Whether this claims an address.
pub(super) fn is_claim(key: &ObjectKey) -> bool {
    is(key, CLAIM)
}

/// What others see of a resource that they refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Facade {
    /// It is not there.
    Missing,
    /// It is there.
    Present,
    /// It is there, a domain of this prefix (`None`: the prefix cannot be read).
    Domain(Option<Ipv4Net>),
}

/// What others see of `resource`.
pub(super) fn facade(resource: &Resource) -> Facade {
    if is(&resource.key, DOMAIN) {
        Facade::Domain(text(&resource.body, "spec.prefix").and_then(|p| p.parse().ok()))
    } else {
        Facade::Present
    }
}

/// One address in one domain: at most one claim may stand for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AddressKey {
    pub(super) domain: String,
    pub(super) address: Ipv4Addr,
}

/// What a claim claims; `None` if `resource` is no claim or its address cannot be read.
pub(super) fn claimed(resource: &Resource) -> Option<AddressKey> {
    if !is_claim(&resource.key) {
        return None;
    }
    let address = parse_address(claimed_text(resource)?)?;
    let domain = domain_ref(resource).unwrap_or_default().to_owned();
    Some(AddressKey { domain, address })
}

/// A claim's address as it is written.
pub(super) fn claimed_text(resource: &Resource) -> Option<&str> {
    text(&resource.body, "spec.address")
}

/// The name of a claim's domain.
pub(super) fn domain_ref(resource: &Resource) -> Option<&str> {
    text(&resource.body, "spec.domainRef")
}

/// The domain of that name.
pub(super) fn domain_key(name: &str) -> KeyRef<'_> {
    KeyRef { api_version: DOMAIN.0, kind: DOMAIN.1, name }
}

/// A host address, written as the /32 that it is.
pub(super) fn parse_address(text: &str) -> Option<Ipv4Addr> {
    text.strip_suffix("/32")?.parse().ok()
}

/// What a policy allows to be masked, as (source, target).
pub(super) fn allowed_masks(policy: &Resource) -> Vec<(String, ObjectKey)> {
    let list = |value: &Value, key: &str| -> Vec<Value> {
        value.get(key).and_then(Value::as_seq).unwrap_or_default().to_vec()
    };
    let word = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let mut out = Vec::new();
    let spec = policy.body.get("spec").cloned().unwrap_or_else(Value::null);
    for allow in list(&spec, "allow") {
        let masks = list(&allow, "operations").iter().any(|op| op.as_str() == Some("mask"));
        let Some(source) = word(&allow, "source").filter(|_| masks) else { continue };
        for target in list(&allow, "targets") {
            let target = (|| {
                let (api, kind) = (word(&target, "apiVersion")?, word(&target, "kind")?);
                Some(ObjectKey::new(api, kind, word(&target, "name")?))
            })();
            out.extend(target.map(|target| (source.clone(), target)));
        }
    }
    out
}

/// The name that an EventGroup gives this node.
pub(super) fn node_name(group: &Resource) -> Option<&str> {
    text(&group.body, "spec.nodeName")
}

fn text<'a>(body: &'a Value, path: &str) -> Option<&'a str> {
    body.get_path(path)?.as_str().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests;
