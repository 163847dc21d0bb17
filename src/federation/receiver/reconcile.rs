//! Makes one group's listener what the manifests and files of this moment ask for.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::admission::{Admission, Off, secret_files};
use super::listener::{Current, House, Listener, bind};
use super::membership::{self, Membership, group_key};
use super::{Entry, ListenerState, Receivers};
use crate::api::kinds::federation::Listen;
use crate::api::object::ObjectKey;
use crate::federation::files::Files;
use crate::federation::secrets::{Secret, SecretError};
use crate::federation::tls::{ServerTls, TlsError};
use crate::runtime::{Action, Failure, Reconciler, TriggerSender};
use crate::store::StoreError;

/// The files of a group, held so that they are looked after.
#[derive(Default)]
pub(super) struct Held {
    secrets: HashMap<String, Secret>,
    tls: Option<ServerTls>,
}

impl Held {
    /// Opens what the manifests name. Touches the disk.
    fn open(files: &Files, membership: &Membership, listen: &Listen) -> Self {
        let secrets = secret_files(membership).into_iter().map(|path| {
            let secret = Secret::open(files, &path);
            (path, secret)
        });
        Self {
            secrets: secrets.collect(),
            tls: listen.tls.as_ref().map(|tls| ServerTls::open(files, tls)),
        }
    }

    fn key(&self, path: &str) -> Result<crate::federation::signature::Key, SecretError> {
        self.secrets.get(path).map_or_else(|| Err(SecretError::Empty(path.to_owned())), Secret::key)
    }
}

/// What a listener is to be.
struct Wanted {
    at: SocketAddr,
    admission: Admission,
    tls: Option<Result<Arc<ServerConfig>, TlsError>>,
    problems: Vec<String>,
}

/// What became of it.
struct Verdict {
    listening: bool,
    reason: &'static str,
    message: String,
    /// Only time can help.
    again: bool,
}

/// The reconciler.
pub(super) struct Reconciling {
    pub(super) house: Arc<House>,
    pub(super) all: Receivers,
    pub(super) conditions: TriggerSender<ObjectKey>,
}

impl Reconciler for Reconciling {
    type Key = Arc<str>;
    type Error = StoreError;

    async fn reconcile(&self, name: &Arc<str>) -> Result<Action, StoreError> {
        let outside = &self.house.gate.outside;
        let (store, files, group) =
            (outside.store.clone(), Arc::clone(&outside.files), Arc::clone(name));
        let found = tokio::task::spawn_blocking(move || {
            let found = membership::read(&store, &group)?;
            let Some(membership) = found else { return Ok(None) };
            let Some(listen) = membership.spec.listen.clone() else { return Ok(None) };
            let held = Held::open(&files, &membership, &listen);
            Ok::<_, StoreError>(Some((membership, listen, held)))
        });
        let found = found.await.map_err(|error| StoreError::Failed(error.to_string()))??;
        let Some((membership, listen, held)) = found else {
            self.close(name);
            return Ok(Action::AwaitChange);
        };
        let wanted = wanted(&membership, &listen, &held);
        let verdict = {
            let mut groups = self.all.groups();
            let entry = groups.entry(Arc::clone(name)).or_default();
            // The old ones are let go of after the new ones are held: what is in both stays known.
            entry.held = held;
            match wanted {
                Ok(wanted) => self.fit(entry, wanted),
                Err(off) => {
                    entry.listener = None;
                    let Off { reason, message } = off;
                    Verdict { listening: false, reason, message, again: false }
                }
            }
        };
        let again = verdict.again;
        self.tell(name, &membership, &listen, verdict);
        if again {
            return Ok(Action::RequeueAfter(self.house.gate.limits.rebind));
        }
        Ok(Action::AwaitChange)
    }

    fn classify(&self, _: &StoreError) -> Failure {
        Failure::Retry
    }
}

fn wanted(membership: &Membership, listen: &Listen, held: &Held) -> Result<Wanted, Off> {
    let (admission, problems) = Admission::of(membership, |path| held.key(path))?;
    // Checked when it was accepted.
    let address: IpAddr = listen.address.parse().map_err(|_| Off {
        reason: "AddressInvalid",
        message: format!("spec.listen.address: {:?} is not an IP address", listen.address),
    })?;
    let tls = held.tls.as_ref().map(ServerTls::config);
    Ok(Wanted { at: SocketAddr::new(address, listen.port), admission, tls, problems })
}

