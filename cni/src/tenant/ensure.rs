//! Makes sure that a tenant exists in MidoNet and is linked with its peers.
//!
//! Missing objects are made, and the links with the peers become exactly what the specs say. Other objects of the peers are
//! read, but not changed.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::Compiled;
use midoform_compiler::midonet::lint;
use midoform_compiler::midonet::lower::provider_router;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::{Action, Plan, Step, diff};
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

use super::growth::note_added_bridges;
use super::peers::{TenantAndPeers, linked, part_of};
use crate::backend::Backend;
use crate::protocol::error::{CniError, Code, Result};

/// How often the network is observed again after a call whose outcome is unknown, or which another run made first.
const ROUNDS: u32 = 4;

/// The number of calls that are sent at the same time.
const PARALLEL: usize = 4;

/// A tenant that is being made, or that gets a bridge, under the locks of the tenant and its peers.
struct Work<'a> {
    tenant: &'a str,
    /// The tenant, and the peers that it is linked with.
    linked: BTreeSet<String>,
    /// True if the store says that no pod is attached yet.
    is_new: bool,
    /// The peers as they would be without the tenant.
    peers_alone: Topology,
    store: &'a SharedStore,
    lock: &'a Lock,
    given: Given,
    compiled: Compiled,
}

/// Compiles the tenant, allocates what its spec leaves open, makes what is missing, and publishes that it is ready.
/// `added` are the bridges besides those of the spec: of each the full bridge beside which it is added. `None` means that
/// the tenant is new.
pub(crate) async fn ensure(
    backend: &mut Backend<'_>,
    store: &SharedStore,
    lock: &Lock,
    specs: &TenantAndPeers,
    added: Option<BTreeMap<String, String>>,
) -> Result<()> {
    let tenant = specs.tenant.as_str();
    let is_new = added.is_none();
    let added = added.unwrap_or_default();
    let client = backend.client().await?;
    let mut given = allocation::load(store).await?;
    let (mut work, looked) = loop {
        let mut known = given.allocations.clone();
        note_added_bridges(&mut known, tenant, &added);
        let mut compiled = specs.compile(backend.config, &known)?;
        let linked = linked(&compiled, tenant);
        for peer in linked.iter().filter(|peer| *peer != tenant) {
            check_peer_is_settled(&given.allocations, &compiled.allocations, peer)?;
        }
        let peers_alone = match linked.len() {
            0 | 1 => Topology::default(),
            _ => specs.compile_peers(backend.config, &given.allocations)?,
        };
        compiled.topology = part_of(&compiled.topology, &linked);
        compiled.allocations = own_part(&given.allocations, &compiled.allocations, tenant);
        let mut work = Work { tenant, linked, is_new, peers_alone, store, lock, given, compiled };
        // A refused change must leave nothing in the store.
        let looked = work.look(&client).await?;
        if allocation::write(store, lock, &mut work.given, &work.compiled.allocations).await? {
            break (work, looked);
        }
        if !lock.is_held().await? {
            return Err(TenantError::Lost { tenant: tenant.to_owned() }.into());
        }
        // Another tenant got an allocation meanwhile, so this one chooses again.
        given = allocation::load(store).await?;
    };
    let observed = work.make(&client, looked).await?;
    work.note_applied(&observed).await?;
    let ready = Ready::of(&work.compiled, tenant, &specs.own.sha256, &observed.ids).ok_or_else(|| {
        CniError::internal(format!("the compiled tenant `{tenant}` is missing in the result"))
    })?;
    tenants::publish(store, &lock.fence(), &ready).await?;
    tracing::info!(step = "tenant", tenant, bridges = ready.bridges.len(), "the tenant is ready for pods");
    Ok(())
}

