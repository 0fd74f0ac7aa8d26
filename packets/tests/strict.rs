//! What the profiles do with packets: compiled plans, played into the interpreter of MidoNet's semantics, which
//! agrees with every recorded packet.

use std::net::Ipv4Addr;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::values::MacAddress;
use midoform_packets::semantics::{Fragment, Packet, State, Station, Verdict, World, simulate};
use serde_json::json;
use uuid::Uuid;

use crate::samples::Project;

/// A compiled network with pods on its bridges and the world behind its provider router.
struct Net {
    world: World,
    state: State,
    stations: Vec<Station>,
    names: Vec<String>,
    namespace: Namespace,
    topology: Topology,
}

const UPLINK_MAC: &str = "02:00:00:00:00:01";
const WORLD: &str = "203.0.113.1";

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\nshared = true\n[[host]]\nname = \"h\"\nid = \"11111111-2222-4333-8444-555555555555\"\n";

impl Net {
    /// `pods`: tenant, bridge, address.
    fn new(tenants: &[&str], pods: &[(&str, &str, &str)]) -> Net {
        let files: Vec<(String, &str)> =
            tenants.iter().enumerate().map(|(at, text)| (format!("t{at}.toml"), *text)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let project = Project::of_text(SITE, &files);
        let mut world = World::default();
        for call in project.plan(Dialect::V5).steps.iter().flat_map(|step| &step.calls) {
            let body = serde_json::from_str(call.body.as_ref().unwrap().get()).unwrap();
            world.call(&call.path, &body).unwrap();
        }
        let namespace = Namespace::of_site("s");
        let provider = namespace.id(&Key::from("site/provider-router"));
        let uplink = Uuid::from_u128(1);
        let port = json!({"id": uplink, "type": "Router", "portAddress": "203.0.113.2", "networkAddress": "203.0.113.0", "networkLength": 30, "portMac": UPLINK_MAC});
        world.call(&format!("/routers/{provider}/ports"), &port).unwrap();
        let route = json!({"id": Uuid::from_u128(2), "type": "Normal", "dstNetworkAddr": "0.0.0.0", "dstNetworkLength": 0, "weight": 100, "nextHopPort": uplink, "nextHopGateway": WORLD});
        world.call(&format!("/routers/{provider}/routes"), &route).unwrap();
        let topology = project.compile().topology;
        let mut net = Net {
            world,
            state: State::default(),
            stations: Vec::new(),
            names: Vec::new(),
            namespace,
            topology,
        };
        net.station("world", uplink, WORLD.parse().unwrap(), "02:ee:00:00:00:01".parse().unwrap());
        for (at, (tenant, bridge, address)) in pods.iter().enumerate() {
            let id = Uuid::from_u128(100 + at as u128);
            let bridge = net.id(&format!("{tenant}/bridge/{bridge}"));
            net.world
                .call(&format!("/bridges/{bridge}/ports"), &json!({"id": id, "type": "Bridge"}))
                .unwrap();
            let mac = MacAddress([0x02, 0xaa, 0, 0, 0, at as u8]);
            net.station(&format!("{tenant}/{address}"), id, address.parse().unwrap(), mac);
        }
        net
    }

    fn id(&self, key: &str) -> Uuid {
        self.namespace.id(&Key::from(key))
    }

    fn station(&mut self, name: &str, port: Uuid, address: Ipv4Addr, mac: MacAddress) {
        self.names.push(name.to_owned());
        self.stations.push(Station { port, address, mac });
    }

    /// Sends a packet; says where it came out and what it looked like, or why it did not.
    fn send(&mut self, from: &str, source: &str, destination: &str, what: &str) -> String {
        let at = self.names.iter().position(|name| name == from).unwrap_or_else(|| panic!("{from}"));
        let station = self.stations[at].clone();
        let destination: Ipv4Addr = destination.parse().unwrap();
        let (protocol, ports) = what.split_once(' ').unwrap_or((what, "8>0"));
        let (source_port, destination_port) = ports.split_once('>').unwrap();
        let packet = Packet {
            source: source.parse().unwrap(),
            destination,
            protocol: match protocol {
                "icmp" => 1,
                "tcp" => 6,
                "udp" => 17,
                other => other.parse().unwrap(),
            },
            source_port: source_port.parse().unwrap(),
            destination_port: destination_port.parse().unwrap(),
            source_mac: station.mac,
            destination_mac: self.next_mac(from, destination),
            ttl: 64,
            fragment: Fragment::Whole,
        };
        let trace = simulate(&self.world, &mut self.state, &self.stations, station.port, packet);
        match trace.verdict {
            Verdict::Delivered(ports) => {
                let name_of = |port: &Uuid| {
                    self.stations.iter().position(|s| s.port == *port).map(|at| self.names[at].as_str())
                };
                let names: Vec<&str> = ports.iter().filter_map(name_of).collect();
                let seen = trace.packet;
                format!(
                    "{} {}:{}>{}:{}",
                    names.join("+"),
                    seen.source,
                    seen.source_port,
                    seen.destination,
                    seen.destination_port
                )
            }
            Verdict::Dropped { .. } => "dropped".to_owned(),
            Verdict::Consumed(_) => "consumed".to_owned(),
            Verdict::WaitsForArp(_) => "waits for ARP".to_owned(),
        }
    }

    /// The MAC address that a station sends to: a neighbour's, or its gateway's.
    fn next_mac(&self, from: &str, destination: Ipv4Addr) -> MacAddress {
        if from == "world" {
            return UPLINK_MAC.parse().unwrap();
        }
        let (tenant, _) = from.split_once('/').unwrap();
        let at = self.names.iter().position(|name| name == from).unwrap();
        let own = self.stations[at].address;
        let bridges = self.topology.entries().iter().filter_map(|entry| match &entry.object {
            midoform_compiler::topology::kinds::Object::RouterPort(port)
                if entry.key.as_str().starts_with(&format!("{tenant}/bridge/")) =>
            {
                Some((entry.key.clone(), port.clone()))
            }
            _ => None,
        });
        let (key, port) = bridges.into_iter().find(|(_, port)| port.network.contains(&own)).unwrap();
        if port.network.contains(&destination) && destination != port.address {
            let neighbour = (0..self.stations.len()).find(|at| {
                self.stations[*at].address == destination
                    && self.names[*at].starts_with(&format!("{tenant}/"))
            });
            return neighbour.map_or(MacAddress([2, 9, 9, 9, 9, 9]), |at| self.stations[at].mac);
        }
        self.world.port_mac(self.namespace.id(&key)).unwrap()
    }
}

const ACME: &str = "name = \"acme\"\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[[bridge]]\nname = \"web\"\ncidr = \"192.168.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"192.168.1.0/24\"\n";
const BETA: &str = "name = \"beta\"\nlink = { provider = \"172.16.0.9\", tenant = \"172.16.0.10\" }\n[[bridge]]\nname = \"web\"\ncidr = \"192.168.0.0/24\"\n";
const PODS: [(&str, &str, &str); 5] = [
    ("acme", "web", "192.168.0.1"),
    ("acme", "web", "192.168.0.2"),
    ("acme", "db", "192.168.1.1"),
    ("acme", "db", "192.168.1.2"),
    ("beta", "web", "192.168.0.1"),
];
const A: &str = "acme/192.168.0.1";
const D: &str = "acme/192.168.1.1";

fn acme_and(more: &str) -> Net {
    Net::new(&[&format!("{ACME}{more}"), BETA], &PODS)
}

#[test]
fn a_strict_tenant_is_free_inside_and_outwards_and_closed_inwards() {
    let mut net = acme_and("");
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.0.2", "tcp 1>2"),
        "acme/192.168.0.2 192.168.0.1:1>192.168.0.2:2"
    );
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.1.1", "udp 1>2"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:2"
    );
    assert_eq!(
        net.send(D, "192.168.1.1", "192.168.0.1", "udp 2>1"),
        "acme/192.168.0.1 192.168.1.1:2>192.168.0.1:1"
    );
    assert_eq!(net.send(A, "192.168.0.1", "8.8.8.8", "udp 5000>53"), "world 172.16.0.6:1024>8.8.8.8:53");
    assert_eq!(
        net.send("world", "8.8.8.8", "172.16.0.6", "udp 53>1024"),
        "acme/192.168.0.1 8.8.8.8:53>192.168.0.1:5000"
    );
    assert_eq!(net.send(A, "192.168.0.1", "8.8.8.8", "icmp"), "world 172.16.0.6:8>8.8.8.8:0");
    assert_eq!(
        net.send("world", "8.8.8.8", "172.16.0.6", "icmp 0>0"),
        "acme/192.168.0.1 8.8.8.8:0>192.168.0.1:0"
    );
    for (destination, what) in
        [("172.16.0.6", "udp 53>1025"), ("172.16.0.6", "tcp 1>22"), ("172.16.0.6", "icmp")]
    {
        assert_eq!(net.send("world", WORLD, destination, what), "dropped", "{what}");
    }
    assert_eq!(
        net.send("beta/192.168.0.1", "192.168.0.1", "8.8.8.8", "udp 1>53"),
        "world 172.16.0.10:1024>8.8.8.8:53"
    );
}

