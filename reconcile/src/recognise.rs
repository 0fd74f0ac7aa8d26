//! Matches objects of the API to keys, and so builds the observed topology. The functions are pure.
//!
//! If the server keeps offered ids, an object is recognised by its id, which follows from its key. Such an id also
//! proves that midoform made the object. If the server chooses ids (1.x: ports, rules, routes), the object is
//! recognised by the id in the store, and otherwise by its content: a router port by its address, a bridge port by its
//! link or binding, a route by destination and next hop, a rule by its content and position.

mod ports;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::TenantAllocation;
use midoform_compiler::spec::parse::name_problem;
use midoform_compiler::topology::foreign::{self, Effect, Foreign};
use midoform_compiler::topology::generations::Generations;
use midoform_compiler::topology::key::view::ChainKey;
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kinds::{
    Bridge, Chain, Kind, Listed, Malformed, Object, PortGroup, Reference, Resource, Router, TunnelZone,
    TunnelZoneHost, TunnelZoneHostJson,
};
use midoform_compiler::topology::observed::{Observed, ObservedRule};
use midoform_compiler::topology::{Entry, Topology};
use uuid::Uuid;

use crate::inventory::Inventory;
use crate::scope::{ForeignObjects, Parents, Scope};

/// The devices of a scope, by the keys that their ids follow from.
#[derive(Default)]
pub(crate) struct Devices {
    keys: BTreeMap<Uuid, Key>,
    /// The parents whose rules, routes and members have to be read.
    pub(crate) parents: Parents,
}

/// The latest generation that is looked for where the store does not know the generations of what exists.
pub(crate) const LATEST_SEARCHED: u32 = 1024;

/// The ids that follow from keys.
pub(crate) struct OwnIds {
    namespace: Namespace,
    generations: Generations,
    /// The tenants that exist and that the store does not know, and the site if it knows no tenant: the store was lost.
    lost: BTreeSet<TenantName>,
}

impl OwnIds {
    fn of(scope: Scope<'_>, raw: &Inventory) -> OwnIds {
        let known = &scope.known.tenants;
        let is_known = |tenant: &TenantName| known.get(tenant).is_some_and(TenantAllocation::may_exist);
        let owner = |name: &str| name.split(' ').next().map(TenantName::from);
        let owners: BTreeSet<TenantName> = raw.names().filter_map(owner).collect();
        let unknown = scope.tenants.iter().filter(|tenant| !is_known(tenant) && owners.contains(*tenant));
        let site = (!known.keys().any(is_known)).then(|| TenantName::from(SITE));
        OwnIds {
            namespace: Namespace::of_site(scope.site),
            generations: scope.known.generations(),
            lost: unknown.cloned().chain(site).collect(),
        }
    }

    /// Takes note of the generation of an object that was found although the store does not know its tenant.
    fn note_found(&self, key: &Key, id: Uuid, generations: &mut Generations) {
        if self.lost.contains(key.owner()) {
            let found = (0..=LATEST_SEARCHED).find(|one| self.namespace.id_of_generation(key, *one) == id);
            found.into_iter().for_each(|found| generations.found(key, found));
        }
    }

    /// Returns the id that an object has if no other one is known.
    fn current(&self, key: &Key) -> Uuid {
        self.namespace.id_of_generation(key, self.generations.current(key))
    }

    /// Returns the ids that an object may have, the current one first, and last the one that an earlier midoform gave to an
    /// object while another one had its id.
    fn of_key(&self, key: &Key) -> impl Iterator<Item = Uuid> + use<> {
        let (namespace, other) = (self.namespace, self.namespace.other_id(key));
        let searched = if self.lost.contains(key.owner()) { LATEST_SEARCHED } else { 0 };
        let own = key.clone();
        let earlier = (1..=searched).map(move |generation| namespace.id_of_generation(&own, generation));
        self.generations.candidates(namespace, key).chain(std::iter::once(other)).chain(earlier)
    }
}

