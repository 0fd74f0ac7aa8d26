//! Writes the plan as JSON, one line for each step, so that two plans can be compared by eye. `docs/plan-format.md`
//! describes it.

use std::io::{self, Write};

use midoform_compiler::plan::reachability::Reachability;
use midoform_compiler::plan::{Plan, canonical};

/// Writes a plan, and returns its SHA-256, which is at its end.
///
/// # Errors
/// Returns the writer's error.
pub fn write(plan: &Plan, out: impl Write) -> io::Result<String> {
    write_with(plan, None, out)
}

/// Writes a plan with the change of reachability. The hash covers the plan only.
///
/// # Errors
/// Returns the writer's error.
pub fn write_with(
    plan: &Plan,
    reachability: Option<&Reachability>,
    mut out: impl Write,
) -> io::Result<String> {
    let hash = canonical::write(plan, &mut out)?;
    write!(out, "\n],\"sha256\":\"{hash}\"")?;
    if let Some(told) = reachability.filter(|told| !told.changes.is_empty() || !told.not_compared.is_empty())
    {
        write!(out, ",\"reachability\":{}", serde_json::to_string(told)?)?;
    }
    writeln!(out, "}}")?;
    out.flush()?;
    Ok(hash)
}
