//! The veth pair of one endpoint: made, inspected, removed.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use midoform_compiler::values::MacAddress;
use midoform_store::ipam::Attachment;
use midoform_store::ready::Ready;

use super::names::{alias_of, host_interface_name, host_mac};
use super::rename::{Renamed, find_renamed, rename_to_free_name, restore_name};
use crate::config::Config;
use crate::netlink::{KernelRoute, Link, LinkChange, Netlink, NetlinkError, VethPair};
use crate::protocol::error::CniError;
use crate::protocol::request::Endpoint;

/// The names of a veth pair, and its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VethNames {
    /// The name of the host's end.
    pub(crate) host_interface: String,
    /// The interface's name in the container.
    pub(crate) interface: String,
    /// The alias of the host's end: the owner.
    pub(crate) alias: String,
}

/// A veth pair as it must be.
#[derive(Clone, Debug)]
pub(crate) struct Veth {
    pub(crate) names: VethNames,
    pub(crate) mac: MacAddress,
    /// The MAC address of the host's end. It is fixed, so that a repeated ADD has the same result.
    pub(crate) host_mac: MacAddress,
    pub(crate) mtu: u16,
    pub(crate) address: Ipv4Net,
    pub(crate) gateway: Ipv4Addr,
    /// Routes besides the default route: destination and next hop.
    pub(crate) routes: Vec<(Ipv4Net, Ipv4Addr)>,
    /// True if an existing interface of the same name may be renamed.
    pub(crate) may_rename: bool,
}

/// A veth pair as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VethState {
    /// The new name of the interface that was renamed, if there is one.
    pub(crate) renamed: Option<String>,
    /// True if this interface has the default route.
    pub(crate) has_default_route: bool,
    /// The differences from what ADD made.
    pub(crate) problems: Vec<String>,
}

impl VethNames {
    /// Returns the names of an endpoint's pair in a network.
    pub(crate) fn of(network: &str, endpoint: &Endpoint) -> VethNames {
        VethNames {
            host_interface: host_interface_name(endpoint),
            interface: endpoint.interface.clone(),
            alias: alias_of(network, endpoint),
        }
    }

    /// Fails if another owner uses one of the names.
    pub(crate) fn check_free(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
        may_rename: bool,
    ) -> Result<(), NetlinkError> {
        match host.link(&self.host_interface)? {
            Some(link) => self.check_owner(&link),
            None if may_rename || container.link(&self.interface)?.is_none() => Ok(()),
            None => Err(self.occupied()),
        }
    }

    /// Removes the host's end, and with it the container's, if they belong to this owner. Then gives a renamed interface its
    /// name back.
    pub(crate) fn remove(
        &self,
        host: &mut dyn Netlink,
        container: Option<&mut dyn Netlink>,
    ) -> Result<(), NetlinkError> {
        if let Some(link) = host.link(&self.host_interface)? {
            self.check_owner(&link)?;
            host.remove(link.index)?;
        }
        container.map_or(Ok(()), |container| restore_name(container, &self.interface, &self.alias))
    }

    /// Fails if the host's end belongs to another owner. An end without an alias comes from a run for this owner that was
    /// killed before it set one.
    fn check_owner(&self, link: &Link) -> Result<(), NetlinkError> {
        if link.alias == self.alias || link.alias.is_empty() {
            return Ok(());
        }
        let message = format!("the host's interface {} belongs to another owner ({})", link.name, link.alias);
        Err(NetlinkError::Conflict(message))
    }

    fn occupied(&self) -> NetlinkError {
        let message = format!("the container already has an interface {} of another owner", self.interface);
        NetlinkError::Conflict(message)
    }
}

impl Veth {
    /// Returns the pair that an attachment needs.
    pub(crate) fn of(config: &Config, endpoint: &Endpoint, attachment: &Attachment, ready: &Ready) -> Veth {
        let gateway = attachment.gateway;
        let length = attachment.cidr.prefix_len();
        Veth {
            names: VethNames {
                host_interface: attachment.host_interface.clone(),
                ..VethNames::of(&config.name, endpoint)
            },
            mac: attachment.mac,
            host_mac: host_mac(endpoint),
            mtu: config.mtu_of(ready.mtu),
            // The prefix length comes from a network, so it is one that an address can have.
            address: Ipv4Net::new(attachment.address, length).unwrap_or_else(|_| attachment.address.into()),
            gateway,
            routes: config.routes.iter().map(|route| (route.dst, route.gw.unwrap_or(gateway))).collect(),
            may_rename: config.may_rename(endpoint),
        }
    }

    /// Makes the pair. If this fails, what was made is removed, as far as the kernel allows.
    pub(crate) fn create(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
    ) -> Result<VethState, NetlinkError> {
        // A pair of an earlier run is incomplete, because that run was killed.
        if let Some(left) = host.link(&self.names.host_interface)? {
            self.names.check_owner(&left)?;
            host.remove(left.index)?;
        }
        let renamed = match container.link(&self.names.interface)? {
            None => None,
            Some(found) if self.may_rename => {
                Some(rename_to_free_name(container, &found, &self.names.alias)?)
            }
            Some(_) => return Err(self.names.occupied()),
        };
        match self.make(host, container, renamed.is_some()) {
            Ok(has_default_route) => {
                let renamed = renamed.map(|renamed| renamed.name);
                Ok(VethState { renamed, has_default_route, problems: Vec::new() })
            }
            Err(error) => {
                if let Err(second) = self.roll_back(host, container, renamed.as_ref()) {
                    tracing::warn!(
                        error = CniError::from(second).in_full(),
                        "the incomplete veth pair can't be removed"
                    );
                }
                Err(error)
            }
        }
    }

