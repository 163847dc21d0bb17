//! Answering without a daemon: what a daemon would say that has just started, from the store alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::effective::Effective;
use super::error::ApiError;
use super::read::Reader;
use crate::api::kinds::federation::EventGroupSpec;

/// What a `routerctl` without a daemon knows beside the store.
#[derive(Debug, Clone, Default)]
pub struct Offline {
    groups: Arc<BTreeMap<String, EventGroupSpec>>,
}

impl Offline {
    /// On the store alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Emits into these groups, too, where the store has none of the name.
    #[must_use]
    pub fn with_groups(mut self, groups: BTreeMap<String, EventGroupSpec>) -> Self {
        self.groups = Arc::new(groups);
        self
    }

    pub(super) fn groups(&self) -> Arc<BTreeMap<String, EventGroupSpec>> {
        Arc::clone(&self.groups)
    }
}

/// The effective config of the stored manifests and parts.
pub(super) fn effective(reader: &Reader) -> Result<Effective, ApiError> {
    let parts: Vec<_> = reader.stored_parts()?.into_iter().map(Arc::new).collect();
    Ok(Effective::of(&reader.accepted()?, &parts, reader.now()))
}
