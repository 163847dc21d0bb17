//! What the last scan reported, by object: what the conditions are told from.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::api::accepted::Accepted;
use crate::api::condition::Condition;
use crate::api::object::ObjectKey;
use crate::runtime::{Shutdown, Trigger, TriggerSender};
use crate::sources::report::{ConfigReport, Findings, Index};

/// The findings about each object that there is something to say about.
#[derive(Debug, Default)]
pub struct Reports {
    /// The last scan whose report was taken up, and triggered whom it concerns.
    taken_up: watch::Sender<u64>,
    /// None before the first scan.
    by_object: RwLock<Option<HashMap<ObjectKey, Findings>>>,
}

impl Reports {
    /// The conditions that a scan gives an object; none before the first.
    pub fn conditions(&self, accepted: &Accepted) -> Vec<Condition> {
        let by_object = self.by_object.read().unwrap_or_else(PoisonError::into_inner);
        let Some(by_object) = &*by_object else { return Vec::new() };
        match by_object.get(accepted.key()) {
            Some(findings) => Index::of(findings).conditions_of(accepted),
            None => Index::of(&Findings::default()).conditions_of(accepted),
        }
    }

    /// Takes up a report. Returns the objects about which there is something else to say; none if it
    /// is the first, and that may be all.
    fn take_up(&self, report: &ConfigReport) -> Option<BTreeSet<ObjectKey>> {
        let new = by_object(&report.findings);
        let mut by_object = self.by_object.write().unwrap_or_else(PoisonError::into_inner);
        let changed = by_object.as_ref().map(|old| {
            let keys = old.keys().chain(new.keys());
            keys.filter(|key| old.get(key) != new.get(key)).cloned().collect()
        });
        *by_object = Some(new);
        changed
    }

    /// Waits until the report of this scan has triggered whom it concerns.
    pub async fn taken_up(&self, scan: u64) {
        // The sender is our own, so the wait does not fail.
        let mut taken_up = self.taken_up.subscribe();
        let _seen = taken_up.wait_for(|taken| *taken >= scan).await;
    }

    /// Follows the reports of the scans; `all` names every object that is in force.
    pub async fn follow(
        self: Arc<Self>,
        mut reports: watch::Receiver<Arc<ConfigReport>>,
        all: impl Fn() -> BTreeSet<ObjectKey>,
        conditions: TriggerSender<ObjectKey>,
        shutdown: Shutdown,
    ) -> Result<(), Infallible> {
        loop {
            let report = Arc::clone(&reports.borrow_and_update());
            if report.last_scan.is_some() {
                let concerned = self.take_up(&report).unwrap_or_else(&all);
                conditions.extend(concerned, Trigger::Related);
                self.taken_up.send_replace(report.scan_revision);
            }
            tokio::select! {
                () = shutdown.draining() => return Ok(()),
                changed = reports.changed() => if changed.is_err() {
                    // The loop that scans has ended; whoever watches that one stops the daemon.
                    shutdown.draining().await;
                    return Ok(());
                },
            }
        }
    }
}

fn by_object(findings: &Findings) -> HashMap<ObjectKey, Findings> {
    let mut found: HashMap<ObjectKey, Findings> = HashMap::new();
    for problem in &findings.problems {
        for key in problem.object.iter().chain(&problem.keeps) {
            let about = found.entry(key.clone()).or_default();
            if about.problems.last() != Some(problem) {
                about.problems.push(problem.clone());
            }
        }
    }
    for held in &findings.held {
        for key in &held.objects {
            let mut held = held.clone();
            held.objects = vec![key.clone()];
            found.entry(key.clone()).or_default().held.push(held);
        }
    }
    found
}
