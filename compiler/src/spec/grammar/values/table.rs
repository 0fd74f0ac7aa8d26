//! Tables inside of tables.

use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::grammar::{Called, Grammar, Reader, Shape, Table, TomlValue, Value, schema};

#[cfg(test)]
use crate::spec::grammar::reference::Nested;

/// A table inside of another one.
pub(crate) struct SubTable<T> {
    name: Name,
    keys: PhantomData<T>,
}

/// The name of a table in diagnostics.
#[derive(Clone, Copy)]
enum Name {
    /// Its key, as that of a value.
    Key,
    /// Its heading.
    Heading,
    /// Words of its own.
    Words(&'static str),
}

impl<T> SubTable<T> {
    /// A table in one line: `link = { … }`.
    pub(crate) const INLINE: Self = SubTable { name: Name::Key, keys: PhantomData };
    /// A table under a heading: `[midonet]`.
    pub(crate) const SECTION: Self = SubTable { name: Name::Heading, keys: PhantomData };

    /// Makes the form of a table in one line, with words of its own for diagnostics.
    pub(crate) const fn called(words: &'static str) -> Self {
        SubTable { name: Name::Words(words), keys: PhantomData }
    }

    fn name<'a>(&self, key: &'a str) -> Called<'a> {
        match self.name {
            Name::Key => Called::Value(key),
            Name::Heading => Called::Section(key),
            Name::Words(words) => Called::Words(words),
        }
    }
}

/// Tables under one heading: `[[bridge]]`.
pub(crate) struct Tables<T>(PhantomData<T>);

/// Makes the form of tables under one heading.
pub(crate) const fn tables<T>() -> Tables<T> {
    Tables(PhantomData)
}

impl<T: Grammar> Shape for SubTable<T> {
    fn wanted(&self) -> String {
        "a table".to_owned()
    }

    fn schema(&self) -> Json {
        schema::table::<T>()
    }

    #[cfg(test)]
    fn tables(&self, key: &'static str) -> Vec<Nested> {
        vec![Nested::of::<T>(self.name(key), key)]
    }
}

impl<T: Grammar> Value for SubTable<T> {
    type Output<'a> = Table<'a, T>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Table<'a, T>> {
        let Some(table) = value.get_ref().as_table() else {
            reader.wrong_type(key, value, &self.wanted());
            return None;
        };
        let span = reader.span(value.span());
        Some(Table::open(reader, table, span, self.name(key)))
    }
}

impl<T: Grammar> Shape for Tables<T> {
    fn wanted(&self) -> String {
        "a list of tables".to_owned()
    }

    fn schema(&self) -> Json {
        json!({"type": "array", "items": schema::table::<T>()})
    }

    #[cfg(test)]
    fn tables(&self, key: &'static str) -> Vec<Nested> {
        vec![Nested::of::<T>(Called::Item(key), key)]
    }
}

impl<T: Grammar> Value for Tables<T> {
    type Output<'a> = Vec<Table<'a, T>>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Self::Output<'a>> {
        let Some(items) = value.get_ref().as_array() else {
            let span = reader.span(value.span());
            let message = format!("`{key}` has to be {}", self.wanted());
            reader.push(Diagnostic::error(Code::WrongType, span, message).help(format!("write `[[{key}]]`")));
            return None;
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            let span = reader.span(item.span());
            match item.get_ref().as_table() {
                Some(table) => tables.push(Table::open(reader, table, span, Called::Item(key))),
                None => reader.wrong_type(key, item, "a table"),
            }
        }
        Some(tables)
    }
}
