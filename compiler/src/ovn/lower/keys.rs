//! The keys of the rows that MidoNet has no object for.

use std::fmt::Display;

use crate::topology::key::Key;
use crate::topology::key::builder::TenantKeys;

/// The direction of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From a port into the switch.
    FromPort,
    /// From the switch to a port.
    ToPort,
}

impl Direction {
    /// Returns OVN's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Direction::FromPort => "from-lport",
            Direction::ToPort => "to-lport",
        }
    }
}

/// Returns the key of a row below another one.
fn below(key: &Key, path: impl Display) -> Key {
    Key::new(format!("{key}/{path}"))
}

/// Returns the key of an ACL of the switch with this key.
pub(super) fn acl(switch: &Key, direction: Direction, name: impl Display) -> Key {
    let direction = if direction == Direction::FromPort { "from" } else { "to" };
    below(switch, format_args!("acl/{direction}/{name}"))
}

/// Returns the key of a policy of the router with this key.
pub(super) fn policy(router: &Key, name: impl Display) -> Key {
    below(router, format_args!("policy/{name}"))
}

/// Returns the key of a translation of the router with this key.
pub(super) fn nat(router: &Key, name: impl Display) -> Key {
    below(router, format_args!("nat/{name}"))
}

/// Returns the key of the row that lets the router's port with this key be on a chassis.
pub(super) fn gateway_chassis(port: &Key, chassis: &str) -> Key {
    below(port, format_args!("gateway-chassis/{chassis}"))
}

/// Returns the key of an address set of a tenant.
pub(super) fn address_set(keys: TenantKeys<'_>, name: impl Display) -> Key {
    let router = keys.router();
    Key::new(format!("{}/address-set/{name}", router.owner()))
}

/// Returns the key of the address set of a tenant's address group.
pub(super) fn address_group(keys: TenantKeys<'_>, group: &str) -> Key {
    let router = keys.router();
    Key::new(format!("{}/address-group/{group}", router.owner()))
}

/// Returns the key of the load balancer of an exposed port.
pub(super) fn expose(keys: TenantKeys<'_>, public: impl Display) -> Key {
    let router = keys.router();
    Key::new(format!("{}/expose/{public}", router.owner()))
}

/// Returns the key of the switch outside of the provider router.
pub(super) fn external_network() -> Key {
    Key::new("site/external-network")
}

/// Returns the key of the port of that switch that is connected to the physical network.
pub(super) fn localnet_port() -> Key {
    Key::new("site/external-network/localnet")
}

/// Returns the key of the port of that switch that is connected to the provider router.
pub(super) fn external_peer() -> Key {
    Key::new("site/external-network/router-port")
}

/// Returns the key of the provider router's port that is connected to that switch.
pub(super) fn external_port() -> Key {
    Key::new("site/provider-router/external-port")
}

/// Returns the key of the provider router's default route.
pub(super) fn external_route() -> Key {
    Key::new("site/provider-router/default-route")
}
