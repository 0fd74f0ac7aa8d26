//! What a run does to the network for a tenant: everything that it lacks is made, and its links with its peers become
//! exactly what the specs say. Other tenants' objects are looked at, and stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::midonet::lower::provider_router;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::{Action, Plan, Step};
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kind::Kind;
use midoform_compiler::topology::object::{Object, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::topology::{Entry, Topology, dependencies};
use midoform_compiler::{Compiled, midonet};
use midoform_reconcile::client::Client;
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
use crate::tenant::note_grown;
use crate::tenant::peers::{TenantAndPeers, linked, part_of};

/// The number of calls that may be under way at a time.
const PARALLEL: usize = 4;

/// A tenant that is created, or that grows, under its lock and its peers': the goal of a reconciliation.
struct TenantGoal<'a> {
    tenant: &'a str,
    /// The tenant, and the peers that it is linked with.
    linked: BTreeSet<String>,
    /// True if the store says that no pod is attached yet.
    is_new: bool,
    /// The objects that its peers would have without it.
    others: Topology,
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
    let client = backend.client().await?;
    let mut stored = allocation::load(store).await?;
    loop {
        let goal = TenantGoal::compile(backend, specs, &stored.allocations, grown.as_ref())?;
        // What is refused leaves nothing in the store.
        let planned = Planned::look(&client, &goal, &goal.compiled.allocations, &|_| {}).await;
        let planned = planned.map_err(refused_look)?;
        if allocation::write(store, lock, &mut stored, &goal.compiled.allocations).await? {
            return goal.reconcile(&client, store, lock, specs, stored, planned).await;
        }
        if !lock.is_held().await? {
            return Err(TenantError::Lost { tenant: tenant.to_owned() }.into());
        }
        // Another tenant was given something since: this one picks again.
        stored = allocation::load(store).await?;
    }
}

/// What the tenant is given, and its links with its peers; of all others what the store says.
fn own_part(stored: &Allocations, compiled: &Allocations, tenant: &str) -> Allocations {
    let is_its_own = |pair: &String| pair.split('/').any(|name| name == tenant);
    let mut now = stored.clone();
    now.peers.retain(|pair, _| !is_its_own(pair));
    now.peers.extend(
        compiled.peers.iter().filter(|(pair, _)| is_its_own(pair)).map(|(pair, link)| (pair.clone(), *link)),
    );
    if let Some(own) = compiled.tenants.get(tenant) {
        now.tenants.insert(tenant.to_owned(), own.clone());
    }
    now
}

/// A peer that was given something else than its spec says is being changed by somebody.
fn refuse_in_flux(stored: &Allocations, compiled: &Allocations, peer: &str) -> Result<()> {
    let given = |allocations: &Allocations| {
        let given = allocations.tenants.get(peer)?;
        Some((given.link, given.bridges.clone(), given.grown.clone()))
    };
    if given(stored) == given(compiled) {
        return Ok(());
    }
    let message = format!("the peer `{peer}` was given what its spec does not say");
    Err(CniError::new(Code::Tenant, message).details("a change of it did not end: `midoform apply` ends it"))
}

impl<'a> TenantGoal<'a> {
    /// Compiles the tenant and its peers with what is allocated.
    fn compile(
        backend: &Backend<'_>,
        specs: &'a TenantAndPeers,
        stored: &Allocations,
        grown: Option<&BTreeMap<String, String>>,
    ) -> Result<Self> {
        let tenant = specs.tenant.as_str();
        let mut known = stored.clone();
        note_grown(&mut known, tenant, grown.unwrap_or(&BTreeMap::new()));
        let mut compiled = specs.compile(backend.config, &known)?;
        let linked = linked(&compiled, tenant);
        for peer in linked.iter().filter(|peer| *peer != tenant) {
            refuse_in_flux(stored, &compiled.allocations, peer)?;
        }
        let others = match linked.len() {
            0 | 1 => Topology::default(),
            _ => specs.compile_others(backend.config, stored)?,
        };
        compiled.topology = part_of(&compiled.topology, &linked);
        compiled.allocations = own_part(stored, &compiled.allocations, tenant);
        let provider = provider_router(&compiled.site);
        Ok(TenantGoal { tenant, linked, is_new: grown.is_none(), others, compiled, provider })
    }

