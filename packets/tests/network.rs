//! A compiled network for packets: its plan is executed in the interpreter of MidoNet's semantics, which agrees with every
//! recorded packet.

use std::net::Ipv4Addr;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::plan::Step;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::values::MacAddress;
use midoform_packets::semantics::{Fragment, Packet, State, Station, Verdict, World, simulate};
use serde_json::json;
use uuid::Uuid;

use crate::samples::Project;

/// A compiled network with pods on its bridges and a host of the internet behind its provider router.
pub(crate) struct Network {
    world: World,
    state: State,
    pub(crate) stations: Vec<Station>,
    names: Vec<String>,
    namespace: Namespace,
    topology: Topology,
}

const UPLINK_MAC: &str = "02:00:00:00:00:01";
pub(crate) const WORLD: &str = "203.0.113.1";

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\nshared = true\n[[host]]\nname = \"h\"\nid = \"11111111-2222-4333-8444-555555555555\"\n";

impl Network {
    /// Compiles these tenants, and attaches pods: tenant, bridge, address.
    pub(crate) fn new(tenants: &[&str], pods: &[(&str, &str, &str)]) -> Network {
        let files: Vec<(String, &str)> =
            tenants.iter().enumerate().map(|(at, text)| (format!("t{at}.toml"), *text)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let project = Project::of_text(SITE, &files);
        let mut world = World::default();
        for call in project.plan(Dialect::V5).steps.iter().flat_map(Step::http_calls) {
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
        let mut network = Network {
            world,
            state: State::default(),
            stations: Vec::new(),
            names: Vec::new(),
            namespace,
            topology,
        };
        network.station("world", uplink, WORLD.parse().unwrap(), "02:ee:00:00:00:01".parse().unwrap());
        for (at, (tenant, bridge, address)) in pods.iter().enumerate() {
            let id = Uuid::from_u128(100 + at as u128);
            let bridge = network.id(&format!("{tenant}/bridge/{bridge}"));
            // The plugin gives every port of a pod this chain.
            let chain = format!("{tenant}/chain/untagged");
            let chain = network.topology.get(&chain).map(|_| network.id(&chain));
            let body = json!({"id": id, "type": "Bridge", "inboundFilterId": chain});
            network.world.call(&format!("/bridges/{bridge}/ports"), &body).unwrap();
            let mac = MacAddress([0x02, 0xaa, 0, 0, 0, at as u8]);
            network.station(&format!("{tenant}/{address}"), id, address.parse().unwrap(), mac);
        }
        network
    }

    pub(crate) fn id(&self, key: &str) -> Uuid {
        self.namespace.id(&Key::from(key))
    }

    pub(crate) fn station(&mut self, name: &str, port: Uuid, address: Ipv4Addr, mac: MacAddress) {
        self.names.push(name.to_owned());
        self.stations.push(Station { port, address, mac });
    }

    /// Sends a packet. Returns its receiver and its addresses there, or the reason why it was not delivered.
    pub(crate) fn send(&mut self, from: &str, source: &str, destination: &str, what: &str) -> String {
        let at = self.names.iter().position(|name| name == from).unwrap_or_else(|| panic!("{from}"));
        let station = self.stations[at].clone();
        let destination: Ipv4Addr = destination.parse().unwrap();
        let (protocol, ports) = what.split_once(' ').unwrap_or((what, "8>0"));
        let (source_port, destination_port) = ports.split_once('>').unwrap();
        let packet = Packet {
            ethertype: 0x0800,
            vlan: None,
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
        self.send_packet(station.port, packet)
    }

    /// Sends a frame of another EtherType to a neighbour, or with a VLAN tag. Returns the names of those who get it.
    pub(crate) fn send_frame(&mut self, from: &str, to: &str, ethertype: u16, vlan: Option<u16>) -> String {
        let (from, to) = (self.station_of(from), self.station_of(to));
        let packet = Packet {
            ethertype,
            vlan,
            source: from.address,
            destination: to.address,
            protocol: 6,
            source_port: 5,
            destination_port: 23,
            source_mac: from.mac,
            destination_mac: to.mac,
            ttl: 64,
            fragment: Fragment::Whole,
        };
        let seen = self.send_packet(from.port, packet);
        seen.split_once(' ').map_or(seen.clone(), |(names, _)| names.to_owned())
    }

    /// Broadcasts an ARP packet in which a station claims an address. Returns the names of those who get it.
    pub(crate) fn arp(&mut self, from: &str, operation: u8, claimed: &str, target: &str) -> String {
        let station = self.station_of(from);
        let packet = Packet {
            ethertype: 0x0806,
            vlan: None,
            source: claimed.parse().unwrap(),
            destination: target.parse().unwrap(),
            protocol: operation,
            source_port: 0,
            destination_port: 0,
            source_mac: station.mac,
            destination_mac: MacAddress([0xff; 6]),
            ttl: 64,
            fragment: Fragment::Whole,
        };
        let seen = self.send_packet(station.port, packet);
        seen.split_once(' ').map_or(seen.clone(), |(names, _)| names.to_owned())
    }

    pub(crate) fn station_of(&self, name: &str) -> Station {
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| panic!("{name}"));
        self.stations[at].clone()
    }

    fn send_packet(&mut self, from: Uuid, packet: Packet) -> String {
        let trace = simulate(&self.world, &mut self.state, &self.stations, from, packet);
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
            Verdict::Dropped { .. } | Verdict::Rejected { .. } => "dropped".to_owned(),
            Verdict::Consumed(_) => "consumed".to_owned(),
            Verdict::WaitsForArp(_) => "waits for ARP".to_owned(),
        }
    }

    /// Returns the MAC address that a station sends to: a neighbour's, or its gateway's.
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

pub(crate) const ACME: &str = "name = \"acme\"\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[[bridge]]\nname = \"web\"\ncidr = \"192.168.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"192.168.1.0/24\"\n";
pub(crate) const BETA: &str = "name = \"beta\"\nlink = { provider = \"172.16.0.9\", tenant = \"172.16.0.10\" }\n[[bridge]]\nname = \"web\"\ncidr = \"192.168.0.0/24\"\n";
pub(crate) const PODS: [(&str, &str, &str); 5] = [
    ("acme", "web", "192.168.0.1"),
    ("acme", "web", "192.168.0.2"),
    ("acme", "db", "192.168.1.1"),
    ("acme", "db", "192.168.1.2"),
    ("beta", "web", "192.168.0.1"),
];
pub(crate) const A: &str = "acme/192.168.0.1";
pub(crate) const D: &str = "acme/192.168.1.1";

/// Returns the network of `ACME` with more in its spec, and of `BETA`, with their pods.
pub(crate) fn acme_and(more: &str) -> Network {
    Network::new(&[&format!("{ACME}{more}"), BETA], &PODS)
}
