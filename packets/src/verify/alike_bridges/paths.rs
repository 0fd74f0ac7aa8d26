//! The destinations of packets as a pod sends them: before a translation, and by port.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::rules::RouterRule;
use crate::semantics::world::RuleKind;
use crate::verify::box_index::BoxIndex;
use crate::verify::header::{DESTINATION, EVERYTHING, Range, rest, united};
use crate::verify::model::Model;

/// Some destinations, as rules name them. [`Paths::as_sent`] has their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Destinations {
    everything: bool,
    /// True if they are all addresses outside as well.
    outside: bool,
    /// What is routed by these ports.
    ports: BTreeSet<Uuid>,
    ranges: Vec<Range>,
}

impl Destinations {
    pub(super) fn everything() -> Destinations {
        Destinations { everything: true, ..Destinations::default() }
    }

    pub(super) fn outside() -> Destinations {
        Destinations { outside: true, ..Destinations::default() }
    }

    pub(super) fn ranges(ranges: impl IntoIterator<Item = Range>) -> Destinations {
        Destinations { ranges: ranges.into_iter().collect(), ..Destinations::default() }
    }

    pub(super) fn by_ports(ports: &[Uuid]) -> Destinations {
        Destinations { ports: ports.iter().copied().collect(), ..Destinations::default() }
    }

    pub(super) fn add(&mut self, more: &Destinations) {
        self.everything |= more.everything;
        self.outside |= more.outside;
        self.ports.extend(&more.ports);
        self.ranges.extend(&more.ranges);
    }

    /// Returns a number that is larger for more of them.
    pub(super) fn size(&self) -> (bool, bool, usize) {
        (self.everything, self.outside, self.ports.len() + self.ranges.len())
    }
}

/// The destinations that are translated, and those of each port's routes.
pub(super) struct Paths {
    /// The translated destinations, and an index of what they are translated to.
    public: Vec<Range>,
    targets: BoxIndex,
    routed: BTreeMap<Uuid, Vec<Range>>,
}

impl Paths {
    pub(super) fn new(model: &Model<'_>, rules: &[RouterRule<'_>]) -> Option<Paths> {
        let (mut all_public, mut targets) = (Vec::new(), Vec::new());
        for rule in rules.iter().filter(|rule| rule.rule.kind == RuleKind::Dnat) {
            let public = rule.destination().filter(|_| !rule.rule.inv_nw_dst)?;
            for target in rule.rule.nat_targets.iter().flatten() {
                let (first, last) = (u32::from(target.address_from), u32::from(target.address_to));
                let target = Range { first, last: last.max(first) };
                targets.push((all_public.len(), EVERYTHING.with(DESTINATION, target)));
                all_public.push(public);
            }
        }
        let mut routed: BTreeMap<Uuid, Vec<Range>> = BTreeMap::new();
        for device in model.world.devices.values() {
            let longer = device.routes.iter().filter(|route| route.destination.prefix_len() >= 8);
            let longer = united(longer.map(|route| Range::network(route.destination)).collect());
            for route in &device.routes {
                let Some(port) = route.port else { continue };
                let own = Range::network(route.destination);
                let ranges = routed.entry(port).or_default();
                match route.destination.prefix_len() < 8 {
                    true => ranges.extend(rest(own, &longer)),
                    false => ranges.push(own),
                }
            }
        }
        Some(Paths { public: all_public, targets: BoxIndex::new(targets), routed })
    }

    /// Returns the addresses of these destinations, and those that are translated to them: sorted, disjoint ranges.
    /// `world` has the addresses outside.
    pub(super) fn as_sent(&self, of: &Destinations, world: &[Range]) -> Vec<Range> {
        if of.everything {
            return vec![Range::ADDRESSES];
        }
        let routed = of.ports.iter().filter_map(|port| self.routed.get(port)).flatten();
        let mut found = united(of.ranges.iter().chain(routed).copied().collect());
        let targets = found.iter().flat_map(|range| self.targets.all(&EVERYTHING.with(DESTINATION, *range)));
        let public: Vec<Range> = targets.filter_map(|place| self.public.get(place)).copied().collect();
        found.extend(public);
        if of.outside {
            found.extend(world);
        }
        united(found)
    }

    /// Returns the destinations of the packets that a rule may match.
    pub(super) fn destinations(rule: &RouterRule<'_>) -> Destinations {
        let named = rule.destination().filter(|_| !rule.rule.inv_nw_dst);
        Paths::named(named, &rule.rule.out_ports, rule.rule.inv_out_ports)
    }

    /// Returns the destinations of the packets whose replies a rule may match.
    pub(super) fn sources(rule: &RouterRule<'_>) -> Destinations {
        let named = rule.source().filter(|_| !rule.rule.inv_nw_src);
        Paths::named(named, &rule.rule.in_ports, rule.rule.inv_in_ports)
    }

    /// Returns the destinations that a rule names by their addresses, or else by the ports that lead to them.
    fn named(addresses: Option<Range>, ports: &[Uuid], all_but_these: bool) -> Destinations {
        match addresses {
            Some(range) => Destinations::ranges([range]),
            None if !ports.is_empty() && !all_but_these => Destinations::by_ports(ports),
            None => Destinations::everything(),
        }
    }
}
