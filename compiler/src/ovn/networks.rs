//! Sets of IPv4 addresses: their union, difference and complement, as networks.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv4Subnets};

/// A set of addresses, as ranges that are sorted, apart from each other, and not adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSpace {
    /// The first and the last address of each range.
    ranges: Vec<(u32, u32)>,
}

impl FromIterator<Ipv4Net> for AddressSpace {
    fn from_iter<I: IntoIterator<Item = Ipv4Net>>(networks: I) -> Self {
        let ranges = networks
            .into_iter()
            .map(|network| (u32::from(network.network()), u32::from(network.broadcast())));
        AddressSpace::of_ranges(ranges.collect())
    }
}

impl AddressSpace {
    fn of_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
                _ => merged.push((first, last)),
            }
        }
        AddressSpace { ranges: merged }
    }

    /// Returns true if there is no address in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the addresses that are in one of the two.
    #[must_use]
    pub fn with(&self, other: &AddressSpace) -> AddressSpace {
        AddressSpace::of_ranges(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// Returns the addresses that are not in it.
    #[must_use]
    pub fn complement(&self) -> AddressSpace {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = Some(0);
        for (first, last) in &self.ranges {
            if let Some(next) = next.filter(|next| next < first) {
                ranges.push((next, first - 1));
            }
            next = last.checked_add(1);
        }
        ranges.extend(next.map(|next| (next, u32::MAX)));
        AddressSpace { ranges }
    }

    /// Returns the addresses that are in both.
    #[must_use]
    pub fn common(&self, other: &AddressSpace) -> AddressSpace {
        self.complement().with(&other.complement()).complement()
    }

    /// Returns the addresses that are not in the other one.
    #[must_use]
    pub fn without(&self, other: &AddressSpace) -> AddressSpace {
        self.common(&other.complement())
    }

    /// Returns true if they have an address in common.
    pub fn overlaps(&self, other: &AddressSpace) -> bool {
        !self.common(other).is_empty()
    }

    /// Returns true if it has every address of the network.
    pub fn contains(&self, network: Ipv4Net) -> bool {
        let (first, last) = (u32::from(network.network()), u32::from(network.broadcast()));
        self.ranges.iter().any(|(start, end)| *start <= first && last <= *end)
    }

    /// Returns the fewest networks that make it up, in order.
    pub fn networks(&self) -> Vec<Ipv4Net> {
        let of =
            |(first, last): &(u32, u32)| Ipv4Subnets::new(Ipv4Addr::from(*first), Ipv4Addr::from(*last), 0);
        self.ranges.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(networks: &[&str]) -> AddressSpace {
        networks.iter().map(|network| network.parse::<Ipv4Net>().unwrap()).collect()
    }

    fn shown(space: &AddressSpace) -> Vec<String> {
        space.networks().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_difference_is_made_of_networks() {
        let rest = space(&["10.0.0.0/8"]).without(&space(&["10.0.0.0/9", "10.192.0.0/10", "11.0.0.0/8"]));
        assert_eq!(shown(&rest), ["10.128.0.0/10"]);
        let around = space(&["10.0.0.1/32"]).without(&space(&["10.0.0.1/32"]));
        assert!(around.is_empty());
    }

    #[test]
    fn a_complement_has_all_other_addresses() {
        assert_eq!(shown(&AddressSpace::default().complement()), ["0.0.0.0/0"]);
        assert_eq!(shown(&space(&["128.0.0.0/1"]).complement()), ["0.0.0.0/1"]);
        assert!(space(&["0.0.0.0/0"]).complement().is_empty());
        let outside = space(&["10.0.0.0/8"]).complement();
        assert!(!outside.contains("10.1.0.0/16".parse().unwrap()));
        assert!(outside.contains("11.0.0.0/8".parse().unwrap()));
        assert_eq!(outside.complement(), space(&["10.0.0.0/8"]));
    }

    #[test]
    fn neighbours_become_one_network() {
        assert_eq!(shown(&space(&["10.0.0.0/25", "10.0.0.128/25"])), ["10.0.0.0/24"]);
        assert!(space(&["10.0.0.0/24"]).overlaps(&space(&["10.0.0.255/32"])));
        assert!(!space(&["10.0.0.0/24"]).overlaps(&space(&["10.0.1.0/24"])));
    }
}
