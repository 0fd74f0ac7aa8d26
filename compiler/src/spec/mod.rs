//! The language: the types of what a site file, a tenant file and a policy say, as they were written. Nothing here is looked up
//! or computed yet.
//!
//! `grammar` has the keys, [`parse`] reads files by it, [`schema`] describes it to editors. The doc comment of `grammar` says
//! how a key is added.

pub(crate) mod grammar;
pub mod parse;
mod policy;
pub mod schema;
pub mod services;
mod site;
pub(crate) mod special_addresses;
pub mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

pub use policy::{NamePatterns, Pattern, Policy};
pub use site::{
    Defaults, EtcdSettings, Host, KeystoneSettings, LocalnetSettings, MidonetSettings, OvnSettings, Pools,
    Site, StoreSettings, TunnelZoneSettings,
};

use crate::names::TenantName;
use crate::source::{Span, Spanned};
use crate::values::{MacAddress, PortRange, ethertype};
use grammar::values::Word;
use grammar::{Grammar, MovedKeys};

/// The rules of a tenant's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// The layout of the Go plugin, object for object.
    Rainbond,
    /// The same layout, closed: it drops traffic from outside that is not exposed or peered, foreign source addresses, and
    /// access to link addresses.
    Strict,
}

impl Profile {
    /// Returns its name in a spec.
    pub fn name(self) -> &'static str {
        self.word()
    }

    /// Returns its check of source addresses, unless the spec names another.
    pub fn anti_spoof(self) -> AntiSpoof {
        match self {
            Profile::Rainbond => AntiSpoof::None,
            Profile::Strict => AntiSpoof::Bridge,
        }
    }
}

impl Word for Profile {
    const ALL: &'static [Profile] = &[Profile::Rainbond, Profile::Strict];

    fn word(self) -> &'static str {
        match self {
            Profile::Rainbond => "rainbond",
            Profile::Strict => "strict",
        }
    }
}

/// The checks of source addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AntiSpoof {
    /// A bridge accepts only source addresses of its own network.
    Bridge,
    /// In addition, each static port accepts only its own address and MAC.
    Port,
    /// No checks.
    None,
}

impl AntiSpoof {
    /// Returns its name in a spec.
    pub fn name(self) -> &'static str {
        self.word()
    }
}

impl Word for AntiSpoof {
    const ALL: &'static [AntiSpoof] = &[AntiSpoof::Bridge, AntiSpoof::Port, AntiSpoof::None];

    fn word(self) -> &'static str {
        match self {
            AntiSpoof::Bridge => "bridge",
            AntiSpoof::Port => "port",
            AntiSpoof::None => "none",
        }
    }
}

/// `dns`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Name servers.
    pub nameservers: Vec<Spanned<Ipv4Addr>>,
    /// Search domains.
    pub search: Vec<Spanned<String>>,
}

/// The address of a bridge's network that its gateway has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// The first host address.
    First,
    /// The last host address.
    Last,
    /// This one.
    Address(Ipv4Addr),
}

/// The content of a tenant file.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name: the first segment of all its keys.
    pub name: Spanned<TenantName>,
    /// MidoNet's `tenantId` (a Keystone project id). If it is absent: the tenant's name.
    pub tenant_id: Option<Spanned<String>>,
    /// The profile.
    pub profile: Option<Spanned<Profile>>,
    /// Labels for people and policies.
    pub labels: BTreeMap<String, Spanned<String>>,
    /// True if the tenant may not be destroyed.
    pub protect: bool,
    /// The MTU inside pods.
    pub mtu: Option<Spanned<u16>>,
    /// Name resolution inside pods.
    pub dns: Option<Dns>,
    /// Limits.
    pub quotas: Quotas,
    /// The link's addresses, pinned.
    pub link: Option<LinkPin>,
    /// The check of source addresses.
    pub anti_spoof: Option<Spanned<AntiSpoof>>,
    /// The EtherTypes that pass besides IPv4 and ARP.
    pub ethertypes: Option<Vec<Spanned<u16>>>,
    /// The NAT of traffic to the world.
    pub egress: Spanned<Egress>,
    /// `[[bridge]]`.
    pub bridges: Vec<Bridge>,
    /// `[[port]]`.
    pub ports: Vec<Port>,
    /// `[[route]]`.
    pub routes: Vec<Route>,
    /// `[[rule]]`.
    pub rules: Vec<Rule>,
    /// `[[address_group]]`.
    pub address_groups: Vec<AddressGroup>,
    /// `[[port_group]]`.
    pub port_groups: Vec<PortGroup>,
    /// `[[expose]]`.
    pub exposes: Vec<Expose>,
    /// `[[peer]]`.
    pub peers: Vec<Peer>,
    /// The renamed objects.
    pub moved: Vec<Moved>,
    /// `[[assert]]`.
    pub asserts: Vec<Assert>,
    /// The kind and the name of each table that is left out, as it has an error: other tables may still name it.
    pub left_out: BTreeSet<(&'static str, String)>,
}

