//! Defaults: the values of keys that are left out.

use serde_json::Value as Json;

use super::{Key, Reader, Shape, TomlValue, Value};
use crate::source::Span;

/// A form that can have a default.
pub(crate) trait HasDefault: Value {
    /// The default as the grammar has it.
    type Default: Copy + 'static;

    /// Returns the default as if it had been read at `span`.
    fn output<'a>(&self, default: Self::Default, span: Span) -> Self::Output<'a>;

    /// Returns the default as people write it.
    fn json(&self, default: Self::Default) -> Json;
}

/// A form with its default.
pub(crate) struct WithDefault<V: HasDefault> {
    value: V,
    default: V::Default,
}

/// Makes a form with a default.
pub(crate) const fn or<V: HasDefault>(value: V, default: V::Default) -> WithDefault<V> {
    WithDefault { value, default }
}

impl<V: HasDefault> Key<WithDefault<V>> {
    /// Returns the default as if it had been read at `span`.
    pub(crate) fn default_at<'a>(&self, span: Span) -> V::Output<'a> {
        self.value.value.output(self.value.default, span)
    }
}

impl<V: HasDefault> Shape for WithDefault<V> {
    fn wanted(&self) -> String {
        self.value.wanted()
    }

    fn schema(&self) -> Json {
        self.value.schema()
    }

    fn default_value(&self) -> Option<Json> {
        Some(self.value.json(self.default))
    }

    #[cfg(test)]
    fn tables(&self, key: &'static str) -> Vec<super::reference::Nested> {
        self.value.tables(key)
    }
}

impl<V: HasDefault> Value for WithDefault<V> {
    type Output<'a> = V::Output<'a>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Self::Output<'a>> {
        self.value.read(reader, key, value)
    }
}
