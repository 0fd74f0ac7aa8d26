//! The layout, with packets: a real OVN forwards them through Open vSwitch's dummy datapath, with its real connection tracking.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use midoform_compiler::network::{BridgeIndex, Tenant};
use midoform_compiler::ovn::lower::pod::{self, Pod, PortSecurity};
use midoform_compiler::ovn::names;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::MacAddress;
use uuid::Uuid;

use super::samples::{SITE, rows};
use super::server::Server;
use crate::samples::Project;

/// A closed tenant with rules, an exposed port and a peer.
const ACME: &str = r#"
name = "acme"
[[bridge]]
name = "web"
cidr = "10.1.0.0/24"
[[bridge]]
name = "db"
cidr = "10.2.0.0/24"
[[rule]]
name = "no-replies"
from = { bridge = "db", udp = 7777 }
to = { bridge = "web" }
action = "drop"
stateful = false
[[rule]]
name = "web-to-db"
from = { bridge = "web" }
to = { bridge = "db", udp = [5432, 7777] }
action = "accept"
[[rule]]
name = "blue-to-db"
from = { peer = "blue" }
to = { bridge = "db", udp = 5432 }
action = "accept"
[[rule]]
name = "nothing-else-to-db"
to = { bridge = "db" }
action = "drop"
[[rule]]
name = "no-mail"
from = { bridge = "web" }
to = { world = true, udp = 25 }
action = "drop"
[[rule]]
name = "apart"
from = { bridge = "web" }
to = { bridge = "web", udp = 99 }
action = "drop"
[[expose]]
public = "203.0.113.10:443"
to = { bridge = "web", address = "10.1.0.11", udp = 8443 }
[[peer]]
tenant = "blue"
bridges = ["db"]
"#;

/// A peer of it.
const BLUE: &str = r#"
name = "blue"
[[bridge]]
name = "web"
cidr = "10.3.0.0/24"
[[peer]]
tenant = "acme"
"#;

/// A closed tenant without source NAT.
const OPEN: &str = r#"
name = "open"
egress = "none"
[[bridge]]
name = "lan"
cidr = "10.4.0.0/24"
[[rule]]
name = "ssh"
from = { world = true }
to = { bridge = "lan", udp = 22 }
action = "accept"
[[rule]]
name = "any-accept"
to = { bridge = "lan", udp = 23 }
action = "accept"
[[expose]]
public = "203.0.113.20:80"
to = { bridge = "lan", address = "10.4.0.11", udp = 8080 }
"#;

/// The layout of the Go plugin.
const RED: &str =
    "name = \"red\"\nprofile = \"rainbond\"\n[[bridge]]\nname = \"lan\"\ncidr = \"10.5.0.0/24\"\n";

/// The same layout with a check of source addresses, and without rules.
const PINK: &str = "name = \"pink\"\nprofile = \"rainbond\"\nanti_spoof = \"bridge\"\n[[bridge]]\nname = \"lan\"\ncidr = \"10.8.0.0/24\"\n";

/// A tenant whose ports are tied to their addresses, with a range of public addresses, routes, and a group of static ports.
const GREEN: &str = r#"
name = "green"
anti_spoof = "port"
egress = { snat = "203.0.113.64-203.0.113.67" }
[[bridge]]
name = "lan"
cidr = "10.6.0.0/24"
[[bridge]]
name = "dmz"
cidr = "10.7.0.0/24"
[[port]]
name = "fw"
bridge = "lan"
host = "gw1"
interface = "vif11"
mac = "0a:00:00:00:06:05"
address = "10.6.0.5"
[[port_group]]
name = "walls"
ports = ["fw"]
[[route]]
destination = "10.60.0.0/16"
via = "10.6.0.5"
[[route]]
destination = "10.99.0.0/16"
type = "reject"
[[rule]]
name = "vpn"
from = { bridge = "lan" }
to = { bridge = "dmz", udp = 500 }
action = "accept"
stateful = false
[[rule]]
name = "walls-to-dmz"
from = { port_group = "walls" }
to = { bridge = "dmz", udp = 53 }
action = "accept"
[[rule]]
name = "nothing-else"
to = { bridge = "dmz" }
action = "drop"
"#;

