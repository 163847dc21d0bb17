//! Who speaks, and what they may say. Pure: made from the manifests and the secrets of one moment,
//! asked for each request.
//!
//! A group secret proves membership: its holder speaks for any node but this one and those that
//! have a secret of their own. A peer's secret speaks for that peer. A client certificate narrows
//! either to the names in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::membership::{Membership, Peer};
use super::rate::Rate;
use super::refusal::Refusal;
use crate::api::Time;
use crate::api::event::Event;
use crate::api::kinds::federation::{AuthMode, Direction, EventPeerSpec, GroupAuth};
use crate::federation::secrets::SecretError;
use crate::federation::signature::{self, Key};

/// What a listener admits.
#[derive(Debug)]
pub struct Admission {
    /// The group.
    pub group: Arc<str>,
    /// This node's name in it.
    pub node: String,
    /// How far a sender's clock may be off.
    pub window: Duration,
    /// How long a fact without an expiry lives.
    pub max_age: Duration,
    /// `auth.mode: none`.
    open: bool,
    keys: Vec<Credential>,
    peers: HashMap<String, Admitted>,
    /// Whether only peers that are named may speak.
    named_only: bool,
    /// Secrets that are too short to be safe, each in a sentence. They are taken all the same: other
    /// programs take them, and a node that hears nobody helps nobody.
    pub weak: Vec<String>,
}

/// A key, and for whom it speaks.
#[derive(Debug)]
struct Credential {
    key: Key,
    speaker: Speaker,
}

/// Whom a request was found to be from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Which key verified it, for the record.
    pub verified_by: Arc<str>,
    /// The one node it may speak for; `None` for a member that is not told apart.
    peer: Option<Arc<str>>,
}

/// What the manifests say of one node.
#[derive(Debug, Default)]
struct Admitted {
    /// By its EventPeers that receive; none of them means that it does not send.
    filters: Vec<Filter>,
    own_secret: bool,
    rate: Option<Rate>,
}

#[derive(Debug)]
struct Filter {
    types: Vec<String>,
    prefixes: Vec<String>,
}

impl Filter {
    fn passes(&self, event: &Event) -> bool {
        (self.types.is_empty() || self.types.contains(&event.r#type))
            && (self.prefixes.is_empty()
                || self.prefixes.iter().any(|prefix| event.subject.starts_with(prefix.as_str())))
    }
}

/// Why nobody can be admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Off {
    /// A CamelCase word for conditions.
    pub reason: &'static str,
    /// A sentence for people: the lines that are missing, or the file that cannot be used.
    pub message: String,
}

/// A header's value as far as it was given once; more than once is as good as wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header<'a> {
    /// Not given.
    Absent,
    /// Given.
    Once(&'a [u8]),
    /// Given more than once.
    Many,
}

/// The secret files that a listener reads: the group's, and those of its receiving peers.
pub fn secret_files(membership: &Membership) -> Vec<String> {
    let own = membership.peers.iter().filter(|peer| receives(&peer.spec));
    let own = own.flat_map(|peer| own_files(&peer.spec).map(ToOwned::to_owned));
    group_file(membership).map(ToOwned::to_owned).into_iter().chain(own).collect()
}

fn group_file(membership: &Membership) -> Option<&str> {
    let auth = membership.spec.auth.as_ref()?;
    let file = |auth: &GroupAuth| auth.mode == AuthMode::Hmac;
    if !file(auth) {
        return None;
    }
    auth.secret_file.as_deref().or(auth.secret_ref.as_deref())
}

fn own_files(spec: &EventPeerSpec) -> impl Iterator<Item = &str> {
    let auth = spec.auth.iter();
    auth.flat_map(|auth| auth.secret_file.iter().chain(&auth.secret_files)).map(String::as_str)
}

fn receives(spec: &EventPeerSpec) -> bool {
    matches!(spec.direction, Direction::Receive | Direction::Both)
}

impl Admission {
    /// Makes it from the manifests, with `secret` to look a file's key up. Also returns what does not
    /// keep the listener off, but should be mended.
    pub fn of(
        membership: &Membership,
        secret: impl Fn(&str) -> Result<Key, SecretError>,
    ) -> Result<(Self, Vec<String>), Off> {
        let spec = &membership.spec;
        let open = spec.auth.as_ref().is_some_and(|auth| auth.mode == AuthMode::None);
        let mut admission = Self {
            group: membership.name.as_str().into(),
            node: spec.node_name.clone(),
            window: spec.replay_window.get(),
            max_age: spec.retention.max_age.get(),
            open,
            keys: Vec::new(),
            peers: HashMap::new(),
            named_only: membership.peers.iter().any(|peer| receives(&peer.spec)),
            weak: Vec::new(),
        };
        let mut problems = Vec::new();
        if let Some(file) = group_file(membership) {
            let name = format!("EventGroup/{}", membership.name);
            match secret(file) {
                Ok(key) => {
                    admission.weigh(
                        &key,
                        format!("{}: spec.auth.secretFile", membership.source),
                        file,
                    );
                    admission.admit(key, name.into(), None);
                }
                Err(error) => {
                    let source = &membership.source;
                    problems.push(format!("{source}: spec.auth.secretFile: {error}"));
                }
            }
        }
        for peer in &membership.peers {
            admission.name_peer(peer, &secret, &mut problems);
        }
        if !open && admission.keys.is_empty() {
            return Err(Self::off(membership, &problems));
        }
        Ok((admission, problems))
    }

