//! What a run does to the network for a tenant: everything that it lacks is made, and its links with its peers become
//! exactly what the specs say. Other tenants' objects are looked at, and stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::Compiled;
use midoform_compiler::midonet;
use midoform_compiler::midonet::lint;
use midoform_compiler::midonet::lower::provider_router;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::{Action, Plan, Step};
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kind::Kind;
use midoform_compiler::topology::object::Object;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::topology::{Entry, Topology, dependencies};
use midoform_reconcile::client::Client;
use midoform_reconcile::execute::{Control, execute};
use midoform_reconcile::observe::{Scope, observe};
use midoform_store::allocation::Given;
use midoform_store::locks::Lock;
use midoform_store::ready::Ready;
use midoform_store::tenants::TenantError;
use midoform_store::{SharedStore, allocation, tenants};
use uuid::Uuid;

use crate::backend::Backend;
use crate::protocol::error::{CniError, Code, Result};
use crate::tenant::note_grown;
use crate::tenant::peers::{TenantAndPeers, linked, part_of};

/// How often the network is looked at anew after a call of which nobody knows whether it happened, or which somebody else
/// made first.
const ROUNDS: u32 = 4;

/// How many calls are under way at a time.
const PARALLEL: usize = 4;

/// A tenant that is being made, or that grows, under its lock and its peers'.
struct Work<'a> {
    tenant: &'a str,
    /// The tenant, and the peers that it is linked with.
    linked: BTreeSet<String>,
    /// Whether the store says that no pod is attached yet.
    is_new: bool,
    /// What there would be of its peers without it.
    others: Topology,
    store: &'a SharedStore,
    lock: &'a Lock,
    given: Given,
    compiled: Compiled,
}

