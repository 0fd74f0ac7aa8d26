//! A set of packets on its path: the header as it was sent, the header now, and the translations.

use std::cmp::Ordering;

use uuid::Uuid;

use super::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Protocols, Range, SOURCE, SOURCE_PORT, overlapping,
    rest,
};
use super::packet_set::PacketSet;
use super::sets::{Set, Sets};
use crate::semantics::Frame;
use midoform_compiler::values::MacAddress;

/// The most boxes that a box is split into. Of more a set is made.
const MOST_PIECES: usize = 4;

/// The number of times that what a rule leaves of a box may be two boxes. Then a set is made: the boxes of many rules are
/// too many.
const MOST_CUTS: u8 = 3;

/// The direction of packets: they begin connections, or they are replies of tracked connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    Forward,
    Return,
}

/// A set of packets on one path through the devices.
///
/// Every field of the header names a variable. The first four are the fields as they were sent: the set has the packets
/// that take this path. NAT adds other variables, each with a range of its own.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) frame: Frame,
    pub(crate) protocols: Protocols,
    pub(crate) fragments: Fragments,
    /// The packets as they were sent; never empty. None if they are the box of the first four ranges.
    set: Option<Set>,
    /// The ranges of the variables. Those of the first four are a box around the set.
    ranges: Vec<Range>,
    /// The number of times that a rule left two boxes of it.
    cuts: u8,
    pub(crate) header: [usize; 4],
    pub(crate) source_mac: MacAddress,
    pub(crate) destination_mac: MacAddress,
    pub(crate) flow: Flow,
    /// The port that they entered the network by.
    pub(crate) ingress: Uuid,
    /// The number of ports that they have entered.
    pub(crate) devices: usize,
    /// The devices and ports that they passed.
    pub(crate) traversed: Vec<Uuid>,
    /// True if a rule with a flow condition was evaluated for them.
    pub(crate) tracked: bool,
    /// True if their destination was translated on the current device.
    pub(crate) rewritten: bool,
    /// The chains that were already evaluated at this position.
    pub(crate) visited: Vec<Uuid>,
    /// The rules that matched, in order.
    pub(crate) rules: Vec<Uuid>,
    pub(crate) bindings: Vec<Binding>,
    /// True if the set has more packets than take this path: the path depends on two fields that are equal in some of
    /// them.
    pub(crate) approximate: bool,
}

/// The side of the header that NAT changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// A translation on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binding {
    pub(crate) device: Uuid,
    pub(crate) side: Side,
    /// The header before it.
    pub(crate) key: [usize; 4],
    /// The new address.
    pub(crate) address: usize,
    /// The new port.
    pub(crate) port: usize,
}

impl Path {
    pub(crate) fn new(
        headers: Headers,
        from: Uuid,
        source_mac: MacAddress,
        destination_mac: MacAddress,
    ) -> Path {
        Path {
            frame: Frame::IPV4,
            protocols: headers.protocols,
            fragments: headers.fragments,
            set: None,
            ranges: headers.fields.to_vec(),
            cuts: 0,
            header: [0, 1, 2, 3],
            source_mac,
            destination_mac,
            flow: Flow::Forward,
            ingress: from,
            devices: 0,
            traversed: Vec::new(),
            tracked: false,
            rewritten: false,
            visited: Vec::new(),
            rules: Vec::new(),
            bindings: Vec::new(),
            approximate: false,
        }
    }

    /// Returns the same packets as frames of another kind.
    #[must_use]
    pub(crate) fn of_kind(self, frame: Frame) -> Path {
        Path { frame, ..self }
    }

    /// Returns the range of a variable: some of its numbers may be in no packet.
    pub(crate) fn range(&self, variable: usize) -> Range {
        self.ranges.get(variable).copied().unwrap_or(Range::one(0))
    }

    pub(crate) fn variable(&self, field: usize) -> usize {
        self.header.get(field).copied().unwrap_or_default()
    }

    /// Returns the range of a field of the header as it is now.
    pub(crate) fn field(&self, field: usize) -> Range {
        self.range(self.variable(field))
    }

    /// Returns the packets as they were sent.
    pub(crate) fn sent(&self, sets: &Sets) -> PacketSet {
        PacketSet { protocols: self.protocols, fragments: self.fragments, set: self.sent_set(sets) }
    }

