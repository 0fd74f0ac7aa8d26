//! Changes the network for a tenant: a run creates everything that the tenant lacks, and makes its links with its peers
//! exactly as the specs say. It reads other tenants' objects, and does not change them.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::provider_use::{Neighbours, conflicts};
use midoform_compiler::plan::{Action, Plan, Step};
use midoform_compiler::topology::key::view::{KeyView, TenantKey};
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kinds::{Kind, Object, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::{Compiled, provider_router};
use midoform_reconcile::connection::Connection;
use midoform_reconcile::event::Event;
use midoform_reconcile::execute::Control;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::observe::Scope;
use midoform_reconcile::planned::{LookError, Planned};
use midoform_reconcile::reconciliation::{Finished, Options};
use midoform_reconcile::recorder::{Bookkeeping, Extent, RecordError, Recorder};
use midoform_store::allocation::StoredAllocations;
use midoform_store::locks::Lock;
use midoform_store::publication::{Publication, Published};
use midoform_store::ready::Ready;
use midoform_store::tenants::TenantError;
use midoform_store::{SharedStore, allocation};
use uuid::Uuid;

use crate::backend::Backend;
use crate::protocol::error::{CniError, Code, Result};
use crate::tenant::growth::note_added_bridges;
use crate::tenant::peers::{TenantAndPeers, linked, part_of};

/// The number of calls that may be under way at a time.
const PARALLEL: usize = 4;

/// A tenant that is created, or that grows, under its lock and its peers': the goal of a reconciliation.
struct TenantGoal<'a> {
    tenant: &'a str,
    /// The tenant, and the peers that it is linked with.
    linked: BTreeSet<TenantName>,
    /// True if the store says that no pod is attached yet.
    is_new: bool,
    /// The objects that its peers would have without it.
    peers_alone: Topology,
    /// The objects of the tenant and its peers before it grew; of its peers alone, if it is new.
    before: Topology,
    compiled: Compiled,
    provider: Reference,
}

/// Compiles the tenant, allocates what its spec leaves open, creates what is missing, and publishes that it is ready.
/// `grown` has the bridges that it gets besides those of its spec, each with the bridge that it extends; none: the tenant
/// is new.
pub(crate) async fn ensure(
    backend: &mut Backend<'_>,
    store: &SharedStore,
    lock: &Lock,
    specs: &TenantAndPeers,
    grown: Option<BTreeMap<String, String>>,
) -> Result<()> {
    let tenant = specs.tenant.as_str();
    let connection = backend.connection().await?;
    let mut stored = allocation::load(store).await?;
    let mut neighbours = Neighbours::default();
    loop {
        let goal = TenantGoal::compile(backend, specs, &stored.allocations, grown.as_ref(), &neighbours)?;
        // What is refused leaves nothing in the store.
        let planned = Planned::look(&connection, &goal, &goal.compiled.allocations, &|_| {}).await;
        let planned = planned.map_err(refused_look)?;
        if goal.has_to_give_way(planned.observed(), &neighbours)? {
            neighbours = Neighbours { others: planned.observed().provider.clone(), ..Neighbours::default() };
            continue;
        }
        if allocation::write(store, lock, &mut stored, &goal.compiled.allocations).await? {
            return goal.reconcile(&connection, store, lock, specs, stored, planned).await;
        }
        if !lock.is_held().await? {
            return Err(TenantError::Lost { tenant: tenant.into() }.into());
        }
        // Something was allocated to another tenant since: this one allocates again.
        stored = allocation::load(store).await?;
    }
}

/// Returns the allocations of the tenant and of its links as compiled, and all others as stored.
fn own_part(stored: &Allocations, compiled: &Allocations, tenant: &str) -> Allocations {
    let mut now = stored.clone();
    now.peers.retain(|pair, _| !pair.has(tenant));
    now.peers.extend(
        compiled.peers.iter().filter(|(pair, _)| pair.has(tenant)).map(|(pair, link)| (pair.clone(), *link)),
    );
    if let Some(own) = compiled.tenants.get(tenant) {
        now.tenants.insert(tenant.into(), own.clone());
    }
    now
}

/// Fails if a peer's allocations differ from its spec: a change of the peer did not end.
fn check_peer_is_settled(stored: &Allocations, compiled: &Allocations, peer: &str) -> Result<()> {
    let allocated = |allocations: &Allocations| {
        let entry = allocations.tenants.get(peer)?;
        Some((entry.link, entry.bridges.clone(), entry.grown.clone()))
    };
    if allocated(stored) == allocated(compiled) {
        return Ok(());
    }
    let message = format!("the allocations of the peer `{peer}` differ from its spec");
    Err(CniError::new(Code::Tenant, message)
        .hint("a change of the peer did not end: complete it with `midoform apply`"))
}

