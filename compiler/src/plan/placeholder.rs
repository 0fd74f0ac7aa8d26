//! Placeholders in calls: `${KEY}` stands for the id of the object with that key, where only the server knows it.

use std::fmt::Display;

/// A part of a text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'t, V> {
    /// Text that stands for itself.
    Text(&'t str),
    /// The value of a placeholder.
    Value(V),
}

/// Returns the placeholder for an object's id.
pub fn of(key: &impl Display) -> String {
    format!("${{{key}}}")
}

/// Takes a text with placeholders apart. A placeholder whose key has no value stays text.
pub fn parts<'t, V>(text: &'t str, value: impl Fn(&str) -> Option<V>) -> Vec<Part<'t, V>> {
    let mut parts = Vec::new();
    let (mut begin, mut from) = (0, 0);
    while let Some(at) = text[from..].find("${").map(|found| from + found) {
        let inside = at + "${".len();
        let end = text[inside..].find('}').map(|found| inside + found);
        match end.and_then(|end| Some((end, value(&text[inside..end])?))) {
            Some((end, value)) => {
                if begin < at {
                    parts.push(Part::Text(&text[begin..at]));
                }
                parts.push(Part::Value(value));
                (begin, from) = (end + 1, end + 1);
            }
            None => from = inside,
        }
    }
    if begin < text.len() {
        parts.push(Part::Text(&text[begin..]));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_become_values_and_everything_else_stays_text() {
        let value = |key: &str| (key == "a/port").then_some(7);
        assert_eq!(parts("", value), []);
        assert_eq!(parts("${a/port}", value), [Part::Value(7)]);
        assert_eq!(
            parts("/ports/${a/port}/x${b}${a/port}", value),
            [Part::Text("/ports/"), Part::Value(7), Part::Text("/x${b}"), Part::Value(7)]
        );
        assert_eq!(parts("é${${a/port}$", value), [Part::Text("é${"), Part::Value(7), Part::Text("$")]);
        assert_eq!(parts("${a/port", value), [Part::Text("${a/port")]);
    }
}