/// Compiles the tenant, gives it what its spec leaves open, makes what is not there yet, and says that it is ready.
/// `grown` are the bridges that it shall have besides those of its spec, and for which; none: it is new.
pub(crate) async fn ensure(
    backend: &mut Backend<'_>,
    store: &SharedStore,
    lock: &Lock,
    specs: &TenantAndPeers,
    grown: Option<BTreeMap<String, String>>,
) -> Result<()> {
    let tenant = specs.tenant.as_str();
    let is_new = grown.is_none();
    let grown = grown.unwrap_or_default();
    let client = backend.client().await?;
    let mut given = allocation::load(store).await?;
    let (mut work, looked) = loop {
        let mut known = given.allocations.clone();
        note_grown(&mut known, tenant, &grown);
        let mut compiled = specs.compile(backend.config, &known)?;
        let linked = linked(&compiled, tenant);
        for peer in linked.iter().filter(|peer| *peer != tenant) {
            refuse_in_flux(&given.allocations, &compiled.allocations, peer)?;
        }
        let others = match linked.len() {
            0 | 1 => Topology::default(),
            _ => specs.compile_others(backend.config, &given.allocations)?,
        };
        compiled.topology = part_of(&compiled.topology, &linked);
        compiled.allocations = own_part(&given.allocations, &compiled.allocations, tenant);
        let mut work = Work { tenant, linked, is_new, others, store, lock, given, compiled };
        // What is refused leaves nothing in the store.
        let looked = work.look(&client).await?;
        if allocation::write(store, lock, &mut work.given, &work.compiled.allocations).await? {
            break (work, looked);
        }
        if !lock.is_held().await? {
            return Err(TenantError::Lost { tenant: tenant.to_owned() }.into());
        }
        // Another tenant was given something since: this one picks again.
        given = allocation::load(store).await?;
    };
    let observed = work.make(&client, looked).await?;
    work.note_applied(&observed).await?;
    let ready = Ready::of(&work.compiled, tenant, &specs.own.sha256, &observed.ids)
        .ok_or_else(|| CniError::internal(format!("tenant `{tenant}` was compiled, and is not there")))?;
    tenants::publish(store, &lock.fence(), &ready).await?;
    tracing::info!(step = "tenant", tenant, bridges = ready.bridges.len(), "it is ready for pods");
    Ok(())
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

impl Work<'_> {
    /// What is there, and what is to be done; an error where that is not a pod's business.
    async fn look(&self, client: &Client) -> Result<(Observed, Plan)> {
        let (site, dialect) = (self.compiled.site.name.value.as_str(), self.compiled.dialect());
        let provider = provider_router(&self.compiled.site);
        let scope = Scope {
            site,
            dialect,
            desired: &self.compiled.topology,
            known: &self.compiled.allocations,
            tenants: &self.linked,
            provider: &provider,
            moves: &self.compiled.moves,
            adopting: false,
        };
        let mut observed = observe(client, scope, &|_| {}).await?;
        let replaced = self.ids_of_rules();
        let is_empty = self.is_new && !self.has_pods(&observed);
        observed.topology = observed
            .topology
            .filtered(|entry| is_empty && self.passes(entry) || self.is_looked_at(entry, &replaced));
        if !is_empty {
            self.refuse_to_unlink(&observed)?;
        }
        let plan = midonet::plan(site, dialect, &self.compiled.topology, &observed);
        self.refuse_others(&plan, &observed)?;
        self.refuse_to_disturb(&plan, &observed, is_empty)?;
        check(&plan, &observed)?;
        Ok((observed, plan))
    }

    /// Makes what is not there yet; answers what is there then.
    async fn make(&mut self, client: &Client, looked: (Observed, Plan)) -> Result<Observed> {
        let (mut observed, mut plan) = looked;
        let mut failure = None;
        for round in 0..ROUNDS {
            if round > 0 {
                (observed, plan) = self.look(client).await?;
            }
            if plan.summary().changes() == 0 {
                return Ok(observed);
            }
            self.note_what_is_made(&plan).await?;
            let outcome = execute(client, &plan, PARALLEL, &Control::default(), &|_| {}).await;
            let Some(failed) = outcome.failure else {
                observed.ids.extend(outcome.ids);
                return Ok(observed);
            };
            // What a rule replaces may be there still: it is known by its own id.
            for (key, id) in &outcome.ids {
                if let Some(entry) = self.compiled.allocations.tenants.get_mut(key.tenant()) {
                    entry.ids.entry(key.clone()).or_insert(*id);
                }
            }
            let look_again = failed.source.is_uncertain() || failed.source.status() == Some(409);
            tracing::warn!(step = "tenant", tenant = self.tenant, key = %failed.key, error = %failed.source, look_again, "a call failed");
            let error = CniError::from(failed.source);
            if !look_again {
                return Err(error);
            }
            failure = Some(error);
        }
        let tenant = self.tenant;
        Err(failure.unwrap_or_else(|| {
            CniError::internal(format!("tenant `{tenant}` did not become what it should be"))
        }))
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

    /// What will be made is written down first, so that the next run knows it, should this one end before it can say what
    /// became of it: what 1.x gives ids of its own, and the static ports.
    async fn note_what_is_made(&mut self, plan: &Plan) -> Result<()> {
        midonet::note_what_is_made(&mut self.compiled.allocations, plan, &self.compiled.topology);
        self.note_static_ports();
        self.write().await
    }

    /// Those that the spec no longer has stay known: an apply takes them away.
    fn note_static_ports(&mut self) {
        let ports = self.static_ports();
        let Some(entry) = self.compiled.allocations.tenants.get_mut(self.tenant) else { return };
        entry.ports.extend(ports);
        entry.ports.sort();
        entry.ports.dedup();
    }

    fn static_ports(&self) -> Vec<String> {
        let own = self.compiled.tenants.iter().find(|network| *network.name == *self.tenant);
        own.into_iter().flat_map(|network| &network.ports).map(|port| port.name.to_string()).collect()
    }

    /// Writes down that the tenant was applied, its static ports, and the ids of the server's choosing.
    async fn note_applied(&mut self, observed: &Observed) -> Result<()> {
        let own = self.compiled.tenants.iter().find(|network| *network.name == *self.tenant);
        if let (Some(network), Some(entry)) = (own, self.compiled.allocations.tenants.get_mut(self.tenant)) {
            entry.applied = true;
            entry.protect = network.protect;
        }
        self.note_static_ports();
        for tenant in &self.linked {
            let Some(entry) = self.compiled.allocations.tenants.get_mut(tenant) else { continue };
            let topology = &self.compiled.topology;
            // What another run was making, and nobody wants here, is for an apply to find.
            entry.making.retain(|(key, object)| {
                topology.get(key.as_str()).is_none_or(|entry| entry.object != *object)
            });
        }
        if !self.compiled.dialect().keeps_offered_id(Kind::Route) {
            add_ids(&mut self.compiled.allocations, &self.linked, &observed.ids);
        }
        self.write().await
    }

    async fn write(&mut self) -> Result<()> {
        let (site, now) = (&self.compiled.site, &self.compiled.allocations);
        Ok(allocation::write_beside_others(self.store, self.lock, site, &mut self.given, now).await?)
    }
}

fn check(plan: &Plan, observed: &Observed) -> Result<()> {
    match lint::check(plan, observed).first() {
        None => Ok(()),
        Some(found) => Err(CniError::internal(format!(
            "the plan is not sound: {} ({}): {}",
            found.step, found.code, found.message
        ))),
    }
}

/// Takes note of these tenants' objects' ids.
fn add_ids(allocations: &mut Allocations, tenants: &BTreeSet<String>, ids: &BTreeMap<Key, Uuid>) {
    for tenant in tenants {
        if let Some(entry) = allocations.tenants.get_mut(tenant) {
            let own = ids.iter().filter(|(key, _)| key.tenant() == tenant);
            entry.ids.extend(own.map(|(key, id)| (key.clone(), *id)));
        }
    }
}
