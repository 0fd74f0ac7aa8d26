//! Names to references, and everything that is wrong with them: specs and allocations in, tenants out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use uuid::Uuid;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::names::PeerPair;
use crate::network::address_ranges::{AddressRanges, block_of};
use crate::network::allocation::{Allocations, LinkAddresses};
use crate::network::{
    AddressGroup, Assert, Bridge, BridgeIndex, Expose, Link, Peer, PeerIndex, Port, PortGroup, PortIndex,
    Route, RouteTarget, Rule, Selector, Tenant,
};
use crate::source::{Span, Spanned};
use crate::spec;
use crate::spec::parse::nearest;
use crate::spec::{Gateway, Profile};

/// Resolves every tenant. They are sorted by name, and a second tenant with the same name is left out. Anything that an
/// error makes impossible to resolve is left out as well; the error is in the diagnostics.
pub fn resolve(
    site: &spec::Site,
    specs: &[spec::Tenant],
    allocations: &Allocations,
    diagnostics: &mut Diagnostics,
) -> Vec<Tenant> {
    let mut sorted: Vec<&spec::Tenant> = specs.iter().collect();
    sorted.sort_by(|a, b| (&a.name.value, a.name.span).cmp(&(&b.name.value, b.name.span)));
    unique(sorted.iter().map(|tenant| &tenant.name), "tenants", diagnostics);
    sorted.dedup_by(|a, b| a.name.value == b.name.value);
    let by_name: BTreeMap<&str, &spec::Tenant> = sorted.iter().map(|t| (t.name.value.as_str(), *t)).collect();
    let left_out = BTreeSet::new();
    let mut resolver = Resolver { site, allocations, by_name: &by_name, diagnostics, left_out };
    sorted.iter().filter_map(|spec| resolver.tenant(spec)).collect()
}

/// Reports names that occur twice.
fn unique<'a, Name: AsRef<str> + 'a>(
    names: impl Iterator<Item = &'a Spanned<Name>>,
    what: &str,
    diagnostics: &mut Diagnostics,
) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for Spanned { value, span } in names {
        let name = value.as_ref();
        if let Some(first) = seen.get(name) {
            let message = format!("two {what} are called `{name}`");
            let diagnostic = Diagnostic::error(Code::DuplicateName, *span, message).also(*first, "the first");
            diagnostics.push(diagnostic.help("give one of them another name"));
        } else {
            seen.insert(name, *span);
        }
    }
}

/// Returns the placeholder for a `tenantId` that only Keystone knows. No Keystone makes such an id.
pub fn unknown_project(tenant: &str) -> String {
    format!("unknown-project-of:{tenant}")
}

struct Resolver<'a, 'd> {
    site: &'a spec::Site,
    allocations: &'a Allocations,
    by_name: &'a BTreeMap<&'a str, &'a spec::Tenant>,
    diagnostics: &'d mut Diagnostics,
    /// The kind and the name of what the tenant has and what an error has left out: nothing is reported of what names it.
    left_out: BTreeSet<(&'static str, String)>,
}

/// The meaning of the names of one tenant.
#[derive(Default)]
struct Names<'a> {
    bridges: BTreeMap<&'a str, BridgeIndex>,
    ports: BTreeMap<&'a str, PortIndex>,
    address_groups: BTreeMap<&'a str, Vec<Ipv4Net>>,
    port_groups: BTreeMap<&'a str, Vec<PortIndex>>,
    peers: BTreeMap<&'a str, PeerIndex>,
}

impl<'a> Names<'a> {
    /// Returns the names of these bridges, and no others yet.
    fn of_bridges(spec: &'a spec::Tenant, bridges: &[Bridge]) -> Names<'a> {
        let own: BTreeSet<&str> = spec.bridges.iter().map(|bridge| bridge.name.value.as_str()).collect();
        let indexed = bridges.iter().enumerate();
        let indexed = indexed.filter_map(|(at, bridge)| Some((*own.get(&*bridge.name)?, BridgeIndex(at))));
        Names { bridges: indexed.collect(), ..Names::default() }
    }
}

/// Returns the index of each resolved peer by the name in the spec.
fn names_of_peers<'a>(spec: &'a spec::Tenant, peers: &[Peer]) -> BTreeMap<&'a str, PeerIndex> {
    let mut places: BTreeMap<&str, PeerIndex> = BTreeMap::new();
    for (at, peer) in peers.iter().enumerate() {
        places.entry(&peer.name).or_insert(PeerIndex(at));
    }
    let named = spec.peers.iter().map(|peer| peer.tenant.value.as_str());
    named.filter_map(|name| Some((name, *places.get(name)?))).collect()
}

