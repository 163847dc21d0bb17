use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("the log is on fire")]
struct OnFire;

/// Plays answers in order, then waits for ever; keeps the cursors it was asked for.
struct Played {
    answers: VecDeque<Answer>,
    asked: Arc<Mutex<Vec<Option<u64>>>>,
}

enum Answer {
    Listing(u64),
    Changes(u64),
    Lagged,
    Failure,
}

impl Source for Played {
    type Listing = u64;
    type Change = u64;
    type Error = OnFire;

    async fn list(&mut self) -> Result<(u64, u64), OnFire> {
        self.asked.lock().unwrap().push(None);
        match self.answers.pop_front() {
            Some(Answer::Listing(revision)) => Ok((revision, revision)),
            Some(Answer::Failure) => Err(OnFire),
            _ => std::future::pending().await,
        }
    }

    async fn next(&mut self, cursor: u64) -> Result<Step<u64>, OnFire> {
        self.asked.lock().unwrap().push(Some(cursor));
        match self.answers.pop_front() {
            Some(Answer::Changes(revision)) => {
                Ok(Step::Changes { changes: (cursor + 1..=revision).collect(), revision })
            }
            Some(Answer::Lagged) => Ok(Step::Lagged),
            Some(Answer::Failure) => Err(OnFire),
            _ => std::future::pending().await,
        }
    }
}

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Sink<Played> for Heard {
    fn replace(&mut self, listing: u64) {
        self.0.lock().unwrap().push(format!("all at {listing}"));
    }

    fn apply(&mut self, changes: Vec<u64>) {
        self.0.lock().unwrap().push(format!("{changes:?}"));
    }
}

struct Following {
    heard: Heard,
    asked: Arc<Mutex<Vec<Option<u64>>>>,
    ready: Ready,
    progress: Progress,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<Result<(), Infallible>>,
}

fn follow(answers: impl IntoIterator<Item = Answer>) -> Following {
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let reflector = Reflector::new("valves", backoff);
    let (ready, progress) = (reflector.ready(), reflector.progress());
    let (heard, asked, shutdown) = (Heard::default(), Arc::default(), Shutdown::new());
    let source = Played { answers: answers.into_iter().collect(), asked: Arc::clone(&asked) };
    let task = tokio::spawn(reflector.run(source, heard.clone(), shutdown.clone()));
    Following { heard, asked, ready, progress, shutdown, task }
}

impl Following {
    fn heard(&self) -> Vec<String> {
        self.heard.0.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_reflector_lists_first_and_then_follows_from_where_the_listing_was_true() {
    let run = follow([Answer::Listing(5), Answer::Changes(7), Answer::Changes(8)]);
    run.progress.reached(8).await.unwrap();
    assert_eq!(run.heard(), ["all at 5", "[6, 7]", "[8]"]);
    assert_eq!(run.asked.lock().unwrap()[..3], [None, Some(5), Some(7)]);
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_ready_after_the_first_listing_and_not_before() {
    let run = follow([Answer::Failure, Answer::Listing(0)]);
    assert!(!run.ready.is_ready());
    assert_eq!(run.progress.revision(), None);
    run.ready.wait().await.unwrap();
    assert_eq!(run.heard(), ["all at 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_reflector_that_fell_behind_lists_everything_again() {
    let answers = [Answer::Listing(5), Answer::Lagged, Answer::Listing(900), Answer::Changes(901)];
    let run = follow(answers);
    run.progress.reached(901).await.unwrap();
    assert_eq!(run.heard(), ["all at 5", "all at 900", "[901]"]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_read_is_asked_again_at_the_same_cursor_after_a_pause() {
    let started = Instant::now();
    let run = follow([Answer::Listing(5), Answer::Failure, Answer::Failure, Answer::Changes(6)]);
    run.progress.reached(6).await.unwrap();
    assert_eq!(run.heard(), ["all at 5", "[6]"], "a failure is not a reason to list again");
    assert_eq!(run.asked.lock().unwrap()[..4], [None, Some(5), Some(5), Some(5)]);
    // Half a second to one, then one to two.
    assert!(started.elapsed() >= Duration::from_millis(1_500));
}

#[tokio::test(start_paused = true)]
async fn why_a_source_cannot_be_read_is_told_for_as_long_as_that_is_so() {
    let run = follow([Answer::Failure, Answer::Failure, Answer::Listing(5)]);
    let first = run.progress.troubled().await.unwrap();
    assert_eq!(&*first.error, "the log is on fire");
    tokio::time::sleep(Duration::from_millis(1_001)).await;
    let still = run.progress.trouble().expect("the second try failed too");
    assert_eq!(still.since, first.since);
    run.progress.reached(5).await.unwrap();
    assert!(run.progress.trouble().is_none());
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_after_the_sink_has_taken_the_changes_in() {
    let run = follow([Answer::Listing(5), Answer::Changes(6)]);
    for revision in [5, 6] {
        run.progress.reached(revision).await.unwrap();
        assert!(run.heard().len() > usize::try_from(revision - 5).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_reflector_that_ended_is_an_error_and_not_an_endless_wait() {
    let run = follow([Answer::Listing(5)]);
    run.progress.reached(5).await.unwrap();
    run.shutdown.drain();
    assert_eq!(run.task.await.unwrap(), Ok(()));
    assert_eq!(run.progress.reached(6).await, Err(Stopped { name: "valves".into() }));
}
