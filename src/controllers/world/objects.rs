//! Manifest objects in memory: the typed ones that the controllers act on, and who names whom.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::api::accepted::Accepted;
use crate::api::kinds::config::ConfigOutputSpec;
use crate::api::kinds::decode::spec_of;
use crate::api::kinds::federation::{EventGroupSpec, EventSubscriptionSpec, Retention};
use crate::api::kinds::plugin::PluginSpec;
use crate::api::kinds::references::{Reference, references};
use crate::api::kinds::spec::Spec;
use crate::api::kinds::{config, federation, plugin};
use crate::api::object::ObjectKey;
use crate::api::run::effect_digest;
use crate::controllers::matcher::{Matcher, Matches};

/// An accepted EventGroup.
#[derive(Debug, PartialEq)]
pub struct Group {
    /// What is stored.
    pub accepted: Arc<Accepted>,
    /// Its spec.
    pub spec: EventGroupSpec,
}

/// An accepted EventSubscription.
#[derive(Debug, PartialEq)]
pub struct Subscription {
    /// What is stored.
    pub accepted: Arc<Accepted>,
    /// Its spec.
    pub spec: EventSubscriptionSpec,
}

/// An accepted Plugin.
#[derive(Debug, PartialEq)]
pub struct Plugin {
    /// What is stored.
    pub accepted: Arc<Accepted>,
    /// Its spec.
    pub spec: PluginSpec,
    /// Digest of what shapes its results.
    pub effect: String,
}

/// An accepted ConfigOutput.
#[derive(Debug, PartialEq)]
pub struct Output {
    /// What is stored.
    pub accepted: Arc<Accepted>,
    /// Its spec.
    pub spec: ConfigOutputSpec,
}

/// All accepted objects.
#[derive(Debug, Default)]
pub struct Objects {
    accepted: HashMap<ObjectKey, Arc<Accepted>>,
    groups: HashMap<String, Arc<Group>>,
    plugins: HashMap<String, Arc<Plugin>>,
    subscriptions: HashMap<Arc<str>, Arc<Subscription>>,
    outputs: HashMap<ObjectKey, Arc<Output>>,
    of_group: HashMap<String, BTreeSet<Arc<str>>>,
    of_plugin: HashMap<String, BTreeSet<Arc<str>>>,
    /// Who names an object that must be there.
    named_by: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    names: HashMap<ObjectKey, Vec<ObjectKey>>,
    /// The subscriptions' `match`es, ready to be asked.
    pub matcher: Matcher,
}

