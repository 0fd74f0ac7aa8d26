//! The part of a compiled project that a command uses: all of it, or the part that `--target` and `--exclude` select.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::names::TenantName;
use midoform_compiler::network::Tenant;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::reachability::Reachability;
use midoform_compiler::plan::{Action, Engine, Plan};
use midoform_compiler::topology::foreign::Foreign;
use midoform_compiler::topology::key::{Key, KeyPrefix, SITE};
use midoform_compiler::topology::kinds::{Kind, Object, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::{Compiled, provider_router};
use midoform_packets::verify;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::observe::{ForeignObjects, Scope};
use midoform_reconcile::recorder::Extent;

use crate::args::Select;
use crate::attached::attached;
use crate::error::CommandError;

/// The selected part of a compiled project.
pub(crate) struct Selection<'a> {
    pub(crate) compiled: &'a Compiled,
    /// The selected part of the topology.
    pub(crate) desired: Topology,
    /// The tenants in it.
    pub(crate) tenants: BTreeSet<TenantName>,
    /// The tenants that are observed: also those that are left out as a whole, since others may be linked with them.
    observed: BTreeSet<TenantName>,
    pub(crate) provider: Reference,
    /// The tenants of which single objects were selected, or only what a selected object depends on: nothing of them is
    /// deleted.
    in_part: BTreeSet<TenantName>,
    /// True if options select: the site's objects that are not selected stay.
    is_selected: bool,
    /// The keys that are left out.
    excluded: Vec<String>,
    /// True to delete foreign rules and routes.
    pub(crate) removes_foreign: bool,
    /// The tenants that are deleted because they have no tenant file any more.
    pub(crate) pruned: BTreeSet<TenantName>,
}

impl<'a> Selection<'a> {
    /// Selects everything, or what the options name.
    pub(crate) fn new(compiled: &'a Compiled, select: &Select) -> Result<Self, CommandError> {
        let all: BTreeSet<TenantName> = compiled.tenants.iter().map(|tenant| tenant.name.clone()).collect();
        let provider = provider_router(&compiled.site);
        let flags = select.target.iter().map(|key| ("--target", key));
        for (flag, key) in flags.chain(select.exclude.iter().map(|key| ("--exclude", key))) {
            let prefix = KeyPrefix::new(key.as_str());
            let known = compiled.topology.entries().iter().any(|entry| entry.key.is_within(&prefix));
            if !known {
                let message =
                    format!("{flag} {key}: there is no such object; `midoform plan` shows the keys");
                return Err(CommandError::Usage(message));
            }
        }
        let excluded = select.exclude.clone();
        let included = compiled.topology.filtered(|entry| !is_below_any(&entry.key, &excluded));
        if select.target.is_empty() {
            let is_left_out = |tenant: &TenantName| excluded.iter().any(|key| *tenant == **key);
            let tenants = all.iter().filter(|tenant| !is_left_out(tenant)).cloned().collect();
            return Ok(Selection {
                compiled,
                desired: included,
                tenants,
                observed: all,
                provider,
                in_part: BTreeSet::new(),
                is_selected: !excluded.is_empty(),
                excluded,
                removes_foreign: false,
                pruned: BTreeSet::new(),
            });
        }
        let desired = with_dependencies(&included, &select.target);
        let mut tenants: BTreeSet<TenantName> =
            desired.entries().iter().map(|entry| entry.key.owner().into()).collect();
        tenants.remove(SITE);
        let is_target = |tenant: &TenantName| select.target.iter().any(|target| *target == **tenant);
        let in_part = tenants.iter().filter(|tenant| !is_target(tenant)).cloned().collect();
        let (observed, pruned) = (tenants.clone(), BTreeSet::new());
        Ok(Selection {
            compiled,
            desired,
            tenants,
            observed,
            provider,
            in_part,
            is_selected: true,
            excluded,
            removes_foreign: false,
            pruned,
        })
    }

    /// Selects these tenants instead, whether or not they have a tenant file. The site's objects stay, as tenants' objects hang on
    /// them.
    pub(crate) fn select_tenants(&mut self, tenants: BTreeSet<TenantName>) {
        let is_wanted = |owner: &str| owner == SITE || tenants.contains(owner);
        self.desired = self.compiled.topology.filtered(|entry| is_wanted(entry.key.owner()));
        self.observed.clone_from(&tenants);
        self.tenants = tenants;
    }