    /// Executes the plan, and publishes that the tenant is ready.
    async fn reconcile(
        &self,
        client: &Client,
        store: &SharedStore,
        lock: &Lock,
        specs: &TenantAndPeers,
        stored: StoredAllocations,
        planned: Planned<'_, Self>,
    ) -> Result<()> {
        let (compiled, tenant) = (&self.compiled, self.tenant);
        let books = Bookkeeping {
            applied: BTreeMap::from([(tenant.to_owned(), self.is_protected())]),
            publish: Some(Box::new(|ids| self.publication(specs, ids))),
            ..Bookkeeping::of(self.linked.clone(), Extent::Part)
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
        let control = Control::under(lock.tenure());
        let finished = planned.execute(client, &mut recorder, &control, options).await?;
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
        let tenants = BTreeMap::from([(self.tenant.to_owned(), Published { ready, spec })]);
        Publication { site: None, tenants }
    }

    /// Returns the part of what was observed that a pod's run may change.
    fn part_of_pods(&self, observed: &Observed, is_empty: bool) -> Observed {
        let replaced = self.ids_of_rules();
        let mut observed = observed.clone();
        observed.topology = observed
            .topology
            .filtered(|entry| is_empty && self.passes(entry) || self.is_looked_at(entry, &replaced));
        observed
    }

    /// A store that is younger than the network (it was lost, or is a copy) does not know of all pods.
    fn has_pods(&self, observed: &Observed) -> bool {
        observed.attached.iter().any(|port| port.near.tenant() == self.tenant)
    }

    /// Whether it decides what passes the tenant's router. Where there is no pod yet, what an earlier try under another
    /// spec left of these goes.
    fn passes(&self, entry: &Entry) -> bool {
        let chains = format!("{}/chain", self.tenant);
        let decides = match &entry.object {
            Object::Rule(rule) => rule.chain.key().is_some_and(|chain| chain.is_or_below(&chains)),
            object => matches!(object, Object::Route(_)),
        };
        entry.key.tenant() == self.tenant && decides
    }

    /// What the spec does not speak of stays, except where a run that did not end left it: what links the tenant with
    /// others, and rules that were replaced.
    fn is_looked_at(&self, entry: &Entry, replaced: &BTreeSet<Uuid>) -> bool {
        if self.compiled.topology.get(entry.key.as_str()).is_some() || self.is_of_links(entry) {
            return true;
        }
        let by_id = entry.key.as_str().rsplit_once("/@").and_then(|(_, id)| id.parse::<Uuid>().ok());
        let is_rule = matches!(entry.object, Object::Rule(_)) && entry.key.tenant() == self.tenant;
        is_rule && by_id.is_some_and(|id| replaced.contains(&id))
    }

    /// The ids that the tenant's rules have, or had before they were replaced.
    fn ids_of_rules(&self) -> BTreeSet<Uuid> {
        let namespace = Namespace::of_site(&self.compiled.site.name.value);
        let known = self.compiled.allocations.tenants.get(self.tenant);
        let entries = self.compiled.topology.entries().iter();
        let rules = entries.filter(|entry| matches!(entry.object, Object::Rule(_)));
        rules
            .flat_map(|entry| {
                let remembered = known.and_then(|known| known.ids.get(&entry.key)).copied();
                [Some(namespace.id(&entry.key)), Some(namespace.other_id(&entry.key)), remembered]
            })
            .flatten()
            .collect()
    }

    /// Whether an object links the tenant with a peer, on either side, or asks about such a link.
    fn is_of_links(&self, entry: &Entry) -> bool {
        let owner = entry.key.tenant();
        let root = match owner == self.tenant {
            true => format!("{owner}/peer"),
            false if self.linked.contains(owner) => format!("{owner}/peer/{}", self.tenant),
            false => return false,
        };
        entry.key.is_or_below(&root) || dependencies(&entry.object).iter().any(|key| key.is_or_below(&root))
    }

    /// Pods may be using a link with a peer whose new spec was not applied yet.
    fn refuse_to_unlink(&self, observed: &Observed) -> Result<()> {
        let root = format!("{}/peer", self.tenant);
        let unwanted = observed.topology.entries().iter().find(|entry| {
            let peer = entry.key.as_str().strip_prefix(&root).and_then(|rest| rest.split('/').nth(1));
            peer.is_some_and(|peer| !self.linked.contains(peer))
        });
        match unwanted {
            None => Ok(()),
            Some(entry) => {
                let message = format!(
                    "tenant `{}` is linked with a peer that has a new spec or is not made: no pod changes it ({})",
                    self.tenant, entry.key
                );
                Err(CniError::new(Code::NoAddress, message).details("apply both: `midoform apply`"))
            }
        }
    }

    /// Of other tenants nothing but the links with this one is changed.
    fn refuse_others(&self, plan: &Plan, observed: &Observed) -> Result<()> {
        let is_others = |key: &Key| {
            if key.tenant() == self.tenant || key.tenant() == SITE {
                return false;
            }
            let known = [&self.compiled.topology, &observed.topology];
            let mut entries = known.into_iter().filter_map(|topology| topology.get(key.as_str()));
            // Such as the chain that rules about this tenant are the first ones in.
            let is_there_for_it = self.others.get(key.as_str()).is_none();
            !is_there_for_it && !entries.any(|entry| self.is_of_links(entry))
        };
        match plan.changes().find(|step| is_others(&step.key)) {
            None => Ok(()),
            Some(step) => {
                let message = format!(
                    "the peer `{}` is not as its spec says: {} {}",
                    step.key.tenant(),
                    step.key,
                    step.reason
                );
                Err(CniError::new(Code::Tenant, message).details("`midoform apply` puts it right"))
            }
        }
    }

    /// What pods are attached to stays under them, and what is the site's under all: a host whose site file is another one
    /// changes neither.
    fn refuse_to_disturb(&self, plan: &Plan, observed: &Observed, is_empty: bool) -> Result<()> {
        let disturbs = |step: &&Step| {
            let entry = observed.topology.get(step.key.as_str());
            let decides = matches!(step.kind, Kind::Rule | Kind::Route);
            match step.key.tenant() {
                SITE => step.action != Action::Create,
                tenant if tenant == self.tenant && !is_empty => {
                    let goes = matches!(step.action, Action::Replace | Action::Delete);
                    goes && !decides && !entry.is_some_and(|entry| self.is_of_links(entry))
                }
                _ => false,
            }
        };
        match plan.changes().find(disturbs) {
            None => Ok(()),
            Some(step) => {
                let message = format!("{} is not as spec and site file say: {}", step.key, step.reason);
                Err(CniError::new(Code::Tenant, message)
                    .details("pods depend on it: `midoform apply` puts it right"))
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
        Scope {
            site: &self.compiled.site.name.value,
            dialect: self.compiled.dialect(),
            desired: &self.compiled.topology,
            known,
            tenants: &self.linked,
            provider: &self.provider,
            moves: &self.compiled.moves,
            adopting: false,
        }
    }

    fn plan(&self, observed: &Observed) -> Result<Plan> {
        let is_empty = self.is_new && !self.has_pods(observed);
        let observed = self.part_of_pods(observed, is_empty);
        if !is_empty {
            self.refuse_to_unlink(&observed)?;
        }
        let (site, dialect) = (&self.compiled.site.name.value, self.compiled.dialect());
        let plan = midonet::plan(site, dialect, &self.compiled.topology, &observed);
        self.refuse_others(&plan, &observed)?;
        self.refuse_to_disturb(&plan, &observed, is_empty)?;
        Ok(plan)
    }
}

fn refused_look(error: LookError<CniError>) -> CniError {
    match error {
        LookError::Client(error) => error.into(),
        LookError::Refused(error) => error,
        LookError::Unsound(error) => CniError::internal(error.to_string()),
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
        Some(_) => Err(TenantError::Lost { tenant: tenant.to_owned() }.into()),
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
