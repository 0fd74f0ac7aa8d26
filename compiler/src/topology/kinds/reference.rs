//! References from one object to another.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

use super::Kind;
use crate::topology::key::Key;

/// A reference to another object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// An object of the same topology.
    Key(Key),
    /// An object that midoform does not create: the provider router, a host.
    External(Uuid),
    /// An object that midoform does not create, by its name (OVN).
    Named(String),
}

impl Reference {
    /// Returns the key, if the object is one of the topology's.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Reference::Key(key) => Some(key),
            Reference::External(_) | Reference::Named(_) => None,
        }
    }

    /// Returns the reference with the kinds that its object may be of.
    pub fn to(&self, kinds: &'static [Kind]) -> TypedReference<'_> {
        TypedReference { reference: self, kinds }
    }
}

impl From<&Key> for Reference {
    fn from(key: &Key) -> Self {
        Reference::Key(key.clone())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Key(key) => key.fmt(formatter),
            Reference::External(id) => id.fmt(formatter),
            Reference::Named(name) => write!(formatter, "{name:?}"),
        }
    }
}

/// A reference, and the kinds that its object may be of.
#[derive(Clone, Copy, Debug)]
pub struct TypedReference<'a> {
    /// The reference.
    pub reference: &'a Reference,
    /// The kinds. Servers name the objects of all of them alike.
    pub kinds: &'static [Kind],
}
