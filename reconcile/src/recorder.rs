//! Records the actions of a run: before its first call, between its rounds, and at its end, however it ends.

mod zone_hosts;

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::midonet;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::{Allocations, TenantAllocation};
use midoform_compiler::network::moved::Moves;
use midoform_compiler::plan::{Action, Plan};
use midoform_compiler::spec::Site;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::generations::Generations;
use midoform_compiler::topology::key::view::{KeyView, PortKey, TenantKey};
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::topology::observed::Observed;
use midoform_store::SharedStore;
use midoform_store::allocation::{self, AllocationError, StoredAllocations};
use midoform_store::locks::Lock;
use midoform_store::publication::{self, Publication};
use midoform_store::tenants::{self, TenantError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use zone_hosts::ZoneHosts;

/// The extent of a goal: whole tenants, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All objects of the tenants. An object that the goal does not have is deleted.
    Whole,
    /// Not all objects: only some of these tenants, which can be none of them if objects of the site are left out. The others
    /// are not changed, and their records stay.
    Part(BTreeSet<TenantName>),
}

impl Extent {
    /// Returns true if the goal has all objects of a tenant.
    fn has_all_of(&self, tenant: &TenantName) -> bool {
        match self {
            Extent::Whole => true,
            Extent::Part(in_part) => !in_part.contains(tenant),
        }
    }
}

/// Returns the publication of tenants. Its argument is the ids that don't follow from the keys.
pub type Publish<'a> = dyn Fn(&BTreeMap<Key, Uuid>) -> Publication + Send + Sync + 'a;

/// The changes that a goal makes to the records of its tenants.
pub struct Bookkeeping<'a> {
    /// The tenants of the goal.
    pub tenants: BTreeSet<TenantName>,
    /// The extent of the goal.
    pub extent: Extent,
    /// The tenants that the goal applies, each with its `protect`.
    pub applied: BTreeMap<TenantName, bool>,
    /// The tenants that are withdrawn before the first call: no more pods can be attached to them.
    pub retired: BTreeSet<TenantName>,
    /// True if tenants are withdrawn even while pods are attached.
    pub cuts_pods: bool,
    /// The tenants whose allocations are released once the goal is reached.
    pub removed: BTreeSet<TenantName>,
    /// The earlier allocations, which an undo restores once the goal is reached.
    pub restored: Option<Allocations>,
    /// The renamings that restoring the earlier allocations takes back.
    pub moved: Moves,
    /// The publication, which is made once the goal is reached; none if the site has no store.
    pub publish: Option<Box<Publish<'a>>>,
}

impl Bookkeeping<'_> {
    /// Returns the bookkeeping of a goal for these tenants that changes no other record of them.
    pub fn of(tenants: BTreeSet<TenantName>, extent: Extent) -> Self {
        Bookkeeping {
            tenants,
            extent,
            applied: BTreeMap::new(),
            retired: BTreeSet::new(),
            cuts_pods: false,
            removed: BTreeSet::new(),
            restored: None,
            moved: Moves::default(),
            publish: None,
        }
    }
}

/// The failure to record the actions of a run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The allocations could not be written.
    #[error(transparent)]
    Allocations(#[from] AllocationError),
    /// A tenant could not be published or withdrawn.
    #[error(transparent)]
    Tenant(#[from] TenantError),
}

/// The state of a run at its end.
pub(crate) struct Conclusion<'a> {
    /// True if all steps succeeded.
    pub(crate) is_whole: bool,
    /// True if a call may be executed later than its run.
    pub(crate) is_uncertain: bool,
    /// True if the run failed, and all of its changes were undone.
    pub(crate) is_taken_back: bool,
    /// True if, besides, the look after the last step found nothing left to do.
    pub(crate) is_reached: bool,
    /// The ids that don't follow from the keys, as they are now.
    pub(crate) ids: &'a BTreeMap<Key, Uuid>,
    /// The deleted objects.
    pub(crate) gone: &'a BTreeSet<Key>,
    /// The goal's topology.
    pub(crate) desired: &'a Topology,
}

