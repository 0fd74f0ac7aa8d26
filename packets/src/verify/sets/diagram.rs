//! The nodes of the diagrams, and the operations on them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops;

use crate::verify::header::{self, DESTINATION, DESTINATION_PORT, Range, SOURCE, SOURCE_PORT};

/// A set of addresses and ports: source, destination, source port, destination port. Equal sets are equal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Set(u32);

impl Set {
    pub(crate) const NONE: Set = Set(0);
    pub(crate) const ALL: Set = Set(1);

    pub(crate) fn is_none(self) -> bool {
        self == Set::NONE
    }
}

/// The fields in the order in which their bits are tested. Ports come first: most rules name a port, and few of them the
/// same one.
pub(super) const ORDER: [usize; 4] = [DESTINATION_PORT, DESTINATION, SOURCE, SOURCE_PORT];

/// The number of the first bit of a field, and the number of its bits.
pub(super) fn bits(field: usize) -> (u32, u32) {
    match field {
        DESTINATION_PORT => (0, 16),
        DESTINATION => (16, 32),
        SOURCE => (48, 32),
        _ => (80, 16),
    }
}

/// The most nodes: half a gigabyte.
pub(super) const MOST_NODES: usize = 16_000_000;

/// The most steps of all operations: about a minute.
const MOST_STEPS: u64 = 1_000_000_000;

/// The number of nodes from which sets are forgotten when they are not used any more.
const RENEWED: usize = 1 << 14;

/// The fewest places of the memory of results, and the most.
const RESULTS: [usize; 2] = [1 << 10, 1 << 22];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// The number of the bit that it tests.
    bit: u32,
    low: Set,
    high: Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Common,
    United,
    Without,
}

#[derive(Debug)]
pub(super) struct Diagram {
    nodes: Vec<Node>,
    /// The nodes by their content: a hash table with open addresses; 0 is a free place.
    places: Vec<u32>,
    /// The results of earlier operations. A newer one takes the place of an older one.
    results: Vec<Option<(Operation, Set, Set, Set)>>,
    steps: u64,
    most_nodes: usize,
}

impl Diagram {
    /// A diagram with at most this number of nodes.
    pub(super) fn limited(most_nodes: usize) -> Diagram {
        let end = |set| Node { bit: u32::MAX, low: set, high: set };
        Diagram {
            nodes: vec![end(Set::NONE), end(Set::ALL)],
            places: vec![0; RESULTS[0]],
            results: vec![None; RESULTS[0]],
            steps: 0,
            most_nodes,
        }
    }

