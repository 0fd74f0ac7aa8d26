//! The text of keys that were built or taken apart.

use std::fmt;

use super::SITE;
use super::view::{
    BridgeKey, ChainKey, KeyView, NextHopKey, PeerKey, PodKey, PodName, PortKey, RuleKey, SiteKey, TenantKey,
    UplinkKey,
};

impl fmt::Display for KeyView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyView::Site(SiteKey::ProviderRouter) => write!(formatter, "{SITE}/provider-router"),
            KeyView::Site(SiteKey::TunnelZone) => write!(formatter, "{SITE}/tunnel-zone"),
            KeyView::Site(SiteKey::TunnelZoneHost(host)) => {
                write!(formatter, "{SITE}/tunnel-zone/host/{host}")
            }
            KeyView::Site(SiteKey::Other("")) => formatter.write_str(SITE),
            KeyView::Site(SiteKey::Other(path)) => write!(formatter, "{SITE}/{path}"),
            KeyView::Tenant(tenant, TenantKey::Other("")) => formatter.write_str(tenant),
            KeyView::Tenant(tenant, key) => write!(formatter, "{tenant}/{key}"),
        }
    }
}

impl fmt::Display for TenantKey<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TenantKey::Router => formatter.write_str("router"),
            TenantKey::Uplink(part) => write!(formatter, "uplink/{part}"),
            TenantKey::Chain(chain) => chain.fmt(formatter),
            TenantKey::Rule(chain, rule) => write!(formatter, "{chain}/rule/{rule}"),
            TenantKey::Bridge(name, part) => below(formatter, "bridge", name, part.text()),
            TenantKey::Peer(name, PeerKey::Port) => write!(formatter, "peer/{name}/port"),
            TenantKey::Peer(name, PeerKey::Link) => write!(formatter, "peer/{name}/link"),
            TenantKey::Peer(name, PeerKey::Route(network)) => {
                write!(formatter, "peer/{name}/route/{network}")
            }
            TenantKey::Peer(name, PeerKey::Other(part)) => below(formatter, "peer", name, part),
            TenantKey::Port(name, part) => below(formatter, "port", name, part.text()),
            TenantKey::PortGroup(group) => write!(formatter, "port-group/{group}"),
            TenantKey::PortGroupPort { group, port } => write!(formatter, "port-group/{group}/port/{port}"),
            TenantKey::Route { destination, next_hop: NextHopKey::Bridge(bridge) } => {
                write!(formatter, "route/{destination}/bridge-{bridge}")
            }
            TenantKey::Route { destination, next_hop: NextHopKey::Named(name) } => {
                write!(formatter, "route/{destination}/{name}")
            }
            TenantKey::Public(network) => write!(formatter, "public/{network}"),
            TenantKey::Pod(pod, PodKey::Port) => write!(formatter, "{pod}/port"),
            TenantKey::Pod(pod, PodKey::Binding) => write!(formatter, "{pod}/port/binding"),
            TenantKey::Other(path) => formatter.write_str(path),
        }
    }
}

fn below(formatter: &mut fmt::Formatter<'_>, what: &str, name: &str, part: &str) -> fmt::Result {
    write!(formatter, "{what}/{name}")?;
    if part.is_empty() { Ok(()) } else { write!(formatter, "/{part}") }
}

impl<'k> BridgeKey<'k> {
    fn text(self) -> &'k str {
        match self {
            BridgeKey::Device => "",
            BridgeKey::GatewayPort => "gateway-port",
            BridgeKey::GatewayPeer => "gateway-peer",
            BridgeKey::GatewayLink => "gateway-link",
            BridgeKey::Route => "route",
            BridgeKey::ProviderRoute => "provider-route",
            BridgeKey::Other(part) => part,
        }
    }
}

impl<'k> PortKey<'k> {
    fn text(self) -> &'k str {
        match self {
            PortKey::Device => "",
            PortKey::Binding => "binding",
            PortKey::Other(part) => part,
        }
    }
}

impl fmt::Display for UplinkKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            UplinkKey::Port => "port",
            UplinkKey::ProviderPort => "provider-port",
            UplinkKey::Link => "link",
            UplinkKey::DefaultRoute => "default-route",
            UplinkKey::ProviderRoute => "provider-route",
        })
    }
}

impl fmt::Display for ChainKey<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainKey::In => formatter.write_str("chain/in"),
            ChainKey::Out => formatter.write_str("chain/out"),
            ChainKey::Policy => formatter.write_str("chain/policy"),
            ChainKey::Stateless => formatter.write_str("chain/stateless"),
            ChainKey::Untagged => formatter.write_str("chain/untagged"),
            ChainKey::Bridge(bridge) => write!(formatter, "bridge/{bridge}/chain"),
            ChainKey::Port(port) => write!(formatter, "port/{port}/chain"),
            ChainKey::Pod(pod) => write!(formatter, "{pod}/chain"),
        }
    }
}

impl fmt::Display for RuleKey<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = |kind: &str, rule: &str, part: &str| match part.is_empty() {
            true => write!(formatter, "{kind}{rule}"),
            false => write!(formatter, "{kind}{rule}/{part}"),
        };
        match self {
            RuleKey::Spec { rule, part } => named("", rule, part),
            RuleKey::Open { rule, part } => named("open/", rule, part),
            RuleKey::Inside { rule, part } => named("inside/", rule, part),
            RuleKey::Expose(port) => named("expose/", port, ""),
            RuleKey::Routed(network) => named("routed/", network, ""),
            RuleKey::UplinkSource(bridge) => named("uplink-source/", bridge, ""),
            RuleKey::Hairpin(bridge) => named("hairpin/", bridge, ""),
            RuleKey::Links(network) => named("links/", network, ""),
            RuleKey::PeerSources(peer) => named("peer/", peer, "sources"),
            RuleKey::PeerDestinations(peer) => named("peer/", peer, "destinations"),
            RuleKey::Layout(name) => named("", name, ""),
        }
    }
}

impl fmt::Display for PodName<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pod/{}/{}/{}", self.host, self.container, self.interface)?;
        self.tag.map_or(Ok(()), |tag| write!(formatter, "/@{tag}"))
    }
}
