//! JSON Schema (draft 2020-12) of the files, generated from the grammar.

use serde_json::{Value, json};

use super::grammar::schema::{table, with};
use super::grammar::{Grammar, PolicyKeys, SiteKeys, TenantKeys};

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
