//! Which due runs go together, and when: debounce, batch window, batch size, one run at a time per
//! subject, the halving of failed batches, and fairness between subscriptions of one plugin.
//!
//! A plain synchronous state machine with time passed in. What it holds is a view of what the
//! planner found due, never the truth: losing it costs one full pass.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::plan::Due;
use super::world::SubFact;
use crate::api::fact::FactId;
use crate::api::run::Cohort;

/// Without a batch window a debounce waits this long at most.
pub const MAX_DEBOUNCE: Duration = Duration::from_secs(60);

/// What is retried together becomes due at the same moment, but is planned one by one: the first
/// waits this long for the others.
pub const GATHER: Duration = Duration::from_millis(20);

/// Places in the lines of a queue that are left behind before they are looked for.
const PLACES: usize = 64;

/// One due run of one subscription for one fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The fact.
    pub fact: FactId,
    /// What is due.
    pub due: Due,
    /// Runs about one subject never overlap.
    pub subject: Arc<str>,
    /// Which half of a failed batch it belongs to.
    pub cohort: Option<Cohort>,
}

/// When items of a subscription may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Windows {
    /// Wait for this much quiet.
    pub debounce: Duration,
    /// Collect this long.
    pub batch_window: Duration,
}

/// What a plugin's slot should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// Run these together; they are taken until [`Dispatch::finish`].
    Batch {
        /// The subscription.
        subscription: Arc<str>,
        /// At least one item.
        items: Vec<Item>,
        /// More could run at once beside this.
        more: bool,
    },
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing.
    Idle,
}

#[derive(Debug, Default)]
struct Queue {
    plugin: Arc<str>,
    windows: Windows,
    items: HashMap<FactId, Waiting>,
    collecting: VecDeque<FactId>,
    /// When the first of the collecting items came, and the last.
    collected: Option<(Instant, Instant)>,
    /// Items of failed batches, which are retried with the others of theirs.
    gathering: VecDeque<FactId>,
    gathered_at: Option<Instant>,
    ready: VecDeque<FactId>,
    /// The ready ones that have failed. They take turns with the others: however many there are,
    /// what never failed waits for one of them at most.
    failing: VecDeque<FactId>,
    failing_is_next: bool,
    busy: HashSet<Arc<str>>,
}

#[derive(Debug)]
struct Waiting {
    item: Item,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Collecting,
    Gathering,
    Ready,
}

/// A run under way.
#[derive(Debug)]
struct Running {
    run_key: String,
    /// It was wanted again meanwhile.
    asked: bool,
}

/// All due runs.
#[derive(Debug, Default)]
pub struct Dispatch {
    queues: HashMap<Arc<str>, Queue>,
    turns: HashMap<Arc<str>, VecDeque<Arc<str>>>,
    running: HashMap<SubFact, Running>,
    slots: HashMap<Arc<str>, HashSet<u32>>,
}

impl Dispatch {
    /// A run is due. Returns whether a slot should look.
    pub fn want(
        &mut self,
        subscription: &Arc<str>,
        plugin: &Arc<str>,
        windows: Windows,
        item: Item,
        now: Instant,
    ) -> bool {
        let key = SubFact { subscription: Arc::clone(subscription), fact: item.fact };
        if let Some(running) = self.running.get_mut(&key)
            && running.run_key == item.due.run_key
        {
            running.asked = true;
            return false;
        }
        let queue = self.queues.entry(Arc::clone(subscription)).or_default();
        if queue.plugin != *plugin {
            queue.plugin = Arc::clone(plugin);
            self.turns.entry(Arc::clone(plugin)).or_default().push_back(Arc::clone(subscription));
        }
        queue.windows = windows;
        queue.put(item, now);
        true
    }

    /// Whether a run of this fact waits or is under way, for whichever observation.
    pub fn has(&self, key: &SubFact) -> bool {
        let queue = self.queues.get(&key.subscription);
        self.running.contains_key(key) || queue.is_some_and(|q| q.items.contains_key(&key.fact))
    }

    /// Items of a batch that did not come to its end are due as before; they have waited already.
    pub fn put_back(
        &mut self,
        subscription: &Arc<str>,
        plugin: &Arc<str>,
        items: Vec<Item>,
        now: Instant,
    ) {
        let windows = self.queues.get(subscription).map(|queue| queue.windows).unwrap_or_default();
        for mut item in items {
            item.due.retry = true;
            self.want(subscription, plugin, windows, item, now);
        }
    }

    /// A run is no longer due.
    pub fn forget(&mut self, key: &SubFact) {
        if let Some(queue) = self.queues.get_mut(&key.subscription) {
            queue.items.remove(&key.fact);
            queue.purge();
            self.tidy(&key.subscription);
        }
    }

