//! Values of columns (RFC 7047 section 5.1): atoms, sets of atoms, and maps.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// A finite real number. The order is that of numbers; zero has one representation. A server sends only 15 significant digits, so
/// a number with more is not returned exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Real(f64);

impl Real {
    /// Returns the number; none if it is infinite or not a number, which JSON can't express.
    pub fn new(number: f64) -> Option<Real> {
        // The sum of a negative zero and zero is zero.
        number.is_finite().then_some(Real(number + 0.0))
    }

    /// Returns the number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Real) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Real) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// An atom. The order of atoms of one type is that of their values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// A 64-bit integer.
    Integer(i64),
    /// A real number.
    Real(Real),
    /// A boolean.
    Boolean(bool),
    /// A string. A server takes no NUL character in it.
    String(String),
    /// The uuid of a row, or any other uuid.
    Uuid(Uuid),
    /// The name that an `insert` of the same transaction gives its row with `uuid-name`. Servers never send one.
    NamedUuid(String),
}

/// The value of a column: a set or a map. An atom is a set of one element, so the two compare as equal. Elements and pairs are in
/// the order of the atoms, and there are no two alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(Form);

/// The forms of values, which take little memory for what most columns have: one atom or nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    One(Atom),
    /// A set of no element or several.
    Set(Box<[Atom]>),
    Map(Box<[(Atom, Atom)]>),
}

impl Atom {
    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Atom::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number of an integer.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Atom::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the number of a real.
    pub fn as_real(&self) -> Option<f64> {
        match self {
            Atom::Real(number) => Some(number.get()),
            _ => None,
        }
    }

    /// Returns a boolean.
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Atom::Boolean(is_true) => Some(*is_true),
            _ => None,
        }
    }

    /// Returns a uuid.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }
}

impl Value {
    /// Returns the empty set.
    pub fn empty_set() -> Value {
        Value(Form::Set(Box::default()))
    }

    /// Returns the empty map.
    pub fn empty_map() -> Value {
        Value(Form::Map(Box::default()))
    }

    /// Returns the set of these elements.
    pub fn set<T: Into<Atom>>(elements: impl IntoIterator<Item = T>) -> Value {
        let mut elements: Vec<Atom> = elements.into_iter().map(Into::into).collect();
        elements.sort_unstable();
        elements.dedup();
        match <[Atom; 1]>::try_from(elements) {
            Ok([atom]) => Value(Form::One(atom)),
            Err(elements) => Value(Form::Set(elements.into())),
        }
    }

    /// Returns the map of these pairs. Of several pairs with one key, the last one counts.
    pub fn map<K: Into<Atom>, V: Into<Atom>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
        let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into()));
        let pairs: BTreeMap<Atom, Atom> = pairs.collect();
        Value(Form::Map(pairs.into_iter().collect()))
    }

    /// Returns the number of elements or pairs.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::One(_) => 1,
            Form::Set(elements) => elements.len(),
            Form::Map(pairs) => pairs.len(),
        }
    }

    /// Returns true if there is no element and no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the only element of a set; none if it has none or several.
    pub fn as_atom(&self) -> Option<&Atom> {
        match &self.0 {
            Form::One(atom) => Some(atom),
            _ => None,
        }
    }

    /// Returns the elements of a set; none for a map.
    pub fn as_set(&self) -> Option<&[Atom]> {
        match &self.0 {
            Form::One(atom) => Some(std::slice::from_ref(atom)),
            Form::Set(elements) => Some(elements),
            Form::Map(_) => None,
        }
    }

    /// Returns the pairs of a map; none for a set.
    pub fn as_map(&self) -> Option<&[(Atom, Atom)]> {
        match &self.0 {
            Form::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// Returns the text of a set of one string.
    pub fn as_str(&self) -> Option<&str> {
        self.as_atom()?.as_str()
    }

    /// Returns the number of a set of one integer.
    pub fn as_integer(&self) -> Option<i64> {
        self.as_atom()?.as_integer()
    }

    /// Returns the number of a set of one real.
    pub fn as_real(&self) -> Option<f64> {
        self.as_atom()?.as_real()
    }

    /// Returns the boolean of a set of one.
    pub fn as_boolean(&self) -> Option<bool> {
        self.as_atom()?.as_boolean()
    }

    /// Returns the uuid of a set of one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        self.as_atom()?.as_uuid()
    }

    /// Returns the uuids of a set; nothing for other elements and for a map.
    pub fn uuids(&self) -> impl Iterator<Item = Uuid> {
        self.as_set().into_iter().flatten().filter_map(Atom::as_uuid)
    }

    /// Returns the strings of a set; nothing for other elements and for a map.
    pub fn strings(&self) -> impl Iterator<Item = &str> {
        self.as_set().into_iter().flatten().filter_map(Atom::as_str)
    }

    /// Returns the string that a map from strings to strings has for a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut pairs = self.as_map()?.iter();
        pairs.find(|(known, _)| known.as_str() == Some(key)).and_then(|(_, value)| value.as_str())
    }
}

