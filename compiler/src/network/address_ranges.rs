//! Finds overlapping ranges of addresses without comparing each range with all others.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Returns the /30 that an address lies in.
pub(crate) fn block_of(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new(address, 30).map(|network| network.trunc()).unwrap_or_default()
}

/// Ranges of addresses that don't overlap, each with its owner.
#[derive(Clone, Debug)]
pub(crate) struct AddressRanges<T> {
    /// The last address and the owner of each range, by its first address.
    by_start: BTreeMap<u32, (u32, T)>,
}

impl<T> Default for AddressRanges<T> {
    fn default() -> Self {
        AddressRanges { by_start: BTreeMap::new() }
    }
}

impl<T> AddressRanges<T> {
    /// Returns the owner of a range that overlaps this one.
    pub(crate) fn overlapping(&self, first: Ipv4Addr, last: Ipv4Addr) -> Option<&T> {
        let (_, (end, owner)) = self.by_start.range(..=u32::from(last)).next_back()?;
        (*end >= u32::from(first)).then_some(owner)
    }

    /// Returns the owner of a range that overlaps this network.
    pub(crate) fn overlapping_network(&self, network: Ipv4Net) -> Option<&T> {
        self.overlapping(network.network(), network.broadcast())
    }

    /// Adds a range. If it overlaps another one, nothing changes, and the owner of the other one is returned.
    pub(crate) fn take(&mut self, first: Ipv4Addr, last: Ipv4Addr, owner: T) -> Result<(), &T> {
        if self.overlapping(first, last).is_some() {
            return self.overlapping(first, last).map_or(Ok(()), Err);
        }
        self.by_start.insert(u32::from(first), (u32::from(last), owner));
        Ok(())
    }

    /// Adds a network, as [`AddressRanges::take`] does.
    pub(crate) fn take_network(&mut self, network: Ipv4Net, owner: T) -> Result<(), &T> {
        self.take(network.network(), network.broadcast(), owner)
    }
}