/// Records the actions of a run in the store, under the lock of its tenants.
pub struct Recorder<'a> {
    store: &'a SharedStore,
    lock: &'a Lock,
    site: &'a Site,
    /// The allocations in the store.
    stored: StoredAllocations,
    /// The allocations of this run, which include changes that are not written yet.
    allocations: Allocations,
    books: Bookkeeping<'a>,
    /// The goal's tenants that were applied before this run.
    applied_before: BTreeSet<TenantName>,
    zone_hosts: ZoneHosts,
}

impl<'a> Recorder<'a> {
    /// Returns a recorder for a run that begins with these allocations. `stored` are the allocations that were read
    /// from the store.
    pub fn new(
        store: &'a SharedStore,
        lock: &'a Lock,
        site: &'a Site,
        stored: StoredAllocations,
        mut allocations: Allocations,
        books: Bookkeeping<'a>,
    ) -> Self {
        // No tenant's lock protects these, and a saved plan has old ones.
        allocations.zone_hosts.clone_from(&stored.allocations.zone_hosts);
        let is_applied =
            |tenant: &&TenantName| stored.allocations.tenants.get(*tenant).is_some_and(|entry| entry.applied);
        let applied_before = books.tenants.iter().filter(is_applied).cloned().collect();
        let zone_hosts = ZoneHosts::default();
        Recorder { store, lock, site, stored, allocations, books, applied_before, zone_hosts }
    }

