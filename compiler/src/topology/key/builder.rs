//! Keys made part by part: `Key::tenant("acme").bridge("web").gateway_port()`.

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::Key;
use super::view::{
    BridgeKey, ChainKey, KeyView, NextHopKey, PeerKey, PodKey, PodName, PortKey, RuleKey, SiteKey, TenantKey,
    UplinkKey, network,
};
use crate::names::PeerPair;

impl Key {
    /// Begins a key of the site.
    pub fn site() -> SiteKeys {
        SiteKeys
    }

    /// Begins a key of the tenant with this name.
    pub fn tenant(tenant: &str) -> TenantKeys<'_> {
        TenantKeys { tenant }
    }

    /// Returns the key of the addresses of the link between two peers. No object has it: their allocation starts at its
    /// hash.
    pub fn peer_addresses(pair: &PeerPair) -> Key {
        Key(format!("{pair}/peer").into())
    }
}

/// The keys of the site.
#[derive(Clone, Copy, Debug)]
pub struct SiteKeys;

#[allow(missing_docs, reason = "each is described at its variant of `SiteKey`")]
impl SiteKeys {
    pub fn provider_router(self) -> Key {
        KeyView::Site(SiteKey::ProviderRouter).into()
    }

    pub fn tunnel_zone(self) -> Key {
        KeyView::Site(SiteKey::TunnelZone).into()
    }

    pub fn tunnel_zone_host(self, host: &str) -> Key {
        KeyView::Site(SiteKey::TunnelZoneHost(host)).into()
    }

    /// Returns the key of a host in the tunnel zone of which only the id is known.
    pub fn found_tunnel_zone_host(self, host: Uuid) -> Key {
        KeyView::Site(SiteKey::TunnelZoneHost(&format!("@{host}"))).into()
    }
}

/// The keys of one tenant.
#[derive(Clone, Copy, Debug)]
pub struct TenantKeys<'k> {
    tenant: &'k str,
}

#[allow(missing_docs, reason = "each is described at its variant of `TenantKey`")]
impl<'k> TenantKeys<'k> {
    fn key(self, key: TenantKey<'_>) -> Key {
        KeyView::Tenant(self.tenant, key).into()
    }

    pub fn router(self) -> Key {
        self.key(TenantKey::Router)
    }

    pub fn uplink(self, part: UplinkKey) -> Key {
        self.key(TenantKey::Uplink(part))
    }

    /// Returns the key of the addresses of the uplink. No object has it: their allocation starts at its hash.
    pub fn uplink_addresses(self) -> Key {
        self.key(TenantKey::Other("uplink"))
    }

    pub fn chain(self, chain: ChainKey<'_>) -> Key {
        self.key(TenantKey::Chain(chain))
    }

    pub fn bridge(self, bridge: &'k str) -> BridgeKeys<'k> {
        BridgeKeys { keys: self, bridge }
    }

    pub fn peer(self, peer: &'k str) -> PeerKeys<'k> {
        PeerKeys { keys: self, peer }
    }

    pub fn port(self, port: &'k str) -> PortKeys<'k> {
        PortKeys { keys: self, port }
    }

    pub fn port_group(self, group: &'k str) -> PortGroupKeys<'k> {
        PortGroupKeys { keys: self, group }
    }

    pub fn route(self, destination: Ipv4Net, next_hop: NextHopKey<'_>) -> Key {
        self.key(TenantKey::Route { destination: &network(destination), next_hop })
    }

    pub fn public(self, destination: Ipv4Net) -> Key {
        self.key(TenantKey::Public(&network(destination)))
    }

    pub fn pod(self, host: Uuid, container: &'k str, interface: &'k str) -> PodKeys<'k> {
        PodKeys { keys: self, host, container, interface, tag: None }
    }
}

/// The keys of a bridge.
#[derive(Clone, Copy, Debug)]
pub struct BridgeKeys<'k> {
    keys: TenantKeys<'k>,
    bridge: &'k str,
}

#[allow(missing_docs, reason = "each is described at its variant of `BridgeKey`")]
impl BridgeKeys<'_> {
    fn part(self, part: BridgeKey<'_>) -> Key {
        self.keys.key(TenantKey::Bridge(self.bridge, part))
    }

    pub fn device(self) -> Key {
        self.part(BridgeKey::Device)
    }

    pub fn chain(self) -> Key {
        self.keys.chain(ChainKey::Bridge(self.bridge))
    }

    pub fn gateway_port(self) -> Key {
        self.part(BridgeKey::GatewayPort)
    }

    pub fn gateway_peer(self) -> Key {
        self.part(BridgeKey::GatewayPeer)
    }

    pub fn gateway_link(self) -> Key {
        self.part(BridgeKey::GatewayLink)
    }

    pub fn route(self) -> Key {
        self.part(BridgeKey::Route)
    }

    pub fn provider_route(self) -> Key {
        self.part(BridgeKey::ProviderRoute)
    }
}

/// The keys of the link to a peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerKeys<'k> {
    keys: TenantKeys<'k>,
    peer: &'k str,
}

