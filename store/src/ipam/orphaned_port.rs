//! Ports that containers left in MidoNet, and the marks of their deletion.

use midoform_compiler::names::TenantName;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::owner::Owner;
use crate::record::Record;

/// The time after which a deletion counts as interrupted, in milliseconds.
pub(super) const UNFINISHED: u64 = 600_000;

/// A port of a bridge, as MidoNet returns it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The id.
    pub id: Uuid,
    /// The bridge.
    #[serde(default, rename = "deviceId")]
    pub bridge: Option<Uuid>,
    /// The mark on 1.x: the id that follows from its key.
    #[serde(default, rename = "vifId")]
    pub mark: Option<Uuid>,
    /// The host that it is bound on.
    #[serde(default, rename = "hostId")]
    pub host: Option<Uuid>,
    /// The interface that it is bound to.
    #[serde(default, rename = "interfaceName")]
    pub interface: Option<String>,
}

/// The mark of a port that is being deleted because its container left it behind. Meanwhile the container is not
/// attached again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDeletion {
    /// The port.
    pub port: Uuid,
    /// The start of the deletion, in milliseconds of Unix time.
    pub since: u64,
}

impl Record for PortDeletion {
    const VERSION: u64 = 1;
}

/// A port without an attachment, and the last holder of its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanedPort {
    /// The port.
    pub port: Port,
    /// The tenant of the last holder.
    pub tenant: TenantName,
    /// The host of the last holder.
    pub host: Uuid,
    /// The last holder.
    pub owner: Owner,
    /// The host's interface of the attachment that the port belongs to.
    pub host_interface: String,
}