    /// Returns the lock under which the recorder writes.
    pub fn lock(&self) -> &'a Lock {
        self.lock
    }

    /// Returns true if the run releases allocations at its end: only a look can show that nothing uses them any more.
    pub fn releases(&self) -> bool {
        !self.books.removed.is_empty() || self.books.restored.is_some()
    }

    /// Returns the allocations of this run.
    pub fn allocations(&self) -> &Allocations {
        &self.allocations
    }

    /// Checks whether the tenants can be published. `ids` are those that don't follow from the keys.
    pub(crate) async fn check(&self, ids: &BTreeMap<Key, Uuid>) -> Result<(), RecordError> {
        match &self.books.publish {
            Some(publish) => Ok(publish(ids).check(self.store).await?),
            None => Ok(()),
        }
    }

    /// Withdraws tenants, before the first call.
    pub(crate) async fn begin(&mut self) -> Result<(), RecordError> {
        for tenant in &self.books.retired {
            let fence = self.lock.fence_of_tenant(tenant);
            let fence = fence.ok_or_else(|| TenantError::Lost { tenant: tenant.clone() })?;
            tenants::withdraw(self.store, &fence, tenant, self.books.cuts_pods).await?;
        }
        Ok(())
    }

    /// Records the objects that a plan creates, and that their tenants may exist, before its calls. If this run is
    /// interrupted, the next run knows which objects it may have created.
    pub(crate) async fn intend(
        &mut self,
        plan: &Plan,
        desired: &Topology,
        observed: &Observed,
    ) -> Result<(), RecordError> {
        // The generations after this one no longer lead to these ids.
        self.learn(&observed.ids);
        self.intend_objects(plan, desired, observed);
        for tenant in self.books.applied.keys() {
            if let Some(entry) = self.allocations.tenants.get_mut(tenant) {
                entry.applied = true;
            }
        }
        for (tenant, ports) in static_ports(desired, &Moves::default()) {
            if let Some(entry) = self.entry(tenant) {
                add_ports(entry, ports);
            }
        }
        self.write().await
    }

    /// Notes the objects that a plan creates. The records of a site that moves are those of its objects on MidoNet: a row says itself
    /// which key it has, and nothing has to be remembered of it.
    fn intend_objects(&mut self, plan: &Plan, desired: &Topology, observed: &Observed) {
        if self.site.is_moving() {
            return;
        }
        // A link with a tenant outside of the run may have that tenant's key.
        let tenants = &self.books.tenants;
        let is_own = |key: &&Key| key.owner() == SITE || tenants.contains(key.owner());
        let changed = |actions: &'static [Action]| {
            let steps = plan.changes().filter(|step| actions.contains(&step.action));
            steps.map(|step| &step.key).filter(is_own)
        };
        let creates = changed(&[Action::Create, Action::Replace]);
        let deletes = changed(&[Action::Delete, Action::Replace]);
        self.allocations.begin_generations(&observed.generations, creates, deletes);
        midonet::add_unfinished_objects(&mut self.allocations, plan, desired);
        self.zone_hosts.intend(&mut self.allocations.zone_hosts, plan, desired, observed);
    }

    /// Remembers ids that the server chose, for the next observation. Writes nothing.
    pub(crate) fn learn(&mut self, ids: &BTreeMap<Key, Uuid>) {
        if self.site.is_moving() {
            return;
        }
        let own_ids = (Namespace::of_site(&self.site.name.value), self.allocations.generations());
        // An object may have had another key until now.
        let keys: BTreeMap<Uuid, &Key> = ids.iter().map(|(key, id)| (*id, key)).collect();
        for entry in self.allocations.tenants.values_mut() {
            entry.ids.retain(|key, id| keys.get(id).is_none_or(|now| *now == key));
        }
        for (key, id) in ids {
            if let Some(entry) = self.allocations.tenants.get_mut(key.owner())
                && !follows(&own_ids, key, *id)
            {
                entry.ids.insert(key.clone(), *id);
            }
        }
    }

    /// Leaves out a generation of ids, since the server refused the id of an object.
    pub(crate) fn skip_generation(&mut self, key: &Key) {
        self.allocations.skip_generation(key);
    }

    /// Records the result of the run.
    pub(crate) async fn conclude(&mut self, end: &Conclusion<'_>) -> Result<(), RecordError> {
        let mut taken_back = Moves::default();
        if end.is_reached
            && let Some(before) = self.books.restored.take()
        {
            restore(&mut self.allocations, &before, &self.books.tenants);
            taken_back = std::mem::take(&mut self.books.moved);
        }
        if !self.site.is_moving() {
            self.zone_hosts.conclude(&mut self.allocations.zone_hosts, end.gone);
        }
        self.note_tenants(end, &taken_back);
        self.write().await?;
        // Where everything was recorded before the calls, no write has shown that the lock is still held.
        if !self.lock.is_held().await.map_err(AllocationError::Store)? {
            let tenants = self.lock.names().join(", ");
            return Err(AllocationError::Lost { tenants }.into());
        }
        if let (true, Some(publish)) = (end.is_whole, &self.books.publish) {
            publish(end.ids).publish(self.store, self.lock).await?;
        }
        let removed = std::mem::take(&mut self.books.removed);
        if end.is_reached && !removed.is_empty() {
            self.forget(&removed).await?;
        }
        Ok(())
    }

    /// Releases the allocations of deleted tenants, and forgets their specs. It is the last step: nothing uses their
    /// addresses any more.
    ///
    /// # Errors
    /// Returns an error if the store fails, or the lock was lost.
    pub async fn forget(&mut self, tenants: &BTreeSet<TenantName>) -> Result<(), RecordError> {
        release(&mut self.allocations, tenants);
        self.write().await?;
        if self.books.publish.is_some() {
            publication::forget(self.store, self.lock, tenants).await?;
        }
        Ok(())
    }

    /// Records that tenants are applied, each with its `protect`. An adopted tenant is applied once its spec is
    /// written.
    ///
    /// # Errors
    /// Returns an error if the store fails, or the lock was lost.
    pub async fn mark_applied(&mut self, tenants: &BTreeMap<TenantName, bool>) -> Result<(), RecordError> {
        for (tenant, protect) in tenants {
            if let Some(entry) = self.entry(tenant) {
                (entry.applied, entry.protect) = (true, *protect);
            }
        }
        self.write().await
    }

    /// Notes the tenants as they are now. `taken_back` are the renamings of an undo: its objects have their old names again.
    fn note_tenants(&mut self, end: &Conclusion<'_>, taken_back: &Moves) {
        let own_ids = (Namespace::of_site(&self.site.name.value), self.allocations.generations());
        let mut ports = static_ports(end.desired, taken_back);
        let Bookkeeping { tenants, applied, extent, .. } = &self.books;
        let never_was = |tenant: &TenantName| end.is_taken_back && !self.applied_before.contains(tenant);
        for tenant in tenants {
            let Some(entry) = self.allocations.tenants.get_mut(tenant) else { continue };
            let all = end.is_whole && extent.has_all_of(tenant);
            entry.unfinished &= end.is_uncertain;
            match applied.get(tenant) {
                _ if never_was(tenant) => (entry.applied, entry.protect) = (false, false),
                Some(protect) => (entry.applied, entry.protect) = (true, *protect),
                None => {}
            }
            if self.site.is_moving() {
                continue;
            }
            if all {
                entry.making.clear();
                entry.ports.clear();
                entry.ids.clear();
            } else {
                entry.ids.retain(|key, _| !end.gone.contains(key));
            }
            if end.is_whole && !all {
                let is_made = |key: &Key, object: &Object| {
                    end.desired.get(key.as_str()).is_some_and(|entry| entry.object == *object)
                };
                entry.making.retain(|(key, object)| !is_made(key, object));
            }
            add_ports(entry, ports.remove(tenant.as_str()).unwrap_or_default());
            let own = end.ids.iter().filter(|(key, _)| tenant == key.owner());
            let chosen = own.map(|(key, id)| match taken_back.old_key(key) {
                Some(old) => (old, *id),
                None => (key.clone(), *id),
            });
            entry.ids.extend(chosen.filter(|(key, id)| !follows(&own_ids, key, *id)));
        }
    }

    fn entry(&mut self, tenant: &str) -> Option<&mut TenantAllocation> {
        let is_own = self.books.tenants.contains(tenant);
        self.allocations.tenants.get_mut(tenant).filter(|_| is_own)
    }

    async fn write(&mut self) -> Result<(), RecordError> {
        let Recorder { store, lock, site, stored, allocations, .. } = self;
        let hosts = self.zone_hosts.changes();
        allocation::write_beside_others(store, lock, site, stored, allocations, hosts).await?;
        Ok(())
    }
}

