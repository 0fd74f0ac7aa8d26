//! Values that specs, networks and topologies have in common: engines, MAC addresses, EtherTypes, ranges of ports, encapsulations.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The first segment of the keys of objects that belong to the site and to no tenant. No tenant has this name.
pub const SITE: &str = "site";

/// What carries the packets, and takes a plan's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Engine {
    /// MidoNet 1.x.
    #[serde(rename = "midonet-1")]
    Midonet1,
    /// MidoNet 5.x.
    #[serde(rename = "midonet-5")]
    Midonet5,
    /// Open Virtual Network.
    #[serde(rename = "ovn")]
    Ovn,
}

impl Engine {
    /// Returns its name in plans.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Midonet1 => "midonet-1",
            Engine::Midonet5 => "midonet-5",
            Engine::Ovn => "ovn",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Returns true for a multicast address and for the broadcast address.
    pub fn is_group(self) -> bool {
        self.0.first().is_some_and(|octet| octet & 1 == 1)
    }
}

impl std::str::FromStr for MacAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            let value = part.and_then(|part| u8::from_str_radix(part, 16).ok());
            *octet = value
                .ok_or_else(|| format!("`{text}` is not six pairs of hex digits with colons between"))?;
        }
        if parts.next().is_some() {
            return Err(format!("`{text}` has more than six pairs"));
        }
        Ok(MacAddress(octets))
    }
}

impl std::fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl TryFrom<String> for MacAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

/// EtherTypes.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// A VLAN tag (802.1Q).
    pub const VLAN: u16 = 0x8100;

    /// The EtherTypes that have names in a spec.
    pub const NAMES: [(&str, u16); 4] = [("ipv4", IPV4), ("arp", ARP), ("ipv6", IPV6), ("vlan", VLAN)];

    /// The lowest EtherType: lower numbers are lengths.
    pub const LOWEST: u16 = 0x600;

    /// Reads a name, or a number in hexadecimal digits: `ipv6`, `0x86dd`.
    pub fn parse(text: &str) -> Option<u16> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
        let number = || text.strip_prefix("0x").and_then(|digits| u16::from_str_radix(digits, 16).ok());
        named.or_else(number).filter(|number| *number >= LOWEST)
    }

    /// Returns an EtherType for people.
    pub fn shown(ethertype: u16) -> String {
        match ethertype {
            IPV4 => "IPv4".to_owned(),
            ARP => "ARP".to_owned(),
            IPV6 => "IPv6".to_owned(),
            VLAN => "VLAN".to_owned(),
            other => format!("{other:#06x}"),
        }
    }
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortRange {
    /// The first port.
    pub start: u16,
    /// The last port.
    pub end: u16,
}

/// The encapsulation of a tunnel zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encapsulation {
    /// GRE.
    Gre,
    /// VXLAN.
    Vxlan,
}

impl Encapsulation {
    /// Returns the bytes that it adds to a packet of a pod: what the underlay's MTU has to have beyond the pod's.
    pub fn overhead(self) -> u16 {
        match self {
            // The outer IP header, GRE's with a key and a checksum, and the pod's Ethernet header.
            Encapsulation::Gre => 46,
            // The outer IP, UDP and VXLAN headers, and the pod's Ethernet header.
            Encapsulation::Vxlan => 50,
        }
    }
}

/// The encapsulation of OVN's tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OvnEncapsulation {
    /// Geneve.
    Geneve,
    /// VXLAN.
    Vxlan,
}

impl OvnEncapsulation {
    /// Returns its name, as site files and OVN's `ovn-encap-type` have it.
    pub fn name(self) -> &'static str {
        match self {
            OvnEncapsulation::Geneve => "geneve",
            OvnEncapsulation::Vxlan => "vxlan",
        }
    }

    /// Returns the bytes that it adds to a packet of a pod.
    pub fn overhead(self) -> u16 {
        match self {
            // The outer IP, UDP and Geneve headers, OVN's option, and the pod's Ethernet header.
            OvnEncapsulation::Geneve => 58,
            OvnEncapsulation::Vxlan => Encapsulation::Vxlan.overhead(),
        }
    }
}
