//! A slab of values that is also an index by key: each key is stored once and hashed once.
//!
//! A slot number stays valid while its key is in, so lists and timers refer to keys by four bytes.
//! The hash is kept beside the key: removing and growing never hash again.
//!
//! Keys may come from outside, so the hash is keyed: the standard library's SipHash with a random
//! key per slab. At one hash per cycle its cost is small beside what a flooded bucket would cost.

use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::{Index, IndexMut};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Names no slot: ends every list of slots.
pub(super) const NIL: u32 = u32::MAX;

/// Below this many slots an empty slab keeps its memory, so that small bursts do not reallocate.
const KEPT_WHEN_EMPTY: usize = 1024;

pub(super) struct Keyed<K, V> {
    slots: Vec<Slot<K, V>>,
    free: u32,
    index: HashTable<u32>,
    hasher: RandomState,
}

enum Slot<K, V> {
    Taken { key: K, value: V, hash: u32 },
    Free { next: u32 },
}

impl<K: Eq + Hash, V> Keyed<K, V> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: NIL, index: HashTable::new(), hasher: RandomState::new() }
    }

    /// The slot of `key`, made with `value` if the key is not in; true if it was made.
    pub(super) fn find_or_insert(&mut self, key: K, value: V) -> (u32, bool) {
        let hash = fold(self.hasher.hash_one(&key));
        let Self { slots, free, index, .. } = self;
        let found = index.entry(
            widen(hash),
            |&slot| matches!(&slots[slot as usize], Slot::Taken { key: k, .. } if *k == key),
            |&slot| stored_hash(slots, slot),
        );
        match found {
            Entry::Occupied(found) => (*found.get(), false),
            Entry::Vacant(vacant) => {
                let slot = place(slots, free, Slot::Taken { key, value, hash });
                vacant.insert(slot);
                (slot, true)
            }
        }
    }

    /// Forgets the key in `slot`. The slab gives its memory back when the last key of a large burst
    /// leaves.
    pub(super) fn remove(&mut self, slot: u32) {
        let hash = stored_hash(&self.slots, slot);
        if let Ok(found) = self.index.find_entry(hash, |&s| s == slot) {
            found.remove();
        }
        self.slots[slot as usize] = Slot::Free { next: self.free };
        self.free = slot;
        if self.index.is_empty() && self.slots.capacity() > KEPT_WHEN_EMPTY {
            (self.slots, self.free, self.index) = (Vec::new(), NIL, HashTable::new());
        }
    }

    pub(super) fn key(&self, slot: u32) -> &K {
        match &self.slots[slot as usize] {
            Slot::Taken { key, .. } => key,
            Slot::Free { .. } => panic!("slot {slot} holds no key"),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken { key, value, .. } => Some((key, value)),
            Slot::Free { .. } => None,
        })
    }

    #[cfg(test)]
    pub(super) const SLOT: usize = size_of::<Slot<K, V>>();

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.capacity().max(self.index.capacity())
    }
}

/// Puts a slot where one is free, or at the end.
fn place<K, V>(slots: &mut Vec<Slot<K, V>>, free: &mut u32, taken: Slot<K, V>) -> u32 {
    let Some(old) = slots.get_mut(*free as usize) else {
        let slot = u32::try_from(slots.len()).unwrap_or(NIL);
        assert_ne!(slot, NIL, "a queue holds at most {NIL} keys");
        slots.push(taken);
        return slot;
    };
    let Slot::Free { next } = *old else { panic!("the free list holds a taken slot") };
    *old = taken;
    std::mem::replace(free, next)
}

fn stored_hash<K, V>(slots: &[Slot<K, V>], slot: u32) -> u64 {
    match &slots[slot as usize] {
        Slot::Taken { hash, .. } => widen(*hash),
        Slot::Free { .. } => panic!("slot {slot} holds no hash"),
    }
}

/// Half of the hash is enough: the table takes its bucket from the low bits and its tag from the
/// high seven, which stay apart up to 33 million keys, and stay correct beyond.
fn fold(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

fn widen(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl<K, V> Index<u32> for Keyed<K, V> {
    type Output = V;

    fn index(&self, slot: u32) -> &V {
        match &self.slots[slot as usize] {
            Slot::Taken { value, .. } => value,
            Slot::Free { .. } => panic!("slot {slot} holds no value"),
        }
    }
}

impl<K, V> IndexMut<u32> for Keyed<K, V> {
    fn index_mut(&mut self, slot: u32) -> &mut V {
        match &mut self.slots[slot as usize] {
            Slot::Taken { value, .. } => value,
            Slot::Free { .. } => panic!("slot {slot} holds no value"),
        }
    }
}
