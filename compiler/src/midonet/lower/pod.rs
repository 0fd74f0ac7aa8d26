//! A pod: the objects that one interface of one container needs on an existing bridge. The CNI plugin's plans are made
//! of them.
//!
//! Its keys contain the host's id, the container's id, the interface's name, and a tag that is new with every attachment:
//! MidoNet's agent does not cope with a port whose id comes back. If the server chooses ids (1.x), the port has the id of its
//! key as `vifId`, so it is found even if the response with its id was lost.

use std::net::Ipv4Addr;

use uuid::Uuid;

use crate::midonet::lower::frames::jump_to_untagged;
use crate::midonet::lower::port::own_address_conditions;
use crate::topology::key::Key;
use crate::topology::key::builder::PodKeys;
use crate::topology::key::view::RuleKey;
use crate::topology::kinds::{
    BridgePort, Chain, Condition, HostInterfacePort, Object, Reference, Rule, RuleAction,
};
use crate::topology::{Entry, Topology};
use crate::values::MacAddress;

/// One interface of one container.
#[derive(Clone, Debug)]
pub struct Pod<'a> {
    /// The tenant's name: the first segment of its keys.
    pub tenant: &'a str,
    /// MidoNet's `tenantId`.
    pub tenant_id: &'a str,
    /// The bridge that it is connected to.
    pub bridge: Reference,
    /// The runtime's id of the container.
    pub container: &'a str,
    /// The interface in the container.
    pub interface: &'a str,
    /// The tag of the attachment; none: midoform made it before it had tags.
    pub tag: Option<&'a str>,
    /// The host's id.
    pub host: Uuid,
    /// The interface on the host.
    pub host_interface: &'a str,
    /// The tenant's chain that drops frames with a VLAN tag; none: these pass.
    pub untagged: Option<Reference>,
    /// The only address and MAC address that the port may send from; none: all addresses of its bridge.
    pub tied_to: Option<(Ipv4Addr, MacAddress)>,
}

impl<'a> Pod<'a> {
    /// Returns the keys of the pod's objects.
    pub fn keys(&self) -> PodKeys<'a> {
        Key::tenant(self.tenant).pod(self.host, self.container, self.interface).tagged(self.tag)
    }
}

/// Compiles a pod to its objects. They come from no spec file.
pub fn lower(pod: &Pod<'_>) -> Topology {
    let keys = pod.keys();
    let (port, chain) = (keys.port(), keys.chain());
    let mut entries = Vec::with_capacity(2);
    let mut add = |key: Key, object: Object| entries.push(Entry { key, object, provenance: None });
    if let Some((address, mac)) = pod.tied_to {
        let name = format!("{} {} {} in", pod.tenant, pod.container, pod.interface);
        add(chain.clone(), Object::Chain(Chain { name, tenant_id: pod.tenant_id.to_owned() }));
        let [other_mac, arp, other_address] = own_address_conditions(address, mac);
        let jump = pod.untagged.clone().map(|untagged| jump_to_untagged(untagged, pod.tenant));
        let jump = jump.map(|jump| ("untagged", Condition::default(), jump));
        let own = [("mac", other_mac), ("arp", arp), ("address", other_address)];
        let own = own.map(|(name, condition)| (name, condition, RuleAction::Drop));
        for (position, (name, condition, action)) in (1..).zip(jump.into_iter().chain(own)) {
            let rule = Rule { chain: (&chain).into(), position, condition, action };
            add(keys.chain().rule(RuleKey::Layout(name)), Object::Rule(Box::new(rule)));
        }
    }
    let inbound_filter = match pod.tied_to {
        Some(_) => Some(Reference::from(&chain)),
        None => pod.untagged.clone(),
    };
    let bridge = pod.bridge.clone();
    add(port.clone(), Object::BridgePort(BridgePort::new(bridge, inbound_filter)));
    let (host, interface) = (pod.host, pod.host_interface.to_owned());
    let binding = HostInterfacePort { host, interface, port: (&port).into() };
    add(keys.binding(), Object::HostInterfacePort(binding));
    Topology::new(entries)
}
