//! Keys and ids: every object is named by a path, and its id follows from that path.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of an object: a path such as `acme/bridge/web/gateway-port`.
///
/// The first segment is the tenant that the object belongs to, or [`SITE`] for what serves every tenant.
/// A key is unique in its site, orders as text, and is cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

/// The first segment of the keys of objects that belong to the site and to no tenant.
pub const SITE: &str = "site";

/// The root of all midoform namespaces: UUIDv5 of the DNS namespace and this name.
const ROOT_NAME: &[u8] = b"midoform/1";

impl Key {
    /// A key from its path.
    pub fn new(path: impl Into<Arc<str>>) -> Self {
        Key(path.into())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first segment: the tenant's name, or [`SITE`].
    pub fn tenant(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// This key with another segment (or several, separated by `/`) behind it.
    #[must_use]
    pub fn join(&self, segment: &str) -> Key {
        Key(format!("{}/{segment}", self.0).into())
    }

    /// The id that the key itself says: that of an object whose key nobody knows any more.
    pub fn own_id(&self) -> Option<Uuid> {
        self.0.rsplit_once("/@").and_then(|(_, id)| Uuid::try_parse(id).ok())
    }

    /// Returns true for the key of a pod's port.
    pub fn is_pod_port(&self) -> bool {
        let parts: Vec<&str> = self.0.split('/').collect();
        matches!(parts.as_slice(), [_, "pod", _, _, _, "port"])
    }

    /// True for this key itself and every key below it.
    pub fn is_or_below(&self, ancestor: &str) -> bool {
        self.0.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.0)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(path: &str) -> Self {
        Key(path.into())
    }
}

/// The namespace that turns keys of one site into ids. Renaming a site makes a new world; nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace(Uuid);

impl Namespace {
    /// The namespace of the site with this name.
    pub fn of_site(site_name: &str) -> Self {
        let root = Uuid::new_v5(&Uuid::NAMESPACE_DNS, ROOT_NAME);
        Namespace(Uuid::new_v5(&root, site_name.as_bytes()))
    }

    /// The id of the object with this key: UUIDv5 of the site's namespace and the key. An object that was found
    /// and whose key nobody knows any more has a key that ends with `@` and its id: that one it keeps.
    pub fn id(&self, key: &Key) -> Uuid {
        key.own_id().unwrap_or_else(|| Uuid::new_v5(&self.0, key.as_str().as_bytes()))
    }

    /// The second id of a key: that of a rule that is made while the one that it replaces still has the first.
    pub fn other_id(&self, key: &Key) -> Uuid {
        Uuid::new_v5(&self.0, format!("{key}/@other").as_bytes())
    }
}
