//! Sets of addresses and ports as binary decision diagrams.
//!
//! A set is a node: it tests one bit of one field, and leads to a node for 0 and to one for 1. Equal sets are the same
//! node, and sets share the nodes that they have in common. So a set that takes thousands of boxes is as large as what
//! is different in it, and to take one box from it costs no more than the bits of a header.
//!
//! The diagrams may grow to a limit. Beyond it sets are not valid: [`Sets::is_full`] is true, and nothing is proven.

mod diagram;

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::header::{self, DESTINATION, DESTINATION_PORT, Range, SOURCE};
pub(crate) use diagram::Set;
use diagram::{Diagram, MOST_NODES, ORDER, Operation, bits};

/// Sets that share their nodes.
#[derive(Debug)]
pub(crate) struct Sets(RefCell<Diagram>);

impl Default for Sets {
    fn default() -> Sets {
        Sets::limited(MOST_NODES)
    }
}

impl Sets {
    /// Sets with at most this number of nodes.
    pub(crate) fn limited(most_nodes: usize) -> Sets {
        Sets(RefCell::new(Diagram::limited(most_nodes)))
    }

    /// Returns true if the sets became too large: what they are is not known.
    pub(crate) fn is_full(&self) -> bool {
        self.0.borrow().is_full()
    }

    /// Returns all headers with these values in a field.
    pub(crate) fn field(&self, field: usize, range: Range) -> Set {
        self.0.borrow_mut().field(field, range, Set::ALL)
    }

    /// Returns all headers with values of these ranges in a field.
    pub(crate) fn ranges(&self, field: usize, ranges: &[Range]) -> Set {
        self.0.borrow_mut().ranges(field, &header::united(ranges.to_vec()), Set::ALL)
    }

    /// Returns the headers that are in some of these boxes.
    pub(crate) fn boxes_united(&self, boxes: &[[Range; 4]]) -> Set {
        self.0.borrow_mut().boxes_united(&boxes.iter().collect::<Vec<_>>(), &ORDER)
    }

    /// Forgets all sets if they take much memory: a smaller memory is faster. No set that was made before may be used
    /// again.
    pub(crate) fn renew(&self) {
        self.0.borrow_mut().renew();
    }

    /// Returns the headers of a box.
    pub(crate) fn product(&self, fields: [Range; 4]) -> Set {
        self.product_within(fields, SOURCE, &[fields[SOURCE]])
    }

    /// Returns the headers of a box with values of these sorted, disjoint ranges in a field.
    pub(crate) fn product_within(&self, fields: [Range; 4], field: usize, ranges: &[Range]) -> Set {
        let diagram = &mut self.0.borrow_mut();
        let of = |at: usize| fields.get(at).copied().unwrap_or(Range::ADDRESSES);
        ORDER.into_iter().rev().fold(Set::ALL, |then, at| match (at == field, ranges) {
            (true, [range]) => diagram.field(at, *range, then),
            (true, ranges) => diagram.ranges(at, ranges, then),
            (false, _) => diagram.field(at, of(at), then),
        })
    }

    pub(crate) fn common(&self, one: Set, other: Set) -> Set {
        self.0.borrow_mut().apply(Operation::Common, one, other)
    }

    /// Returns what is in one set and not in the other.
    pub(crate) fn without(&self, one: Set, other: Set) -> Set {
        self.0.borrow_mut().apply(Operation::Without, one, other)
    }

    /// Returns what is in any of these sets.
    pub(crate) fn united(&self, sets: Vec<Set>) -> Set {
        self.0.borrow_mut().united(sets)
    }

    /// Returns what the other fields are where the destination and its port have these values.
    pub(crate) fn at_destination(&self, set: Set, address: u32, port: u32) -> Set {
        let diagram = self.0.borrow();
        // These two are tested first.
        let set = diagram.follow(set, DESTINATION_PORT, port);
        diagram.follow(set, DESTINATION, address)
    }

    /// Returns true if each header of a box is in some of these sets. False if the sets became too large.
    pub(crate) fn cover(&self, sets: Vec<Set>, fields: [Range; 4]) -> bool {
        self.0.borrow_mut().cover(sets, fields)
    }

    #[cfg(test)]
    pub(crate) fn has(&self, set: Set, fields: [u32; 4]) -> bool {
        let diagram = self.0.borrow();
        ORDER.into_iter().fold(set, |set, field| diagram.follow(set, field, fields[field])) == Set::ALL
    }

    /// Returns the same headers with any value in a field.
    pub(crate) fn any(&self, set: Set, field: usize) -> Set {
        let (start, length) = bits(field);
        let mut known = BTreeMap::new();
        self.0.borrow_mut().any(set, start..start + length, &mut known)
    }

    /// Returns the set as disjoint boxes, at most this number.
    pub(crate) fn boxes(&self, set: Set, most: usize) -> Vec<[Range; 4]> {
        let mut found = Vec::new();
        let all = [Range::ADDRESSES, Range::ADDRESSES, Range::PORTS, Range::PORTS];
        self.0.borrow().boxes(set, &ORDER, all, most, &mut found);
        found
    }
}
