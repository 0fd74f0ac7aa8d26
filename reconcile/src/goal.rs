//! The goal of a run: an apply's, a destroy's, an undo's, an adoption's, or the plugin's for a pod's tenant.

use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::Plan;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::observed::Observed;

use crate::observe::Scope;

/// A state of the network that a run leads to.
pub trait Goal: Sync {
    /// The reason why a goal must not be pursued from the observed network.
    type Refusal: Send;

    /// Returns the objects that must exist in the end.
    fn desired(&self) -> &Topology;

    /// Returns the part of the network that is observed, with the known allocations.
    fn scope<'a>(&'a self, known: &'a Allocations) -> Scope<'a>;

    /// Returns the plan that leads from the observed network to the goal.
    ///
    /// # Errors
    /// Returns the refusal if the goal must not be pursued from there.
    fn plan(&self, observed: &Observed) -> Result<Plan, Self::Refusal>;
}