const LOCALNET: &str = "[[host]]\nname = \"gw1\"\nid = \"11111111-2222-3333-4444-555555555555\"\n[ovn.localnet]\nnetwork = \"physnet1\"\naddress = \"198.51.100.2\"\nprefix = 24\ngateway = \"198.51.100.254\"\n";

/// The pods: their interface, tenant, bridge and address.
const PODS: [(&str, &str, &str, &str); 11] = [
    ("vif0", "acme", "web", "10.1.0.11"),
    ("vif1", "acme", "web", "10.1.0.12"),
    ("vif2", "acme", "db", "10.2.0.10"),
    ("vif3", "blue", "web", "10.3.0.11"),
    ("vif4", "open", "lan", "10.4.0.11"),
    ("vif5", "red", "lan", "10.5.0.11"),
    ("vif6", "red", "lan", "10.5.0.12"),
    ("vif7", "green", "lan", "10.6.0.11"),
    ("vif8", "green", "dmz", "10.7.0.10"),
    ("vif9", "pink", "lan", "10.8.0.11"),
    ("vif10", "pink", "lan", "10.8.0.12"),
];

/// The static port: its interface.
const STATIC: &str = "vif11";

/// UDP packets, one a line: what it shows, where it comes in, the packet, and where it arrives, as what; nothing, if it must not
/// arrive anywhere.
const PACKETS: &str = "
inside a bridge | vif0 | 10.1.0.11:1 > 10.1.0.12:80 | vif1: 10.1.0.11:1 > 10.1.0.12:80
a rule inside a bridge | vif0 | 10.1.0.11:1 > 10.1.0.12:99 |
an accepted connection | vif0 | 10.1.0.11:2 > 10.2.0.10:5432 | vif2: 10.1.0.11:2 > 10.2.0.10:5432
its reply | vif2 | 10.2.0.10:5432 > 10.1.0.11:2 | vif0: 10.2.0.10:5432 > 10.1.0.11:2
a dropped connection | vif0 | 10.1.0.11:3 > 10.2.0.10:80 |
the other way | vif2 | 10.2.0.10:4 > 10.1.0.12:80 | vif1: 10.2.0.10:4 > 10.1.0.12:80
a reply against a rule | vif1 | 10.1.0.12:80 > 10.2.0.10:4 | vif2: 10.1.0.12:80 > 10.2.0.10:4
a connection whose replies are dropped | vif0 | 10.1.0.11:5 > 10.2.0.10:7777 | vif2: 10.1.0.11:5 > 10.2.0.10:7777
a stateless rule | vif2 | 10.2.0.10:7777 > 10.1.0.11:5 |
mail | vif0 | 10.1.0.11:6 > 8.8.8.8:25 |
another's address | vif0 | 10.9.9.9:6 > 10.1.0.12:80 |
a link's address | vif0 | 10.1.0.11:6 > 172.16.0.1:80 |
hairpin | vif1 | 10.1.0.12:7 > 203.0.113.10:443 | vif0: 10.1.0.12:7 > 10.1.0.11:8443
its reply | vif0 | 10.1.0.11:8443 > 10.1.0.12:7 | vif1: 203.0.113.10:443 > 10.1.0.12:7
hairpin across bridges | vif2 | 10.2.0.10:8 > 203.0.113.10:443 | vif0: 10.2.0.10:8 > 10.1.0.11:8443
its reply | vif0 | 10.1.0.11:8443 > 10.2.0.10:8 | vif2: 203.0.113.10:443 > 10.2.0.10:8
an exposed port | ext0 | 8.8.8.8:9 > 203.0.113.10:443 | vif0: 8.8.8.8:9 > 10.1.0.11:8443
its reply | vif0 | 10.1.0.11:8443 > 8.8.8.8:9 | ext0: 203.0.113.10:443 > 8.8.8.8:9
a port that is not exposed | ext0 | 8.8.8.8:9 > 203.0.113.10:80 |
a forged inside source | ext0 | 10.1.0.12:9 > 203.0.113.10:443 |
a peer | vif3 | 10.3.0.11:10 > 10.2.0.10:5432 | vif2: 10.3.0.11:10 > 10.2.0.10:5432
its reply | vif2 | 10.2.0.10:5432 > 10.3.0.11:10 | vif3: 10.2.0.10:5432 > 10.3.0.11:10
a peer against a rule | vif3 | 10.3.0.11:10 > 10.2.0.10:80 |
to a peer | vif2 | 10.2.0.10:11 > 10.3.0.11:80 | vif3: 10.2.0.10:11 > 10.3.0.11:80
to a peer from another bridge | vif0 | 10.1.0.11:12 > 10.3.0.11:80 |
opened | ext0 | 8.8.8.8:13 > 10.4.0.11:22 | vif4: 8.8.8.8:13 > 10.4.0.11:22
its reply | vif4 | 10.4.0.11:22 > 8.8.8.8:13 | ext0: 10.4.0.11:22 > 8.8.8.8:13
closed | ext0 | 8.8.8.8:14 > 10.4.0.11:24 |
an exposed pod's own address, a documented difference | ext0 | 8.8.8.8:18 > 10.4.0.11:8080 | vif4: 8.8.8.8:18 > 10.4.0.11:8080
an accept from anywhere opens nothing | ext0 | 8.8.8.8:14 > 10.4.0.11:23 |
exposed without NAT | ext0 | 8.8.8.8:15 > 203.0.113.20:80 | vif4: 8.8.8.8:15 > 10.4.0.11:8080
its reply | vif4 | 10.4.0.11:8080 > 8.8.8.8:15 | ext0: 203.0.113.20:80 > 8.8.8.8:15
outward without NAT | vif4 | 10.4.0.11:16 > 8.8.4.4:53 | ext0: 10.4.0.11:16 > 8.8.4.4:53
its reply | ext0 | 8.8.4.4:53 > 10.4.0.11:16 | vif4: 8.8.4.4:53 > 10.4.0.11:16
rainbond, inside | vif5 | 10.5.0.11:1 > 10.5.0.12:80 | vif6: 10.5.0.11:1 > 10.5.0.12:80
rainbond with a check, inside | vif9 | 10.8.0.11:1 > 10.8.0.12:80 | vif10: 10.8.0.11:1 > 10.8.0.12:80
rainbond with a check, outward | vif9 | 10.8.0.11:2 > 8.8.8.8:80 | ext0: LINK-OF-pink:2 > 8.8.8.8:80
its reply | ext0 | 8.8.8.8:80 > LINK-OF-pink:2 | vif9: 8.8.8.8:80 > 10.8.0.11:2
rainbond with a check, another's address | vif9 | 10.9.0.11:1 > 10.8.0.12:80 |
another tenant's exposed port | vif5 | 10.5.0.11:2 > 203.0.113.20:80 | vif4: LINK-OF-red:2 > 10.4.0.11:8080
its reply to a link's address | vif4 | 10.4.0.11:8080 > LINK-OF-red:2 | vif5: 203.0.113.20:80 > 10.5.0.11:2
outward | vif0 | 10.1.0.11:17 > 8.8.8.8:53 | ext0: LINK-OF-acme:17 > 8.8.8.8:53
its reply | ext0 | 8.8.8.8:53 > LINK-OF-acme:17 | vif0: 8.8.8.8:53 > 10.1.0.11:17
no reply | ext0 | 8.8.8.8:54 > LINK-OF-acme:17 |
";

