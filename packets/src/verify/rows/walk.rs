//! Sends sets of headers through switches and routers. OVN's pipeline has more stages; those that are left out do nothing with what
//! midoform writes. `ovn-northd(8)` describes them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use uuid::Uuid;

use super::decided::Known;
use super::network::Network;
use crate::semantics::MOST_DEVICES;
use crate::verify::header::Fragments;
use crate::verify::path::{Path, Tracking};
use crate::verify::sets::Sets;
use crate::verify::walk::{BUDGET, End, Outcome, TooMany};

/// Sends sets of packets through rows.
pub(crate) struct Walker<'a> {
    pub(crate) network: &'a Network,
    pub(crate) sets: &'a Sets,
    /// True if a path notes the rows that decide about its packets.
    pub(crate) keeps_rules: bool,
    /// The rows that may drop replies.
    pub(crate) stateless: &'a BTreeSet<Uuid>,
    pub(crate) known: &'a Known,
    /// The reason why nothing is proven.
    failure: &'a RefCell<Option<String>>,
    budget: Cell<usize>,
}

/// A walk in progress: the waiting packets, with the port that they enter, and the outcomes.
pub(crate) struct Walk<'w, 'a> {
    pub(crate) walker: &'w Walker<'a>,
    pub(crate) waiting: Vec<(Uuid, Path)>,
    pub(crate) outcomes: Vec<Outcome>,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(
        (network, sets): (&'a Network, &'a Sets),
        keeps_rules: bool,
        stateless: &'a BTreeSet<Uuid>,
        known: &'a Known,
        failure: &'a RefCell<Option<String>>,
    ) -> Walker<'a> {
        Walker { network, sets, keeps_rules, stateless, known, failure, budget: Cell::new(BUDGET) }
    }

    /// Uses up some of the budget, and returns true if some is left.
    pub(crate) fn may_go_on(&self, steps: usize) -> bool {
        self.budget.set(self.budget.get().saturating_sub(steps));
        self.budget.get() > 0 && !self.sets.is_full()
    }

    /// Notes why nothing is proven.
    pub(crate) fn fail(&self, why: String) {
        self.failure.borrow_mut().get_or_insert(why);
    }

    /// Sends packets into their path's ingress port, and returns all outcomes.
    ///
    /// OVN tracks connections, and puts fragments together before. So a datagram passes as a whole, or not at all: only whole packets
    /// are sent.
    pub(crate) fn follow(&self, path: Path) -> Result<Vec<Outcome>, TooMany> {
        let mut walk = Walk { walker: self, waiting: Vec::new(), outcomes: Vec::new() };
        let (whole, _) = path.split_fragments(Fragments::WHOLE);
        // Conditions tell protocols apart for frames that have one.
        let is_routed = whole.as_ref().is_some_and(|path| path.frame.is_routed());
        let mut rest = whole;
        for kind in self.network.kinds.iter().filter(|_| is_routed) {
            let Some(path) = rest.take() else { break };
            let (inside, outside) = path.split_protocols(*kind);
            walk.waiting.extend(inside.map(|path| (path.ingress, path)));
            rest = outside;
        }
        walk.waiting.extend(rest.map(|path| (path.ingress, path)));
        while let Some((at, path)) = walk.waiting.pop().filter(|_| self.may_go_on(1)) {
            walk.enter(at, path);
        }
        match self.may_go_on(0) && self.failure.borrow().is_none() {
            true => Ok(walk.outcomes),
            false => Err(TooMany),
        }
    }
}

impl Walk<'_, '_> {
    pub(crate) fn end(&mut self, path: Path, end: End) {
        self.outcomes.push(Outcome { path, end });
    }

    pub(crate) fn dropped(&mut self, path: Path, at: Uuid) {
        self.end(path, End::Dropped { at, rule: None, looped: false });
    }

    /// Ends the packets that a list drops, and returns the others.
    pub(crate) fn passed(&mut self, decided: super::decided::Decided, at: Uuid) -> Vec<Path> {
        for (path, rule) in decided.dropped {
            self.end(path, End::Dropped { at, rule: Some(rule), looped: false });
        }
        decided.accepted
    }

    fn enter(&mut self, at: Uuid, mut path: Path) {
        if path.devices >= MOST_DEVICES {
            return self.end(path, End::Dropped { at, rule: None, looped: true });
        }
        path.devices += 1;
        path.traversed.push(at);
        // Between two devices the state of connections is forgotten.
        path.tracking = Tracking::None;
        let network = self.walker.network;
        if let Some(port) = network.switch_ports.get(&at)
            && let Some(switch) = network.switches.get(&port.switch)
        {
            return self.enter_switch(switch, at, path);
        }
        match network.router_ports.get(&at) {
            Some(port) => match network.routers.get(&port.router) {
                Some(router) => self.enter_router(router, (at, port), path),
                // A router of others.
                None => self.end(path, End::Left(at)),
            },
            None => self.dropped(path, at),
        }
    }
}
