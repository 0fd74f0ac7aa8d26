//! A plan for MidoNet as a POSIX shell script of curl calls.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::templates::Templates;
use super::{Options, RenderError};
use midoform_compiler::midonet::dialect::{Dialect, created};
use midoform_compiler::plan::cut::{CutPort, noun};
use midoform_compiler::plan::placeholder::{self, Part};
use midoform_compiler::plan::{HttpCall, Method, Plan, Step};
use midoform_compiler::printable::printable;

#[derive(Serialize)]
struct Head<'a> {
    site: String,
    base_url: String,
    sha256: &'a str,
    changes: usize,
    /// True if objects are updated: the script needs jq.
    updates: bool,
    dialect: u8,
    /// The dialect that the server must not have.
    other_dialect: u8,
    #[serde(flatten)]
    cut: CutPart,
}

/// What a script says of the pods that its plan cuts off.
#[derive(Serialize)]
pub(super) struct CutPart {
    cut_pods: usize,
    cut_noun: &'static str,
    cut_verb: &'static str,
    cut_pod_lines: Vec<String>,
}

impl CutPart {
    pub(super) fn new(ports: &[CutPort]) -> CutPart {
        CutPart {
            cut_pods: ports.len(),
            cut_noun: noun(ports),
            cut_verb: if ports.len() == 1 { "is" } else { "are" },
            cut_pod_lines: ports.iter().map(|port| comment(&port.what)).collect(),
        }
    }
}

#[derive(Serialize)]
struct StepPart {
    sign: &'static str,
    key: String,
    quoted_key: String,
    reason: String,
    calls: Vec<CallPart>,
}

#[derive(Serialize)]
struct CallPart {
    /// `call`, or `update` for a call whose body holds fields to set.
    function: &'static str,
    method: &'static str,
    path: String,
    content_type: String,
    body: String,
    /// The end of the `Location` of a created object, without its id.
    below: String,
    /// The id of a created object, `chosen` if the server chooses it, or `none` if there may be no `Location`.
    id: String,
    /// The shell variable for the id that the server chooses.
    variable: String,
}

/// Writes the script.
pub(super) fn write(
    plan: &Plan,
    dialect: Dialect,
    options: &Options<'_>,
    templates: &Templates,
    out: &mut impl Write,
) -> Result<(), RenderError> {
    let sha256 = options.sha256(plan);
    let changes = plan.summary().changes();
    let head = Head {
        site: comment(&plan.site),
        base_url: double_quoted(options.base_url),
        sha256: &sha256,
        changes,
        updates: plan.changes().flat_map(Step::http_calls).any(|call| call.merges),
        dialect: dialect.into(),
        other_dialect: if dialect == Dialect::V1 { 5 } else { 1 },
        cut: CutPart::new(options.cut_pods),
    };
    out.write_all(templates.fill("shell.hbs", &head)?.as_bytes())?;
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    for step in plan.changes() {
        if step.http_calls().any(|call| call.binds) {
            let name = format!("id_{}", variables.len() + 1);
            variables.entry(step.key.as_str()).or_insert(name);
        }
        let part = part(step, dialect, &variables);
        out.write_all(templates.fill("shell-step.hbs", &part)?.as_bytes())?;
    }
    out.write_all(templates.fill("shell-end.hbs", &head)?.as_bytes())?;
    Ok(())
}

fn part(step: &Step, dialect: Dialect, variables: &BTreeMap<&str, String>) -> StepPart {
    let call = |call: &HttpCall| {
        let (below, id) = named(step, dialect, call);
        CallPart {
            function: if call.merges { "update" } else { "call" },
            method: call.method.as_str(),
            path: quoted(&call.path, variables),
            content_type: quoted(call.content_type.as_deref().unwrap_or_default(), variables),
            body: quoted(call.body.as_ref().map(|body| body.get()).unwrap_or_default(), variables),
            variable: match call.binds {
                true => variables.get(step.key.as_str()).cloned().unwrap_or_default(),
                false => String::new(),
            },
            below: quoted(&below, variables),
            id: quoted(&id, variables),
        }
    };
    StepPart {
        sign: step.action.sign(),
        key: comment(step.key.as_str()),
        quoted_key: quoted(step.key.as_str(), variables),
        reason: comment(&step.reason),
        calls: step.http_calls().map(call).collect(),
    }
}

/// Returns what the `Location` of a POST's response has to end with, and the id behind that.
fn named(step: &Step, dialect: Dialect, call: &HttpCall) -> (String, String) {
    let Some(body) = call.body.as_ref().filter(|_| call.method == Method::Post) else {
        return (String::new(), String::new());
    };
    match created(dialect, step.kind, &call.path, body.get()) {
        Some(created) if created.may_be_unnamed() => (created.below().to_owned(), "none".to_owned()),
        Some(created) => (created.below().to_owned(), created.id().unwrap_or("chosen").to_owned()),
        None => (String::new(), "chosen".to_owned()),
    }
}

/// Quotes text as one shell word, with variables in place of the placeholders that have one.
pub(super) fn quoted(text: &str, variables: &BTreeMap<&str, String>) -> String {
    let mut word = String::with_capacity(text.len() + 2);
    for part in placeholder::parts(text, |key| variables.get(key)) {
        match part {
            Part::Text(text) => word.push_str(&single_quoted(text)),
            Part::Value(variable) => word.extend(["\"$", variable, "\""]),
        }
    }
    match word.is_empty() {
        true => single_quoted(""),
        false => word,
    }
}

/// Quotes text as one word of a shell.
pub fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Escapes text for double quotes.
fn double_quoted(text: &str) -> String {
    let mut result = String::new();
    for character in text.chars() {
        if matches!(character, '"' | '\\' | '$' | '`') {
            result.push('\\');
        }
        result.push(character);
    }
    result
}

/// Keeps text on the line of its comment.
pub(super) fn comment(text: &str) -> String {
    printable(text).into_owned()
}
