//! Keys taken apart: what a key names, as a value to match on. The one place that reads the text of keys; `text.rs`
//! writes it.

use super::{Key, SITE};

/// A key taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyView<'k> {
    /// An object of the site, which serves every tenant.
    Site(SiteKey<'k>),
    /// An object of the tenant with this name.
    Tenant(&'k str, TenantKey<'k>),
}

/// The object that a key of the site names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteKey<'k> {
    /// The provider router, if midoform creates it.
    ProviderRouter,
    /// The tunnel zone.
    TunnelZone,
    /// The membership of the host with this name in the tunnel zone.
    TunnelZoneHost(&'k str),
    /// Anything else: the text behind `site/`.
    Other(&'k str),
}

/// The object that a key of a tenant names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantKey<'k> {
    /// The tenant's router.
    Router,
    /// A part of the link between the tenant's router and the provider router.
    Uplink(UplinkKey),
    /// A chain.
    Chain(ChainKey<'k>),
    /// A rule of a chain.
    Rule(ChainKey<'k>, RuleKey<'k>),
    /// The bridge with this name, or a part of it.
    Bridge(&'k str, BridgeKey<'k>),
    /// The link to the peer with this name, or a part of it.
    Peer(&'k str, PeerKey<'k>),
    /// The static port with this name, or a part of it.
    Port(&'k str, PortKey<'k>),
    /// The port group with this name.
    PortGroup(&'k str),
    /// The membership of a static port in a port group.
    PortGroupPort {
        /// The group's name.
        group: &'k str,
        /// The port's name.
        port: &'k str,
    },
    /// A route of the spec.
    Route {
        /// The destination, as [`network`] writes it.
        destination: &'k str,
        /// The next hop.
        next_hop: NextHopKey<'k>,
    },
    /// The provider router's route to this public network, as [`network`] writes it.
    Public(&'k str),
    /// A pod, or a part of it.
    Pod(PodName<'k>, PodKey),
    /// Anything else: the text behind the tenant's name.
    Other(&'k str),
}

/// A part of a tenant's uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UplinkKey {
    /// The port of the tenant's router.
    Port,
    /// The port of the provider router.
    ProviderPort,
    /// The link of the two ports.
    Link,
    /// The default route of the tenant's router.
    DefaultRoute,
    /// The provider router's route to the tenant's end of the link.
    ProviderRoute,
}

/// A chain of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKey<'k> {
    /// The router's inbound chain.
    In,
    /// The router's outbound chain.
    Out,
    /// The spec's stateful rules.
    Policy,
    /// The spec's stateless rules.
    Stateless,
    /// The chain that drops frames with a VLAN tag, for the ports of pods.
    Untagged,
    /// The inbound chain of the bridge with this name.
    Bridge(&'k str),
    /// The inbound chain of the static port with this name.
    Port(&'k str),
    /// The inbound chain of a pod's port.
    Pod(PodName<'k>),
}

impl ChainKey<'_> {
    /// Returns true for the chains that the tenant's router uses.
    pub fn is_of_router(&self) -> bool {
        matches!(self, ChainKey::In | ChainKey::Out | ChainKey::Policy | ChainKey::Stateless)
    }
}

/// A rule, in its chain.
///
/// A rule of the spec becomes several rules if it names several addresses or protocols. `part` distinguishes them. It is
/// empty if there is only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKey<'k> {
    /// A rule of the spec, in the chain of the spec's stateful or stateless rules.
    Spec {
        /// The rule's name in the spec.
        rule: &'k str,
        /// The part of it.
        part: &'k str,
    },
    /// A rule of the spec that accepts from outside, in the router's inbound chain.
    Open {
        /// The rule's name in the spec.
        rule: &'k str,
        /// The part of it.
        part: &'k str,
    },
    /// A rule of the spec about traffic inside one bridge, in the bridge's chain.
    Inside {
        /// The rule's name in the spec.
        rule: &'k str,
        /// The part of it.
        part: &'k str,
    },
    /// DNAT of an exposed port: `ADDRESS/PROTOCOL/PORT`.
    Expose(&'k str),
    /// Accepts sources of a network that is routed to a pod: `NETWORK`, or `NETWORK/NEXT-HOP`.
    Routed(&'k str),
    /// Drops sources of the bridge with this name that come in by the uplink.
    UplinkSource(&'k str),
    /// SNAT for pods of the bridge with this name that use an exposed port of a pod there.
    Hairpin(&'k str),
    /// Drops new connections to this network of link addresses, as [`network`] writes it.
    Links(&'k str),
    /// Drops what other bridges than the chosen ones send to the peer with this name.
    PeerSources(&'k str),
    /// Drops what the peer with this name sends to other bridges than the chosen ones.
    PeerDestinations(&'k str),
    /// A rule of the layout: its name.
    Layout(&'k str),
}

/// A part of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeKey<'k> {
    /// The bridge itself.
    Device,
    /// The port of the tenant's router that is the bridge's gateway.
    GatewayPort,
    /// The bridge's port that is linked to the gateway.
    GatewayPeer,
    /// The link of these two ports.
    GatewayLink,
    /// The tenant router's route to the bridge's network.
    Route,
    /// The provider router's route to the bridge's network.
    ProviderRoute,
    /// Anything else below the bridge.
    Other(&'k str),
}

/// A part of the link to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKey<'k> {
    /// The port of the tenant's router.
    Port,
    /// The link of the two tenants' ports.
    Link,
    /// The route to this network of the peer, as [`network`] writes it.
    Route(&'k str),
    /// Anything else below the peer.
    Other(&'k str),
}

/// A part of a static port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKey<'k> {
    /// The port itself.
    Device,
    /// The binding to the host's interface.
    Binding,
    /// Anything else below the port.
    Other(&'k str),
}

/// The next hop of a route of the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHopKey<'k> {
    /// The bridge with this name.
    Bridge(&'k str),
    /// Another one: `via-ADDRESS`, `blackhole`, `reject`.
    Named(&'k str),
}

/// The name of a pod: one interface of one container on one host.
///
/// Container ids are a host's own: with `ctr run` people choose them, and two hosts may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodName<'k> {
    /// The host's id.
    pub host: &'k str,
    /// The runtime's id of the container.
    pub container: &'k str,
    /// The interface in the container.
    pub interface: &'k str,
    /// The tag of the attachment, which is new with every attachment. None: midoform made it before it had tags.
    pub tag: Option<&'k str>,
}

/// A part of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodKey {
    /// The bridge's port.
    Port,
    /// The port's binding to the interface on the host.
    Binding,
}

impl Key {
    /// Takes the key apart.
    pub fn view(&self) -> KeyView<'_> {
        let (owner, path) = self.as_str().split_once('/').unwrap_or((self.as_str(), ""));
        match owner {
            SITE => KeyView::Site(site_key(path)),
            tenant => KeyView::Tenant(tenant, tenant_key(path)),
        }
    }

    /// Returns the pod whose port this is; none for all other keys.
    pub fn pod_of_port(&self) -> Option<PodName<'_>> {
        match self.view() {
            KeyView::Tenant(_, TenantKey::Pod(pod, PodKey::Port)) => Some(pod),
            _ => None,
        }
    }

    /// Returns true for a static port itself.
    pub fn is_static_port(&self) -> bool {
        matches!(self.view(), KeyView::Tenant(_, TenantKey::Port(_, PortKey::Device)))
    }
}

impl From<KeyView<'_>> for Key {
    fn from(view: KeyView<'_>) -> Key {
        Key(view.to_string().into())
    }
}

fn site_key(path: &str) -> SiteKey<'_> {
    match path {
        "provider-router" => SiteKey::ProviderRouter,
        "tunnel-zone" => SiteKey::TunnelZone,
        other => {
            other.strip_prefix("tunnel-zone/host/").map_or(SiteKey::Other(other), SiteKey::TunnelZoneHost)
        }
    }
}

fn tenant_key(path: &str) -> TenantKey<'_> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let (name, behind) = rest.split_once('/').unwrap_or((rest, ""));
    let known = match (first, name) {
        ("router", "") => Some(TenantKey::Router),
        (_, "") => None,
        ("uplink", part) if behind.is_empty() => uplink_key(part).map(TenantKey::Uplink),
        ("chain", chain) => router_chain(chain).and_then(|chain| chain_or_rule(chain, behind)),
        ("bridge", bridge) => Some(bridge_key(bridge, behind)),
        ("peer", peer) => Some(TenantKey::Peer(peer, peer_key(behind))),
        ("port", port) => Some(port_key(port, behind)),
        ("port-group", group) if behind.is_empty() => Some(TenantKey::PortGroup(group)),
        ("port-group", group) => {
            behind.strip_prefix("port/").map(|port| TenantKey::PortGroupPort { group, port })
        }
        ("route", destination) if !behind.is_empty() => {
            let bridge = behind.strip_prefix("bridge-").map(NextHopKey::Bridge);
            let next_hop = bridge.unwrap_or(NextHopKey::Named(behind));
            Some(TenantKey::Route { destination, next_hop })
        }
        ("public", _) => Some(TenantKey::Public(rest)),
        ("pod", _) => pod_key(rest),
        _ => None,
    };
    known.unwrap_or(TenantKey::Other(path))
}

fn uplink_key(part: &str) -> Option<UplinkKey> {
    Some(match part {
        "port" => UplinkKey::Port,
        "provider-port" => UplinkKey::ProviderPort,
        "link" => UplinkKey::Link,
        "default-route" => UplinkKey::DefaultRoute,
        "provider-route" => UplinkKey::ProviderRoute,
        _ => return None,
    })
}

fn router_chain(name: &str) -> Option<ChainKey<'_>> {
    Some(match name {
        "in" => ChainKey::In,
        "out" => ChainKey::Out,
        "policy" => ChainKey::Policy,
        "stateless" => ChainKey::Stateless,
        "untagged" => ChainKey::Untagged,
        _ => return None,
    })
}

/// Reads the key of a chain or of a rule in it. `behind` is the text behind the chain's own.
fn chain_or_rule<'k>(chain: ChainKey<'k>, behind: &'k str) -> Option<TenantKey<'k>> {
    match behind {
        "" => Some(TenantKey::Chain(chain)),
        behind => behind.strip_prefix("rule/").map(|rule| TenantKey::Rule(chain, rule_key(chain, rule))),
    }
}

/// Reads the key of a bridge's, a static port's or a pod's own chain, or of a rule in it.
fn own_chain<'k>(chain: ChainKey<'k>, behind: &'k str) -> Option<TenantKey<'k>> {
    let behind = behind.strip_prefix("chain")?;
    match behind {
        "" => Some(TenantKey::Chain(chain)),
        behind => chain_or_rule(chain, behind.strip_prefix('/')?),
    }
}

fn rule_key<'k>(chain: ChainKey<'_>, name: &'k str) -> RuleKey<'k> {
    if name.starts_with('@') {
        return RuleKey::Layout(name);
    }
    let (first, rest) = name.split_once('/').unwrap_or((name, ""));
    if matches!(chain, ChainKey::Policy | ChainKey::Stateless) {
        return RuleKey::Spec { rule: first, part: rest };
    }
    let (rule, part) = rest.split_once('/').unwrap_or((rest, ""));
    match (first, rule, part) {
        (_, "", _) => RuleKey::Layout(name),
        ("open", rule, part) => RuleKey::Open { rule, part },
        ("inside", rule, part) => RuleKey::Inside { rule, part },
        ("expose", ..) => RuleKey::Expose(rest),
        ("routed", ..) => RuleKey::Routed(rest),
        ("uplink-source", ..) => RuleKey::UplinkSource(rest),
        ("hairpin", ..) => RuleKey::Hairpin(rest),
        ("links", ..) => RuleKey::Links(rest),
        ("peer", peer, "sources") => RuleKey::PeerSources(peer),
        ("peer", peer, "destinations") => RuleKey::PeerDestinations(peer),
        _ => RuleKey::Layout(name),
    }
}

fn bridge_key<'k>(bridge: &'k str, part: &'k str) -> TenantKey<'k> {
    let part = match part {
        "" => BridgeKey::Device,
        "gateway-port" => BridgeKey::GatewayPort,
        "gateway-peer" => BridgeKey::GatewayPeer,
        "gateway-link" => BridgeKey::GatewayLink,
        "route" => BridgeKey::Route,
        "provider-route" => BridgeKey::ProviderRoute,
        other => match own_chain(ChainKey::Bridge(bridge), other) {
            Some(chain) => return chain,
            None => BridgeKey::Other(other),
        },
    };
    TenantKey::Bridge(bridge, part)
}

fn peer_key(part: &str) -> PeerKey<'_> {
    match part {
        "port" => PeerKey::Port,
        "link" => PeerKey::Link,
        other => other.strip_prefix("route/").map_or(PeerKey::Other(other), PeerKey::Route),
    }
}

fn port_key<'k>(port: &'k str, part: &'k str) -> TenantKey<'k> {
    let part = match part {
        "" => PortKey::Device,
        "binding" => PortKey::Binding,
        other => match own_chain(ChainKey::Port(port), other) {
            Some(chain) => return chain,
            None => PortKey::Other(other),
        },
    };
    TenantKey::Port(port, part)
}

fn pod_key(path: &str) -> Option<TenantKey<'_>> {
    let mut parts = path.splitn(4, '/');
    let (host, container, interface) = (parts.next()?, parts.next()?, parts.next()?);
    let behind = parts.next()?;
    let (tag, part) = match behind.strip_prefix('@').and_then(|behind| behind.split_once('/')) {
        Some((tag, part)) => (Some(tag), part),
        None => (None, behind),
    };
    let pod = PodName { host, container, interface, tag };
    match part {
        "port" => Some(TenantKey::Pod(pod, PodKey::Port)),
        "port/binding" => Some(TenantKey::Pod(pod, PodKey::Binding)),
        part => own_chain(ChainKey::Pod(pod), part),
    }
}

/// Writes a network as one segment of a key: `10.0.0.0-8`, and a single address without a length.
pub fn network(network: ipnet::Ipv4Net) -> String {
    match network.prefix_len() {
        32 => network.addr().to_string(),
        length => format!("{}-{length}", network.addr()),
    }
}
