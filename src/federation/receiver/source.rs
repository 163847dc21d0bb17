//! Where a connection comes from, as far as limits go.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// An IPv4 address, or the /64 of an IPv6 address: what one host has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Default for Source {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

#[cfg(test)]
impl Source {
    /// The source of an IPv4 address.
    pub const fn ipv4(a: u8, b: u8, c: u8, d: u8) -> Self {
        Self(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))))
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// Connections by source.
#[derive(Debug, Default)]
pub struct Census(Mutex<HashMap<Source, usize>>);

/// One counted connection.
#[derive(Debug)]
pub struct Counted {
    census: Arc<Census>,
    source: Source,
}

impl Census {
    /// Counts a connection in, unless its source has `limit` of them.
    pub fn enter(self: &Arc<Self>, source: Source, limit: usize) -> Option<Counted> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Counted { census: Arc::clone(self), source })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.census.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn addresses_of_one_host_are_one_source() {
        assert_eq!(source("fd00::1"), source("fd00::2"));
        assert_ne!(source("fd00::1"), source("fd00:0:0:1::1"));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
    }

    #[test]
    fn a_source_has_so_many_connections_and_no_more_until_one_ends() {
        let census = Arc::new(Census::default());
        let one = census.enter(source("10.0.0.1"), 1);
        assert!(one.is_some());
        assert!(census.enter(source("10.0.0.1"), 1).is_none());
        assert!(census.enter(source("10.0.0.2"), 1).is_some());
        drop(one);
        assert!(census.0.lock().unwrap().is_empty());
        assert!(census.enter(source("10.0.0.1"), 1).is_some());
    }
}
