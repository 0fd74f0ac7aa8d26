//! The plan: complete, versioned data. Execution makes no choices that are not in it. `docs/plan-format.md`
//! describes the JSON form field by field, from the lists in [`schema`].

pub mod call;
pub mod canonical;
pub mod cut;
pub mod datum;
pub mod diff;
pub mod encode;
pub mod order;
pub mod placeholder;
pub mod reachability;
pub mod row_operation;
pub mod schema;
pub mod structure;

pub use crate::values::Engine;
pub use call::{Call, HttpCall, Method};
pub use canonical::hash;
pub use encode::{Encode, Ids};
pub use row_operation::RowOperation;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::source::Provenance;
use crate::topology::key::Key;
use crate::topology::kinds::Kind;

/// The version of the plan format that this program writes and reads.
pub const FORMAT: &str = "midoform-plan/2";

/// A plan: the calls, in order, that lead from the observed topology to the desired one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: Cow<'static, str>,
    /// The site's name.
    pub site: String,
    /// The engine that the calls are for.
    pub engine: Engine,
    /// SHA-256 of the observed topology that the plan starts from. `apply` compares it before it begins.
    pub base: String,
    /// The steps, in an order in which they can be executed one after another.
    pub steps: Vec<Step>,
}

/// One step of a plan: the change of one object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The action on the object.
    pub action: Action,
    /// The object's key.
    pub key: Key,
    /// The object's kind.
    pub kind: Kind,
    /// The reason, in one line.
    pub reason: Cow<'static, str>,
    /// The file and line that caused the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Provenance>,
    /// Keys: every earlier step with one of these keys has to be done before this step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Key>,
    /// True if traffic that flows now is cut while the step is executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cuts_traffic: bool,
    /// The calls, one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// The calls that undo the step, one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Call>,
}

impl Step {
    /// Returns the calls of MidoNet's API; none of a plan for another engine.
    pub fn http_calls(&self) -> impl Iterator<Item = &HttpCall> {
        self.calls.iter().filter_map(Call::http)
    }

    /// Returns the operations on rows; none of a plan for another engine than OVN.
    pub fn row_operations(&self) -> impl Iterator<Item = &RowOperation> {
        self.calls.iter().filter_map(Call::row)
    }
}

/// The action on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The object does not exist, and is created.
    Create,
    /// The object is changed in place.
    Update,
    /// The object is deleted and created again: the API can't change it in place.
    Replace,
    /// The object exists, and is deleted.
    Delete,
    /// The object is as it should be.
    Keep,
}

impl Action {
    /// Returns the sign that other tools use for this action as well.
    pub fn sign(self) -> &'static str {
        match self {
            Action::Create => "+",
            Action::Update => "~",
            Action::Replace => "-/+",
            Action::Delete => "-",
            Action::Keep => " ",
        }
    }
}

/// The number of steps of each action in a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the struct's comment says it all")]
pub struct Summary {
    pub create: usize,
    pub update: usize,
    pub replace: usize,
    pub delete: usize,
    pub keep: usize,
}

impl Summary {
    /// Returns the number of steps that change something.
    pub fn changes(&self) -> usize {
        self.create + self.update + self.replace + self.delete
    }

    fn count(&mut self, action: Action) {
        match action {
            Action::Create => self.create += 1,
            Action::Update => self.update += 1,
            Action::Replace => self.replace += 1,
            Action::Delete => self.delete += 1,
            Action::Keep => self.keep += 1,
        }
    }
}

impl Plan {
    /// Returns the number of steps of each action.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        self.steps.iter().for_each(|step| summary.count(step.action));
        summary
    }

    /// Returns the steps that change something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.action != Action::Keep)
    }

    /// Returns the summaries by tenant, in the order of their names.
    pub fn summaries_by_tenant(&self) -> BTreeMap<&str, Summary> {
        let mut summaries: BTreeMap<&str, Summary> = BTreeMap::new();
        for step in &self.steps {
            summaries.entry(step.key.owner()).or_default().count(step.action);
        }
        summaries
    }
}
