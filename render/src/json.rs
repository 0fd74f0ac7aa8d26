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
    end(canonical::write(plan, &mut out)?, None, out)
}

/// Writes a plan with the change of reachability and the hash of the saved plan. The plan's own hash covers the plan only.
pub(super) fn write_with(plan: &Plan, options: &Options<'_>, mut out: impl Write) -> io::Result<String> {
    end(canonical::write(plan, &mut out)?, Some(options), out)
}

fn end(hash: String, options: Option<&Options<'_>>, mut out: impl Write) -> io::Result<String> {
    write!(out, "\n],\"sha256\":\"{hash}\"")?;
    if let Some(options) = options {
        known_besides(options, &mut out)?;
    }
    writeln!(out, "}}")?;
    out.flush()?;
    Ok(hash)
}

/// Writes what is known besides the plan.
fn known_besides(options: &Options<'_>, out: &mut impl Write) -> io::Result<()> {
    if let Some(saved) = options.saved_sha256 {
        write!(out, ",\"saved_sha256\":\"{saved}\"")?;
    }
    let is_told = |told: &&Reachability| !told.changes.is_empty() || !told.not_compared.is_empty();
    if let Some(told) = options.reachability.filter(is_told) {
        write!(out, ",\"reachability\":{}", serde_json::to_string(told)?)?;
    }
    if !options.cut_pods.is_empty() {
        let ports: Vec<&str> = options.cut_pods.iter().map(|port| port.what.as_str()).collect();
        write!(out, ",\"cut_pods\":{}", serde_json::to_string(&ports)?)?;
    }
    if !options.used_twice.is_empty() {
        write!(out, ",\"used_twice\":{}", serde_json::to_string(options.used_twice)?)?;
    }
    if !options.foreign.is_empty() {
        write!(out, ",\"foreign\":{}", serde_json::to_string(options.foreign)?)?;
    }
    Ok(())
}
