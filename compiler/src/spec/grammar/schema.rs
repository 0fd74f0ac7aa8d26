//! The JSON Schema of a table, generated from its keys.

use serde_json::{Map, Value, json};

use super::{Grammar, KeyView};

/// Returns the schema of a table with these keys and no others.
pub(crate) fn table<T: Grammar>() -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    T::keys().each(&mut |key| {
        if key.required {
            required.push(key.name);
        }
        properties.insert(key.name.to_owned(), property(&key));
    });
    let table = json!({
        "type": "object",
        "description": T::DESCRIPTION,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let constraints: Vec<(&str, Value)> =
        T::CONSTRAINTS.iter().map(|constraint| constraint.schema()).collect();
    match constraints.len() {
        0 | 1 => with(table, constraints),
        _ => {
            let all = constraints.into_iter().map(|(keyword, value)| json!({keyword: value})).collect();
            with(table, [("allOf", Value::Array(all))])
        }
    }
}

fn property(key: &KeyView) -> Value {
    let schema = with(key.shape.schema(), [("description", json!(key.description))]);
    with(schema, key.shape.default_value().map(|default| ("default", default)))
}

/// Adds keywords to a schema.
pub(crate) fn with<'k>(mut schema: Value, keywords: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.extend(keywords.into_iter().map(|(keyword, value)| (keyword.to_owned(), value)));
    }
    schema
}