impl From<i64> for Atom {
    fn from(number: i64) -> Atom {
        Atom::Integer(number)
    }
}

impl From<Real> for Atom {
    fn from(number: Real) -> Atom {
        Atom::Real(number)
    }
}

impl From<bool> for Atom {
    fn from(is_true: bool) -> Atom {
        Atom::Boolean(is_true)
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Atom {
        Atom::String(text.to_owned())
    }
}

impl From<String> for Atom {
    fn from(text: String) -> Atom {
        Atom::String(text)
    }
}

impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Atom {
        Atom::Uuid(uuid)
    }
}

impl<T: Into<Atom>> From<T> for Value {
    fn from(atom: T) -> Value {
        Value(Form::One(atom.into()))
    }
}

impl<T: Into<Atom>> From<Option<T>> for Value {
    fn from(atom: Option<T>) -> Value {
        Value::set(atom)
    }
}

impl From<BTreeSet<Atom>> for Value {
    fn from(elements: BTreeSet<Atom>) -> Value {
        Value::set(elements)
    }
}

impl From<BTreeMap<Atom, Atom>> for Value {
    fn from(pairs: BTreeMap<Atom, Atom>) -> Value {
        Value::map(pairs)
    }
}

impl Serialize for Atom {
    /// Writes the atom as RFC 7047 section 5.1 has it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Atom::Integer(number) => serializer.serialize_i64(*number),
            Atom::Real(number) => serializer.serialize_f64(number.get()),
            Atom::Boolean(is_true) => serializer.serialize_bool(*is_true),
            Atom::String(text) if text.contains('\0') => {
                Err(S::Error::custom(format!("a NUL character in the string {text:?}")))
            }
            Atom::String(text) => serializer.serialize_str(text),
            Atom::Uuid(uuid) => ("uuid", uuid).serialize(serializer),
            Atom::NamedUuid(name) => ("named-uuid", name).serialize(serializer),
        }
    }
}

impl Serialize for Value {
    /// Writes the value as RFC 7047 section 5.1 has it: a set of one element as an atom.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::One(atom) => atom.serialize(serializer),
            Form::Set(elements) => ("set", elements).serialize(serializer),
            Form::Map(pairs) => ("map", pairs).serialize(serializer),
        }
    }
}

impl fmt::Display for Atom {
    /// Writes the atom as `ovs-vsctl` does, but for strings, which are always in quotes.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Integer(number) => write!(formatter, "{number}"),
            Atom::Real(number) => write!(formatter, "{}", number.get()),
            Atom::Boolean(is_true) => write!(formatter, "{is_true}"),
            Atom::String(text) => write!(formatter, "{text:?}"),
            Atom::Uuid(uuid) => write!(formatter, "{uuid}"),
            Atom::NamedUuid(name) => write!(formatter, "@{name}"),
        }
    }
}

impl fmt::Display for Value {
    /// Writes the value as `ovs-vsctl` does: `[a, b]` for a set, `{k=v}` for a map.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close, elements): (_, _, Vec<String>) = match &self.0 {
            Form::One(atom) => return write!(formatter, "{atom}"),
            Form::Set(elements) => ('[', ']', elements.iter().map(Atom::to_string).collect()),
            Form::Map(pairs) => {
                ('{', '}', pairs.iter().map(|(key, value)| format!("{key}={value}")).collect())
            }
        };
        write!(formatter, "{open}{}{close}", elements.join(", "))
    }
}