impl Tenant {
    /// Returns the profile that it has in a site.
    pub fn profile_in(&self, site: &Site) -> Profile {
        self.profile.map(|own| own.value).or(site.defaults.profile).unwrap_or(Profile::Strict)
    }

    /// Returns its check of source addresses in a site.
    pub fn anti_spoof_in(&self, site: &Site) -> AntiSpoof {
        let own = self.anti_spoof.map(|own| own.value).or(site.defaults.anti_spoof);
        own.unwrap_or(self.profile_in(site).anti_spoof())
    }

    /// Returns the EtherTypes that pass its bridges in a site besides IPv4 and ARP.
    pub fn ethertypes_in(&self, site: &Site) -> BTreeSet<u16> {
        let named = self.ethertypes.as_ref().or(site.defaults.ethertypes.as_ref()).into_iter().flatten();
        let others = named.map(|named| named.value);
        others.filter(|number| ![ethertype::IPV4, ethertype::ARP].contains(number)).collect()
    }
}

/// `quotas`: the largest number of each kind.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the struct's comment says it all")]
pub struct Quotas {
    pub bridges: Option<Spanned<u32>>,
    pub ports: Option<Spanned<u32>>,
    pub routes: Option<Spanned<u32>>,
    pub rules: Option<Spanned<u32>>,
    pub exposes: Option<Spanned<u32>>,
    pub peers: Option<Spanned<u32>>,
}

/// `link`: the pinned addresses of the link to the provider router.
#[derive(Clone, Debug)]
pub struct LinkPin {
    /// The provider router's port.
    pub provider: Spanned<Ipv4Addr>,
    /// The tenant router's port.
    pub tenant: Spanned<Ipv4Addr>,
    /// The prefix length of both ports' network, if it is not the profile's.
    pub prefix: Option<Spanned<u8>>,
}

/// `egress`: the NAT of traffic to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// With source NAT to the link address.
    SnatToLink,
    /// With source NAT to one of these addresses, both ends included.
    SnatTo(Ipv4Addr, Ipv4Addr),
    /// Without NAT: the world needs routes to the tenant's networks.
    None,
}

/// `[[bridge]]`.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// Its name.
    pub name: Spanned<String>,
    /// Its network, pinned.
    pub cidr: Option<Spanned<Ipv4Net>>,
    /// Its gateway's address.
    pub gateway: Option<Spanned<Gateway>>,
    /// False if its network or its gateway has an error: nothing is known of its addresses.
    pub is_sound: bool,
    /// The bridge of the spec that it was added for, because that bridge was full ([`crate::network::grown`]).
    pub grown_from: Option<String>,
}

/// `[[port]]`: a port that exists before anything is attached to it.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name.
    pub name: Spanned<String>,
    /// The bridge.
    pub bridge: Spanned<String>,
    /// The host, by the site's name for it or by its id.
    pub host: Spanned<String>,
    /// The interface on that host.
    pub interface: Spanned<String>,
    /// The MAC address behind it.
    pub mac: Spanned<MacAddress>,
    /// The address behind it.
    pub address: Spanned<Ipv4Addr>,
}

/// `[[route]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// The destinations of the route.
    pub destination: Spanned<Ipv4Net>,
    /// The target of the route.
    pub target: Spanned<RouteTarget>,
    /// The weight. Of several routes with the same destination, the one with the lowest weight is used.
    pub weight: u32,
}

/// The target of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// `via`: to this address, which lies in one of the tenant's bridges.
    Via(Ipv4Addr),
    /// `bridge`: to the destination itself, on this bridge.
    Bridge(String),
    /// Nowhere.
    Nowhere(RouteEnd),
}

/// The treatment of packets whose route has no next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteEnd {
    /// `type = "blackhole"`: silently.
    Blackhole,
    /// `type = "reject"`: with an ICMP error to the sender.
    Reject,
}

impl Word for RouteEnd {
    const ALL: &'static [RouteEnd] = &[RouteEnd::Blackhole, RouteEnd::Reject];

    fn word(self) -> &'static str {
        match self {
            RouteEnd::Blackhole => "blackhole",
            RouteEnd::Reject => "reject",
        }
    }
}

