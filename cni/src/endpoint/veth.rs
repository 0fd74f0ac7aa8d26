//! The veth pair of one endpoint: made, inspected, removed.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use midoform_compiler::values::MacAddress;
use midoform_store::ipam::host_interface::{host_interface_without_tag, tag_of};
use midoform_store::ipam::{Attachment, Owner};
use midoform_store::ready::Ready;

use super::names::{alias_of, host_mac};
use super::rename::{Renamed, find_renamed, rename_to_free_name, restore_name};
use crate::config::Config;
use crate::netlink::{KernelRoute, Link, LinkChange, Netlink, NetlinkError, VethPair};
use crate::protocol::error::CniError;
use crate::protocol::request::Endpoint;

/// The owner of a veth pair, and the alias of the pair's host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VethOwner {
    /// The container and interface.
    pub(crate) owner: Owner,
    /// The alias of the host's end: the owner.
    pub(crate) alias: String,
}

/// A veth pair as it must be.
#[derive(Clone, Debug)]
pub(crate) struct Veth {
    pub(crate) owner: VethOwner,
    /// The name of the host's end.
    pub(crate) host_interface: String,
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
    /// True if the container's end has to send complete checksums, since nothing behind the host's end completes them.
    pub(crate) sends_checksums: bool,
}

/// A veth pair as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VethState {
    /// The new name of the interface that was renamed, if there is one.
    pub(crate) renamed: Option<String>,
    /// True if this interface has the default route.
    pub(crate) has_default_route: bool,
    /// True if both ends exist and belong to this owner.
    pub(crate) has_pair: bool,
    /// True if the host's end belongs to this owner, and its peer is up, wherever that is.
    pub(crate) has_carrier: bool,
    /// The differences from what ADD made.
    pub(crate) problems: Vec<String>,
}

impl VethOwner {
    pub(crate) fn new(owner: &Owner) -> VethOwner {
        VethOwner { owner: owner.clone(), alias: alias_of(owner) }
    }

    /// Returns the name of the interface in the container.
    pub(crate) fn interface(&self) -> &str {
        &self.owner.interface
    }

    /// Fails if the container has an interface of another owner. If it has one of this owner, returns the names of the host's
    /// ends.
    pub(crate) fn check_free(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
        may_rename: bool,
    ) -> Result<Vec<String>, NetlinkError> {
        if container.link(self.interface())?.is_none() {
            return Ok(Vec::new());
        }
        let own: Vec<String> = self.own_links(host)?.into_iter().map(|link| link.name).collect();
        if own.is_empty() && !may_rename { Err(self.occupied()) } else { Ok(own) }
    }

    /// Removes the host's ends that belong to this owner, and with them the container's. Then gives a renamed interface its
    /// name back.
    pub(crate) fn remove(
        &self,
        host: &mut dyn Netlink,
        container: Option<&mut dyn Netlink>,
    ) -> Result<(), NetlinkError> {
        let links = host.links()?;
        if let Some(link) = links.iter().find(|link| self.is_of_another_network(link)) {
            let message = format!("the container belongs to another network ({})", link.alias);
            return Err(NetlinkError::Conflict(message));
        }
        for link in links.iter().filter(|link| self.owns(link)) {
            host.remove(link.index)?;
        }
        container.map_or(Ok(()), |container| restore_name(container, self.interface(), &self.alias))
    }

    /// Returns the host's ends that belong to this owner: one at most, unless a run was killed.
    pub(crate) fn own_links(&self, host: &mut dyn Netlink) -> Result<Vec<Link>, NetlinkError> {
        let links = host.links()?;
        Ok(links.into_iter().filter(|link| self.owns(link)).collect())
    }

    /// Returns true if a host's end belongs to this owner. An end without an alias comes from a run that was killed before
    /// it set one: its name begins with what follows from the owner.
    fn owns(&self, link: &Link) -> bool {
        link.alias == self.alias || link.alias.is_empty() && self.is_name_for(link)
    }

