//! The content of a site file.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::grammar::values::Word;
use super::{AntiSpoof, Dns, Gateway, Policy, Profile};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::values::{Encapsulation, Engine, OvnEncapsulation};

/// The content of a site file.
#[derive(Clone, Debug)]
pub struct Site {
    /// The site's name: the namespace of all ids.
    pub name: Spanned<String>,
    /// The connection to MidoNet.
    pub midonet: Option<MidonetSettings>,
    /// The connection to OVN.
    pub ovn: Option<OvnSettings>,
    /// The engine that the objects are compiled for.
    pub engine: Engine,
    /// The networks that are allocated.
    pub pools: Pools,
    /// The store in a cluster.
    pub etcd: Option<EtcdSettings>,
    /// The store on one machine. With neither: the lock file.
    pub store: Option<StoreSettings>,
    /// The Keystone that has the tenants' projects.
    pub keystone: Option<KeystoneSettings>,
    /// The MTU of the network between the hosts.
    pub underlay_mtu: Spanned<u16>,
    /// The values for tenants that have none of their own.
    pub defaults: Defaults,
    /// The hosts that static ports may be bound on.
    pub hosts: Vec<Host>,
    /// The kind and the name of each `[[host]]` that is left out, as it has an error.
    pub left_out: BTreeSet<(&'static str, String)>,
    /// The tunnel zone that midoform makes for these hosts.
    pub tunnel_zone: Option<TunnelZoneSettings>,
    /// The rules that tenants have to keep to.
    pub policy: Option<Policy>,
}

impl Site {
    /// Returns the MTU inside pods where neither the tenant nor the site names one: every packet of this size fits the
    /// tunnels. In a tunnel zone that is not midoform's the encapsulation is not known, so it is that of the larger header.
    pub fn default_mtu(&self) -> u16 {
        self.mtu_within(Encapsulation::Vxlan)
    }

    /// Returns the largest MTU that pods may have: packets above it never fit the tunnels.
    pub fn largest_mtu(&self) -> u16 {
        self.mtu_within(Encapsulation::Gre)
    }

    /// Returns the name of the OVN chassis of the host with this id; none if no `[[host]]` has the id.
    pub fn chassis_of(&self, host: Uuid) -> Option<&str> {
        let host = self.hosts.iter().find(|known| known.id.value == host)?;
        Some(host.chassis.as_ref().unwrap_or(&host.name))
    }

    /// Returns the id of the host with this OVN chassis; none if no `[[host]]` names it.
    pub fn host_of(&self, chassis: &str) -> Option<Uuid> {
        let is_named = |host: &&Host| **host.chassis.as_ref().unwrap_or(&host.name) == *chassis;
        self.hosts.iter().find(is_named).map(|host| host.id.value)
    }

    /// Returns true if the objects are compiled for OVN, and the site is on MidoNet as well: it moves.
    pub fn is_moving(&self) -> bool {
        self.engine == Engine::Ovn && self.midonet.is_some()
    }

    /// Returns true if a rule can match frames by their VLAN tag: 1.x has no such condition (21-layer-2-rules).
    pub fn matches_tags(&self) -> bool {
        self.engine != Engine::Midonet1
    }

    /// Returns the MTU that fits the tunnels of every engine of the site. MidoNet's have this encapsulation, if no tunnel zone
    /// says otherwise.
    fn mtu_within(&self, unknown: Encapsulation) -> u16 {
        let zone = self.tunnel_zone.as_ref().map_or(unknown, |zone| zone.encapsulation);
        let ovn = self.ovn.as_ref().map_or(0, |ovn| ovn.encapsulation.overhead());
        self.underlay_mtu.value.saturating_sub(zone.overhead().max(ovn))
    }