    fn weigh(&mut self, key: &Key, place: String, file: &str) {
        if key.is_short() {
            self.weak.push(format!(
                "{place}: the secret in {file} is shorter than {} bytes and can be guessed; replace \
                 it on all nodes of the group (routerctl federation keygen makes one)",
                signature::ENOUGH
            ));
        }
    }

    fn admit(&mut self, key: Key, verified_by: Arc<str>, peer: Option<&str>) {
        let speaker = Speaker { verified_by, peer: peer.map(Into::into) };
        self.keys.push(Credential { key, speaker });
    }

    fn name_peer(
        &mut self,
        peer: &Peer,
        secret: &impl Fn(&str) -> Result<Key, SecretError>,
        problems: &mut Vec<String>,
    ) {
        let spec = &peer.spec;
        let admitted = self.peers.entry(spec.node_name.clone()).or_default();
        admitted.own_secret |= own_files(spec).next().is_some();
        if !receives(spec) {
            return;
        }
        admitted
            .filters
            .push(Filter { types: spec.types.clone(), prefixes: spec.subject_prefixes.clone() });
        if let Some(rate) = spec.rate {
            // Without a burst, what comes in a second may come at once.
            let burst = rate.burst.map_or(rate.per_second.max(1.0), f64::from);
            admitted.rate = Some(Rate { per_second: rate.per_second, burst });
        }
        for (index, file) in own_files(spec).enumerate() {
            match secret(file) {
                Ok(key) => {
                    self.weigh(&key, format!("{}: spec.auth", peer.source), file);
                    let name = format!("EventPeer/{}#{}", peer.name, index + 1);
                    self.admit(key, name.into(), Some(&spec.node_name));
                }
                Err(error) => problems.push(format!("{}: spec.auth: {error}", peer.source)),
            }
        }
    }

    fn off(membership: &Membership, problems: &[String]) -> Off {
        if !problems.is_empty() {
            return Off { reason: "SecretUnusable", message: problems.join("; ") };
        }
        let (source, name) = (&membership.source, &membership.name);
        Off {
            reason: "NoSecret",
            message: format!(
                "{source}: EventGroup {name:?} is to listen and names no secret; add to its spec: \
                 auth: {{secretFile: /usr/local/etc/routerd/secrets/{name}.secret}} \
                 (routerctl federation keygen makes the file), or auth: {{mode: none}} to let \
                 anyone in"
            ),
        }
    }

