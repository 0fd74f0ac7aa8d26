//! The generations of ids among the allocations: which one is next, and what a run records of them.

use std::collections::BTreeSet;

use crate::names::TenantName;
use crate::network::allocation::{Allocations, TenantAllocation};
use crate::topology::generations::{Generations, OF_A_RUN, OfSiteObject, OfTenant};
use crate::topology::key::{Key, SITE};

impl Allocations {
    /// Returns the generations of ids.
    pub fn generations(&self) -> Generations {
        let of_tenant = |(name, tenant): (&TenantName, &TenantAllocation)| {
            let first = tenant.first_generation;
            let last = self.generations.get(&Key::new(name.as_str())).copied().unwrap_or(first);
            let next = if tenant.may_exist() { last.saturating_add(OF_A_RUN) } else { first };
            (name.clone(), OfTenant { first, last, next, is_unfinished: tenant.unfinished })
        };
        let is_unfinished = self.tenants.values().any(|tenant| tenant.unfinished);
        let is_made = self.tenants.values().any(|tenant| tenant.applied && !tenant.unfinished);
        let of_site = |key: Key| {
            let last = self.generations.get(&key).copied();
            let may_exist = last.is_some() || is_made;
            let last = last.unwrap_or_default();
            let next = if may_exist && !is_unfinished { last.saturating_add(OF_A_RUN) } else { last };
            (key, OfSiteObject { last, next })
        };
        let site = [Key::site().provider_router(), Key::site().tunnel_zone()];
        Generations::new(
            self.tenants.iter().map(of_tenant).collect(),
            site.into_iter().map(of_site).collect(),
        )
    }

    /// Begins a run that creates or deletes objects: its generations are the last ones from now on. `now` are the generations
    /// before it, and `deletes` are the keys of the deleted objects.
    pub fn begin_generations<'k>(
        &mut self,
        now: &Generations,
        creates: impl Iterator<Item = &'k Key>,
        deletes: impl Iterator<Item = &'k Key>,
    ) {
        for (key, last) in now.site_objects().filter(|(_, last)| *last > 0) {
            self.generations.insert(key.clone(), last);
        }
        // After a lost store they were found, and the next run looks for them no more.
        for (name, last) in now.later() {
            self.generations.insert(Key::new(name.as_str()), last);
        }
        let deletes: BTreeSet<&Key> = deletes.collect();
        let deleting: BTreeSet<&str> = deletes.iter().map(|key| key.owner()).collect();
        let creates: BTreeSet<&Key> = creates.collect();
        let of_tenants = creates.union(&deletes).map(|key| key.owner()).filter(|owner| *owner != SITE);
        for owner in of_tenants.collect::<BTreeSet<&str>>() {
            let key = Key::new(owner);
            let generation = now.next(&key, deleting.contains(owner));
            let Some(tenant) = self.tenants.get_mut(owner) else { continue };
            tenant.unfinished = true;
            if generation > 0 {
                self.generations.insert(key, generation);
            }
        }
        let of_site = now.site_objects().filter(|(key, _)| creates.contains(key) || deletes.contains(key));
        for (key, last) in of_site {
            let generation = match deletes.contains(key) {
                true => last.saturating_add(OF_A_RUN),
                false => now.next(key, false),
            };
            if generation > 0 {
                self.generations.insert(key.clone(), generation);
            }
        }
    }

    /// Begins another generation for an object whose id the server refused.
    pub fn skip_generation(&mut self, key: &Key) {
        let last = self.generations().current(key);
        match self.tenants.get_mut(key.owner()) {
            // The next run does not continue this one.
            Some(tenant) => tenant.unfinished = false,
            None => drop(self.generations.insert(key.clone(), last.saturating_add(OF_A_RUN))),
        }
    }

    /// Takes over the generations of other allocations where these are later.
    pub fn add_generations(&mut self, other: &Allocations) {
        for (key, generation) in &other.generations {
            let own = self.generations.entry(key.clone()).or_default();
            *own = (*own).max(*generation);
        }
    }
}
