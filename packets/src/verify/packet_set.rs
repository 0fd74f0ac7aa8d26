//! Sets of packets: protocols and kinds of fragments, with a set of addresses and ports.

use std::collections::BTreeMap;

use super::header::{Fragments, Headers, Protocols, Range};
use super::sets::{Set, Sets};

/// Every packet of these protocols and kinds whose addresses and ports are in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketSet {
    pub(crate) protocols: Protocols,
    pub(crate) fragments: Fragments,
    pub(crate) set: Set,
}

impl PacketSet {
    pub(crate) fn of(sets: &Sets, headers: &Headers) -> PacketSet {
        let Headers { protocols, fragments, fields } = *headers;
        PacketSet { protocols, fragments, set: sets.product(fields) }
    }

    fn some(self) -> Option<PacketSet> {
        let is_none = self.protocols.is_empty() || self.fragments.is_empty() || self.set.is_none();
        (!is_none).then_some(self)
    }

    pub(crate) fn common(self, sets: &Sets, other: PacketSet) -> Option<PacketSet> {
        let protocols = self.protocols.and(other.protocols);
        let fragments = self.fragments.and(other.fragments);
        if protocols.is_empty() || fragments.is_empty() {
            return None;
        }
        PacketSet { protocols, fragments, set: sets.common(self.set, other.set) }.some()
    }

    /// Returns the packets with values of these ranges in a field.
    pub(crate) fn within(self, sets: &Sets, field: usize, ranges: &[Range]) -> Option<PacketSet> {
        if ranges == [Range::ADDRESSES] {
            return self.some();
        }
        PacketSet { set: sets.common(self.set, sets.ranges(field, ranges)), ..self }.some()
    }

    /// Returns the packets with other values in a field.
    pub(crate) fn outside(self, sets: &Sets, field: usize, ranges: &[Range]) -> Option<PacketSet> {
        PacketSet { set: sets.without(self.set, sets.ranges(field, ranges)), ..self }.some()
    }

    /// Returns the packets that are not in another set, as disjoint sets.
    pub(crate) fn without(self, sets: &Sets, other: PacketSet) -> Vec<PacketSet> {
        let Some(common) = self.common(sets, other) else { return vec![self] };
        let protocols = self.protocols.without(common.protocols);
        let fragments = self.fragments.without(common.fragments);
        let parts = [
            PacketSet { protocols, ..self },
            PacketSet { protocols: common.protocols, fragments, ..self },
            PacketSet { set: sets.without(self.set, other.set), ..common },
        ];
        parts.into_iter().filter_map(PacketSet::some).collect()
    }

    /// Returns one box of the set.
    pub(crate) fn first(self, sets: &Sets) -> Option<Headers> {
        self.boxes(sets, 1).first().copied()
    }

    /// Returns the set as disjoint boxes, at most this number.
    pub(crate) fn boxes(self, sets: &Sets, most: usize) -> Vec<Headers> {
        let PacketSet { protocols, fragments, .. } = self;
        let all = sets.boxes(self.set, most).into_iter();
        all.map(|fields| Headers { protocols, fragments, fields }).collect()
    }

    #[cfg(test)]
    pub(crate) fn has(self, sets: &Sets, packet: &crate::semantics::Packet) -> bool {
        let around =
            Headers { protocols: self.protocols, fragments: self.fragments, ..super::header::EVERYTHING };
        let [source, destination] = [packet.source, packet.destination].map(u32::from);
        let [from, to] = [packet.source_port, packet.destination_port].map(u32::from);
        around.has(packet) && sets.has(self.set, [source, destination, from, to])
    }
}

/// Returns the packets that are in some of these sets, as one set for all packets of the same kind.
pub(crate) fn united(sets: &Sets, all: impl IntoIterator<Item = PacketSet>) -> Vec<PacketSet> {
    let mut alike: BTreeMap<(Protocols, Fragments), Vec<Set>> = BTreeMap::new();
    for PacketSet { protocols, fragments, set } in all {
        alike.entry((protocols, fragments)).or_default().push(set);
    }
    let one = |((protocols, fragments), parts)| PacketSet { protocols, fragments, set: sets.united(parts) };
    alike.into_iter().map(one).filter_map(PacketSet::some).collect()
}

/// Returns the packets that are in some of the first sets and in none of the others.
pub(crate) fn difference(sets: &Sets, of: Vec<PacketSet>, others: &[PacketSet]) -> Vec<PacketSet> {
    let others = united(sets, others.iter().copied());
    others
        .into_iter()
        .fold(of, |left, other| left.into_iter().flat_map(|own| own.without(sets, other)).collect())
}