    /// The next batch for a slot of `plugin`, of at most `max` items.
    pub fn pick(&mut self, plugin: &Arc<str>, max: usize, now: Instant) -> Pick {
        let mut wait: Option<Instant> = None;
        let turns = self.turns.get(plugin).map_or(0, VecDeque::len);
        for _ in 0..turns {
            let Some(name) = self.turns.get_mut(plugin).and_then(VecDeque::pop_front) else {
                break;
            };
            let Some(queue) = self.queues.get_mut(&name).filter(|q| q.plugin == *plugin) else {
                continue;
            };
            let release = queue.release(now);
            let items = queue.take(max);
            self.turns.entry(Arc::clone(plugin)).or_default().push_back(Arc::clone(&name));
            if items.is_empty() {
                wait = [wait, release].into_iter().flatten().min();
                continue;
            }
            for item in &items {
                let key = SubFact { subscription: Arc::clone(&name), fact: item.fact };
                let running = Running { run_key: item.due.run_key.clone(), asked: false };
                self.running.insert(key, running);
            }
            return Pick::Batch { subscription: name, items, more: self.has_ready(plugin) };
        }
        wait.map_or(Pick::Idle, Pick::Wait)
    }

    /// A batch has ended, however it did. Returns the plugin that should look for what waited for
    /// its subjects: the subscription's, which may be another one by now; and the facts whose runs
    /// were wanted while they were under way.
    pub fn finish(
        &mut self,
        subscription: &Arc<str>,
        items: &[Item],
    ) -> (Option<Arc<str>>, Vec<FactId>) {
        let mut asked = Vec::new();
        for item in items {
            let fact = item.fact;
            let key = SubFact { subscription: Arc::clone(subscription), fact };
            asked.extend(self.running.remove(&key).filter(|run| run.asked).map(|_| fact));
        }
        if let Some(queue) = self.queues.get_mut(subscription) {
            for item in items {
                queue.busy.remove(&item.subject);
            }
        }
        self.tidy(subscription);
        (self.queues.get(subscription).map(|queue| Arc::clone(&queue.plugin)), asked)
    }

    /// Marks a slot as running or not.
    pub fn set_running(&mut self, plugin: &Arc<str>, slot: u32, running: bool) {
        let slots = self.slots.entry(Arc::clone(plugin)).or_default();
        if running {
            slots.insert(slot);
        } else {
            slots.remove(&slot);
            if slots.is_empty() {
                self.slots.remove(plugin);
            }
        }
    }

    /// The lowest slot of `plugin` that does not run, if it has one.
    pub fn idle_slot(&self, plugin: &Arc<str>, concurrency: u32) -> Option<u32> {
        let running = self.slots.get(plugin);
        (0..concurrency).find(|slot| running.is_none_or(|r| !r.contains(slot)))
    }

    /// How many items wait or run.
    pub fn len(&self) -> usize {
        self.running.len() + self.queues.values().map(|q| q.items.len()).sum::<usize>()
    }

    /// Whether nothing waits or runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn has_ready(&self, plugin: &Arc<str>) -> bool {
        let names = self.turns.get(plugin).into_iter().flatten();
        names.filter_map(|name| self.queues.get(name)).any(|q| q.plugin == *plugin && q.is_ready())
    }

    fn tidy(&mut self, subscription: &Arc<str>) {
        let spent = |queue: &Queue| queue.items.is_empty() && queue.busy.is_empty();
        if self.queues.get(subscription).is_some_and(spent)
            && let Some(queue) = self.queues.remove(subscription)
            && let Some(turns) = self.turns.get_mut(&queue.plugin)
        {
            turns.retain(|name| name != subscription);
            if turns.is_empty() {
                self.turns.remove(&queue.plugin);
            }
        }
    }
}

impl Queue {
    fn put(&mut self, item: Item, now: Instant) {
        let fact = item.fact;
        let windowed = !self.windows.debounce.is_zero() || !self.windows.batch_window.is_zero();
        // A retry, or a half of a failed batch, has waited in its backoff already.
        let stage = match (item.due.retry, &item.cohort) {
            (true, Some(_)) => Stage::Gathering,
            (false, _) if windowed => Stage::Collecting,
            _ => Stage::Ready,
        };
        match self.items.get_mut(&fact) {
            // Asked again for the same run: a replan is not news, and must not restart a window.
            Some(old) if old.item.due.run_key == item.due.run_key => return old.item = item,
            Some(old) => {
                old.item = item;
                if old.stage != Stage::Collecting {
                    return;
                }
            }
            None => {
                self.items.insert(fact, Waiting { item, stage });
                match stage {
                    Stage::Ready => return self.enter_line(fact),
                    Stage::Gathering => {
                        self.gathered_at.get_or_insert(now + GATHER);
                        return self.gathering.push_back(fact);
                    }
                    Stage::Collecting => self.collecting.push_back(fact),
                }
            }
        }
        let first = self.collected.map_or(now, |(first, _)| first);
        self.collected = Some((first, now));
    }

