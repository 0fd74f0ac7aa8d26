//! Rows as a network for packets.

use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::{Object, Reference};
use midoform_compiler::topology::{Entry, Topology};
use midoform_packets::ovn::network::{AclAction, Network, SwitchPortKind};

use super::specs::{SITE, rows};
use crate::samples::Project;

const ACME: &str = r#"
name = "acme"
anti_spoof = "port"
[[bridge]]
name = "web"
cidr = "10.1.0.0/24"
[[bridge]]
name = "db"
cidr = "10.2.0.0/24"
[[port]]
name = "fw"
bridge = "web"
host = "gw1"
interface = "vif0"
mac = "0a:00:00:00:06:05"
address = "10.1.0.5"
[[port_group]]
name = "walls"
ports = ["fw"]
[[route]]
destination = "10.60.0.0/16"
via = "10.1.0.5"
[[route]]
destination = "10.99.0.0/16"
type = "blackhole"
[[rule]]
name = "walls"
from = { port_group = "walls" }
to = { bridge = "db", tcp = 5432 }
action = "accept"
[[rule]]
name = "no-db"
to = { bridge = "db" }
action = "reject"
[[expose]]
public = "203.0.113.10:443"
to = { bridge = "web", address = "10.1.0.11", tcp = 8443 }
"#;

fn acme() -> Topology {
    rows(&Project::of_text(SITE, &[("a.toml", ACME)])).unwrap().1
}

fn reference(key: &str) -> Reference {
    Reference::Key(Key::from(key))
}

#[test]
fn rows_are_switches_and_routers() {
    let network = Network::of_topology(&acme());
    assert_eq!(network.faults, []);
    let router = network.router(network.router_of(&reference("acme/router")).unwrap()).unwrap();
    let names: Vec<&str> =
        router.ports.iter().map(|port| network.router_port(*port).unwrap().key.as_str()).collect();
    assert_eq!(names, ["acme/bridge/db/gateway-port", "acme/bridge/web/gateway-port", "acme/uplink/port"]);
    assert_eq!(router.load_balancers[0].public, ("203.0.113.10".parse().unwrap(), 443));
    assert_eq!(router.load_balancers[0].targets, [("10.1.0.11".parse().unwrap(), 8443)]);
    let discarded: Vec<_> = router.routes.iter().filter(|route| route.next_hop.is_none()).collect();
    assert_eq!(discarded[0].destination, "10.99.0.0/16".parse().unwrap());
    assert_eq!(router.translations.len(), 3);
    let uplink = network.router_port(network.router_port_of(&"acme/uplink/port".into()).unwrap()).unwrap();
    assert_eq!(uplink.gateway_chassis, ["gw1"]);
    let provider = network.router_port(uplink.peer.unwrap()).unwrap();
    assert_eq!(provider.key.as_str(), "acme/uplink/provider-port");
}

#[test]
fn a_switch_has_its_ports_and_its_lists_in_order() {
    let network = Network::of_topology(&acme());
    let switch = network.switch(network.switch_of(&reference("acme/bridge/web")).unwrap()).unwrap();
    let ports: Vec<_> = switch.ports.iter().map(|port| network.switch_port(*port).unwrap()).collect();
    let gateway = ports.iter().find(|port| matches!(port.kind, SwitchPortKind::Router(_))).unwrap();
    let router_port = network.router_port(network.behind(gateway).unwrap()).unwrap();
    assert_eq!(gateway.addresses, [(router_port.mac, vec!["10.1.0.254".parse().unwrap()])]);
    assert_eq!(network.switch_port(router_port.switch_port.unwrap()).unwrap().name, gateway.name);
    let fixed = ports.iter().find(|port| port.kind == SwitchPortKind::Interface).unwrap();
    let networks: Vec<String> = fixed.security[0].networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.1.0.5/32", "10.60.0.0/16"]);
    assert!(switch.from_port.is_sorted_by(|a, b| a.priority >= b.priority));
    assert_eq!(switch.from_port[0].key.as_str(), "acme/bridge/web/acl/from/router");
    assert_eq!(switch.from_port[0].action, AclAction::AllowStateless);
    assert!(switch.has_stateful_acl());
}

/// OVN takes a match that it can't parse, and does as if the row was not there.
#[test]
fn a_row_that_ovn_cannot_use_is_left_out() {
    let all = acme();
    let mut entries: Vec<Entry> = all.entries().to_vec();
    let before = Network::of_topology(&all);
    let wrong = entries.iter_mut().find(|entry| entry.key.as_str().ends_with("acl/to/answers")).unwrap();
    let key = wrong.key.clone();
    let Object::Row(row) = &mut wrong.object else { panic!("{key} is no row") };
    **row = row.as_ref().clone().text("match", "ip4 && ip4.src == $nothing");
    let network = Network::of_topology(&Topology::new(entries));
    assert_eq!(network.faults.iter().map(|fault| &fault.key).collect::<Vec<_>>(), [&key]);
    let count = |network: &Network| network.switches.iter().map(|switch| switch.to_port.len()).sum::<usize>();
    assert_eq!(count(&network) + 1, count(&before));
}
