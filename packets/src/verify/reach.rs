//! Reachability, and the difference that a change makes to it.
//!
//! Only new connections of whole packets are compared; replies are not connections of their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::trace::bridge_name;
use midoform_compiler::names::TenantName;
use midoform_compiler::plan::reachability::{ConnectionEnd, Now, Reachability};
use midoform_compiler::topology::key::view::{BridgeKey, KeyView, RuleKey, TenantKey};
use midoform_compiler::topology::key::{Key, SITE};
use uuid::Uuid;

use super::box_index::BoxIndex;
use super::header::{DESTINATION, Fragments, Headers, Range, rest, united};
use super::model::Model;
use super::packet_set::{self, PacketSet, difference};
use super::rows;
use super::segment::Segment;
use super::sets::Sets;
use super::summary::{self, Item};
use super::walk::{End, Outcome, TooMany};
use midoform_compiler::source::Provenance;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Bridge, Object, Reference, Router, RuleAction};
use midoform_compiler::topology::{Entry, Topology};

/// Headers that pass, and the rules that they matched.
type Pass = (PacketSet, Vec<Uuid>);

/// The most bridges of tenants that are compared: each pair of them is a place in the report.
const MOST_BRIDGES: usize = 500;

/// From where, to where.
type Pair = (ConnectionEnd, ConnectionEnd);

/// Packets that are dropped, with a box around them, and the rule that drops them.
struct Dropped {
    packets: PacketSet,
    around: Headers,
    rule: Option<Uuid>,
}

/// The most boxes of packets that are described: more are no report that is read.
const MOST_BOXES: usize = 100_000;

/// The packets that pass from one end to another, as sets of headers as they are sent.
#[derive(Default)]
struct Matrix {
    passes: BTreeMap<Pair, Vec<Pass>>,
    /// The dropped packets, and the rule that dropped them.
    dropped: BTreeMap<ConnectionEnd, Vec<Dropped>>,
}

/// Compares the reachability of two topologies. Only tenants with differences are verified.
pub fn compare(before: &Topology, after: &Topology) -> Reachability {
    let (old, new) = (before.tenants(), after.tenants());
    let mut reachability = Reachability {
        new_tenants: new.difference(&old).copied().map(TenantName::from).collect(),
        gone_tenants: old.difference(&new).copied().map(TenantName::from).collect(),
        ..Reachability::default()
    };
    let changed: BTreeSet<&str> =
        old.intersection(&new).copied().filter(|tenant| differs(before, after, tenant)).collect();
    let opened: BTreeSet<&str> =
        new.difference(&old).copied().filter(|tenant| has_openings(after, tenant)).collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for tenant in changed.iter().chain(&opened) {
        if done.contains(tenant) {
            continue;
        }
        let mut together = linked_tenants(after, tenant);
        together.extend(linked_tenants(before, tenant));
        let whole: BTreeSet<&str> =
            together.iter().copied().filter(|tenant| changed.contains(tenant)).collect();
        let border: BTreeSet<&str> =
            together.iter().copied().filter(|tenant| opened.contains(tenant)).collect();
        compare_together(before, after, &together, (&whole, &border), &mut reachability);
        done.extend(together);
    }
    reachability.changes.sort();
    reachability
}

/// Returns true if an object that decides about packets differs.
fn differs(before: &Topology, after: &Topology, tenant: &str) -> bool {
    let deciding = |topology: &'_ Topology| -> Vec<(String, Object)> {
        topology
            .of_tenant(tenant)
            .filter(|(_, entry)| decides(entry))
            .map(|(_, entry)| (entry.key.to_string(), canonical(&entry.object)))
            .collect()
    };
    let same = before
        .of_tenant(tenant)
        .map(|(_, entry)| (&entry.key, &entry.object))
        .eq(after.of_tenant(tenant).map(|(_, entry)| (&entry.key, &entry.object)));
    !same && deciding(before) != deciding(after)
}

fn decides(entry: &Entry) -> bool {
    if let Object::Row(row) = &entry.object {
        return !matches!(entry.key.view(), KeyView::Tenant(_, TenantKey::Pod(..)))
            && row.table != Table::GatewayChassis;
    }
    !matches!(
        entry.object,
        Object::Chain(_) | Object::HostInterfacePort(_) | Object::TunnelZone(_) | Object::TunnelZoneHost(_)
    )
}