#[test]
fn a_strict_tenant_has_no_way_to_links_and_no_foreign_sources() {
    let mut net = acme_and("");
    for destination in ["172.16.0.10", "172.16.0.9", "172.16.0.5", "172.16.0.6"] {
        for what in ["tcp 1>2", "icmp", "udp 5>6"] {
            assert_eq!(net.send(A, "192.168.0.1", destination, what), "dropped", "{destination} {what}");
        }
    }
    for source in ["10.66.0.1", "192.168.1.1", "8.8.8.8", "172.16.0.6"] {
        for destination in ["192.168.0.2", "192.168.1.1", "8.8.8.8"] {
            assert_eq!(net.send(A, source, destination, "tcp 5>6"), "dropped", "{source} to {destination}");
        }
    }
}

#[test]
fn rainbond_leaves_open_what_the_recordings_show() {
    let mut net = acme_and("");
    let _ = &mut net;
    let mut net = Net::new(
        &[&format!("profile = \"rainbond\"\n{ACME}"), &format!("profile = \"rainbond\"\n{BETA}")],
        &PODS,
    );
    assert_eq!(
        net.send(A, "10.66.0.1", "192.168.0.2", "tcp 5>6"),
        "acme/192.168.0.2 10.66.0.1:5>192.168.0.2:6"
    );
    assert_eq!(net.send(A, "192.168.0.1", "172.16.0.9", "icmp"), "consumed");
    assert_eq!(net.send(A, "192.168.0.1", "8.8.8.8", "udp 5000>53"), "world 172.16.0.6:1024>8.8.8.8:53");
    assert_eq!(
        net.send("world", "8.8.8.8", "172.16.0.6", "udp 53>1024"),
        "acme/192.168.0.1 8.8.8.8:53>192.168.0.1:5000"
    );
}

