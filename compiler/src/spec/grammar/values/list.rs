//! Lists, and tables whose keys are the author's own.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::SizedNetwork;
use crate::source::{Span, Spanned};
use crate::spec::grammar::{HasDefault, Reader, Shape, TomlValue, Value};

/// A list.
pub(crate) struct List<V>(V);

/// Makes the form of a list of values of one form.
pub(crate) const fn list<V>(item: V) -> List<V> {
    List(item)
}

impl<V: Value> Shape for List<V> {
    fn wanted(&self) -> String {
        format!("a list, each item {}", self.0.wanted())
    }

    fn schema(&self) -> Json {
        json!({"type": "array", "items": self.0.schema()})
    }
}

impl<V: Value> Value for List<V> {
    /// The items that fit.
    type Output<'a> = Vec<V::Output<'a>>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Self::Output<'a>> {
        let Some(items) = value.get_ref().as_array() else {
            reader.wrong_type(key, value, &self.wanted());
            return None;
        };
        Some(items.iter().filter_map(|item| self.0.read(reader, key, item)).collect())
    }
}

/// A value or a list of values.
pub(crate) struct OneOrList<V>(V);

/// Makes the form of one value, or of a list of values of the same form.
pub(crate) const fn one_or_list<V>(item: V) -> OneOrList<V> {
    OneOrList(item)
}

/// The values of a list.
pub(crate) struct Listed<T> {
    /// The values that fit.
    pub(crate) items: Vec<T>,
    /// True if all fit.
    pub(crate) is_complete: bool,
    /// The position of the whole list.
    pub(crate) span: Span,
}

impl<T> Listed<Spanned<T>> {
    /// Returns the values if all fit.
    pub(crate) fn complete(self) -> Option<Spanned<Vec<T>>> {
        let value = self.items.into_iter().map(|item| item.value).collect();
        self.is_complete.then_some(Spanned { value, span: self.span })
    }
}

impl<V: Value> Shape for OneOrList<V> {
    fn wanted(&self) -> String {
        format!("{}, or a list of these", self.0.wanted())
    }

    fn schema(&self) -> Json {
        let item = self.0.schema();
        json!({"oneOf": [item.clone(), {"type": "array", "items": item}]})
    }
}

impl<V: Value> Value for OneOrList<V> {
    type Output<'a> = Listed<V::Output<'a>>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Self::Output<'a>> {
        let span = reader.span(value.span());
        let (count, items): (usize, Vec<_>) = match value.get_ref() {
            DeValue::Array(items) => {
                (items.len(), items.iter().filter_map(|item| self.0.read(reader, key, item)).collect())
            }
            DeValue::String(_) | DeValue::Integer(_) => {
                (1, self.0.read(reader, key, value).into_iter().collect())
            }
            _ => {
                reader.wrong_type(key, value, &self.wanted());
                return None;
            }
        };
        Some(Listed { is_complete: items.len() == count, items, span })
    }
}

impl HasDefault for OneOrList<SizedNetwork> {
    type Default = Ipv4Net;

    fn output<'a>(&self, default: Ipv4Net, span: Span) -> Self::Output<'a> {
        Listed { items: vec![Spanned { value: default, span }], is_complete: true, span }
    }

    fn json(&self, default: Ipv4Net) -> Json {
        Json::from(default.to_string())
    }
}

/// A table whose keys are the author's own.
pub(crate) struct Map<V>(V);

/// Makes the form of a table whose keys are the author's own, and whose values have one form.
pub(crate) const fn map<V>(value: V) -> Map<V> {
    Map(value)
}

impl<V: Value> Shape for Map<V> {
    fn wanted(&self) -> String {
        format!("a table, each value {}", self.0.wanted())
    }

    fn schema(&self) -> Json {
        json!({"type": "object", "additionalProperties": self.0.schema()})
    }
}

impl<V: Value> Value for Map<V> {
    type Output<'a> = BTreeMap<String, V::Output<'a>>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Self::Output<'a>> {
        let Some(table) = value.get_ref().as_table() else {
            reader.wrong_type(key, value, &self.wanted());
            return None;
        };
        let pairs = table.iter().filter_map(|(name, value)| {
            let name: &str = name.get_ref();
            Some((name.to_owned(), self.0.read(reader, name, value)?))
        });
        Some(pairs.collect())
    }
}

/// A value that its reader takes apart.
pub(crate) struct Raw;

impl Shape for Raw {
    fn wanted(&self) -> String {
        "a value".to_owned()
    }

    fn schema(&self) -> Json {
        json!({})
    }
}

impl Value for Raw {
    type Output<'a> = &'a TomlValue<'a>;

    fn read<'a>(
        &'static self,
        _: &mut Reader<'_>,
        _: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<&'a TomlValue<'a>> {
        Some(value)
    }
}