    /// Forgets all sets if they take much memory, and counts the steps anew.
    pub(super) fn renew(&mut self) {
        if self.is_full() {
            return;
        }
        self.steps = 0;
        if self.nodes.len() >= RENEWED {
            *self = Diagram::limited(self.most_nodes);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.nodes.len() >= self.most_nodes || self.steps >= MOST_STEPS
    }

    fn node(&self, set: Set) -> Node {
        let end = Node { bit: u32::MAX, low: set, high: set };
        self.nodes.get(set.0 as usize).copied().unwrap_or(end)
    }

    /// Returns the node with this content.
    fn make(&mut self, bit: u32, low: Set, high: Set) -> Set {
        if low == high {
            return low;
        }
        let node = Node { bit, low, high };
        let mut place = self.place(node);
        while let Some(number) = self.places.get(place).copied().filter(|number| *number != 0) {
            if self.node(Set(number)) == node {
                return Set(number);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
        let number = u32::try_from(self.nodes.len()).ok().filter(|_| !self.is_full());
        let Some(number) = number else { return Set::NONE };
        self.nodes.push(node);
        if let Some(free) = self.places.get_mut(place) {
            *free = number;
        }
        if self.nodes.len() * 2 > self.places.len() {
            self.grow();
        }
        Set(number)
    }

    fn place(&self, node: Node) -> usize {
        mixed((node.low, node.high), node.bit) & (self.places.len() - 1)
    }

    fn grow(&mut self) {
        let size = self.places.len() * 2;
        self.places.clear();
        self.places.resize(size, 0);
        for number in 2..self.nodes.len() {
            let Ok(number) = u32::try_from(number) else { return };
            let mut place = self.place(self.node(Set(number)));
            while self.places.get(place).is_some_and(|taken| *taken != 0) {
                place = (place + 1) & (size - 1);
            }
            if let Some(free) = self.places.get_mut(place) {
                *free = number;
            }
        }
        if self.results.len() < RESULTS[1] {
            self.results = vec![None; size.min(RESULTS[1])];
        }
    }

    /// Returns the headers with these values in a field, of those that the next fields leave.
    pub(super) fn field(&mut self, field: usize, range: Range, then: Set) -> Set {
        let (start, length) = bits(field);
        let last = range.last.min(u32::MAX >> (32 - length));
        match range.first <= last {
            true => self.part(Part { bit: start, end: start + length, range: Range { last, ..range } }, then),
            false => Set::NONE,
        }
    }

    fn part(&mut self, part: Part, then: Set) -> Set {
        if part.is_free() {
            return then;
        }
        let [low, high] = part.halves();
        let mut of = |half: Option<Part>| half.map_or(Set::NONE, |half| self.part(half, then));
        let (low, high) = (of(low), of(high));
        self.make(part.bit, low, high)
    }

    /// Returns the headers with values of these ranges in a field, of those that the next fields leave. The ranges are
    /// sorted and disjoint.
    pub(super) fn ranges(&mut self, field: usize, ranges: &[Range], then: Set) -> Set {
        let (start, length) = bits(field);
        self.ranges_from((start, start + length), 0, ranges, then)
    }

    /// Does so for the bits from `start` to `end`, where those before them are these first ones.
    fn ranges_from(&mut self, (start, end): (u32, u32), first: u32, ranges: &[Range], then: Set) -> Set {
        let most = u32::MAX.checked_shr(32 - (end - start)).unwrap_or(0);
        let whole = Range { first, last: first + most };
        match ranges {
            [] => return Set::NONE,
            [range] if range.covers(whole) => return then,
            _ => {}
        }
        let middle = first + (most >> 1) + 1;
        let low = ranges.get(..ranges.partition_point(|range| range.first < middle)).unwrap_or_default();
        let high = ranges.get(ranges.partition_point(|range| range.last < middle)..).unwrap_or_default();
        let low = self.ranges_from((start + 1, end), first, low, then);
        let high = self.ranges_from((start + 1, end), middle, high, then);
        self.make(start, low, high)
    }

    /// Returns the headers that are in some of these boxes. Boxes that differ in few fields are made one before they are
    /// united with others.
    pub(super) fn boxes_united(&mut self, boxes: &[&[Range; 4]], fields: &[usize]) -> Set {
        let Some((field, others)) = fields.split_first().filter(|_| !boxes.is_empty()) else {
            return if boxes.is_empty() { Set::NONE } else { Set::ALL };
        };
        let mut alike: BTreeMap<Range, Vec<&[Range; 4]>> = BTreeMap::new();
        for own in boxes {
            alike.entry(own.get(*field).copied().unwrap_or(Range::ADDRESSES)).or_default().push(own);
        }
        let mut by_rest: BTreeMap<Set, Vec<Range>> = BTreeMap::new();
        for (range, alike) in alike {
            let rest = self.boxes_united(&alike, others);
            by_rest.entry(rest).or_default().push(range);
        }
        let parts =
            by_rest.into_iter().map(|(rest, ranges)| self.ranges(*field, &header::united(ranges), rest));
        let parts = parts.collect();
        self.united(parts)
    }

    /// Returns what is in any of these sets.
    pub(super) fn united(&mut self, mut sets: Vec<Set>) -> Set {
        // In pairs: so few of the unions are large.
        while sets.len() > 1 {
            let pair = |pair: &[Set]| match pair {
                [one, other] => self.apply(Operation::United, *one, *other),
                _ => pair.first().copied().unwrap_or(Set::NONE),
            };
            sets = sets.chunks(2).map(pair).collect();
        }
        sets.first().copied().unwrap_or(Set::NONE)
    }

    pub(super) fn apply(&mut self, operation: Operation, one: Set, other: Set) -> Set {
        let (none, all) = (Set::NONE, Set::ALL);
        let known = match operation {
            Operation::Common if one == none || other == none => Some(none),
            Operation::Common | Operation::United if one == other => Some(one),
            Operation::Common if one == all => Some(other),
            Operation::Common if other == all => Some(one),
            Operation::United if one == all || other == all => Some(all),
            Operation::United if one == none => Some(other),
            Operation::United if other == none => Some(one),
            Operation::Without if one == none || other == all || one == other => Some(none),
            Operation::Without if other == none => Some(one),
            _ => None,
        };
        if let Some(known) = known {
            return known;
        }
        let swaps = operation != Operation::Without && other < one;
        let (one, other) = if swaps { (other, one) } else { (one, other) };
        let hash = mixed((one, other), operation as u32);
        if let Some(Some((by, first, second, result))) = self.results.get(hash & (self.results.len() - 1))
            && (*by, *first, *second) == (operation, one, other)
        {
            return *result;
        }
        self.steps += 1;
        if self.is_full() {
            return none;
        }
        let (left, right) = (self.node(one), self.node(other));
        let bit = left.bit.min(right.bit);
        let parts = |node: Node, set: Set| if node.bit == bit { (node.low, node.high) } else { (set, set) };
        let ((one_low, one_high), (other_low, other_high)) = (parts(left, one), parts(right, other));
        let low = self.apply(operation, one_low, other_low);
        let high = self.apply(operation, one_high, other_high);
        let result = self.make(bit, low, high);
        let place = hash & (self.results.len() - 1);
        if let Some(free) = self.results.get_mut(place) {
            *free = Some((operation, one, other, result));
        }
        result
    }

    /// Returns what is left of a set for one value of the field that it tests first.
    pub(super) fn follow(&self, mut set: Set, field: usize, value: u32) -> Set {
        let (start, length) = bits(field);
        loop {
            let node = self.node(set);
            let Some(place) = (start + length).checked_sub(node.bit.saturating_add(1)) else {
                return set;
            };
            set = if value >> place & 1 == 1 { node.high } else { node.low };
        }
    }

    pub(super) fn any(&mut self, set: Set, bits: ops::Range<u32>, known: &mut BTreeMap<Set, Set>) -> Set {
        let node = self.node(set);
        if node.bit >= bits.end {
            return set;
        }
        if let Some(result) = known.get(&set) {
            return *result;
        }
        let low = self.any(node.low, bits.clone(), known);
        let high = self.any(node.high, bits.clone(), known);
        let result = match bits.contains(&node.bit) {
            true => self.apply(Operation::United, low, high),
            false => self.make(node.bit, low, high),
        };
        known.insert(set, result);
        result
    }

    /// Returns true if each header of a box is in some of these sets.
    pub(super) fn cover(&mut self, sets: Vec<Set>, fields: [Range; 4]) -> bool {
        let part = |field: usize| {
            let (start, length) = bits(field);
            let own = fields.get(field).copied().unwrap_or(Range::ADDRESSES);
            let last = own.last.min(u32::MAX >> (32 - length));
            Part { bit: start, end: start + length, range: Range { first: own.first, last } }
        };
        let [first, later @ ..] = ORDER.map(part);
        self.cover_from(sets, first, &later, &mut BTreeSet::new())
    }

    /// Does so from some bit on: for these values of a field's other bits, and for these of the later fields. `known` has
    /// the sets that cover all that follows a bit that may be either.
    fn cover_from(
        &mut self,
        mut sets: Vec<Set>,
        mut part: Part,
        later: &[Part],
        known: &mut BTreeSet<Vec<Set>>,
    ) -> bool {
        sets.retain(|set| !set.is_none());
        if sets.contains(&Set::ALL) {
            return true;
        }
        self.steps += 1;
        if sets.is_empty() || self.is_full() {
            return false;
        }
        let next = sets.iter().map(|set| self.node(*set).bit).min().unwrap_or(u32::MAX);
        let is_free = part.is_free();
        if is_free {
            part = Part::free(next.clamp(part.bit, part.end), part.end);
        }
        if part.bit >= part.end {
            return match later.split_first() {
                Some((next, later)) => self.cover_from(sets, *next, later, known),
                None => false,
            };
        }
        if is_free {
            sets.sort_unstable();
            sets.dedup();
            if known.contains(&sets) {
                return true;
            }
        }
        let halves = |diagram: &Diagram, set: Set| match diagram.node(set) {
            node if node.bit == part.bit => (node.low, node.high),
            _ => (set, set),
        };
        let (below, above): (Vec<Set>, Vec<Set>) = sets.iter().map(|set| halves(self, *set)).unzip();
        let [low, high] = part.halves();
        let is_covered = low.is_none_or(|part| self.cover_from(below, part, later, known))
            && high.is_none_or(|part| self.cover_from(above, part, later, known));
        if is_covered && is_free {
            known.insert(sets);
        }
        is_covered
    }

    /// Adds the boxes of a set that tests these fields, until there are enough.
    pub(super) fn boxes(
        &self,
        set: Set,
        fields: &[usize],
        within: [Range; 4],
        most: usize,
        found: &mut Vec<[Range; 4]>,
    ) {
        let Some((field, others)) = fields.split_first().filter(|_| set != Set::NONE) else {
            if set != Set::NONE {
                found.push(within);
            }
            return;
        };
        let mut parts: Vec<(Range, Set)> = Vec::new();
        let (start, length) = bits(*field);
        self.parts(set, (start, start + length), 0, &mut parts);
        for (range, then) in parts {
            if found.len() >= most {
                return;
            }
            let mut within = within;
            if let Some(own) = within.get_mut(*field) {
                *own = range;
            }
            self.boxes(then, others, within, most, found);
        }
    }

    /// Adds the ranges of a field, and what the other fields are for each.
    fn parts(&self, set: Set, (bit, end): (u32, u32), first: u32, parts: &mut Vec<(Range, Set)>) {
        if set == Set::NONE {
            return;
        }
        let node = self.node(set);
        if node.bit >= end {
            let last = first + u32::MAX.checked_shr(32 - (end - bit)).unwrap_or(0);
            match parts.last_mut() {
                Some((range, then)) if *then == set && range.last.checked_add(1) == Some(first) => {
                    range.last = last;
                }
                _ => parts.push((Range { first, last }, set)),
            }
            return;
        }
        let (low, high) = if node.bit == bit { (node.low, node.high) } else { (set, set) };
        self.parts(low, (bit + 1, end), first, parts);
        self.parts(high, (bit + 1, end), first + (1 << (end - bit - 1)), parts);
    }
}

/// The values of the bits of a field from one on.
#[derive(Clone, Copy, Debug)]
struct Part {
    bit: u32,
    end: u32,
    range: Range,
}

impl Part {
    /// Any values.
    fn free(bit: u32, end: u32) -> Part {
        let last = u32::MAX.checked_shr(32 - (end - bit)).unwrap_or(0);
        Part { bit, end, range: Range { first: 0, last } }
    }

    fn is_free(self) -> bool {
        self.range == Part::free(self.bit, self.end).range
    }

    /// Returns the values of the next bits where the first is 0, and where it is 1; none if there are none.
    fn halves(self) -> [Option<Part>; 2] {
        let (bit, half) = (self.bit + 1, 1 << (self.end - self.bit - 1));
        let part = |range: Range| Part { bit, end: self.end, range };
        let Range { first, last } = self.range;
        let low = (first < half).then(|| part(Range { first, last: last.min(half - 1) }));
        let high = (last >= half).then(|| part(Range { first: first.max(half) - half, last: last - half }));
        [low, high]
    }
}

/// Returns a number that is spread over all places.
fn mixed((one, other): (Set, Set), third: u32) -> usize {
    let key = u64::from(one.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ u64::from(other.0).wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(31)
        ^ u64::from(third).wrapping_mul(0x1656_67b1_9e37_79f9);
    let key = (key ^ key >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (key ^ key >> 33) as usize
}