const DB_RULES: &str = "[[rule]]\nname = \"web-to-db\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n[[rule]]\nname = \"nothing-else-to-db\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";

#[test]
fn rules_between_bridges_are_stateful_and_in_order() {
    let mut net = acme_and(DB_RULES);
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>5432"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:5432"
    );
    assert_eq!(
        net.send(D, "192.168.1.1", "192.168.0.1", "tcp 5432>1"),
        "acme/192.168.0.1 192.168.1.1:5432>192.168.0.1:1"
    );
    assert_eq!(net.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>22"), "dropped");
    assert_eq!(net.send(A, "192.168.0.1", "192.168.1.1", "icmp"), "dropped");
    // The database opens a connection and gets replies, though nobody may open one to it.
    assert_eq!(
        net.send(D, "192.168.1.1", "192.168.0.1", "tcp 7>80"),
        "acme/192.168.0.1 192.168.1.1:7>192.168.0.1:80"
    );
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.1.1", "tcp 80>7"),
        "acme/192.168.1.1 192.168.0.1:80>192.168.1.1:7"
    );
    assert_eq!(net.send(D, "192.168.1.1", "8.8.8.8", "udp 9>53"), "world 172.16.0.6:1024>8.8.8.8:53");
    assert_eq!(
        net.send("world", "8.8.8.8", "172.16.0.6", "udp 53>1024"),
        "acme/192.168.1.1 8.8.8.8:53>192.168.1.1:9"
    );
    assert_eq!(
        net.send(D, "192.168.1.1", "192.168.1.2", "tcp 1>22"),
        "acme/192.168.1.2 192.168.1.1:1>192.168.1.2:22"
    );
}

#[test]
fn rules_to_the_world_are_asked_before_translation() {
    let mut net = acme_and(
        "[[rule]]\nname = \"no-mail\"\nfrom = { bridge = \"web\" }\nto = { world = true, tcp = 25 }\naction = \"reject\"\n[[rule]]\nname = \"not-there\"\nto = { cidr = \"9.9.9.0/24\" }\naction = \"drop\"\n",
    );
    assert_eq!(net.send(A, "192.168.0.1", "8.8.8.8", "tcp 1>25"), "dropped");
    assert_eq!(net.send(D, "192.168.1.1", "8.8.8.8", "tcp 1>25"), "world 172.16.0.6:1024>8.8.8.8:25");
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>25"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:25"
    );
    assert_eq!(net.send(A, "192.168.0.1", "9.9.9.9", "udp 1>53"), "dropped");
}

