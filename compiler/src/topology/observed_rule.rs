//! The order of the rules in an observed chain.

use uuid::Uuid;

use super::key::Key;

/// A rule in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRule {
    /// Its id.
    pub id: Uuid,
    /// Its key, if it is one of midoform's.
    pub key: Option<Key>,
}
