//! What can be accepted and is most likely not what was meant: notes, never refusals.

use super::place::{Place, Tree, inspect};
use super::redact::REDACTED;
use super::spec::Spec;
use crate::api::decode::Problem;
use crate::api::yaml::Node;

/// The notes on the spec of a resource. `base` is the path of the resource.
pub(super) fn on(spec: &Spec, node: &Node, base: &str) -> Vec<Problem> {
    let ((), notes) = inspect(Tree::Node(node), base, |root| {
        let at = root.field("spec");
        match spec {
            Spec::EventGroup(_) => {
                files(&at.field("auth"), &["secretFile", "secretRef"]);
                files(&at.field("listen").field("tls"), &["certFile", "keyFile", "clientCAFile"]);
            }
            Spec::EventPeer(spec) => {
                let auth = at.field("auth");
                files(&auth, &["secretFile"]);
                let several = auth.field("secretFiles");
                let count = spec.auth.as_ref().map_or(0, |auth| auth.secret_files.len());
                (0..count).for_each(|index| file(&several.item(index)));
                files(&at.field("tls"), &["caFile", "certFile", "keyFile"]);
            }
            _ => {}
        }
        ["privateKey", "presharedKey"].iter().for_each(|field| key(&at.field(field)));
    });
    notes
}

/// What routerctl shows of a key is none.
fn key(at: &Place<'_>) {
    if at.text() == Some(REDACTED) {
        at.refuse_with(
            format!("{REDACTED} is what routerctl shows in place of a key"),
            "write the key itself, or its file, where this was printed from",
        );
    }
}

fn files(at: &Place<'_>, fields: &[&str]) {
    fields.iter().for_each(|field| file(&at.field(field)));
}

/// A file that the daemon opens by the path as it stands there.
fn file(at: &Place<'_>) {
    if let Some(path) = at.text()
        && !path.starts_with('/')
    {
        at.refuse_with(
            format!("{path:?} is not absolute: it is looked for where the daemon was started"),
            "write the whole path, beginning with /",
        );
    }
}