#[test]
fn rules_inside_a_bridge_hold_where_no_router_is_asked() {
    let mut net = acme_and(
        "[[rule]]\nname = \"ssh\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\", tcp = 22 }\naction = \"accept\"\n[[rule]]\nname = \"apart\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\" }\naction = \"drop\"\n",
    );
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.0.2", "tcp 1>22"),
        "acme/192.168.0.2 192.168.0.1:1>192.168.0.2:22"
    );
    assert_eq!(
        net.send("acme/192.168.0.2", "192.168.0.2", "192.168.0.1", "tcp 22>1"),
        "acme/192.168.0.1 192.168.0.2:22>192.168.0.1:1"
    );
    assert_eq!(net.send(A, "192.168.0.1", "192.168.0.2", "tcp 1>23"), "dropped");
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>23"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:23"
    );
    assert_eq!(
        net.send(D, "192.168.1.1", "192.168.1.2", "tcp 1>23"),
        "acme/192.168.1.2 192.168.1.1:1>192.168.1.2:23"
    );
}

#[test]
fn stateless_rules_see_answers_and_translation_still_happens() {
    let mut net = acme_and(
        "[[rule]]\nname = \"one-way\"\nfrom = { bridge = \"db\" }\nto = { bridge = \"web\", udp = true }\nstateful = false\naction = \"drop\"\n[[rule]]\nname = \"out\"\nfrom = { bridge = \"web\" }\nto = { udp = 53 }\nstateful = false\naction = \"accept\"\n[[rule]]\nname = \"web-quiet\"\nfrom = { bridge = \"web\" }\nto = { world = true }\naction = \"drop\"\n",
    );
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.1.1", "udp 1>2"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:2"
    );
    assert_eq!(net.send(D, "192.168.1.1", "192.168.0.1", "udp 2>1"), "dropped");
    assert_eq!(net.send(A, "192.168.0.1", "8.8.8.8", "udp 9>53"), "world 172.16.0.6:1024>8.8.8.8:53");
    assert_eq!(net.send(A, "192.168.0.1", "8.8.8.8", "tcp 9>80"), "dropped");
}

const EXPOSE: &str = "[[expose]]\npublic = \"198.51.100.1:443\"\nto = { bridge = \"web\", address = \"192.168.0.1\", tcp = 8443 }\n";

#[test]
fn an_exposed_port_is_reached_and_answers_from_its_public_address() {
    let mut net = acme_and(&format!("{EXPOSE}{DB_RULES}"));
    assert_eq!(
        net.send("world", WORLD, "198.51.100.1", "tcp 3333>443"),
        "acme/192.168.0.1 203.0.113.1:3333>192.168.0.1:8443"
    );
    assert_eq!(net.send(A, "192.168.0.1", WORLD, "tcp 8443>3333"), "world 198.51.100.1:443>203.0.113.1:3333");
    assert_eq!(net.send("world", WORLD, "198.51.100.1", "tcp 3333>444"), "dropped");
    assert_eq!(net.send("world", WORLD, "198.51.100.1", "udp 3333>443"), "dropped");
    assert_eq!(
        net.send("world", "192.168.0.9", "198.51.100.1", "tcp 3333>443"),
        "dropped",
        "an inside source from outside"
    );
    assert_eq!(net.send(A, "192.168.0.1", "8.8.8.8", "tcp 5555>80"), "world 172.16.0.6:1024>8.8.8.8:80");
    // From another bridge of the tenant, and from another tenant.
    assert_eq!(
        net.send(D, "192.168.1.1", "198.51.100.1", "tcp 7>443"),
        "acme/192.168.0.1 192.168.1.1:7>192.168.0.1:8443"
    );
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.1.1", "tcp 8443>7"),
        "acme/192.168.1.1 198.51.100.1:443>192.168.1.1:7"
    );
    let beta = "beta/192.168.0.1";
    assert_eq!(
        net.send(beta, "192.168.0.1", "198.51.100.1", "tcp 9>443"),
        "acme/192.168.0.1 172.16.0.10:1024>192.168.0.1:8443"
    );
    assert_eq!(
        net.send(A, "192.168.0.1", "172.16.0.10", "tcp 8443>1024"),
        "beta/192.168.0.1 198.51.100.1:443>192.168.0.1:9"
    );
}