impl<'a> Resolver<'a, '_> {
    fn tenant(&mut self, spec: &'a spec::Tenant) -> Option<Tenant> {
        self.duplicates(spec);
        let allocated = self.allocations.tenants.get(&spec.name.value)?;
        let profile = spec.profile_in(self.site);
        let prefix = spec.link.as_ref().and_then(|pin| pin.prefix);
        let link = self.uplink(profile, allocated.link?, prefix);
        let tenant_id = self.tenant_id(spec, allocated.tenant_id.as_deref());
        let bridges: Vec<Bridge> =
            spec.bridges.iter().filter_map(|bridge| self.bridge(bridge, &allocated.bridges)).collect();
        let networks = Networks::of(&bridges, &self.left_out);
        let mut names = Names::of_bridges(spec, &bridges);
        let mut ports = Vec::with_capacity(spec.ports.len());
        for port in &spec.ports {
            let Some(resolved) = self.port(port, &names) else {
                self.left_out.insert(("port", port.name.value.clone()));
                continue;
            };
            names.ports.insert(&port.name.value, PortIndex(ports.len()));
            ports.push(resolved);
        }
        let port_groups: Vec<PortGroup> =
            spec.port_groups.iter().map(|group| self.port_group(group, &names)).collect();
        names.port_groups = spec
            .port_groups
            .iter()
            .zip(&port_groups)
            .map(|(s, group)| (s.name.value.as_str(), group.ports.clone()))
            .collect();
        let (sound, unsound): (Vec<_>, Vec<_>) = spec.address_groups.iter().partition(|group| group.is_sound);
        names.address_groups = sound.iter().copied().map(address_group).collect();
        let address_groups = address_groups(&sound);
        self.left_out.extend(unsound.into_iter().map(|group| ("address group", group.name.value.clone())));
        let peers: Vec<Peer> = spec.peers.iter().filter_map(|peer| self.peer(spec, peer, &names)).collect();
        names.peers = names_of_peers(spec, &peers);
        self.leave_out_peers(spec, &names);
        Some(Tenant {
            name: spec.name.value.as_str().into(),
            tenant_id,
            profile,
            anti_spoof: spec.anti_spoof_in(self.site),
            ethertypes: spec.ethertypes_in(self.site),
            matches_tags: self.site.matches_tags(),
            mtu: spec.mtu.or(self.site.defaults.mtu).map_or(self.site.default_mtu(), |mtu| mtu.value),
            protect: spec.protect,
            egress: spec.egress.value,
            egress_span: if spec.egress.span.end == 0 { spec.name.span } else { spec.egress.span },
            link,
            routes: spec.routes.iter().filter_map(|route| self.route(route, &networks, &names)).collect(),
            rules: spec.rules.iter().filter_map(|rule| self.rule(rule, &names)).collect(),
            exposes: spec.exposes.iter().filter_map(|expose| self.expose(expose, &ports, &names)).collect(),
            asserts: spec.asserts.iter().filter_map(|assert| self.assertion(assert, &names)).collect(),
            bridges,
            ports,
            address_groups,
            port_groups,
            peers,
            span: spec.name.span,
        })
    }

    /// Notes the peers that are not resolved: another error says why.
    fn leave_out_peers(&mut self, spec: &spec::Tenant, names: &Names<'_>) {
        let unresolved = spec.peers.iter().map(|peer| peer.tenant.value.as_str());
        let unresolved = unresolved.filter(|name| !names.peers.contains_key(name));
        self.left_out.extend(unresolved.map(|name| ("peer", name.to_owned())));
    }

    /// Reports names that occur twice, and notes what the spec itself has left out.
    fn duplicates(&mut self, spec: &spec::Tenant) {
        self.left_out.clone_from(&spec.left_out);
        unique(spec.bridges.iter().map(|bridge| &bridge.name), "bridges", self.diagnostics);
        unique(spec.ports.iter().map(|port| &port.name), "ports", self.diagnostics);
        unique(spec.rules.iter().map(|rule| &rule.name), "rules", self.diagnostics);
        unique(spec.address_groups.iter().map(|group| &group.name), "address groups", self.diagnostics);
        unique(spec.port_groups.iter().map(|group| &group.name), "port groups", self.diagnostics);
        unique(spec.peers.iter().map(|peer| &peer.tenant), "peers", self.diagnostics);
    }

    /// Returns MidoNet's `tenantId`: the spec's own, else that of the known Keystone project, else the tenant's name.
    fn tenant_id(&mut self, spec: &spec::Tenant, known: Option<&str>) -> Arc<str> {
        if let Some(id) = spec.tenant_id.as_ref().map(|id| id.value.as_str()).or(known) {
            return id.into();
        }
        if self.site.keystone.is_none() {
            return spec.name.value.as_str().into();
        }
        let message = format!("the Keystone project of `{}` is not known yet", spec.name);
        let help = "`midoform lock` looks it up in Keystone and records it; or set `tenant_id`";
        self.diagnostics.push(Diagnostic::warning(Code::UnknownProject, spec.name.span, message).help(help));
        unknown_project(&spec.name.value).into()
    }

    /// Returns the addresses of the uplink and its network. The network is the pinned one; else in `rainbond` the
    /// whole pool, as the Go plugin has it; else a /30.
    fn uplink(&self, profile: Profile, allocated: LinkAddresses, prefix: Option<Spanned<u8>>) -> Link {
        let pool = self
            .site
            .pools
            .links
            .iter()
            .map(|pool| pool.value)
            .find(|pool| pool.contains(&allocated.provider));
        let pinned = prefix.and_then(|prefix| Ipv4Net::new(allocated.provider, prefix.value).ok());
        let standard = match profile {
            Profile::Rainbond => pool.unwrap_or_else(|| allocated.block()),
            Profile::Strict => allocated.block(),
        };
        let network = pinned.map_or(standard, |network| network.trunc());
        Link { far: allocated.provider, near: allocated.tenant, network }
    }

    fn bridge(&mut self, spec: &spec::Bridge, allocated: &BTreeMap<String, Ipv4Net>) -> Option<Bridge> {
        let Some(cidr) = allocated.get(&spec.name.value).copied() else {
            self.left_out.insert(("bridge", spec.name.value.clone()));
            return None;
        };
        let standard = self.site.defaults.gateway.unwrap_or(Gateway::Last);
        let offset = |network: Ipv4Addr, by: i64| {
            Ipv4Addr::from(u32::try_from(i64::from(u32::from(network)) + by).unwrap_or_default())
        };
        let gateway = match spec.gateway.map_or(standard, |gateway| gateway.value) {
            Gateway::First => offset(cidr.network(), 1),
            Gateway::Last => offset(cidr.broadcast(), -1),
            Gateway::Address(address) => address,
        };
        let grown_from = spec.grown_from.as_deref().map(Arc::from);
        Some(Bridge {
            name: spec.name.value.as_str().into(),
            cidr,
            gateway,
            grown_from,
            is_sound: spec.is_sound,
            span: spec.name.span,
        })
    }

    /// Looks a name up. An unknown name is an error; its help names the nearest known name.
    fn look_up<T: Clone>(
        &mut self,
        what: &'static str,
        name: &Spanned<String>,
        known: &BTreeMap<&str, T>,
    ) -> Option<T> {
        self.look_up_at(what, &name.value, name.span, known)
    }

    fn look_up_at<T: Clone>(
        &mut self,
        what: &'static str,
        name: &str,
        span: Span,
        known: &BTreeMap<&str, T>,
    ) -> Option<T> {
        if let Some(found) = known.get(name) {
            return Some(found.clone());
        }
        if self.left_out.contains(&(what, name.to_owned())) {
            return None;
        }
        let diagnostic = Diagnostic::error(Code::UnknownName, span, format!("there is no {what} `{name}`"));
        let help = match nearest(name, known.keys().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if known.is_empty() => format!("the tenant has no {what}"),
            None => {
                let listed: Vec<&str> = known.keys().copied().take(8).collect();
                let more = if known.len() > 8 { " …" } else { "" };
                format!("there are: {}{more}", listed.join(", "))
            }
        };
        self.diagnostics.push(diagnostic.help(help));
        None
    }

    fn port(&mut self, spec: &spec::Port, names: &Names<'_>) -> Option<Port> {
        let bridge = self.look_up("bridge", &spec.bridge, &names.bridges);
        let host = self.host(&spec.host);
        Some(Port {
            name: spec.name.value.as_str().into(),
            bridge: bridge?,
            host: host?,
            interface: spec.interface.value.clone(),
            mac: spec.mac.value,
            address: spec.address.value,
            span: spec.name.span,
        })
    }

    fn host(&mut self, name: &Spanned<String>) -> Option<Uuid> {
        if let Ok(id) = Uuid::try_parse(&name.value) {
            return Some(id);
        }
        if self.site.left_out.contains(&("host", name.value.clone())) {
            return None;
        }
        let known = self.site.hosts.iter().map(|host| (host.name.value.as_str(), host.id.value)).collect();
        self.look_up("[[host]] in the site file called", name, &known)
    }

    fn port_group(&mut self, spec: &spec::PortGroup, names: &Names<'_>) -> PortGroup {
        let mut ports: Vec<PortIndex> =
            spec.ports.iter().filter_map(|port| self.look_up("port", port, &names.ports)).collect();
        ports.sort_unstable();
        ports.dedup();
        let name = spec.name.value.as_str().into();
        PortGroup { name, ports, stateful: spec.stateful, span: spec.name.span }
    }

    fn route(&mut self, spec: &spec::Route, networks: &Networks, names: &Names<'_>) -> Option<Route> {
        let target = match &spec.target.value {
            spec::RouteTarget::Nowhere(spec::RouteEnd::Blackhole) => RouteTarget::Blackhole,
            spec::RouteTarget::Nowhere(spec::RouteEnd::Reject) => RouteTarget::Reject,
            spec::RouteTarget::Bridge(name) => {
                RouteTarget::Bridge(self.look_up_at("bridge", name, spec.target.span, &names.bridges)?)
            }
            spec::RouteTarget::Via(address) => {
                let Some(at) = networks.of_bridges.overlapping(*address, *address).copied() else {
                    if !networks.are_all_known {
                        return None;
                    }
                    let message = format!("the next hop {address} is in none of the tenant's bridges");
                    let help =
                        "a router asks for it by ARP on a bridge: name an address in a bridge's network";
                    self.diagnostics
                        .push(Diagnostic::error(Code::NextHopOutside, spec.target.span, message).help(help));
                    return None;
                };
                RouteTarget::Via(BridgeIndex(at), *address)
            }
        };
        Some(Route {
            destination: spec.destination.value,
            target,
            weight: spec.weight,
            span: spec.destination.span,
        })
    }

    fn rule(&mut self, spec: &spec::Rule, names: &Names<'_>) -> Option<Rule> {
        let from = self.selector(&spec.from, names);
        let to = self.selector(&spec.to, names);
        Some(Rule {
            name: spec.name.value.as_str().into(),
            from: from?,
            to: to?,
            protocols: spec.protocols.clone(),
            action: spec.action,
            stateful: spec.stateful,
            span: spec.name.span,
        })
    }

    fn assertion(&mut self, spec: &spec::Assert, names: &Names<'_>) -> Option<Assert> {
        let (from, to) = (self.selector(&spec.from, names), self.selector(&spec.to, names));
        let (protocols, allowed, span) = (spec.protocols.clone(), spec.allowed, spec.span);
        Some(Assert { from: from?, to: to?, protocols, allowed, span })
    }

    fn selector(&mut self, end: &spec::Endpoint, names: &Names<'_>) -> Option<Selector> {
        let Some(selector) = &end.selector else { return Some(Selector::Anywhere) };
        let span = selector.span;
        Some(match &selector.value {
            spec::Selector::World => Selector::World,
            spec::Selector::Cidr(cidr) => Selector::Addresses(vec![*cidr]),
            spec::Selector::Bridge(name) => {
                Selector::Bridge(self.look_up_at("bridge", name, span, &names.bridges)?)
            }
            spec::Selector::Peer(name) => {
                Selector::Peer(self.look_up_at("peer", name, span, &names.peers)?)
            }
            spec::Selector::AddressGroup(name) => {
                Selector::Addresses(self.look_up_at("address group", name, span, &names.address_groups)?)
            }
            spec::Selector::PortGroup(name) => {
                Selector::Ports(self.look_up_at("port group", name, span, &names.port_groups)?)
            }
        })
    }

    fn expose(&mut self, spec: &spec::Expose, ports: &[Port], names: &Names<'_>) -> Option<Expose> {
        let (bridge, address) = match (&spec.port, &spec.bridge, spec.address) {
            (Some(port), _, _) => {
                let port = ports.get(self.look_up("port", port, &names.ports)?.0)?;
                (port.bridge, port.address)
            }
            (None, Some(bridge), Some(address)) => {
                (self.look_up("bridge", bridge, &names.bridges)?, address.value)
            }
            _ => return None,
        };
        Some(Expose {
            public: spec.public.value,
            public_port: spec.public_port,
            protocol: spec.protocol,
            bridge,
            address,
            target_port: spec.target_port,
            span: spec.public.span,
        })
    }

    /// Returns a peer that names the tenant back. One that doesn't is reported by `check::peers`.
    fn peer(&mut self, tenant: &spec::Tenant, spec: &spec::Peer, names: &Names<'_>) -> Option<Peer> {
        let own_bridges = match &spec.bridges {
            None => (0..names.bridges.len()).map(BridgeIndex).collect(),
            Some(chosen) => {
                let mut found: Vec<BridgeIndex> = chosen
                    .iter()
                    .filter_map(|bridge| self.look_up("bridge", bridge, &names.bridges))
                    .collect();
                let added = tenant.bridges.iter().filter(|bridge| {
                    let from = bridge.grown_from.as_ref();
                    from.is_some_and(|from| chosen.iter().any(|bridge| bridge.value == *from))
                });
                found.extend(added.filter_map(|bridge| names.bridges.get(bridge.name.value.as_str())));
                found.sort_unstable();
                found.dedup();
                found
            }
        };
        let other = *self.by_name.get(spec.tenant.value.as_str())?;
        let answer = other.peers.iter().find(|peer| peer.tenant.value == tenant.name.value)?;
        let allocated = self.allocations.tenants.get(&other.name.value)?;
        let chosen = |name: &str| match &answer.bridges {
            None => true,
            Some(chosen) => {
                let from = allocated.grown.get(name).map_or(name, String::as_str);
                chosen.iter().any(|bridge| bridge.value == name || bridge.value == from)
            }
        };
        let networks =
            allocated.bridges.iter().filter(|(name, _)| chosen(name)).map(|(_, network)| *network).collect();
        let pair = self
            .allocations
            .peers
            .get(&PeerPair::new(tenant.name.value.clone(), other.name.value.clone()))?;
        let owns_link = tenant.name.value < other.name.value;
        let (near, far) = if owns_link { (pair.provider, pair.tenant) } else { (pair.tenant, pair.provider) };
        Some(Peer {
            name: other.name.value.clone(),
            own_bridges,
            networks,
            link: Link { far, near, network: block_of(near) },
            owns_link,
            span: spec.tenant.span,
        })
    }
}

