//! The records of a pod's address and of an attached interface.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::names::TenantName;
use midoform_compiler::topology::key::builder::PodKeys;
use midoform_compiler::values::MacAddress;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host_interface::pod_keys;
use crate::keys;
use crate::owner::Owner;
use crate::record::Record;

/// The holder of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Holder {
    /// A container's interface; it has an attachment.
    Container {
        /// The host of the container.
        host: Uuid,
        /// The container and interface.
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

/// An address that was allocated at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// The holder; none: the address is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The time of the claim or the release, in milliseconds of Unix time.
    pub since: u64,
    /// The last holder of a free address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Holder>,
    /// The host's interfaces that the last holder had: the ids of its ports follow from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
}

impl AddressRecord {
    /// Returns the record of an address that is free since a time, and whose last holder does not matter.
    pub(crate) fn free(since: u64) -> AddressRecord {
        AddressRecord { holder: None, since, last: None, interfaces: Vec::new() }
    }
}

impl Record for AddressRecord {
    const VERSION: u64 = 1;
}

/// The value of the second key of a free address: nothing but the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freed {}

impl Record for Freed {
    const VERSION: u64 = 1;
}

/// An interface that is attached, that is being attached, or whose detachment was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container and interface.
    pub owner: Owner,
    /// The host: the id that its MidoNet agent registered.
    pub host: Uuid,
    /// The tenant.
    pub tenant: TenantName,
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
    /// The names that the interface had in earlier ADDs of this attachment, which did not end: calls of them may still be on
    /// their way, and then make ports whose ids follow from these names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_interfaces: Vec<String>,
    /// The bridge port's id in MidoNet; none while the server has not chosen it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Uuid>,
    /// The progress.
    pub state: Progress,
    /// The time of the claim, in milliseconds of Unix time.
    pub since: u64,
    /// The pod, as `namespace/name`, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Further values of the plugin.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// The progress of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The address is claimed; port and interface may exist or not.
    Intent,
    /// Port and interface exist.
    Done,
}

impl Record for Attachment {
    const VERSION: u64 = 1;
}

impl Attachment {
    /// Returns the key of the attachment.
    pub fn key(&self) -> String {
        keys::attachment(self.host, &self.owner)
    }

    /// Returns true if the MAC address does not follow from the address: it has a key of its own.
    pub fn has_own_mac(&self) -> bool {
        self.mac != mac_of(self.address)
    }

    /// Returns all names that the host's interface had, the present one last.
    pub fn host_interfaces(&self) -> impl Iterator<Item = &String> {
        self.earlier_interfaces.iter().chain([&self.host_interface])
    }

    /// Returns the keys of its objects in MidoNet.
    pub fn keys(&self) -> PodKeys<'_> {
        pod_keys(&self.tenant, self.host, &self.owner, &self.host_interface)
    }

    /// Returns the holder of the attachment's address.
    pub fn holder(&self) -> Holder {
        Holder::Container { host: self.host, owner: self.owner.clone() }
    }
}

/// Returns the MAC address for an address: locally administered, and the same on every host.
pub fn mac_of(address: Ipv4Addr) -> MacAddress {
    let [a, b, c, d] = address.octets();
    MacAddress([0x0a, 0x58, a, b, c, d])
}
