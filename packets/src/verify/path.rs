//! A set of packets on its path: the header as it was sent, the header now, and the translations.

use uuid::Uuid;

use super::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Protocols, Range, SOURCE, SOURCE_PORT,
};
use crate::semantics::Frame;
use midoform_compiler::values::MacAddress;

/// The direction of packets: they begin connections, or they are replies of tracked connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Forward,
    Return,
}

/// A set of packets on one path through the devices.
///
/// Every field of the header names a variable; the variables' ranges are what is known of them. The first four are
/// the fields as they were sent, so these ranges are the packets that take this path; NAT adds others.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) frame: Frame,
    pub(crate) protocols: Protocols,
    pub(crate) fragments: Fragments,
    ranges: Vec<Range>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// A translation on the path.
#[derive(Clone, Copy, Debug)]
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
            ranges: headers.fields.to_vec(),
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

    /// Returns the range of a variable.
    pub(crate) fn range(&self, variable: usize) -> Range {
        self.ranges.get(variable).copied().unwrap_or(Range::one(0))
    }

    fn variable(&self, field: usize) -> usize {
        self.header.get(field).copied().unwrap_or_default()
    }

    /// Returns the range of a field of the header as it is now.
    pub(crate) fn field(&self, field: usize) -> Range {
        self.range(self.variable(field))
    }

    /// Returns the packets as they were sent.
    pub(crate) fn sent(&self) -> Headers {
        let field = |at| self.range(at);
        Headers {
            protocols: self.protocols,
            fragments: self.fragments,
            fields: [field(0), field(1), field(2), field(3)],
        }
    }

    /// Returns the packets as they are now.
    pub(crate) fn now(&self) -> Headers {
        let field = |at| self.field(at);
        Headers { fields: [field(0), field(1), field(2), field(3)], ..self.sent() }
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

    /// Splits the path by a variable: the packets in the range, and the others.
    pub(crate) fn split_variable(self, variable: usize, range: Range) -> (Option<Path>, Vec<Path>) {
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

    /// Splits the path by a field of the header.
    pub(crate) fn split(self, field: usize, range: Range) -> (Option<Path>, Vec<Path>) {
        let variable = self.variable(field);
        self.split_variable(variable, range)
    }

    /// Splits the path by a field: the packets in these sorted, disjoint ranges, and the others.
    pub(crate) fn split_many(self, field: usize, ranges: &[Range]) -> (Vec<Path>, Vec<Path>) {
        if let [range] = ranges {
            let (inside, outside) = self.split(field, *range);
            return (inside.into_iter().collect(), outside);
        }
        let variable = self.variable(field);
        let own = self.range(variable);
        let inside = ranges.iter().filter_map(|range| range.common(own));
        let inside = inside.map(|range| self.narrowed(variable, range)).collect();
        let outside = super::header::rest(own, ranges)
            .into_iter()
            .map(|range| self.narrowed(variable, range))
            .collect();
        (inside, outside)
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
    pub(crate) fn split_equal(self, pairs: &[(usize, usize)]) -> (Option<Path>, Vec<Path>) {
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
            let (inside, outside) = path.split_variable(open, known);
            unequal.extend(outside);
            match inside {
                Some(inside) => path = inside,
                None => return (None, unequal),
            }
        }
        (Some(path), unequal)
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
