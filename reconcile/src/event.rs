//! What happens while a plan is carried out, for whoever wants to show it.

use midoform_compiler::plan::Action;
use midoform_compiler::topology::key::Key;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A read of the observation is done: how many of how many.
    Read {
        /// Done.
        done: usize,
        /// Of so many, as far as is known.
        of: usize,
    },
    /// A step begins.
    Started {
        /// The object.
        key: Key,
        /// What happens to it.
        action: Action,
    },
    /// A step is done.
    Done {
        /// The object.
        key: Key,
        /// What happened to it.
        action: Action,
    },
    /// A step failed.
    Failed {
        /// The object.
        key: Key,
        /// What should have happened to it.
        action: Action,
        /// Why not.
        error: String,
    },
    /// The execution of so many steps begins.
    Executing {
        /// The number of steps.
        steps: usize,
    },
    /// The execution that began last has ended.
    Executed,
    /// A batch of tenants was changed, and looked at.
    Batch {
        /// Its number, from 1 on.
        number: usize,
        /// The number of batches.
        of: usize,
        /// The number of objects that are not what they should be.
        differing: usize,
    },
}