    /// Returns the error of an MTU inside pods that the tunnels can't carry.
    pub fn mtu_problem(&self, mtu: &Spanned<u16>) -> Option<Diagnostic> {
        let largest = self.largest_mtu();
        if mtu.value <= largest {
            return None;
        }
        let zone = self.tunnel_zone.as_ref().map(|zone| zone.encapsulation);
        let of_zone = zone.unwrap_or(Encapsulation::Gre).overhead();
        let ovn = self.ovn.as_ref().map(|ovn| ovn.encapsulation).filter(|ovn| ovn.overhead() > of_zone);
        let (name, overhead) = match (ovn, zone) {
            (Some(OvnEncapsulation::Geneve), _) => ("Geneve", OvnEncapsulation::Geneve.overhead()),
            (Some(OvnEncapsulation::Vxlan), _) => ("OVN's VXLAN", OvnEncapsulation::Vxlan.overhead()),
            (None, Some(Encapsulation::Vxlan)) => ("VXLAN", of_zone),
            (None, Some(Encapsulation::Gre)) => ("GRE", of_zone),
            (None, None) => ("even GRE, which has the smallest header,", of_zone),
        };
        let message = format!("the MTU {mtu} does not fit the tunnels between the hosts");
        let here = format!("{name} adds {overhead} bytes, and `underlay_mtu` is {}", self.underlay_mtu);
        let help = format!(
            "write {largest} or less, or name the MTU of the hosts' network with the site's `underlay_mtu`"
        );
        let error = Diagnostic::error(Code::MtuTooLarge, mtu.span, message).here(here).help(help);
        Some(match (&self.tunnel_zone, ovn.and(self.ovn.as_ref())) {
            (_, Some(ovn)) => error.also(ovn.span, "the tunnels of OVN"),
            (Some(zone), None) => error.also(zone.name.span, "the tunnel zone"),
            (None, None) => error,
        })
    }
}

/// `[midonet]`.
#[derive(Clone, Debug)]
pub struct MidonetSettings {
    /// The API's base URL; none when embedded.
    pub url: Option<Spanned<String>>,
    /// The file with the certificates of the CAs that sign the API's (PEM); none: those that the system trusts.
    pub ca: Option<Spanned<String>>,
    /// True if the API inside midoform is used.
    pub embedded: bool,
    /// The dialect: 1 or 5.
    pub version: Spanned<i64>,
    /// An existing provider router.
    pub provider_router: Option<Spanned<Uuid>>,
    /// True if midoform creates the provider router.
    pub managed: bool,
    /// The position of the table.
    pub span: Span,
}

/// `[ovn]`.
#[derive(Clone, Debug)]
pub struct OvnSettings {
    /// The servers of the northbound database: `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`.
    pub northbound: Vec<Spanned<String>>,
    /// The file with the certificates of the CAs that sign the servers' (PEM).
    pub ca: Option<Spanned<String>>,
    /// The file with this side's own certificate (PEM); with [`OvnSettings::private_key`] or not at all.
    pub certificate: Option<Spanned<String>>,
    /// The file with its private key (PEM).
    pub private_key: Option<Spanned<String>>,
    /// The name or the UUID of an existing provider router.
    pub provider_router: Option<Spanned<String>>,
    /// True if midoform creates the provider router.
    pub managed: bool,
    /// The chassis between the tenants and the outside, in order of preference.
    pub gateway_chassis: Vec<Spanned<String>>,
    /// The tunnels' encapsulation.
    pub encapsulation: OvnEncapsulation,
    /// The host's own Open vSwitch database: `unix:PATH` or `tcp:HOST:PORT`; none: the usual socket.
    pub open_vswitch: Option<Spanned<String>>,
    /// The network outside of a managed provider router.
    pub localnet: Option<LocalnetSettings>,
    /// The position of the table.
    pub span: Span,
}

/// `[ovn.localnet]`.
#[derive(Clone, Debug)]
pub struct LocalnetSettings {
    /// The name of the physical network.
    pub network: Spanned<String>,
    /// The provider router's address.
    pub address: Spanned<Ipv4Addr>,
    /// The prefix length of the network.
    pub prefix: u8,
    /// The next hop to the world.
    pub gateway: Spanned<Ipv4Addr>,
    /// The VLAN; none: frames have no tag.
    pub vlan: Option<Spanned<u16>>,
}

impl LocalnetSettings {
    /// Returns the provider router's address with the prefix length of its network.
    pub fn interface_network(&self) -> Ipv4Net {
        Ipv4Net::new(self.address.value, self.prefix).unwrap_or_else(|_| self.address.value.into())
    }
}

impl Word for OvnEncapsulation {
    const ALL: &'static [OvnEncapsulation] = &[OvnEncapsulation::Geneve, OvnEncapsulation::Vxlan];