/// More of them: routes, groups, and a range of public addresses.
const MORE_PACKETS: &str = "
a range of addresses | vif7 | 10.6.0.11:1 > 8.8.8.8:53 | ext0: 203.0.113.64:1 > 8.8.8.8:53
its reply | ext0 | 8.8.8.8:53 > 203.0.113.64:1 | vif7: 8.8.8.8:53 > 10.6.0.11:1
a routed network | vif8 | 10.7.0.10:2 > 10.60.1.1:80 | vif11: 10.7.0.10:2 > 10.60.1.1:80
its reply | vif11 | 10.60.1.1:80 > 10.7.0.10:2 | vif8: 10.60.1.1:80 > 10.7.0.10:2
a routed source | vif11 | 10.60.1.1:3 > 10.6.0.11:80 | vif7: 10.60.1.1:3 > 10.6.0.11:80
a routed source outward | vif11 | 10.60.1.1:3 > 8.8.8.8:80 | ext0: 203.0.113.64:3 > 8.8.8.8:80
another port's address | vif7 | 10.6.0.12:4 > 8.8.8.8:80 |
a port group | vif11 | 10.6.0.5:5 > 10.7.0.10:53 | vif8: 10.6.0.5:5 > 10.7.0.10:53
a port that is not in it | vif7 | 10.6.0.11:6 > 10.7.0.10:53 |
a stateless accept | vif7 | 10.6.0.11:7 > 10.7.0.10:500 | vif8: 10.6.0.11:7 > 10.7.0.10:500
its reply | vif8 | 10.7.0.10:500 > 10.6.0.11:7 | vif7: 10.7.0.10:500 > 10.6.0.11:7
a route that rejects | vif7 | 10.6.0.11:8 > 10.99.1.1:80 | vif7: 10.99.1.1 > 10.6.0.11 protocol 1
";

