//! The state of reading one file.

use std::ops::Range;

use toml::de::DeValue;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceId, Span};

/// A value of a TOML file with its position.
pub(crate) type TomlValue<'a> = toml::Spanned<DeValue<'a>>;

/// The file that is read, and the diagnostics about it.
pub(crate) struct Reader<'d> {
    pub(crate) source: SourceId,
    pub(crate) diagnostics: &'d mut Diagnostics,
}

impl Reader<'_> {
    /// Adds a diagnostic.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Returns the span of a range of bytes of the file.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { source: self.source, start: narrow(range.start), end: narrow(range.end) }
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type(&mut self, key: &str, value: &TomlValue<'_>, wanted: &str) {
        let span = self.span(value.span());
        let message = format!("`{key}` has to be {wanted}");
        let here = format!("this is {}", with_article(value));
        self.push(Diagnostic::error(Code::WrongType, span, message).here(here));
    }
}

fn with_article(value: &TomlValue<'_>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Returns the candidate that looks most like a word, if one does.
pub(crate) fn nearest<'w>(word: &str, candidates: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let scored = candidates.map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    let (distance, candidate) = scored.min()?;
    (distance <= (word.len().max(candidate.len()) / 3).max(1)).then_some(candidate)
}
