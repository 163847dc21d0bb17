//! Checks of `hybrid.routerd.net`.

use super::super::hybrid::{
    AddressMobilityDomainSpec, CloudProviderProfileSpec, HybridRouteSpec, OverlayPeerSpec,
    RemoteAddressClaimSpec,
};
use super::super::place::Place;
use super::super::spec::KindSpec;
use super::words::{all_filled, filled, ipv4_host, ipv4_network, network};

impl KindSpec for HybridRouteSpec {
    fn check(&self, at: &Place<'_>) {
        let list = at.field("destinationCIDRs");
        if self.destination_cidrs.is_empty() {
            list.refuse_with("names no destination", "write it like [10.0.0.0/24]");
        }
        for (index, cidr) in self.destination_cidrs.iter().enumerate() {
            network(&list.item(index), cidr);
        }
        filled(&at.field("peerRef"), &self.peer_ref);
    }
}

impl KindSpec for OverlayPeerSpec {
    fn check(&self, at: &Place<'_>) {
        filled(&at.field("nodeID"), &self.node_id);
    }
}

impl KindSpec for AddressMobilityDomainSpec {
    fn check(&self, at: &Place<'_>) {
        ipv4_network(&at.field("prefix"), &self.prefix);
    }
}

impl KindSpec for CloudProviderProfileSpec {
    fn check(&self, at: &Place<'_>) {
        let capabilities = at.field("capabilities");
        if self.capabilities.is_empty() {
            capabilities.refuse_with("names no capability", "write it like [secondary-ip]");
        }
        all_filled(&capabilities, &self.capabilities);
        filled(&at.field("auth").field("command"), &self.auth.command);
    }
}

impl KindSpec for RemoteAddressClaimSpec {
    fn check(&self, at: &Place<'_>) {
        filled(&at.field("domainRef"), &self.domain_ref);
        ipv4_host(&at.field("address"), &self.address);
        if self.capture.configure_os_address == Some(true) {
            at.field("capture").field("configureOSAddress").refuse_with(
                "must be false",
                "the address belongs to a host on the other side, never to this system",
            );
        }
        filled(&at.field("delivery").field("peerRef"), &self.delivery.peer_ref);
    }
}
