//! Watches the directories that the last scan met, and raises one signal for any change.
//!
//! Each directory is watched on its own and named by the scan, not by the watcher's recursion:
//! that way links, removed and re-created directories and new ones need no rule of their own. A
//! directory that is watched for the first time may have changed between the scan and the watch,
//! so arming one raises the signal too.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::interest::{Armed, Interest, Reason};
use crate::sources::report::Watching;
use crate::sources::scan::{DirectoryId, Scan};

/// One bit: something may have changed.
#[derive(Clone, Default)]
pub(super) struct Signal(Arc<Notify>);

impl Signal {
    pub(super) fn raise(&self) {
        self.0.notify_one();
    }

    pub(super) async fn raised(&self) {
        self.0.notified().await;
    }

    pub(super) fn clear(&self) {
        _ = self.0.notified().now_or_never();
    }
}

/// The watches.
pub(super) struct Watcher {
    roots: Vec<PathBuf>,
    always_poll: bool,
    notify: Option<RecommendedWatcher>,
    interest: Arc<Mutex<Interest>>,
    signal: Signal,
    watching: Watching,
}

impl Watcher {
    /// Nothing is watched before the first scan.
    pub(super) fn new(roots: &[PathBuf], always_poll: bool) -> Self {
        Self {
            roots: roots.to_vec(),
            always_poll,
            notify: None,
            interest: Arc::default(),
            signal: Signal::default(),
            watching: Watching::Starting,
        }
    }

    pub(super) fn signal(&self) -> Signal {
        self.signal.clone()
    }

    pub(super) fn watching(&self) -> &Watching {
        &self.watching
    }

    /// Watches what the scan met, and no more. Blocks.
    pub(super) fn arm(&mut self, scan: &Scan) {
        self.watching = match self.try_arm(scan) {
            Ok(()) => Watching::Inotify,
            Err(reason) => {
                let before = std::mem::replace(&mut self.watching, Watching::Starting);
                let polling = Watching::Polling { reason };
                if polling != before {
                    tracing::warn!(watching = ?polling, "changes of the configuration are polled");
                }
                polling
            }
        };
    }

    fn try_arm(&mut self, scan: &Scan) -> Result<(), String> {
        if self.always_poll {
            return Err("as configured".to_owned());
        }
        if self.notify.is_none() {
            threads_start()?;
            self.notify = Some(self.open().map_err(|error| explain(&error))?);
        }
        let (wanted, names) = self.wanted(scan);
        let mut stale = Vec::new();
        let mut missing = Vec::new();
        {
            let mut interest = lock(&self.interest);
            interest.names = names;
            for (path, armed) in &interest.armed {
                if wanted.get(path).is_none_or(|wanted| wanted.id != armed.id) {
                    stale.push(path.clone());
                }
            }
            for path in &stale {
                interest.armed.remove(path);
            }
            for (path, wanted) in wanted {
                match interest.armed.get_mut(&path) {
                    Some(armed) => armed.reason = wanted.reason,
                    None => missing.push((path, wanted)),
                }
            }
        }
        // The lock is released: the watcher answers from the thread that calls us with events.
        let Some(notify) = self.notify.as_mut() else { return Ok(()) };
        for path in stale {
            // It may be gone, and its watch with it.
            _ = notify.unwatch(&path);
        }
        let mut refused = None;
        for (path, armed) in missing {
            match notify.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    lock(&self.interest).armed.insert(path, armed);
                    self.signal.raise();
                }
                Err(error) => {
                    refused.get_or_insert_with(|| explain(&error));
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn open(&self) -> notify::Result<RecommendedWatcher> {
        let interest = Arc::clone(&self.interest);
        let signal = self.signal.clone();
        notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let concerned = match event {
                Ok(event) => lock(&interest).is_concerned(&event),
                Err(_) => true,
            };
            if concerned {
                signal.raise();
            }
        })
    }

    /// The directories to watch and, around configured paths, the names that matter.
    fn wanted(&self, scan: &Scan) -> (BTreeMap<PathBuf, Armed>, HashSet<PathBuf>) {
        let mut wanted = BTreeMap::new();
        let mut names = HashSet::new();
        for root in &self.roots {
            if let Some((directory, id, name)) = nearest_ancestor(root) {
                names.insert(name);
                wanted.insert(directory, Armed { id, reason: Reason::Ancestor });
            }
        }
        for (path, id) in &scan.directories {
            wanted.insert(path.clone(), Armed { id: *id, reason: Reason::Content });
        }
        (wanted, names)
    }
}

/// Whether the system gives one thread more. Where it does not, notify, whose watcher is a thread, panics.
fn threads_start() -> Result<(), String> {
    let thread = std::thread::Builder::new().name("config-probe".to_owned()).spawn(|| ());
    let thread = thread.map_err(|error| format!("no thread for inotify: {error}"))?;
    thread.join().map_err(|_| "a thread that does nothing panicked".to_owned())
}

/// The nearest directory above `root` that exists, and the path in it that leads to `root`.
fn nearest_ancestor(root: &Path) -> Option<(PathBuf, DirectoryId, PathBuf)> {
    let mut below = root;
    loop {
        let parent = below.parent()?;
        if let (Ok(real), Ok(data)) = (std::fs::canonicalize(parent), std::fs::metadata(parent))
            && data.is_dir()
        {
            let name = real.join(below.file_name()?);
            return Some((real, DirectoryId::from(&data), name));
        }
        below = parent;
    }
}

fn lock(interest: &Mutex<Interest>) -> MutexGuard<'_, Interest> {
    interest.lock().unwrap_or_else(PoisonError::into_inner)
}

fn explain(error: &notify::Error) -> String {
    match error.kind {
        ErrorKind::MaxFilesWatch => {
            "too many inotify watches; raise fs.inotify.max_user_watches".to_owned()
        }
        ErrorKind::Io(ref io) if io.raw_os_error() == Some(24) => {
            "too many inotify instances; raise fs.inotify.max_user_instances".to_owned()
        }
        _ => format!("the kernel refuses to watch: {error}"),
    }
}
