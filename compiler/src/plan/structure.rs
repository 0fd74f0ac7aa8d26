//! What has to hold of the steps of every plan, whatever its engine: each once, in an order in which they can be executed.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Action, Plan};
use crate::topology::key::Key;

/// A fault of the steps of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A step that keeps its object has calls.
    CallsToKeep,
    /// An object has two steps of one action.
    DuplicateStep,
    /// A step needs a later one.
    LateNeed,
    /// A change has no calls.
    NoCalls,
    /// A change can not be taken back.
    NoUndo,
    /// A step needs an object that has no step.
    UnknownNeed,
}

/// Gives an engine's codes those of the faults, which have the same names.
macro_rules! codes_of_faults {
    ($code:ident: $($fault:ident),*) => {
        impl From<$crate::plan::structure::Fault> for $code {
            fn from(fault: $crate::plan::structure::Fault) -> Self {
                match fault {
                    $($crate::plan::structure::Fault::$fault => $code::$fault,)*
                }
            }
        }
    };
}
pub(crate) use codes_of_faults;

/// Checks everything about the steps that needs no execution of their calls. Calls `find` with the step, its fault and a
/// description.
pub fn check(plan: &Plan, find: &mut dyn FnMut(&Key, Fault, String)) {
    let mut seen: BTreeSet<(&Key, Action)> = BTreeSet::new();
    let mut positions: BTreeMap<&Key, usize> = BTreeMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        positions.entry(&step.key).or_insert(at);
    }
    for (at, step) in plan.steps.iter().enumerate() {
        let mut find = |fault, message: String| find(&step.key, fault, message);
        if !seen.insert((&step.key, step.action)) {
            find(Fault::DuplicateStep, format!("a second {:?} of {}", step.action, step.key));
        }
        for needed in &step.needs {
            match positions.get(needed) {
                None => find(Fault::UnknownNeed, format!("it needs {needed}, which has no step")),
                Some(position) if *position >= at => {
                    find(Fault::LateNeed, format!("it needs {needed}, which comes later"));
                }
                Some(_) => {}
            }
        }
        match step.action {
            Action::Keep if !step.calls.is_empty() => {
                find(Fault::CallsToKeep, "keeping takes no calls".to_owned());
            }
            Action::Keep => {}
            _ if step.calls.is_empty() => find(Fault::NoCalls, "a change takes calls".to_owned()),
            _ if step.undo.is_empty() => find(Fault::NoUndo, "a change can be taken back".to_owned()),
            _ => {}
        }
    }
}
