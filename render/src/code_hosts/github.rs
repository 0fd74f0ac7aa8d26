//! GitHub's workflow commands: a line for each finding, which becomes an annotation of the pull request.

use std::fmt::Write;

use super::{end, words};
use midoform_compiler::diagnostic::{DiagnosticReport, Severity};
use midoform_compiler::printable::printable;

/// Returns the commands.
pub fn github(findings: &[DiagnosticReport<'_>]) -> String {
    let mut text = String::new();
    for finding in findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut properties = Vec::new();
        if let Some(position) = finding.positions.first() {
            let (end_line, end_column) = end(position);
            properties.push(format!("file={}", property(position.file)));
            properties.push(format!("line={}", position.line));
            properties.push(format!("endLine={end_line}"));
            // Columns are accepted only for a range in one line.
            if end_line == position.line {
                properties.push(format!("col={}", position.column));
                properties.push(format!("endColumn={end_column}"));
            }
        }
        properties.push(format!("title={}", property(finding.code.name())));
        // Writing to a string can't fail.
        let _ = writeln!(text, "::{command} {}::{}", properties.join(","), data(&words(finding)));
    }
    text
}

/// Escapes the text after the second `::`, as the runner's toolkit does.
fn data(text: &str) -> String {
    // What is left of control characters would act on whoever reads the log in a terminal.
    printable(&text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")).into_owned()
}

/// Escapes the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
