//! Whether everything that was known has been dealt with, in all controllers at once.
//!
//! One controller that is settled says little: another may be about to trigger it, or it has just
//! written what a reflector has yet to see. So the look is taken twice.

use super::reflector::Progress;
use super::stats::{Observer, Stopped};

/// Waits, without polling, for a fixed point: every reflector has taken in the head of the source,
/// every controller is settled, and neither changed while we looked.
///
/// `head` is the newest revision of the source. Controllers that feed each other for ever never
/// converge; give the wait a timeout. Fails when one of the parts has stopped.
pub async fn converged(
    head: impl Fn() -> u64,
    reflectors: &[Progress],
    controllers: &[Observer],
) -> Result<(), Stopped> {
    loop {
        let seen = head();
        for reflector in reflectors {
            reflector.reached(seen).await?;
        }
        let mut epochs = Vec::with_capacity(controllers.len());
        for controller in controllers {
            epochs.push(controller.settled().await?);
        }
        // All epochs the same as when each was settled: there was a moment, after the last first
        // look and before the first second one, at which all were settled together. And no new
        // head since: in that moment there was nothing on its way either.
        let still = controllers.iter().zip(&epochs).all(|(c, e)| c.settled_epoch() == Some(*e));
        if still && head() == seen {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
    use std::sync::{Arc, OnceLock};
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio::time::sleep;

    use super::super::queue::Trigger;
    use super::super::{
        Action, Backoff, Controller, Failure, Reconciler, Reflector, Shutdown, Sink, Source, Step,
        TriggerSender,
    };
    use super::*;

    /// Runs a while, then hands its key, one less, to the next controller.
    struct PassOn {
        next: OnceLock<TriggerSender<u32>>,
        runs: Arc<AtomicUsize>,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("never")]
    struct Never;

    impl Reconciler for PassOn {
        type Key = u32;
        type Error = Never;

        async fn reconcile(&self, key: &u32) -> Result<Action, Never> {
            sleep(Duration::from_secs(1)).await;
            self.runs.fetch_add(1, SeqCst);
            if let Some(next) = self.next.get().filter(|_| *key > 0) {
                next.related(key - 1);
            }
            Ok(Action::await_change())
        }

        fn classify(&self, _: &Never) -> Failure {
            Failure::Retry
        }
    }

    #[tokio::test(start_paused = true)]
    async fn controllers_that_trigger_each_other_in_turn_converge_after_the_last_turn() {
        let controllers: Vec<_> =
            (0..3).map(|i| Controller::new(format!("c{i}"), Backoff::default())).collect();
        let observers: Vec<_> = controllers.iter().map(Controller::observer).collect();
        let triggers: Vec<_> = controllers.iter().map(Controller::triggers).collect();
        let runs = Arc::new(AtomicUsize::new(0));
        for (i, controller) in controllers.into_iter().enumerate() {
            // In the direction in which a single look, from first to last, would be fooled.
            let next = triggers[(i + 2) % 3].clone();
            let reconciler = PassOn { next: next.into(), runs: Arc::clone(&runs) };
            tokio::spawn(controller.run(Arc::new(reconciler), Shutdown::new()));
        }
        triggers[0].trigger(20, Trigger::Related);
        converged(|| 0, &[], &observers).await.unwrap();
        assert_eq!(runs.load(SeqCst), 21);
    }

    /// A source whose revision is its only content.
    struct Counter(watch::Receiver<u64>);

    impl Source for Counter {
        type Listing = ();
        type Change = u64;
        type Error = Never;

        async fn list(&mut self) -> Result<((), u64), Never> {
            Ok(((), *self.0.borrow()))
        }

        async fn next(&mut self, cursor: u64) -> Result<Step<u64>, Never> {
            let revision = self.0.wait_for(|now| *now > cursor).await.map(|now| *now);
            // Slow, so that a write is on its way for a while.
            sleep(Duration::from_secs(1)).await;
            let revision = revision.map_err(|_| Never)?;
            Ok(Step::Changes { changes: vec![revision], revision })
        }
    }

    struct TriggerAll(TriggerSender<u32>);

    impl Sink<Counter> for TriggerAll {
        fn replace(&mut self, (): ()) {
            self.0.related(0);
        }

        fn apply(&mut self, _: Vec<u64>) {
            self.0.related(0);
        }
    }

    /// Writes to the source it is triggered by, a few times.
    struct Writer {
        source: Arc<watch::Sender<u64>>,
        last: Arc<AtomicU64>,
    }

    impl Reconciler for Writer {
        type Key = u32;
        type Error = Never;

        async fn reconcile(&self, _: &u32) -> Result<Action, Never> {
            let revision = *self.source.borrow();
            if revision < 5 {
                self.source.send_replace(revision + 1);
            }
            self.last.store(revision, SeqCst);
            Ok(Action::await_change())
        }

        fn classify(&self, _: &Never) -> Failure {
            Failure::Retry
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_on_its_way_through_the_reflector_holds_up_convergence() {
        let source = Arc::new(watch::Sender::new(0));
        let controller = Controller::new("writer", Backoff::default());
        let reflector = Reflector::new("counter", Backoff::default());
        let (progress, observer) = (reflector.progress(), controller.observer());
        let (sink, shutdown) = (TriggerAll(controller.triggers()), Shutdown::new());
        tokio::spawn(reflector.run(Counter(source.subscribe()), sink, shutdown.clone()));
        let last = Arc::new(AtomicU64::new(0));
        let writer = Writer { source: Arc::clone(&source), last: Arc::clone(&last) };
        tokio::spawn(controller.run(Arc::new(writer), shutdown));
        converged(|| *source.borrow(), &[progress], &[observer]).await.unwrap();
        assert_eq!(last.load(SeqCst), 5, "the last write was reconciled too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_stopped_is_an_error_and_not_an_endless_wait() {
        let controller = Controller::new("gone", Backoff::default());
        let observer = controller.observer();
        let shutdown = Shutdown::new();
        shutdown.drain();
        let reconciler = PassOn { next: OnceLock::new(), runs: Arc::default() };
        controller.run(Arc::new(reconciler), shutdown).await.unwrap();
        let error = converged(|| 0, &[], &[observer]).await.unwrap_err();
        assert_eq!(error.to_string(), "gone has stopped");
    }
}