    /// Returns true if a host's end belongs to the same interface of the same container, in another network.
    fn is_of_another_network(&self, link: &Link) -> bool {
        let Owner { container, interface, .. } = &self.owner;
        link.alias != self.alias
            && link.alias.ends_with(&format!("/{container}/{interface}"))
            && self.is_name_for(link)
    }

    fn is_name_for(&self, link: &Link) -> bool {
        tag_of(&self.owner, &link.name).is_some() || link.name == host_interface_without_tag(&self.owner)
    }

    fn occupied(&self) -> NetlinkError {
        let message = format!("the container already has an interface {} of another owner", self.interface());
        NetlinkError::Conflict(message)
    }
}

impl Veth {
    /// Returns the pair that an attachment needs.
    pub(crate) fn of(config: &Config, endpoint: &Endpoint, attachment: &Attachment, ready: &Ready) -> Veth {
        let gateway = attachment.gateway;
        let length = attachment.cidr.prefix_len();
        Veth {
            owner: VethOwner::new(&attachment.owner),
            host_interface: attachment.host_interface.clone(),
            mac: attachment.mac,
            host_mac: host_mac(endpoint),
            mtu: config.mtu_of(ready.mtu),
            // The prefix length comes from a network, so it is one that an address can have.
            address: Ipv4Net::new(attachment.address, length).unwrap_or_else(|_| attachment.address.into()),
            gateway,
            routes: config.routes.iter().map(|route| (route.dst, route.gw.unwrap_or(gateway))).collect(),
            may_rename: config.may_rename(endpoint),
            sends_checksums: false,
        }
    }