/// The interface outside, and the MAC address of the next hop there.
const OUTSIDE: &str = "ext0";
const NEXT_HOP: &str = "02:ff:00:00:00:fe";

fn mac_of(address: &str) -> MacAddress {
    let [_, b, _, d] = address.parse::<Ipv4Addr>().unwrap().octets();
    MacAddress([0x0a, 0, 0, 0, b, d])
}

struct World {
    server: Server,
    tenants: Vec<Tenant>,
}

impl World {
    fn start() -> Option<World> {
        let server = Server::start()?;
        let site = format!("{SITE}{LOCALNET}");
        let tenants = [
            ("a.toml", ACME),
            ("b.toml", BLUE),
            ("o.toml", OPEN),
            ("r.toml", RED),
            ("g.toml", GREEN),
            ("p.toml", PINK),
        ];
        let (compiled, rows) = rows(&Project::of_text(&site, &tenants));
        let tenant = |name: &str| compiled.tenants.iter().find(|tenant| tenant.name == *name).unwrap();
        let pods: Vec<Topology> = PODS.iter().map(|pod| row_of(pod, tenant(pod.1))).collect();
        let all = rows.entries().iter().chain(pods.iter().flat_map(Topology::entries)).cloned().collect();
        server.insert("lab", &Topology::new(all));
        server.add_outside(OUTSIDE);
        let port =
            |pod: &Topology| pod.entries()[0].object.row().unwrap().text_of("name").unwrap().to_owned();
        let ports = pods.iter().map(port).chain(["lab:green/port/fw".to_owned()]);
        server.bind(&ports.collect::<Vec<_>>());
        server.sync();
        let provider = names::mac("lab", &Key::new("site/provider-router/external-port"));
        let reply = format!(
            "in_port(1),eth(src={NEXT_HOP},dst={provider}),eth_type(0x0806),arp(sip=198.51.100.254,tip=198.51.100.2,op=2,sha={NEXT_HOP},tha={provider})"
        );
        server.receive(OUTSIDE, &reply);
        server.sync();
        std::thread::sleep(Duration::from_millis(1500));
        server.sync();
        Some(World { server, tenants: compiled.tenants })
    }

