//! Conditions on several keys of one table.

use serde_json::{Value as Json, json};

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// A condition on several keys of a table, and the message if it does not hold.
pub(crate) struct Constraint {
    pub(crate) count: Count,
    /// Sets of keys. All keys of a set belong together.
    pub(crate) sets: &'static [&'static [&'static str]],
    pub(crate) code: Code,
    pub(crate) message: &'static str,
    pub(crate) help: &'static str,
}

/// The required number of sets of keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// One set, with all of its keys, and no key of another set.
    ExactlyOne,
    /// One set or more. Each set has one key.
    AtLeastOne,
    /// One set or none. Each set has one key.
    AtMostOne,
    /// The keys of the only set: all of them or none.
    Together,
}

impl Constraint {
    fn holds(&self, is_there: impl Fn(&str) -> bool) -> bool {
        let is_there = |key: &&str| is_there(key);
        let mut sets = self.sets.iter().filter(|set| set.iter().any(is_there));
        match self.count {
            Count::ExactlyOne => {
                sets.next().is_some_and(|set| set.iter().all(is_there)) && sets.next().is_none()
            }
            Count::AtLeastOne => sets.next().is_some(),
            Count::AtMostOne => sets.nth(1).is_none(),
            Count::Together => sets.all(|set| set.iter().all(is_there)),
        }
    }

    /// Returns the diagnostic if the constraint does not hold in a table. `span_of` returns the span of a key's value, or
    /// nothing if the table does not have the key.
    pub(super) fn problem(&self, table: Span, span_of: impl Fn(&str) -> Option<Span>) -> Option<Diagnostic> {
        if self.holds(|key| span_of(key).is_some()) {
            return None;
        }
        let mut present = self.sets.iter().copied().flatten().filter_map(|key| span_of(key));
        let diagnostic = match (self.count, present.next(), present.next()) {
            (Count::AtMostOne, Some(first), Some(second)) => {
                Diagnostic::error(self.code, second, self.message).also(first, "the other one")
            }
            _ => Diagnostic::error(self.code, table, self.message),
        };
        Some(diagnostic.help(self.help))
    }

    /// Returns the constraint as the keywords of a JSON Schema.
    pub(crate) fn schema(&self) -> (&'static str, Json) {
        let others = |own: &[&str]| -> Vec<Json> {
            let keys = self.sets.iter().copied().flatten().filter(|key| !own.contains(key));
            keys.map(|key| json!({"required": [key]})).collect()
        };
        let is_simple = self.sets.iter().all(|set| set.len() == 1);
        let choice = |set: &&[&str]| match is_simple {
            true => json!({"required": set}),
            false => json!({"required": set, "not": {"anyOf": others(set)}}),
        };
        let mut choices: Vec<Json> = self.sets.iter().map(choice).collect();
        match self.count {
            Count::ExactlyOne => ("oneOf", Json::Array(choices)),
            Count::AtLeastOne => ("anyOf", Json::Array(choices)),
            Count::AtMostOne => {
                choices.push(json!({"not": {"anyOf": others(&[])}}));
                ("oneOf", Json::Array(choices))
            }
            Count::Together => {
                let keys = || self.sets.iter().copied().flatten();
                let needs = keys().map(|key| {
                    let others: Vec<&&str> = keys().filter(|other| *other != key).collect();
                    ((*key).to_owned(), json!(others))
                });
                ("dependentRequired", Json::Object(needs.collect()))
            }
        }
    }
}
