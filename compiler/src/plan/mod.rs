//! The plan: complete, versioned data. Execution makes no choices that are not in it. `docs/plan-format.md`
//! describes the JSON form field by field.

pub mod canonical;
pub mod cut;
pub mod diff;
pub mod encode;
pub mod order;
pub mod placeholder;
pub mod reachability;

pub use canonical::hash;
pub use encode::{DialectTag, Encode, Ids};

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::source::Provenance;
use crate::topology::key::Key;
use crate::topology::kinds::Kind;

/// The version of the plan format that this program writes and reads.
pub const FORMAT: &str = "midoform-plan/1";

/// A plan: the calls, in order, that lead from the observed topology to the desired one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: Cow<'static, str>,
    /// The site's name.
    pub site: String,
    /// The dialect that the calls are in.
    pub dialect: DialectTag,
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

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "HTTP's own words")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// Returns the method as HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// One call of the MidoNet API.
///
/// `${KEY}` in a path or a body stands for the id of the object with that key, which only the server knows
/// until it has responded to its creation (MidoNet 1.x: ports, rules and routes).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path below the API's base URL.
    pub path: String,
    /// The media type of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Cow<'static, str>>,
    /// The media type that is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<Cow<'static, str>>,
    /// The body: JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
    /// True if the response's `Location` has the id that `${KEY}` of this step's key stands for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binds: bool,
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
