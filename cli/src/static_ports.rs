//! The endpoints behind the tenants' static ports.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use midoform_compiler::network::{Port, Tenant};
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::MacAddress;

/// The address and the MAC behind each static port, by the port's key.
pub(crate) type Endpoints = BTreeMap<Key, (Ipv4Addr, MacAddress)>;

/// Returns the endpoints behind the tenants' static ports.
pub(crate) fn endpoints_of(tenants: &[Tenant]) -> Endpoints {
    let of_tenant = |tenant: &Tenant| {
        let key = |port: &Port| Key::tenant(&tenant.name).port(&port.name).device();
        let port = |port: &Port| (key(port), (port.address, port.mac));
        tenant.ports.iter().map(port).collect::<Vec<_>>()
    };
    tenants.iter().flat_map(of_tenant).collect()
}
