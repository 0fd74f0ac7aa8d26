//! The destinations of packets as a pod sends them: before a translation, and by port.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::rules::RouterRule;
use crate::semantics::world::RuleKind;
use crate::verify::header::{Range, rest, united};
use crate::verify::model::Model;

/// Some destinations.
#[derive(Clone, Debug)]
pub(super) enum Destinations {
    All,
    Some(Vec<Range>),
}

impl Destinations {
    pub(super) fn add(&mut self, more: &Destinations) {
        match (&mut *self, more) {
            (Destinations::Some(own), Destinations::Some(more)) => own.extend(more),
            _ => *self = Destinations::All,
        }
    }

    pub(super) fn ranges(self) -> Vec<Range> {
        match self {
            Destinations::All => vec![Range::ADDRESSES],
            Destinations::Some(ranges) => united(ranges),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Destinations::All => usize::MAX,
            Destinations::Some(ranges) => ranges.len(),
        }
    }
}

/// The destinations that are translated, and those of each port's routes.
pub(super) struct Paths {
    /// A translated destination, and what it is translated to.
    translated: Vec<(Range, Range)>,
    pub(super) routed: BTreeMap<Uuid, Vec<Range>>,
}

impl Paths {
    pub(super) fn new(model: &Model<'_>, rules: &[RouterRule<'_>]) -> Option<Paths> {
        let mut translated = Vec::new();
        for rule in rules.iter().filter(|rule| rule.rule.kind == RuleKind::Dnat) {
            let public = rule.destination().filter(|_| !rule.rule.inv_nw_dst)?;
            for target in rule.rule.nat_targets.iter().flatten() {
                let (first, last) = (u32::from(target.address_from), u32::from(target.address_to));
                translated.push((public, Range { first, last: last.max(first) }));
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
        Some(Paths { translated, routed })
    }

    /// Returns these destinations, and those that are translated to them.
    pub(super) fn as_sent(&self, ranges: impl IntoIterator<Item = Range>) -> Destinations {
        let mut found = united(ranges.into_iter().collect());
        let hits = |target: &Range| found.iter().any(|range| range.common(*target).is_some());
        let public: Vec<Range> =
            self.translated.iter().filter(|(_, target)| hits(target)).map(|(public, _)| *public).collect();
        found.extend(public);
        Destinations::Some(found)
    }

    /// Returns the destinations of the packets that a rule may match, as they are sent.
    pub(super) fn destinations(&self, rule: &RouterRule<'_>) -> Destinations {
        let named = rule.destination().filter(|_| !rule.rule.inv_nw_dst);
        self.named(named, &rule.rule.out_ports, rule.rule.inv_out_ports)
    }

    /// Returns the destinations of the packets whose replies a rule may match.
    pub(super) fn sources(&self, rule: &RouterRule<'_>) -> Destinations {
        let named = rule.source().filter(|_| !rule.rule.inv_nw_src);
        self.named(named, &rule.rule.in_ports, rule.rule.inv_in_ports)
    }

    /// Returns the destinations that a rule names by their addresses, or else by the ports that lead to them.
    fn named(&self, addresses: Option<Range>, ports: &[Uuid], all_but_these: bool) -> Destinations {
        match addresses {
            Some(range) => self.as_sent([range]),
            None if !ports.is_empty() && !all_but_these => {
                self.as_sent(ports.iter().filter_map(|port| self.routed.get(port)).flatten().copied())
            }
            None => Destinations::All,
        }
    }
}