impl Objects {
    /// Any accepted object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Accepted>> {
        self.accepted.get(key)
    }

    /// All accepted objects, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Accepted>> {
        self.accepted.values()
    }

    /// An EventGroup by name.
    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// All EventGroups.
    pub fn groups(&self) -> impl Iterator<Item = (&String, &Arc<Group>)> {
        self.groups.iter()
    }

    /// A Plugin by name.
    pub fn plugin(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(name)
    }

    /// All Plugins.
    pub fn plugins(&self) -> impl Iterator<Item = (&String, &Arc<Plugin>)> {
        self.plugins.iter()
    }

    /// An EventSubscription by name.
    pub fn subscription(&self, name: &str) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(name)
    }

    /// All EventSubscriptions.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Subscription>)> {
        self.subscriptions.iter()
    }

    /// A ConfigOutput.
    pub fn output(&self, key: &ObjectKey) -> Option<&Arc<Output>> {
        self.outputs.get(key)
    }

    /// All ConfigOutputs.
    pub fn outputs(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<Output>)> {
        self.outputs.iter()
    }

    /// The subscriptions that name this group.
    pub fn subscriptions_of_group(&self, group: &str) -> impl Iterator<Item = &Arc<str>> {
        self.of_group.get(group).into_iter().flatten()
    }

    /// The subscriptions that name this plugin.
    pub fn subscriptions_of_plugin(&self, plugin: &str) -> impl Iterator<Item = &Arc<str>> {
        self.of_plugin.get(plugin).into_iter().flatten()
    }

    /// The objects that name this one, whether or not it is there.
    pub fn named_by(&self, key: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.named_by.get(key).into_iter().flatten()
    }

    /// How long facts without an expiry live in a group; the default where the group is gone.
    pub fn max_age(&self, group: &str) -> Duration {
        self.groups
            .get(group)
            .map_or_else(|| Retention::default().max_age, |g| g.spec.retention.max_age)
            .get()
    }

    /// Puts or takes an object. Returns the group whose `maxAge` may have changed.
    pub fn set(&mut self, key: &ObjectKey, accepted: Option<Arc<Accepted>>) -> Option<String> {
        let regrouped = self.forget(key);
        let Some(accepted) = accepted else { return regrouped };
        // What was accepted decoded once; a later program that is stricter leaves it untyped.
        let spec = if accepted.typed { spec_of(&accepted.resource).ok() } else { None };
        if let Some(spec) = &spec {
            self.note_names(key, spec);
        }
        let name = key.name.clone();
        let mut changed = regrouped;
        match spec {
            Some(Spec::EventGroup(spec)) => {
                let group = Group { accepted: Arc::clone(&accepted), spec: *spec };
                self.groups.insert(name.clone(), Arc::new(group));
                changed = Some(name);
            }
            Some(Spec::Plugin(spec)) => {
                let effect = effect_digest(&name, &spec);
                let plugin = Plugin { accepted: Arc::clone(&accepted), spec: *spec, effect };
                self.plugins.insert(name, Arc::new(plugin));
            }
            Some(Spec::EventSubscription(spec)) => {
                let name: Arc<str> = name.into();
                self.matcher.put(&name, Arc::new(Matches::new(&spec.group_ref, &spec.r#match)));
                self.of_group.entry(spec.group_ref.clone()).or_default().insert(Arc::clone(&name));
                self.of_plugin
                    .entry(spec.trigger.plugin_ref.clone())
                    .or_default()
                    .insert(Arc::clone(&name));
                let subscription = Subscription { accepted: Arc::clone(&accepted), spec: *spec };
                self.subscriptions.insert(name, Arc::new(subscription));
            }
            Some(Spec::ConfigOutput(spec)) => {
                let output = Output { accepted: Arc::clone(&accepted), spec: *spec };
                self.outputs.insert(key.clone(), Arc::new(output));
            }
            _ => {}
        }
        self.accepted.insert(key.clone(), accepted);
        changed
    }

    fn note_names(&mut self, key: &ObjectKey, spec: &Spec) {
        let targets: Vec<ObjectKey> =
            references(spec).iter().filter(|r| r.hard).map(Reference::target).collect();
        for target in &targets {
            self.named_by.entry(target.clone()).or_default().insert(key.clone());
        }
        if !targets.is_empty() {
            self.names.insert(key.clone(), targets);
        }
    }

    fn forget(&mut self, key: &ObjectKey) -> Option<String> {
        self.accepted.remove(key)?;
        for target in self.names.remove(key).into_iter().flatten() {
            if let Some(namers) = self.named_by.get_mut(&target) {
                namers.remove(key);
                if namers.is_empty() {
                    self.named_by.remove(&target);
                }
            }
        }
        match (key.api_version.as_str(), key.kind.as_str()) {
            (federation::API_VERSION, "EventGroup") => {
                return self.groups.remove(&key.name).map(|_| key.name.clone());
            }
            (plugin::API_VERSION, "Plugin") => _ = self.plugins.remove(&key.name),
            (config::API_VERSION, "ConfigOutput") => _ = self.outputs.remove(key),
            (federation::API_VERSION, "EventSubscription") => {
                self.matcher.remove(&key.name);
                if let Some(old) = self.subscriptions.remove(key.name.as_str()) {
                    unlist(&mut self.of_group, &old.spec.group_ref, &key.name);
                    unlist(&mut self.of_plugin, &old.spec.trigger.plugin_ref, &key.name);
                }
            }
            _ => {}
        }
        None
    }
}

fn unlist(lists: &mut HashMap<String, BTreeSet<Arc<str>>>, key: &str, name: &str) {
    if let Some(names) = lists.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            lists.remove(key);
        }
    }
}
