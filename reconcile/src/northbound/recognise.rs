//! Matches the rows of a northbound database to keys. A row says itself which key it has, so nothing is recognised by its content.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::TenantAllocation;
use midoform_compiler::topology::foreign::{Effect, Foreign};
use midoform_compiler::topology::generations::Generations;
use midoform_compiler::topology::key::view::{KeyView, PodKey, TenantKey};
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Kind, Object, Reference};
use midoform_compiler::topology::observed::{Observed, OtherPort, OtherRoute, ProviderUse};
use midoform_compiler::topology::{Entry, Topology};
use uuid::Uuid;

use super::snapshot::{FoundRow, Snapshot};
use crate::recognise::LATEST_SEARCHED;
use crate::scope::{ForeignObjects, Scope};

/// Matches a snapshot to the keys of a scope.
pub fn recognise(snapshot: &Snapshot, scope: Scope<'_>) -> Observed {
    let keys = keys_of(snapshot, scope);
    let matching = Matching { snapshot, scope, keys, provider: provider_id(snapshot, scope) };
    let mut observed = Observed { generations: scope.known.generations(), ..Observed::default() };
    observed.topology = matching.topology();
    matching.note_ids(&mut observed);
    for router in snapshot.table(Table::LogicalRouter) {
        observed.present.insert(router.id, Kind::Row(Table::LogicalRouter));
        if let Some(name) = router.text("name") {
            observed.routers.entry(name.to_owned()).or_default().push(router.id);
        }
    }
    let removed = matching.note_others(&mut observed);
    if !removed.is_empty() {
        let own = observed.topology.entries().iter().cloned();
        observed.topology = Topology::new(own.chain(removed).collect());
    }
    observed.provider = matching.provider_use();
    observed
}

/// The keys of the site's rows, by `_uuid`. A second row of one key has the key of a row that is no longer wanted.
fn keys_of(snapshot: &Snapshot, scope: Scope<'_>) -> BTreeMap<Uuid, Key> {
    let mut keys: BTreeMap<Uuid, Key> = BTreeMap::new();
    let mut taken: BTreeSet<Key> = BTreeSet::new();
    for row in snapshot.rows() {
        let Some(text) = row.key_in(scope.site) else { continue };
        let key = Key::new(text);
        let key = scope.moves.new_key(&key).unwrap_or(key);
        let key = if taken.insert(key.clone()) { key } else { key.found(row.id) };
        keys.insert(row.id, key);
    }
    keys
}

/// Returns the provider router's id; none if it does not exist, or if several have its name.
fn provider_id(snapshot: &Snapshot, scope: Scope<'_>) -> Option<Uuid> {
    let mut routers = snapshot.table(Table::LogicalRouter).filter(|router| match scope.provider {
        Reference::Key(key) => router.key_in(scope.site) == Some(key.as_str()),
        Reference::External(id) => router.id == *id,
        Reference::Named(name) => router.text("name") == Some(name),
    });
    let first = routers.next()?;
    routers.next().is_none().then_some(first.id)
}

struct Matching<'a> {
    snapshot: &'a Snapshot,
    scope: Scope<'a>,
    keys: BTreeMap<Uuid, Key>,
    provider: Option<Uuid>,
}

