//! The plan as JSON: one line a step, so that two plans can be compared by eye. `docs/plan-format.md`
//! describes it.

use std::io::{self, Write};

use midoform_compiler::plan::reachability::Reachability;
use midoform_compiler::plan::{Plan, canonical};

/// Writes a plan, and returns its SHA-256, which stands at its end.
///
/// # Errors
/// Whatever the writer answers.
pub fn write(plan: &Plan, out: impl Write) -> io::Result<String> {
    write_with(plan, None, out)
}

/// The same, with what the change opens and closes. The hash is the plan's alone.
///
/// # Errors
/// Whatever the writer answers.
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
