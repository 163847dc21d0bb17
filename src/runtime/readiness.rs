//! Whether a cache has been filled for the first time.
//!
//! A reconcile that reads a cache before it is filled sees a world in which nothing exists, and
//! would tear everything down. So a [controller](super::Controller) names the caches it reads, and
//! starts no reconcile before all of them are ready.

use std::sync::Arc;

use tokio::sync::watch;

/// A flag that goes up once, and the two ends of it. The `name` is for those who wait in the log.
pub fn readiness(name: impl Into<Arc<str>>) -> (ReadySetter, Ready) {
    let (sender, receiver) = watch::channel(false);
    (ReadySetter(sender), Ready { name: name.into(), receiver })
}

/// The end that knows: held by whoever fills the cache.
#[derive(Debug)]
pub struct ReadySetter(watch::Sender<bool>);

impl ReadySetter {
    /// Raises the flag, for good.
    pub fn set(&self) {
        self.0.send_if_modified(|ready| !std::mem::replace(ready, true));
    }
}

/// The end that waits.
#[derive(Clone, Debug)]
pub struct Ready {
    name: Arc<str>,
    receiver: watch::Receiver<bool>,
}

/// Whoever should have filled a cache is gone and never did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cache {name} will never be ready")]
pub struct NeverReady {
    /// The cache.
    pub name: Arc<str>,
}

impl Ready {
    /// What becomes ready.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True once the flag is up.
    pub fn is_ready(&self) -> bool {
        *self.receiver.borrow()
    }

    /// Waits for the flag. Fails when the setter is dropped without raising it.
    pub async fn wait(&self) -> Result<(), NeverReady> {
        let raised = self.receiver.clone().wait_for(|ready| *ready).await.map(|_| ());
        raised.map_err(|_| NeverReady { name: Arc::clone(&self.name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_goes_on_when_the_flag_goes_up_and_it_stays_up() {
        let (setter, ready) = readiness("zones");
        let waiter = tokio::spawn({
            let ready = ready.clone();
            async move { ready.wait().await }
        });
        assert!(!ready.is_ready());
        setter.set();
        assert_eq!(waiter.await.unwrap(), Ok(()));
        drop(setter);
        assert!(ready.is_ready());
        assert_eq!(ready.wait().await, Ok(()));
    }

    #[tokio::test]
    async fn a_cache_whose_owner_died_early_is_an_error_and_not_an_endless_wait() {
        let (setter, ready) = readiness("zones");
        drop(setter);
        let error = ready.wait().await.unwrap_err();
        assert_eq!(error.to_string(), "cache zones will never be ready");
    }
}
