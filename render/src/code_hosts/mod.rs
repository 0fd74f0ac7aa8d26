//! Writes diagnostics in the report formats of code hosts: GitHub, GitLab, SARIF.

mod github;
mod gitlab;
mod sarif;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use midoform_compiler::diagnostic::{DiagnosticReport, PositionReport};

pub use github::github;
pub use gitlab::gitlab;
pub use sarif::sarif;

/// Returns the text of a finding: its message, its places and its help, one a line.
fn words(finding: &DiagnosticReport<'_>) -> String {
    let mut words = finding.message.to_owned();
    let here = finding.positions.first().map(|position| position.text).filter(|text| !text.is_empty());
    if let Some(here) = here {
        words.push_str(&format!(": {here}"));
    }
    for position in finding.positions.iter().skip(1) {
        words.push_str(&format!("\n{}:{}: {}", position.file, position.line, position.text));
    }
    for help in finding.help {
        words.push_str(&format!("\nhelp: {help}"));
    }
    words
}

/// Returns the end of a position: not before its beginning, if the marked text is empty or ends a line.
fn end(position: &PositionReport<'_>) -> (u32, u32) {
    (position.end_line, position.end_column).max((position.line, position.column))
}

/// Returns the fingerprints by which findings are recognised between runs: the code, file and message, not the line.
/// Equal findings are numbered.
fn fingerprints(findings: &[DiagnosticReport<'_>]) -> Vec<String> {
    let mut seen: BTreeMap<[&str; 3], usize> = BTreeMap::new();
    let mut fingerprints = Vec::with_capacity(findings.len());
    for finding in findings {
        let file = finding.positions.first().map_or("", |position| position.file);
        let nth = seen.entry([finding.code.name(), file, finding.message]).or_default();
        *nth += 1;
        let mut hash = Sha256::new();
        for part in [finding.code.name(), file, finding.message, &nth.to_string()] {
            hash.update(part);
            hash.update([0]);
        }
        fingerprints.push(hex::encode(hash.finalize()));
    }
    fingerprints
}