impl<'a> TenantGoal<'a> {
    /// Compiles the tenant and its peers with what is allocated.
    fn compile(
        backend: &Backend<'_>,
        specs: &'a TenantAndPeers,
        stored: &Allocations,
        grown: Option<&BTreeMap<String, String>>,
        neighbours: &Neighbours,
    ) -> Result<Self> {
        let tenant = specs.tenant.as_str();
        let mut known = stored.clone();
        note_added_bridges(&mut known, tenant, grown.unwrap_or(&BTreeMap::new()));
        let mut compiled = specs.compile(backend.config, &known, neighbours)?;
        let linked = linked(&compiled, tenant);
        for peer in linked.iter().filter(|peer| **peer != *tenant) {
            check_peer_is_settled(stored, &compiled.allocations, peer)?;
        }
        let is_new = grown.is_none();
        let peers_alone = match linked.len() {
            0 | 1 => Topology::default(),
            _ => specs.compile_peers(backend.config, stored)?,
        };
        let before = match linked.len() {
            0 | 1 => Topology::default(),
            _ if is_new => peers_alone.clone(),
            _ => specs.compile(backend.config, stored, neighbours)?.topology,
        };
        compiled.topology = part_of(&compiled.topology, &linked);
        compiled.allocations = own_part(stored, &compiled.allocations, tenant);
        let provider = provider_router(&compiled.site);
        Ok(TenantGoal { tenant, linked, is_new, peers_alone, before, compiled, provider })
    }

    /// Returns true if the tenant's link has to get other addresses, since somebody else uses them on the provider router.
    /// `neighbours` is what the tenant was compiled beside.
    fn has_to_give_way(&self, observed: &Observed, neighbours: &Neighbours) -> Result<bool> {
        let pools = &self.compiled.site.pools.links;
        let found = conflicts(&self.compiled.topology, observed, &self.provider, pools);
        let may_move = self.is_new && *neighbours == Neighbours::default();
        match found.iter().find(|conflict| !conflict.is_link || !may_move) {
            Some(conflict) => Err(CniError::new(Code::Tenant, conflict.what.clone())
                .hint("choose another address in the spec, or delete the other one")),
            None => Ok(!found.is_empty()),
        }
    }

    /// Executes the plan, and publishes that the tenant is ready.
    async fn reconcile(
        &self,
        connection: &Connection,
        store: &SharedStore,
        lock: &Lock,
        specs: &TenantAndPeers,
        stored: StoredAllocations,
        planned: Planned<'_, Self>,
    ) -> Result<()> {
        let (compiled, tenant) = (&self.compiled, self.tenant);
        let books = Bookkeeping {
            applied: BTreeMap::from([(tenant.into(), self.is_protected())]),
            publish: Some(Box::new(|ids| self.publication(specs, ids))),
            ..Bookkeeping::of(self.linked.clone(), Extent::Part(self.linked.clone()))
        };
        let allocations = compiled.allocations.clone();
        let mut recorder = Recorder::new(store, lock, &compiled.site, stored, allocations, books);
        let options = Options {
            parallel: PARALLEL,
            batches: None,
            takes_back: false,
            looks_again: false,
            // Another host may have created the same object first.
            conflicts_pass: true,
            events: &|event| log(tenant, &event),
        };
        let finished = planned.execute(connection, &mut recorder, &Control::default(), options).await?;
        for one in &finished.used_twice {
            tracing::warn!(
                step = "tenant",
                tenant,
                "{}; `midoform apply --move-links` moves a link",
                one.what
            );
        }
        result_of(tenant, finished)?;
        tracing::info!(step = "tenant", tenant, "the tenant is ready for pods");
        Ok(())
    }

    fn is_protected(&self) -> bool {
        self.compiled.tenants.iter().any(|network| *network.name == *self.tenant && network.protect)
    }

    /// Returns what pods find of the tenant.
    fn publication(&self, specs: &TenantAndPeers, ids: &BTreeMap<Key, Uuid>) -> Publication {
        let ready = Ready::of(&self.compiled, self.tenant, &specs.own.sha256, ids);
        let spec = specs.is_pushed.then(|| specs.own.clone());
        let tenants = BTreeMap::from([(self.tenant.into(), Published { ready, spec })]);
        Publication { site: None, tenants }
    }

