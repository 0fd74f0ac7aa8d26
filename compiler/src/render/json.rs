//! The plan as JSON: one line a step, so that two plans can be compared by eye. `docs/plan-format.md`
//! describes it.

use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::dialect::Dialect;
use crate::observed::hex;
use crate::plan::{Plan, Summary};
use crate::verify::Reachability;

#[derive(Serialize)]
struct Head<'a> {
    format: &'a str,
    site: &'a str,
    dialect: Dialect,
    base: &'a str,
    summary: Summary,
}

/// Hashes what passes.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

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
pub fn write_with(plan: &Plan, reachability: Option<&Reachability>, out: impl Write) -> io::Result<String> {
    let mut out = Hashing { inner: out, hash: Sha256::new() };
    write_hashed(plan, &mut out)?;
    let hash = hex(&out.hash.finalize());
    write!(out.inner, "\n],\"sha256\":\"{hash}\"")?;
    if let Some(told) = reachability.filter(|told| !told.changes.is_empty() || !told.not_compared.is_empty())
    {
        write!(out.inner, ",\"reachability\":{}", serde_json::to_string(told)?)?;
    }
    writeln!(out.inner, "}}")?;
    out.inner.flush()?;
    Ok(hash)
}

/// What the hash covers: everything before its own line.
fn write_hashed(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    let head = Head {
        format: &plan.format,
        site: &plan.site,
        dialect: plan.dialect,
        base: &plan.base,
        summary: plan.summary(),
    };
    let mut buffer = serde_json::to_vec(&head)?;
    buffer.pop();
    buffer.extend_from_slice(b",\"steps\":[");
    let mut first = true;
    for step in &plan.steps {
        buffer.extend_from_slice(if first { b"\n" } else { b",\n" });
        first = false;
        serde_json::to_writer(&mut buffer, step)?;
        if buffer.len() > 1 << 16 {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)
}

/// SHA-256 of a plan: of the JSON form up to the end of its last step.
pub fn hash(plan: &Plan) -> String {
    let mut out = Hashing { inner: io::sink(), hash: Sha256::new() };
    // Writing to a sink can't fail.
    let _ = write_hashed(plan, &mut out);
    hex(&out.hash.finalize())
}
