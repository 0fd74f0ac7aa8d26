//! The adoption of one tenant: the draft of its spec, and the goal that the reconcile loop gets.

use std::collections::BTreeSet;
use std::path::PathBuf;

use midoform_adopt::{Pod, SpecDraft, Survey};
use midoform_compiler::Compiled;
use midoform_compiler::midonet::lower::provider_router;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::{Action, Plan};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::view::{ChainKey, KeyView, TenantKey};
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::observe::Scope;
use uuid::Uuid;

use super::choose::Chosen;
use crate::error::CommandError;

/// The draft of a tenant's spec.
pub(super) struct Drafted {
    pub(super) chosen: Chosen,
    pub(super) draft: SpecDraft,
    /// The tenant file.
    pub(super) path: PathBuf,
}

impl Drafted {
    /// Drafts the spec of a chosen router. `before` is the site without it.
    pub(super) fn of(
        survey: &Survey,
        chosen: Chosen,
        before: &Compiled,
        path: PathBuf,
    ) -> Result<Drafted, CommandError> {
        let provider = match provider_router(&before.site) {
            Reference::External(id) => id,
            Reference::Named(name) => {
                return Err(CommandError::Usage(format!("there is no MidoNet router {name:?}")));
            }
            Reference::Key(key) => {
                let generation = before.allocations.generations().current(&key);
                Namespace::of_site(&before.site.name.value).id_of_generation(&key, generation)
            }
        };
        let missing =
            || CommandError::Conflict(format!("the router {} was deleted meanwhile", chosen.router));
        let mut draft =
            survey.spec_draft(chosen.router, &chosen.tenant, Some(provider)).ok_or_else(missing)?;
        draft.unsupported.extend(chosen.notes.iter().cloned());
        draft.unsupported.extend(pods_without_ports(&chosen.pods, &draft));
        Ok(Drafted { chosen, draft, path })
    }
}

/// Returns notes about the pods in the plugin's keys whose ports are missing, and about the attached ports that have no
/// keys.
fn pods_without_ports(pods: &[Pod], draft: &SpecDraft) -> Vec<String> {
    let bound: BTreeSet<Uuid> = draft.attached.iter().map(|attached| attached.port).collect();
    let lost = pods.iter().filter(|pod| !pod.port.is_some_and(|port| bound.contains(&port)));
    let lost = lost.map(|pod| {
        let address = pod.address.as_deref().unwrap_or("an unknown address");
        format!(
            "the plugin's keys allocate {address} to the container {}, which is not attached",
            pod.container
        )
    });
    let known: BTreeSet<Uuid> = pods.iter().filter_map(|pod| pod.port).collect();
    let unknown =
        draft.attached.iter().filter(|attached| !known.is_empty() && !known.contains(&attached.port));
    let unknown = unknown.map(|attached| {
        format!("{} of host {} is attached, and has no key of the plugin", attached.interface, attached.host)
    });
    lost.chain(unknown).collect()
}

/// The goal of an adoption: the tenant's objects stay as they are, and their ids are bound to the keys of the spec.
pub(super) struct Adoption<'a> {
    compiled: &'a Compiled,
    /// The allocations, with the ids of the draft.
    known: Allocations,
    tenants: BTreeSet<TenantName>,
    provider: Reference,
    /// The objects of the tenant and of the site.
    looked_for: Topology,
    /// The objects of the tenant.
    desired: Topology,
}

impl<'a> Adoption<'a> {
    /// Returns the goal for a draft that was compiled with the site.
    pub(super) fn of(compiled: &'a Compiled, drafted: &Drafted) -> Self {
        let tenant = &drafted.chosen.tenant;
        let mut known = compiled.allocations.clone();
        let entry = known.tenants.entry(tenant.as_str().into()).or_default();
        entry.ids = drafted.draft.ids.clone();
        // A chain that the spec has no use for is somebody's own, whatever its name is.
        let is_of_bridge =
            |key: &Key| matches!(key.view(), KeyView::Tenant(_, TenantKey::Chain(ChainKey::Bridge(_))));
        entry.ids.retain(|key, _| !is_of_bridge(key) || compiled.topology.get(key.as_str()).is_some());
        // A tenant that is applied and has no spec is pruned: it is applied once its spec is written.
        entry.applied = false;
        Adoption {
            compiled,
            known,
            tenants: BTreeSet::from([tenant.as_str().into()]),
            provider: provider_router(&compiled.site),
            looked_for: compiled.topology.filtered(|entry| [tenant, SITE].contains(&entry.key.owner())),
            desired: compiled.topology.filtered(|entry| entry.key.owner() == tenant),
        }
    }

    /// Returns the allocations with the ids of the draft.
    pub(super) fn known(&self) -> &Allocations {
        &self.known
    }

    /// Returns the tenant, as a set.
    pub(super) fn tenants(&self) -> &BTreeSet<TenantName> {
        &self.tenants
    }

    /// Returns the tenant's objects among those that were observed.
    pub(super) fn own_of(&self, observed: &Observed) -> Observed {
        let topology = observed.topology.filtered(|entry| self.tenants.contains(entry.key.owner()));
        Observed { topology, ..observed.clone() }
    }

    /// Returns the plan of the next apply.
    pub(super) fn next_plan(&self, observed: &Observed) -> Plan {
        self.compiled.plan(&self.desired, &self.own_of(observed))
    }
}

impl Goal for Adoption<'_> {
    type Refusal = CommandError;

    fn desired(&self) -> &Topology {
        &self.desired
    }

    fn scope<'a>(&'a self, known: &'a Allocations) -> Scope<'a> {
        let whole = Scope::of(self.compiled, known, &self.tenants, &self.provider);
        Scope { desired: &self.looked_for, adopting: true, ..whole }
    }

    /// Returns the part of the next plan that changes nothing.
    fn plan(&self, observed: &Observed) -> Result<Plan, CommandError> {
        let mut plan = self.next_plan(observed);
        plan.steps.retain(|step| step.action == Action::Keep);
        Ok(plan)
    }
}
