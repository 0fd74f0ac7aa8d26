//! The keys of a network configuration, read with errors that name the key.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::protocol::error::{CniError, Result};

/// The keys of a network configuration.
pub(super) struct Keys<'a> {
    pub(super) map: &'a Map<String, Value>,
}

impl Keys<'_> {
    pub(super) fn string(&self, key: &str) -> Result<Option<String>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(CniError::configuration(key, "must be a string")),
        }
    }

    /// Reads a string. An empty string counts as absent.
    pub(super) fn nonempty(&self, key: &str) -> Result<Option<String>> {
        Ok(self.string(key)?.filter(|text| !text.is_empty()))
    }

    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        Ok(self.nonempty(key)?.map(PathBuf::from))
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(CniError::configuration(key, "must be true or false")),
        }
    }

    pub(super) fn uuid(&self, key: &str) -> Result<Option<Uuid>> {
        let Some(text) = self.nonempty(key)? else { return Ok(None) };
        let wrong = || CniError::configuration(key, format!("is `{text}`, which is not a UUID"));
        Uuid::try_parse(&text).map(Some).map_err(|_| wrong())
    }

    pub(super) fn number(&self, key: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let found = value.as_u64().filter(|number| bounds.contains(number));
                let problem = format!("must be a number from {} to {}", bounds.start(), bounds.end());
                found.map(Some).ok_or_else(|| CniError::configuration(key, problem))
            }
        }
    }

    pub(super) fn mtu(&self) -> Result<Option<u16>> {
        // Other plugins read 0 as "the default".
        if self.map.get("mtu") == Some(&Value::from(0)) {
            return Ok(None);
        }
        Ok(self.number("mtu", 576..=65535)?.and_then(|mtu| u16::try_from(mtu).ok()))
    }

    pub(super) fn decode<T: for<'a> Deserialize<'a>>(&self, key: &str, value: &Value) -> Result<T> {
        decode(key, value)
    }
}

/// Decodes the value of a key.
pub(super) fn decode<T: for<'a> Deserialize<'a>>(key: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| CniError::configuration(key, "can't be read").caused_by(error))
}
