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

use crate::midonet::dialect::Dialect;
use crate::plan::{HttpCall, Method, Plan, Step, placeholder, structure};
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
    structure::check(plan, &mut |step, fault, message| {
        findings.push(Finding { step: step.clone(), call: None, code: fault.into(), message });
    });
    let Some(dialect) = Dialect::of(plan.engine) else {
        findings.extend(plan.steps.first().map(|step| Finding {
            step: step.key.clone(),
            call: None,
            code: Code::UnknownDialect,
            message: format!("the calls are for {}, which is not MidoNet", plan.engine),
        }));
        return findings;
    };
    let mut model = Model::of(plan, observed);
    for step in &plan.steps {
        for (at, call) in step.calls.iter().enumerate() {
            let Some(call) = call.http() else { continue };
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

/// Executes a call on the model.
fn play(dialect: Dialect, model: &mut Model, step: &Step, call: &HttpCall, problems: &mut Vec<Problem>) {
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
