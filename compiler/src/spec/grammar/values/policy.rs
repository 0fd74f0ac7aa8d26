//! The values of policies.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::text::string;
use super::{Map, Text, map, text};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Spanned;
use crate::spec::Pattern;
use crate::spec::grammar::{Reader, Shape, TomlValue, Value};

/// A regular expression that has to match a whole text.
pub(crate) struct PatternValue;

impl Shape for PatternValue {
    fn wanted(&self) -> String {
        "a regular expression".to_owned()
    }

    fn schema(&self) -> Json {
        json!({"type": "string"})
    }
}

impl Value for PatternValue {
    type Output<'a> = Pattern;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Pattern> {
        let text = string(reader, key, value, self)?;
        match regex_lite::Regex::new(&format!("^(?:{})$", text.value)) {
            Ok(regex) => Some(Pattern { text, regex }),
            Err(error) => {
                let message = format!("`{}` is not a regular expression: {error}", text.value);
                let help = "write one such as \"[a-z][a-z0-9-]*\"; it has to match the whole text";
                reader.push(Diagnostic::error(Code::BadPattern, text.span, message).help(help));
                None
            }
        }
    }
}

const LABELS: Map<Text> = map(text());

/// `true`: all tenants. A table of labels: the tenants that have all of them.
pub(crate) struct ProtectValue;

impl Shape for ProtectValue {
    fn wanted(&self) -> String {
        "true, or a table of labels and their values".to_owned()
    }

    fn schema(&self) -> Json {
        json!({"oneOf": [{"type": "boolean"}, LABELS.schema()]})
    }
}

impl Value for ProtectValue {
    /// The labels. Nothing for `false`.
    type Output<'a> = Spanned<BTreeMap<String, String>>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Self::Output<'a>> {
        let span = reader.span(value.span());
        let labels = match value.get_ref() {
            DeValue::Boolean(false) => return None,
            DeValue::Boolean(true) => BTreeMap::new(),
            DeValue::Table(_) => {
                const FORM: &Map<Text> = &LABELS;
                let labels = FORM.read(reader, key, value)?;
                labels.into_iter().map(|(label, text)| (label, text.value)).collect()
            }
            _ => {
                reader.wrong_type(key, value, &self.wanted());
                return None;
            }
        };
        Some(Spanned { value: labels, span })
    }
}
