//! A plan for OVN as a POSIX shell script of `ovsdb-client transact`.

use std::io::Write;

use midoform_compiler::plan::{Plan, Step};
use serde::Serialize;

use crate::shell::{CutPart, comment, single_quoted};
use crate::templates::Templates;
use crate::{Options, RenderError};

/// The number of bytes from which on a transaction ends: the longest argument that Linux passes to a program has 131,072.
const LARGEST: usize = 100_000;

#[derive(Serialize)]
struct Script<'a> {
    site: String,
    /// The servers, as one word of a shell.
    servers: String,
    sha256: &'a str,
    changes: usize,
    #[serde(flatten)]
    cut: CutPart,
    transactions: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    /// What each step does.
    steps: Vec<String>,
    /// The JSON, as one word of a shell.
    transaction: String,
}

pub(super) fn write(
    plan: &Plan,
    options: &Options<'_>,
    templates: &Templates,
    out: &mut impl Write,
) -> Result<(), RenderError> {
    let steps: Vec<&Step> = plan.changes().collect();
    let script = Script {
        site: comment(&plan.site),
        servers: single_quoted(options.base_url),
        sha256: &options.sha256(plan),
        changes: steps.len(),
        cut: CutPart::new(options.cut_pods),
        transactions: transactions(&steps)?,
    };
    out.write_all(templates.fill("shell-northbound.hbs", &script)?.as_bytes())?;
    Ok(())
}

/// Returns the steps as transactions, each as short as an argument of a program has to be.
fn transactions(steps: &[&Step]) -> Result<Vec<Part>, RenderError> {
    let mut parts = Vec::new();
    let (mut lines, mut json) = (Vec::new(), String::new());
    for step in steps {
        let mut own = String::new();
        for operation in step.row_operations() {
            own.push_str(", ");
            own.push_str(&serde_json::to_string(operation).map_err(std::io::Error::from)?);
        }
        if !json.is_empty() && json.len() + own.len() > LARGEST {
            parts.push(part(std::mem::take(&mut lines), &std::mem::take(&mut json)));
        }
        lines.push(format!(
            "{} {}: {}",
            step.action.sign(),
            comment(step.key.as_str()),
            comment(&step.reason)
        ));
        json.push_str(&own);
    }
    if !json.is_empty() {
        parts.push(part(lines, &json));
    }
    Ok(parts)
}

fn part(steps: Vec<String>, operations: &str) -> Part {
    Part { steps, transaction: single_quoted(&format!("[\"OVN_Northbound\"{operations}]")) }
}
