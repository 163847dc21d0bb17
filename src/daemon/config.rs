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
    by_object: RwLock<HashMap<ObjectKey, Findings>>,
}

impl Reports {
    /// The conditions that a scan gives an object.
    pub fn conditions(&self, accepted: &Accepted) -> Vec<Condition> {
        let by_object = self.by_object.read().unwrap_or_else(PoisonError::into_inner);
        match by_object.get(accepted.key()) {
            Some(findings) => Index::of(findings).conditions_of(accepted),
            None => Index::of(&Findings::default()).conditions_of(accepted),
        }
    }

    /// Takes up a report. Returns the objects about which there is something else to say.
    fn take_up(&self, report: &ConfigReport) -> BTreeSet<ObjectKey> {
        let new = by_object(&report.findings);
        let mut old = self.by_object.write().unwrap_or_else(PoisonError::into_inner);
        let changed = old
            .keys()
            .chain(new.keys())
            .filter(|key| old.get(key) != new.get(key))
            .cloned()
            .collect();
        *old = new;
        changed
    }

    /// Follows the reports of the scans.
    pub async fn follow(
        self: Arc<Self>,
        mut reports: watch::Receiver<Arc<ConfigReport>>,
        conditions: TriggerSender<ObjectKey>,
        shutdown: Shutdown,
    ) -> Result<(), Infallible> {
        loop {
            let report = Arc::clone(&reports.borrow_and_update());
            conditions.extend(self.take_up(&report), Trigger::Related);
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
