//! Rules of the spec whose rows can never match.
//!
//! A list is read once for each kind of packet that it may meet, from its first row to its last: of a row, what the ones before it leave
//! is what it decides about. A rule is dead if none of its rows decides about a packet, in any list.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::verify::header::{Headers, Protocols, Range};
use crate::verify::model::Model;
use crate::verify::packet_set::Fields;
use crate::verify::path::{Path, Tracking};
use crate::verify::rows::matches::Between;
use crate::verify::rows::network::{List, Network};
use crate::verify::rows::{Rows, rule_of};
use crate::verify::sets::Sets;
use midoform_compiler::topology::Entry;
use midoform_compiler::values::MacAddress;

/// The most pairs of ports of a router that are looked at. Beyond, its policies are taken for alive.
const MOST_PAIRS: usize = 4096;

/// A place where a list meets packets: the ports, and the MAC addresses.
type Place = (Between, (MacAddress, MacAddress));

/// Returns the first row of each rule of a tenant's spec that can never match.
pub(crate) fn rules<'t>(model: &Model<'t>, tenant: &str) -> Vec<&'t Entry> {
    let Some(rows) = &model.rows else { return Vec::new() };
    model.renew();
    let Network { switches, routers, .. } = rows.network();
    let own = || model.segments.iter().filter(|segment| segment.key.owner() == tenant);
    let mut alive = BTreeSet::new();
    for segment in own() {
        let switch = rows.switch_of(segment).and_then(|switch| switches.get(&switch));
        let Some(switch) = switch else { continue };
        let router_port = switch.ports.iter().copied().find(|port| rows.is_of_router(*port));
        let gateways = || segment.gateways.iter().map(|(_, mac)| *mac);
        let from = gateways().chain([segment.neighbour_mac]);
        let from: Vec<Place> =
            from.map(|mac| (Between { input: segment.pod, output: None }, (segment.pod_mac, mac))).collect();
        let near = (segment.neighbour, segment.neighbour_mac);
        let to = gateways().filter_map(|mac| Some((router_port?, mac))).chain([near]);
        let to: Vec<Place> = to
            .map(|(input, mac)| (Between { input, output: Some(segment.pod) }, (mac, segment.pod_mac)))
            .collect();
        for (list, places) in [(&switch.from, &from), (&switch.from_translated, &from), (&switch.to, &to)] {
            alive.extend(deciding(rows, &model.sets, list, places));
        }
    }
    for router in routers.values() {
        let mut ports = BTreeSet::from([Uuid::nil()]);
        for row in &router.policies.rows {
            row.matched.each_port(&mut |port| ports.extend([port]));
        }
        if ports.len() * ports.len() > MOST_PAIRS {
            alive.extend(router.policies.rows.iter().map(|row| row.id));
            continue;
        }
        let mac = MacAddress([0x02, 0, 0, 0, 0, 0]);
        let to = |input: Uuid| {
            let outputs = ports.iter().map(move |output| Between { input, output: Some(*output) });
            outputs.map(|between| (between, (mac, mac))).collect::<Vec<Place>>()
        };
        let places: Vec<Place> = ports.iter().flat_map(|input| to(*input)).collect();
        alive.extend(deciding(rows, &model.sets, &router.policies, &places));
    }
    let mut found: BTreeMap<&str, (&Entry, bool)> = BTreeMap::new();
    for (_, entry) in model.topology.of_tenant(tenant) {
        let Some(rule) = rule_of(entry) else { continue };
        let id = crate::semantics::id_of(model.topology, &(&entry.key).into());
        let lives = id.is_some_and(|id| alive.contains(&id));
        found.entry(rule).or_insert((entry, false)).1 |= lives;
    }
    found.into_values().filter(|(_, lives)| !lives).map(|(entry, _)| entry).collect()
}

/// Returns the rows that decide about a packet.
fn deciding(rows: &Rows, sets: &Sets, list: &List, places: &[Place]) -> BTreeSet<Uuid> {
    let mut found = BTreeSet::new();
    for kind in &rows.network().kinds {
        let all = Headers::all(Range::ADDRESSES, Range::ADDRESSES).into_iter();
        for headers in all.map(|headers| Headers { protocols: headers.protocols.and(*kind), ..headers }) {
            if headers.protocols == Protocols::NONE {
                continue;
            }
            for (between, (source, destination)) in places {
                let mut path = Path::new(headers, between.input, *source, *destination);
                path.tracking = Tracking::New;
                let mut left = Fields::of(headers.fields).set(sets);
                for row in &list.rows {
                    let Ok(matched) = row.matched.set(sets, &path, *between) else { continue };
                    let matched = sets.common(left, matched);
                    if !matched.is_none() {
                        found.insert(row.id);
                        left = sets.without(left, matched);
                    }
                }
            }
        }
    }
    found
}
