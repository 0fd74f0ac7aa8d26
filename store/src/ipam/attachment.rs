//! What the store says of a pod's address and of an attached interface.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::values::MacAddress;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys;
use crate::record::Record;

/// Whose interface it is. Names are unique on one host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The name of the network configuration.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// The interface in the container.
    pub interface: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of container {} (network {})", self.interface, self.container, self.network)
    }
}

/// Who holds an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Holder {
    /// A container's interface; its attachment says more.
    Container {
        /// The host that it runs on.
        host: Uuid,
        /// Which one.
        #[serde(flatten)]
        owner: Owner,
    },
    /// A static port of the spec.
    Port {
        /// Its name.
        name: String,
    },
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::Container { host, owner } => write!(formatter, "{owner} on host {host}"),
            Holder::Port { name } => write!(formatter, "the static port `{name}`"),
        }
    }
}

/// What the store says of an address that was ever given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// Who holds it; nobody: it is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Since when, in milliseconds of Unix time.
    pub since: u64,
    /// Who held it last, while nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Holder>,
}

impl Record for AddressRecord {
    const VERSION: u64 = 1;
}

/// What stands under the second key of a free address: nothing besides the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freed {}

impl Record for Freed {
    const VERSION: u64 = 1;
}

/// An interface that is attached, is being attached, or was not quite taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Whose it is.
    pub owner: Owner,
    /// The host, by the id that its MidoNet agent registered.
    pub host: Uuid,
    /// The tenant.
    pub tenant: String,
    /// The bridge's name.
    pub bridge: String,
    /// Its id in MidoNet.
    pub bridge_id: Uuid,
    /// The address.
    pub address: Ipv4Addr,
    /// The bridge's network.
    pub cidr: Ipv4Net,
    /// The bridge's gateway.
    pub gateway: Ipv4Addr,
    /// The MAC address inside the container.
    pub mac: MacAddress,
    /// The interface on the host that is bound to the port.
    pub host_interface: String,
    /// The bridge port's id in MidoNet; none where the server chooses it and it is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Uuid>,
    /// How far it came.
    pub state: Progress,
    /// When it was claimed, in milliseconds of Unix time.
    pub since: u64,
    /// The pod, as `namespace/name`, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Whatever else the plugin has to remember.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// How far an attachment came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Claimed; port and interface may be there or not.
    Intent,
    /// Everything is there.
    Done,
}

impl Record for Attachment {
    const VERSION: u64 = 1;
}

impl Attachment {
    /// The key that it is kept under.
    pub fn key(&self) -> String {
        keys::attachment(self.host, &self.owner)
    }

    /// What its address says while it holds it.
    pub fn holder(&self) -> Holder {
        Holder::Container { host: self.host, owner: self.owner.clone() }
    }
}

/// The MAC address that belongs to an address: locally administered, and the same wherever the pod starts.
pub fn mac_of(address: Ipv4Addr) -> MacAddress {
    let [a, b, c, d] = address.octets();
    MacAddress([0x0a, 0x58, a, b, c, d])
}