/// A matching of observed objects to keys, in progress.
pub(crate) struct Matching<'a> {
    scope: Scope<'a>,
    own_ids: OwnIds,
    keys: BTreeMap<Uuid, Key>,
    /// The keys in the store, by id.
    remembered: BTreeMap<Uuid, &'a Key>,
    /// The ids of objects that an undo created again, by their first ids, which follow from their keys.
    made_again: BTreeMap<Uuid, Uuid>,
    /// The objects that an unfinished run was creating.
    making: Vec<&'a (Key, Object)>,
    /// The objects that are already taken by a key.
    ids: BTreeMap<Key, Uuid>,
    entries: Vec<Entry>,
    /// The first object of midoform's that can't be read.
    malformed: Option<Box<MalformedObject>>,
    observed: Observed,
}

/// Returns the keys of a scope's devices by the ids that follow from them: the desired keys, and those that the names
/// of observed devices or the store suggest.
pub(crate) fn devices(raw: &Inventory, scope: Scope<'_>) -> Devices {
    let own_ids = OwnIds::of(scope, raw);
    let mut candidates: BTreeMap<Uuid, Key> = BTreeMap::new();
    let there: BTreeSet<Uuid> = raw.kinds().map(|(id, _)| id).collect();
    let mut suggest = |key: Key| {
        let mut ids = own_ids.of_key(&key).filter(|id| there.contains(id));
        if let Some(first) = ids.next() {
            candidates.insert(first, key.clone());
        }
        // An id of a later generation may be the first id of no other key.
        for id in ids {
            candidates.entry(id).or_insert_with(|| key.clone());
        }
    };
    for entry in scope.desired.entries() {
        if entry.object.stands_alone() {
            suggest(entry.key.clone());
        }
    }
    if !scope.known.zone_hosts.is_empty() {
        suggest(Key::site().tunnel_zone());
    }
    for tenant in scope.tenants {
        let keys = Key::tenant(tenant);
        for chain in [ChainKey::In, ChainKey::Out, ChainKey::Policy, ChainKey::Stateless, ChainKey::Untagged]
        {
            suggest(keys.chain(chain));
        }
        suggest(keys.router());
    }
    suggest_named(raw, scope, &mut suggest);
    // A renamed object still has the id of its old key.
    let moved = scope.desired.entries().iter().filter_map(|entry| {
        let old = scope.moves.old_key(&entry.key)?;
        Some(own_ids.of_key(&old).map(|id| (id, entry.key.clone())).collect::<Vec<_>>())
    });
    candidates.extend(moved.flatten());
    suggest_remembered(raw, scope, &own_ids, &mut candidates);
    let mut devices = Devices::default();
    let mut take = |id: Uuid| {
        let key = candidates.get(&id)?;
        devices.keys.insert(id, key.clone());
        Some(id)
    };
    devices.parents.chains = raw.chains.iter().filter_map(|chain| take(chain.id)).collect();
    devices.parents.routers = raw.routers.iter().filter_map(|router| take(router.id)).collect();
    devices.parents.groups = raw.groups.iter().filter_map(|group| take(group.id)).collect();
    devices.parents.zones = raw.zones.iter().filter_map(|zone| take(zone.id)).collect();
    for bridge in &raw.bridges {
        let _ = take(bridge.id);
    }
    if let Reference::External(id) = scope.provider {
        devices
            .parents
            .routers
            .extend(raw.routers.iter().map(|router| router.id).find(|router| router == id));
    }
    devices
}

/// Suggests keys from the names of devices. A name begins with the tenant's name, which contains no space.
fn suggest_named<'r>(raw: &'r Inventory, scope: Scope<'_>, suggest: &mut impl FnMut(Key)) {
    let named = |name: Option<&'r str>| {
        let (tenant, rest) = name?.split_once(' ')?;
        // Somebody else may have chosen the name: what no spec can say is no key.
        if name_problem(rest.strip_suffix(" in").unwrap_or(rest)).is_some() {
            return None;
        }
        scope.tenants.contains(tenant).then(|| (Key::tenant(tenant), rest))
    };
    for (keys, name) in raw.bridges.iter().filter_map(|bridge| named(bridge.name.as_deref())) {
        suggest(keys.bridge(name).device());
    }
    for (keys, name) in raw.groups.iter().filter_map(|group| named(group.name.as_deref())) {
        suggest(keys.port_group(name).group());
    }
    for (keys, name) in raw.chains.iter().filter_map(|chain| named(chain.name.as_deref())) {
        if let Some(name) = name.strip_suffix(" in") {
            suggest(keys.bridge(name).chain());
            suggest(keys.port(name).chain());
        }
    }
}

