//! Room for runs: how many a node has at the same time, and which slots wait for it.

use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};

use super::{PluginSlot, Runner};

/// Runs of a node at the same time, beside the first of each plugin: a plugin whose runs hang in all
/// its slots never keeps another one from running.
pub const MAX_RUNS: usize = 256;

/// Room for the runs beside the first of each plugin, and the slots that wait for it.
#[derive(Default)]
pub(super) struct Further {
    pub(super) running: usize,
    pub(super) waiting: VecDeque<PluginSlot>,
}

impl Runner {
    /// Room for one more run in this slot; without, the slot is called when there is some. Slot 0 of a
    /// plugin always has it.
    pub(super) fn room_for(&self, slot: &PluginSlot) -> Option<RunRoom<'_>> {
        if slot.slot == 0 {
            return Some(RunRoom(None));
        }
        let mut further = self.further();
        if further.running < MAX_RUNS {
            further.running += 1;
            further.waiting.retain(|waiting| waiting != slot);
            return Some(RunRoom(Some(self)));
        }
        if !further.waiting.contains(slot) {
            further.waiting.push_back(slot.clone());
        }
        None
    }

    /// A slot that may have been called, and has no use for the room, calls the next.
    pub(super) fn pass_on(&self, slot: &PluginSlot) {
        if slot.slot > 0 {
            self.call_next();
        }
    }

    fn call_next(&self) {
        let next = {
            let mut further = self.further();
            if further.running < MAX_RUNS { further.waiting.pop_front() } else { None }
        };
        next.into_iter().for_each(|slot| self.slots.related(slot));
    }

    pub(super) fn further(&self) -> MutexGuard<'_, Further> {
        self.further.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for a run. The end of one beside the first of its plugin makes room for the slot that has
/// waited longest.
pub(super) struct RunRoom<'a>(Option<&'a Runner>);

impl Drop for RunRoom<'_> {
    fn drop(&mut self) {
        if let Some(runner) = self.0 {
            runner.further().running -= 1;
            runner.call_next();
        }
    }
}
