//! JSON Schema (draft 2020-12) of the files, generated from the grammar.

use serde_json::{Map, Value, json};

use super::grammar::{Grammar, KeyView, PolicyKeys, SiteKeys, TenantKeys};

/// Returns the schema of a site file.
pub fn site() -> Value {
    document::<SiteKeys>("midoform site file")
}

/// Returns the schema of a tenant file.
pub fn tenant() -> Value {
    document::<TenantKeys>("midoform tenant file")
}

/// Returns the schema of a policy file.
pub fn policy() -> Value {
    document::<PolicyKeys>("midoform policy file")
}

fn document<T: Grammar>(title: &str) -> Value {
    with(
        table::<T>(),
        [("$schema", json!("https://json-schema.org/draft/2020-12/schema")), ("title", json!(title))],
    )
}

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
fn with<'k>(mut schema: Value, keywords: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.extend(keywords.into_iter().map(|(keyword, value)| (keyword.to_owned(), value)));
    }
    schema
}
