//! The table of Kinds: what each is called, what it may do, how it is read and described.

use schemars::{Schema, SchemaGenerator};

use super::config::{ConfigOutputSpec, DynamicConfigPartSpec, DynamicOverridePolicySpec};
use super::federation::{EventGroupSpec, EventPeerSpec, EventSubscriptionSpec};
use super::hybrid::{
    AddressMobilityDomainSpec, CloudProviderProfileSpec, HybridRouteSpec, OverlayPeerSpec,
    RemoteAddressClaimSpec,
};
use super::metadata::{Envelope, check_name};
use super::net::{WireGuardInterfaceSpec, WireGuardPeerSpec};
use super::place::{Tree, inspect};
use super::plugin::{DynamicConfigSourceSpec, PluginSpec};
use super::router::RouterSpec;
use super::spec::{KindSpec, Spec};
use super::{config, federation, hybrid, net, plugin, router, schema};
use crate::api::decode::Problem;

/// One Kind.
pub struct KindInfo {
    /// Such as `federation.routerd.net/v1alpha1`.
    pub api_version: &'static str,
    /// Such as `EventGroup`.
    pub kind: &'static str,
    /// Short words for it on a command line.
    pub short: &'static [&'static str],
    /// Steers this program itself: never produced by a plugin, never masked.
    pub control: bool,
    /// Why it has no effect (`Active=False`), if it has none.
    pub inert: Option<&'static str>,
    decode: fn(Tree<'_>, &str) -> Result<Spec, Vec<Problem>>,
    spec_schema: fn(&mut SchemaGenerator) -> Schema,
    needs_spec: fn() -> bool,
}

impl KindInfo {
    const fn new<S: KindSpec>(
        api_version: &'static str,
        kind: &'static str,
        short: &'static [&'static str],
    ) -> Self {
        let spec_schema = SchemaGenerator::subschema_for::<S>;
        let needs_spec = || S::absent().is_none();
        Self {
            api_version,
            kind,
            short,
            control: false,
            inert: None,
            decode: typed::<S>,
            spec_schema,
            needs_spec,
        }
    }

    const fn control(mut self) -> Self {
        self.control = true;
        self
    }

    const fn inert(mut self, why: &'static str) -> Self {
        self.inert = Some(why);
        self
    }

    /// The apiVersion without its version.
    pub fn group(&self) -> &'static str {
        self.api_version.split_once('/').map_or(self.api_version, |(group, _)| group)
    }

    /// The plural, in lower case, as in `routerctl get eventgroups`.
    pub fn plural(&self) -> String {
        let word = self.kind.to_ascii_lowercase();
        match word.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{word}s"),
        }
    }

    /// The JSON Schema (draft 2020-12) of a whole resource of this Kind.
    pub fn schema(&self) -> serde_json::Value {
        schema::of_resource(self, self.spec_schema, (self.needs_spec)())
    }

    pub(super) fn decode(&self, tree: Tree<'_>, base: &str) -> Result<Spec, Vec<Problem>> {
        (self.decode)(tree, base)
    }
}

impl std::fmt::Debug for KindInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.api_version, self.kind)
    }
}

/// All Kinds that this program knows.
pub static KINDS: &[KindInfo] = &[
    KindInfo::new::<RouterSpec>(router::API_VERSION, "Router", &[]).control(),
    KindInfo::new::<EventGroupSpec>(federation::API_VERSION, "EventGroup", &["eg", "group"])
        .control(),
    KindInfo::new::<EventPeerSpec>(federation::API_VERSION, "EventPeer", &["ep", "peer"]).control(),
    KindInfo::new::<EventSubscriptionSpec>(
        federation::API_VERSION,
        "EventSubscription",
        &["es", "esub", "sub", "subscription"],
    )
    .control(),
    KindInfo::new::<PluginSpec>(plugin::API_VERSION, "Plugin", &[]).control(),
    KindInfo::new::<DynamicConfigSourceSpec>(plugin::API_VERSION, "DynamicConfigSource", &["dcs"])
        .inert(
            "plugins run for EventSubscriptions; a DynamicConfigSource is carried without effect",
        ),
    KindInfo::new::<DynamicOverridePolicySpec>(
        config::API_VERSION,
        "DynamicOverridePolicy",
        &["dop", "policy"],
    )
    .control(),
    KindInfo {
        api_version: config::API_VERSION,
        kind: "DynamicConfigPart",
        short: &["dcp", "part"],
        control: true,
        inert: None,
        decode: refuse_part,
        spec_schema: SchemaGenerator::subschema_for::<DynamicConfigPartSpec>,
        needs_spec: || true,
    },
    KindInfo::new::<ConfigOutputSpec>(config::API_VERSION, "ConfigOutput", &["co", "output"])
        .control(),
    KindInfo::new::<HybridRouteSpec>(hybrid::API_VERSION, "HybridRoute", &["hr"])
        .inert("routes are not installed by this program; a HybridRoute is carried without effect"),
    KindInfo::new::<OverlayPeerSpec>(hybrid::API_VERSION, "OverlayPeer", &["op"]),
    KindInfo::new::<AddressMobilityDomainSpec>(
        hybrid::API_VERSION,
        "AddressMobilityDomain",
        &["amd", "domain"],
    ),
    KindInfo::new::<CloudProviderProfileSpec>(
        hybrid::API_VERSION,
        "CloudProviderProfile",
        &["cpp", "provider"],
    ),
    KindInfo::new::<RemoteAddressClaimSpec>(
        hybrid::API_VERSION,
        "RemoteAddressClaim",
        &["rac", "claim"],
    ),
    KindInfo::new::<WireGuardInterfaceSpec>(net::API_VERSION, "WireGuardInterface", &["wgi"]),
    KindInfo::new::<WireGuardPeerSpec>(net::API_VERSION, "WireGuardPeer", &["wgp"]),
];

