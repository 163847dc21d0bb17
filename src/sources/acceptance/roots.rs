//! Which configured paths can be believed.
//!
//! A directory that vanished, or that came back empty as another one, is most often a file system
//! that is not mounted or a restore that is half done. What was accepted from it stays. One
//! manifest in the new directory is enough for it to be believed again.

use std::collections::BTreeMap;

use super::AcceptedSet;
use crate::api::object::ObjectKey;
use crate::sources::report::{ConfigProblem, Held, HoldReason, RootStatus};
use crate::sources::scan::{RootScan, RootState, Scan, is_below};

/// The configured paths and what was made of them.
pub(super) struct Roots<'a>(Vec<Judged<'a>>);

struct Judged<'a> {
    root: &'a RootScan,
    trust: Trust,
    remembered: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// What it does not hold is gone.
    Full,
    /// It never held anything, and is not there.
    Absent,
    /// It cannot be looked at.
    Blind,
    /// It is not there any more.
    Vanished,
    /// It is empty, and another directory than before.
    Replaced,
}

impl<'a> Roots<'a> {
    pub(super) fn judge(previous: &AcceptedSet, scan: &'a Scan) -> Self {
        let judged = scan.roots.iter().map(|root| {
            let before = previous.roots.get(&root.path);
            let owns = || {
                previous.objects.values().any(|object| is_below(&object.source.file, &root.path))
            };
            let (trust, remembered) = match &root.directory {
                RootState::Unreadable(_) => (Trust::Blind, before.cloned()),
                RootState::Missing if owns() => (Trust::Vanished, before.cloned()),
                RootState::Missing => (Trust::Absent, None),
                RootState::Present(id) => {
                    let id = id.to_string();
                    if before == Some(&id) || root.files > 0 || !owns() {
                        (Trust::Full, Some(id))
                    } else {
                        (Trust::Replaced, before.cloned())
                    }
                }
            };
            Judged { root, trust, remembered }
        });
        Self(judged.collect())
    }

    /// Paths below which nothing counts as gone.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        self.0
            .iter()
            .filter(|judged| !matches!(judged.trust, Trust::Full | Trust::Absent))
            .map(|judged| judged.root.path.as_str())
    }

    pub(super) fn statuses(&self) -> Vec<RootStatus> {
        let status = |judged: &Judged<'_>| RootStatus {
            path: judged.root.path.clone(),
            present: matches!(judged.root.directory, RootState::Present(_))
                && (!judged.root.is_file || judged.root.files > 0),
            files: judged.root.files as u64,
            held: matches!(judged.trust, Trust::Vanished | Trust::Replaced),
        };
        self.0.iter().map(status).collect()
    }

    /// What is kept because of a path.
    pub(super) fn held(&self, previous: &AcceptedSet) -> Vec<Held> {
        self.0.iter().filter_map(|judged| judged.held(previous)).collect()
    }

    pub(super) fn problems(&self) -> Vec<ConfigProblem> {
        let unreadable = self.0.iter().filter_map(|judged| match &judged.root.directory {
            RootState::Unreadable(why) => Some(ConfigProblem::unreadable(&judged.root.path, why)),
            _ => None,
        });
        unreadable.collect()
    }

    /// What to remember, if it is not what is remembered.
    pub(super) fn to_write(&self, previous: &AcceptedSet) -> Option<BTreeMap<String, String>> {
        let known = self
            .0
            .iter()
            .filter_map(|judged| Some((judged.root.path.clone(), judged.remembered.clone()?)));
        let known: BTreeMap<_, _> = known.collect();
        (known != previous.roots).then_some(known)
    }
}

impl Judged<'_> {
    fn held(&self, previous: &AcceptedSet) -> Option<Held> {
        let path = &self.root.path;
        let (reason, what) = match self.trust {
            Trust::Vanished => (HoldReason::PathVanished, "vanished"),
            Trust::Replaced => {
                (HoldReason::PathReplaced, "is empty and another directory than before")
            }
            Trust::Full | Trust::Absent | Trust::Blind => return None,
        };
        let objects: Vec<ObjectKey> = previous
            .objects
            .iter()
            .filter(|(_, object)| is_below(&object.source.file, path))
            .map(|(key, _)| key.clone())
            .collect();
        Some(Held {
            reason,
            path: Some(path.clone()),
            message: format!("{path} {what}; the {} objects from it stay in force", objects.len()),
            hint: "put the files back, or take the path out of the configuration; a directory \
                   with one manifest in it is believed again"
                .to_owned(),
            since: crate::api::Time::UNIX_EPOCH,
            until: None,
            objects,
        })
    }
}
