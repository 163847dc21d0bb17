use tokio::time::sleep;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
#[error("no route to host")]
struct NoRoute;

/// Runs until asked to stop, then takes `time` to do so.
async fn obedient(shutdown: Shutdown, time: Duration) -> Result<(), NoRoute> {
    shutdown.draining().await;
    sleep(time).await;
    Ok(())
}

fn group() -> (TaskGroup, Shutdown) {
    let shutdown = Shutdown::new();
    let mut group = TaskGroup::new(shutdown.clone());
    group.critical("obedient", obedient(shutdown.clone(), SECOND));
    (group, shutdown)
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_asked_to_stop_waits_for_its_tasks_and_ends_well() {
    let (group, shutdown) = group();
    let started = Instant::now();
    shutdown.drain();
    group.run(HOUR).await.unwrap();
    assert_eq!(started.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_that_fails_brings_the_group_down_with_its_name_and_error() {
    let (mut group, shutdown) = group();
    group.critical("uplink", async { Err::<(), _>(NoRoute) });
    let error = group.run(HOUR).await.unwrap_err();
    assert_eq!(with_sources(&error), "task uplink failed: no route to host");
    assert!(shutdown.is_draining(), "the others were asked to stop");
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_that_panics_brings_the_group_down_with_its_name_and_message() {
    let (mut group, _) = group();
    group.critical("uplink", async { panic!("unplugged") as Result<(), NoRoute> });
    let error = group.run(HOUR).await.unwrap_err();
    assert_eq!(error.to_string(), "task uplink panicked: unplugged");
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_that_just_ends_brings_the_group_down() {
    let (mut group, _) = group();
    group.critical("uplink", async { Ok::<(), NoRoute>(()) });
    let error = group.run(HOUR).await.unwrap_err();
    assert_eq!(error.to_string(), "task uplink ended before it was asked to");
}

#[tokio::test(start_paused = true)]
async fn a_background_task_that_fails_or_panics_is_lost_and_the_group_goes_on() {
    let (mut group, shutdown) = group();
    group.background("scrub", async { Err::<(), _>(NoRoute) });
    group.background("warm-up", async { panic!("cold") as Result<(), NoRoute> });
    group.background("banner", async { Ok::<(), NoRoute>(()) });
    let group = tokio::spawn(group.run(HOUR));
    sleep(HOUR).await;
    assert!(!group.is_finished());
    shutdown.drain();
    group.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_is_the_one_that_is_told() {
    let (mut group, shutdown) = group();
    group.critical("first", async { Err::<(), _>(NoRoute) });
    group.critical("second", async move {
        shutdown.draining().await;
        Err::<(), _>(NoRoute)
    });
    let error = group.run(HOUR).await.unwrap_err();
    assert_eq!(error.to_string(), "task first failed");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_outlive_their_grace_are_aborted_and_named() {
    let (mut group, shutdown) = group();
    group.critical("deaf", std::future::pending::<Result<(), NoRoute>>());
    group.background("slow", obedient(shutdown.clone(), HOUR));
    let started = Instant::now();
    shutdown.drain();
    let error = group.run(SECOND * 2).await.unwrap_err();
    assert_eq!(error.to_string(), "tasks did not stop in time: deaf, slow");
    assert_eq!(started.elapsed(), SECOND * 2 + TO_OBEY);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_ends_the_grace_and_those_who_obey_are_not_blamed() {
    let (mut group, shutdown) = group();
    group.critical("quick", {
        let shutdown = shutdown.clone();
        async move {
            shutdown.aborting().await;
            Ok::<(), NoRoute>(())
        }
    });
    group.critical("deaf", std::future::pending::<Result<(), NoRoute>>());
    let group = tokio::spawn(group.run(HOUR));
    shutdown.request();
    sleep(SECOND * 2).await;
    assert!(!group.is_finished());
    shutdown.request();
    let error = group.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "tasks did not stop in time: deaf");
}

#[tokio::test(start_paused = true)]
async fn an_empty_group_ends_at_once() {
    TaskGroup::new(Shutdown::new()).run(HOUR).await.unwrap();
}
