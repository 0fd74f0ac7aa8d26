//! Types of columns (RFC 7047 section 3.2), and the reading and checking of values by them.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value as Json;
use uuid::Uuid;

use crate::printable::printable;
use crate::value::{Atom, Real, Value};

/// The type of an atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AtomType {
    /// A 64-bit integer.
    Integer,
    /// A real number.
    Real,
    /// A boolean.
    Boolean,
    /// A string.
    String,
    /// A uuid.
    Uuid,
}

/// The type of the elements of a set, or of the keys or values of a map, with its constraints.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseType {
    /// The type of the atoms.
    pub atom: AtomType,
    /// The only values that are allowed; none: all.
    pub allowed: Option<BTreeSet<Atom>>,
    /// The least and the largest integer.
    pub integers: (i64, i64),
    /// The least and the largest real.
    pub reals: (f64, f64),
    /// The least and the largest length of a string, in characters.
    pub length: (u64, u64),
    /// The table whose rows a uuid refers to.
    pub table: Option<String>,
    /// True if a row stays although only this refers to it (`refType` is `weak`).
    pub is_weak: bool,
}

/// The type of a column: a set of `key`, or a map from `key` to `value`.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// The type of the elements or the keys.
    pub key: BaseType,
    /// The type of a map's values; none for a set.
    pub value: Option<BaseType>,
    /// The least number of elements or pairs: 0 or 1.
    pub least: u64,
    /// The largest number of elements or pairs; none: unlimited.
    pub most: Option<u64>,
}

/// A value that is not of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} is expected, not {found}")]
pub struct TypeMismatch {
    /// The description of what is expected.
    pub expected: String,
    /// The printable value, or its beginning.
    pub found: String,
}

impl fmt::Display for AtomType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            AtomType::Integer => "integer",
            AtomType::Real => "real",
            AtomType::Boolean => "boolean",
            AtomType::String => "string",
            AtomType::Uuid => "uuid",
        })
    }
}

impl AtomType {
    /// Returns the type that a schema gives this name.
    pub fn named(name: &str) -> Option<AtomType> {
        Some(match name {
            "integer" => AtomType::Integer,
            "real" => AtomType::Real,
            "boolean" => AtomType::Boolean,
            "string" => AtomType::String,
            "uuid" => AtomType::Uuid,
            _ => return None,
        })
    }

    /// Returns the default value of the type (RFC 7047 section 5.2.1).
    pub fn default_atom(self) -> Atom {
        match self {
            AtomType::Integer => Atom::Integer(0),
            AtomType::Real => Atom::Real(Real::default()),
            AtomType::Boolean => Atom::Boolean(false),
            AtomType::String => Atom::String(String::new()),
            AtomType::Uuid => Atom::Uuid(Uuid::nil()),
        }
    }

    fn is_type_of(self, atom: &Atom) -> bool {
        match atom {
            Atom::Integer(_) => self == AtomType::Integer,
            Atom::Real(_) => self == AtomType::Real,
            Atom::Boolean(_) => self == AtomType::Boolean,
            Atom::String(_) => self == AtomType::String,
            Atom::Uuid(_) | Atom::NamedUuid(_) => self == AtomType::Uuid,
        }
    }

    /// Reads an atom of this type. A named uuid is no atom here: servers send none.
    ///
    /// # Errors
    /// When the JSON is no atom of this type.
    pub fn read(self, json: Json) -> Result<Atom, TypeMismatch> {
        let read = match (self, &json) {
            (AtomType::Integer, Json::Number(number)) => number.as_i64().map(Atom::Integer),
            (AtomType::Real, Json::Number(number)) => number.as_f64().and_then(Real::new).map(Atom::Real),
            (AtomType::Boolean, Json::Bool(is_true)) => Some(Atom::Boolean(*is_true)),
            (AtomType::Uuid, Json::Array(pair)) => match pair.as_slice() {
                [Json::String(tag), Json::String(text)] if tag == "uuid" => uuid(text).map(Atom::Uuid),
                _ => None,
            },
            _ => None,
        };
        match (read, json) {
            (Some(atom), _) => Ok(atom),
            // A string is moved, not copied.
            (None, Json::String(text)) if self == AtomType::String => Ok(Atom::String(text)),
            (None, json) => Err(mismatch(&self, &json)),
        }
    }
}

