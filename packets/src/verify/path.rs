//! A set of packets on its path: the header as it was sent, the header now, and the translations.

use std::cmp::Ordering;

use uuid::Uuid;

use super::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Protocols, Range, SOURCE, SOURCE_PORT, overlapping,
    rest,
};
use super::packet_set::{Fields, PacketSet};
use super::sets::Sets;
use crate::semantics::Frame;
use midoform_compiler::values::MacAddress;

/// The most boxes that a box is split into. Of more a diagram is made.
const MOST_PIECES: usize = 4;

/// The number of times that what a rule leaves of a box may be two boxes. Then a diagram is made: the boxes of many rules
/// are too many.
const MOST_CUTS: u8 = 3;

/// The direction of packets: they begin connections, or they are replies of tracked connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    Forward,
    Return,
}

/// What connection tracking says of packets on the current device. MidoNet's flows are in [`Flow`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tracking {
    /// They are not tracked.
    #[default]
    None,
    /// They begin a connection.
    New,
    /// They are replies of a connection that was tracked.
    Reply,
    /// They belong to no connection, and can't begin one.
    Invalid,
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
    /// The addresses and ports as they were sent; never empty.
    fields: Fields,
    /// The ranges of the variables. Those of the first four are a box around `fields`.
    ranges: Vec<Range>,
    /// The number of times that a rule left two boxes of it.
    cuts: u8,
    pub(crate) header: [usize; 4],
    pub(crate) source_mac: MacAddress,
    pub(crate) destination_mac: MacAddress,
    pub(crate) flow: Flow,
    pub(crate) tracking: Tracking,
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
            fields: Fields::of(headers.fields),
            ranges: headers.fields.to_vec(),
            cuts: 0,
            header: [0, 1, 2, 3],
            source_mac,
            destination_mac,
            flow: Flow::Forward,
            tracking: Tracking::None,
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
    pub(crate) fn sent(&self) -> PacketSet {
        PacketSet { protocols: self.protocols, fragments: self.fragments, fields: self.fields }
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

    /// Returns the packets with values of these sorted, disjoint ranges of one of the first four variables, as one path.
    fn within(&self, sets: &Sets, variable: usize, ranges: &[Range]) -> Option<Path> {
        let (first, last) = ranges.first().zip(ranges.last())?;
        let fields = self.fields.within(sets, variable, ranges);
        if fields.is_none() {
            return None;
        }
        let path = self.narrowed(variable, Range { first: first.first, last: last.last });
        // What is left of a diagram is often a box.
        let fields = if ranges.len() == 1 { fields.simplified(sets, path.around().fields) } else { fields };
        Some(Path { fields, ..path })
    }

    /// Splits the path: the packets that are in a set as they were sent, which is in a box, and the others.
    pub(crate) fn split_set(
        self,
        sets: &Sets,
        set: Fields,
        around: [Range; 4],
    ) -> (Option<Path>, Option<Path>) {
        let Some(common) = self.fields.common(sets, set) else { return (None, Some(self)) };
        let others = self.fields.without(sets, set);
        let outside = (!others.is_none()).then(|| Path { fields: others, ..self.clone() });
        let mut inside = Path { fields: common, ..self };
        for (own, around) in inside.ranges.iter_mut().zip(around) {
            *own = own.common(around).unwrap_or(*own);
        }
        (Some(inside), outside)
    }

    /// Splits the path by a variable: the packets in the range, and the others.
    pub(crate) fn split_variable(
        self,
        sets: &Sets,
        variable: usize,
        range: Range,
    ) -> (Option<Path>, Vec<Path>) {
        let (inside, outside) = self.split_by(sets, variable, &[range]);
        (inside.into_iter().next(), outside)
    }

    /// Splits the path by a field of the header.
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
        let inside: Vec<Range> = ranges.iter().filter_map(|range| range.common(own)).collect();
        let outside = rest(own, ranges);
        if variable >= self.header.len() {
            let narrowed = |ranges: Vec<Range>| {
                ranges.into_iter().map(|range| self.narrowed(variable, range)).collect::<Vec<Path>>()
            };
            return (narrowed(inside), narrowed(outside));
        }
        let matched = self.pieces(sets, variable, &inside, MOST_PIECES);
        let most = if self.cuts < MOST_CUTS { 2 } else { 1 };
        let mut others = self.pieces(sets, variable, &outside, most);
        let more = u8::from(others.len() > 1);
        others.iter_mut().for_each(|path| path.cuts += more);
        (matched, others)
    }

    /// Returns the packets with values of these sorted, disjoint ranges of one of the first four variables: as boxes, if
    /// these are at most so many, or else as one path.
    fn pieces(&self, sets: &Sets, variable: usize, ranges: &[Range], most: usize) -> Vec<Path> {
        let one = |ranges: &[Range]| self.within(sets, variable, ranges);
        match self.fields {
            Fields::Box(_) if ranges.len() <= most => ranges.chunks(1).filter_map(one).collect(),
            _ => one(ranges).into_iter().collect(),
        }
    }

    /// Splits the path by a field: the packets in these sorted, disjoint ranges, and the others.
    pub(crate) fn split_many(self, sets: &Sets, field: usize, ranges: &[Range]) -> (Vec<Path>, Vec<Path>) {
        let variable = self.variable(field);
        self.split_by(sets, variable, ranges)
    }

    /// Returns the packets with values of this range in a field of the header.
    pub(crate) fn part(&self, sets: &Sets, field: usize, range: Range) -> Option<Path> {
        let variable = self.variable(field);
        match self.range(variable).common(range)? {
            common if common == self.range(variable) => Some(self.clone()),
            common if variable >= self.header.len() => Some(self.narrowed(variable, common)),
            common => self.within(sets, variable, &[common]),
        }
    }

    /// Splits the path by several of the first four variables: the packets whose variables are all in these sorted,
    /// disjoint ranges, and the others.
    pub(crate) fn split_by_all(self, sets: &Sets, wanted: &[(usize, &[Range])]) -> (Vec<Path>, Vec<Path>) {
        if let [(variable, ranges)] = wanted {
            return self.split_by(sets, *variable, ranges);
        }
        let mut around = self.around().fields;
        let mut set = Fields::of(around);
        for (variable, ranges) in wanted {
            let Some(own) = around.get_mut(*variable) else { continue };
            let ranges = overlapping(ranges, *own);
            let Some((first, last)) = ranges.first().zip(ranges.last()) else {
                return (Vec::new(), vec![self]);
            };
            set = set.within(sets, *variable, ranges);
            *own = own.common(Range { first: first.first, last: last.last }).unwrap_or(*own);
        }
        let (inside, outside) = self.split_set(sets, set, around);
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
            let flags = (path.tracked, path.rewritten, path.approximate, path.tracking);
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
                let all: Vec<Fields> = alike.iter().map(|(_, path)| path.fields).collect();
                path.fields = Fields::united(sets, &all);
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
        path.tracking = Tracking::None;
        (path.source_mac, path.destination_mac) = (source_mac, destination_mac);
        (path.ingress, path.devices, path.tracked) = (from, 0, false);
        path.traversed.clear();
        path.rules.clear();
        path
    }
}