/// Suggests the recorded ids. An adopted object has an id of its own: while the object exists, that id stands for its key,
/// and the id that follows from the key does not.
fn suggest_remembered(
    raw: &Inventory,
    scope: Scope<'_>,
    own_ids: &OwnIds,
    candidates: &mut BTreeMap<Uuid, Key>,
) {
    let there: BTreeSet<Uuid> = raw.device_ids().collect();
    let known = scope.tenants.iter().filter_map(|tenant| scope.known.tenants.get(tenant));
    let remembered: Vec<_> =
        known.flat_map(|tenant| &tenant.ids).filter(|(_, id)| there.contains(id)).collect();
    // First all are removed: one object may have the id that follows from another one's key.
    for (key, _) in &remembered {
        own_ids.of_key(key).for_each(|id| drop(candidates.remove(&id)));
    }
    candidates.extend(remembered.into_iter().map(|(key, id)| (*id, key.clone())));
}

/// A field of an object of midoform's that the server shows with a text that is none of its kind. Nothing is compared with that:
/// each run would change the object again.
#[derive(Debug)]
pub(crate) struct MalformedObject {
    /// The object.
    pub(crate) key: Key,
    /// Its id, or that of its host.
    pub(crate) id: Uuid,
    /// The field and its value.
    pub(crate) found: Malformed,
}

/// Matches the objects of an inventory to the keys of a scope, whose devices are known.
///
/// # Errors
/// Returns an object of midoform's that can't be read.
pub(crate) fn match_all(
    raw: &Inventory,
    devices: Devices,
    scope: Scope<'_>,
) -> Result<Observed, Box<MalformedObject>> {
    let own_ids = OwnIds::of(scope, raw);
    let generations = own_ids.generations.clone();
    let ids = devices.keys.iter().map(|(id, key)| (key.clone(), *id)).collect();
    // Objects of other tenants are not in this plan.
    let known = scope.tenants.iter().filter_map(|tenant| scope.known.tenants.get(tenant));
    let known = known.flat_map(|tenant| &tenant.ids);
    let made_again = known.clone().filter(|(key, _)| !key.is_foreign());
    let mut matching = Matching {
        scope,
        own_ids,
        keys: devices.keys,
        remembered: known.map(|(key, id)| (*id, key)).collect(),
        made_again: made_again.filter_map(|(key, id)| Some((key.own_id()?, *id))).collect(),
        making: scope.making().collect(),
        ids,
        entries: Vec::new(),
        malformed: None,
        observed: Observed {
            present: raw.kinds().collect(),
            zones: raw.zones.iter().map(|zone| (zone.id, zone.name.clone().unwrap_or_default())).collect(),
            bound: raw.bindings().collect(),
            generations,
            ..Observed::default()
        },
    };
    matching.match_ports(raw);
    matching.add_devices(raw);
    matching.add_ports(raw);
    matching.add_rules(raw);
    matching.add_routes(raw);
    matching.set_foreign_filters_apart(raw);
    match matching.malformed.take() {
        Some(malformed) => Err(malformed),
        None => Ok(matching.finish()),
    }
}

