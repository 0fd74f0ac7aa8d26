//! Sets of headers: ranges, and boxes of them.

use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

use crate::semantics::Fragment;

/// Numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Range {
    /// Every address.
    pub(crate) const ADDRESSES: Range = Range { first: 0, last: u32::MAX };
    /// Every port.
    pub(crate) const PORTS: Range = Range { first: 0, last: 0xffff };

    pub(crate) const fn one(value: u32) -> Range {
        Range { first: value, last: value }
    }

    pub(crate) fn address(address: Ipv4Addr) -> Range {
        Range::one(address.into())
    }

    pub(crate) fn network(network: Ipv4Net) -> Range {
        Range { first: network.network().into(), last: network.broadcast().into() }
    }

    pub(crate) fn is_one(self) -> bool {
        self.first == self.last
    }

    pub(crate) fn has(self, value: u32) -> bool {
        (self.first..=self.last).contains(&value)
    }

    pub(crate) fn covers(self, other: Range) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub(crate) fn common(self, other: Range) -> Option<Range> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Range { first, last })
    }

    /// Returns the parts below and above another range.
    pub(crate) fn without(self, other: Range) -> impl Iterator<Item = Range> {
        let below = other.first.checked_sub(1).and_then(|last| self.common(Range { first: 0, last }));
        let above = other.last.checked_add(1).and_then(|first| self.common(Range { first, last: u32::MAX }));
        below.into_iter().chain(above)
    }
}

/// Returns the parts of a range that are in none of the others, which are sorted and disjoint.
pub(crate) fn rest(of: Range, taken: &[Range]) -> Vec<Range> {
    let mut found = Vec::new();
    let mut next = Some(of.first);
    for range in overlapping(taken, of).iter().filter_map(|range| range.common(of)) {
        if let Some(first) = next
            && first < range.first
        {
            found.push(Range { first, last: range.first - 1 });
        }
        next = range.last.checked_add(1);
    }
    if let Some(first) = next.filter(|first| *first <= of.last) {
        found.push(Range { first, last: of.last });
    }
    found
}

/// Returns those of some sorted, disjoint ranges that have numbers in common with another one.
pub(crate) fn overlapping(sorted: &[Range], with: Range) -> &[Range] {
    let start = sorted.partition_point(|range| range.last < with.first);
    let end = sorted.partition_point(|range| range.first <= with.last);
    sorted.get(start..end).unwrap_or_default()
}

/// Returns the numbers that are in two lists of sorted, disjoint ranges.
pub(crate) fn common(one: &[Range], other: &[Range]) -> Vec<Range> {
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let parts = |range: Range| overlapping(many, range).iter().filter_map(move |other| other.common(range));
    few.iter().flat_map(|range| parts(*range)).collect()
}

/// Returns the same numbers as sorted, disjoint ranges that do not touch.
pub(crate) fn united(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort();
    let mut found: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match found.last_mut() {
            Some(last) if last.last >= range.first || last.last.checked_add(1) == Some(range.first) => {
                last.last = last.last.max(range.last);
            }
            _ => found.push(range),
        }
    }
    found
}

/// A set of IP protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Protocols([u64; 4]);

impl Protocols {
    pub(crate) const ALL: Protocols = Protocols([u64::MAX; 4]);
    pub(crate) const NONE: Protocols = Protocols([0; 4]);

    pub(crate) fn of(numbers: &[u8]) -> Protocols {
        let mut set = Protocols::NONE;
        for number in numbers {
            if let Some(word) = set.0.get_mut(usize::from(number >> 6)) {
                *word |= 1 << (number & 63);
            }
        }
        set
    }

    fn zip(self, other: Protocols, with: impl Fn(u64, u64) -> u64) -> Protocols {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Protocols([with(a, e), with(b, f), with(c, g), with(d, h)])
    }

    pub(crate) fn and(self, other: Protocols) -> Protocols {
        self.zip(other, |a, b| a & b)
    }

    fn or(self, other: Protocols) -> Protocols {
        self.zip(other, |a, b| a | b)
    }

    pub(crate) fn without(self, other: Protocols) -> Protocols {
        self.zip(other, |a, b| a & !b)
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Protocols::NONE
    }

    pub(crate) fn has(self, number: u8) -> bool {
        !self.and(Protocols::of(&[number])).is_empty()
    }

    /// Returns TCP if it is one of them, else UDP, else ICMP, else the lowest.
    pub(crate) fn first(self) -> Option<u8> {
        [6, 17, 1].into_iter().chain(0..=255).find(|number| self.has(*number))
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = u8> {
        (0..=255).filter(move |number| self.has(*number))
    }
}

/// A set of kinds: whole packets, first fragments, later fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fragments(u8);

const FRAGMENTS: [Fragment; 3] = [Fragment::Whole, Fragment::First, Fragment::Later];

impl Fragments {
    pub(crate) const ALL: Fragments = Fragments(0b111);
    pub(crate) const LATER: Fragments = Fragments(0b100);
    pub(crate) const WHOLE: Fragments = Fragments(0b001);
    /// Those that have ports.
    pub(crate) const HEADED: Fragments = Fragments(0b011);

    pub(crate) fn that(keep: impl Fn(Fragment) -> bool) -> Fragments {
        let bits = FRAGMENTS.iter().enumerate().filter(|(_, fragment)| keep(**fragment));
        Fragments(bits.fold(0, |bits, (at, _)| bits | 1 << at))
    }

    pub(crate) fn and(self, other: Fragments) -> Fragments {
        Fragments(self.0 & other.0)
    }

