//! A pod: the row that one interface of one container needs on an existing switch. Rules tell places by addresses, and port groups
//! have static ports only, so it is one row.

use std::net::Ipv4Addr;

use uuid::Uuid;

use super::security::with_security;
pub use super::security::{BridgeSecurity, PortSecurity};
use crate::ovn::names;
use crate::topology::key::Key;
use crate::topology::key::builder::PodKeys;
use crate::topology::kinds::row::Holder;
use crate::topology::kinds::row::schema::Table;
use crate::topology::kinds::{Reference, Row};
use crate::topology::{Entry, Topology};
use crate::values::MacAddress;

/// One interface of one container.
#[derive(Clone, Debug)]
pub struct Pod<'a> {
    /// The site's name.
    pub site: &'a str,
    /// The tenant's name: the first segment of its keys.
    pub tenant: &'a str,
    /// The switch of its bridge.
    pub switch: Reference,
    /// The runtime's id of the container.
    pub container: &'a str,
    /// The interface in the container.
    pub interface: &'a str,
    /// The tag of the attachment; none: midoform made it before it had tags.
    pub tag: Option<&'a str>,
    /// The host's id.
    pub host: Uuid,
    /// The name of the chassis that alone may bind the port; none: any.
    pub chassis: Option<&'a str>,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Its address.
    pub address: Ipv4Addr,
    /// The addresses that it may use: [`PortSecurity::of`].
    pub security: PortSecurity,
}

impl<'a> Pod<'a> {
    /// Returns the keys of the pod's objects.
    pub fn keys(&self) -> PodKeys<'a> {
        Key::tenant(self.tenant).pod(self.host, self.container, self.interface).tagged(self.tag)
    }

    /// Returns the name of the pod's port: the `external_ids:iface-id` of its interface in the host's own database.
    pub fn port_name(&self) -> String {
        names::name(self.site, &self.keys().port())
    }
}

/// Compiles a pod to its row. It comes from no spec file.
pub fn lower(pod: &Pod<'_>) -> Topology {
    let key = pod.keys().port();
    let row = Row::new(Table::LogicalSwitchPort).text("name", pod.port_name());
    let mut row = with_security(row, pod.mac, pod.address, &pod.security);
    if let Some(chassis) = pod.chassis {
        row = row.map("options", [("requested-chassis", chassis.to_owned())]);
    }
    let row = super::with_key(row, pod.site.into(), &key);
    let holder = Holder { row: pod.switch.clone(), table: Table::LogicalSwitch, column: "ports" };
    Topology::new(vec![Entry { key, object: row.held_by(holder).into(), provenance: None }])
}
