//! SARIF 2.1.0, the Static Analysis Results Interchange Format (OASIS).

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{end, fingerprints, words};
use midoform_compiler::diagnostic::{Code, DiagnosticReport, PositionReport, Severity};

/// The characters that a path of a URI has to escape.
const OUTSIDE_PATHS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Returns the log of one run of midoform's checks.
pub fn sarif(findings: &[DiagnosticReport<'_>]) -> Value {
    let codes: BTreeSet<Code> = findings.iter().map(|finding| finding.code).collect();
    let codes: Vec<Code> = codes.into_iter().collect();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| json!({"id": code, "shortDescription": {"text": code.name().replace('-', " ")}}))
        .collect();
    let results: Vec<Value> = findings
        .iter()
        .zip(fingerprints(findings))
        .map(|(finding, fingerprint)| result(finding, &codes, &fingerprint))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "midoform",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{"executionSuccessful": true}],
            "results": results,
        }],
    })
}

fn result(finding: &DiagnosticReport<'_>, codes: &[Code], fingerprint: &str) -> Value {
    let related: Vec<Value> = finding.positions.iter().skip(1).enumerate().map(related).collect();
    let mut result = json!({
        "ruleId": finding.code,
        "ruleIndex": codes.iter().position(|code| *code == finding.code),
        "level": match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": {"text": words(finding)},
        "locations": finding.positions.iter().take(1).map(location).collect::<Vec<_>>(),
        "partialFingerprints": {"midoform/v1": fingerprint},
    });
    if let (Some(fields), false) = (result.as_object_mut(), related.is_empty()) {
        fields.insert("relatedLocations".to_owned(), Value::Array(related));
    }
    result
}

fn related((number, position): (usize, &PositionReport<'_>)) -> Value {
    let mut location = location(position);
    if let Some(fields) = location.as_object_mut() {
        fields.insert("id".to_owned(), json!(number + 1));
        fields.insert("message".to_owned(), json!({"text": position.text}));
    }
    location
}

fn location(position: &PositionReport<'_>) -> Value {
    let (end_line, end_column) = end(position);
    let mut artifact = json!({"uri": uri(position.file)});
    if let (Some(fields), false) = (artifact.as_object_mut(), position.file.starts_with('/')) {
        fields.insert("uriBaseId".to_owned(), json!("%SRCROOT%"));
    }
    json!({"physicalLocation": {
        "artifactLocation": artifact,
        "region": {
            "startLine": position.line,
            "startColumn": position.column,
            "endLine": end_line,
            "endColumn": end_column,
        },
    }})
}

/// Returns a path as a URI reference (RFC 3986): relative, or a `file` URI for an absolute path.
fn uri(path: &str) -> String {
    let scheme = if path.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{}", utf8_percent_encode(path, OUTSIDE_PATHS))
}
