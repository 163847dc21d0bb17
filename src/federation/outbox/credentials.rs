//! How requests to a peer are proved: its own secret, else the group's.
//!
//! Without one the push stays off and says which lines to add. Nothing goes out unsigned unless
//! the group says so in so many words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::{Membership, Peering};
use crate::api::kinds::federation::AuthMode;
use crate::federation::files::Files;
use crate::federation::secrets::Secret;
use crate::federation::signature::Key;

/// How requests to a peer are proved.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Not at all: `auth.mode: none`.
    Unsigned,
    /// By one of these; more than one while a secret is rotated.
    Keys(Vec<Key>),
}

/// Why nothing is sent to a peer, whatever is owed to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Off {
    /// A CamelCase word for conditions.
    pub reason: &'static str,
    /// A sentence for people, with the way out.
    pub message: String,
}

/// Finds the secrets that manifests name.
pub trait Credentials: Send + Sync + 'static {
    /// The proof for requests to this peer, as it can be had now.
    fn proof(&self, peering: &Peering, group: &Membership) -> Result<Proof, Off>;
}

/// The files in which the secret for a peer may be, by what the manifests say; empty means that
/// nothing needs to be proved.
pub fn secret_files(peering: &Peering, group: &Membership) -> Result<Vec<String>, Off> {
    let own = peering
        .spec
        .auth
        .iter()
        .flat_map(|auth| auth.secret_file.iter().chain(&auth.secret_files).cloned());
    let own: Vec<String> = own.collect();
    if !own.is_empty() {
        return Ok(own);
    }
    let auth = group.spec.auth.as_ref();
    if auth.is_some_and(|auth| auth.mode == AuthMode::None) {
        return Ok(Vec::new());
    }
    let shared = auth.and_then(|auth| auth.secret_file.as_ref().or(auth.secret_ref.as_ref()));
    shared.map(|file| vec![file.clone()]).ok_or_else(|| {
        let name = &group.accepted.resource.key.name;
        Off {
            reason: "NoSecret",
            message: format!(
                "{}: EventGroup {name:?} names no secret, so nothing is pushed; add to its spec: auth: {{secretFile: /usr/local/etc/routerd/secrets/{name}.secret}} (routerctl federation keygen makes the file), or auth: {{mode: none}} to go without",
                group.accepted.source
            ),
        }
    })
}

/// The secrets of the daemon: files, held so that their changes are noticed.
pub struct FileCredentials {
    files: Arc<Files>,
    held: Mutex<HashMap<String, Vec<Secret>>>,
}

impl FileCredentials {
    /// Secrets among `files`.
    pub fn new(files: Arc<Files>) -> Self {
        Self { files, held: Mutex::default() }
    }

    fn held(&self, peer: &str, paths: &[String]) -> Vec<Secret> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held.get(peer);
        if let Some(known) = known
            && known.iter().map(Secret::path).eq(paths.iter().map(std::path::Path::new))
        {
            return known.clone();
        }
        let opened: Vec<_> = paths.iter().map(|path| Secret::open(&self.files, path)).collect();
        held.insert(peer.to_owned(), opened.clone());
        opened
    }
}

impl Credentials for FileCredentials {
    fn proof(&self, peering: &Peering, group: &Membership) -> Result<Proof, Off> {
        let paths = secret_files(peering, group)?;
        let secrets = self.held(&peering.accepted.resource.key.name, &paths);
        if secrets.is_empty() {
            return Ok(Proof::Unsigned);
        }
        let (mut keys, mut why) = (Vec::new(), None);
        for secret in &secrets {
            match secret.key() {
                Ok(key) => keys.push(key),
                Err(error) => _ = why.get_or_insert(error),
            }
        }
        match why {
            Some(error) if keys.is_empty() => {
                Err(Off { reason: "SecretUnusable", message: error.to_string() })
            }
            _ => Ok(Proof::Keys(keys)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::api::Time;
    use crate::api::accepted::{Accepted, SourceRef};
    use crate::api::kinds::decode::{decode_value, spec_of};
    use crate::api::kinds::spec::Spec;
    use crate::api::value::Value;

    fn accepted(kind: &str, name: &str, spec: &Json) -> (Arc<Accepted>, Spec) {
        let json = json!({
            "apiVersion": "federation.routerd.net/v1alpha1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        });
        let decoded = decode_value(&Value::from_serialize(&json).unwrap(), "").unwrap();
        let source =
            SourceRef { file: "g.yaml".into(), document: 0, index: None, line: 7, column: 1 };
        let accepted = Accepted {
            resource: decoded.resource,
            uid: String::new(),
            generation: 1,
            source,
            created_at: Time::UNIX_EPOCH,
            accepted_at: Time::UNIX_EPOCH,
            digest: String::new(),
            typed: true,
        };
        let spec = spec_of(&accepted.resource).unwrap();
        (Arc::new(accepted), spec)
    }

    fn group(auth: &Json) -> Membership {
        let mut spec = json!({"nodeName": "a"});
        if !auth.is_null() {
            spec["auth"] = auth.clone();
        }
        match accepted("EventGroup", "g", &spec) {
            (accepted, Spec::EventGroup(spec)) => Membership { accepted, spec: Arc::new(*spec) },
            _ => panic!("a group"),
        }
    }

    fn peering(auth: &Json) -> Peering {
        let mut spec = json!({"groupRef": "g", "nodeName": "b", "endpoint": "http://b:1"});
        if !auth.is_null() {
            spec["auth"] = auth.clone();
        }
        match accepted("EventPeer", "b", &spec) {
            (accepted, Spec::EventPeer(spec)) => Peering { accepted, spec: Arc::new(*spec) },
            _ => panic!("a peer"),
        }
    }

    #[test]
    fn the_peers_own_secret_comes_first_then_the_groups_and_without_one_nothing_goes_out() {
        let none = Json::Null;
        for (of_peer, of_group, expected) in [
            (&none, &json!({"secretFile": "/g"}), Ok(vec!["/g"])),
            (&none, &json!({"secretRef": "/g"}), Ok(vec!["/g"])),
            (&json!({"secretFile": "/p"}), &json!({"secretFile": "/g"}), Ok(vec!["/p"])),
            (&json!({"secretFiles": ["/o", "/n"]}), &none, Ok(vec!["/o", "/n"])),
            (&json!({"secretFile": "/p"}), &json!({"mode": "none"}), Ok(vec!["/p"])),
            (&none, &json!({"mode": "none"}), Ok(vec![])),
            (&none, &none, Err("NoSecret")),
            (&none, &json!({"mode": "hmac"}), Err("NoSecret")),
        ] {
            let found = secret_files(&peering(of_peer), &group(of_group));
            let found = found.map_err(|off| off.reason);
            let expected = expected.map(|files| files.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{of_peer} {of_group}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_the_place_and_the_lines() {
        let off = secret_files(&peering(&Json::Null), &group(&Json::Null)).unwrap_err();
        for part in ["g.yaml:7", "\"g\"", "auth: {secretFile: ", "keygen", "auth: {mode: none}"] {
            assert!(off.message.contains(part), "{part}: {}", off.message);
        }
    }
}