impl Matching<'_> {
    /// Returns what an id refers to. A given provider router is called as the site file calls it.
    fn reference(&self, id: Uuid) -> Reference {
        match self.keys.get(&id) {
            Some(key) => Reference::Key(key.clone()),
            None if self.provider == Some(id) => self.scope.provider.clone(),
            None => Reference::External(id),
        }
    }

    fn is_in_scope(&self, key: &Key) -> bool {
        !is_pod(key) && (key.owner() == SITE || self.scope.tenants.contains(key.owner()))
    }

    fn topology(&self) -> Topology {
        let own = self.snapshot.rows().filter_map(|row| Some((row, self.keys.get(&row.id)?)));
        let entries = own.filter(|(_, key)| self.is_in_scope(key)).map(|(row, key)| {
            let object = row.own_share(self.snapshot.holder(row.id), &|id| self.reference(id));
            Entry { key: key.clone(), object: object.into(), provenance: None }
        });
        Topology::new(entries.collect())
    }

    /// Notes the ids that don't follow from the keys, and the generations of tenants that the store does not know.
    fn note_ids(&self, observed: &mut Observed) {
        let namespace = Namespace::of_site(self.scope.site);
        let known = &self.scope.known.tenants;
        let is_known = |owner: &str| known.get(owner).is_some_and(TenantAllocation::may_exist);
        let site_is_lost = !known.values().any(TenantAllocation::may_exist);
        let mut latest: BTreeMap<TenantName, (Key, u32)> = BTreeMap::new();
        for (id, key) in self.keys.iter().filter(|(_, key)| self.is_in_scope(key)) {
            if namespace.id_of_generation(key, observed.generations.current(key)) == *id {
                continue;
            }
            observed.ids.insert(key.clone(), *id);
            let is_lost = if key.owner() == SITE { site_is_lost } else { !is_known(key.owner()) };
            if is_lost {
                let found = (0..=LATEST_SEARCHED).find(|one| namespace.id_of_generation(key, *one) == *id);
                let found = found.map(|found| (key.clone(), found));
                let last = latest.entry(key.owner().into()).or_insert_with(|| (key.clone(), 0));
                *last = found.filter(|(_, found)| *found > last.1).unwrap_or_else(|| last.clone());
            }
        }
        let generations: &mut Generations = &mut observed.generations;
        latest.into_values().for_each(|(key, generation)| generations.found(&key, generation));
    }

    /// Notes what others have on the tenants' routers and switches: pods, and what changes the way of packets. Returns the rows that
    /// the goal is to remove.
    fn note_others(&self, observed: &mut Observed) -> Vec<Entry> {
        let removes = matches!(self.scope.foreign, ForeignObjects::Remove);
        let mut removed = Vec::new();
        for row in self.snapshot.rows() {
            let Some((holder, ..)) = self.snapshot.holder(row.id) else { continue };
            let Some(near) = self.keys.get(&holder).filter(|near| self.is_in_scope(near)) else { continue };
            let key = self.keys.get(&row.id);
            let is_pod = key.is_some_and(is_pod);
            // The other rows of the site are known, also those of tenants outside of the scope.
            if key.is_some() && !is_pod {
                continue;
            }
            let foreign = Foreign::new(near.clone(), Kind::Row(row.table), row.id, words_of(row));
            match row.table {
                Table::LogicalSwitchPort if row.text("type").is_none() => observed.attached.push(foreign),
                _ if is_pod => observed.attached.push(foreign),
                Table::Acl | Table::LogicalRouterPolicy | Table::LogicalRouterStaticRoute | Table::Nat
                    if removes && near.owner() != SITE =>
                {
                    let object = row.own_share(self.snapshot.holder(row.id), &|id| self.reference(id));
                    removed.push(Entry { key: foreign.key(), object: object.into(), provenance: None });
                }
                _ => {
                    let effect = self.effect(row, near, &observed.topology);
                    observed.foreign.push(Foreign { effect, ..foreign });
                }
            }
        }
        let order = |one: &Foreign| (one.near.clone(), one.kind, one.id);
        observed.foreign.sort_by_key(order);
        observed.attached.sort_by_key(order);
        removed
    }

    /// Returns the effect of a row of somebody else in a tenant's router or switch.
    fn effect(&self, row: FoundRow<'_>, near: &Key, own: &Topology) -> Option<Effect> {
        match row.table {
            Table::Acl | Table::LogicalRouterPolicy => {
                let priority = row.integer("priority").unwrap_or(0);
                let behind = own.entries().iter().filter(|entry| {
                    let Object::Row(other) = &entry.object else { return false };
                    let held = other.holder.as_ref().and_then(|holder| holder.row.key());
                    other.table == row.table
                        && held == Some(near)
                        && other.text_of("direction") == row.text("direction")
                        && other.integer_of("priority").is_some_and(|other| other <= priority)
                });
                Some(Effect::AheadOf(behind.map(|entry| entry.key.clone()).collect()))
            }
            Table::LogicalRouterStaticRoute | Table::Nat => {
                let same = own.entries().iter().filter(|entry| {
                    let Object::Row(other) = &entry.object else { return false };
                    let held = other.holder.as_ref().and_then(|holder| holder.row.key());
                    other.table == row.table && held == Some(near)
                });
                Some(Effect::AheadOf(same.map(|entry| entry.key.clone()).collect()))
            }
            _ => Some(Effect::Connects),
        }
    }

    /// Returns the ports and routes of the provider router that are not those of the scope's tenants.
    fn provider_use(&self) -> ProviderUse {
        let Some(provider) = self.provider else { return ProviderUse::default() };
        let is_others = |row: &FoundRow<'_>| {
            let is_there = self.snapshot.holder(row.id).is_some_and(|(holder, ..)| holder == provider);
            is_there && !self.keys.get(&row.id).is_some_and(|key| self.is_in_scope(key))
        };
        let mut found = ProviderUse::default();
        let mut inner: BTreeSet<&str> = BTreeSet::new();
        for port in self.snapshot.table(Table::LogicalRouterPort).filter(is_others) {
            let peer = port.text("peer").and_then(|name| self.port_named(name));
            inner.extend(port.text("name").filter(|_| peer.is_some()));
            for network in networks(port) {
                let address = peer.and_then(|peer| networks(peer).next()).map(|peer| peer.addr());
                found.ports.push(OtherPort {
                    id: port.id,
                    address: network.addr(),
                    network: network.trunc(),
                    peer: address,
                });
            }
        }
        for route in self.snapshot.table(Table::LogicalRouterStaticRoute).filter(is_others) {
            let Some(destination) = route.text("ip_prefix").and_then(network_of) else { continue };
            let leads_inside = route.text("output_port").is_some_and(|port| inner.contains(port));
            found.routes.push(OtherRoute { id: route.id, destination, leads_inside });
        }
        found
    }

    fn port_named(&self, name: &str) -> Option<FoundRow<'_>> {
        self.snapshot.table(Table::LogicalRouterPort).find(|port| port.text("name") == Some(name))
    }
}

/// Returns true for the port of a pod.
fn is_pod(key: &Key) -> bool {
    matches!(key.view(), KeyView::Tenant(_, TenantKey::Pod(_, PodKey::Port)))
}

fn networks(port: FoundRow<'_>) -> impl Iterator<Item = Ipv4Net> {
    port.texts("networks").filter_map(|network| network.parse().ok())
}

/// Returns the network of a route's destination, which may be an address alone.
fn network_of(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from))
}

/// Describes a row of somebody else in a few words.
fn words_of(row: FoundRow<'_>) -> String {
    let shown: &[&str] = match row.table {
        Table::Acl | Table::LogicalRouterPolicy => &["priority", "match", "action"],
        Table::LogicalRouterStaticRoute => &["ip_prefix", "nexthop"],
        Table::Nat => &["type", "logical_ip", "external_ip"],
        _ => &["name"],
    };
    let value = |column: &&str| {
        row.text(column).map(str::to_owned).or_else(|| row.integer(column).map(|number| number.to_string()))
    };
    let words: Vec<String> = shown.iter().filter_map(value).collect();
    let words = midoform_compiler::printable::printable(&words.join(" ")).to_string();
    format!("{} {words}", row.table).trim_end().to_owned()
}
