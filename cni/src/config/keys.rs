//! The keys of a network configuration, read with errors that name the key.

use std::cell::RefCell;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::protocol::error::{CniError, Result};
use crate::protocol::request::Verb;

/// The keys of a network configuration.
pub(super) struct Keys<'a> {
    pub(super) map: &'a Map<String, Value>,
    /// True for DEL and GC, which detach only.
    pub(super) only_detaches: bool,
    /// Wrong values that the verb does not need.
    warnings: RefCell<Vec<String>>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(map: &'a Map<String, Value>, verb: Verb) -> Keys<'a> {
        let only_detaches = matches!(verb, Verb::Del | Verb::Gc);
        Keys { map, only_detaches, warnings: RefCell::default() }
    }

    /// Returns a value that DEL and GC do not need. For them a wrong one is a warning and counts as absent: an error would
    /// keep the container forever.
    pub(super) fn unless_detaching<T: Default>(&self, read: Result<T>) -> Result<T> {
        match read {
            Err(error) if self.only_detaches => {
                self.warnings.borrow_mut().push(error.in_full());
                Ok(T::default())
            }
            other => other,
        }
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner()
    }

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

    /// Reads a path. A relative one is an error: it would depend on the runtime's working directory.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        self.nonempty(key)?.map(|text| absolute(key, text)).transpose()
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

    pub(super) fn decode<T: for<'de> Deserialize<'de>>(&self, key: &str, value: &Value) -> Result<T> {
        decode(key, value)
    }
}

/// Returns a path that does not depend on the working directory.
pub(super) fn absolute(key: &str, text: String) -> Result<PathBuf> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        return Ok(path);
    }
    let problem = format!("is `{}`, which is not an absolute path", path.display());
    Err(CniError::configuration(key, problem).hint("a path must begin with `/`"))
}

/// Reads a file that a key names. Only a regular file is read: to read a pipe could take forever.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read(path),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// Decodes the value of a key.
pub(super) fn decode<T: for<'a> Deserialize<'a>>(key: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| CniError::configuration(key, "can't be read").caused_by(error))
}