    /// Returns the tenants that were applied before and have no tenant file any more.
    pub(crate) fn abandoned(compiled: &Compiled) -> BTreeSet<TenantName> {
        let has_spec = |name: &str| compiled.tenants.iter().any(|tenant| *tenant.name == *name);
        let known = compiled.known.tenants.iter().filter(|(name, entry)| entry.applied && !has_spec(name));
        known.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the network after the plan: the objects that it creates and keeps, and the existing ones outside of it.
    pub(crate) fn after(&self, plan: &Plan, observed: &Observed) -> Topology {
        let planned: BTreeSet<&Key> = plan.steps.iter().map(|step| &step.key).collect();
        let left = observed.topology.entries().iter().filter(|entry| !planned.contains(&entry.key));
        let wanted = self.desired.entries().iter().filter(|entry| planned.contains(&entry.key));
        Topology::new(left.chain(wanted).cloned().collect())
    }

    /// Returns the change of reachability by the plan.
    pub(crate) fn reachability(&self, plan: &Plan, observed: &Observed) -> Reachability {
        if plan.changes().next().is_none() {
            return Reachability::default();
        }
        match observed.topology.is_empty() {
            true => verify::compare(&observed.topology, &self.desired),
            false => verify::compare(&observed.topology, &self.after(plan, observed)),
        }
    }

    /// Deletes these tenants, too.
    pub(crate) fn prune(&mut self, abandoned: BTreeSet<TenantName>) {
        self.tenants.extend(abandoned.iter().cloned());
        self.observed.extend(abandoned.iter().cloned());
        self.pruned = abandoned;
    }

    /// Returns the extent of the selection.
    pub(crate) fn extent(&self) -> Extent {
        if self.is_whole() {
            return Extent::Whole;
        }
        let whole = self.whole_tenants();
        Extent::Part(self.tenants.difference(&whole).cloned().collect())
    }

    /// Returns true if all objects of its tenants are selected.
    fn is_whole(&self) -> bool {
        self.in_part.is_empty() && self.excluded.is_empty()
    }

    /// Returns the tenants of which all objects are selected. Only these are published to the pods: the network has no more
    /// of the others' specs than before.
    pub(crate) fn whole_tenants(&self) -> BTreeSet<TenantName> {
        let left_out = |tenant: &&TenantName| {
            self.in_part.contains(*tenant)
                || self.excluded.iter().any(|key| Key::from(key.as_str()).owner() == tenant.as_str())
        };
        self.tenants.iter().filter(|tenant| !left_out(tenant)).cloned().collect()
    }

    /// Returns the tenants that an apply of the selection applies, each with its `protect`. A part of a tenant does not
    /// change its `protect`.
    pub(crate) fn applied(&self) -> BTreeMap<TenantName, bool> {
        let whole = self.whole_tenants();
        let selected = self.compiled.tenants.iter().filter(|tenant| self.tenants.contains(&tenant.name));
        let protect = |tenant: &Tenant| {
            let known = self.compiled.known.tenants.get(&tenant.name).filter(|known| known.applied);
            known.filter(|_| !whole.contains(&tenant.name)).map_or(tenant.protect, |known| known.protect)
        };
        selected.map(|tenant| (tenant.name.clone(), protect(tenant))).collect()
    }

    /// Returns the selected part of what was observed: the selected objects, and those of its tenants that no spec wants any
    /// more.
    pub(crate) fn part_of(&self, observed: &Topology) -> Topology {
        if !self.is_selected {
            return observed.clone();
        }
        let whole = self.cleaned_tenants();
        observed.filtered(|entry| {
            let key = entry.key.as_str();
            let is_wanted = || self.compiled.topology.get(key).is_some();
            let is_ours = self.desired.get(key).is_some() || !is_wanted() && entry.concerns(&whole);
            is_ours && !is_below_any(&entry.key, &self.excluded)
        })
    }

    /// Returns the tenants of which everything is deleted that no spec wants. The objects of other tenants are recognised as well, and
    /// left alone.
    fn cleaned_tenants(&self) -> BTreeSet<TenantName> {
        self.tenants.difference(&self.in_part).cloned().collect()
    }

    /// Returns the foreign objects in the reach of what is selected.
    pub(crate) fn foreign<'o>(&self, observed: &'o Observed) -> Vec<&'o Foreign> {
        let whole = self.cleaned_tenants();
        let is_selected = |near: &Key| {
            let is_desired = self.desired.get(near.as_str()).is_some();
            (is_desired || whole.contains(near.owner())) && !is_below_any(near, &self.excluded)
        };
        observed.foreign.iter().filter(|foreign| is_selected(&foreign.near)).collect()
    }

    /// Refuses a plan that deletes a chain with foreign rules: these would be deleted with it, unasked.
    pub(crate) fn refuse_deleted_foreign(
        &self,
        plan: &Plan,
        observed: &Observed,
    ) -> Result<(), CommandError> {
        let deleted = plan.steps.iter().filter(|step| step.action == Action::Delete);
        let deleted: BTreeSet<&Key> = deleted.map(|step| &step.key).collect();
        // On 1.x, without their ids, midoform's own rules look like foreign ones: a chain without a rule that is known is its own.
        let is_known = |chain: &Key| {
            let mut rules = observed.rules.get(chain).into_iter().flatten();
            self.compiled.engine() != Engine::Midonet1 || rules.any(|rule| rule.key.is_some())
        };
        let lost: Vec<String> = observed
            .foreign
            .iter()
            .filter(|one| one.is_rule() && deleted.contains(&one.near) && is_known(&one.near))
            .filter(|one| !self.pruned.contains(one.near.owner()))
            .map(|one| format!("{} ({}) in {}", one.what, one.id, one.near))
            .collect();
        let hosts = observed.foreign.iter().filter(|one| one.kind == Kind::TunnelZoneHost);
        let hosts: Vec<String> = hosts
            .filter(|one| deleted.contains(&one.near))
            .map(|one| format!("{} ({})", one.what, one.id))
            .collect();
        if !hosts.is_empty() {
            return Err(CommandError::Conflict(format!(
                "the plan deletes the tunnel zone, which is no longer wanted, and midoform did not put all of its hosts there: {}; take \
                 these out, or write the zone again",
                hosts.join(", ")
            )));
        }
        match lost.is_empty() {
            true => Ok(()),
            false => Err(CommandError::Conflict(format!(
                "the plan deletes what is no longer wanted, and with it what midoform did not create: {}; \
                 --remove-foreign deletes these as well",
                lost.join("; ")
            ))),
        }
    }

    /// Returns the plan from what was observed. A selection of single objects deletes nothing.
    pub(crate) fn plan_from(&self, observed: &Observed) -> Plan {
        if !self.is_selected {
            return self.compiled.plan(&self.desired, observed);
        }
        let desired = without_dependents_of_missing(&self.desired, observed, &self.compiled.topology);
        let mut chosen = observed.clone();
        chosen.topology = self.part_of(&observed.topology);
        self.compiled.plan(&desired, &chosen)
    }
}

