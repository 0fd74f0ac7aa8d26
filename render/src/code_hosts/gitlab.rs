//! GitLab's code quality report.

use serde_json::{Value, json};

use super::{end, fingerprints, words};
use midoform_compiler::diagnostic::{DiagnosticReport, Severity};

/// Returns the report.
pub fn gitlab(findings: &[DiagnosticReport<'_>]) -> Value {
    let one = |(finding, fingerprint): (&DiagnosticReport<'_>, String)| {
        let position = finding.positions.first();
        let path = position.map_or("", |position| position.file);
        let (begin, end) = position.map_or((1, 1), |position| (position.line, end(position).0));
        json!({
            "description": words(finding),
            "check_name": finding.code,
            "fingerprint": fingerprint,
            "severity": match finding.severity {
                Severity::Error => "major",
                Severity::Warning => "minor",
            },
            "location": {"path": path, "lines": {"begin": begin, "end": end}},
        })
    };
    findings.iter().zip(fingerprints(findings)).map(one).collect()
}
