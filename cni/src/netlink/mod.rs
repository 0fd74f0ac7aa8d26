//! The links, addresses and routes of one network namespace, as eleven operations.

mod checksums;
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

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// The kernel refuses.
    #[error("{operation} failed")]
    Refused { operation: String, source: std::io::Error },
    /// An interface of another owner uses the name, or somebody removed an interface meanwhile.
    #[error("{0}")]
    Conflict(String),
}

impl From<NetlinkError> for CniError {
    fn from(error: NetlinkError) -> CniError {
        match error {
            NetlinkError::Conflict(message) => CniError::new(Code::InvalidEnvironment, message),
            refused => {
                CniError::new(Code::Netlink, "the container's network can't be changed").caused_by(refused)
            }
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
    /// The index of the peer of a veth end, which may be in another namespace.
    pub(crate) peer: Option<u32>,
    /// True if the interface can pass packets: it is up, and so is the peer of a veth end.
    pub(crate) has_carrier: bool,
}

/// A veth pair: one end in the namespace that it is made in, the peer in the plugin's own. Both are made in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VethPair<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: MacAddress,
    pub(crate) mtu: u16,
    /// The name of the peer, in the plugin's own namespace.
    pub(crate) peer: &'a str,
    pub(crate) peer_mac: MacAddress,
}

/// A change of an interface. An absent field stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkChange<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) alias: Option<&'a str>,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: Option<u32>,
    pub(crate) up: Option<bool>,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KernelRoute {
    pub(crate) destination: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    /// The index of the output interface.
    pub(crate) index: u32,
    /// True if the kernel made it, together with an address.
    pub(crate) automatic: bool,
    /// The kernel's own message, so that a restored route is the same in every attribute.
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

/// The operations on one namespace. To add what exists, or to remove what does not exist, is no error.
pub(crate) trait Netlink {
    /// Returns the interface of this name.
    fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError>;
    /// Returns all interfaces.
    fn links(&mut self) -> Result<Vec<Link>, NetlinkError>;
    /// Makes a veth pair, both ends down.
    fn add_pair(&mut self, pair: VethPair<'_>) -> Result<(), NetlinkError>;
    /// Removes an interface. The kernel removes the peer of a veth end with it.
    fn remove(&mut self, index: u32) -> Result<(), NetlinkError>;
    /// Changes an interface.
    fn change(&mut self, index: u32, change: LinkChange<'_>) -> Result<(), NetlinkError>;
    /// Returns the addresses of an interface, without link-local ones.
    fn addresses(&mut self, index: u32) -> Result<Vec<IpNet>, NetlinkError>;
    /// Adds an address.
    fn add_address(&mut self, index: u32, address: IpNet) -> Result<(), NetlinkError>;
    /// Returns the unicast routes of the main table.
    fn routes(&mut self) -> Result<Vec<KernelRoute>, NetlinkError>;
    /// Adds a route.
    fn add_route(&mut self, route: &KernelRoute) -> Result<(), NetlinkError>;
    /// Lets an interface send complete checksums: it offers no transmit offload.
    fn send_checksums(&mut self, name: &str) -> Result<(), NetlinkError>;
    /// Sets a parameter below `/proc/sys/net`. A parameter that this kernel does not have is skipped.
    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), NetlinkError>;
}