    fn word(self) -> &'static str {
        self.name()
    }
}

/// `[pools]`.
#[derive(Clone, Debug)]
pub struct Pools {
    /// False if a pool has an error: nothing can be allocated.
    pub are_sound: bool,
    /// Networks for the links between tenant routers and the provider router, and between peers.
    pub links: Vec<Spanned<Ipv4Net>>,
    /// Networks for bridges without a `cidr`.
    pub bridges: Vec<Spanned<Ipv4Net>>,
    /// The prefix length of such a network.
    pub bridge_prefix: Spanned<u8>,
    /// True if every tenant may use the whole pool.
    pub shared: bool,
}

/// `[etcd]`.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// The members' client URLs.
    pub endpoints: Vec<Spanned<String>>,
    /// The file with the CA certificates that sign the members' certificates (PEM); none: the system's.
    pub ca: Option<Spanned<String>>,
    /// The file with this side's own certificate (PEM); with [`EtcdSettings::key`] or not at all.
    pub cert: Option<Spanned<String>>,
    /// The file with its private key (PEM).
    pub key: Option<Spanned<String>>,
    /// The time that one call may take, in seconds; none: the program's default.
    pub timeout: Option<Spanned<u64>>,
}

/// `[store]`.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The file of the embedded database; a relative path is one from the site file's folder.
    pub path: Spanned<String>,
}

/// `[keystone]`. It has no login: that comes from the environment or from a file.
#[derive(Clone, Debug)]
pub struct KeystoneSettings {
    /// Its URL, without a version in the path; none: that of the environment.
    pub url: Option<Spanned<String>>,
    /// The file with the certificates of the CAs that sign Keystone's (PEM); none: those that the system trusts.
    pub ca: Option<Spanned<String>>,
    /// The version of the Identity API: 2 or 3; none: that of the environment, or else 3.
    pub version: Option<Spanned<i64>>,
    /// The domain that projects are looked for and made in (version 3), by name.
    pub domain: Option<Spanned<String>>,
    /// True if midoform creates missing projects.
    pub create: bool,
}

/// `[defaults]`.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// The profile.
    pub profile: Option<Profile>,
    /// The check of source addresses.
    pub anti_spoof: Option<AntiSpoof>,
    /// The EtherTypes that pass besides IPv4 and ARP.
    pub ethertypes: Option<Vec<Spanned<u16>>>,
    /// The MTU inside pods.
    pub mtu: Option<Spanned<u16>>,
    /// Name resolution inside pods.
    pub dns: Option<Dns>,
    /// The gateway's address in a bridge's network.
    pub gateway: Option<Gateway>,
}

/// `[[host]]`.
#[derive(Clone, Debug)]
pub struct Host {
    /// The name that static ports use.
    pub name: Spanned<String>,
    /// The id that its MidoNet agent registered.
    pub id: Spanned<Uuid>,
    /// The address of its tunnels.
    pub tunnel_address: Option<Spanned<Ipv4Addr>>,
    /// The name of its OVN chassis, if it is not the host's name.
    pub chassis: Option<Spanned<String>>,
}

/// `[tunnel_zone]`.
#[derive(Clone, Debug)]
pub struct TunnelZoneSettings {
    /// Its name.
    pub name: Spanned<String>,
    /// GRE or VXLAN.
    pub encapsulation: Encapsulation,
}

impl Word for Encapsulation {
    const ALL: &'static [Encapsulation] = &[Encapsulation::Gre, Encapsulation::Vxlan];

    fn word(self) -> &'static str {
        match self {
            Encapsulation::Gre => "gre",
            Encapsulation::Vxlan => "vxlan",
        }
    }
}
