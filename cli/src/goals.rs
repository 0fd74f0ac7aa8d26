//! The goals of commands besides a selection of the specs: no objects (destroy), and the two ends of a saved plan.

use std::borrow::Cow;

use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan;
use midoform_compiler::plan::Plan;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::observe::{ForeignObjects, Scope};
use midoform_reconcile::saved::SavedPlan;
use uuid::Uuid;

use crate::attached::attached;
use crate::error::CommandError;
use crate::selection::Selection;

/// Selected tenants without any of their objects.
pub(crate) struct Nothing<'a> {
    selection: &'a Selection<'a>,
    /// True to detach everything that is attached to their bridges.
    force: bool,
    /// True to delete the site's objects as well.
    site_objects: bool,
    nothing: Topology,
}

impl<'a> Nothing<'a> {
    pub(crate) fn of(selection: &'a Selection<'a>, force: bool, site_objects: bool) -> Self {
        Nothing { selection, force, site_objects, nothing: Topology::default() }
    }
}

impl Goal for Nothing<'_> {
    type Refusal = CommandError;

    fn desired(&self) -> &Topology {
        &self.nothing
    }

    /// Returns the scope of the selected tenants alone: a link with another tenant is then one of theirs, and deleted.
    fn scope<'a>(&'a self, known: &'a Allocations) -> Scope<'a> {
        Scope { desired: &self.selection.desired, ..self.selection.scope(known) }
    }

    fn plan(&self, observed: &Observed) -> Result<Plan, CommandError> {
        let (compiled, tenants) = (self.selection.compiled, &self.selection.tenants);
        let mut own = observed.clone();
        own.topology = observed
            .topology
            .filtered(|entry| entry.concerns(tenants) || self.site_objects && entry.key.owner() == SITE);
        match attached(&own, |_| true) {
            Some(attached) if !self.force => {
                let message = format!("still attached: {attached}; --force detaches them");
                Err(CommandError::Conflict(message))
            }
            _ => Ok(compiled.plan(&self.nothing, &own)),
        }
    }
}

/// One end of a saved plan: the network before it, or after it.
pub(crate) struct EndOfPlan<'a> {
    saved: &'a SavedPlan,
    desired: Cow<'a, Topology>,
    /// The network before the plan, if the goal is to restore it.
    restored: Option<&'a Topology>,
}

impl<'a> EndOfPlan<'a> {
    /// Makes the goal of the network as it is after the plan.
    pub(crate) fn after(saved: &'a SavedPlan) -> Self {
        EndOfPlan { saved, desired: saved.part_of(&saved.desired), restored: None }
    }

    /// Makes the goal of the network as it was when the plan was made.
    pub(crate) fn before(saved: &'a SavedPlan) -> Self {
        EndOfPlan { saved, desired: saved.part_of(&saved.before), restored: Some(&saved.before) }
    }

    /// Returns what was observed of the objects that the plan is about. The site's objects that it does not know are not among them.
    fn part_of(&self, observed: &Observed) -> Observed {
        let (before, after) = (&self.saved.before, &self.saved.desired);
        let is_known = |key: &Key| before.get(key.as_str()).or(after.get(key.as_str())).is_some();
        let part = self.saved.part_of(&observed.topology);
        let topology = part.filtered(|entry| entry.key.owner() != SITE || is_known(&entry.key));
        Observed { topology, ..observed.clone() }
    }
}

impl Goal for EndOfPlan<'_> {
    type Refusal = CommandError;

    fn desired(&self) -> &Topology {
        &self.desired
    }

    /// Returns the same objects for both ends: those of the plan are found by its keys.
    fn scope<'a>(&'a self, known: &'a Allocations) -> Scope<'a> {
        Scope {
            site: &self.saved.plan.site,
            engine: self.saved.plan.engine,
            desired: &self.saved.desired,
            known,
            tenants: &self.saved.tenants,
            provider: &self.saved.provider,
            moves: &self.saved.moves,
            foreign: match self.saved.removes_foreign {
                true => ForeignObjects::Remove,
                false => ForeignObjects::Leave,
            },
            restored: self.restored,
            adopting: false,
        }
    }

    fn plan(&self, observed: &Observed) -> Result<Plan, CommandError> {
        let own = self.part_of(observed);
        if let Some((key, id)) = lost_neighbour(&self.desired, &own) {
            return Err(CommandError::Conflict(format!(
                "{key} needs {id}, which does not exist any more: a later change deleted it; apply a spec instead of this \
                 saved plan"
            )));
        }
        Ok(plan(&self.saved.plan.site, self.saved.plan.engine, &self.desired, &own))
    }
}

/// Returns an object that has to be created and that needs an object of somebody else that does not exist any more, and the id
/// of that one.
fn lost_neighbour<'t>(desired: &'t Topology, observed: &Observed) -> Option<(&'t Key, Uuid)> {
    let mut missing =
        desired.entries().iter().filter(|entry| observed.topology.get(entry.key.as_str()).is_none());
    missing.find_map(|entry| {
        let mut lost = None;
        entry.object.references(&mut |found| match found.reference {
            Reference::External(id) if !observed.present.contains_key(id) => lost = Some(*id),
            _ => {}
        });
        lost.map(|id| (&entry.key, id))
    })
}