    fn sent_set(&self, sets: &Sets) -> Set {
        self.set.unwrap_or_else(|| sets.product(self.around().fields))
    }

    /// Returns a box around the packets as they were sent.
    pub(crate) fn around(&self) -> Headers {
        let field = |at| self.range(at);
        Headers {
            protocols: self.protocols,
            fragments: self.fragments,
            fields: [field(0), field(1), field(2), field(3)],
        }
    }

    /// Returns a box around the packets as they are now.
    pub(crate) fn now(&self) -> Headers {
        let field = |at| self.field(at);
        Headers { fields: [field(0), field(1), field(2), field(3)], ..self.around() }
    }

    /// Adds a variable.
    pub(crate) fn add(&mut self, range: Range) -> usize {
        self.ranges.push(range);
        self.ranges.len() - 1
    }

    /// Lets a field name another variable.
    pub(crate) fn set(&mut self, field: usize, variable: usize) {
        if let Some(place) = self.header.get_mut(field) {
            *place = variable;
        }
    }

    fn narrowed(&self, variable: usize, range: Range) -> Path {
        let mut path = self.clone();
        if let Some(place) = path.ranges.get_mut(variable) {
            *place = range;
        }
        path
    }

    /// Splits the path: the packets that are in a set as they were sent, and the others.
    pub(crate) fn split_set(self, sets: &Sets, set: Set) -> (Option<Path>, Option<Path>) {
        let own = self.sent_set(sets);
        let inside = sets.common(own, set);
        if inside == own {
            return (Some(self), None);
        }
        if inside.is_none() {
            return (None, Some(self));
        }
        let outside = Path { set: Some(sets.without(own, set)), ..self.clone() };
        (Some(Path { set: Some(inside), ..self }), Some(outside))
    }

    /// Splits the path by a variable: the packets in the range, and the others. A box is split into boxes.
    pub(crate) fn split_variable(
        self,
        sets: &Sets,
        variable: usize,
        range: Range,
    ) -> (Option<Path>, Vec<Path>) {
        if self.set.is_some() && variable < self.header.len() {
            let (inside, outside) = self.split_by(sets, variable, &[range]);
            return (inside.into_iter().next(), outside);
        }
        let own = self.range(variable);
        match own.common(range) {
            None => (None, vec![self]),
            Some(common) if common == own => (Some(self), Vec::new()),
            Some(common) => {
                let outside = own.without(range).map(|outside| self.narrowed(variable, outside)).collect();
                (Some(self.narrowed(variable, common)), outside)
            }
        }
    }

    /// Splits the path by a field of the header. A box is split into boxes.
    pub(crate) fn split(self, sets: &Sets, field: usize, range: Range) -> (Option<Path>, Vec<Path>) {
        let variable = self.variable(field);
        self.split_variable(sets, variable, range)
    }

    /// Splits the path by a variable: the packets in these sorted, disjoint ranges, and the others.
    pub(crate) fn split_by(self, sets: &Sets, variable: usize, ranges: &[Range]) -> (Vec<Path>, Vec<Path>) {
        let own = self.range(variable);
        let ranges = overlapping(ranges, own);
        match ranges {
            [] => return (Vec::new(), vec![self]),
            [range] if range.covers(own) => return (vec![self], Vec::new()),
            _ => {}
        }
        let others = rest(own, ranges);
        let inside: Vec<Range> = ranges.iter().filter_map(|range| range.common(own)).collect();
        let is_added = variable >= self.header.len();
        let few = others.len() <= 1 || (others.len() == 2 && self.cuts < MOST_CUTS);
        if is_added || (self.set.is_none() && inside.len() <= MOST_PIECES && few) {
            let narrowed = |ranges: Vec<Range>, cuts: u8| {
                let narrowed = ranges.into_iter().map(|range| self.narrowed(variable, range));
                narrowed.map(|path| Path { cuts, ..path }).collect::<Vec<Path>>()
            };
            let more = u8::from(others.len() == 2 && !is_added);
            return (narrowed(inside, self.cuts), narrowed(others, self.cuts + more));
        }
        let (is_box, set) = (self.set.is_none(), sets.ranges(variable, ranges));
        let (matched, left) = self.split_set(sets, set);
        let narrowed = |path: Option<Path>, ranges: &[Range]| {
            let (first, last) = ranges.first().zip(ranges.last())?;
            let path = path?.narrowed(variable, Range { first: first.first, last: last.last });
            // A box that is narrowed by one range is a box.
            Some(if is_box && ranges.len() == 1 { Path { set: None, ..path } } else { path })
        };
        (narrowed(matched, &inside).into_iter().collect(), narrowed(left, &others).into_iter().collect())
    }