    /// Whether the timestamp and the signature of a body hold, and whose it is. `hint` is the key
    /// that held last on this connection; it is tried first, and set.
    pub fn verify(
        &self,
        now: Time,
        timestamp: Header<'_>,
        signature: Header<'_>,
        body: &[u8],
        hint: &mut usize,
    ) -> Result<Speaker, Refusal> {
        let found = self.fresh(now, timestamp).and_then(|timestamp| {
            let Header::Once(signature) = signature else { return Err(Refusal::Signature) };
            let signature = signature::parse(signature).ok_or(Refusal::Signature)?;
            let count = self.keys.len();
            let order = (0..count).map(|index| (index + *hint) % count);
            for index in order {
                let credential = &self.keys[index];
                if credential.key.verifies(timestamp, body, &signature) {
                    *hint = index;
                    return Ok(credential.speaker.clone());
                }
            }
            Err(Refusal::Signature)
        });
        match found {
            Err(_) if self.open => Ok(Speaker { verified_by: "none".into(), peer: None }),
            found => found,
        }
    }

    fn fresh<'a>(&self, now: Time, timestamp: Header<'a>) -> Result<&'a str, Refusal> {
        let text = match timestamp {
            Header::Absent => return Err(Refusal::Timestamp("is missing")),
            Header::Many => return Err(Refusal::Timestamp("is given more than once")),
            Header::Once(text) => std::str::from_utf8(text).unwrap_or_default(),
        };
        // As it is signed: digits, no sign, no zero in front.
        let canonical = text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        let seconds = text.parse::<i64>().ok().filter(|_| canonical);
        let seconds = seconds.ok_or(Refusal::Timestamp("is not a number of seconds"))?;
        let off = seconds.saturating_sub(now.as_second());
        if off.unsigned_abs() > self.window.as_secs() {
            return Err(Refusal::Stale { seconds: off, window: self.window });
        }
        Ok(text)
    }

    /// Whether `speaker`, with these names in its certificate if it showed one, may say `event`.
    pub fn allows(
        &self,
        speaker: &Speaker,
        certificate: Option<&[String]>,
        event: &Event,
    ) -> Result<(), Refusal> {
        if event.group != *self.group {
            return Err(Refusal::OtherGroup(self.group.to_string()));
        }
        let no = |why: String| Err(Refusal::NotAllowed(why));
        let source = event.source_node.as_str();
        if source.is_empty() {
            return no("sourceNode: is required from another node".to_owned());
        }
        if source == self.node {
            return no(format!("sourceNode: {source:?} is this node"));
        }
        let admitted = self.peers.get(source);
        match &speaker.peer {
            Some(peer) if **peer != *source => {
                return no(format!("sourceNode: this key speaks for {peer:?} only"));
            }
            None if admitted.is_some_and(|peer| peer.own_secret) => {
                return no(format!("sourceNode: {source:?} has a secret of its own"));
            }
            _ => {}
        }
        if let Some(names) = certificate
            && !names.iter().any(|name| name.eq_ignore_ascii_case(source))
        {
            return no(format!("sourceNode: the client certificate does not name {source:?}"));
        }
        if !self.named_only {
            return Ok(());
        }
        let filters = admitted.map_or(&[][..], |peer| &peer.filters);
        if filters.is_empty() {
            return no(format!("sourceNode: {source:?} is no peer that this node receives from"));
        }
        if !filters.iter().any(|filter| filter.passes(event)) {
            return no(format!("type or subject: not among those that {source:?} may send"));
        }
        Ok(())
    }

    /// How fast a node may send, where that is bounded.
    pub fn rate(&self, node: &str) -> Option<Rate> {
        self.peers.get(node)?.rate
    }
}

#[cfg(test)]
mod tests;
