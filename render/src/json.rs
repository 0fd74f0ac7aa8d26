//! Writes the plan as JSON, one line for each step, so that two plans can be compared by eye. `docs/plan-format.md`
//! describes it.

use std::io::{self, Write};

use midoform_compiler::plan::reachability::Reachability;
use midoform_compiler::plan::{Plan, canonical};

use crate::Options;

/// Writes a plan, and returns its SHA-256, which is at its end.
///
/// # Errors
/// Returns the writer's error.
pub fn write(plan: &Plan, mut out: impl Write) -> io::Result<String> {
    end(canonical::write(plan, &mut out)?, None, None, &[], out)
}

/// Writes a plan with the change of reachability and the hash of the saved plan. The plan's own hash covers the plan only.
pub(super) fn write_with(plan: &Plan, options: &Options<'_>, mut out: impl Write) -> io::Result<String> {
    end(canonical::write(plan, &mut out)?, options.reachability, options.saved_sha256, options.cut_pods, out)
}

fn end(
    hash: String,
    reachability: Option<&Reachability>,
    saved: Option<&str>,
    cut_pods: &[String],
    mut out: impl Write,
) -> io::Result<String> {
    write!(out, "\n],\"sha256\":\"{hash}\"")?;
    if let Some(saved) = saved {
        write!(out, ",\"saved_sha256\":\"{saved}\"")?;
    }
    if let Some(told) = reachability.filter(|told| !told.changes.is_empty() || !told.not_compared.is_empty())
    {
        write!(out, ",\"reachability\":{}", serde_json::to_string(told)?)?;
    }
    if !cut_pods.is_empty() {
        write!(out, ",\"cut_pods\":{}", serde_json::to_string(cut_pods)?)?;
    }
    writeln!(out, "}}")?;
    out.flush()?;
    Ok(hash)
}