impl Goal for Selection<'_> {
    type Refusal = CommandError;

    fn desired(&self) -> &Topology {
        &self.desired
    }

    /// Returns the scope of all objects of the project: what is not selected is recognised as well, and then left alone.
    fn scope<'a>(&'a self, known: &'a Allocations) -> Scope<'a> {
        let foreign = match self.removes_foreign {
            true => ForeignObjects::Remove,
            false => ForeignObjects::Leave,
        };
        Scope { foreign, ..Scope::of(self.compiled, known, &self.observed, &self.provider) }
    }

    fn plan(&self, observed: &Observed) -> Result<Plan, CommandError> {
        match attached(observed, |tenant| self.pruned.contains(tenant)) {
            None => {
                let plan = self.plan_from(observed);
                self.refuse_deleted_foreign(&plan, observed)?;
                Ok(plan)
            }
            Some(attached) => Err(CommandError::Conflict(format!(
                "still attached: {attached}; `midoform destroy --target TENANT --force` deletes a tenant \
                 anyway"
            ))),
        }
    }
}

/// Leaves out the objects that depend on an excluded object that does not exist: they can't be created.
fn without_dependents_of_missing(desired: &Topology, observed: &Observed, whole: &Topology) -> Topology {
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    let is_there =
        |key: &Key| desired.get(key.as_str()).is_some() || observed.topology.get(key.as_str()).is_some();
    for entry in whole.entries().iter().filter(|entry| !is_there(&entry.key)) {
        missing.insert(entry.key.as_str());
    }
    loop {
        let is_dependent =
            |entry: &&Entry| entry.object.dependencies().iter().any(|key| missing.contains(key.as_str()));
        let dependents: Vec<&str> =
            desired.entries().iter().filter(is_dependent).map(|entry| entry.key.as_str()).collect();
        let before = missing.len();
        missing.extend(dependents);
        if missing.len() == before {
            return desired.filtered(|entry| !missing.contains(entry.key.as_str()));
        }
    }
}

fn is_below_any(key: &Key, selected: &[String]) -> bool {
    selected.iter().any(|selected| key.is_within(&KeyPrefix::new(selected.as_str())))
}

/// Returns the selected objects, those below them, and the dependencies of all these.
fn with_dependencies(topology: &Topology, targets: &[String]) -> Topology {
    let targets: Vec<KeyPrefix> = targets.iter().map(|target| KeyPrefix::new(target.as_str())).collect();
    let chosen =
        topology.entries().iter().filter(|entry| targets.iter().any(|target| entry.key.is_within(target)));
    let mut keys: BTreeSet<&str> = chosen.map(|entry| entry.key.as_str()).collect();
    let mut queue: Vec<&str> = keys.iter().copied().collect();
    let memberships = topology.memberships();
    while let Some(key) = queue.pop() {
        let Some(entry) = topology.get(key) else { continue };
        let membership = match &entry.object {
            Object::HostInterfacePort(binding) => memberships.get(&binding.host).copied().cloned(),
            _ => None,
        };
        for dependency in entry.object.dependencies().into_iter().chain(membership) {
            if let Some(found) = topology.get(dependency.as_str())
                && keys.insert(found.key.as_str())
            {
                queue.push(found.key.as_str());
            }
        }
    }
    topology.filtered(|entry| keys.contains(entry.key.as_str()))
}

/// Returns the options that select everything.
pub(crate) fn everything() -> Select {
    Select { target: Vec::new(), exclude: Vec::new() }
}
