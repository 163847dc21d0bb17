//! What the store says about itself.

/// The store's own view of its condition; published whenever it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether writes are accepted.
    pub writes: Writes,
    /// What an operator should know, in the order it was found; at most 64.
    pub notes: Vec<HealthNote>,
    /// How many more notes there were.
    pub notes_dropped: u64,
    /// Rows the background scrub has checked since the store was opened.
    pub scrubbed_rows: u64,
    /// Whether the scrub has been through the whole store.
    pub scrub_done: bool,
}

/// Whether writes are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Writes {
    /// The last write succeeded, or there was none.
    #[default]
    Ok,
    /// The last write was refused for lack of room; the next one is tried again.
    DiskFull {
        /// Bytes that were free.
        available: u64,
        /// Bytes that must be free.
        reserve: u64,
    },
    /// Writing failed and what is on disk is uncertain: every write is refused until the process
    /// is restarted.
    Failed(String),
}

/// One thing an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthNote {
    /// A database was moved aside when the store was opened.
    Quarantined {
        /// Where it lies now.
        path: std::path::PathBuf,
        /// What was wrong with it.
        why: String,
    },
    /// Stored rows are damaged or missing. The next open moves the database to quarantine.
    Damaged(String),
    /// The engine works, with a defect.
    Defect(String),
}

const MAX_NOTES: usize = 64;

impl Health {
    pub(super) fn note(&mut self, note: HealthNote) {
        if self.notes.contains(&note) {
        } else if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        } else {
            self.notes_dropped += 1;
        }
    }

    /// Whether nothing at all needs attention.
    pub fn is_ok(&self) -> bool {
        self.writes == Writes::Ok && self.notes.is_empty()
    }

    /// Whether stored rows were found damaged or missing since the store was opened.
    pub fn is_damaged(&self) -> bool {
        self.notes.iter().any(|note| matches!(note, HealthNote::Damaged(_)))
    }
}