    /// Splits the path by a field: the packets in these sorted, disjoint ranges, and the others.
    pub(crate) fn split_many(self, sets: &Sets, field: usize, ranges: &[Range]) -> (Vec<Path>, Vec<Path>) {
        let variable = self.variable(field);
        self.split_by(sets, variable, ranges)
    }

    /// Returns the packets of the path with these values of one of the first four variables: sorted, disjoint ranges.
    pub(crate) fn within(self, sets: &Sets, variable: usize, ranges: &[Range]) -> Vec<Path> {
        let own = self.range(variable);
        let inside: Vec<Range> =
            overlapping(ranges, own).iter().filter_map(|range| range.common(own)).collect();
        match self.set.is_none() && inside.len() <= MOST_PIECES {
            true => inside.into_iter().map(|range| self.narrowed(variable, range)).collect(),
            false => self.split_by(sets, variable, ranges).0,
        }
    }

    /// Splits the path by several of the first four variables: the packets whose variables are all in these sorted,
    /// disjoint ranges, and the others.
    pub(crate) fn split_by_all(self, sets: &Sets, wanted: &[(usize, &[Range])]) -> (Vec<Path>, Vec<Path>) {
        match wanted {
            [] => return (vec![self], Vec::new()),
            [(variable, ranges)] => return self.split_by(sets, *variable, ranges),
            _ => {}
        }
        let mut set = Set::ALL;
        let mut around = self.ranges.clone();
        let mut is_box = self.set.is_none();
        let mut cuts = Vec::new();
        for (variable, ranges) in wanted {
            let own = around.get(*variable).copied().unwrap_or(Range::one(0));
            let ranges = overlapping(ranges, own);
            let Some((first, last)) = ranges.first().zip(ranges.last()) else {
                return (Vec::new(), vec![self]);
            };
            if matches!(ranges, [range] if range.covers(own)) {
                continue;
            }
            if let Some(place) = around.get_mut(*variable) {
                let (first, last) = (first.first.max(own.first), last.last.min(own.last));
                *place = Range { first, last };
            }
            is_box &= ranges.len() == 1;
            cuts.push((*variable, ranges));
        }
        if let [] | [_] = cuts.as_slice() {
            return match cuts.first() {
                Some((variable, ranges)) => self.split_by(sets, *variable, ranges),
                None => (vec![self], Vec::new()),
            };
        }
        for (variable, ranges) in cuts {
            set = sets.common(set, sets.ranges(variable, ranges));
        }
        let (inside, outside) = self.split_set(sets, set);
        let inside = inside.map(|path| Path { ranges: around, set: path.set.filter(|_| !is_box), ..path });
        (inside.into_iter().collect(), outside.into_iter().collect())
    }

    /// Splits the path by protocol.
    pub(crate) fn split_protocols(self, protocols: Protocols) -> (Option<Path>, Option<Path>) {
        let (inside, outside) = (self.protocols.and(protocols), self.protocols.without(protocols));
        match (inside.is_empty(), outside.is_empty()) {
            (_, true) => (Some(self), None),
            (true, _) => (None, Some(self)),
            _ => {
                let inside = Path { protocols: inside, ..self.clone() };
                (Some(inside), Some(Path { protocols: outside, ..self }))
            }
        }
    }

    /// Splits the path by kind of fragment.
    pub(crate) fn split_fragments(self, fragments: Fragments) -> (Option<Path>, Option<Path>) {
        let (inside, outside) = (self.fragments.and(fragments), self.fragments.without(fragments));
        match (inside.is_empty(), outside.is_empty()) {
            (_, true) => (Some(self), None),
            (true, _) => (None, Some(self)),
            _ => {
                let inside = Path { fragments: inside, ..self.clone() };
                (Some(inside), Some(Path { fragments: outside, ..self }))
            }
        }
    }

