//! Port security: the MAC address and the addresses that a port may send from and receive for.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::network::{BridgeIndex, Tenant};
use crate::spec::AntiSpoof;
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
