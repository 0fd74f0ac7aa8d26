//! The goal of a run: an apply's, a destroy's, an undo's, an adoption's, or the plugin's for a pod's tenant.

use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::Plan;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::observed::Observed;

use crate::observe::Scope;

/// A state of the network that a run leads to.
pub trait Goal: Sync {
    /// The reason for which a goal is not pursued from where the network is.
    type Refusal: Send;

    /// Returns the objects that are to be there in the end.
    fn desired(&self) -> &Topology;

    /// Returns the part of the network that is observed, with what is known to be allocated.
    fn scope<'a>(&'a self, known: &'a Allocations) -> Scope<'a>;

    /// Returns the plan that leads from what was observed to the goal.
    ///
    /// # Errors
    /// Returns the refusal where the goal must not be pursued from there.
    fn plan(&self, observed: &Observed) -> Result<Plan, Self::Refusal>;
}
