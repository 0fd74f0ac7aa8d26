//! Text.

use serde_json::{Value as Json, json};

use crate::source::Spanned;
use crate::spec::grammar::{Reader, Shape, TomlValue, Value};

/// A text. The schema checks it against a pattern, if there is one.
pub(crate) struct Text {
    pattern: Option<&'static str>,
}

/// Makes the form of any text.
pub(crate) const fn text() -> Text {
    Text { pattern: None }
}

impl Text {
    /// Makes the form of a text that the schema checks against a pattern. The reader's own check says more than a
    /// pattern can.
    pub(crate) const fn like(pattern: &'static str) -> Text {
        Text { pattern: Some(pattern) }
    }
}

/// Reads a string that has further conditions.
pub(super) fn string(
    reader: &mut Reader<'_>,
    key: &str,
    value: &TomlValue<'_>,
    shape: &impl Shape,
) -> Option<Spanned<String>> {
    let found = spanned(reader, value);
    if found.is_none() {
        reader.wrong_type(key, value, &format!("{}, as a string", shape.wanted()));
    }
    found
}

fn spanned(reader: &Reader<'_>, value: &TomlValue<'_>) -> Option<Spanned<String>> {
    let text = value.get_ref().as_str()?;
    Some(Spanned { value: text.to_owned(), span: reader.span(value.span()) })
}

/// Returns the schema of a string with a pattern.
pub(super) fn pattern(pattern: &str) -> Json {
    json!({"type": "string", "pattern": pattern})
}

impl Shape for Text {
    fn wanted(&self) -> String {
        "a string".to_owned()
    }

    fn schema(&self) -> Json {
        self.pattern.map_or_else(|| json!({"type": "string"}), pattern)
    }
}

impl Value for Text {
    type Output<'a> = Spanned<String>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<String>> {
        let found = spanned(reader, value);
        if found.is_none() {
            reader.wrong_type(key, value, &self.wanted());
        }
        found
    }
}