/// The Kind of exactly these two words.
pub fn find(api_version: &str, kind: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind == kind && info.api_version == api_version)
}

/// The Kind that an operator means by a word: its name in any case, its plural, a short word or
/// the plural of one, each also with the group behind a dot (`plugins.plugin.routerd.net`).
pub fn by_name(word: &str) -> Option<&'static KindInfo> {
    let word = word.to_ascii_lowercase();
    let (name, group) = match word.split_once('.') {
        Some((name, group)) => (name, Some(group)),
        None => (word.as_str(), None),
    };
    let is_short = |short: &str| {
        name == short
            || name.strip_suffix('s') == Some(short)
            || short.strip_suffix('y').is_some_and(|stem| name.strip_suffix("ies") == Some(stem))
    };
    KINDS.iter().find(|info| {
        group.is_none_or(|group| group == info.group())
            && (info.kind.eq_ignore_ascii_case(name)
                || info.plural() == name
                || info.short.iter().any(|short| is_short(short)))
    })
}

/// Decodes and checks a whole resource of the Kind with this spec.
fn typed<S: KindSpec>(tree: Tree<'_>, base: &str) -> Result<Spec, Vec<Problem>> {
    let envelope: Envelope<S> = tree.decode(base)?;
    let name = &envelope.metadata.name;
    let spec = envelope.spec.or_else(S::absent);
    let ((), problems) = inspect(tree, base, |root| {
        check_name(name, &root.field("metadata").field("name"));
        match &spec {
            Some(spec) => spec.check(&root.field("spec")),
            None => root.refuse_missing("spec", tree.get("spec").is_some()),
        }
    });
    match spec {
        Some(spec) if problems.is_empty() => Ok(spec.into()),
        _ => Err(problems),
    }
}

/// Parts are made by the daemon from plugins' results.
fn refuse_part(tree: Tree<'_>, base: &str) -> Result<Spec, Vec<Problem>> {
    let ((), problems) = inspect(tree, base, |root| {
        root.field("kind").refuse_with(
            "a DynamicConfigPart is a runtime object and cannot be given as a manifest",
            "to add resources, write them as manifests; to have them proposed, write an \
             EventSubscription and a Plugin",
        );
    });
    Err(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_the_words_people_type() {
        for (word, kind) in [
            ("EventGroup", "EventGroup"),
            ("eventgroups", "EventGroup"),
            ("eg", "EventGroup"),
            ("subs", "EventSubscription"),
            ("DynamicOverridePolicies", "DynamicOverridePolicy"),
            ("policies", "DynamicOverridePolicy"),
            ("parts", "DynamicConfigPart"),
            ("claims", "RemoteAddressClaim"),
            ("plugins.plugin.routerd.net", "Plugin"),
            ("router", "Router"),
        ] {
            assert_eq!(by_name(word).map(|info| info.kind), Some(kind), "{word}");
        }
        for word in ["", "event", "s", "plugin.net.routerd.net", "interfaces"] {
            assert!(by_name(word).is_none(), "{word}");
        }
    }

    #[test]
    fn no_word_means_two_kinds() {
        let mut words: Vec<String> = KINDS
            .iter()
            .flat_map(|info| {
                let kind = [info.kind.to_ascii_lowercase(), info.plural()];
                kind.into_iter().chain(info.short.iter().map(ToString::to_string))
            })
            .collect();
        let all = words.len();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn control_kinds_are_those_that_steer_the_program() {
        let control: Vec<&str> =
            KINDS.iter().filter(|info| info.control).map(|info| info.kind).collect();
        assert_eq!(
            control,
            [
                "Router",
                "EventGroup",
                "EventPeer",
                "EventSubscription",
                "Plugin",
                "DynamicOverridePolicy",
                "DynamicConfigPart",
                "ConfigOutput"
            ]
        );
    }
}