    /// Makes the pair with its addresses and routes. Returns true if it got the default route.
    fn make(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
        takes_default_route: bool,
    ) -> Result<bool, NetlinkError> {
        let (name, peer) = (self.names.interface.as_str(), self.names.host_interface.as_str());
        container.add_pair(VethPair { name, mac: self.mac, mtu: self.mtu, peer, peer_mac: self.host_mac })?;
        let host_end = host.link(peer)?.ok_or_else(|| vanished(peer))?;
        let own = container.link(name)?.ok_or_else(|| vanished(name))?;
        host.change(host_end.index, LinkChange { alias: Some(&self.names.alias), ..LinkChange::default() })?;
        // The host itself sends nothing here, and must not accept router advertisements of a container.
        host.set_parameter(&format!("ipv6/conf/{peer}/disable_ipv6"), "1")?;
        // As in the reference plugins: the kernel announces a new address to the neighbours.
        container.set_parameter(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
        container.set_parameter(&format!("ipv6/conf/{name}/ndisc_notify"), "1")?;
        host.change(host_end.index, LinkChange { up: Some(true), ..LinkChange::default() })?;
        container.add_address(own.index, IpNet::V4(self.address))?;
        container.change(own.index, LinkChange { up: Some(true), ..LinkChange::default() })?;
        let has_default_route = takes_default_route || !container.routes()?.iter().any(is_default_v4);
        if has_default_route {
            container.add_route(&KernelRoute::new(Ipv4Net::default(), Some(self.gateway), own.index))?;
        }
        for (destination, gateway) in &self.routes {
            container.add_route(&KernelRoute::new(*destination, Some(*gateway), own.index))?;
        }
        Ok(has_default_route)
    }

    /// Removes what `create` made, and restores the renamed interface with its default routes.
    fn roll_back(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
        renamed: Option<&Renamed>,
    ) -> Result<(), NetlinkError> {
        self.names.remove(host, Some(&mut *container))?;
        let Some(renamed) = renamed else { return Ok(()) };
        renamed.default_routes.iter().try_for_each(|route| container.add_route(route))
    }

    /// Announces the address to the neighbours, when packets can pass.
    pub(crate) fn announce(&self, container: &mut dyn Netlink) -> Result<(), NetlinkError> {
        let interface = &self.names.interface;
        let Some(own) = container.link(interface)? else { return Err(vanished(interface)) };
        // With arp_notify the kernel sends a gratuitous ARP when the MAC address is set, even to the same value.
        container.change(own.index, LinkChange { mac: Some(self.mac), ..LinkChange::default() })
    }

    /// Compares the pair with what `create` makes.
    pub(crate) fn inspect(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
    ) -> Result<VethState, NetlinkError> {
        let VethNames { host_interface, interface, alias } = &self.names;
        let renamed = find_renamed(container, interface, alias)?.map(|link| link.name);
        let mut state = VethState { renamed, ..VethState::default() };
        let problems = &mut state.problems;
        match host.link(host_interface)? {
            None => problems.push(format!("the host has no interface {host_interface}")),
            Some(link) => {
                self.compare_link(&link, problems);
                if link.alias != *alias {
                    problems.push(format!("{host_interface} has the alias `{}`, not `{alias}`", link.alias));
                }
            }
        }
        let Some(link) = container.link(interface)? else {
            problems.push(format!("the container has no interface {interface}"));
            return Ok(state);
        };
        self.compare_link(&link, problems);
        if link.mac != Some(self.mac) {
            let found = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
            problems.push(format!("{interface} has the MAC address {found}, not {}", self.mac));
        }
        if !container.addresses(link.index)?.contains(&IpNet::V4(self.address)) {
            problems.push(format!("{interface} does not have the address {}", self.address));
        }
        let routes = container.routes()?;
        self.compare_routes(&routes, link.index, problems);
        state.has_default_route =
            routes.iter().any(|route| is_default_v4(route) && route.index == link.index);
        Ok(state)
    }

    fn compare_link(&self, link: &Link, problems: &mut Vec<String>) {
        if !link.is_up {
            problems.push(format!("{} is down", link.name));
        }
        if link.mtu != u32::from(self.mtu) {
            problems.push(format!("{} has the MTU {}, not {}", link.name, link.mtu, self.mtu));
        }
    }

    fn compare_routes(&self, routes: &[KernelRoute], index: u32, problems: &mut Vec<String>) {
        for (destination, gateway) in &self.routes {
            let is_wanted = |route: &KernelRoute| {
                route.destination == IpNet::V4(*destination)
                    && route.index == index
                    && route.gateway == Some(IpAddr::V4(*gateway))
            };
            if !routes.iter().any(is_wanted) {
                problems.push(format!("the route to {destination} by {gateway} is missing"));
            }
        }
        // Another interface may have the default route, if it had it before.
        if !routes.iter().any(is_default_v4) {
            problems.push(format!("the default route by {} is missing", self.gateway));
        }
    }
}

fn is_default_v4(route: &KernelRoute) -> bool {
    route.is_default() && matches!(route.destination, IpNet::V4(_))
}

fn vanished(name: &str) -> NetlinkError {
    NetlinkError::Conflict(format!("somebody removed {name} while it was being set up"))
}

#[cfg(test)]
mod tests;
