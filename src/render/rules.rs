//! Rule 3: whether what a proposal leans on is there.
//!
//! Pure; asks through a lookup, so that the definition and the index share it.

use super::refs::{self, Facade, KeyRef};
use super::report::Reason;
use crate::api::object::Resource;

/// Why a resource cannot stand, with what is said about it.
pub(super) type Unsound = (Reason, String);

/// Checks the hard references of `resource`, then its domain. The first fault is the one told.
pub(super) fn check(
    resource: &Resource,
    lookup: impl Fn(KeyRef<'_>) -> Facade,
) -> Result<(), Unsound> {
    for reference in refs::references(resource) {
        if lookup(reference.to) == Facade::Missing {
            let KeyRef { kind, name, .. } = reference.to;
            let message =
                format!("{}: {kind}/{name} is not in the effective config", reference.path);
            return Err((Reason::Unresolved, message));
        }
    }
    if refs::is_claim(&resource.key) { check_domain(resource, lookup) } else { Ok(()) }
}

fn check_domain(resource: &Resource, lookup: impl Fn(KeyRef<'_>) -> Facade) -> Result<(), Unsound> {
    let outside = |message| Err((Reason::OutsideDomain, message));
    let written = refs::claimed_text(resource).unwrap_or_default();
    let Some(address) = refs::parse_address(written) else {
        return outside(format!("spec.address: {written:?} is not one IPv4 address"));
    };
    let Some(domain) = refs::domain_ref(resource) else { return Ok(()) };
    match lookup(refs::domain_key(domain)) {
        Facade::Domain(Some(prefix)) if prefix.contains(&address) => Ok(()),
        Facade::Domain(Some(prefix)) => outside(format!(
            "spec.address: {address} is outside {prefix}, the prefix of AddressMobilityDomain/{domain}"
        )),
        Facade::Domain(None) | Facade::Present | Facade::Missing => outside(format!(
            "spec.address: AddressMobilityDomain/{domain} has no prefix that could hold {address}"
        )),
    }
}
