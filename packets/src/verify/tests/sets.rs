//! Sets as decision diagrams have the same packets as lists of boxes.

use proptest::prelude::*;

use super::random::Dice;
use crate::semantics::{FULL_TTL, Fragment, Packet};
use crate::verify::box_index::difference as boxes_without;
use crate::verify::header::{
    DESTINATION, DESTINATION_PORT, EVERYTHING, Fragments, Headers, Protocols, Range, SOURCE,
};
use crate::verify::packet_set::{PacketSet, difference, united};
use crate::verify::sets::{Set, Sets};
use midoform_compiler::values::MacAddress;

const ADDRESSES: [u32; 7] = [0, 1, 0x0a00_0000, 0x0a00_00ff, 0x0a00_0100, 0xc612_0007, u32::MAX];
const PORTS: [u32; 6] = [0, 1, 80, 443, 1024, 0xffff];

fn range(dice: &mut Dice, of: &[u32], all: Range) -> Range {
    let (one, other) = (dice.pick(of), dice.pick(of));
    match dice.below(4) {
        0 => all,
        1 => Range::one(one),
        _ => Range { first: one.min(other), last: one.max(other) },
    }
}

fn boxed(dice: &mut Dice) -> Headers {
    let mut address = || range(dice, &ADDRESSES, Range::ADDRESSES);
    let (source, destination) = (address(), address());
    let mut port = || range(dice, &PORTS, Range::PORTS);
    Headers { fields: [source, destination, port(), port()], ..EVERYTHING }
}

fn boxes(dice: &mut Dice, most: usize) -> Vec<Headers> {
    (0..dice.below(most)).map(|_| boxed(dice)).collect()
}

/// Returns values beside the limits of all ranges, of which sets can differ.
fn point(dice: &mut Dice) -> [u32; 4] {
    let near = |dice: &mut Dice, of: &[u32], most: u32| {
        dice.pick(of).wrapping_add(dice.pick(&[0, 1, u32::MAX])).min(most)
    };
    [
        near(dice, &ADDRESSES, u32::MAX),
        near(dice, &ADDRESSES, u32::MAX),
        near(dice, &PORTS, 0xffff),
        near(dice, &PORTS, 0xffff),
    ]
}

fn is_in(boxes: &[Headers], point: [u32; 4]) -> bool {
    boxes.iter().any(|own| own.fields.iter().zip(point).all(|(range, value)| range.has(value)))
}

