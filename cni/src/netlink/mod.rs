//! The network of one namespace as nine verbs, and what ADD, DEL and CHECK do with them (`wiring`).

#[cfg(test)]
mod fake;
mod namespace;
mod rtnetlink;
mod thread;
pub(crate) mod wiring;

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use midoform_compiler::topology::object::MacAddress;

pub(crate) use namespace::Namespace;
pub(crate) use thread::NetworkThread;
pub(crate) use wiring::{Wired, Wiring, host_interface_name, host_mac, unplug};

use crate::error::{CniError, Code};

/// A failed verb.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The kernel refuses.
    #[error("{verb}: {source}")]
    Refused { verb: String, source: std::io::Error },
    /// An interface is in the way.
    #[error("{0}")]
    InTheWay(String),
}

impl From<LinkError> for CniError {
    fn from(error: LinkError) -> CniError {
        match error {
            LinkError::InTheWay(message) => CniError::new(Code::InvalidEnvironment, message),
            other => CniError::new(Code::Netlink, "the container's network can't be changed")
                .details(other.to_string()),
        }
    }
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: u32,
    pub(crate) is_up: bool,
    pub(crate) alias: String,
}

/// A veth pair: one end in the namespace that it is made in, the other in the plugin's own, made at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: MacAddress,
    pub(crate) mtu: u16,
    /// The end in the plugin's own namespace.
    pub(crate) peer: &'a str,
    pub(crate) peer_mac: MacAddress,
}

/// What is changed about an interface.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) alias: Option<&'a str>,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) up: Option<bool>,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KernelRoute {
    pub(crate) destination: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    /// The interface it leads out by.
    pub(crate) index: u32,
    /// The kernel made it, with an address.
    pub(crate) automatic: bool,
    /// All that the kernel said of it: what is put back is what was there.
    message: Option<::rtnetlink::packet_route::route::RouteMessage>,
}

impl KernelRoute {
    pub(crate) fn new(destination: Ipv4Net, gateway: Option<Ipv4Addr>, index: u32) -> Self {
        let (destination, gateway) = (IpNet::V4(destination), gateway.map(IpAddr::V4));
        KernelRoute { destination, gateway, index, automatic: false, message: None }
    }

    pub(crate) fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0
    }
}

/// The verbs, in one namespace. What is there already, or gone already, is no error.
pub(crate) trait Links {
    /// The interface of this name.
    fn link(&mut self, name: &str) -> Result<Option<Link>, LinkError>;
    /// Makes a veth pair, both ends down.
    fn add_pair(&mut self, pair: Pair<'_>) -> Result<(), LinkError>;
    /// Removes an interface; with one end of a pair goes the other.
    fn remove(&mut self, index: u32) -> Result<(), LinkError>;
    /// Changes an interface.
    fn change(&mut self, index: u32, change: Change<'_>) -> Result<(), LinkError>;
    /// The addresses of an interface, without those that the kernel gave it.
    fn addresses(&mut self, index: u32) -> Result<Vec<IpNet>, LinkError>;
    /// Adds an address.
    fn add_address(&mut self, index: u32, address: IpNet) -> Result<(), LinkError>;
    /// The unicast routes of the main table.
    fn routes(&mut self) -> Result<Vec<KernelRoute>, LinkError>;
    /// Adds a route.
    fn add_route(&mut self, route: &KernelRoute) -> Result<(), LinkError>;
    /// Sets a parameter below `/proc/sys/net`; one that this kernel does not have is passed over.
    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), LinkError>;
}
