//! The revision of the effective config: durable, and moved only when the bytes change.
//!
//! One key. It also keeps time for the effective config: when the next part ends, it looks again,
//! so that outputs and watchers hear of an expiry that nobody wrote.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Shared;
use super::follow::Triggers;
use crate::api::object::ObjectKey;
use crate::render::Index;
use crate::runtime::{Action, Failure, Reconciler, Trigger};
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

impl Shared {
    /// The number of what the index holds now: the next one if the bytes are others than those that
    /// the last number was given to. Whoever shows the bytes asks under the index's lock, so that
    /// while the daemon runs one number never means two contents. After a crash a number that was
    /// not on disk yet may be given again; the digest tells such contents apart.
    pub fn number(&self, effective: &Index) -> Published {
        self.revisions.send_if_modified(|last| {
            let is_new = last.digest != effective.digest();
            if is_new {
                last.revision += 1;
                effective.digest().clone_into(&mut last.digest);
            }
            is_new
        });
        self.revisions.borrow().clone()
    }

    /// The last number given, now and whenever there is a new one.
    pub fn revisions(&self) -> watch::Receiver<Published> {
        self.revisions.subscribe()
    }
}

/// Publishes revisions.
pub struct Publisher {
    shared: Arc<Shared>,
    /// What is on disk.
    stored: Mutex<Published>,
    triggers: Triggers,
}

/// Why a revision was not published; it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the revision of the effective config")]
pub struct PublishError(#[from] WriteError<StoreError>);

impl Publisher {
    /// A publisher that wakes outputs at each new revision. Numbers go on from the stored one.
    pub fn new(shared: Arc<Shared>, triggers: Triggers) -> Result<Self, StoreError> {
        let stored = Published::load(&shared.store)?;
        shared.revisions.send_replace(stored.clone());
        Ok(Self { shared, stored: Mutex::new(stored), triggers })
    }

    fn stored(&self) -> MutexGuard<'_, Published> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciler for Publisher {
    type Key = ();
    type Error = PublishError;

    async fn reconcile(&self, (): &()) -> Result<Action, PublishError> {
        let now = self.shared.clock.now();
        let (published, next, (parts, objects)) = {
            let mut effective = self.shared.effective();
            effective.expire(now);
            let touched = self.shared.take_touched(&mut effective);
            (self.shared.number(&effective), effective.next_expiry(), touched)
        };
        self.triggers.touched(parts, objects);
        if *self.stored() != published {
            let value = serde_json::to_string(&published).expect("plain data");
            let row = Single { name: NAME.to_owned(), value };
            self.shared.store.write(move |txn| txn.put(&row)).await?;
            *self.stored() = published;
            let outputs: Vec<ObjectKey> = {
                let world = self.shared.world();
                world.objects.outputs().map(|(key, _)| key.clone()).collect()
            };
            self.triggers.outputs.extend(outputs, Trigger::Related);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::controllers::fixture::{Bench, Reply};

    #[tokio::test(start_paused = true)]
    async fn a_number_never_means_two_contents_whoever_looks_and_whenever() {
        let mut bench = Bench::new(json!({}), |_| Reply::Exit(1)).await;
        let number = |bench: &Bench| bench.shared.number(&bench.shared.effective());
        let a = number(&bench);
        assert_eq!(number(&bench), a, "the same bytes, the same number");
        // It changes and changes back before anything is written: whoever saw the middle is told.
        bench.delete("plugin", "Plugin", "p").await;
        let b = number(&bench);
        bench.manifests(&json!({})).await;
        let again = number(&bench);
        assert_eq!((b.revision, again.revision), (a.revision + 1, a.revision + 2));
        assert_ne!(a.digest, b.digest);
        assert_eq!(a.digest, again.digest);
        assert_eq!(*bench.shared.revisions().borrow(), again);
    }
}
