//! Diagnostics as data: what is wrong, where, and the way out. Drawing them is the command line's work.

mod code;

use serde::Serialize;

pub use code::Code;

use crate::source::{LineIndex, Source, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is compiled.
    Error,
    /// Legal, but probably not what was meant.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind, with a stable name such as `overlapping-networks`.
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
    /// The marked places; the first is where it is wrong, the others are what it clashes with.
    pub labels: Vec<Label>,
    /// What the author can do, one way a line.
    pub help: Vec<String>,
}

/// A marked place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there.
    pub text: String,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            labels: vec![Label { span, text: String::new() }],
            help: Vec::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// Says what stands at the first place.
    #[must_use]
    pub fn here(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = text.into();
        }
        self
    }

    /// Marks another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// The first marked place.
    pub fn span(&self) -> Span {
        self.labels.first().map(|label| label.span).unwrap_or_default()
    }
}

/// Collects findings; stages add to it and go on.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// True when one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// All of them: by file and place, errors before warnings at the same place, each once.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| {
            (a.span(), a.severity, a.code, &a.message).cmp(&(b.span(), b.severity, b.code, &b.message))
        });
        self.found.dedup();
        self.found
    }
}

/// A diagnostic for machines: places as file, line and column.
#[derive(Clone, Debug, Serialize)]
pub struct DiagnosticReport<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind.
    pub code: Code,
    /// What is wrong.
    pub message: &'a str,
    /// The marked places.
    pub places: Vec<PlaceReport<'a>>,
    /// Ways out.
    pub help: &'a [String],
}

/// A marked place for machines. Lines and columns count from 1; the end is behind the last character.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the struct's comment says it all")]
pub struct PlaceReport<'a> {
    pub file: &'a str,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
    pub text: &'a str,
}

/// The machine form of diagnostics, with places looked up in the sources that they were found in.
pub fn report<'a>(diagnostics: &'a [Diagnostic], sources: &'a [&'a Source]) -> Vec<DiagnosticReport<'a>> {
    let indexes: Vec<LineIndex> = sources.iter().map(|source| LineIndex::new(source.text())).collect();
    let place = |label: &'a Label| {
        let at = label.span.source.0 as usize;
        let (source, index) = (sources.get(at)?, indexes.get(at)?);
        Some(PlaceReport {
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
        places: diagnostic.labels.iter().filter_map(place).collect(),
        help: &diagnostic.help,
    };
    diagnostics.iter().map(one).collect()
}