/// `[[rule]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: Spanned<String>,
    /// The source of a connection.
    pub from: Endpoint,
    /// The destination.
    pub to: Endpoint,
    /// The protocols; none: all.
    pub protocols: Vec<Protocol>,
    /// The action.
    pub action: Action,
    /// True if return traffic of accepted connections passes without a match.
    pub stateful: bool,
}

/// One end of a rule: all conditions together.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// The selector, if the rule names one.
    pub selector: Option<Spanned<Selector>>,
}

/// A selector: the source or the destination of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A bridge of the tenant.
    Bridge(String),
    /// Addresses.
    Cidr(Ipv4Net),
    /// An address group of the tenant.
    AddressGroup(String),
    /// A port group of the tenant.
    PortGroup(String),
    /// A peer.
    Peer(TenantName),
    /// The networks behind the provider router.
    World,
}

/// The protocol of a rule's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// The IP protocol number.
    pub number: u8,
    /// TCP or UDP source ports, or the ICMP type.
    pub source: Option<PortRange>,
    /// TCP or UDP destination ports, or the ICMP code.
    pub destination: Option<PortRange>,
}

/// The action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Accepts the packet.
    Accept,
    /// Drops the packet silently.
    Drop,
    /// Rejects the packet with an ICMP error to the sender.
    Reject,
}

impl Word for Action {
    const ALL: &'static [Action] = &[Action::Accept, Action::Drop, Action::Reject];
    const ELSEWHERE: &'static [(&'static str, Action)] = &[
        ("allow", Action::Accept),
        ("permit", Action::Accept),
        ("pass", Action::Accept),
        ("deny", Action::Drop),
        ("block", Action::Drop),
        ("discard", Action::Drop),
        ("refuse", Action::Reject),
    ];

    fn word(self) -> &'static str {
        match self {
            Action::Accept => "accept",
            Action::Drop => "drop",
            Action::Reject => "reject",
        }
    }
}

/// `[[address_group]]`.
#[derive(Clone, Debug)]
pub struct AddressGroup {
    /// Its name.
    pub name: Spanned<String>,
    /// Addresses and networks.
    pub addresses: Vec<Spanned<Ipv4Net>>,
    /// False if one of the addresses has an error.
    pub is_sound: bool,
}

/// `[[port_group]]`.
#[derive(Clone, Debug)]
pub struct PortGroup {
    /// Its name.
    pub name: Spanned<String>,
    /// Static ports, by name.
    pub ports: Vec<Spanned<String>>,
    /// True if MidoNet shares flow state among them.
    pub stateful: bool,
}

/// `[[expose]]`: a public port that leads to a pod.
#[derive(Clone, Debug)]
pub struct Expose {
    /// The public address.
    pub public: Spanned<Ipv4Addr>,
    /// The public port.
    pub public_port: u16,
    /// TCP (6) or UDP (17).
    pub protocol: u8,
    /// The bridge of the pod.
    pub bridge: Option<Spanned<String>>,
    /// The static port that is the pod.
    pub port: Option<Spanned<String>>,
    /// The pod's address.
    pub address: Option<Spanned<Ipv4Addr>>,
    /// The pod's port.
    pub target_port: u16,
    /// The position of the whole table.
    pub span: Span,
}

/// `[[moved]]`: a renamed object, which is kept.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Its kind.
    pub kind: MovedKind,
    /// Its old name.
    pub from: Spanned<String>,
    /// Its new name.
    pub to: Spanned<String>,
}

/// The kinds of objects that can be renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovedKind {
    /// A bridge.
    Bridge,
    /// A rule.
    Rule,
    /// A static port.
    Port,
}

impl MovedKind {
    /// Returns the key of `[[moved]]` that has the old name. The table with the new name has the same word.
    pub fn name(self) -> &'static str {
        match self {
            MovedKind::Bridge => MovedKeys::KEYS.bridge.name,
            MovedKind::Rule => MovedKeys::KEYS.rule.name,
            MovedKind::Port => MovedKeys::KEYS.port.name,
        }
    }
}

/// `[[peer]]`.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The other tenant.
    pub tenant: Spanned<TenantName>,
    /// The tenant's own bridges that it may reach; none: all.
    pub bridges: Option<Vec<Spanned<String>>>,
}

/// `[[assert]]`: a statement about the network that has to hold, whatever the rules are.
#[derive(Clone, Debug)]
pub struct Assert {
    /// The source of a connection.
    pub from: Endpoint,
    /// The destination.
    pub to: Endpoint,
    /// The protocols; none: all.
    pub protocols: Vec<Protocol>,
    /// True if all of these connections have to pass, false if none may pass.
    pub allowed: bool,
    /// The position of the whole table.
    pub span: Span,
}