#[test]
fn a_rule_can_narrow_who_reaches_an_exposed_port() {
    let mut net = acme_and(&format!(
        "{EXPOSE}[[address_group]]\nname = \"office\"\naddresses = [\"203.0.113.0/30\"]\n[[rule]]\nname = \"office\"\nfrom = {{ address_group = \"office\" }}\nto = {{ bridge = \"web\", tcp = 8443 }}\naction = \"accept\"\n[[rule]]\nname = \"others\"\nfrom = {{ world = true }}\nto = {{ bridge = \"web\", tcp = 8443 }}\naction = \"drop\"\n"
    ));
    assert_eq!(
        net.send("world", WORLD, "198.51.100.1", "tcp 3>443"),
        "acme/192.168.0.1 203.0.113.1:3>192.168.0.1:8443"
    );
    assert_eq!(net.send("world", "9.9.9.9", "198.51.100.1", "tcp 3>443"), "dropped");
}

#[test]
fn untranslated_tenants_are_routed_to_and_open_only_by_rule() {
    let tenant = "name = \"acme\"\negress = \"none\"\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[[bridge]]\nname = \"web\"\ncidr = \"10.7.0.0/24\"\n";
    let rule = "[[rule]]\nname = \"in\"\nfrom = { world = true }\nto = { bridge = \"web\", tcp = 443 }\naction = \"accept\"\n";
    let pods = [("acme", "web", "10.7.0.1")];
    let mut closed = Net::new(&[tenant], &pods);
    assert_eq!(
        closed.send("acme/10.7.0.1", "10.7.0.1", "8.8.8.8", "tcp 1>80"),
        "world 10.7.0.1:1>8.8.8.8:80"
    );
    assert_eq!(
        closed.send("world", "8.8.8.8", "10.7.0.1", "tcp 80>1"),
        "acme/10.7.0.1 8.8.8.8:80>10.7.0.1:1"
    );
    assert_eq!(closed.send("world", "8.8.8.8", "10.7.0.1", "tcp 5>443"), "dropped");
    let mut open = Net::new(&[&format!("{tenant}{rule}")], &pods);
    assert_eq!(
        open.send("world", "8.8.8.8", "10.7.0.1", "tcp 5>443"),
        "acme/10.7.0.1 8.8.8.8:5>10.7.0.1:443"
    );
    assert_eq!(
        open.send("acme/10.7.0.1", "10.7.0.1", "8.8.8.8", "tcp 443>5"),
        "world 10.7.0.1:443>8.8.8.8:5"
    );
    assert_eq!(open.send("world", "8.8.8.8", "10.7.0.1", "tcp 5>22"), "dropped");
}

#[test]
fn translation_to_public_addresses_comes_back() {
    let mut net =
        Net::new(&[&format!("egress = {{ snat = \"198.51.100.8-198.51.100.11\" }}\n{ACME}")], &PODS[..4]);
    assert_eq!(net.send(A, "192.168.0.1", "8.8.8.8", "udp 5>53"), "world 198.51.100.8:1024>8.8.8.8:53");
    assert_eq!(
        net.send("world", "8.8.8.8", "198.51.100.8", "udp 53>1024"),
        "acme/192.168.0.1 8.8.8.8:53>192.168.0.1:5"
    );
    assert_eq!(net.send("world", "8.8.8.8", "198.51.100.9", "tcp 5>22"), "dropped");
    assert_eq!(
        net.send(A, "192.168.0.1", "8.8.8.8", "47 0>0"),
        "dropped",
        "what can't be translated stays inside"
    );
}