    /// Sends a UDP packet (`SOURCE:PORT > DESTINATION:PORT`) from a pod or from outside, and returns where it arrives: the interface,
    /// and the packet there.
    fn udp(&self, from: &str, packet: &str) -> Vec<String> {
        let (source, destination) = packet.split_once(" > ").unwrap();
        let (source, source_port) = source.split_once(':').unwrap();
        let (destination, destination_port) = destination.split_once(':').unwrap();
        let (own, next) = self.macs(from, destination);
        let flow = format!(
            "in_port(1),eth(src={own},dst={next}),eth_type(0x0800),ipv4(src={source},dst={destination},proto=17,tos=0,ttl=64,frag=no),udp(src={source_port},dst={destination_port})"
        );
        self.frame(from, &flow)
    }

    fn macs(&self, from: &str, destination: &str) -> (String, String) {
        let gateway_of = |tenant: &str, bridge: &str| {
            names::mac("lab", &Key::tenant(tenant).bridge(bridge).gateway_port())
        };
        if from == STATIC {
            let neighbour =
                PODS.iter().find(|pod| pod.1 == "green" && pod.3 == destination && pod.2 == "lan");
            let next = neighbour.map_or(gateway_of("green", "lan"), |pod| mac_of(pod.3));
            return ("0a:00:00:00:06:05".to_owned(), next.to_string());
        }
        let Some((_, tenant, bridge, address)) = PODS.iter().find(|pod| pod.0 == from) else {
            let provider = names::mac("lab", &Key::new("site/provider-router/external-port"));
            return (NEXT_HOP.to_owned(), provider.to_string());
        };
        let neighbour = PODS.iter().find(|pod| (pod.1, pod.2, pod.3) == (tenant, bridge, destination));
        let next = neighbour.map_or(gateway_of(tenant, bridge), |pod| mac_of(pod.3));
        (mac_of(address).to_string(), next.to_string())
    }

