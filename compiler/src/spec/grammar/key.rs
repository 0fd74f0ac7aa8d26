//! A key of the language, and the macro that declares the keys of a table.

use serde_json::Value as Json;

use super::constraint::Constraint;
use super::reader::{Reader, TomlValue};

/// The form of a value, as people and machines see it.
pub(crate) trait Shape {
    /// Completes "has to be …": `an integer from 8 to 30`.
    fn wanted(&self) -> String;

    /// Returns the JSON Schema, without a description.
    fn schema(&self) -> Json;

    /// Returns the default, if there is one.
    fn default_value(&self) -> Option<Json> {
        None
    }

    /// Returns the tables inside of the value, each with the way it is written.
    #[cfg(test)]
    fn tables(&self, _key: &'static str) -> Vec<super::reference::Nested> {
        Vec::new()
    }
}

/// The form of a value, and the reading of it.
pub(crate) trait Value: Shape + 'static {
    /// The result of reading.
    type Output<'a>;

    /// Reads the value of a key. If it does not fit, reports that and returns none.
    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Self::Output<'a>>;
}

/// A key of a table.
pub(crate) struct Key<V> {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) description: &'static str,
    /// A value as an author could write it, for the help of a missing key.
    pub(crate) example: &'static str,
    pub(crate) value: V,
}

/// Makes an optional key. Its name is the name of its field.
pub(crate) const fn key<V>(value: V, description: &'static str) -> Key<V> {
    Key { name: "", required: false, description, example: "…", value }
}

/// Makes a required key. Its name is the name of its field.
pub(crate) const fn required<V>(value: V, description: &'static str) -> Key<V> {
    Key { name: "", required: true, description, example: "…", value }
}

impl<V> Key<V> {
    /// Gives the key a name of its own, if a field can't have that name.
    pub(crate) const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Gives the key an example.
    pub(crate) const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// Gives the key the name of its field, unless it has one.
    pub(crate) const fn of_field(mut self, field: &'static str) -> Self {
        if self.name.is_empty() {
            self.name = field;
        }
        self
    }
}

/// A key without the type of its value.
pub(crate) struct KeyView {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) description: &'static str,
    pub(crate) shape: &'static dyn Shape,
}

/// The keys of a table: a struct with a field for each.
pub(crate) trait Grammar: Sized + 'static {
    /// The keys.
    const KEYS: Self;
    /// The conditions on several keys.
    const CONSTRAINTS: &'static [Constraint];
    /// The description of the table.
    const DESCRIPTION: &'static str;

    /// Returns the keys.
    fn keys() -> &'static Self;

    /// Visits every key, in the order of the grammar.
    fn each(&'static self, visit: &mut dyn FnMut(KeyView));

    /// Returns the names of all keys, in the order of the grammar.
    fn names() -> Vec<&'static str> {
        let mut names = Vec::new();
        Self::keys().each(&mut |key| names.push(key.name));
        names
    }
}

/// Declares a table of the language. The doc comment is its description; `parts` are keys that it shares with other tables;
/// `constraints` are conditions on several of its keys.
macro_rules! table {
    (
        $(#[doc = $description:literal])+
        $table:ident {
            $($field:ident: $value:ty = $key:expr,)*
        }
        $(parts { $($part:ident: $shared:ty,)* })?
        $(constraints { $($constraint:expr,)* })?
    ) => {
        $(#[doc = $description])+
        pub(crate) struct $table {
            $($(pub(crate) $part: $shared,)*)?
            $(pub(crate) $field: $crate::spec::grammar::key::Key<$value>,)*
        }

        impl $crate::spec::grammar::Grammar for $table {
            const KEYS: Self = $table {
                $($($part: <$shared as $crate::spec::grammar::Grammar>::KEYS,)*)?
                $($field: $key.of_field(stringify!($field)),)*
            };
            const CONSTRAINTS: &'static [$crate::spec::grammar::constraint::Constraint] = &[$($($constraint,)*)?];
            const DESCRIPTION: &'static str = concat!($($description),+).trim_ascii();

            fn keys() -> &'static Self {
                const KEYS: &$table = &<$table as $crate::spec::grammar::Grammar>::KEYS;
                KEYS
            }

            fn each(&'static self, visit: &mut dyn FnMut($crate::spec::grammar::KeyView)) {
                $($(self.$part.each(visit);)*)?
                $(visit($crate::spec::grammar::KeyView {
                    name: self.$field.name,
                    required: self.$field.required,
                    description: self.$field.description,
                    shape: &self.$field.value,
                });)*
            }
        }
    };
}

pub(crate) use table;
