//! Generations of ids. An id follows from a key and a generation, which only grows: no id of a deleted object is used again.
//!
//! A server may refuse an id that was used before (5.0.2: for ever), and the agent of 5.8 does not serve a router or a bridge
//! whose id comes back. So the objects that a run creates have ids of a new generation. The exception is a run that continues one
//! that was interrupted: a call of the interrupted run may still be executed, and then both have to mean the same object.
//!
//! The allocations keep the generations: one number for each tenant, also of tenants that are gone, and one for each object
//! of the site. Objects whose id is of another generation than the first objects of their tenant have their id there.

use std::collections::BTreeMap;

use crate::names::TenantName;
use crate::topology::key::{Key, Namespace};
use uuid::Uuid;

/// The number of generations of a run: its own, and the one of the calls that undo it.
pub const OF_A_RUN: u32 = 2;

/// The generations of the ids of a site's objects. By default all ids are of generation 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// By tenant.
    tenants: BTreeMap<TenantName, OfTenant>,
    /// By object of the site.
    site: BTreeMap<Key, OfSiteObject>,
}

/// The generations of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfTenant {
    /// The generation of the tenant's first objects.
    pub first: u32,
    /// The generation of the last run.
    pub last: u32,
    /// The generation of the next run.
    pub next: u32,
    /// True if the last run was interrupted: the next run continues it, unless it deletes something.
    pub is_unfinished: bool,
}

/// The generations of an object of the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfSiteObject {
    /// The generation of the object that may exist.
    pub last: u32,
    /// The generation of the next one.
    pub next: u32,
}

impl Generations {
    /// Makes the generations from those of the tenants and those of the site's objects.
    pub fn new(tenants: BTreeMap<TenantName, OfTenant>, site: BTreeMap<Key, OfSiteObject>) -> Self {
        Generations { tenants, site }
    }

    /// Returns the generation of an existing object whose id is not known otherwise.
    pub fn current(&self, key: &Key) -> u32 {
        match (self.tenants.get(key.owner()), self.site.get(key)) {
            (Some(tenant), _) => tenant.first,
            (None, Some(object)) => object.last,
            (None, None) => 0,
        }
    }

    /// Returns the generation of an object that a run creates. `deletes` is true if the run also deletes objects of its
    /// tenant.
    pub fn next(&self, key: &Key, deletes: bool) -> u32 {
        match (self.tenants.get(key.owner()), self.site.get(key)) {
            (Some(tenant), _) if tenant.is_unfinished && !deletes => tenant.last,
            (Some(tenant), _) => tenant.next,
            (None, Some(object)) => object.next,
            (None, None) => 0,
        }
    }

    /// Returns the generation of each object of the site that has one of its own.
    pub fn site_objects(&self) -> impl Iterator<Item = (&Key, u32)> {
        self.site.iter().map(|(key, object)| (key, object.last))
    }

    /// Returns the last generation of each tenant that has had later ones than its first.
    pub fn later(&self) -> impl Iterator<Item = (&TenantName, u32)> {
        let later = self.tenants.iter().filter(|(_, tenant)| tenant.last > tenant.first);
        later.map(|(name, tenant)| (name, tenant.last))
    }

    /// Takes note of an object that was found, and whose generation was not known.
    pub fn found(&mut self, key: &Key, generation: u32) {
        let next = generation.saturating_add(OF_A_RUN);
        if let Some(tenant) = self.tenants.get_mut(key.owner()) {
            tenant.last = tenant.last.max(generation);
            tenant.next = tenant.next.max(next);
        } else if let Some(object) = self.site.get_mut(key) {
            *object = OfSiteObject { last: generation, next };
        }
    }

    /// Returns the ids that an object with this key may have, the most likely one first, as far as they follow from the key.
    pub fn candidates(&self, namespace: Namespace, key: &Key) -> impl Iterator<Item = Uuid> + use<> {
        let current = self.current(key);
        let last = match (self.tenants.get(key.owner()), self.site.get(key)) {
            (Some(tenant), _) => tenant.last,
            (None, object) => object.map_or(0, |object| object.last),
        };
        // The calls that undo a run have the generation after it.
        let generations =
            [Some(last).filter(|last| *last != current || key.own_id().is_some()), Some(last + 1)];
        let made = generations.into_iter().flatten();
        let key = key.clone();
        let first = namespace.id_of_generation(&key, current);
        std::iter::once(first).chain(made.map(move |generation| namespace.new_id(&key, generation)))
    }
}