    /// Sends a frame, and returns the UDP packets that arrive anywhere because of it.
    fn frame(&self, from: &str, flow: &str) -> Vec<String> {
        let interfaces = || PODS.iter().map(|pod| pod.0).chain([STATIC, OUTSIDE]);
        let before: Vec<usize> = interfaces().map(|name| self.server.sent_out(name).len()).collect();
        self.server.receive(from, flow);
        let start = Instant::now();
        loop {
            let mut arrived = Vec::new();
            for (name, before) in interfaces().zip(&before) {
                let frames = self.server.sent_out(name);
                arrived.extend(frames[*before..].iter().filter_map(|frame| shown(name, frame)));
            }
            let waited = start.elapsed();
            if !arrived.is_empty() && waited > Duration::from_millis(50)
                || waited > Duration::from_millis(700)
            {
                return arrived;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Returns what a frame is: a UDP packet's addresses and ports, or another protocol. ARP packets of routers are left out.
fn shown(interface: &str, frame: &[u8]) -> Option<String> {
    match frame.get(12..14)? {
        [8, 0] => {}
        [8, 6] => return (frame[6] == 0x0a).then(|| format!("{interface}: ARP")),
        other => return Some(format!("{interface}: {other:02x?}")),
    }
    let address = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let (source, destination) = (address(26), address(30));
    Some(match frame[23] {
        17 => format!("{interface}: {source}:{} > {destination}:{}", port(34), port(36)),
        other => format!("{interface}: {source} > {destination} protocol {other}"),
    })
}

fn row_of((_, name, bridge, address): &(&str, &str, &str, &str), tenant: &Tenant) -> Topology {
    let at = tenant.bridges.iter().position(|known| *known.name == **bridge).unwrap();
    let address: Ipv4Addr = address.parse().unwrap();
    pod::lower(&Pod {
        site: "lab",
        tenant: name,
        switch: Reference::Key(Key::tenant(name).bridge(bridge).device()),
        container: &address.to_string(),
        interface: "eth0",
        tag: None,
        host: Uuid::from_u128(1),
        chassis: None,
        mac: mac_of(&address.to_string()),
        address,
        security: PortSecurity::of(tenant, BridgeIndex(at), address),
    })
}

#[test]
fn packets_go_where_the_specs_say() {
    let Some(world) = World::start() else { return };
    let mut wrong = Vec::new();
    for line in PACKETS.lines().chain(MORE_PACKETS.lines()).filter(|line| !line.is_empty()) {
        let mut line = line.to_owned();
        for tenant in &world.tenants {
            line = line.replace(&format!("LINK-OF-{}", tenant.name), &tenant.link.near.to_string());
        }
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let [what, from, packet, wanted] = parts[..] else { panic!("{line}") };
        let found = world.udp(from, packet).join(", ");
        if found != wanted {
            wrong.push(format!("{what}: {packet} arrives as {found:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    pings(&world);
    other_frames(&world);
}

/// A router answers for its own addresses: its pods to the gateway's, and the outside to the link's, which MidoNet does not. A closed
/// tenant's pods do not reach links.
fn pings(world: &World) {
    let acme = world.tenants.iter().find(|tenant| tenant.name == *"acme").unwrap();
    let link = acme.link.near.to_string();
    let ping = |from: &str, source: &str, destination: &str| {
        let (own, next) = world.macs(from, destination);
        let flow = format!(
            "in_port(1),eth(src={own},dst={next}),eth_type(0x0800),ipv4(src={source},dst={destination},proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)"
        );
        world.frame(from, &flow)
    };
    assert_eq!(ping("vif0", "10.1.0.11", "10.1.0.254"), ["vif0: 10.1.0.254 > 10.1.0.11 protocol 1"]);
    assert_eq!(ping("vif0", "10.1.0.11", &link), Vec::<String>::new());
    assert_eq!(ping(OUTSIDE, "8.8.8.8", &link), [format!("ext0: {link} > 8.8.8.8 protocol 1")]);
}

/// Other frames than IPv4: a closed tenant lets ARP pass, and no claim of the gateway's address.
fn other_frames(world: &World) {
    let broadcast = "ff:ff:ff:ff:ff:ff";
    let from = |pod: usize| mac_of(PODS[pod].3).to_string();
    let claims = |pod: usize, address: &str| {
        let own = from(pod);
        format!(
            "in_port(1),eth(src={own},dst={broadcast}),eth_type(0x0806),arp(sip={address},tip={address},op=1,sha={own},tha=00:00:00:00:00:00)"
        )
    };
    let ethernet = |pod: usize, to: usize, rest: &str| {
        format!("in_port(1),eth(src={},dst={}),{rest}", from(pod), from(to))
    };
    let six = "eth_type(0x86dd),ipv6(src=fd00::1,dst=fd00::2,label=0,proto=59,tclass=0,hlimit=64,frag=no)";
    let tagged = "eth_type(0x8100),vlan(vid=5,pcp=0),encap(eth_type(0x88b5))";
    let cases: [(&str, usize, String, &[&str]); 11] = [
        ("IPv6, closed", 0, ethernet(0, 1, six), &[]),
        ("IPv6, open", 5, ethernet(5, 6, six), &["vif6: [86, dd]"]),
        ("an EtherType, closed", 0, ethernet(0, 1, "eth_type(0x88b5)"), &[]),
        ("an EtherType, open", 5, ethernet(5, 6, "eth_type(0x88b5)"), &["vif6: [88, b5]"]),
        ("a tag, closed", 0, ethernet(0, 1, tagged), &[]),
        ("a tag, open", 5, ethernet(5, 6, tagged), &["vif6: [81, 00]"]),
        ("ARP for an own address", 0, claims(0, "10.1.0.11"), &["vif1: ARP"]),
        ("ARP for another tenant's network", 0, claims(0, "10.9.0.1"), &[]),
        ("ARP for the gateway's address", 0, claims(0, "10.1.0.254"), &[]),
        ("ARP for an own address, rainbond", 9, claims(9, "10.8.0.11"), &["vif10: ARP"]),
        ("ARP for the gateway's address, rainbond", 9, claims(9, "10.8.0.254"), &[]),
    ];
    let mut wrong = Vec::new();
    for (what, pod, flow, wanted) in cases {
        let found = world.frame(PODS[pod].0, &flow);
        if found != wanted {
            wrong.push(format!("{what}: {found:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
