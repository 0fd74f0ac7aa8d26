//! A TOML table under reading.

use std::fmt;
use std::marker::PhantomData;

use toml::de::DeTable;

use super::{Grammar, HasDefault, Key, Reader, TomlValue, Value, WithDefault, nearest};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// The name of a table in diagnostics.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Called<'a> {
    /// In these words.
    Words(&'static str),
    /// `[key]`.
    Section(&'a str),
    /// One of `[[key]]`.
    Item(&'a str),
    /// The value of a key.
    Value(&'a str),
}

impl fmt::Display for Called<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Called::Words(words) => formatter.write_str(words),
            Called::Section(key) => write!(formatter, "[{key}]"),
            Called::Item(key) if key.starts_with(['a', 'e', 'i', 'o', 'u']) => {
                write!(formatter, "an [[{key}]]")
            }
            Called::Item(key) => write!(formatter, "a [[{key}]]"),
            Called::Value(key) => write!(formatter, "`{key}`"),
        }
    }
}

/// A table of a file, with the keys of the grammar that it may have.
pub(crate) struct Table<'a, T> {
    table: &'a DeTable<'a>,
    pub(crate) span: Span,
    called: Called<'a>,
    keys: PhantomData<T>,
}

impl<'a, T: Grammar> Table<'a, T> {
    /// Opens a table. Reports every key that the grammar does not know, with the nearest one that it knows.
    pub(crate) fn open(
        reader: &mut Reader<'_>,
        table: &'a DeTable<'a>,
        span: Span,
        called: Called<'a>,
    ) -> Self {
        for key in table.keys() {
            let name: &str = key.get_ref();
            let mut is_known = false;
            T::keys().each(&mut |known| is_known |= known.name == name);
            if !is_known {
                let message = format!("{called} has no key `{name}`");
                let span = reader.span(key.span());
                reader.push(Diagnostic::error(Code::UnknownKey, span, message).help(suggestion::<T>(name)));
            }
        }
        Table { table, span, called, keys: PhantomData }
    }

    /// Reads a key. Reports a required key that is missing, and a value that does not fit.
    pub(crate) fn get<V: Value>(
        &self,
        reader: &mut Reader<'_>,
        key: impl FnOnce(&'static T) -> &'static Key<V>,
    ) -> Option<V::Output<'a>> {
        let key = key(T::keys());
        if let Some(value) = self.table.get(key.name) {
            return key.value.read(reader, key.name, value);
        }
        if key.required {
            self.report_missing(reader, key.name, key.example);
        }
        None
    }

    /// Reads a key that has a default. Returns the default if the key is missing or wrong.
    pub(crate) fn get_or_default<V: HasDefault>(
        &self,
        reader: &mut Reader<'_>,
        key: impl FnOnce(&'static T) -> &'static Key<WithDefault<V>>,
    ) -> V::Output<'a> {
        let key = key(T::keys());
        self.get(reader, |_| key).unwrap_or_else(|| key.default_at(self.span))
    }

    /// Reports a key that is missing.
    pub(crate) fn report_missing(&self, reader: &mut Reader<'_>, key: &str, example: &str) {
        let message = format!("{} needs `{key}`", self.called);
        let help = format!("add `{key} = {example}`");
        reader.push(Diagnostic::error(Code::MissingKey, self.span, message).help(help));
    }

    /// Reports every constraint that does not hold. Returns true if all hold.
    pub(crate) fn check_constraints(&self, reader: &mut Reader<'_>) -> bool {
        let mut all = true;
        for constraint in T::CONSTRAINTS {
            let problem = constraint.problem(self.span, |key| self.span_of_name(reader, key));
            if let Some(problem) = problem {
                reader.push(problem);
                all = false;
            }
        }
        all
    }

    /// Returns the text of a key whose value is one, right or wrong.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.table.get(key).and_then(|value| value.get_ref().as_str())
    }

    /// Returns true if the table has the key.
    pub(crate) fn has<V: 'static>(&self, key: impl FnOnce(&'static T) -> &'static Key<V>) -> bool {
        self.has_name(key(T::keys()).name)
    }

    /// Returns the span of the key's value, or of the table if the key is missing.
    pub(crate) fn span_of<V: 'static>(
        &self,
        reader: &Reader<'_>,
        key: impl FnOnce(&'static T) -> &'static Key<V>,
    ) -> Span {
        self.span_of_name(reader, key(T::keys()).name).unwrap_or(self.span)
    }

    fn has_name(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn span_of_name(&self, reader: &Reader<'_>, key: &str) -> Option<Span> {
        self.table.get(key).map(|value: &TomlValue<'_>| reader.span(value.span()))
    }
}

/// Returns the help for an unknown key: the nearest key, or all of them.
fn suggestion<T: Grammar>(name: &str) -> String {
    let mut names = T::names();
    if let Some(nearest) = nearest(name, names.iter().copied()) {
        return format!("did you mean `{nearest}`?");
    }
    names.sort_unstable();
    format!("it may have: {}", names.join(", "))
}
