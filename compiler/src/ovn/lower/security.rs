//! Port security: the MAC address and the addresses that a port may send from and receive for.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::network::{BridgeIndex, Tenant};
use crate::spec::AntiSpoof;
use crate::topology::key::Key;
use crate::topology::kinds::Row;
use crate::values::MacAddress;

/// The addresses that a port may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSecurity {
    /// Any, and any MAC address.
    None,
    /// Its own MAC address with the addresses of these networks.
    Networks(Vec<Ipv4Net>),
}

impl PortSecurity {
    /// Returns the port security of a port of this bridge with this address.
    pub fn of(tenant: &Tenant, bridge: BridgeIndex, address: Ipv4Addr) -> PortSecurity {
        let network = tenant.bridge(bridge).map(|bridge| bridge.cidr);
        PortSecurity::in_network(tenant.anti_spoof, network, &tenant.routed_through(bridge), address)
    }

    /// Returns the port security of a port with this address in a bridge's network. `routed` are the networks that the spec routes
    /// through the bridge, each with its next hop.
    pub fn in_network(
        anti_spoof: AntiSpoof,
        network: Option<Ipv4Net>,
        routed: &[(Ipv4Net, Ipv4Addr)],
        address: Ipv4Addr,
    ) -> PortSecurity {
        let mut networks: Vec<Ipv4Net> = match anti_spoof {
            AntiSpoof::None => return PortSecurity::None,
            AntiSpoof::Bridge => routed.iter().map(|(routed, _)| *routed).chain(network).collect(),
            AntiSpoof::Port => {
                let own = routed.iter().filter(|(_, next_hop)| *next_hop == address);
                own.map(|(routed, _)| *routed).chain([address.into()]).collect()
            }
        };
        networks.sort_unstable();
        networks.dedup();
        PortSecurity::Networks(networks)
    }
}

/// What decides about the port security of any pod of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeSecurity {
    /// The checks of source addresses.
    pub anti_spoof: AntiSpoof,
    /// The bridge's network.
    pub cidr: Ipv4Net,
    /// The networks that the spec routes through the bridge, each with its next hop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routed: Vec<(Ipv4Net, Ipv4Addr)>,
}

impl BridgeSecurity {
    /// Returns that of all bridges, by the keys of these.
    pub fn of_tenants<'t>(tenants: impl IntoIterator<Item = &'t Tenant>) -> BTreeMap<Key, BridgeSecurity> {
        let of_tenant = |tenant: &Tenant| {
            let one = |(at, bridge): (BridgeIndex, &crate::network::Bridge)| {
                let (anti_spoof, cidr) = (tenant.anti_spoof, bridge.cidr);
                let own = BridgeSecurity { anti_spoof, cidr, routed: tenant.routed_through(at) };
                (Key::tenant(&tenant.name).bridge(&bridge.name).device(), own)
            };
            tenant.indexed_bridges().map(one).collect::<Vec<_>>()
        };
        tenants.into_iter().flat_map(of_tenant).collect()
    }

    /// Returns the port security of a pod with this address.
    pub fn of_pod(&self, address: Ipv4Addr) -> PortSecurity {
        PortSecurity::in_network(self.anti_spoof, Some(self.cidr), &self.routed, address)
    }
}

/// Adds the addresses and the port security to a switch port's row.
pub(super) fn with_security(row: Row, mac: MacAddress, address: Ipv4Addr, security: &PortSecurity) -> Row {
    let own = format!("{mac} {address}");
    match security {
        // Frames to a MAC address that nobody has go to the port: whatever is behind it may have any.
        PortSecurity::None => row.texts("addresses", [own, "unknown".to_owned()]),
        PortSecurity::Networks(networks) => {
            let networks = networks.iter().map(|network| match network.prefix_len() {
                32 => network.addr().to_string(),
                _ => network.to_string(),
            });
            let allowed: Vec<String> = [mac.to_string()].into_iter().chain(networks).collect();
            row.texts("addresses", [own]).texts("port_security", [allowed.join(" ")])
        }
    }
}
