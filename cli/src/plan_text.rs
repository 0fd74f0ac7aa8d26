//! An object in a few words.

use midoform_compiler::object::{NextHop, Object, Reference};

/// What an object is, without its key.
pub(crate) fn describe(object: &Object) -> String {
    let name = |reference: &Reference| match reference {
        Reference::Key(key) => key.to_string(),
        Reference::External(id) => id.to_string(),
    };
    match object {
        Object::TunnelZone(zone) => format!("\"{}\"", zone.name),
        Object::TunnelZoneHost(member) => format!("{} at {}", member.host, member.address),
        Object::Chain(chain) => format!("\"{}\"", chain.name),
        Object::Router(device) | Object::Bridge(device) => format!("\"{}\"", device.name),
        Object::RouterPort(port) => format!("{}/{}", port.address, port.network.prefix_len()),
        Object::BridgePort(port) => format!("of {}", name(&port.bridge)),
        Object::PortLink(link) => format!("{} ↔ {}", name(&link.port), name(&link.peer)),
        Object::Route(route) => match &route.next_hop {
            NextHop::Port { gateway: Some(gateway), .. } => format!("{} via {gateway}", route.destination),
            NextHop::Port { port, gateway: None } => format!("{} by {}", route.destination, name(port)),
            NextHop::BlackHole => format!("{} nowhere", route.destination),
            NextHop::Reject => format!("{} rejected", route.destination),
        },
        Object::Rule(rule) => format!("place {}", rule.position),
        Object::PortGroup(group) => format!("\"{}\"", group.name),
        Object::PortGroupPort(member) => name(&member.port),
        Object::HostInterfacePort(binding) => format!("{} of host {}", binding.interface, binding.host),
    }
}