/// Returns true if an id need not be stored: it follows from its key, or the object is not midoform's. An id in the key itself is
/// stored: where the server chooses ids, only the store proves that the object is midoform's.
fn follows((namespace, generations): &(Namespace, Generations), key: &Key, id: Uuid) -> bool {
    key.is_foreign()
        || key.own_id().is_none() && namespace.id_of_generation(key, generations.current(key)) == id
}

/// Returns the names of the static ports of each tenant, without the renamings that were taken back.
fn static_ports<'d>(desired: &'d Topology, taken_back: &Moves) -> BTreeMap<&'d str, Vec<String>> {
    let mut ports: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in desired.entries() {
        let key = taken_back.old_key(&entry.key);
        if let KeyView::Tenant(_, TenantKey::Port(name, PortKey::Device)) =
            key.as_ref().unwrap_or(&entry.key).view()
        {
            ports.entry(entry.key.owner()).or_default().push(name.to_owned());
        }
    }
    ports
}

fn add_ports(entry: &mut TenantAllocation, ports: Vec<String>) {
    for port in ports {
        if !entry.ports.contains(&port) {
            entry.ports.push(port);
        }
    }
    entry.ports.sort();
}

/// Releases the allocations of tenants that do not exist any more. What stays is the last generation of their ids.
fn release(allocations: &mut Allocations, gone: &BTreeSet<TenantName>) {
    for (tenant, entry) in
        allocations.tenants.iter().filter(|(name, entry)| gone.contains(*name) && entry.may_exist())
    {
        allocations.generations.entry(Key::new(tenant.as_str())).or_insert(entry.first_generation);
    }
    allocations.tenants.retain(|name, _| !gone.contains(name));
    allocations.peers.retain(|pair, _| !pair.has_one_of(gone));
}

/// Restores the earlier allocations of these tenants. The others keep theirs.
fn restore(now: &mut Allocations, before: &Allocations, tenants: &BTreeSet<TenantName>) {
    let gone: BTreeSet<TenantName> =
        tenants.iter().filter(|tenant| !before.tenants.contains_key(*tenant)).cloned().collect();
    release(now, &gone);
    for tenant in tenants {
        match before.tenants.get(tenant) {
            None => {}
            Some(entry) => drop(now.tenants.insert(tenant.clone(), entry.clone())),
        }
    }
    now.peers.retain(|pair, _| before.peers.contains_key(pair) || !pair.has_one_of(tenants));
    now.peers.extend(before.peers.iter().map(|(pair, link)| (pair.clone(), *link)));
}