/// The networks of a tenant's bridges.
struct Networks {
    /// Each network with the bridge's place. Of two that overlap, which is an error, the first one counts.
    of_bridges: AddressRanges<usize>,
    /// False if an error has left out a bridge, or the network of one.
    are_all_known: bool,
}

impl Networks {
    fn of(bridges: &[Bridge], left_out: &BTreeSet<(&'static str, String)>) -> Networks {
        let mut of_bridges = AddressRanges::default();
        let usable = bridges.iter().enumerate().filter(|(_, bridge)| bridge.has_usable_network());
        for (at, bridge) in usable.clone() {
            let _ = of_bridges.take_network(bridge.cidr, at);
        }
        let are_left_out = left_out.iter().any(|(what, _)| *what == "bridge");
        Networks { of_bridges, are_all_known: usable.count() == bridges.len() && !are_left_out }
    }
}

/// Returns the address groups that have addresses.
fn address_groups(specs: &[&spec::AddressGroup]) -> Vec<AddressGroup> {
    let groups = specs.iter().map(|spec| {
        let (name, networks) = address_group(spec);
        AddressGroup { name: name.into(), networks, span: spec.name.span }
    });
    groups.filter(|group| !group.networks.is_empty()).collect()
}

fn address_group(spec: &spec::AddressGroup) -> (&str, Vec<Ipv4Net>) {
    let mut networks: Vec<Ipv4Net> = spec.addresses.iter().map(|network| network.value).collect();
    networks.sort_unstable();
    (&spec.name.value, Ipv4Net::aggregate(&networks))
}
