//! Tables inside of tables.

use std::marker::PhantomData;

use serde_json::{Value as Json, json};
use toml::de::DeTable;

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::grammar::{Called, Grammar, Reader, Shape, Table, TomlValue, Value, schema};

#[cfg(test)]
use crate::spec::grammar::reference::Nested;

/// A table in one line: `link = { … }`.
pub(crate) struct Inline<T> {
    called: Option<&'static str>,
    keys: PhantomData<T>,
}

impl<T> Inline<T> {
    /// A table that diagnostics call by its key.
    pub(crate) const NEW: Self = Inline { called: None, keys: PhantomData };

    /// A table with a name of its own in diagnostics.
    pub(crate) const fn called(name: &'static str) -> Self {
        Inline { called: Some(name), keys: PhantomData }
    }
}

/// A table under a heading: `[midonet]`.
pub(crate) struct Section<T>(PhantomData<T>);

impl<T> Section<T> {
    /// The table.
    pub(crate) const NEW: Self = Section(PhantomData);
}

/// Tables under one heading: `[[bridge]]`.
pub(crate) struct Tables<T>(PhantomData<T>);

/// Tables under one heading.
pub(crate) const fn tables<T>() -> Tables<T> {
    Tables(PhantomData)
}

fn table_of<'a>(
    reader: &mut Reader<'_>,
    key: &str,
    value: &'a TomlValue<'a>,
    shape: &impl Shape,
) -> Option<&'a DeTable<'a>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        reader.wrong_type(key, value, &shape.wanted());
    }
    table
}

impl<T: Grammar> Shape for Inline<T> {
    fn wanted(&self) -> String {
        "a table".to_owned()
    }

    fn schema(&self) -> Json {
        schema::table::<T>()
    }

    #[cfg(test)]
    fn tables(&self, key: &'static str) -> Vec<Nested> {
        vec![Nested::of::<T>(self.called.map_or(Called::Value(key), Called::Words), key)]
    }
}

impl<T: Grammar> Value for Inline<T> {
    type Output<'a> = Table<'a, T>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Table<'a, T>> {
        let table = table_of(reader, key, value, self)?;
        let (span, called) =
            (reader.span(value.span()), self.called.map_or(Called::Value(key), Called::Words));
        Some(Table::open(reader, table, span, called))
    }
}

impl<T: Grammar> Shape for Section<T> {
    fn wanted(&self) -> String {
        "a table".to_owned()
    }

    fn schema(&self) -> Json {
        schema::table::<T>()
    }

    #[cfg(test)]
    fn tables(&self, key: &'static str) -> Vec<Nested> {
        vec![Nested::of::<T>(Called::Section(key), key)]
    }
}

impl<T: Grammar> Value for Section<T> {
    type Output<'a> = Table<'a, T>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Table<'a, T>> {
        let table = table_of(reader, key, value, self)?;
        let span = reader.span(value.span());
        Some(Table::open(reader, table, span, Called::Section(key)))
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
