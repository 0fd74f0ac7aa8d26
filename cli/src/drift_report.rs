//! The differences between a network and its spec, as people and machines read them.

use std::collections::BTreeMap;

use midoform_compiler::plan::{Action, Plan, Step};
use midoform_compiler::topology::key::Key;
use serde::Serialize;

/// The kinds of differences.
pub(crate) const DIFFERENCES: [&str; 3] = ["missing", "changed", "unwanted"];

/// An object that differs from the spec.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Difference {
    pub(crate) key: Key,
    pub(crate) kind: &'static str,
    /// One of [`DIFFERENCES`].
    pub(crate) is: &'static str,
    pub(crate) what: String,
    /// The line of the spec that describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
}

/// Returns the differences that a plan shows, one for each object.
pub(crate) fn differences_of(plan: &Plan) -> Vec<Difference> {
    let mut differences: Vec<Difference> = Vec::new();
    let mut places: BTreeMap<&Key, (usize, &Step)> = BTreeMap::new();
    for step in plan.changes() {
        // An object that is deleted and created again, in either order, is one difference: the creation has its reason.
        let Some((place, first)) = places.get(&step.key).copied() else {
            places.insert(&step.key, (differences.len(), step));
            differences.push(difference_of(step));
            continue;
        };
        let creation = if step.action == Action::Delete { first } else { step };
        if let Some(known) = differences.get_mut(place) {
            let what = creation.reason.to_string();
            *known = Difference { is: "changed", what, ..difference_of(creation) };
        }
    }
    differences
}

fn difference_of(step: &Step) -> Difference {
    let (is, what) = match step.action {
        Action::Create => ("missing", "is in the spec, but not in the network".to_owned()),
        Action::Delete => ("unwanted", "is in the network, but not in the spec".to_owned()),
        Action::Update | Action::Replace | Action::Keep => ("changed", step.reason.to_string()),
    };
    let source = step.source.as_ref().map(ToString::to_string);
    Difference { key: step.key.clone(), kind: step.kind.name(), is, what, source }
}
