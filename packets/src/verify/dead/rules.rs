//! Rules of the spec that can never match.
//!
//! A chain is read once, from its first rule to its last. The packets that the rules so far decide about are united, by
//! the ports that the rules name. So a rule is compared with a few sets, however many rules come before it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::semantics::world::{Rule, RuleKind};
use crate::semantics::{id_of, tracks};
use crate::verify::header::{EVERYTHING, Fragments, Headers, Protocols, Range};
use crate::verify::index::{ChainIndex, Position};
use crate::verify::model::Model;
use crate::verify::packet_set::{Fields, PacketSet};
use crate::verify::path::{Flow, Path};
use crate::verify::runs::protocols;
use crate::verify::sets::{Set, Sets};
use crate::verify::walk::Walker;
use midoform_compiler::topology::Entry;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::{KeyView, RuleKey, TenantKey};
use midoform_compiler::values::MacAddress;

/// Returns the rules of a chain that are from the spec and match no packet that the rules before them leave.
pub(super) fn dead<'t>(model: &Model<'t>, chain: &Entry) -> Vec<&'t Entry> {
    let Some(id) = id_of(model.topology, &(&chain.key).into()) else { return Vec::new() };
    let Some(rules) = model.world.chains.get(&id) else { return Vec::new() };
    let is_told = |rule: &Rule| model.entry(rule.id).is_some_and(|entry| is_from_spec(&entry.key));
    if !rules.iter().any(is_told) {
        return Vec::new();
    }
    model.sets.renew();
    let walker = model.walker();
    let Some(index) = walker.index.chain(id) else { return Vec::new() };
    let mut before = Before::new(&walker, rules, index);
    let (in_ports, out_ports) = excluded(rules);
    let mut found = Vec::new();
    for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| is_told(rule)) {
        let positions = positions(rule, &in_ports, &out_ports);
        let is_dead = !positions.is_empty() && positions.iter().all(|at| before.decides_all_of(place, *at));
        found.extend(model.entry(rule.id).filter(|_| is_dead));
    }
    found
}

/// Returns true if the rule comes from the spec; the layout's own rules may be unused.
fn is_from_spec(key: &Key) -> bool {
    let KeyView::Tenant(_, TenantKey::Rule(_, rule)) = key.view() else { return false };
    matches!(rule, RuleKey::Spec { .. } | RuleKey::Inside { .. } | RuleKey::Open { .. })
}

/// Returns the ports that are named by rules with an inverted condition, and one that no rule names: the ports that
/// packets come in by, and those that they go out by.
fn excluded(rules: &[Rule]) -> (BTreeSet<Uuid>, BTreeSet<Uuid>) {
    let of = |ports: fn(&Rule) -> (&Vec<Uuid>, bool)| {
        let inverted = rules.iter().map(ports).filter(|(_, inverted)| *inverted);
        inverted.flat_map(|(ports, _)| ports).copied().chain([Uuid::nil()]).collect()
    };
    (of(in_ports), of(out_ports))
}

fn in_ports(rule: &Rule) -> (&Vec<Uuid>, bool) {
    (&rule.in_ports, rule.inv_in_ports || rule.cond_invert)
}

fn out_ports(rule: &Rule) -> (&Vec<Uuid>, bool) {
    (&rule.out_ports, rule.inv_out_ports || rule.cond_invert)
}

/// Returns the positions where a rule of the spec matches if it matches anywhere: at a port that it names, or else at one
/// that no rule names. At any other port more rules come before it, and none fewer: only a rule with an inverted
/// condition matches at ports that it does not name, so the ports that it names count as well.
fn positions(rule: &Rule, inside: &BTreeSet<Uuid>, outside: &BTreeSet<Uuid>) -> Vec<Position> {
    let at =
        |(ports, inverted): (&Vec<Uuid>, bool), others: &BTreeSet<Uuid>| match inverted || ports.is_empty() {
            true => others.clone(),
            false => ports.iter().copied().collect(),
        };
    let outside = at(out_ports(rule), outside);
    let to = |in_port: Uuid| outside.iter().map(move |out_port| position(in_port, *out_port));
    at(in_ports(rule), inside).into_iter().flat_map(to).collect()
}

fn position(in_port: Uuid, out_port: Uuid) -> Position {
    Position { device: in_port, in_port, out_port: Some(out_port) }
}

/// Returns a packet of no particular sender.
fn any_path(position: Position) -> Path {
    let mac = MacAddress([2, 0, 0, 0, 0, 0]);
    Path::new(EVERYTHING, position.in_port, mac, mac)
}

/// The conditions of a rule besides the header of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Conditions {
    in_ports: Vec<Uuid>,
    out_ports: Vec<Uuid>,
    flow: Option<Flow>,
    groups: [Option<Uuid>; 3],
    /// True for the conditions that are inverted: in ports, out ports, groups.
    inverted: [bool; 5],
}

