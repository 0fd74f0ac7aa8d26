//! Port security: the MAC address and the addresses that a port may send from and receive for.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::network::{BridgeIndex, RouteTarget, Tenant};
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
        let routed = |fits: &dyn Fn(RouteTarget) -> bool| -> Vec<Ipv4Net> {
            let routes = tenant.routes.iter().filter(|route| fits(route.target));
            routes.map(|route| route.destination).collect()
        };
        let mut networks = match tenant.anti_spoof {
            AntiSpoof::None => return PortSecurity::None,
            AntiSpoof::Bridge => {
                let mut networks =
                    routed(&|target| matches!(target, RouteTarget::Via(by, _) if by == bridge));
                networks.extend(tenant.bridge(bridge).map(|bridge| bridge.cidr));
                networks
            }
            AntiSpoof::Port => {
                let mut networks = routed(&|target| target == RouteTarget::Via(bridge, address));
                networks.push(address.into());
                networks
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