fn united_boxes(sets: &Sets, boxes: &[Headers]) -> Set {
    sets.united(boxes.iter().map(|own| sets.product(own.fields)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_have_the_packets_of_their_boxes(seed: u64) {
        let (mut dice, sets) = (Dice::new(seed), Sets::default());
        let (one, other) = (boxes(&mut dice, 12), boxes(&mut dice, 12));
        let (left, right) = (united_boxes(&sets, &one), united_boxes(&sets, &other));
        let fields: Vec<[Range; 4]> = one.iter().map(|own| own.fields).collect();
        prop_assert_eq!(sets.boxes_united(&fields), left);
        let (common, without) = (sets.common(left, right), sets.without(left, right));
        let shown = |set: Set| -> Vec<Headers> {
            let all = sets.boxes(set, usize::MAX).into_iter();
            all.map(|fields| Headers { fields, ..EVERYTHING }).collect()
        };
        let parts = shown(left);
        prop_assert_eq!(united_boxes(&sets, &parts), left);
        for (at, part) in parts.iter().enumerate() {
            prop_assert!(parts[..at].iter().all(|other| part.common(*other).is_none()), "disjoint");
        }
        prop_assert_eq!(united_boxes(&sets, &boxes_without(one.clone(), &other)), without);
        for _ in 0..200 {
            let point = point(&mut dice);
            let (first, second) = (is_in(&one, point), is_in(&other, point));
            prop_assert_eq!(sets.has(left, point), first);
            prop_assert_eq!(sets.has(common, point), first && second);
            prop_assert_eq!(sets.has(without, point), first && !second);
            prop_assert_eq!(is_in(&parts, point), first);
            let [source, destination, from, to] = point;
            let inside = sets.at_destination(left, destination, to);
            prop_assert_eq!(sets.has(inside, [source, 7, from, 7]), first);
            let anywhere = one.iter().map(|own| own.with(DESTINATION, Range::ADDRESSES));
            let anywhere: Vec<Headers> = anywhere.collect();
            prop_assert_eq!(sets.has(sets.any(left, DESTINATION), point), is_in(&anywhere, point));
            let any_port: Vec<Headers> =
                one.iter().map(|own| own.with(DESTINATION_PORT, Range::PORTS)).collect();
            prop_assert_eq!(sets.has(sets.any(left, DESTINATION_PORT), point), is_in(&any_port, point));
        }
    }
}

/// Returns a box with protocols and kinds of fragments.
fn kind_of_box(dice: &mut Dice) -> Headers {
    let protocols = [Protocols::ALL, Protocols::of(&[6]), Protocols::of(&[6, 17]), Protocols::of(&[1])];
    let fragments = [Fragments::ALL, Fragments::WHOLE, Fragments::HEADED, Fragments::LATER];
    Headers { protocols: dice.pick(&protocols), fragments: dice.pick(&fragments), ..boxed(dice) }
}

fn packet(dice: &mut Dice) -> Packet {
    let [source, destination, from, to] = point(dice);
    Packet {
        ethertype: 0x0800,
        vlan: None,
        source: source.into(),
        destination: destination.into(),
        protocol: dice.pick(&[1, 6, 17, 47]),
        source_port: from as u16,
        destination_port: to as u16,
        source_mac: MacAddress([0; 6]),
        destination_mac: MacAddress([0; 6]),
        ttl: FULL_TTL,
        fragment: dice.pick(&[Fragment::Whole, Fragment::First, Fragment::Later]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whether a set is a box or a diagram makes no difference.
    #[test]
    fn packet_sets_have_the_packets_of_their_boxes(seed: u64) {
        let (mut dice, sets) = (Dice::new(seed), Sets::default());
        let mut some = |most: usize| -> Vec<Headers> {
            (0..1 + dice.below(most)).map(|_| kind_of_box(&mut dice)).collect()
        };
        let (one, other) = (some(4), some(4));
        let sets_of = |boxes: &[Headers]| boxes.iter().map(PacketSet::of).collect::<Vec<_>>();
        let (left, right) = (sets_of(&one), sets_of(&other));
        let both = united(&sets, left.iter().copied());
        let less = difference(&sets, left.clone(), &right);
        let common = left[0].common(&sets, both[0]);
        let ranges = [Range { first: 1, last: 80 }, Range { first: 443, last: 0x0a00_00ff }];
        let (within, outside) = (both[0].within(&sets, SOURCE, &ranges), both[0].outside(&sets, SOURCE, &ranges));
        let shown: Vec<Headers> = both.iter().flat_map(|own| own.boxes(&sets, usize::MAX)).collect();
        for _ in 0..200 {
            let packet = packet(&mut dice);
            let in_boxes = |boxes: &[Headers]| boxes.iter().any(|own| own.has(&packet));
            let in_sets = |all: &[PacketSet]| all.iter().any(|own| own.has(&sets, &packet));
            let (first, second) = (in_boxes(&one), in_boxes(&other));
            prop_assert_eq!(in_sets(&both), first);
            prop_assert_eq!(in_boxes(&shown), first);
            prop_assert_eq!(in_sets(&less), first && !second);
            let in_first = both[0].has(&sets, &packet);
            prop_assert_eq!(common.is_some_and(|own| own.has(&sets, &packet)), one[0].has(&packet) && in_first);
            let is_in = ranges.iter().any(|range| range.has(packet.source.into()));
            prop_assert_eq!(within.is_some_and(|own| own.has(&sets, &packet)), in_first && is_in);
            prop_assert_eq!(outside.is_some_and(|own| own.has(&sets, &packet)), in_first && !is_in);
        }
    }

    #[test]
    fn sets_cover_a_box_exactly_where_nothing_of_it_is_left(seed: u64) {
        let (mut dice, sets) = (Dice::new(seed), Sets::default());
        let all: Vec<Set> = (0..4).map(|_| united_boxes(&sets, &boxes(&mut dice, 8))).collect();
        let whole = sets.united(all.clone());
        for own in boxes(&mut dice, 20) {
            let left = sets.without(sets.product(own.fields), whole);
            prop_assert_eq!(sets.cover(all.clone(), own.fields), left.is_none());
        }
    }
}

#[test]
fn equal_sets_are_the_same_set() {
    let sets = Sets::default();
    let half = |first, last| sets.field(DESTINATION_PORT, Range { first, last });
    assert_eq!(sets.united(vec![half(0, 99), half(100, 0xffff)]), Set::ALL);
    assert_eq!(sets.without(half(0, 99), half(0, 0xffff)), Set::NONE);
    assert_eq!(sets.ranges(DESTINATION_PORT, &[Range { first: 5, last: 9 }, Range::one(4)]), half(4, 9));
}

#[test]
fn sets_that_would_be_too_large_are_known_to_be() {
    let sets = Sets::limited(200);
    let mut dice = Dice::new(1);
    for _ in 0..50 {
        sets.product(boxed(&mut dice).fields);
    }
    assert!(sets.is_full());
    assert!(!Sets::default().is_full());
}