    /// Splits the path: the packets in which all these pairs of variables are equal, and the others. If neither variable of a
    /// pair is known exactly, both sides get all packets.
    pub(crate) fn split_equal(self, sets: &Sets, pairs: &[(usize, usize)]) -> (Option<Path>, Vec<Path>) {
        let mut unequal = Vec::new();
        let mut path = self;
        for (one, other) in pairs {
            if one == other {
                continue;
            }
            let (first, second) = (path.range(*one), path.range(*other));
            if first.common(second).is_none() {
                unequal.push(path);
                return (None, unequal);
            }
            if !first.is_one() && !second.is_one() {
                path.approximate = true;
                unequal.push(path.clone());
                continue;
            }
            let (known, open) = if first.is_one() { (first, *other) } else { (second, *one) };
            let (inside, outside) = path.split_variable(sets, open, known);
            unequal.extend(outside);
            match inside {
                Some(inside) => path = inside,
                None => return (None, unequal),
            }
        }
        (Some(path), unequal)
    }

    /// Compares everything but the packets: paths that are equal can be one.
    fn compare(&self, other: &Path) -> Ordering {
        let of = |path: &Path| {
            let Path { protocols, fragments, header, flow, ingress, devices, .. } = *path;
            let flags = (path.tracked, path.rewritten, path.approximate);
            (protocols, fragments, header, flow, ingress, devices, flags)
        };
        let macs = |path: &Path| (path.frame, path.source_mac, path.destination_mac);
        let added = |path: &Path| path.ranges.get(path.header.len()..).unwrap_or_default().to_vec();
        of(self)
            .cmp(&of(other))
            .then_with(|| macs(self).cmp(&macs(other)))
            .then_with(|| self.traversed.cmp(&other.traversed))
            .then_with(|| self.visited.cmp(&other.visited))
            .then_with(|| self.rules.cmp(&other.rules))
            .then_with(|| self.bindings.cmp(&other.bindings))
            .then_with(|| added(self).cmp(&added(other)))
    }

    /// Makes one path of those that differ only in their packets, each with a number: the least of theirs.
    pub(crate) fn merged(sets: &Sets, mut paths: Vec<(usize, Path)>) -> Vec<(usize, Path)> {
        if paths.len() < 2 {
            return paths;
        }
        paths.sort_by(|(one, path), (other, second)| path.compare(second).then(one.cmp(other)));
        let mut found = Vec::new();
        for alike in paths.chunk_by(|(_, one), (_, other)| one.compare(other) == Ordering::Equal) {
            let Some((place, first)) = alike.first() else { continue };
            let mut path = first.clone();
            if alike.len() > 1 {
                path.set = Some(sets.united(alike.iter().map(|(_, path)| path.sent_set(sets)).collect()));
            }
            for (at, place) in path.ranges.iter_mut().enumerate().take(path.header.len()) {
                for (_, other) in alike {
                    let range = other.range(at);
                    *place = Range { first: place.first.min(range.first), last: place.last.max(range.last) };
                }
            }
            found.push((*place, path));
        }
        found
    }

    /// Returns true for replies that have the address and port as their source that the packets were sent to.
    pub(crate) fn is_from_the_asked(&self) -> bool {
        let same = |field: usize, sent: usize| {
            let own = self.range(self.variable(field));
            self.variable(field) == sent || (own.is_one() && own == self.range(sent))
        };
        let has_ports = self.protocols != Protocols::of(&[1]);
        same(SOURCE, DESTINATION) && (!has_ports || same(SOURCE_PORT, DESTINATION_PORT))
    }

    /// Returns the replies to these packets, sent from the place where they arrived: addresses and ports are exchanged.
    pub(crate) fn reply(&self, from: Uuid, source_mac: MacAddress, destination_mac: MacAddress) -> Path {
        let mut path = self.clone();
        let [source, destination, source_port, destination_port] = self.header;
        path.header = [destination, source, destination_port, source_port];
        if path.protocols == Protocols::of(&[1]) {
            let zero = path.add(Range::one(0));
            path.header = [destination, source, zero, zero];
        }
        path.flow = if self.tracked { Flow::Return } else { Flow::Forward };
        (path.source_mac, path.destination_mac) = (source_mac, destination_mac);
        (path.ingress, path.devices, path.tracked) = (from, 0, false);
        path.traversed.clear();
        path.rules.clear();
        path
    }
}
