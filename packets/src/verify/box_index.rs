//! Finds the boxes that another box meets without testing each of them.
//!
//! The boxes have an order: rules match in it, routes win in it. The index is a tree: each node has the smallest box
//! around its boxes, so whole branches are passed over.

use super::header::{Headers, Range};

/// The most boxes in a leaf.
const LEAF: usize = 4;

/// The fewest boxes that an index is made for.
const INDEXED: usize = 16;

/// Boxes in an order. An empty place is none.
#[derive(Debug, Default)]
pub(crate) struct BoxIndex {
    /// The places of the boxes, leaf by leaf.
    places: Vec<(usize, Headers)>,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    around: Headers,
    /// The first and the last place below.
    first: usize,
    last: usize,
    below: Below,
}

#[derive(Clone, Copy, Debug)]
enum Below {
    /// From here to there in `places`.
    Leaf(usize, usize),
    /// Two nodes; the first of them stands behind its parent.
    Nodes(usize),
}

impl BoxIndex {
    /// Boxes, each with its place in the order.
    pub(crate) fn new(boxes: impl IntoIterator<Item = (usize, Headers)>) -> BoxIndex {
        let mut places: Vec<(usize, Headers)> = boxes.into_iter().collect();
        let mut nodes = Vec::with_capacity(places.len() / 2 + 1);
        let length = places.len();
        if length > 0 {
            build(&mut places, 0, length, &mut nodes);
        }
        BoxIndex { places, nodes }
    }

    /// These boxes, in their order.
    pub(crate) fn of(boxes: &[Headers]) -> BoxIndex {
        BoxIndex::new(boxes.iter().copied().enumerate())
    }

    /// Returns the first place, from this one on, whose box has a packet in common with another box.
    pub(crate) fn next(&self, from: usize, other: &Headers) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut waiting = vec![0];
        while let Some(at) = waiting.pop() {
            let Some(node) = self.nodes.get(at) else { continue };
            let is_late = best.is_some_and(|best| node.first >= best);
            if node.last < from || is_late || !node.around.meets(other) {
                continue;
            }
            match node.below {
                Below::Nodes(second) => {
                    let first = |at: usize| self.nodes.get(at).map(|node| node.first.max(from));
                    // The one with the earlier places is looked at first: it may spare the other.
                    match first(at + 1) <= first(second) {
                        true => waiting.extend([second, at + 1]),
                        false => waiting.extend([at + 1, second]),
                    }
                }
                Below::Leaf(start, end) => {
                    let here = self.places.get(start..end).unwrap_or_default().iter();
                    let meeting = here.filter(|(place, own)| *place >= from && own.meets(other));
                    best = meeting.map(|(place, _)| *place).chain(best).min();
                }
            }
        }
        best
    }

    /// Returns all places whose boxes have a packet in common with another box, in their order.
    pub(crate) fn all(&self, other: &Headers) -> Vec<usize> {
        let mut found = Vec::new();
        let mut waiting = vec![0];
        while let Some(at) = waiting.pop() {
            let Some(node) = self.nodes.get(at).filter(|node| node.around.meets(other)) else { continue };
            match node.below {
                Below::Nodes(second) => waiting.extend([second, at + 1]),
                Below::Leaf(start, end) => {
                    let here = self.places.get(start..end).unwrap_or_default().iter();
                    found.extend(here.filter(|(_, own)| own.meets(other)).map(|(place, _)| *place));
                }
            }
        }
        found.sort_unstable();
        found
    }
}

/// Adds the node of these boxes, and the nodes below it, and returns its number.
fn build(places: &mut [(usize, Headers)], start: usize, end: usize, nodes: &mut Vec<Node>) -> usize {
    let number = nodes.len();
    let Some(own) = places.get_mut(start..end) else { return number };
    let around = own.iter().map(|(_, own)| *own).reduce(Headers::around);
    let first = own.iter().map(|(place, _)| *place).min().unwrap_or_default();
    let last = own.iter().map(|(place, _)| *place).max().unwrap_or_default();
    let Some(around) = around else { return number };
    nodes.push(Node { around, first, last, below: Below::Leaf(start, end) });
    if own.len() > LEAF {
        let middle = own.len() / 2;
        match widest(own) {
            Some(field) => {
                own.select_nth_unstable_by_key(middle, |(place, own)| (centre(own, field), *place));
            }
            None => {
                own.select_nth_unstable_by_key(middle, |(place, _)| *place);
            }
        }
        build(places, start, start + middle, nodes);
        let second = build(places, start + middle, end, nodes);
        if let Some(node) = nodes.get_mut(number) {
            node.below = Below::Nodes(second);
        }
    }
    number
}

fn centre(of: &Headers, field: usize) -> u64 {
    let range = of.fields.get(field).copied().unwrap_or(Range::one(0));
    u64::from(range.first) + u64::from(range.last)
}

/// Returns the field that tells the boxes apart best: their centres are far from each other, compared with their
/// widths. None if all centres are the same.
fn widest(boxes: &[(usize, Headers)]) -> Option<usize> {
    let apart = |field: usize| {
        let centres = || boxes.iter().map(|(_, own)| centre(own, field));
        let spread = centres().max()?.checked_sub(centres().min()?).filter(|spread| *spread > 0)?;
        let widths = boxes.iter().filter_map(|(_, own)| own.fields.get(field));
        let width: u64 = widths.map(|range| u64::from(range.last - range.first) + 1).sum();
        let mean = (width / boxes.len().max(1) as u64).max(1);
        Some((spread.saturating_mul(1024) / mean, field))
    };
    (0..4)
        .filter_map(apart)
        .max_by_key(|(apart, field)| (*apart, std::cmp::Reverse(*field)))
        .map(|(_, field)| field)
}

/// Returns the parts of some boxes that are in none of the others.
pub(crate) fn difference(of: Vec<Headers>, others: &[Headers]) -> Vec<Headers> {
    if others.len() >= INDEXED {
        return without_indexed(of, others, &BoxIndex::of(others));
    }
    others.iter().fold(of, |left, other| left.into_iter().flat_map(|own| own.without(*other)).collect())
}

/// Does the same where the others have an index.
pub(crate) fn without_indexed(of: Vec<Headers>, others: &[Headers], index: &BoxIndex) -> Vec<Headers> {
    let mut waiting: Vec<(Headers, usize)> = of.into_iter().rev().map(|own| (own, 0)).collect();
    let mut found = Vec::new();
    while let Some((own, from)) = waiting.pop() {
        match index.next(from, &own).and_then(|place| Some((place, others.get(place)?))) {
            Some((place, other)) => {
                waiting.extend(own.without(*other).into_iter().rev().map(|own| (own, place + 1)));
            }
            None => found.push(own),
        }
    }
    found
}