/// Returns the same object, without what the server fills in and without names.
fn canonical(object: &Object) -> Object {
    let mut object = object.clone();
    match &mut object {
        Object::Rule(rule) => rule.condition = rule.condition.canonical(&rule.action),
        Object::Router(Router(device)) | Object::Bridge(Bridge(device)) => {
            device.name.clear();
            device.tenant_id.clear();
        }
        Object::PortGroup(group) => {
            group.name.clear();
            group.tenant_id.clear();
        }
        _ => {}
    }
    object
}

/// Returns true if there is a way into a tenant: DNAT, a rule that opens it, a peer.
fn has_openings(topology: &Topology, tenant: &str) -> bool {
    let leads_in = |entry: &Entry| match &entry.object {
        Object::Rule(rule) => {
            matches!(rule.action, RuleAction::DestinationNat(..))
                || matches!(entry.key.view(), KeyView::Tenant(_, TenantKey::Rule(_, RuleKey::Open { .. })))
        }
        Object::RouterPort(_) => peer_of(&entry.key).is_some(),
        Object::Row(row) => match row.table {
            Table::LoadBalancer => true,
            Table::LogicalRouterPort => peer_of(&entry.key).is_some(),
            // A network that the provider router has a route to.
            _ => {
                matches!(entry.key.view(), KeyView::Tenant(_, TenantKey::Bridge(_, BridgeKey::ProviderRoute)))
            }
        },
        _ => false,
    };
    topology.of_tenant(tenant).any(|(_, entry)| leads_in(entry))
}

/// Returns a tenant and the tenants that its links lead to, directly and through others.
pub(crate) fn linked_tenants<'t>(topology: &'t Topology, tenant: &str) -> BTreeSet<&'t str> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&str> =
        topology.of_tenant(tenant).next().map(|(_, entry)| entry.key.owner()).into_iter().collect();
    while let Some(name) = waiting.pop() {
        if !found.insert(name) {
            continue;
        }
        for (_, entry) in topology.of_tenant(name) {
            let links = match &entry.object {
                Object::PortLink(link) => vec![&link.port, &link.peer],
                Object::Row(row) => {
                    let other =
                        rows::linked_tenant(entry, row).and_then(|name| topology.of_tenant(name).next());
                    waiting.extend(other.map(|(_, entry)| entry.key.owner()).filter(|name| *name != SITE));
                    continue;
                }
                // The link object may be the other's.
                Object::RouterPort(_) => {
                    let other = peer_of(&entry.key).and_then(|other| topology.of_tenant(other).next());
                    waiting.extend(other.map(|(_, entry)| entry.key.owner()));
                    continue;
                }
                _ => continue,
            };
            let tenants = links
                .into_iter()
                .filter_map(Reference::key)
                .map(midoform_compiler::topology::key::Key::owner);
            waiting.extend(tenants.filter(|tenant| *tenant != SITE));
        }
    }
    found
}

fn compare_together(
    before: &Topology,
    after: &Topology,
    together: &BTreeSet<&str>,
    (whole, border): (&BTreeSet<&str>, &BTreeSet<&str>),
    reachability: &mut Reachability,
) {
    let not_compared = || together.iter().copied().map(TenantName::from);
    let old_model = Model::new(before, together, &[]).keeping_rules();
    let new_model = Model::new(after, together, &[]).keeping_rules().with_sets_of(&old_model);
    // Of new tenants only the traffic with others is reported: a tenant alone has none that its pods send.
    let sends = !whole.is_empty() || together.len() > 1;
    if sends && new_model.segments.len().max(old_model.segments.len()) > MOST_BRIDGES {
        return reachability.not_compared.extend(not_compared());
    }
    let (Ok(old), Ok(new)) = (Matrix::of(&old_model, sends), Matrix::of(&new_model, sends)) else {
        return reachability.not_compared.extend(not_compared());
    };
    let pairs: BTreeSet<&Pair> = old.passes.keys().chain(new.passes.keys()).collect();
    let pairs = pairs.into_iter().filter(|pair| is_wanted(pair, whole, border));
    let models = [&old_model, &new_model];
    let Some(items) = differences(models, [&old, &new], pairs) else {
        return reachability.not_compared.extend(not_compared());
    };
    let addresses = |end: &ConnectionEnd| addresses_of(models, end);
    reachability.changes.extend(summary::in_words(items, &addresses));
}