    /// Returns the part of what was observed that a pod's run may change.
    fn part_of_pods(&self, observed: &Observed, is_empty: bool) -> Observed {
        let replaced = self.ids_of_rules();
        let mut observed = observed.clone();
        observed.topology = observed
            .topology
            .filtered(|entry| is_empty && self.is_rule_or_route(entry) || self.takes_part(entry, &replaced));
        observed
    }

    /// Returns true if pods are attached in the network. A store that was lost or restored does not know of all pods.
    fn has_pods(&self, observed: &Observed) -> bool {
        observed.attached.iter().any(|port| port.near.owner() == self.tenant)
    }

    /// Returns true for a route or a rule of the tenant. Before the first pod, leftovers of an earlier try under another spec
    /// are deleted.
    fn is_rule_or_route(&self, entry: &Entry) -> bool {
        let is_one = match &entry.object {
            Object::Rule(rule) => rule.chain.key().is_some_and(is_of_router),
            object => matches!(object, Object::Route(_)),
        };
        entry.key.owner() == self.tenant && is_one
    }

    /// Returns true if an observed object takes part in the plan. Objects that the spec does not have stay, except those that
    /// a run left that did not end: parts of links with peers, and replaced rules.
    fn takes_part(&self, entry: &Entry, replaced: &BTreeSet<Uuid>) -> bool {
        if self.compiled.topology.get(entry.key.as_str()).is_some() || self.is_part_of_link(entry) {
            return true;
        }
        let by_id = entry.key.own_id();
        let is_rule = matches!(entry.object, Object::Rule(_)) && entry.key.owner() == self.tenant;
        is_rule && by_id.is_some_and(|id| replaced.contains(&id))
    }

    /// Returns the ids of the tenant's rules, those that they had before they were replaced, and those of replaced rules
    /// that an earlier run could not delete.
    fn ids_of_rules(&self) -> BTreeSet<Uuid> {
        let namespace = Namespace::of_site(&self.compiled.site.name.value);
        let known = self.compiled.allocations.tenants.get(self.tenant);
        let generations = self.compiled.allocations.generations();
        let entries = self.compiled.topology.entries().iter();
        let rules = entries.filter(|entry| matches!(entry.object, Object::Rule(_)));
        let left = known.into_iter().flat_map(|known| known.ids.keys().filter_map(Key::own_id));
        rules
            .flat_map(|entry| {
                let remembered = known.and_then(|known| known.ids.get(&entry.key)).copied();
                let by_key = generations.candidates(namespace, &entry.key);
                by_key.chain([namespace.other_id(&entry.key)]).chain(remembered)
            })
            .chain(left)
            .collect()
    }

    /// Returns true if an object is a part of a link with a peer, on either side, or depends on such a part.
    fn is_part_of_link(&self, entry: &Entry) -> bool {
        let owner = entry.key.owner();
        if owner != self.tenant && !self.linked.contains(owner) {
            return false;
        }
        let is_of_link = |key: &Key| match key.view() {
            KeyView::Tenant(of, TenantKey::Peer(peer, _)) => {
                of == owner && (owner == self.tenant || peer == self.tenant)
            }
            _ => false,
        };
        is_of_link(&entry.key) || entry.object.dependencies().iter().any(is_of_link)
    }

    /// Fails if a link exists that the plan would remove. Pods may use it while the peer's new spec is not applied yet.
    fn check_no_link_is_removed(&self, observed: &Observed) -> Result<()> {
        let unwanted = observed.topology.entries().iter().find(|entry| {
            matches!(
                entry.key.view(),
                KeyView::Tenant(tenant, TenantKey::Peer(peer, _))
                    if tenant == self.tenant && !self.linked.contains(peer)
            )
        });
        match unwanted {
            None => Ok(()),
            Some(entry) => {
                let message = format!(
                    "tenant `{}` is linked with a peer whose new spec is not applied, or which is not made: a pod must not change the link ({})",
                    self.tenant, entry.key
                );
                Err(CniError::new(Code::NoAddress, message).hint("apply both tenants with `midoform apply`"))
            }
        }
    }

