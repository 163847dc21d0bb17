//! The kernel's neighbour table over netlink: read whole whenever the kernel says that it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};

use crate::evidence::Neighbour;

/// Neighbours by address.
pub type Table = BTreeMap<Ipv4Addr, Neighbour>;

/// A connection to the kernel that hears of every change of the table.
pub struct Kernel {
    handle: Handle,
    changes: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    interfaces: Vec<String>,
}

/// The connection to the kernel ended.
#[derive(Debug, thiserror::Error)]
#[error("the kernel closed the netlink socket")]
pub struct Closed;

impl Kernel {
    /// Connects. Neighbours on other interfaces than these are not looked at.
    pub fn connect(interfaces: Vec<String>) -> io::Result<Self> {
        let (connection, handle, changes) = new_multicast_connection(&[MulticastGroup::Neigh])?;
        tokio::spawn(connection);
        Ok(Self { handle, changes, interfaces })
    }

    /// The table as it is now.
    pub async fn table(&self) -> Result<Table, rtnetlink::Error> {
        // Looked up each time: an interface that is made anew has another number.
        let indexes: BTreeSet<u32> =
            self.interfaces.iter().filter_map(|name| index_of(name)).collect();
        let request = self.handle.neighbours().get().set_address_family(AddressFamily::Inet);
        let mut table = Table::new();
        let mut entries = Box::pin(request.execute());
        while let Some(entry) = entries.try_next().await? {
            if let Some((address, state)) = read(&entry, &indexes) {
                // Seen on two interfaces: one that answers is enough.
                let known = table.entry(address).or_insert(state);
                if state == Neighbour::Answers {
                    *known = state;
                }
            }
        }
        Ok(table)
    }

    /// Waits until the table may have changed. What came while nobody waited is one change.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        self.changes.next().await.ok_or(Closed)?;
        while let Ok(more) = self.changes.try_recv() {
            drop(more);
        }
        Ok(())
    }
}

fn index_of(interface: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).ok()?;
    text.trim().parse().ok()
}

/// What an entry says of an address, if it is on one of these interfaces.
fn read(entry: &NeighbourMessage, interfaces: &BTreeSet<u32>) -> Option<(Ipv4Addr, Neighbour)> {
    // A proxy entry is this node answering for somebody else.
    if entry.header.flags.contains(NeighbourFlags::Proxy)
        || !interfaces.contains(&entry.header.ifindex)
    {
        return None;
    }
    let state = match entry.header.state {
        NeighbourState::Reachable
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Permanent => Neighbour::Answers,
        NeighbourState::Stale => Neighbour::Silent,
        NeighbourState::Failed => Neighbour::Failed,
        _ => return None,
    };
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address, state)),
        _ => None,
    })
}