    pub(crate) fn without(self, other: Fragments) -> Fragments {
        Fragments(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn first(self) -> Fragment {
        FRAGMENTS
            .into_iter()
            .enumerate()
            .find(|(at, _)| self.0 & 1 << at != 0)
            .map_or(Fragment::Whole, |(_, f)| f)
    }
}

/// A box: every packet whose fields lie in all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Headers {
    pub(crate) protocols: Protocols,
    pub(crate) fragments: Fragments,
    /// Source, destination, source port, destination port.
    pub(crate) fields: [Range; 4],
}

/// Returns the smallest ranges around those of two boxes.
pub(crate) fn around(one: [Range; 4], other: [Range; 4]) -> [Range; 4] {
    let ([a, b, c, d], [e, f, g, h]) = (one, other);
    let around = |one: Range, other: Range| Range {
        first: one.first.min(other.first),
        last: one.last.max(other.last),
    };
    [around(a, e), around(b, f), around(c, g), around(d, h)]
}

/// A box that every other one meets.
pub(crate) const EVERYTHING: Headers = Headers {
    protocols: Protocols::ALL,
    fragments: Fragments::ALL,
    fields: [Range::ADDRESSES, Range::ADDRESSES, Range::ADDRESSES, Range::ADDRESSES],
};

pub(crate) const SOURCE: usize = 0;
pub(crate) const DESTINATION: usize = 1;
pub(crate) const SOURCE_PORT: usize = 2;
pub(crate) const DESTINATION_PORT: usize = 3;

impl Headers {
    /// Returns every packet with these addresses. Only TCP, UDP and ICMP (type and code) have ports, and later
    /// fragments have none: there they are 0.
    pub(crate) fn all(source: Range, destination: Range) -> Vec<Headers> {
        let zero = Range::one(0);
        let of = |protocols: &[u8], fragments, ports: Range| Headers {
            protocols: Protocols::of(protocols),
            fragments,
            fields: [source, destination, ports, ports],
        };
        let mut others = of(&[1, 6, 17], Fragments::ALL, zero);
        others.protocols = Protocols::ALL.without(others.protocols);
        vec![
            of(&[6, 17], Fragments::HEADED, Range::PORTS),
            of(&[1], Fragments::HEADED, Range { first: 0, last: 255 }),
            of(&[1, 6, 17], Fragments::LATER, zero),
            others,
        ]
    }

    /// Returns every frame with these addresses, whatever its EtherType is.
    pub(crate) fn frames(source: Range, destination: Range) -> Headers {
        Headers {
            protocols: Protocols::ALL,
            fragments: Fragments::WHOLE,
            fields: [source, destination, Range::PORTS, Range::PORTS],
        }
    }

    pub(crate) fn common(self, other: Headers) -> Option<Headers> {
        let protocols = self.protocols.and(other.protocols);
        let fragments = self.fragments.and(other.fragments);
        if protocols.is_empty() || fragments.is_empty() {
            return None;
        }
        let ([a, b, c, d], [e, f, g, h]) = (self.fields, other.fields);
        Some(Headers {
            protocols,
            fragments,
            fields: [a.common(e)?, b.common(f)?, c.common(g)?, d.common(h)?],
        })
    }

    /// Returns true if a packet is in both boxes.
    pub(crate) fn meets(&self, other: &Headers) -> bool {
        let fields = self.fields.iter().zip(&other.fields);
        fields.into_iter().all(|(one, other)| one.first <= other.last && other.first <= one.last)
            && !self.fragments.and(other.fragments).is_empty()
            && !self.protocols.and(other.protocols).is_empty()
    }

    /// Returns the smallest box around this one and another.
    pub(crate) fn around(self, other: Headers) -> Headers {
        Headers {
            protocols: self.protocols.or(other.protocols),
            fragments: Fragments(self.fragments.0 | other.fragments.0),
            fields: around(self.fields, other.fields),
        }
    }

    /// Returns the part of this box that is not in another, as disjoint boxes.
    pub(crate) fn without(self, other: Headers) -> Vec<Headers> {
        let Some(common) = self.common(other) else { return vec![self] };
        let mut found = Vec::new();
        let mut left = self;
        let protocols = left.protocols.without(common.protocols);
        if !protocols.is_empty() {
            found.push(Headers { protocols, ..left });
        }
        left.protocols = common.protocols;
        let fragments = left.fragments.without(common.fragments);
        if !fragments.is_empty() {
            found.push(Headers { fragments, ..left });
        }
        left.fragments = common.fragments;
        for (at, range) in common.fields.into_iter().enumerate() {
            let Some(own) = left.fields.get(at).copied() else { continue };
            for outside in own.without(range) {
                found.push(left.with(at, outside));
            }
            left = left.with(at, range);
        }
        found
    }

    /// Returns the same box with another range for one field.
    #[must_use]
    pub(crate) fn with(mut self, at: usize, range: Range) -> Headers {
        if let Some(field) = self.fields.get_mut(at) {
            *field = range;
        }
        self
    }

    #[cfg(test)]
    pub(crate) fn has(&self, packet: &crate::semantics::Packet) -> bool {
        let values = [
            packet.source.into(),
            packet.destination.into(),
            packet.source_port.into(),
            packet.destination_port.into(),
        ];
        self.protocols.has(packet.protocol)
            && !self.fragments.and(Fragments::that(|fragment| fragment == packet.fragment)).is_empty()
            && self.fields.iter().zip(values).all(|(range, value)| range.has(value))
    }
}