impl Conditions {
    fn of(rule: &Rule) -> Conditions {
        Conditions {
            in_ports: rule.in_ports.clone(),
            out_ports: rule.out_ports.clone(),
            flow: match (rule.match_forward_flow, rule.match_return_flow) {
                (false, false) => None,
                (true, _) => Some(Flow::Forward),
                (false, true) => Some(Flow::Return),
            },
            groups: [rule.port_group, rule.in_port_group, rule.out_port_group],
            inverted: [
                rule.inv_in_ports,
                rule.inv_out_ports,
                rule.inv_port_group,
                rule.inv_in_port_group,
                rule.inv_out_port_group,
            ],
        }
    }

    /// Returns the conditions of packets at one port of each kind, or at any.
    fn at(in_port: Option<Uuid>, out_port: Option<Uuid>, flow: Option<Flow>) -> Conditions {
        Conditions {
            in_ports: in_port.into_iter().collect(),
            out_ports: out_port.into_iter().collect(),
            flow,
            groups: [None; 3],
            inverted: [false; 5],
        }
    }

    /// Returns the same conditions for each of the ports that they name; none if they can't be found by their ports.
    fn by_ports(&self) -> Option<Vec<Conditions>> {
        let [not_in, not_out, ..] = self.inverted;
        if not_in || not_out || self.groups.iter().any(Option::is_some) {
            return None;
        }
        let each = |ports: &[Uuid]| match ports {
            [] => vec![None],
            some => some.iter().copied().map(Some).collect(),
        };
        let out_ports = each(&self.out_ports);
        let with = |in_port: Option<Uuid>| {
            out_ports.iter().map(move |out_port| Conditions::at(in_port, *out_port, self.flow))
        };
        Some(each(&self.in_ports).into_iter().flat_map(with).collect())
    }
}

/// Sets of addresses and ports, by the kind of packets.
type ByKind = BTreeMap<(Protocols, Fragments), Set>;

/// The rules of a chain from the first to some place.
struct Before<'a> {
    walker: &'a Walker<'a>,
    rules: &'a [Rule],
    index: &'a ChainIndex,
    /// The number of rules that are in the sets.
    counted: usize,
    /// The packets that rules decide about, by one port of each kind.
    by_ports: BTreeMap<Conditions, ByKind>,
    /// The same for rules that can't be found by a port, with the first of the rules.
    others: BTreeMap<Conditions, (usize, ByKind)>,
}