/// Returns the allocations of the tenant and of its links as compiled, and all others as stored.
fn own_part(stored: &Allocations, compiled: &Allocations, tenant: &str) -> Allocations {
    let is_own = |pair: &String| pair.split('/').any(|name| name == tenant);
    let mut now = stored.clone();
    now.peers.retain(|pair, _| !is_own(pair));
    now.peers.extend(
        compiled.peers.iter().filter(|(pair, _)| is_own(pair)).map(|(pair, link)| (pair.clone(), *link)),
    );
    if let Some(own) = compiled.tenants.get(tenant) {
        now.tenants.insert(tenant.to_owned(), own.clone());
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

impl Work<'_> {
    /// Observes the network and plans the changes. Fails if the plan has changes that a pod must not cause.
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
            .filtered(|entry| is_empty && self.is_rule_or_route(entry) || self.takes_part(entry, &replaced));
        if !is_empty {
            self.check_no_link_is_removed(&observed)?;
        }
        let plan = diff::plan(site, dialect, &self.compiled.topology, &observed);
        self.check_peers_are_unchanged(&plan, &observed)?;
        self.check_pods_are_undisturbed(&plan, &observed, is_empty)?;
        check(&plan, &observed)?;
        Ok((observed, plan))
    }

    /// Makes what is missing. Returns the network afterwards.
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
            self.note_planned(&plan).await?;
            let outcome = execute(client, &plan, PARALLEL, &Control::default(), &|_| {}).await;
            let Some(failed) = outcome.failure else {
                observed.ids.extend(outcome.ids);
                return Ok(observed);
            };
            // A rule that was to be replaced may still exist, so the ids that are known already are kept.
            for (key, id) in &outcome.ids {
                if let Some(entry) = self.compiled.allocations.tenants.get_mut(key.tenant()) {
                    entry.ids.entry(key.clone()).or_insert(*id);
                }
            }
            let look_again = failed.source.is_uncertain() || failed.source.status() == Some(409);
            tracing::warn!(step = "tenant", tenant = self.tenant, key = %failed.key, error = %failed.source, look_again, "a call of the API failed");
            let error = CniError::from(failed.source);
            if !look_again {
                return Err(error);
            }
            failure = Some(error);
        }
        let tenant = self.tenant;
        Err(failure.unwrap_or_else(|| {
            CniError::internal(format!("the plan for tenant `{tenant}` never became empty"))
        }))
    }

    /// Returns true if pods are attached in the network. A store that was lost or restored does not know of all pods.
    fn has_pods(&self, observed: &Observed) -> bool {
        observed.attached.iter().any(|port| port.near.tenant() == self.tenant)
    }

    /// Returns true for a route or a rule of the tenant. Before the first pod, leftovers of an earlier try under another spec
    /// are deleted.
    fn is_rule_or_route(&self, entry: &Entry) -> bool {
        let chains = format!("{}/chain", self.tenant);
        let is_one = match &entry.object {
            Object::Rule(rule) => rule.chain.key().is_some_and(|chain| chain.is_or_below(&chains)),
            object => matches!(object, Object::Route(_)),
        };
        entry.key.tenant() == self.tenant && is_one
    }

    /// Returns true if an observed object takes part in the plan. Objects that the spec does not have stay, except those that
    /// a run left that did not end: parts of links with peers, and replaced rules.
    fn takes_part(&self, entry: &Entry, replaced: &BTreeSet<Uuid>) -> bool {
        if self.compiled.topology.get(entry.key.as_str()).is_some() || self.is_part_of_link(entry) {
            return true;
        }
        let by_id = entry.key.as_str().rsplit_once("/@").and_then(|(_, id)| id.parse::<Uuid>().ok());
        let is_rule = matches!(entry.object, Object::Rule(_)) && entry.key.tenant() == self.tenant;
        is_rule && by_id.is_some_and(|id| replaced.contains(&id))
    }

    /// Returns the ids of the tenant's rules, and those that they had before they were replaced.
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

    /// Returns true if an object is a part of a link with a peer, on either side, or depends on such a part.
    fn is_part_of_link(&self, entry: &Entry) -> bool {
        let owner = entry.key.tenant();
        let root = match owner == self.tenant {
            true => format!("{owner}/peer"),
            false if self.linked.contains(owner) => format!("{owner}/peer/{}", self.tenant),
            false => return false,
        };
        entry.key.is_or_below(&root) || dependencies(&entry.object).iter().any(|key| key.is_or_below(&root))
    }

    /// Fails if a link exists that the plan would remove. Pods may use it while the peer's new spec is not applied yet.
    fn check_no_link_is_removed(&self, observed: &Observed) -> Result<()> {
        let root = format!("{}/peer", self.tenant);
        let unwanted = observed.topology.entries().iter().find(|entry| {
            let peer = entry.key.as_str().strip_prefix(&root).and_then(|rest| rest.split('/').nth(1));
            peer.is_some_and(|peer| !self.linked.contains(peer))
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
            if key.tenant() == self.tenant || key.tenant() == SITE {
                return false;
            }
            let known = [&self.compiled.topology, &observed.topology];
            let mut entries = known.into_iter().filter_map(|topology| topology.get(key.as_str()));
            // For example a chain whose first rules are about this tenant.
            let exists_for_tenant = self.peers_alone.get(key.as_str()).is_none();
            !exists_for_tenant && !entries.any(|entry| self.is_part_of_link(entry))
        };
        match plan.changes().find(|step| is_others(&step.key)) {
            None => Ok(()),
            Some(step) => {
                let message = format!(
                    "the peer `{}` differs from its spec: {} {}",
                    step.key.tenant(),
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
            match step.key.tenant() {
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

    /// Records what will be made: objects whose ids 1.x chooses, and the static ports. If this run ends too early, the next
    /// one knows of them.
    async fn note_planned(&mut self, plan: &Plan) -> Result<()> {
        self.compiled.allocations.note_what_is_made(plan, &self.compiled.topology);
        self.note_static_ports();
        self.write().await
    }

    /// Records the static ports. Those that the spec no longer has stay recorded until an apply deletes them.
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

    /// Records that the tenant is applied, its static ports, and the ids that the server chose.
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
            // Objects that another run was making and this one does not want are left to an apply.
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
            "the plan is wrong: {} ({}): {}",
            found.step, found.code, found.message
        ))),
    }
}

/// Records the ids of the objects of these tenants.
fn add_ids(allocations: &mut Allocations, tenants: &BTreeSet<String>, ids: &BTreeMap<Key, Uuid>) {
    for tenant in tenants {
        if let Some(entry) = allocations.tenants.get_mut(tenant) {
            let own = ids.iter().filter(|(key, _)| key.tenant() == tenant);
            entry.ids.extend(own.map(|(key, id)| (key.clone(), *id)));
        }
    }
}
