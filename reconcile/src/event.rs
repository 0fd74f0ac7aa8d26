//! The events of an observation and an execution, for progress displays.

use midoform_compiler::plan::Action;
use midoform_compiler::topology::key::Key;

/// An event.
#[derive(Clone, Debug)]
pub enum Event {
    /// A read of the observation is done.
    Read {
        /// The number of reads that are done.
        done: usize,
        /// The number of all reads, as far as it is known.
        of: usize,
    },
    /// A step begins.
    Started {
        /// The object.
        key: Key,
        /// The action.
        action: Action,
    },
    /// A step is done.
    Done {
        /// The object.
        key: Key,
        /// The action.
        action: Action,
    },
    /// A step failed.
    Failed {
        /// The object.
        key: Key,
        /// The action that failed.
        action: Action,
        /// The message of the error.
        error: String,
    },
    /// The execution of a plan begins.
    Executing {
        /// The number of steps.
        steps: usize,
    },
    /// The execution that began last has ended.
    Executed,
    /// A batch of tenants was changed and compared with the goal.
    Batch {
        /// The number of the batch, from 1 on.
        number: usize,
        /// The number of batches.
        of: usize,
        /// The number of objects that differ from the goal.
        differing: usize,
    },
}
