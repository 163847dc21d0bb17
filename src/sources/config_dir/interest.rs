//! Which events of the file system say that the configuration may have changed.
//!
//! Pure. Directories that hold manifests are watched for everything. The directory around a
//! configured path is watched only for that one name: it may be a busy place such as `/etc`.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use notify::event::{Event, EventKind, ModifyKind};

use crate::sources::scan::DirectoryId;

/// Why a directory is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It holds manifests.
    Content,
    /// A configured path lies in it, or would.
    Ancestor,
}

/// A watched directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Armed {
    pub id: DirectoryId,
    pub reason: Reason,
}

/// What is watched, by real path.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// The directories.
    pub armed: HashMap<PathBuf, Armed>,
    /// The names that matter in directories around configured paths.
    pub names: HashSet<PathBuf>,
}

impl Interest {
    /// Whether to look again. A watched directory that went away is forgotten, so that one that
    /// comes back under its name is watched anew.
    pub(super) fn is_concerned(&mut self, event: &Event) -> bool {
        if event.need_rescan() || event.paths.is_empty() {
            return true;
        }
        if matches!(event.kind, EventKind::Access(_)) {
            return false;
        }
        let goes =
            matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        let mut concerned = false;
        for path in &event.paths {
            let around = path.parent().and_then(|parent| self.armed.get(parent));
            let itself = self.armed.get(path);
            let content =
                |armed: Option<&Armed>| armed.is_some_and(|a| a.reason == Reason::Content);
            concerned |= self.names.contains(path) || content(around) || content(itself);
            if goes && itself.is_some() {
                self.armed.remove(path);
                concerned = true;
            }
        }
        concerned
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, Flag, RemoveKind};

    use super::*;

    fn interest() -> Interest {
        let armed = |reason| Armed { id: DirectoryId::default(), reason };
        Interest {
            armed: HashMap::from([
                ("/etc".into(), armed(Reason::Ancestor)),
                ("/etc/routerd".into(), armed(Reason::Content)),
            ]),
            names: HashSet::from(["/etc/routerd".into()]),
        }
    }

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(path.into())
    }

    const MODIFY: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));

    #[test]
    fn a_change_in_a_directory_of_manifests_concerns_us_and_reading_does_not() {
        assert!(interest().is_concerned(&event(MODIFY, "/etc/routerd/a.yaml")));
        let read = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!interest().is_concerned(&event(read, "/etc/routerd/a.yaml")));
    }

    #[test]
    fn around_a_configured_path_only_its_name_concerns_us() {
        assert!(!interest().is_concerned(&event(MODIFY, "/etc/passwd")));
        let create = EventKind::Create(CreateKind::Folder);
        assert!(interest().is_concerned(&event(create, "/etc/routerd")));
    }

    #[test]
    fn a_directory_that_goes_is_forgotten() {
        let mut interest = interest();
        assert!(interest.is_concerned(&event(EventKind::Remove(RemoveKind::Folder), "/etc")));
        assert!(!interest.armed.contains_key(&PathBuf::from("/etc")));
    }

    #[test]
    fn an_overflow_concerns_us_without_a_path() {
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(interest().is_concerned(&overflow));
    }
}