impl Matching<'_> {
    /// Returns the reference for an id: its key, if it is known.
    fn reference(&self, id: Uuid) -> Reference {
        self.keys.get(&id).map_or(Reference::External(id), |key| Reference::Key(key.clone()))
    }

    /// Returns the ids that an object with this key may have, if the server keeps offered ids: those that follow from its key,
    /// and those of the key that it had before it was renamed.
    fn ids_of(&self, key: &Key) -> impl Iterator<Item = Uuid> {
        let old = self.scope.moves.old_key(key);
        // The id that follows from the key belongs to an object that has another name now.
        let own = self.scope.moves.new_key(key).is_none().then(|| key.clone());
        let ids = own.into_iter().chain(old).flat_map(|key| self.own_ids.of_key(&key));
        ids.flat_map(|id| self.made_again.get(&id).copied().into_iter().chain([id]))
    }

    fn bind(&mut self, id: Uuid, key: Key) {
        self.ids.insert(key.clone(), id);
        self.keys.insert(id, key);
    }

    /// Takes note of a field that can't be read, if there is one.
    fn note_malformed(&mut self, key: &Key, id: Uuid, found: Option<Malformed>) {
        if let Some(found) = found {
            self.malformed.get_or_insert_with(|| Box::new(MalformedObject { key: key.clone(), id, found }));
        }
    }

    fn add(&mut self, key: Key, object: Object) {
        self.entries.push(Entry { key, object, provenance: None });
    }

    /// Returns true if an object on a device of midoform belongs to midoform, although it is not desired: its id
    /// follows from a key (version 5).
    fn is_own(&self, id: Uuid, kind: Kind) -> bool {
        self.scope.dialect().keeps_offered_id(kind) && id.get_version_num() == 5
    }

    /// Returns true if objects of this kind without a known id are recognised by their content.
    fn by_content(&self, kind: Kind) -> bool {
        self.scope.adopting || !self.scope.dialect().keeps_offered_id(kind)
    }

    /// Returns true if an object of midoform's is recognised by its content alone: its id does not show its key. The store was lost
    /// after an undo had created the object again, or the server chose the id.
    fn is_of_unknown_key(&self, near: &Key, id: Uuid, kind: Kind) -> bool {
        match self.remembered.get(&id) {
            Some(key) => is_found(key) && self.by_content(kind) && !self.is_restored(key),
            None => self.own_ids.lost.contains(near.owner()) && self.is_own(id, kind),
        }
    }

    /// Returns true if an undo restores an object with this key.
    fn is_restored(&self, key: &Key) -> bool {
        self.scope.restored.is_some_and(|restored| restored.get(key.as_str()).is_some())
    }

    /// Returns the keys of the objects that an undo restores and of which only the id is known, as far as they belong to this parent.
    fn restored_of<'s>(&self, parent: &'s Reference) -> impl Iterator<Item = &Key> + use<'s, '_> {
        let entries = self.scope.restored.into_iter().flat_map(Topology::entries);
        let found = entries.filter(move |entry| {
            is_found(&entry.key) && entry.object.parent().is_some_and(|of| of.reference == parent)
        });
        found.map(|entry| &entry.key)
    }

    /// Returns the key that the store has for an id.
    fn remembered(&self, id: Uuid) -> Option<Key> {
        self.remembered.get(&id).map(|key| (*key).clone())
    }

    /// Returns the key of a foreign rule or route, if it is to be removed: that of the same object in the earlier observation, or one
    /// from its id.
    fn key_of_removed(&self, near: &Key, id: Uuid, object: &Object) -> Option<Key> {
        let ForeignObjects::Remove = self.scope.foreign else { return None };
        let key = near.foreign(id);
        let Some(before) = self.scope.restored.filter(|before| before.get(key.as_str()).is_none()) else {
            return Some(key);
        };
        let is_same = |entry: &&Entry| {
            entry.key.is_foreign() && !self.ids.contains_key(&entry.key) && entry.object.is_like(object)
        };
        Some(before.entries().iter().find(is_same).map_or(key, |entry| entry.key.clone()))
    }

    /// Reads an object. Ids with a key become references by key.
    fn read<R: Resource>(&self, json: &R::Json, parent: Option<Reference>, position: u32) -> Option<R> {
        R::read(json, &Listed { parent, position, resolve: &|id| self.reference(id) })
    }

    /// Adds an object, if its id has a key, and returns the key.
    fn add_device<R: Resource + Into<Object>>(&mut self, id: Uuid, json: &R::Json) -> Option<Key> {
        let key = self.keys.get(&id).cloned()?;
        let object: R = self.read(json, None, 0)?;
        self.add(key.clone(), object.into());
        Some(key)
    }

    fn add_devices(&mut self, raw: &Inventory) {
        for router in &raw.routers {
            self.add_device::<Router>(router.id, router);
        }
        for bridge in &raw.bridges {
            self.add_device::<Bridge>(bridge.id, bridge);
        }
        for chain in &raw.chains {
            self.add_device::<Chain>(chain.id, chain);
        }
        for group in &raw.groups {
            self.add_device::<PortGroup>(group.id, group);
        }
        for zone in &raw.zones {
            if let Some(key) = self.add_device::<TunnelZone>(zone.id, zone) {
                self.add_zone_hosts(
                    &key,
                    raw.zone_hosts.get(&zone.id).map(Vec::as_slice).unwrap_or_default(),
                );
            }
        }
    }

    /// Notes the chains of others that filter packets where the spec wants no filter. They stay, like foreign rules, unless these are
    /// to be removed: then the filter is a difference like any other.
    fn set_foreign_filters_apart(&mut self, raw: &Inventory) {
        let removes = matches!(self.scope.foreign, ForeignObjects::Remove);
        for entry in &mut self.entries {
            // Nothing of others is taken off the site's own objects, which they may use as well.
            if removes && entry.key.owner() != SITE {
                continue;
            }
            for (direction, filter) in entry.object.filters_mut().into_iter().flatten() {
                let Some(Reference::External(chain)) = *filter else { continue };
                let wanted = self.scope.desired.get(entry.key.as_str());
                if wanted.is_none_or(|wanted| wanted.object.filter(direction).is_some()) {
                    continue;
                }
                *filter = None;
                let name = raw.chains.iter().find(|one| one.id == chain).and_then(|one| one.name.as_deref());
                let what = format!("{} filter `{}`", direction.word(), name.unwrap_or_default());
                let foreign = Foreign::new(entry.key.clone(), Kind::Chain, chain, what);
                self.observed.foreign.push(Foreign { effect: Some(Effect::Filters(direction)), ..foreign });
            }
        }
    }

    fn add_zone_hosts(&mut self, zone: &Key, hosts: &[TunnelZoneHostJson]) {
        for json in hosts {
            self.note_malformed(zone, json.host_id, json.malformed());
            let Some(member) = self.read::<TunnelZoneHost>(json, Some(zone.into()), 0) else { continue };
            let wanted = self.scope.desired.entries().iter().find(
                |entry| matches!(&entry.object, Object::TunnelZoneHost(other) if other.host == member.host),
            );
            let recorded =
                || Some(self.key_of_leaving(member.host, self.scope.known.zone_hosts.get(&member.host)?));
            match wanted.map(|entry| entry.key.clone()).or_else(recorded) {
                Some(key) => self.add(key, member.into()),
                None => self.observed.foreign.push(Foreign::new(
                    zone.clone(),
                    Kind::TunnelZoneHost,
                    member.host,
                    format!("host at {}", member.address),
                )),
            }
        }
    }

    /// Returns the key of the membership of a host that midoform put into the tunnel zone and that is no longer desired. Another host
    /// may have its name now.
    fn key_of_leaving(&self, host: Uuid, name: &str) -> Key {
        let key = Key::site().tunnel_zone_host(name);
        let is_taken = self.scope.desired.get(key.as_str()).is_some()
            || self.entries.iter().any(|entry| entry.key == key);
        if is_taken { Key::site().found_tunnel_zone_host(host) } else { key }
    }

    fn finish(mut self) -> Observed {
        let topology = Topology::new(self.entries);
        let (own_ids, dialect) = (&self.own_ids, self.scope.dialect());
        for (key, id) in &self.ids {
            own_ids.note_found(key, *id, &mut self.observed.generations);
        }
        // If the server chooses ids, an id alone does not prove that midoform owns the object: the store must have the
        // id.
        let is_remembered = |key: &Key, id: Uuid, entry: &Entry| {
            own_ids.current(key) != id
                || key.own_id().is_some() && !dialect.keeps_offered_id(Kind::of(&entry.object))
        };
        self.ids
            .retain(|key, id| topology.get(key.as_str()).is_some_and(|entry| is_remembered(key, *id, entry)));
        self.observed.ids = self.ids;
        self.observed.topology = topology;
        foreign::assess(&self.observed.topology, &self.observed.rules, &mut self.observed.foreign);
        self.observed
    }
}

/// Returns true for the key of an object of midoform's of which only the id was known.
fn is_found(key: &Key) -> bool {
    key.own_id().is_some() && !key.is_foreign()
}

/// Returns a rule of a chain for the observed order.
fn observed_rule(id: Uuid, key: Option<Key>) -> ObservedRule {
    ObservedRule { id, key }
}
