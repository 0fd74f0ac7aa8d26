//! Matches the rows of a northbound database to keys. A row says itself which key it has, so nothing is recognised by its content.

use std::cell::LazyCell;
use std::collections::BTreeMap;

use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::TenantAllocation;
use midoform_compiler::topology::foreign::{Effect, Foreign};
use midoform_compiler::topology::generations::Generations;
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Kind, Row};
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::topology::{Entry, Topology};

use super::matching::Matching;
use super::provider_router;
use super::snapshot::{FoundRow, Snapshot};
use crate::recognise::LATEST_SEARCHED;
use crate::scope::{ForeignObjects, Scope};

/// Matches a snapshot to the keys of a scope.
pub fn recognise(snapshot: &Snapshot, scope: Scope<'_>) -> Observed {
    let matching = Matching::of(snapshot, scope);
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
    observed.provider = provider_router::use_of(&matching);
    observed
}

impl Matching<'_> {
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
        let topology = &observed.topology;
        let own = LazyCell::new(|| OwnRows::of(topology));
        for row in self.snapshot.rows() {
            let Some((holder, ..)) = self.snapshot.holder(row.id) else { continue };
            let Some(near) = self.keys.get(&holder).filter(|near| self.is_in_scope(near)) else { continue };
            let key = self.keys.get(&row.id);
            let is_pod = key.is_some_and(|key| key.pod_of_port().is_some());
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
                    observed.foreign.push(Foreign { effect: Some(effect_of(row, near, &own)), ..foreign });
                }
            }
        }
        let order = |one: &Foreign| (one.near.clone(), one.kind, one.id);
        observed.foreign.sort_by_key(order);
        observed.attached.sort_by_key(order);
        removed
    }
}

/// The rows that midoform made, by the key of the row that holds them and by their table.
struct OwnRows<'t>(BTreeMap<(&'t Key, Table), Vec<(&'t Key, &'t Row)>>);

impl<'t> OwnRows<'t> {
    fn of(topology: &'t Topology) -> OwnRows<'t> {
        let mut own: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, row) in topology.rows() {
            if let Some(holder) = row.holder_key() {
                own.entry((holder, row.table)).or_default().push((key, row));
            }
        }
        OwnRows(own)
    }

    fn beside<'a>(&'a self, near: &'a Key, table: Table) -> &'a [(&'a Key, &'a Row)] {
        self.0.get(&(near, table)).map_or(&[], Vec::as_slice)
    }
}

/// Returns the effect of a row of somebody else in a tenant's router or switch.
fn effect_of(row: FoundRow<'_>, near: &Key, own: &OwnRows<'_>) -> Effect {
    let beside = own.beside(near, row.table).iter();
    let behind: Vec<Key> = match row.table {
        Table::Acl | Table::LogicalRouterPolicy => {
            let priority = row.integer("priority").unwrap_or(0);
            let behind = beside.filter(|(_, other)| {
                other.text_of("direction") == row.text("direction")
                    && other.integer_of("priority").is_some_and(|other| other <= priority)
            });
            behind.map(|(key, _)| (*key).clone()).collect()
        }
        Table::LogicalRouterStaticRoute | Table::Nat => beside.map(|(key, _)| (*key).clone()).collect(),
        _ => return Effect::Connects,
    };
    Effect::AheadOf(behind)
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
