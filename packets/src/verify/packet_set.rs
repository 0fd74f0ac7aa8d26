//! Sets of packets: protocols and kinds of fragments, with a set of addresses and ports.

use std::collections::BTreeMap;

use super::header::{Fragments, Headers, Protocols, Range, overlapping, rest};
use super::sets::{Set, Sets};

/// Every packet of these protocols and kinds whose addresses and ports are in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketSet {
    pub(crate) protocols: Protocols,
    pub(crate) fragments: Fragments,
    pub(crate) fields: Fields,
}

/// A set of addresses and ports: a box while one box is enough, or else a diagram. Boxes are far cheaper, and most
/// packets of most tenants stay in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fields {
    Box([Range; 4]),
    Diagram(Set),
}

impl Fields {
    pub(crate) fn of(fields: [Range; 4]) -> Fields {
        let [source, destination, from, to] = fields;
        let port = |range: Range| Range { last: range.last.min(Range::PORTS.last), ..range };
        Fields::Box([source, destination, port(from), port(to)])
    }

    /// Returns what is in some of these boxes.
    pub(crate) fn of_boxes(sets: &Sets, boxes: &[[Range; 4]]) -> Fields {
        match boxes {
            [one] => Fields::of(*one),
            _ => Fields::Diagram(sets.boxes_united(boxes)),
        }
    }

    /// Returns the set as a diagram.
    pub(crate) fn set(self, sets: &Sets) -> Set {
        match self {
            Fields::Box(fields) => sets.product(fields),
            Fields::Diagram(set) => set,
        }
    }

    /// Returns the same set, as a box if it has all that is in this box, which is around it.
    pub(crate) fn simplified(self, sets: &Sets, around: [Range; 4]) -> Fields {
        match self {
            Fields::Diagram(set) if sets.product(around) == set => Fields::of(around),
            _ => self,
        }
    }

    pub(crate) fn is_none(self) -> bool {
        match self {
            Fields::Box(fields) => fields.iter().any(|range| range.first > range.last),
            Fields::Diagram(set) => set.is_none(),
        }
    }

    /// Returns what is in both sets; none if nothing is.
    pub(crate) fn common(self, sets: &Sets, other: Fields) -> Option<Fields> {
        if let (Fields::Box([a, b, c, d]), Fields::Box([e, f, g, h])) = (self, other) {
            return Some(Fields::Box([a.common(e)?, b.common(f)?, c.common(g)?, d.common(h)?]));
        }
        let (own_set, other_set) = (self.set(sets), other.set(sets));
        let common = match sets.common(own_set, other_set) {
            common if common == own_set => self,
            common if common == other_set => other,
            common => Fields::Diagram(common),
        };
        (!common.is_none()).then_some(common)
    }

    fn covers(self, other: Fields) -> bool {
        match (self, other) {
            (Fields::Box(own), Fields::Box(other)) => {
                own.iter().zip(&other).all(|(own, other)| own.covers(*other))
            }
            _ => self == other,
        }
    }

    pub(crate) fn without(self, sets: &Sets, other: Fields) -> Fields {
        if let (Fields::Box(own), Fields::Box(taken)) = (self, other) {
            let mut cut = own.iter().zip(&taken).enumerate().filter(|(_, (own, taken))| !taken.covers(**own));
            match (cut.next(), cut.next()) {
                (None, _) => return Fields::Diagram(Set::NONE),
                (Some((at, (range, taken))), None) => {
                    return self.within(sets, at, &range.without(*taken).collect::<Vec<_>>());
                }
                _ => {}
            }
        }
        Fields::Diagram(sets.without(self.set(sets), other.set(sets)))
    }

    /// Returns what has values of these sorted, disjoint ranges in a field.
    pub(crate) fn within(self, sets: &Sets, field: usize, ranges: &[Range]) -> Fields {
        if let Fields::Box(mut fields) = self
            && let Some(own) = fields.get_mut(field)
        {
            let inside: Vec<Range> =
                overlapping(ranges, *own).iter().filter_map(|range| range.common(*own)).collect();
            return match inside.as_slice() {
                [] => Fields::Diagram(Set::NONE),
                [range] => {
                    *own = *range;
                    Fields::Box(fields)
                }
                some => Fields::Diagram(sets.product_within(fields, field, some)),
            };
        }
        Fields::Diagram(sets.common(self.set(sets), sets.ranges(field, ranges)))
    }

    /// Returns what has other values than of these sorted, disjoint ranges in a field.
    pub(crate) fn outside(self, sets: &Sets, field: usize, ranges: &[Range]) -> Fields {
        if let Fields::Box(fields) = self
            && let Some(own) = fields.get(field)
        {
            return self.within(sets, field, &rest(*own, ranges));
        }
        Fields::Diagram(sets.without(self.set(sets), sets.ranges(field, ranges)))
    }

    /// Returns what is in any of these sets.
    pub(crate) fn united(sets: &Sets, all: &[Fields]) -> Fields {
        if let Some(whole) = all.first().filter(|first| all.iter().all(|own| first.covers(*own))) {
            return *whole;
        }
        let is_box = |own: &Fields| match own {
            Fields::Box(fields) => Some(*fields),
            Fields::Diagram(_) => None,
        };
        let boxes: Vec<[Range; 4]> = all.iter().filter_map(is_box).collect();
        let diagrams = all.iter().filter(|own| is_box(own).is_none()).map(|own| own.set(sets));
        Fields::Diagram(sets.united(diagrams.chain([sets.boxes_united(&boxes)]).collect()))
    }
}