/// Reads a uuid as OVSDB writes it.
pub(crate) fn uuid(text: &str) -> Option<Uuid> {
    // The other forms that the library reads are none of OVSDB.
    (text.len() == 36).then(|| Uuid::try_parse(text).ok())?
}

fn mismatch(expected: &dyn fmt::Display, found: &dyn fmt::Display) -> TypeMismatch {
    let found = found.to_string();
    let mut beginning = printable(&found.chars().take(80).collect::<String>());
    if beginning.len() < found.len() && found.chars().nth(80).is_some() {
        beginning.push('…');
    }
    TypeMismatch { expected: expected.to_string(), found: beginning }
}

impl From<AtomType> for BaseType {
    /// Returns the type without constraints.
    fn from(atom: AtomType) -> BaseType {
        BaseType {
            atom,
            allowed: None,
            integers: (i64::MIN, i64::MAX),
            reals: (f64::MIN, f64::MAX),
            length: (0, u64::MAX),
            table: None,
            is_weak: false,
        }
    }
}

impl BaseType {
    /// Checks an atom.
    fn check(&self, atom: &Atom) -> Result<(), TypeMismatch> {
        if !self.atom.is_type_of(atom) {
            return Err(mismatch(&self.atom, atom));
        }
        if let Some(allowed) = self.allowed.as_ref().filter(|allowed| !allowed.contains(atom)) {
            let names: Vec<String> = allowed.iter().map(Atom::to_string).collect();
            return Err(mismatch(&format!("one of {}", names.join(", ")), atom));
        }
        match atom {
            Atom::Integer(number) if *number < self.integers.0 || *number > self.integers.1 => {
                Err(mismatch(&format!("an integer from {} to {}", self.integers.0, self.integers.1), atom))
            }
            Atom::Real(number) if number.get() < self.reals.0 || number.get() > self.reals.1 => {
                Err(mismatch(&format!("a real from {} to {}", self.reals.0, self.reals.1), atom))
            }
            Atom::String(text) => {
                let (least, most) = self.length;
                let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
                match length < least || length > most {
                    true => Err(mismatch(&format!("a string of {least} to {most} characters"), atom)),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl From<AtomType> for ColumnType {
    /// Returns the type of exactly one atom without constraints.
    fn from(atom: AtomType) -> ColumnType {
        ColumnType { key: atom.into(), value: None, least: 1, most: Some(1) }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ColumnType { key, value, least, most } = self;
        match (value, least, most) {
            (Some(value), ..) => write!(formatter, "a map from {} to {}", key.atom, value.atom),
            (None, 1, Some(1)) => write!(formatter, "{}", key.atom),
            (None, 0, Some(1)) => write!(formatter, "{} or nothing", key.atom),
            _ => write!(formatter, "a set of {}", key.atom),
        }
    }
}

impl ColumnType {
    /// Returns the type of nothing or one atom.
    pub fn optional(key: impl Into<BaseType>) -> ColumnType {
        ColumnType { key: key.into(), value: None, least: 0, most: Some(1) }
    }

    /// Returns the type of a set of any size.
    pub fn set(key: impl Into<BaseType>) -> ColumnType {
        ColumnType { key: key.into(), value: None, least: 0, most: None }
    }

    /// Returns the type of a map of any size.
    pub fn map(key: impl Into<BaseType>, value: impl Into<BaseType>) -> ColumnType {
        ColumnType { key: key.into(), value: Some(value.into()), least: 0, most: None }
    }

    /// Returns the same type for any number of elements or pairs.
    #[must_use]
    pub fn elements(&self) -> ColumnType {
        ColumnType { least: 0, most: None, ..self.clone() }
    }

    /// Returns true if changes of the column are sent as differences (ovsdb-server(7) section 4.1.14): more than one element or
    /// pair is allowed.
    pub fn is_composite(&self) -> bool {
        self.most.is_none_or(|most| most > 1)
    }

    /// Returns the default value of the column (RFC 7047 section 5.2.1).
    pub fn default_value(&self) -> Value {
        match &self.value {
            None if self.least == 0 => Value::empty_set(),
            None => self.key.atom.default_atom().into(),
            Some(_) if self.least == 0 => Value::empty_map(),
            Some(value) => Value::map([(self.key.atom.default_atom(), value.atom.default_atom())]),
        }
    }

    /// Reads a value that a server sent. Its constraints and its number of elements are not checked: the server has done so,
    /// and the difference between two values need not keep them.
    ///
    /// # Errors
    /// When an atom is not of the type, or the JSON is no set or no map.
    pub fn read(&self, json: Json) -> Result<Value, TypeMismatch> {
        match &self.value {
            None => self.read_set(json),
            Some(value) => self.read_map(value, json),
        }
    }

    fn read_set(&self, json: Json) -> Result<Value, TypeMismatch> {
        match tagged("set", json) {
            Ok(elements) => {
                let elements = elements.into_iter().map(|element| self.key.atom.read(element));
                Ok(Value::set(elements.collect::<Result<Vec<Atom>, _>>()?))
            }
            Err(atom @ Json::Array(_)) if self.key.atom != AtomType::Uuid => Err(mismatch(self, &atom)),
            Err(atom) => Ok(self.key.atom.read(atom)?.into()),
        }
    }

    fn read_map(&self, value: &BaseType, json: Json) -> Result<Value, TypeMismatch> {
        let pairs = tagged("map", json).map_err(|json| mismatch(self, &json))?;
        let pair = |pair: Json| match pair {
            Json::Array(both) => match <[Json; 2]>::try_from(both) {
                Ok([first, second]) => Ok((self.key.atom.read(first)?, value.atom.read(second)?)),
                Err(other) => Err(mismatch(&"a pair", &Json::Array(other))),
            },
            other => Err(mismatch(&"a pair", &other)),
        };
        Ok(Value::map(pairs.into_iter().map(pair).collect::<Result<Vec<(Atom, Atom)>, _>>()?))
    }

    /// Checks a value against the type and its constraints.
    ///
    /// # Errors
    /// When a server would refuse the value.
    pub fn check(&self, value: &Value) -> Result<(), TypeMismatch> {
        match (value.as_set(), value.as_map(), &self.value) {
            (Some(elements), _, None) => elements.iter().try_for_each(|element| self.key.check(element))?,
            (_, Some(pairs), Some(base)) => {
                pairs.iter().try_for_each(|(key, value)| {
                    self.key.check(key)?;
                    base.check(value)
                })?;
            }
            _ => return Err(mismatch(self, value)),
        }
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        if length < self.least || self.most.is_some_and(|most| length > most) {
            let most = self.most.map_or_else(|| "any number".to_owned(), |most| most.to_string());
            return Err(mismatch(
                &format!("{} to {most} elements", self.least),
                &format!("{length} elements"),
            ));
        }
        Ok(())
    }
}

/// Returns the elements of `[tag, [...]]`, or the JSON itself if it is something else.
fn tagged(tag: &str, json: Json) -> Result<Vec<Json>, Json> {
    match json {
        Json::Array(mut both) => match both.as_slice() {
            [Json::String(found), Json::Array(_)] if found == tag => match both.pop() {
                Some(Json::Array(elements)) => Ok(elements),
                _ => Err(Json::Array(both)),
            },
            _ => Err(Json::Array(both)),
        },
        other => Err(other),
    }
}