    /// Makes the pair. If this fails, what was made is removed, as far as the kernel allows.
    pub(crate) fn create(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
    ) -> Result<VethState, NetlinkError> {
        let interface = self.owner.interface();
        let mut found = container.link(interface)?;
        if found.is_some() {
            // A pair of this owner that nobody has a record of, or one that a killed run left.
            for left in self.owner.own_links(host)? {
                host.remove(left.index)?;
                found = container.link(interface)?;
            }
        }
        let renamed = match found {
            None => None,
            Some(found) if self.may_rename => {
                Some(rename_to_free_name(container, &found, &self.owner.alias)?)
            }
            Some(_) => return Err(self.owner.occupied()),
        };
        match self.make(host, container, renamed.is_some()) {
            Ok(has_default_route) => {
                let renamed = renamed.map(|renamed| renamed.name);
                Ok(VethState { renamed, has_default_route, has_pair: true, ..VethState::default() })
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
        let (name, peer) = (self.owner.interface(), self.host_interface.as_str());
        container.add_pair(VethPair { name, mac: self.mac, mtu: self.mtu, peer, peer_mac: self.host_mac })?;
        let host_end = host.link(peer)?.ok_or_else(|| vanished(peer))?;
        let own = container.link(name)?.ok_or_else(|| vanished(name))?;
        self.configure((host, host_end.index), (container, own.index), takes_default_route)
    }

    /// Gives a pair its alias, parameters, address and routes, and sets it up. What it has already stays as it is. Returns
    /// true if it got the default route.
    fn configure(
        &self,
        (host, host_end): (&mut dyn Netlink, u32),
        (container, own): (&mut dyn Netlink, u32),
        takes_default_route: bool,
    ) -> Result<bool, NetlinkError> {
        let (name, peer) = (self.owner.interface(), self.host_interface.as_str());
        host.change(host_end, LinkChange { alias: Some(&self.owner.alias), ..LinkChange::default() })?;
        // The host itself sends nothing here, and must not accept router advertisements of a container.
        host.set_parameter(&format!("ipv6/conf/{peer}/disable_ipv6"), "1")?;
        // As in the reference plugins: the kernel announces a new address to the neighbours.
        container.set_parameter(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
        container.set_parameter(&format!("ipv6/conf/{name}/ndisc_notify"), "1")?;
        if self.sends_checksums {
            container.send_checksums(name)?;
        }
        host.change(host_end, LinkChange { up: Some(true), ..LinkChange::default() })?;
        container.add_address(own, IpNet::V4(self.address))?;
        container.change(own, LinkChange { up: Some(true), ..LinkChange::default() })?;
        let has_default_route = takes_default_route || !container.routes()?.iter().any(is_default_v4);
        if has_default_route {
            container.add_route(&KernelRoute::new(Ipv4Net::default(), Some(self.gateway), own))?;
        }
        for (destination, gateway) in &self.routes {
            container.add_route(&KernelRoute::new(*destination, Some(*gateway), own))?;
        }
        Ok(has_default_route)
    }

    /// Repairs a pair of an earlier ADD in place, so that open connections continue. Returns its state.
    pub(crate) fn repair(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
    ) -> Result<VethState, NetlinkError> {
        let (name, peer) = (self.owner.interface(), self.host_interface.as_str());
        let host_end = host.link(peer)?.ok_or_else(|| vanished(peer))?;
        let own = container.link(name)?.ok_or_else(|| vanished(name))?;
        let mac = Some(self.mac).filter(|_| own.mac != Some(self.mac));
        let mtu = Some(u32::from(self.mtu)).filter(|mtu| own.mtu != *mtu);
        if mac.is_some() || mtu.is_some() {
            container.change(own.index, LinkChange { mac, mtu, ..LinkChange::default() })?;
        }
        self.configure((&mut *host, host_end.index), (&mut *container, own.index), false)?;
        self.inspect(host, container)
    }

    /// Removes what `create` made, and restores the renamed interface with its default routes.
    fn roll_back(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
        renamed: Option<&Renamed>,
    ) -> Result<(), NetlinkError> {
        // It may have no alias yet.
        let host_end = host.link(&self.host_interface)?;
        if let Some(link) = host_end.filter(|link| link.alias.is_empty() || self.owner.owns(link)) {
            host.remove(link.index)?;
        }
        self.owner.remove(host, Some(&mut *container))?;
        let Some(renamed) = renamed else { return Ok(()) };
        renamed.default_routes.iter().try_for_each(|route| container.add_route(route))
    }

    /// Announces the address to the neighbours, when packets can pass.
    pub(crate) fn announce(&self, container: &mut dyn Netlink) -> Result<(), NetlinkError> {
        let interface = self.owner.interface();
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
        let (host_interface, interface, alias) =
            (&self.host_interface, self.owner.interface(), &self.owner.alias);
        let renamed = find_renamed(container, interface, alias)?.map(|link| link.name);
        let mut state = VethState { renamed, ..VethState::default() };
        let problems = &mut state.problems;
        let host_end = host.link(host_interface)?;
        match &host_end {
            None => problems.push(format!("the host has no interface {host_interface}")),
            Some(link) => {
                // Its MTU and its offloads are the agent's: MidoNet's agent sets the MTU of a bound interface to 65000.
                Veth::compare_up(link, problems);
                if link.alias != *alias {
                    problems.push(format!("{host_interface} has the alias `{}`, not `{alias}`", link.alias));
                }
            }
        }
        let host_end = host_end.filter(|link| self.owner.owns(link));
        state.has_carrier = host_end.as_ref().is_some_and(|link| link.has_carrier);
        let Some(link) = container.link(interface)? else {
            problems.push(format!("the container has no interface {interface}"));
            return Ok(state);
        };
        state.has_pair = host_end.is_some_and(|host_end| link.peer == Some(host_end.index));
        Veth::compare_up(&link, problems);
        if link.mtu != u32::from(self.mtu) {
            problems.push(format!("{interface} has the MTU {}, not {}", link.mtu, self.mtu));
        }
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

    fn compare_up(link: &Link, problems: &mut Vec<String>) {
        if !link.is_up {
            problems.push(format!("{} is down", link.name));
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