#[test]
fn peers_reach_the_chosen_bridges_and_nothing_else() {
    let beta = BETA.replace("192.168.0.0/24", "192.168.8.0/24")
        + "[[bridge]]\nname = \"private\"\ncidr = \"192.168.9.0/24\"\n[[peer]]\ntenant = \"acme\"\nbridges = [\"web\"]\n";
    let acme = format!("{ACME}{DB_RULES}[[peer]]\ntenant = \"beta\"\nbridges = [\"web\", \"db\"]\n");
    let pods = [
        ("acme", "web", "192.168.0.1"),
        ("acme", "db", "192.168.1.1"),
        ("beta", "web", "192.168.8.1"),
        ("beta", "private", "192.168.9.1"),
    ];
    let mut net = Net::new(&[&acme, &beta], &pods);
    let (b, p) = ("beta/192.168.8.1", "beta/192.168.9.1");
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.8.1", "tcp 1>80"),
        "beta/192.168.8.1 192.168.0.1:1>192.168.8.1:80"
    );
    assert_eq!(
        net.send(b, "192.168.8.1", "192.168.0.1", "tcp 80>1"),
        "acme/192.168.0.1 192.168.8.1:80>192.168.0.1:1"
    );
    assert_eq!(
        net.send(b, "192.168.8.1", "192.168.0.1", "tcp 5>22"),
        "acme/192.168.0.1 192.168.8.1:5>192.168.0.1:22"
    );
    assert_eq!(
        net.send(b, "192.168.8.1", "192.168.1.1", "tcp 5>22"),
        "dropped",
        "the other's own rules hold"
    );
    assert_eq!(
        net.send(p, "192.168.9.1", "192.168.0.1", "tcp 5>22"),
        "dropped",
        "a bridge that was not chosen"
    );
    assert_ne!(net.send(A, "192.168.0.1", "192.168.9.1", "tcp 5>22").split(' ').next(), Some(p));
    assert_eq!(net.send(b, "10.0.0.1", "192.168.0.1", "tcp 5>22"), "dropped", "a foreign source");
}

#[test]
fn a_route_by_an_appliance_passes_the_check_of_sources() {
    let mut net = acme_and(
        "[[route]]\ndestination = \"10.50.0.0/16\"\nvia = \"192.168.1.2\"\n[[route]]\ndestination = \"10.60.0.0/16\"\ntype = \"blackhole\"\n",
    );
    assert_eq!(
        net.send(A, "192.168.0.1", "10.50.1.1", "tcp 1>2"),
        "acme/192.168.1.2 192.168.0.1:1>10.50.1.1:2"
    );
    assert_eq!(
        net.send("acme/192.168.1.2", "10.50.1.1", "192.168.0.1", "tcp 2>1"),
        "acme/192.168.0.1 10.50.1.1:2>192.168.0.1:1"
    );
    assert_eq!(net.send("acme/192.168.1.2", "10.51.1.1", "192.168.0.1", "tcp 2>1"), "dropped");
    assert_eq!(net.send(A, "192.168.0.1", "10.60.1.1", "tcp 1>2"), "dropped");
}

#[test]
fn anti_spoof_by_port_ties_a_port_to_its_address_and_mac() {
    let port = "anti_spoof = \"port\"\n";
    let statics = "[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"h\"\ninterface = \"tap0\"\nmac = \"02:bb:00:00:00:01\"\naddress = \"192.168.0.50\"\n";
    let mut net = Net::new(&[&format!("{port}{ACME}{statics}")], &PODS[..2]);
    let id = net.id("acme/port/p");
    net.station("acme/p", id, "192.168.0.50".parse().unwrap(), "02:bb:00:00:00:01".parse().unwrap());
    assert_eq!(
        net.send("acme/p", "192.168.0.50", "192.168.0.1", "tcp 1>2"),
        "acme/192.168.0.1 192.168.0.50:1>192.168.0.1:2"
    );
    assert_eq!(net.send("acme/p", "192.168.0.51", "192.168.0.1", "tcp 1>2"), "dropped");
    net.stations.last_mut().unwrap().mac = "02:bb:00:00:00:02".parse().unwrap();
    assert_eq!(net.send("acme/p", "192.168.0.50", "192.168.0.1", "tcp 1>2"), "dropped");
}

#[test]
fn port_groups_and_address_groups_say_who() {
    let more = "[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"h\"\ninterface = \"tap0\"\nmac = \"02:bb:00:00:00:01\"\naddress = \"192.168.0.1\"\n[[port_group]]\nname = \"g\"\nports = [\"p\"]\n[[rule]]\nname = \"g\"\nfrom = { port_group = \"g\" }\nto = { bridge = \"db\", tcp = [80, \"90-95\"] }\naction = \"accept\"\n[[rule]]\nname = \"none\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";
    let mut net = acme_and(more);
    assert_eq!(
        net.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>93"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:93"
    );
    assert_eq!(net.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>96"), "dropped");
    assert_eq!(net.send("acme/192.168.0.2", "192.168.0.2", "192.168.1.1", "tcp 1>80"), "dropped");
}