#[allow(missing_docs, reason = "each is described at its variant of `PeerKey`")]
impl PeerKeys<'_> {
    fn part(self, part: PeerKey<'_>) -> Key {
        self.keys.key(TenantKey::Peer(self.peer, part))
    }

    pub fn port(self) -> Key {
        self.part(PeerKey::Port)
    }

    pub fn link(self) -> Key {
        self.part(PeerKey::Link)
    }

    pub fn route(self, destination: Ipv4Net) -> Key {
        self.part(PeerKey::Route(&network(destination)))
    }
}

/// The keys of a static port.
#[derive(Clone, Copy, Debug)]
pub struct PortKeys<'k> {
    keys: TenantKeys<'k>,
    port: &'k str,
}

#[allow(missing_docs, reason = "each is described at its variant of `PortKey`")]
impl PortKeys<'_> {
    pub fn device(self) -> Key {
        self.keys.key(TenantKey::Port(self.port, PortKey::Device))
    }

    pub fn binding(self) -> Key {
        self.keys.key(TenantKey::Port(self.port, PortKey::Binding))
    }

    pub fn chain(self) -> Key {
        self.keys.chain(ChainKey::Port(self.port))
    }
}

/// The keys of a port group.
#[derive(Clone, Copy, Debug)]
pub struct PortGroupKeys<'k> {
    keys: TenantKeys<'k>,
    group: &'k str,
}

#[allow(missing_docs, reason = "each is described at its variant of `TenantKey`")]
impl PortGroupKeys<'_> {
    pub fn group(self) -> Key {
        self.keys.key(TenantKey::PortGroup(self.group))
    }

    pub fn port(self, port: &str) -> Key {
        self.keys.key(TenantKey::PortGroupPort { group: self.group, port })
    }
}

/// The keys of a pod.
#[derive(Clone, Copy, Debug)]
pub struct PodKeys<'k> {
    keys: TenantKeys<'k>,
    host: Uuid,
    container: &'k str,
    interface: &'k str,
    tag: Option<&'k str>,
}

#[allow(missing_docs, reason = "each is described at its variant of `PodKey`")]
impl<'k> PodKeys<'k> {
    /// Returns the keys of the attachment with this tag.
    pub fn tagged(self, tag: Option<&'k str>) -> PodKeys<'k> {
        PodKeys { tag, ..self }
    }

    fn of(self, key: impl Fn(PodName<'_>) -> Key) -> Key {
        let mut buffer = Uuid::encode_buffer();
        let host: &str = self.host.hyphenated().encode_lower(&mut buffer);
        key(PodName { host, container: self.container, interface: self.interface, tag: self.tag })
    }

    pub fn port(self) -> Key {
        self.of(|pod| self.keys.key(TenantKey::Pod(pod, PodKey::Port)))
    }

    pub fn binding(self) -> Key {
        self.of(|pod| self.keys.key(TenantKey::Pod(pod, PodKey::Binding)))
    }

    pub fn chain(self) -> Key {
        self.of(|pod| self.keys.chain(ChainKey::Pod(pod)))
    }
}

/// Keys that are derived from the key of any object.
impl Key {
    fn below(&self, part: std::fmt::Arguments<'_>) -> Key {
        Key(format!("{self}/{part}").into())
    }

    /// Returns the key of a rule of the chain with this key.
    pub fn rule(&self, rule: RuleKey<'_>) -> Key {
        self.below(format_args!("rule/{rule}"))
    }

    /// Returns the key of a rule of the chain with this key, of which only the id is known.
    pub fn found_rule(&self, id: Uuid) -> Key {
        self.below(format_args!("rule/@{id}"))
    }

    /// Returns the key of a route of the router or port with this key, of which only the id is known.
    pub fn found_route(&self, id: Uuid) -> Key {
        self.below(format_args!("route/@{id}"))
    }

    /// Returns the key of a port of the router with this key, of which only the id is known.
    pub fn found_port(&self, id: Uuid) -> Key {
        self.below(format_args!("port/@{id}"))
    }

    /// Returns the key of an object that midoform did not create, in the reach of the object with this key.
    pub fn foreign(&self, id: Uuid) -> Key {
        self.below(format_args!("foreign/@{id}"))
    }

    /// Returns the key of an object that was created for this key, and that is no longer wanted under this key.
    pub fn found(&self, id: Uuid) -> Key {
        self.below(format_args!("@{id}"))
    }

    /// Returns the key of the link of the port with this key.
    pub fn link(&self) -> Key {
        self.below(format_args!("link"))
    }

    /// Returns the key of the binding of the port with this key.
    pub fn binding(&self) -> Key {
        self.below(format_args!("binding"))
    }

    /// Returns the key of the membership of the port with this name in the port group with this key.
    pub fn member(&self, port: &str) -> Key {
        self.below(format_args!("port/{port}"))
    }
}
