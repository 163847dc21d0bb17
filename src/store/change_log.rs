//! The change log: which keys changed in which revision, bounded, in memory and on disk.
//!
//! A group writes its changes in the batch that applies them, and trims the oldest in the same
//! batch. The whole bounded log is also kept in memory, so a watcher never reads the disk; the rows
//! on disk let a cursor outlive a restart.

use std::collections::VecDeque;
use std::ops::Bound;

use super::Revision;
use super::engine::{Engine, EngineBatch, EngineError};
use super::frame::{self, Body, FrameError};
use super::key::{KeyReader, KeyWriter, prefix_end};
use super::record::CHANGE_PREFIX;
use super::watch::{Change, ChangeKind};

/// Groups kept.
const MAX_GROUPS: usize = 4096;
/// Changes kept, over all groups.
const MAX_CHANGES: usize = 65_536;
/// Payload of one change row, in bytes; a larger group takes several rows.
const ROW_BYTES: usize = 32 * 1024;
const SCHEMA: u16 = 1;

/// The changes of one group, and how many rows hold them on disk.
#[derive(Debug)]
pub(super) struct Group {
    last: Revision,
    rows: u16,
    changes: Vec<Change>,
}

/// The bounded log.
#[derive(Debug)]
pub(super) struct ChangeLog {
    /// Every change after this revision is in `groups`.
    covered: Revision,
    groups: VecDeque<Group>,
    changes: usize,
}

/// What a cursor gets to see.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    UpToDate,
    Batch(Revision, Vec<Change>),
    Lagged(Revision),
}

impl ChangeLog {
    /// Reads the log of a store at revision `head`. Rows that do not decode end the part that is
    /// covered: older cursors will be told that they lag, which is always safe.
    pub(super) fn load(engine: &dyn Engine, head: Revision) -> Result<Self, EngineError> {
        let mut log = Self { covered: head, groups: VecDeque::new(), changes: 0 };
        let to = prefix_end(&[CHANGE_PREFIX]).map_or(Bound::Unbounded, Bound::Excluded);
        let mut newer = Vec::new();
        for row in engine.range(Bound::Included(vec![CHANGE_PREFIX]), to, true) {
            let (key, value) = row?;
            let Some((last, part)) = row_position(&key) else { break };
            if last != log.covered {
                break; // a gap: the group in between is missing or unreadable
            }
            let Ok(mut changes) = decode_row(&key, &value, last) else { break };
            // Rows come newest first, the parts of one group from the last to part 0.
            changes.append(&mut newer);
            if part > 0 {
                newer = changes;
                continue;
            }
            log.covered = changes.first().map_or(last, |first| first.revision) - 1;
            log.changes += changes.len();
            let rows = rows_of(&changes);
            log.groups.push_front(Group { last, rows, changes });
            if log.groups.len() >= MAX_GROUPS || log.changes >= MAX_CHANGES {
                break;
            }
        }
        Ok(log)
    }

    /// Adds the rows of a new group to `batch`, and deletes the oldest to make room. The log itself
    /// changes when the batch is applied: [`ChangeLog::append`].
    pub(super) fn stage(&self, changes: Vec<Change>, batch: &mut EngineBatch) -> Group {
        let last = changes.last().map_or(self.covered, |change| change.revision);
        let mut rows = 0;
        for (part, chunk) in (0u16..).zip(split(&changes)) {
            let key = row_key(last, part);
            for (key, value) in frame::encode(&key, SCHEMA, &encode_payload(chunk, last)) {
                batch.put(key, value);
            }
            rows = part + 1;
        }
        for group in self.groups.iter().take(self.surplus(changes.len())) {
            for part in 0..group.rows {
                batch.delete(row_key(group.last, part));
            }
        }
        Group { last, rows, changes }
    }

    /// Takes a group in whose batch is applied.
    pub(super) fn append(&mut self, group: Group) {
        for _ in 0..self.surplus(group.changes.len()) {
            if let Some(old) = self.groups.pop_front() {
                self.covered = old.last;
                self.changes -= old.changes.len();
            }
        }
        self.changes += group.changes.len();
        self.groups.push_back(group);
    }