impl PacketSet {
    pub(crate) fn of(headers: &Headers) -> PacketSet {
        let Headers { protocols, fragments, fields } = *headers;
        PacketSet { protocols, fragments, fields: Fields::of(fields) }
    }

    fn some(self) -> Option<PacketSet> {
        let is_none = self.protocols.is_empty() || self.fragments.is_empty() || self.fields.is_none();
        (!is_none).then_some(self)
    }

    pub(crate) fn common(self, sets: &Sets, other: PacketSet) -> Option<PacketSet> {
        let protocols = self.protocols.and(other.protocols);
        let fragments = self.fragments.and(other.fragments);
        if protocols.is_empty() || fragments.is_empty() {
            return None;
        }
        Some(PacketSet { protocols, fragments, fields: self.fields.common(sets, other.fields)? })
    }

    /// Returns the packets with values of these sorted, disjoint ranges in a field.
    pub(crate) fn within(self, sets: &Sets, field: usize, ranges: &[Range]) -> Option<PacketSet> {
        if ranges == [Range::ADDRESSES] {
            return self.some();
        }
        PacketSet { fields: self.fields.within(sets, field, ranges), ..self }.some()
    }

    /// Returns the packets with other values in a field.
    pub(crate) fn outside(self, sets: &Sets, field: usize, ranges: &[Range]) -> Option<PacketSet> {
        PacketSet { fields: self.fields.outside(sets, field, ranges), ..self }.some()
    }

    /// Returns the packets that are not in another set, as disjoint sets.
    pub(crate) fn without(self, sets: &Sets, other: PacketSet) -> Vec<PacketSet> {
        let Some(common) = self.common(sets, other) else { return vec![self] };
        let protocols = self.protocols.without(common.protocols);
        let fragments = self.fragments.without(common.fragments);
        let parts = [
            PacketSet { protocols, ..self },
            PacketSet { protocols: common.protocols, fragments, ..self },
            PacketSet { fields: self.fields.without(sets, other.fields), ..common },
        ];
        parts.into_iter().filter_map(PacketSet::some).collect()
    }

    /// Returns true if the other's packets are known to be in this set without a computation.
    fn covers(self, other: PacketSet) -> bool {
        other.protocols.without(self.protocols).is_empty()
            && other.fragments.without(self.fragments).is_empty()
            && self.fields.covers(other.fields)
    }

    /// Returns the packets that a destination and its port are translated to these ones for, as they were sent: to the
    /// public address and port.
    pub(crate) fn before_translation(
        self,
        sets: &Sets,
        (address, port): (u32, u32),
        public: [Range; 2],
    ) -> Option<PacketSet> {
        let [public, public_port] = public;
        let fields = match self.fields {
            Fields::Box([source, destination, from, to]) => {
                if !destination.has(address) || !to.has(port) {
                    return None;
                }
                Fields::Box([source, public, from, public_port])
            }
            Fields::Diagram(set) => {
                let sent_to = sets.product([Range::ADDRESSES, public, Range::PORTS, public_port]);
                Fields::Diagram(sets.common(sent_to, sets.at_destination(set, address, port)))
            }
        };
        PacketSet { fields, ..self }.some()
    }

    /// Returns one box of the set.
    pub(crate) fn first(self, sets: &Sets) -> Option<Headers> {
        self.boxes(sets, 1).first().copied()
    }

    /// Returns the set as disjoint boxes, at most this number.
    pub(crate) fn boxes(self, sets: &Sets, most: usize) -> Vec<Headers> {
        let PacketSet { protocols, fragments, fields } = self;
        let all = match fields {
            Fields::Box(fields) => vec![fields],
            Fields::Diagram(set) => sets.boxes(set, most),
        };
        all.into_iter().map(|fields| Headers { protocols, fragments, fields }).collect()
    }

    #[cfg(test)]
    pub(crate) fn has(self, sets: &Sets, packet: &crate::semantics::Packet) -> bool {
        let around =
            Headers { protocols: self.protocols, fragments: self.fragments, ..super::header::EVERYTHING };
        let [source, destination] = [packet.source, packet.destination].map(u32::from);
        let [from, to] = [packet.source_port, packet.destination_port].map(u32::from);
        around.has(packet) && sets.has(self.fields.set(sets), [source, destination, from, to])
    }
}

/// Returns the packets that are in some of these sets, as one set for all packets of the same kind.
pub(crate) fn united(sets: &Sets, all: impl IntoIterator<Item = PacketSet>) -> Vec<PacketSet> {
    let mut alike: BTreeMap<(Protocols, Fragments), Vec<Fields>> = BTreeMap::new();
    for PacketSet { protocols, fragments, fields } in all {
        alike.entry((protocols, fragments)).or_default().push(fields);
    }
    let one = |((protocols, fragments), parts): (_, Vec<Fields>)| PacketSet {
        protocols,
        fragments,
        fields: Fields::united(sets, &parts),
    };
    alike.into_iter().map(one).filter_map(PacketSet::some).collect()
}

/// Returns the packets that are in some of the first sets and in none of the others.
pub(crate) fn difference(sets: &Sets, of: Vec<PacketSet>, others: &[PacketSet]) -> Vec<PacketSet> {
    let of: Vec<PacketSet> =
        of.into_iter().filter(|own| !others.iter().any(|other| other.covers(*own))).collect();
    if of.is_empty() {
        return of;
    }
    let others = united(sets, others.iter().copied());
    others
        .into_iter()
        .fold(of, |left, other| left.into_iter().flat_map(|own| own.without(sets, other)).collect())
}