/// Returns what two topologies do differently between some ends; none if that is too much to be described.
fn differences<'m>(
    [old_model, new_model]: [&Model<'_>; 2],
    [old, new]: [&Matrix; 2],
    pairs: impl Iterator<Item = &'m Pair>,
) -> Option<Vec<Item>> {
    let sets: &Sets = &new_model.sets;
    let (mut items, mut described) = (Vec::new(), 0);
    let mut dropped: BTreeMap<&ConnectionEnd, (&[Dropped], BoxIndex)> = BTreeMap::new();
    let outside_now = addresses_of([old_model, new_model], &ConnectionEnd::World);
    for pair in pairs {
        let (was, is) = (old.passes.get(pair), new.passes.get(pair));
        let [was, is] = [was, is].map(|passes| passes.map(Vec::as_slice).unwrap_or_default());
        // Addresses of a tenant before or after the change are not the world.
        let outside = match pair.1 == ConnectionEnd::World {
            true => outside_now.as_slice(),
            false => &[Range::ADDRESSES],
        };
        let united = |passes: &[Pass]| packet_set::united(sets, passes.iter().map(|(packets, _)| *packets));
        let (before, now) = (united(was), united(is));
        let mut boxes = |from: PacketSet, others: &[PacketSet]| -> Option<Vec<Headers>> {
            let left = difference(sets, vec![from], others).into_iter();
            let left = left.filter_map(|packets| packets.within(sets, DESTINATION, outside));
            let boxes: Vec<Headers> = left.flat_map(|packets| packets.boxes(sets, MOST_BOXES)).collect();
            described += boxes.len();
            (described < MOST_BOXES && !sets.is_full()).then_some(boxes)
        };
        for (packets, rules) in is {
            let source = rules.iter().rev().find_map(|rule| user_rule(new_model, *rule));
            let opened = boxes(*packets, &before)?.into_iter();
            items.extend(opened.flat_map(|headers| Item::of(headers, Now::Allowed, pair, source.as_ref())));
        }
        for packets in before {
            for headers in boxes(packets, &now)? {
                let (all, index) = dropped.entry(&pair.0).or_insert_with(|| {
                    let all = new.dropped.get(&pair.0).map(Vec::as_slice).unwrap_or_default();
                    (all, BoxIndex::new(all.iter().map(|dropped| dropped.around).enumerate()))
                });
                let closed = PacketSet::of(&headers);
                let meeting = index.all(&headers).into_iter().filter_map(|place| all.get(place));
                let mut meeting = meeting.filter(|dropped| dropped.packets.common(sets, closed).is_some());
                let source = meeting.find_map(|dropped| new_model.entry(dropped.rule?)?.provenance.clone());
                items.extend(Item::of(headers, Now::Denied, pair, source.as_ref()));
            }
        }
    }
    // Of sets that became too large nothing is known, not even that they are the same.
    (!sets.is_full()).then_some(items)
}

/// Returns true if a pair of ends is reported: for a new tenant only traffic to or from others is.
fn is_wanted((from, to): &Pair, whole: &BTreeSet<&str>, border: &BTreeSet<&str>) -> bool {
    let (from, to) = (from.tenant(), to.tenant());
    let is_of = |end: Option<&TenantName>, tenants: &BTreeSet<&str>| {
        end.is_some_and(|tenant| tenants.contains(tenant.as_str()))
    };
    is_of(from, whole)
        || is_of(to, whole)
        || (is_of(to, border) && from != to)
        || (is_of(from, border) && to != from && to.is_some())
}

/// Returns the line of a rule that comes from the spec; the layout's own rules have no line to show.
fn user_rule(model: &Model<'_>, rule: Uuid) -> Option<Provenance> {
    let entry = model.entry(rule)?;
    if let Object::Row(row) = &entry.object {
        let is_from_spec = row.table == Table::LoadBalancer || rows::rule_of(entry).is_some();
        return is_from_spec.then(|| entry.provenance.clone()).flatten();
    }
    let KeyView::Tenant(_, TenantKey::Rule(_, rule)) = entry.key.view() else { return None };
    let is_from_spec = matches!(
        rule,
        RuleKey::Spec { .. }
            | RuleKey::Inside { .. }
            | RuleKey::Open { .. }
            | RuleKey::Expose(_)
            | RuleKey::Routed(_)
    );
    is_from_spec.then(|| entry.provenance.clone()).flatten()
}

