//! The plan's checker. It shares no code with the code that makes plans.
//!
//! It executes the calls on a small model of the API. It proves that every object that a call refers to exists at that
//! time, that a step comes after the steps that it needs, that there are no duplicates, and that the API accepts the
//! calls. It makes the checks that the recordings show, for both servers of dialect 5.

mod code;
mod model;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::midonet::dialect::Dialect;
use crate::plan::{Action, Call, Method, Plan, Step, placeholder};
use crate::topology::key::Key;
use crate::topology::observed::Observed;

pub use code::Code;
use model::Model;

/// A fault of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The step.
    pub step: Key,
    /// The index of the call in the step, counted from 0; none if the fault is in the step itself.
    pub call: Option<usize>,
    /// The kind of the fault.
    pub code: Code,
    /// A description of the fault.
    pub message: String,
}

/// The reason why the API would reject a call: its kind, and a description.
type Problem = (Code, String);

/// Checks a plan that starts from what was observed. If there is no finding, the API accepts every call of the plan.
pub fn check(plan: &Plan, observed: &Observed) -> Vec<Finding> {
    let mut findings = Vec::new();
    steps(plan, &mut findings);
    let Some(dialect) = Dialect::of(plan.dialect) else {
        findings.extend(plan.steps.first().map(|step| Finding {
            step: step.key.clone(),
            call: None,
            code: Code::UnknownDialect,
            message: format!("the calls are in dialect {}, which is none of MidoNet's", plan.dialect),
        }));
        return findings;
    };
    let mut model = Model::of(plan, observed);
    for step in &plan.steps {
        for (at, call) in step.calls.iter().enumerate() {
            let mut problems = Vec::new();
            play(dialect, &mut model, step, call, &mut problems);
            let found = problems.into_iter();
            findings.extend(found.map(|(code, message)| Finding {
                step: step.key.clone(),
                call: Some(at),
                code,
                message,
            }));
        }
    }
    findings
}

/// Checks everything about the steps that needs no execution of their calls.
fn steps(plan: &Plan, findings: &mut Vec<Finding>) {
    let mut seen: BTreeSet<(&Key, Action)> = BTreeSet::new();
    let mut positions: BTreeMap<&Key, usize> = BTreeMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        positions.entry(&step.key).or_insert(at);
    }
    for (at, step) in plan.steps.iter().enumerate() {
        let mut find = |code, message: String| {
            findings.push(Finding { step: step.key.clone(), call: None, code, message });
        };
        if !seen.insert((&step.key, step.action)) {
            find(Code::DuplicateStep, format!("a second {:?} of {}", step.action, step.key));
        }
        for needed in &step.needs {
            match positions.get(needed) {
                None => find(Code::UnknownNeed, format!("it needs {needed}, which has no step")),
                Some(position) if *position >= at => {
                    find(Code::LateNeed, format!("it needs {needed}, which comes later"))
                }
                Some(_) => {}
            }
        }
        match step.action {
            Action::Keep if !step.calls.is_empty() => {
                find(Code::CallsToKeep, "keeping takes no calls".to_owned())
            }
            Action::Keep => {}
            _ if step.calls.is_empty() => find(Code::NoCalls, "a change takes calls".to_owned()),
            _ if step.undo.is_empty() => find(Code::NoUndo, "a change can be taken back".to_owned()),
            _ => {}
        }
    }
}

/// Executes a call on the model.
fn play(dialect: Dialect, model: &mut Model, step: &Step, call: &Call, problems: &mut Vec<Problem>) {
    let body = match &call.body {
        None => None,
        Some(raw) => match serde_json::from_str::<serde_json::Value>(raw.get()) {
            Ok(body @ serde_json::Value::Object(_)) => Some(body),
            _ => {
                problems.push((Code::BadBody, "the body is no JSON object".to_owned()));
                return;
            }
        },
    };
    let path = segments(&call.path);
    match (call.method, body) {
        (Method::Delete, None) => model.delete(&path, problems),
        (Method::Post, Some(body)) => {
            validate::media_type(dialect, &path, call.content_type.as_deref(), problems);
            validate::body(dialect, &path, &body, problems);
            let offered = body.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
            let own = if call.binds { Some(placeholder::of(&step.key)) } else { offered };
            model.post(&path, &body, own, problems);
        }
        (Method::Put, Some(body)) => {
            validate::media_type(dialect, &path, call.content_type.as_deref(), problems);
            model.put(&path, &body, problems);
        }
        (method, body) => {
            let has = if body.is_some() { "a" } else { "no" };
            problems.push((Code::BadMethod, format!("a {} with {has} body", method.as_str())));
        }
    }
}

/// Returns the parts of a path. A `/` inside of `${…}` belongs to a key.
fn segments(path: &str) -> Vec<&str> {
    let mut inside = false;
    let parts = path.trim_start_matches('/').split(move |character| {
        match character {
            '{' => inside = true,
            '}' => inside = false,
            _ => {}
        }
        character == '/' && !inside
    });
    parts.collect()
}