impl<'a> Before<'a> {
    fn new(walker: &'a Walker<'a>, rules: &'a [Rule], index: &'a ChainIndex) -> Before<'a> {
        Before { walker, rules, index, counted: 0, by_ports: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// Returns true if the rules before this one decide about all packets that it matches at a position. False if sets
    /// became too large.
    fn decides_all_of(&mut self, place: usize, position: Position) -> bool {
        let (sets, Some(rule)) = (self.walker.sets, self.rules.get(place)) else { return false };
        if !self.walker.position_matches(rule, &any_path(position), position) {
            return true;
        }
        let Some(own) = packets(sets, rule, self.index.wanted(place)) else { return true };
        let own = Headers::all(Range::ADDRESSES, Range::ADDRESSES)
            .into_iter()
            .filter_map(|headers| own.common(sets, PacketSet::of(&headers)));
        let own: Vec<Headers> = own.flat_map(|packets| packets.boxes(sets, usize::MAX)).collect();
        [Flow::Forward, Flow::Return].into_iter().filter(|flow| may_be(rule, *flow)).all(|flow| {
            let own = own.iter().filter_map(|own| of_flow(*own, flow)).collect::<Vec<_>>();
            own.into_iter().all(|own| self.decides(place, position, flow, &own))
        })
    }

    /// Returns true if the rules before a place decide about all of these packets.
    fn decides(&mut self, place: usize, position: Position, flow: Flow, own: &Headers) -> bool {
        let is_before = |next: Option<usize>| next.is_some_and(|next| next < place);
        if !is_before(self.index.next(0, position, own)) {
            return false;
        }
        if is_before(self.index.next(self.counted, position, own)) {
            self.count(place);
        }
        let mut met: Vec<&ByKind> = Vec::new();
        for flow in [None, Some(flow)] {
            for in_port in [None, Some(position.in_port)] {
                let at = |out_port| Conditions::at(in_port, out_port, flow);
                met.extend([None, position.out_port].map(at).iter().filter_map(|at| self.by_ports.get(at)));
            }
        }
        let path = any_path(position);
        for (conditions, (first, packets)) in &self.others {
            let fits = |rule| self.walker.position_matches(rule, &path, position);
            if conditions.flow.is_none_or(|own| own == flow) && self.rules.get(*first).is_some_and(fits) {
                met.push(packets);
            }
        }
        covers(self.walker.sets, &met, own)
    }

    /// Adds the rules before a place to the sets.
    fn count(&mut self, place: usize) {
        let sets = self.walker.sets;
        let mut added: BTreeMap<Conditions, BTreeMap<(Protocols, Fragments), Vec<Fields>>> = BTreeMap::new();
        let mut firsts: BTreeMap<Conditions, usize> = BTreeMap::new();
        for at in self.counted..place {
            let Some(rule) = self.rules.get(at).filter(|rule| self.is_counted(rule)) else { continue };
            let Some(own) = packets(sets, rule, self.index.wanted(at)) else { continue };
            let conditions = Conditions::of(rule);
            firsts.entry(conditions.clone()).or_insert(at);
            added
                .entry(conditions)
                .or_default()
                .entry((own.protocols, own.fragments))
                .or_default()
                .push(own.fields);
        }
        self.counted = place;
        for (conditions, by_kind) in added {
            for (kind, all) in by_kind {
                let set = Fields::united(sets, &all).set(sets);
                let add = |known: &mut ByKind| {
                    let known = known.entry(kind).or_insert(Set::NONE);
                    *known = sets.united(vec![*known, set]);
                };
                match conditions.by_ports() {
                    Some(each) => each.into_iter().for_each(|at| add(self.by_ports.entry(at).or_default())),
                    None => {
                        let first = firsts.get(&conditions).copied().unwrap_or_default();
                        let (_, known) =
                            self.others.entry(conditions.clone()).or_insert_with(|| (first, ByKind::new()));
                        add(known);
                    }
                }
            }
        }
    }

    /// Returns true if the rule decides about each packet that it matches. A rule whose condition is inverted as a whole,
    /// which midoform never makes, does not count.
    fn is_counted(&self, rule: &Rule) -> bool {
        use RuleKind::{Accept, Drop, Reject, Return};
        // Packets are asked about by their ports. Every other condition is met by all of them, or the rule does not count.
        let anywhere = Rule {
            in_ports: Vec::new(),
            out_ports: Vec::new(),
            port_group: None,
            in_port_group: None,
            out_port_group: None,
            ..rule.clone()
        };
        let at = position(Uuid::nil(), Uuid::nil());
        matches!(rule.kind, Accept | Drop | Reject | Return)
            && !rule.cond_invert
            && !(rule.match_forward_flow && rule.match_return_flow)
            && self.walker.position_matches(&anywhere, &any_path(at), at)
    }
}

/// Returns true if the rule may match packets that begin connections, or replies.
fn may_be(rule: &Rule, flow: Flow) -> bool {
    match flow {
        Flow::Forward => !rule.match_return_flow,
        Flow::Return => !rule.match_forward_flow,
    }
}

/// Returns those of some packets that can be of a flow: only tracked protocols have replies.
fn of_flow(packets: Headers, flow: Flow) -> Option<Headers> {
    let tracked: Vec<u8> = (0..=255).filter(|number| tracks(*number)).collect();
    let protocols = match flow {
        Flow::Forward => packets.protocols,
        Flow::Return => packets.protocols.and(Protocols::of(&tracked)),
    };
    (!protocols.is_empty()).then_some(Headers { protocols, ..packets })
}

/// Returns the packets whose headers a rule matches; none if there are none.
fn packets(sets: &Sets, rule: &Rule, wanted: &[(usize, Vec<Range>)]) -> Option<PacketSet> {
    let policy = rule.fragments();
    let headers = Headers {
        protocols: protocols(rule),
        fragments: Fragments::that(|fragment| fragment.fits(policy)),
        ..EVERYTHING
    };
    let all = PacketSet::of(&headers);
    wanted.iter().try_fold(all, |left, (field, ranges)| left.within(sets, *field, ranges))
}

/// Returns true if all packets of a box are in some of these sets.
fn covers(sets: &Sets, met: &[&ByKind], own: &Headers) -> bool {
    let met: Vec<(&(Protocols, Fragments), &Set)> = met.iter().copied().flatten().collect();
    let (fields, mut kinds) = (own.fields, vec![(own.protocols, own.fragments)]);
    for ((protocols, fragments), _) in &met {
        let split = |(own, seen): (Protocols, Fragments)| {
            let common = own.and(*protocols);
            [
                (own.without(*protocols), seen),
                (common, seen.without(*fragments)),
                (common, seen.and(*fragments)),
            ]
        };
        let parts = kinds.into_iter().flat_map(split);
        kinds = parts.filter(|(own, seen)| !own.is_empty() && !seen.is_empty()).collect();
    }
    kinds.into_iter().all(|(own, seen)| {
        let is_in = |(protocols, fragments): &(Protocols, Fragments)| {
            !own.and(*protocols).is_empty() && !seen.and(*fragments).is_empty()
        };
        let there = met.iter().filter(|(kind, _)| is_in(kind)).map(|(_, set)| **set);
        sets.cover(there.collect(), fields)
    })
}
