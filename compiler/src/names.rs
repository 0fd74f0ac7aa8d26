//! The names of tenants, and of pairs of tenants that are peers.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A tenant's name. It orders as text, is found in maps by its text, and is cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantName(Arc<str>);

impl TenantName {
    /// Returns the name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for TenantName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TenantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TenantName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TenantName {
    fn from(name: &str) -> Self {
        TenantName(name.into())
    }
}

impl From<String> for TenantName {
    fn from(name: String) -> Self {
        TenantName(name.into())
    }
}

impl PartialEq<str> for TenantName {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for TenantName {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Shows the name as a text is shown.
impl fmt::Debug for TenantName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Two tenants that are peers, in the order of their names. In files it is one text: both names with a `/` between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerPair {
    first: TenantName,
    second: TenantName,
}

impl PeerPair {
    /// Returns the pair of these two tenants, in whichever order they are named.
    pub fn new(one: TenantName, other: TenantName) -> Self {
        if one <= other {
            PeerPair { first: one, second: other }
        } else {
            PeerPair { first: other, second: one }
        }
    }

    /// Returns the tenant whose name comes first. It owns the objects of the link.
    pub fn first(&self) -> &TenantName {
        &self.first
    }

    /// Returns the tenant whose name comes second.
    pub fn second(&self) -> &TenantName {
        &self.second
    }

    /// Returns both tenants, in order.
    pub fn tenants(&self) -> [&TenantName; 2] {
        [&self.first, &self.second]
    }

    /// Returns true if the tenant with this name is one of the two.
    pub fn has(&self, tenant: &str) -> bool {
        self.tenants().into_iter().any(|name| name == tenant)
    }

    /// Returns true if one of these tenants is one of the two.
    pub fn has_one_of(&self, tenants: &BTreeSet<TenantName>) -> bool {
        self.tenants().into_iter().any(|name| tenants.contains(name))
    }

    /// Returns the bytes of the text.
    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.first.bytes().chain([b'/']).chain(self.second.bytes())
    }
}

/// Pairs order as their texts: files that are sorted by pair keep their order.
impl Ord for PeerPair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl PartialOrd for PeerPair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PeerPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.second)
    }
}

impl From<PeerPair> for String {
    fn from(pair: PeerPair) -> Self {
        pair.to_string()
    }
}

/// A text that is not a pair of peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a pair of peers: the names of two tenants in alphabetical order, with a `/` between them"
)]
pub struct NotAPair(String);

impl TryFrom<String> for PeerPair {
    type Error = NotAPair;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once('/') {
            Some((one, other)) if !one.is_empty() && one < other && !other.contains('/') => {
                Ok(PeerPair { first: one.into(), second: other.into() })
            }
            _ => Err(NotAPair(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pair(one: &str, other: &str) -> PeerPair {
        PeerPair::new(one.into(), other.into())
    }

    #[test]
    fn a_pair_is_one_text_in_files() {
        let pairs = BTreeMap::from([(pair("beta", "acme"), 1), (pair("acme", "gamma"), 2)]);
        let text = r#"{"acme/beta":1,"acme/gamma":2}"#;
        assert_eq!(serde_json::to_string(&pairs).unwrap(), text);
        assert_eq!(serde_json::from_str::<BTreeMap<PeerPair, i32>>(text).unwrap(), pairs);
    }

    #[test]
    fn pairs_order_as_their_texts() {
        let names = ["a", "a-b", "a0", "ab", "b"];
        let all = names.iter().flat_map(|one| names.iter().map(move |other| pair(one, other)));
        let all: BTreeSet<PeerPair> = all.collect();
        let texts: Vec<String> = all.iter().map(PeerPair::to_string).collect();
        assert!(texts.is_sorted(), "{texts:?}");
    }

    #[test]
    fn other_texts_are_no_pairs() {
        for text in ["", "acme", "acme/", "/acme", "beta/acme", "acme/acme", "a/b/c"] {
            let read = serde_json::from_value::<PeerPair>(text.into());
            let error = read.unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is not a pair of peers")), "{error}");
        }
    }

    #[test]
    fn a_tenants_name_is_a_text_in_files_and_maps() {
        let tenants = BTreeMap::from([(TenantName::from("acme"), 1)]);
        assert_eq!(serde_json::to_string(&tenants).unwrap(), r#"{"acme":1}"#);
        assert_eq!(serde_json::from_str::<BTreeMap<TenantName, i32>>(r#"{"acme":1}"#).unwrap(), tenants);
        assert_eq!(tenants.get("acme"), Some(&1));
        assert_eq!(format!("{:?}", TenantName::from("acme")), r#""acme""#);
    }
}