    /// Moves what has waited to the ready ones when its time has come; else says when that is.
    fn release(&mut self, now: Instant) -> Option<Instant> {
        let waits = [self.release_gathered(now), self.release_collected(now)];
        waits.into_iter().flatten().min()
    }

    fn release_gathered(&mut self, now: Instant) -> Option<Instant> {
        let at = self.gathered_at?;
        if now < at {
            return Some(at);
        }
        let gathered = std::mem::take(&mut self.gathering);
        self.make_ready(gathered, Stage::Gathering);
        self.gathered_at = None;
        None
    }

    /// Puts a ready item at the end of its line.
    fn enter_line(&mut self, fact: FactId) {
        let failing = self.items.get(&fact).is_some_and(|waiting| waiting.item.cohort.is_some());
        if failing { &mut self.failing } else { &mut self.ready }.push_back(fact);
    }

    fn make_ready(&mut self, facts: VecDeque<FactId>, from: Stage) {
        for fact in facts {
            if let Some(waiting) = self.items.get_mut(&fact).filter(|w| w.stage == from) {
                waiting.stage = Stage::Ready;
                self.enter_line(fact);
            }
        }
    }

    fn release_collected(&mut self, now: Instant) -> Option<Instant> {
        let (first, last) = self.collected?;
        let Windows { debounce, batch_window } = self.windows;
        let at = match (debounce.is_zero(), batch_window.is_zero()) {
            (true, _) => first + batch_window,
            (false, true) => (last + debounce).min(first + MAX_DEBOUNCE),
            (false, false) => (last + debounce).min(first + batch_window),
        };
        if now < at {
            return Some(at);
        }
        let collected = std::mem::take(&mut self.collecting);
        self.make_ready(collected, Stage::Collecting);
        self.collected = None;
        None
    }

    /// The item that a place in a line stands for. A place outlives an item that is forgotten, and
    /// the fact may since wait for another window.
    fn in_line(&self, fact: &FactId) -> Option<&Waiting> {
        self.items.get(fact).filter(|waiting| waiting.stage == Stage::Ready)
    }

    /// Drops the places of forgotten items once there are more of them than of others, so that
    /// forgetting costs little and what is left behind is bounded. With the last item its windows end.
    fn purge(&mut self) {
        if self.items.is_empty() {
            self.collected = None;
            self.gathered_at = None;
        }
        let places = [&self.collecting, &self.gathering, &self.ready, &self.failing];
        if places.iter().map(|line| line.len()).sum::<usize>() <= 2 * self.items.len() + PLACES {
            return;
        }
        let mut seen = HashSet::new();
        for (line, stage) in [
            (&mut self.collecting, Stage::Collecting),
            (&mut self.gathering, Stage::Gathering),
            (&mut self.ready, Stage::Ready),
            (&mut self.failing, Stage::Ready),
        ] {
            line.retain(|fact| {
                self.items.get(fact).is_some_and(|w| w.stage == stage) && seen.insert(*fact)
            });
        }
    }

    fn is_ready(&self) -> bool {
        let ready = self.ready.iter().chain(&self.failing);
        let mut items = ready.filter_map(|fact| self.in_line(fact));
        items.any(|waiting| !self.busy.contains(&waiting.item.subject))
    }

    /// Takes the oldest ready item and what may run with it; from the two lines by turns.
    fn take(&mut self, max: usize) -> Vec<Item> {
        for failing in [self.failing_is_next, !self.failing_is_next] {
            let taken = self.take_from(failing, max);
            if !taken.is_empty() {
                self.failing_is_next = !failing;
                return taken;
            }
        }
        Vec::new()
    }

    fn take_from(&mut self, failing: bool, max: usize) -> Vec<Item> {
        let line = if failing { &mut self.failing } else { &mut self.ready };
        let mut taken: Vec<Item> = Vec::new();
        let mut left = VecDeque::new();
        while let Some(fact) = line.pop_front() {
            if taken.len() == max.max(1) {
                left.push_back(fact);
                break;
            }
            let Some(Waiting { item, stage: Stage::Ready }) = self.items.get(&fact) else {
                continue;
            };
            let together = taken.first().is_none_or(|first| first.cohort == item.cohort);
            if !together || self.busy.contains(&item.subject) {
                left.push_back(fact);
                continue;
            }
            taken.extend(self.items.remove(&fact).map(|waiting| waiting.item));
        }
        // What was passed over keeps its place before what was not looked at.
        while let Some(fact) = left.pop_back() {
            line.push_front(fact);
        }
        self.busy.extend(taken.iter().map(|item| Arc::clone(&item.subject)));
        taken
    }
}

#[cfg(test)]
mod tests;
