//! The topology, the one intermediate form: every object of a network, by key. The compiler makes the desired topology, an
//! observation makes the observed topology, and a plan is the difference of the two.

pub mod foreign;
pub mod generations;
pub mod key;
pub mod kinds;
pub mod observed;
mod observed_rule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::names::TenantName;
use crate::source::Provenance;
use crate::topology::key::{Key, SITE};
use crate::topology::kinds::{Object, Row};

/// Objects in the order of their keys, each key once. Copies share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    entries: Arc<Vec<Entry>>,
}

/// An object, its key, and what caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// The object.
    pub object: Object,
    /// The file and line that caused it; none for an object that was only observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

impl Entry {
    /// Returns true if the object belongs to one of these tenants, or depends on an object of one of them, as the link of two
    /// tenants does.
    pub fn concerns(&self, tenants: &BTreeSet<TenantName>) -> bool {
        let is_one = |key: &Key| tenants.contains(key.owner());
        is_one(&self.key) || self.object.dependencies().iter().any(is_one)
    }
}

impl Topology {
    /// Makes a topology of these entries, in any order. Of two entries with one key the first stays; the plan's
    /// checker finds such pairs (`duplicates`).
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries.dedup_by(|later, earlier| later.key == earlier.key);
        Topology { entries: Arc::new(entries) }
    }

    /// Returns the entry with this key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(self.index(key)?)
    }

    /// Returns the index of the entry with this key.
    pub fn index(&self, key: &str) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.key.as_str().cmp(key)).ok()
    }

    /// Returns the names of the tenants that have entries, without the site's own.
    pub fn tenants(&self) -> BTreeSet<&str> {
        let tenants = self.entries.iter().map(|entry| entry.key.owner());
        tenants.filter(|tenant| *tenant != crate::topology::key::SITE).collect()
    }

    /// Returns the entries of one tenant, each with its index.
    pub fn of_tenant<'t>(
        &'t self,
        tenant: &str,
    ) -> impl Iterator<Item = (usize, &'t Entry)> + Clone + use<'t> {
        // Keys that begin with the name are together, but not only this tenant's: `a-b/…` comes before `a/…`.
        let prefix = format!("{tenant}/");
        let start = self.entries.partition_point(|entry| entry.key.as_str() < prefix.as_str());
        let rest = self.entries.get(start..).unwrap_or_default();
        let length = rest.partition_point(|entry| entry.key.as_str().starts_with(&prefix));
        rest.iter().take(length).enumerate().map(move |(at, entry)| (start + at, entry))
    }

    /// Returns all entries, sorted by key.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the rows of OVN, each with its key.
    pub fn rows(&self) -> impl Iterator<Item = (&Key, &Row)> + Clone {
        self.entries.iter().filter_map(|entry| Some((&entry.key, entry.object.row()?)))
    }

    /// Returns the number of objects.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there is no object.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the memberships of hosts in the site's tunnel zone, by host. A host without one can have no bindings
    /// (13-host-binding).
    pub fn memberships(&self) -> BTreeMap<Uuid, &Key> {
        let of_site = self.entries().iter().filter(|entry| entry.key.owner() == SITE);
        let members = of_site.filter_map(|entry| match &entry.object {
            Object::TunnelZoneHost(member) => Some((member.host, &entry.key)),
            _ => None,
        });
        members.collect()
    }

    /// Returns the entries for which `keep` returns true.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&Entry) -> bool) -> Topology {
        let kept: Vec<&Entry> = self.entries.iter().filter(|entry| keep(entry)).collect();
        match kept.len() == self.len() {
            true => self.clone(),
            false => Topology { entries: Arc::new(kept.into_iter().cloned().collect()) },
        }
    }
}
