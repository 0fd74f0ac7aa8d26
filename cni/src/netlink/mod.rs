//! The network of one namespace as nine verbs, and what ADD, DEL and CHECK do with them (`veth`).

#[cfg(test)]
pub(crate) mod fake;
mod namespace;
mod rtnetlink;
mod thread;

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use midoform_compiler::values::MacAddress;

pub(crate) use namespace::Namespace;
pub(crate) use thread::NetworkThread;

use crate::protocol::error::{CniError, Code};

/// A failed verb.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// The kernel refuses.
    #[error("{verb}: {source}")]
    Refused { verb: String, source: std::io::Error },
    /// An interface is in the way.
    #[error("{0}")]
    Conflict(String),
}

impl From<NetlinkError> for CniError {
    fn from(error: NetlinkError) -> CniError {
        match error {
            NetlinkError::Conflict(message) => CniError::new(Code::InvalidEnvironment, message),
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
pub(crate) struct VethPair<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: MacAddress,
    pub(crate) mtu: u16,
    /// The end in the plugin's own namespace.
    pub(crate) peer: &'a str,
    pub(crate) peer_mac: MacAddress,
}

/// What is changed about an interface.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkChange<'a> {
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
pub(crate) trait Netlink {
    /// The interface of this name.
    fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError>;
    /// Makes a veth pair, both ends down.
    fn add_pair(&mut self, pair: VethPair<'_>) -> Result<(), NetlinkError>;
    /// Removes an interface; with one end of a pair goes the other.
    fn remove(&mut self, index: u32) -> Result<(), NetlinkError>;
    /// Changes an interface.
    fn change(&mut self, index: u32, change: LinkChange<'_>) -> Result<(), NetlinkError>;
    /// The addresses of an interface, without those that the kernel gave it.
    fn addresses(&mut self, index: u32) -> Result<Vec<IpNet>, NetlinkError>;
    /// Adds an address.
    fn add_address(&mut self, index: u32, address: IpNet) -> Result<(), NetlinkError>;
    /// The unicast routes of the main table.
    fn routes(&mut self) -> Result<Vec<KernelRoute>, NetlinkError>;
    /// Adds a route.
    fn add_route(&mut self, route: &KernelRoute) -> Result<(), NetlinkError>;
    /// Sets a parameter below `/proc/sys/net`; one that this kernel does not have is passed over.
    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), NetlinkError>;
}
