//! Diagnostics as data: the problem, its position, and what to do. The command line draws them.

mod code;

use serde::Serialize;

pub use code::Code;

use crate::source::{LineIndex, Source, Span};

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A problem: nothing is compiled.
    Error,
    /// Legal, but probably a mistake.
    Warning,
}

/// One problem of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The severity.
    pub severity: Severity,
    /// Its kind, with a stable name such as `overlapping-networks`.
    pub code: Code,
    /// The problem, in one line.
    pub message: String,
    /// The marked positions: first the problem's, then those of what it conflicts with.
    pub labels: Vec<Label>,
    /// The ways to solve the problem, one a line.
    pub help: Vec<String>,
}

/// A marked position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The position.
    pub span: Span,
    /// The text beside the mark.
    pub text: String,
}

/// Returns a message with `***` in place of the logins of URLs: a URL that stands in a wrong place may hold one.
fn without_logins(message: String) -> String {
    let Some(scheme) = message.find("://") else { return message };
    let (before, rest) = message.split_at(scheme + 3);
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'')).unwrap_or(rest.len());
    let (url, behind) = rest.split_at(end);
    let host = url.rfind('@').map_or(url, |at| url.get(at..).unwrap_or_default());
    let covered = if host.len() < url.len() { "***" } else { "" };
    format!("{before}{covered}{host}{}", without_logins(behind.to_owned()))
}

impl Diagnostic {
    /// Returns an error at a position.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: without_logins(message.into()),
            labels: vec![Label { span, text: String::new() }],
            help: Vec::new(),
        }
    }

    /// Returns a warning at a position.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// Adds a text to the first position.
    #[must_use]
    pub fn here(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = text.into();
        }
        self
    }

    /// Marks another position.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a way to solve the problem.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Returns the first marked position.
    pub fn span(&self) -> Span {
        self.labels.first().map(|label| label.span).unwrap_or_default()
    }
}

/// Collects diagnostics: each stage adds its own and goes on.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    /// The number of errors among them.
    errors: usize,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        self.found.push(diagnostic);
    }

    /// Returns true if one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns the number of errors.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Returns all of them, sorted by file and position, errors before warnings at the same position, each once.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| {
            (a.span(), a.severity, a.code, &a.message).cmp(&(b.span(), b.severity, b.code, &b.message))
        });
        self.found.dedup();
        self.found
    }
}

/// A diagnostic for machines, with positions as file, line and column.
#[derive(Clone, Debug, Serialize)]
pub struct DiagnosticReport<'a> {
    /// The severity.
    pub severity: Severity,
    /// Its kind.
    pub code: Code,
    /// The problem.
    pub message: &'a str,
    /// The marked positions.
    #[serde(rename = "places")]
    pub positions: Vec<PositionReport<'a>>,
    /// The ways to solve the problem.
    pub help: &'a [String],
}

/// A marked position for machines. Lines and columns count from 1; the end is behind the last character.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the struct's comment says it all")]
pub struct PositionReport<'a> {
    pub file: &'a str,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
    pub text: &'a str,
}

/// Returns the machine form of diagnostics, with positions looked up in their sources.
pub fn report<'a>(diagnostics: &'a [Diagnostic], sources: &'a [&'a Source]) -> Vec<DiagnosticReport<'a>> {
    let indexes: Vec<LineIndex> = sources.iter().map(|source| LineIndex::new(source.text())).collect();
    let position = |label: &'a Label| {
        let at = label.span.source.0 as usize;
        let (source, index) = (sources.get(at)?, indexes.get(at)?);
        Some(PositionReport {
            file: &source.name,
            line: index.line(label.span.start),
            column: index.column(source.text(), label.span.start),
            end_line: index.line(label.span.end),
            end_column: index.column(source.text(), label.span.end),
            text: &label.text,
        })
    };
    let one = |diagnostic: &'a Diagnostic| DiagnosticReport {
        severity: diagnostic.severity,
        code: diagnostic.code,
        message: &diagnostic.message,
        positions: diagnostic.labels.iter().filter_map(position).collect(),
        help: &diagnostic.help,
    };
    diagnostics.iter().map(one).collect()
}
