//! The rows of some tenants as switches and routers, as far as packets depend on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::matches::Match;
use crate::verify::header::{Protocols, Range};
use midoform_compiler::values::MacAddress;

/// What an ACL does with a packet that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    /// It accepts the packet, which is not tracked.
    AcceptUntracked,
    Drop,
}

/// A row of a list of which the first that matches decides: an ACL or a policy.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) id: Uuid,
    pub(crate) priority: i64,
    pub(crate) matched: Match,
    pub(crate) verdict: Verdict,
}

/// A list of rows, the highest priority first. The number is its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) number: usize,
    pub(crate) rows: Vec<Decision>,
}

/// A load balancer of one public address and port.
#[derive(Clone, Debug)]
pub(crate) struct Balancer {
    pub(crate) protocol: u8,
    pub(crate) public: (Ipv4Addr, u16),
    pub(crate) targets: Vec<(Ipv4Addr, u16)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Switch {
    pub(crate) ports: Vec<Uuid>,
    /// True if frames with a VLAN tag pass.
    pub(crate) passes_tags: bool,
    pub(crate) balancers: Vec<Balancer>,
    /// The lists from a port: before the translation of exposed ports and behind it.
    pub(crate) from: List,
    pub(crate) from_translated: List,
    /// The list to a port.
    pub(crate) to: List,
    /// The ACLs of each direction that let packets pass untracked.
    pub(crate) untracked_from: Vec<Match>,
    pub(crate) untracked_to: Vec<Match>,
    /// True if an ACL accepts connections with their replies.
    pub(crate) has_stateful: bool,
}

impl Switch {
    /// Returns true if the switch tracks connections.
    pub(crate) fn tracks(&self) -> bool {
        self.has_stateful || !self.balancers.is_empty()
    }
}

/// The addresses that a port may send from, and receive for, with a MAC address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) mac: MacAddress,
    /// Sorted, disjoint ranges; none: any address.
    pub(crate) addresses: Option<Vec<Range>>,
}

#[derive(Clone, Debug)]
pub(crate) struct SwitchPort {
    pub(crate) switch: Uuid,
    /// The router's port that it is connected to.
    pub(crate) router_port: Option<Uuid>,
    /// The MAC addresses behind it.
    pub(crate) macs: BTreeSet<MacAddress>,
    /// True if frames to MAC addresses that nobody has go there.
    pub(crate) has_unknown: bool,
    /// Port security; empty: none.
    pub(crate) allowed: Vec<Allowed>,
    /// True if a pod is behind it: packets may arrive here.
    pub(crate) is_station: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct RouterPort {
    pub(crate) router: Uuid,
    pub(crate) mac: MacAddress,
    pub(crate) addresses: Vec<(Ipv4Addr, Ipv4Net)>,
    /// The router's port that it is connected to.
    pub(crate) peer: Option<Uuid>,
    /// The switch's port that it is connected to.
    pub(crate) switch_port: Option<Uuid>,
    /// True if it is on a chassis, where connections are translated.
    pub(crate) is_gateway: bool,
}

/// A route of a router, or the network of one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Net,
    /// The next hop; none: the destination itself.
    pub(crate) next_hop: Option<Ipv4Addr>,
    /// The port that packets leave by; none: they are dropped.
    pub(crate) port: Option<Uuid>,
    pub(crate) row: Option<Uuid>,
}

/// The routes that packets to a range of addresses take: one of these.
pub(crate) type Routed = (Range, Vec<Route>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Router {
    pub(crate) ports: Vec<Uuid>,
    /// Sorted, disjoint ranges.
    pub(crate) routed: Vec<Routed>,
    pub(crate) policies: List,
    /// Source NAT: the networks and the addresses that they get, the longest prefix first.
    pub(crate) translations: Vec<(Ipv4Net, Ipv4Addr)>,
    pub(crate) balancers: Vec<Balancer>,
}

/// Switches and routers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) switches: BTreeMap<Uuid, Switch>,
    pub(crate) routers: BTreeMap<Uuid, Router>,
    pub(crate) switch_ports: BTreeMap<Uuid, SwitchPort>,
    pub(crate) router_ports: BTreeMap<Uuid, RouterPort>,
    /// Pods, each with the addresses that it is asked for by.
    pub(crate) stations: BTreeMap<Uuid, Station>,
    /// Protocols that conditions tell apart: packets of one path are of one of these.
    pub(crate) kinds: Vec<Protocols>,
}

/// A pod of a segment that stands for any.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    pub(crate) mac: MacAddress,
    pub(crate) addresses: Vec<Range>,
}

/// Finds the routes of every address: the longest prefix wins, and the network of a port wins against a route.
pub(crate) fn routed(routes: Vec<Route>) -> Vec<Routed> {
    let mut by_network: BTreeMap<(u32, u8), Vec<Route>> = BTreeMap::new();
    for route in routes {
        let network = route.destination;
        let beside = by_network.entry((network.network().into(), network.prefix_len())).or_default();
        // The network of a port has no row.
        match (route.row, beside.first().map(|known| known.row)) {
            (Some(_), Some(None)) => {}
            (None, Some(Some(_))) => *beside = vec![route],
            _ => beside.push(route),
        }
    }
    let mut found = Vec::new();
    let mut add = |from: u64, to: u64, routes: &[Route]| {
        if let (Ok(first), Ok(last), true) = (u32::try_from(from), u32::try_from(to), from <= to) {
            found.push((Range { first, last }, routes.to_vec()));
        }
    };
    // The open networks hold each other, the narrowest last. All addresses before `next` have their routes.
    let (mut open, mut next): (Vec<(u64, Vec<Route>)>, u64) = (Vec::new(), 0);
    for ((first, length), routes) in by_network {
        let first = u64::from(first);
        while let Some((last, inner)) = open.pop_if(|(last, _)| *last < first) {
            add(next, last, &inner);
            next = next.max(last + 1);
        }
        if let Some((_, around)) = open.last().filter(|_| next < first) {
            add(next, first - 1, around);
        }
        next = first;
        open.push((first + (1_u64 << (32 - u32::from(length.min(32)))) - 1, routes));
    }
    while let Some((last, routes)) = open.pop() {
        add(next, last, &routes);
        next = next.max(last + 1);
    }
    found
}