    /// How many of the oldest groups must go for one more with this many changes.
    fn surplus(&self, changes: usize) -> usize {
        let mut left = self.changes + changes;
        let mut groups = self.groups.len() + 1;
        self.groups
            .iter()
            .take_while(|group| {
                let over = left > MAX_CHANGES || groups > MAX_GROUPS;
                left -= group.changes.len();
                groups -= 1;
                over
            })
            .count()
    }

    /// The last revision in the log.
    pub(super) fn head(&self) -> Revision {
        self.groups.back().map_or(self.covered, |group| group.last)
    }

    /// The changes after `cursor` up to `head`, the last revision of a group: whole groups, at least
    /// one, until there are `limit` changes.
    pub(super) fn read(&self, cursor: Revision, head: Revision, limit: usize) -> Read {
        if cursor == head {
            return Read::UpToDate;
        }
        if cursor < self.covered || cursor > head {
            return Read::Lagged(head);
        }
        let start = self.groups.partition_point(|group| group.last <= cursor);
        let mut keys: Vec<Change> = Vec::new();
        let mut upto = cursor;
        for group in self.groups.range(start..) {
            let is_full = !keys.is_empty() && keys.len() + group.changes.len() > limit;
            if is_full || group.last > head {
                break;
            }
            keys.extend(group.changes.iter().filter(|change| change.revision > cursor).cloned());
            upto = group.last;
        }
        Read::Batch(upto, keys)
    }
}

fn rows_of(changes: &[Change]) -> u16 {
    u16::try_from(split(changes).count()).unwrap_or(u16::MAX)
}

/// Cuts the changes of a group into what fits one row each.
fn split(changes: &[Change]) -> impl Iterator<Item = &[Change]> {
    let mut rest = changes;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest
            .iter()
            .take_while(|change| {
                bytes += encoded_len(change);
                bytes <= ROW_BYTES
            })
            .count()
            .max(1);
        let (first, after) = rest.split_at_checked(fits)?;
        rest = after;
        Some(first)
    })
}

fn encoded_len(change: &Change) -> usize {
    change.key.len() + 16
}

fn row_key(last: Revision, part: u16) -> Vec<u8> {
    let mut writer = KeyWriter::new();
    writer.u8(CHANGE_PREFIX).u64(last).fixed(&part.to_be_bytes());
    writer.finish()
}

fn row_position(key: &[u8]) -> Option<(Revision, u16)> {
    let mut reader = KeyReader::new(key);
    reader.u8().ok()?;
    let last = reader.u64().ok()?;
    Some((last, u16::from_be_bytes(reader.fixed().ok()?)))
}

fn encode_payload(changes: &[Change], last: Revision) -> Vec<u8> {
    let mut out = Vec::new();
    for change in changes {
        let back = u32::try_from(last - change.revision).expect("a group has few transactions");
        let length = u32::try_from(change.key.len()).expect("keys are short");
        out.extend(back.to_le_bytes());
        out.extend([change.table, u8::from(change.kind == ChangeKind::Put)]);
        out.extend(length.to_le_bytes());
        out.extend_from_slice(&change.key);
    }
    out
}

fn decode_row(key: &[u8], value: &[u8], last: Revision) -> Result<Vec<Change>, FrameError> {
    let Body::Whole(mut rest) = frame::decode(key, value)?.body else {
        return Err(FrameError::NotAFrame);
    };
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let (&[b0, b1, b2, b3, table, put, l0, l1, l2, l3], after) =
            rest.split_first_chunk().ok_or(FrameError::NotAFrame)?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let (key, after) = after.split_at_checked(length).ok_or(FrameError::NotAFrame)?;
        let back = u64::from(u32::from_le_bytes([b0, b1, b2, b3]));
        let revision = last.checked_sub(back).ok_or(FrameError::NotAFrame)?;
        let kind = if put == 1 { ChangeKind::Put } else { ChangeKind::Delete };
        changes.push(Change { revision, table, key: key.to_vec(), kind });
        rest = after;
    }
    Ok(changes)
}

#[cfg(test)]
mod tests;
