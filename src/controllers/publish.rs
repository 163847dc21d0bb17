//! The revision of the effective config: durable, and moved only when the bytes change.
//!
//! One key. It also keeps time for the effective config: when the next part ends, it looks again,
//! so that outputs and watchers hear of an expiry that nobody wrote.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Shared;
use crate::api::object::ObjectKey;
use crate::runtime::{Action, Failure, Reconciler, Trigger, TriggerSender};
use crate::store::tables::Single;
use crate::store::{Store, StoreError, WriteError};

/// Where the revision is kept.
const NAME: &str = "effective";

/// A revision of the effective config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Counts the changes of the bytes, over restarts.
    pub revision: u64,
    /// Digest of the content.
    pub digest: String,
}

impl Published {
    /// The one last stored.
    pub fn load(store: &Store) -> Result<Self, StoreError> {
        let row = store.get::<Single>(&NAME.to_owned())?;
        // A value that does not read is as good as none: the next look writes it anew.
        Ok(row.and_then(|row| serde_json::from_str(&row.value).ok()).unwrap_or_default())
    }
}

/// Publishes revisions.
pub struct Publisher {
    shared: Arc<Shared>,
    published: watch::Sender<Published>,
    outputs: TriggerSender<ObjectKey>,
}

/// Why a revision was not published; it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the revision of the effective config")]
pub struct PublishError(#[from] WriteError<StoreError>);

impl Publisher {
    /// A publisher that wakes `outputs` at each new revision.
    pub fn new(shared: Arc<Shared>, outputs: TriggerSender<ObjectKey>) -> Result<Self, StoreError> {
        let published = watch::Sender::new(Published::load(&shared.store)?);
        Ok(Self { shared, published, outputs })
    }

    /// The last revision, now and whenever there is a new one.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }
}

impl Reconciler for Publisher {
    type Key = ();
    type Error = PublishError;

    async fn reconcile(&self, (): &()) -> Result<Action, PublishError> {
        let now = self.shared.clock.now();
        let (digest, next) = {
            let mut effective = self.shared.effective();
            effective.expire(now);
            (effective.digest().to_owned(), effective.next_expiry())
        };
        if self.published.borrow().digest != digest {
            let wrote = self.shared.store.write(move |txn| {
                let old = txn.get::<Single>(&NAME.to_owned())?;
                let old: Published =
                    old.and_then(|row| serde_json::from_str(&row.value).ok()).unwrap_or_default();
                let new = Published { revision: old.revision + 1, digest };
                let value = serde_json::to_string(&new).expect("plain data");
                txn.put(&Single { name: NAME.to_owned(), value })?;
                Ok::<_, StoreError>(new)
            });
            self.published.send_replace(wrote.await?.value);
            let outputs: Vec<ObjectKey> = {
                let world = self.shared.world();
                world.objects.outputs().map(|(key, _)| key.clone()).collect()
            };
            self.outputs.extend(outputs, Trigger::Related);
        }
        Ok(next.map_or(Action::AwaitChange, |next| {
            let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
            Action::RequeueAfter(wait + Duration::from_millis(1))
        }))
    }

    fn classify(&self, _: &PublishError) -> Failure {
        Failure::Retry
    }
}