    /// Fails if the plan changes anything of another tenant but its part of the links with this one.
    fn check_peers_are_unchanged(&self, plan: &Plan, observed: &Observed) -> Result<()> {
        let is_others = |key: &Key| {
            if key.owner() == self.tenant || key.owner() == SITE {
                return false;
            }
            let known = [&self.compiled.topology, &observed.topology];
            let mut entries = known.into_iter().filter_map(|topology| topology.get(key.as_str()));
            // For example a chain whose first rules are about this tenant.
            let exists_for_tenant = self.peers_alone.get(key.as_str()).is_none();
            let object = |topology: &Topology| topology.get(key.as_str()).map(|entry| entry.object.clone());
            // For example a set of addresses that gets this tenant's: the peer itself is as its spec says.
            let is_as_before = object(&observed.topology).is_some_and(|found| {
                [&self.before, &self.peers_alone].into_iter().any(|one| object(one).as_ref() == Some(&found))
            });
            !exists_for_tenant && !is_as_before && !entries.any(|entry| self.is_part_of_link(entry))
        };
        match plan.changes().find(|step| is_others(&step.key)) {
            None => Ok(()),
            Some(step) => {
                let message = format!(
                    "the peer `{}` differs from its spec: {} {}",
                    step.key.owner(),
                    step.key,
                    step.reason
                );
                Err(CniError::new(Code::Tenant, message).hint("correct it with `midoform apply`"))
            }
        }
    }

    /// Fails if the plan replaces or deletes an object that pods depend on, or changes an existing object of the site. So a
    /// host with a wrong site file does no harm.
    fn check_pods_are_undisturbed(&self, plan: &Plan, observed: &Observed, is_empty: bool) -> Result<()> {
        let disturbs = |step: &&Step| {
            let entry = observed.topology.get(step.key.as_str());
            let decides = matches!(step.kind, Kind::Rule | Kind::Route);
            match step.key.owner() {
                SITE => step.action != Action::Create,
                tenant if tenant == self.tenant && !is_empty => {
                    let goes = matches!(step.action, Action::Replace | Action::Delete);
                    goes && !decides && !entry.is_some_and(|entry| self.is_part_of_link(entry))
                }
                _ => false,
            }
        };
        match plan.changes().find(disturbs) {
            None => Ok(()),
            Some(step) => {
                let message =
                    format!("{} differs from the spec and the site file: {}", step.key, step.reason);
                Err(CniError::new(Code::Tenant, message)
                    .hint("pods depend on it: correct it with `midoform apply`"))
            }
        }
    }
}

impl Goal for TenantGoal<'_> {
    type Refusal = CniError;

    fn desired(&self) -> &Topology {
        &self.compiled.topology
    }

    fn scope<'s>(&'s self, known: &'s Allocations) -> Scope<'s> {
        Scope::of(&self.compiled, known, &self.linked, &self.provider)
    }

    fn plan(&self, observed: &Observed) -> Result<Plan> {
        let is_empty = self.is_new && !self.has_pods(observed);
        let observed = self.part_of_pods(observed, is_empty);
        if !is_empty {
            self.check_no_link_is_removed(&observed)?;
        }
        let plan = self.compiled.plan(&self.compiled.topology, &observed);
        self.check_peers_are_unchanged(&plan, &observed)?;
        self.check_pods_are_undisturbed(&plan, &observed, is_empty)?;
        Ok(plan)
    }
}

fn refused_look(error: LookError<CniError>) -> CniError {
    match error {
        LookError::Client(error) => error.into(),
        LookError::Refused(error) => error,
        LookError::Unsound(error) => error.into(),
    }
}

/// Logs the calls that fail: the run may look again and go on.
fn log(tenant: &str, event: &Event) {
    if let Event::Failed { key, error, .. } = event {
        tracing::warn!(step = "tenant", tenant, %key, error, "a call failed");
    }
}

/// Returns an error if the tenant is not what it should be, or if that is not written down.
fn result_of(tenant: &str, finished: Finished<CniError>) -> Result<()> {
    if let Some(error) = finished.look_error {
        return Err(refused_look(error));
    }
    if let Some(failure) = finished.outcome.failure {
        return Err(failure.source.into());
    }
    if let Some(error) = finished.record_error {
        return Err(error.into());
    }
    match finished.stopped {
        None => Ok(()),
        Some(_) => Err(TenantError::Lost { tenant: tenant.into() }.into()),
    }
}

impl From<RecordError> for CniError {
    fn from(error: RecordError) -> CniError {
        match error {
            RecordError::Allocations(error) => error.into(),
            RecordError::Tenant(error) => error.into(),
        }
    }
}

/// Returns true for a chain that the tenant's router uses.
fn is_of_router(chain: &Key) -> bool {
    matches!(chain.view(), KeyView::Tenant(_, TenantKey::Chain(chain)) if chain.is_of_router())
}
