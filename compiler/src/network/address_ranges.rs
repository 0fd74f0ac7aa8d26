//! Address ranges that are taken, and by whom: finds overlaps without comparing all with all.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Disjoint ranges of addresses, each with its owner.
#[derive(Clone, Debug)]
pub(crate) struct Claims<T> {
    by_start: BTreeMap<u32, (u32, T)>,
}

impl<T> Default for Claims<T> {
    fn default() -> Self {
        Claims { by_start: BTreeMap::new() }
    }
}

impl<T> Claims<T> {
    /// The owner of a range that overlaps this one.
    pub(crate) fn overlapping(&self, first: Ipv4Addr, last: Ipv4Addr) -> Option<&T> {
        let (_, (end, owner)) = self.by_start.range(..=u32::from(last)).next_back()?;
        (*end >= u32::from(first)).then_some(owner)
    }

    /// The owner of a range that overlaps this network.
    pub(crate) fn overlapping_network(&self, network: Ipv4Net) -> Option<&T> {
        self.overlapping(network.network(), network.broadcast())
    }

    /// Takes a range. Where it overlaps one that is taken already, nothing changes, and that owner comes back.
    pub(crate) fn claim(&mut self, first: Ipv4Addr, last: Ipv4Addr, owner: T) -> Result<(), &T> {
        if self.overlapping(first, last).is_some() {
            return self.overlapping(first, last).map_or(Ok(()), Err);
        }
        self.by_start.insert(u32::from(first), (u32::from(last), owner));
        Ok(())
    }

    /// Takes a network, as `claim` does.
    pub(crate) fn claim_network(&mut self, network: Ipv4Net, owner: T) -> Result<(), &T> {
        self.claim(network.network(), network.broadcast(), owner)
    }
}
