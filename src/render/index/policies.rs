//! Which source may mask what, and by which policy.

use std::collections::BTreeMap;

use super::super::refs;
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::object::ObjectKey;

/// The permissions of all accepted policies: by target, then by source and policy, each with the
/// time since when the policy says so.
#[derive(Debug, Default)]
pub(super) struct Policies(BTreeMap<ObjectKey, BTreeMap<(String, String), Time>>);

impl Policies {
    /// Takes up a policy's permissions; gives the targets.
    pub(super) fn add(&mut self, policy: &Accepted) -> Vec<ObjectKey> {
        let allowed = refs::allowed_masks(&policy.resource);
        for (source, target) in &allowed {
            let entry = (source.clone(), policy.key().name.clone());
            self.0.entry(target.clone()).or_default().insert(entry, policy.accepted_at);
        }
        allowed.into_iter().map(|(_, target)| target).collect()
    }

    /// Gives up a policy's permissions; gives the targets.
    pub(super) fn remove(&mut self, policy: &Accepted) -> Vec<ObjectKey> {
        let allowed = refs::allowed_masks(&policy.resource);
        for (source, target) in &allowed {
            if let Some(entries) = self.0.get_mut(target) {
                entries.remove(&(source.clone(), policy.key().name.clone()));
                if entries.is_empty() {
                    self.0.remove(target);
                }
            }
        }
        allowed.into_iter().map(|(_, target)| target).collect()
    }

    /// The first policy by name that lets `source` mask `target`, and since when it does.
    pub(super) fn allowing(&self, source: &str, target: &ObjectKey) -> Option<(&str, Time)> {
        let first = (source.to_owned(), String::new());
        let ((found, policy), since) = self.0.get(target)?.range(first..).next()?;
        (found == source).then_some((policy.as_str(), *since))
    }
}