impl Reconciling {
    /// Makes the listener fit.
    fn fit(&self, entry: &mut Entry, mut wanted: Wanted) -> Verdict {
        let before = entry.listener.as_ref().map(Listener::current);
        let tls = match wanted.tls {
            None => None,
            Some(Ok(config)) => Some(config),
            Some(Err(error)) => {
                // While a certificate and its key are replaced they do not go together: what was
                // in force stays. But who asked for other clients to be trusted must not go on
                // with those before.
                let last = before.as_ref().and_then(|current| current.tls.clone());
                let last = last.filter(|_| !error.is_about_clients());
                let Some(last) = last else {
                    entry.listener = None;
                    let message = error.to_string();
                    return Verdict {
                        listening: false,
                        reason: "TlsUnusable",
                        message,
                        again: false,
                    };
                };
                wanted.problems.push(format!("{error}; the certificate before it is in use"));
                Some(last)
            }
        };
        let weak = wanted.admission.weak.clone();
        let next = |outdated| Current { admission: Arc::new(wanted.admission), tls, outdated };
        match &entry.listener {
            Some(listener) if listener.at == wanted.at => {
                let before = listener.current();
                let next = next(before.outdated.clone());
                let same = match (&before.tls, &next.tls) {
                    (None, None) => true,
                    (Some(before), Some(next)) => Arc::ptr_eq(before, next),
                    _ => false,
                };
                if same {
                    listener.replace(next);
                } else {
                    listener.replace(Current { outdated: CancellationToken::new(), ..next });
                    before.outdated.cancel();
                }
            }
            _ => {
                let socket = match bind(wanted.at) {
                    Ok(socket) => socket,
                    Err(error) => {
                        // Peers are told the new address; the old one is no longer ours to hold.
                        entry.listener = None;
                        return not_bound(wanted.at, &error);
                    }
                };
                let figures = Arc::clone(&entry.figures);
                let next = next(CancellationToken::new());
                let listener = Listener::start(&self.house, socket, wanted.at, figures, next);
                entry.listener = Some(listener);
            }
        }
        let (at, mut problems) = (wanted.at, wanted.problems);
        let reason = match (problems.as_slice(), weak.as_slice()) {
            ([], []) => "Listening",
            ([], _) => "SecretShort",
            _ => "ListeningPartly",
        };
        problems.extend(weak);
        let message = match problems.as_slice() {
            [] => format!("peers are heard at {at}"),
            problems => format!("peers are heard at {at}, but {}", problems.join("; ")),
        };
        Verdict { listening: true, reason, message, again: false }
    }

    /// The group is gone, or is not to listen any more.
    fn close(&self, name: &Arc<str>) {
        let entry = self.all.groups().remove(name);
        if entry.is_some_and(|entry| entry.state.is_some()) {
            tracing::info!(group = %name, "peers are heard no more: the group does not listen");
            self.conditions.related(group_key(name));
        }
    }

    /// Says how the listener fares, if that is news.
    fn tell(&self, name: &Arc<str>, membership: &Membership, listen: &Listen, verdict: Verdict) {
        let Verdict { listening, reason, message, .. } = verdict;
        let now = self.house.gate.outside.clock.now();
        let mut groups = self.all.groups();
        let entry = groups.entry(Arc::clone(name)).or_default();
        let before = entry.state.as_ref();
        let since = before.filter(|state| state.listening == listening).map_or(now, |s| s.since);
        let address = SocketAddr::new(
            listen.address.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
            listen.port,
        );
        let state = ListenerState {
            address: address.to_string(),
            listening,
            reason,
            message,
            since,
            generation: membership.generation,
        };
        if before == Some(&state) {
            return;
        }
        if before.is_none_or(|b| b.message != state.message || b.listening != state.listening) {
            let message = &state.message;
            if listening && reason == "Listening" {
                tracing::info!(group = %name, "{message}");
            } else {
                tracing::warn!(group = %name, listening, "{message}");
            }
        }
        entry.state = Some(state);
        drop(groups);
        self.conditions.related(group_key(name));
    }
}

fn not_bound(at: SocketAddr, error: &io::Error) -> Verdict {
    let (reason, message) = match error.kind() {
        io::ErrorKind::AddrNotAvailable => (
            "AddressNotAssigned",
            format!(
                "{} is no address of this node now; peers are heard as soon as it is (tried each second)",
                at.ip()
            ),
        ),
        io::ErrorKind::AddrInUse => (
            "AddressInUse",
            format!("{at} is taken by another program or another EventGroup; tried each second"),
        ),
        _ => ("BindFailed", format!("cannot listen on {at}: {error}; tried each second")),
    };
    Verdict { listening: false, reason, message, again: true }
}
