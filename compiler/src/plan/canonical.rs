//! The canonical JSON form of a plan, and the SHA-256 of it. `docs/plan-format.md` describes the form.

use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::plan::{Engine, Plan, Summary};

#[derive(Serialize)]
struct Head<'a> {
    format: &'a str,
    site: &'a str,
    engine: Engine,
    base: &'a str,
    summary: Summary,
}

/// Hashes all bytes that pass to the inner writer.
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

/// Writes the canonical form up to the end of the last step, and returns its SHA-256. The caller closes the object.
///
/// # Errors
/// Returns the writer's error.
pub fn write(plan: &Plan, out: impl Write) -> io::Result<String> {
    let mut out = Hashing { inner: out, hash: Sha256::new() };
    write_hashed(plan, &mut out)?;
    Ok(hex::encode(out.hash.finalize()))
}

fn write_hashed(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    let head = Head {
        format: &plan.format,
        site: &plan.site,
        engine: plan.engine,
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

/// Returns the SHA-256 of a plan: that of the canonical form up to the end of its last step.
pub fn hash(plan: &Plan) -> String {
    // A sink takes every write.
    write(plan, io::sink()).unwrap_or_default()
}
