//! Keys and ids: every object is named by a path, and its id follows from that path.
//!
//! A key is built by parts (`Key::tenant("acme").bridge("web").gateway_port()`), and taken apart by matching on
//! [`Key::view`]. Its text is for files, for people, and for the order of keys.

pub mod builder;
mod text;
pub mod view;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::values::SITE;

/// The name of an object: a path such as `acme/bridge/web/gateway-port`.
///
/// The first segment is the tenant that the object belongs to, or [`SITE`] for what serves every tenant.
/// A key is unique in its site, orders as text, and is cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

/// The root of all midoform namespaces: UUIDv5 of the DNS namespace and this name.
const ROOT_NAME: &[u8] = b"midoform/1";

impl Key {
    /// Reads a key from its text.
    pub fn new(path: impl Into<Arc<str>>) -> Self {
        Key(path.into())
    }

    /// Returns the key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key's text, which its copies share.
    pub fn text(&self) -> Arc<str> {
        self.0.clone()
    }

    /// Returns the first segment: the tenant's name, or [`SITE`].
    pub fn owner(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// Returns the text behind the first segment, for lists that are grouped by tenant.
    pub fn path(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, path)| path)
    }

    /// Returns the last segment, for drawings with little room.
    pub fn short_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the id in the key itself, if the key is that of an object of which only the id is known.
    pub fn own_id(&self) -> Option<Uuid> {
        self.0.rsplit_once("/@").and_then(|(_, id)| Uuid::try_parse(id).ok())
    }

    /// Returns true for the key of an object that midoform did not create.
    pub fn is_foreign(&self) -> bool {
        self.0.rsplit_once("/@").is_some_and(|(before, _)| before.ends_with("/foreign"))
    }

    /// Returns true if the prefix names this key, or something that this key is below.
    pub fn is_within(&self, prefix: &KeyPrefix) -> bool {
        self.0.strip_prefix(&*prefix.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The beginning of keys, as people write it: `acme`, `acme/bridge/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPrefix(Arc<str>);

impl KeyPrefix {
    /// Reads a prefix from text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        KeyPrefix(text.into())
    }

    /// Returns the first segment: a tenant's name, or [`SITE`].
    pub fn owner(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
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

/// The namespace that turns the keys of one site into ids. If a site is renamed, all ids change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace(Uuid);

impl Namespace {
    /// Returns the namespace of the site with this name.
    pub fn of_site(site_name: &str) -> Self {
        let root = Uuid::new_v5(&Uuid::NAMESPACE_DNS, ROOT_NAME);
        Namespace(Uuid::new_v5(&root, site_name.as_bytes()))
    }

    /// Returns the id of the object with this key: UUIDv5 of the site's namespace and the key. An object that was
    /// found, and whose key is no longer known, has a key that ends with `@` and its id.
    pub fn id(&self, key: &Key) -> Uuid {
        key.own_id().unwrap_or_else(|| Uuid::new_v5(&self.0, key.as_str().as_bytes()))
    }

    /// Returns the id of the object with this key in a later generation of ids. Generation 0 has the id of [`Namespace::id`].
    pub fn id_of_generation(&self, key: &Key, generation: u32) -> Uuid {
        match (generation, key.own_id()) {
            (0, _) | (_, Some(_)) => self.id(key),
            (later, None) => Uuid::new_v5(&self.0, format!("{key}/@{later}").as_bytes()),
        }
    }

    /// Returns the id that an object with this key is created with in a generation. An object whose key ends with its id was deleted
    /// if it is created again, so it gets another id.
    ///
    /// That of a foreign object is no UUIDv5, so that the object stays foreign.
    pub fn new_id(&self, key: &Key, generation: u32) -> Uuid {
        let made = || Uuid::new_v5(&self.0, format!("{key}/@{generation}").as_bytes());
        match key.own_id() {
            None => self.id_of_generation(key, generation),
            Some(_) if key.is_foreign() => {
                uuid::Builder::from_bytes(*made().as_bytes()).with_version(uuid::Version::Custom).into_uuid()
            }
            Some(_) => made(),
        }
    }

    /// Returns the second id of a key, which earlier versions of midoform gave to a rule that they made while the rule that it
    /// replaces still had the first id.
    pub fn other_id(&self, key: &Key) -> Uuid {
        Uuid::new_v5(&self.0, format!("{key}/@other").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::view::{BridgeKey, ChainKey, KeyView, PodKey, RuleKey, TenantKey, UplinkKey};
    use super::*;
    use crate::names::PeerPair;

    #[test]
    fn a_key_is_what_its_view_says() {
        let cases = [
            "site",
            "site/provider-router",
            "site/tunnel-zone",
            "site/tunnel-zone/host/h1",
            "acme",
            "acme/router",
            "acme/router/port/@1a4c0bd2-9ac1-4b1a-8f0e-000000000001",
            "acme/uplink/port",
            "acme/uplink/default-route",
            "acme/chain/in",
            "acme/chain/other",
            "acme/chain/in/rule/open/web/10.0.0.0-8/tcp-80",
            "acme/chain/in/rule/expose/198.51.100.7/tcp/443",
            "acme/chain/in/rule/@1a4c0bd2-9ac1-4b1a-8f0e-000000000001",
            "acme/chain/out/rule/peer/beta/sources",
            "acme/chain/policy/rule/open/tcp-80",
            "acme/bridge/web",
            "acme/bridge/web/gateway-peer",
            "acme/bridge/web/gateway-port/link",
            "acme/bridge/chain/chain/rule/inside/web",
            "acme/peer/beta/port",
            "acme/peer/beta/route/10.0.0.0-8",
            "acme/peer/beta",
            "acme/port/web-1/binding",
            "acme/port/web-1/chain/rule/routed/10.0.0.0-8",
            "acme/port-group/g",
            "acme/port-group/g/port/web-1",
            "acme/route/10.0.0.0-8/via-10.20.0.5",
            "acme/route/10.0.0.0-8/bridge-web",
            "acme/public/198.51.100.7",
            "acme/pod/1a4c0bd2-9ac1-4b1a-8f0e-000000000001/c1/eth0/port/binding",
            "acme/pod/1a4c0bd2-9ac1-4b1a-8f0e-000000000001/c1/eth0/chain/rule/mac",
            "acme/pod/1a4c0bd2-9ac1-4b1a-8f0e-000000000001/c1/eth0/@0a1b2c3/port/binding",
            "acme/pod/1a4c0bd2-9ac1-4b1a-8f0e-000000000001/c1/eth0/@0a1b2c3/chain/rule/mac",
        ];
        for text in cases {
            let key = Key::from(text);
            assert_eq!(Key::from(key.view()), key);
        }
    }

    #[test]
    fn parts_make_the_keys_that_views_take_apart() {
        let acme = Key::tenant("acme");
        let gateway = acme.bridge("web").gateway_port();
        assert_eq!(gateway.as_str(), "acme/bridge/web/gateway-port");
        assert_eq!(gateway.view(), KeyView::Tenant("acme", TenantKey::Bridge("web", BridgeKey::GatewayPort)));
        assert_eq!(acme.uplink(UplinkKey::Link).as_str(), "acme/uplink/link");
        let inside = RuleKey::Inside { rule: "web", part: "tcp-80" };
        let rule = acme.bridge("web").chain().rule(inside);
        assert_eq!(rule.as_str(), "acme/bridge/web/chain/rule/inside/web/tcp-80");
        assert_eq!(rule.view(), KeyView::Tenant("acme", TenantKey::Rule(ChainKey::Bridge("web"), inside)));
        let tagged = acme.pod(Uuid::nil(), "c1", "eth0").tagged(Some("7")).port();
        assert!(
            matches!(tagged.view(), KeyView::Tenant("acme", TenantKey::Pod(pod, PodKey::Port)) if pod.tag == Some("7"))
        );
        let port = acme.pod(Uuid::nil(), "c1", "eth0").port();
        assert!(
            matches!(port.view(), KeyView::Tenant("acme", TenantKey::Pod(pod, PodKey::Port)) if pod.container == "c1")
        );
    }

    /// Allocations start at the hashes of these keys: with other bytes, new tenants would get other addresses than the
    /// ones that earlier versions allocate.
    #[test]
    fn the_keys_of_addresses_have_the_bytes_that_they_always_had() {
        let acme = Key::tenant("acme");
        assert_eq!(acme.uplink_addresses().as_str(), "acme/uplink");
        assert_eq!(acme.bridge("web").device().as_str(), "acme/bridge/web");
        let pair = PeerPair::new("blue".into(), "acme".into());
        assert_eq!(Key::peer_addresses(&pair).as_str(), "acme/blue/peer");
    }

    #[test]
    fn a_prefix_ends_where_a_segment_does() {
        let key = Key::from("acme/bridge/web/chain");
        assert!(key.is_within(&KeyPrefix::new("acme/bridge/web")));
        assert!(key.is_within(&KeyPrefix::new("acme/bridge/web/chain")));
        assert!(!key.is_within(&KeyPrefix::new("acme/bridge/we")));
    }
}
