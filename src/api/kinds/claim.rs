//! Whether an address belongs to a domain.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::hybrid::{AddressMobilityDomainSpec, RemoteAddressClaimSpec};

/// Why a claim does not belong to its domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is outside of the domain's prefix {prefix}")]
pub struct OutsideDomain {
    /// The claimed address, as written.
    pub address: String,
    /// The domain's prefix, as written.
    pub prefix: String,
}

/// The claimed address; `None` only for a spec that was never checked.
pub fn address(claim: &RemoteAddressClaimSpec) -> Option<Ipv4Addr> {
    let net: Ipv4Net = claim.address.parse().ok()?;
    (net.prefix_len() == 32).then(|| net.addr())
}

/// The domain's network; `None` only for a spec that was never checked.
pub fn prefix(domain: &AddressMobilityDomainSpec) -> Option<Ipv4Net> {
    domain.prefix.parse().ok()
}

/// Whether the claimed address lies in the domain's prefix.
pub fn check_membership(
    claim: &RemoteAddressClaimSpec,
    domain: &AddressMobilityDomainSpec,
) -> Result<(), OutsideDomain> {
    match (address(claim), prefix(domain)) {
        (Some(address), Some(prefix)) if prefix.contains(&address) => Ok(()),
        _ => Err(OutsideDomain { address: claim.address.clone(), prefix: domain.prefix.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(address: &str) -> RemoteAddressClaimSpec {
        serde_json::from_value(serde_json::json!({
            "domainRef": "d", "address": address, "ownerSide": "onprem",
            "capture": {"type": "proxy-arp"}, "delivery": {"peerRef": "p"},
        }))
        .unwrap()
    }

    fn domain(prefix: &str) -> AddressMobilityDomainSpec {
        serde_json::from_value(serde_json::json!({
            "prefix": prefix, "mode": "selective-address",
        }))
        .unwrap()
    }

    #[test]
    fn an_address_belongs_to_the_domain_whose_prefix_holds_it() {
        let lan = domain("10.88.60.0/24");
        for inside in ["10.88.60.0/32", "10.88.60.9/32", "10.88.60.255/32"] {
            assert_eq!(check_membership(&claim(inside), &lan), Ok(()), "{inside}");
        }
        for outside in ["10.88.61.0/32", "10.88.59.255/32"] {
            let refusal = check_membership(&claim(outside), &lan).unwrap_err().to_string();
            assert_eq!(
                refusal,
                format!("{outside} is outside of the domain's prefix 10.88.60.0/24")
            );
        }
        assert_eq!(check_membership(&claim("192.0.2.1/32"), &domain("0.0.0.0/0")), Ok(()));
    }

    #[test]
    fn what_is_no_host_belongs_nowhere() {
        for address in ["10.88.60.0/24", "10.88.60.9", "fd00::1/128", ""] {
            assert!(check_membership(&claim(address), &domain("0.0.0.0/0")).is_err(), "{address}");
        }
    }
}
