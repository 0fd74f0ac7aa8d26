//! The difference of two objects in words.

use std::collections::BTreeSet;

use serde::Serialize;

/// Describes the fields that two objects don't have in common.
pub(super) fn changed_fields(old: &impl Serialize, new: &impl Serialize) -> String {
    let (old, new) = (fields(old), fields(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let shown = |name: &str, value: Option<&serde_json::Value>| match (name, value) {
        // It is written only if it is false.
        ("admin_state_up", None) => "true".to_owned(),
        _ => show(value),
    };
    let words: Vec<String> = changed
        .map(|name| format!("{name}: {} → {}", shown(name, old.get(name)), shown(name, new.get(name))))
        .collect();
    words.join(", ")
}

fn fields(object: &impl Serialize) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(object) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

/// Shows a field's value.
pub(super) fn show(value: Option<&serde_json::Value>) -> String {
    match value {
        None | Some(serde_json::Value::Null) => "none".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Object(fields)) if fields.len() == 1 => show(fields.values().next()),
        Some(serde_json::Value::Object(fields)) if fields.len() == 2 && fields.contains_key("start") => {
            let (start, end) = (show(fields.get("start")), show(fields.get("end")));
            if start == end { start } else { format!("{start}-{end}") }
        }
        Some(other) => other.to_string(),
    }
}