/// Returns the end of connections at a bridge.
fn end_at(bridge: &Key) -> ConnectionEnd {
    ConnectionEnd::Bridge { tenant: bridge.owner().into(), name: bridge_name(bridge) }
}

/// Returns the name of the peer that a port leads to.
fn peer_of(key: &Key) -> Option<&str> {
    match key.view() {
        KeyView::Tenant(_, TenantKey::Peer(peer, _)) => Some(peer),
        _ => None,
    }
}

impl Matrix {
    /// Follows what the world sends, and where `pods` is true what pods send as well.
    fn of(model: &Model<'_>, pods: bool) -> Result<Matrix, TooMany> {
        let mut matrix = Matrix::default();
        for segment in model.segments.iter().filter(|_| pods) {
            let from = end_at(&segment.key);
            let own: Vec<Headers> = own_sources(model, segment);
            matrix.add(model, &from, model.sent_by_pod(segment, &own)?);
            matrix.add(model, &from, model.inside(segment, &to_pods(segment, &own))?);
        }
        for uplink in &model.uplinks {
            let headers = uplink.destinations.iter().flat_map(|range| Headers::all(Range::ADDRESSES, *range));
            let headers: Vec<Headers> = headers.filter_map(whole).collect();
            matrix.add(model, &ConnectionEnd::World, model.sent_by_world(uplink, &headers)?);
        }
        Ok(matrix)
    }

    fn add(&mut self, model: &Model<'_>, from: &ConnectionEnd, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            let sent = outcome.path.sent();
            let to = match &outcome.end {
                End::Delivered(ports) => {
                    ports.first().and_then(|port| model.segment_of(*port)).map(|segment| end_at(&segment.key))
                }
                End::Left(port) => model.uplink_of(*port).map(|_| ConnectionEnd::World),
                End::Dropped { rule, .. } => {
                    let dropped = Dropped { packets: sent, around: outcome.path.around(), rule: *rule };
                    self.dropped.entry(from.clone()).or_default().push(dropped);
                    None
                }
                End::Consumed(_) | End::Waits => None,
            };
            // Traffic from outside to outside is not a connection of a tenant.
            if let Some(to) = to.filter(|to| *from != ConnectionEnd::World || *to != ConnectionEnd::World) {
                self.passes.entry((from.clone(), to)).or_default().push((sent, outcome.path.rules));
            }
        }
    }
}

fn whole(headers: Headers) -> Option<Headers> {
    let fragments = headers.fragments.and(Fragments::WHOLE);
    (!fragments.is_empty()).then_some(Headers { fragments, ..headers })
}

/// Returns the packets that a pod sends with an address of its own network. On OVN they are those that may begin a connection: an
/// answer without one is invalid there.
pub(crate) fn own_sources(model: &Model<'_>, segment: &Segment) -> Vec<Headers> {
    let all = segment.pods.iter().flat_map(|range| Headers::all(*range, Range::ADDRESSES));
    let all = all.filter_map(whole).collect();
    if model.rows.is_some() { rows::beginning(all) } else { all }
}

/// Returns those of these packets that are sent to other pods of the segment.
fn to_pods(segment: &Segment, own: &[Headers]) -> Vec<Headers> {
    let to = |headers: &Headers| {
        segment.pods.iter().map(|range| headers.with(DESTINATION, *range)).collect::<Vec<_>>()
    };
    own.iter().flat_map(to).collect()
}

/// Returns the addresses of an end: those of a bridge's pods, or, outside, all but the tenants' own networks.
fn addresses_of(models: [&Model<'_>; 2], end: &ConnectionEnd) -> Vec<Range> {
    let segments = models.into_iter().flat_map(|model| &model.segments);
    if *end != ConnectionEnd::World {
        let own = segments.filter(|segment| end_at(&segment.key) == *end);
        return united(own.flat_map(|segment| segment.pods.clone()).collect());
    }
    let networks = segments.flat_map(|segment| &segment.networks).map(|network| Range::network(*network));
    let public =
        models.into_iter().flat_map(|model| &model.uplinks).flat_map(|uplink| uplink.destinations.clone());
    rest(Range::ADDRESSES, &united(networks.chain(public).collect()))
}
