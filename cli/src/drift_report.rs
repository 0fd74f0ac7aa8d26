//! The differences between a network and its spec, as people and machines read them.

use std::collections::BTreeMap;

use midoform_compiler::Compiled;
use midoform_compiler::plan::{Action, Plan, Step};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::foreign::{Effect, Foreign};
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

/// An object that midoform did not create.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ForeignObject {
    pub(crate) near: Key,
    kind: &'static str,
    what: String,
    id: String,
    /// True if it changes what the network does.
    pub(crate) drift: bool,
    /// Its effect, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    /// Midoform's rules or routes that it gets ahead of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ahead_of: Vec<Behind>,
}

/// A rule or a route that a foreign one gets ahead of.
#[derive(Clone, Debug, Serialize)]
struct Behind {
    key: Key,
    /// The line of the spec that describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

impl ForeignObject {
    pub(crate) fn of(foreign: &Foreign, compiled: &Compiled) -> ForeignObject {
        let source = |key: &Key| {
            let entry = compiled.topology.get(key.as_str())?;
            entry.provenance.as_ref().map(ToString::to_string)
        };
        let behind = match &foreign.effect {
            Some(Effect::AheadOf(keys)) => keys.as_slice(),
            _ => &[],
        };
        ForeignObject {
            near: foreign.near.clone(),
            kind: foreign.kind.name(),
            what: foreign.what.clone(),
            id: foreign.id.to_string(),
            drift: foreign.is_drift(),
            effect: foreign.effect_in_words(),
            ahead_of: behind.iter().map(|key| Behind { key: key.clone(), source: source(key) }).collect(),
        }
    }

    /// Returns the line that people read.
    pub(crate) fn line(&self) -> String {
        let ForeignObject { near, what, id, effect, .. } = self;
        let source = self.ahead_of.first().and_then(|first| first.source.as_ref());
        let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
        let effect = effect.as_ref().map(|effect| format!("; it {effect}{source}")).unwrap_or_default();
        format!("foreign  {near}  {what} ({id}){effect}: left as it is")
    }
}

/// Returns the differences that a plan from this observed network shows, one for each object.
pub(crate) fn differences_of(plan: &Plan, observed: &Topology) -> Vec<Difference> {
    let mut differences: Vec<Difference> = Vec::new();
    let mut places: BTreeMap<&Key, (usize, &Step)> = BTreeMap::new();
    for step in plan.changes() {
        // An object that is deleted and created again, in either order, is one difference: the creation has its reason.
        let Some((place, first)) = places.get(&step.key).copied() else {
            places.insert(&step.key, (differences.len(), step));
            differences.push(difference_of(step, observed));
            continue;
        };
        let creation = if step.action == Action::Delete { first } else { step };
        if let Some(known) = differences.get_mut(place) {
            let what = creation.reason.to_string();
            *known = Difference { is: "changed", what, ..difference_of(creation, observed) };
        }
    }
    differences
}

fn difference_of(step: &Step, observed: &Topology) -> Difference {
    let described = || observed.get(step.key.as_str()).map(|entry| entry.object.describe());
    let (is, what) = match step.action {
        Action::Create => ("missing", "is in the spec, but not in the network".to_owned()),
        Action::Delete => match described().filter(|text| !text.is_empty()) {
            Some(text) => ("unwanted", format!("is in the network, but not in the spec: {text}")),
            None => ("unwanted", "is in the network, but not in the spec".to_owned()),
        },
        Action::Update | Action::Replace | Action::Keep => ("changed", step.reason.to_string()),
    };
    let source = step.source.as_ref().map(ToString::to_string);
    Difference { key: step.key.clone(), kind: step.kind.name(), is, what, source }
}
