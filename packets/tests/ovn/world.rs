//! A real OVN and the interpreter with the same rows, which get the same packets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use midoform_compiler::network::{BridgeIndex, Tenant};
use midoform_compiler::ovn::lower::pod::{self, Pod, PortSecurity};
use midoform_compiler::ovn::names;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::{MacAddress, ethertype};
use midoform_packets::ovn::network::{Network, SwitchIndex, SwitchPortIndex, SwitchPortKind};
use midoform_packets::ovn::{Datapath, End, Neighbour, Sent, State, Trace, simulate};
use midoform_packets::semantics::Packet;
use uuid::Uuid;

use super::server::Server;
use super::specs::rows;
use crate::samples::Project;

pub(crate) const OUTSIDE: &str = "ext0";
const NEXT_HOP: MacAddress = MacAddress([2, 0xff, 0, 0, 0, 0xfe]);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);

/// A place that sends and receives: a pod, or the outside.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) interface: String,
    pub(crate) port: SwitchPortIndex,
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: MacAddress,
    /// The MAC address of its gateway.
    gateway: MacAddress,
    /// Its tenant and bridge; none: the outside.
    bridge: Option<(String, String)>,
}

/// Both.
pub(crate) struct World {
    server: Server,
    network: Network,
    state: State,
    pub(crate) places: Vec<Place>,
    pub(crate) tenants: Vec<Tenant>,
    /// The identifier of the last echo request.
    echo: u16,
    /// By interface: how much of its capture has been read.
    read: RefCell<BTreeMap<String, u64>>,
}

/// A packet as it arrives at an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival {
    pub(crate) interface: String,
    pub(crate) what: String,
}

/// Binds ports to the host, and waits until OVN has.
fn bind(server: &Server, port_names: Vec<String>) {
    server.bind(&port_names);
    for name in &port_names {
        server.run("ovn-nbctl", &["--timeout=60", "wait-until", "Logical_Switch_Port", name, "up=true"]);
    }
}

impl World {
    /// Starts OVN with the rows of a project, two pods on each bridge, and what is behind static ports. None: OVN is not installed, or the specs are refused.
    pub(crate) fn start(project: &Project) -> Option<World> {
        let (compiled, rows) = rows(project)?;
        let site = compiled.site.name.value.clone();
        let mut entries = rows.entries().to_vec();
        let mut pods = Vec::new();
        for tenant in &compiled.tenants {
            for (at, bridge) in tenant.bridges.iter().enumerate() {
                for host in [11, 12] {
                    let address = Ipv4Addr::from(u32::from(bridge.cidr.network()) + host);
                    let (pod, row) = pod_of(&site, tenant, at, address, pods.len());
                    pods.push(pod);
                    entries.extend(row.entries().iter().cloned());
                }
            }
        }
        let all = Topology::new(entries);
        let network = Network::of_topology(&all);
        assert_eq!(network.faults, []);
        let server = Server::start()?;
        server.insert(&site, &all);
        server.add_outside(OUTSIDE);
        for tenant in &compiled.tenants {
            pods.extend(tenant.ports.iter().map(|port| static_port(&site, tenant, port)));
        }
        bind(&server, pods.iter().map(|(name, ..)| name.clone()).collect());
        let provider = names::mac(&site, &Key::new("site/provider-router/external-port"));
        let localnet = network
            .switch_ports
            .iter()
            .position(|port| matches!(port.kind, SwitchPortKind::Localnet { .. }))?;
        let mut places: Vec<Place> = pods
            .into_iter()
            .enumerate()
            .map(|(at, (name, address, mac, gateway, bridge))| Place {
                interface: format!("vif{at}"),
                port: network.switch_port_named(&name).unwrap(),
                address,
                mac,
                gateway,
                bridge: Some(bridge),
            })
            .collect();
        places.push(Place {
            interface: OUTSIDE.to_owned(),
            port: SwitchPortIndex(localnet),
            address: Ipv4Addr::new(8, 8, 8, 8),
            mac: NEXT_HOP,
            gateway: provider,
            bridge: None,
        });
        let world = World {
            server,
            network,
            state: State::on(Datapath::Userspace),
            places,
            tenants: compiled.tenants,
            echo: 0,
            read: RefCell::default(),
        };
        world.teach_next_hop(provider);
        Some(world)
    }

    /// Lets OVN learn the MAC address of the next hop outside.
    fn teach_next_hop(&self, provider: MacAddress) {
        let reply = format!(
            "in_port(1),eth(src={NEXT_HOP},dst={provider}),eth_type(0x0806),arp(sip={GATEWAY},tip=198.51.100.2,op=2,sha={NEXT_HOP},tha={provider})"
        );
        self.server.sync();
        let start = Instant::now();
        loop {
            self.server.receive(OUTSIDE, &reply);
            std::thread::sleep(Duration::from_millis(30));
            let known = self.server.run("ovn-sbctl", &["--bare", "--columns=ip", "list", "MAC_Binding"]);
            if known.contains("198.51.100.254") {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "OVN does not learn the next hop");
        }
        self.server.sync();
        self.server.drain();
        self.arrivals();
    }

    /// Returns the MAC address that a place sends to for an address.
    pub(crate) fn next_mac(&self, from: &Place, destination: Ipv4Addr) -> MacAddress {
        let beside = self.places.iter().find(|place| {
            from.bridge.is_some() && place.bridge == from.bridge && place.address == destination
        });
        beside.map_or(from.gateway, |place| place.mac)
    }

    /// Sends a packet through both. Returns what each says, and the interpreter's trace.
    pub(crate) fn send(
        &mut self,
        from: &Place,
        (packet, is_answer): (Packet, bool),
        acknowledges: bool,
    ) -> (Vec<Arrival>, Vec<Arrival>, Trace) {
        let outside = self.places.last().and_then(|place| self.network.switch_port(place.port));
        let switch = outside.map_or(SwitchIndex(0), |port| port.switch);
        let neighbours = [Neighbour { switch, address: GATEWAY, mac: NEXT_HOP }];
        self.echo += u16::from(!is_answer);
        let sent = Sent { is_answer, echo: self.echo };
        let trace = simulate(&self.network, &mut self.state, &neighbours, from.port, (packet, sent));
        let mut expected = Vec::new();
        if let End::Delivered(ports) = &trace.end {
            for port in ports {
                let place = self.places.iter().find(|place| place.port == *port);
                expected.extend(
                    place.map(|place| Arrival {
                        interface: place.interface.clone(),
                        what: shown(&trace.packet),
                    }),
                );
            }
        }
        if matches!(trace.end, End::Answered(_)) && packet.ethertype == ethertype::ARP {
            let what = format!("ARP 2 {} > {}", packet.destination, packet.source);
            expected.push(Arrival { interface: from.interface.clone(), what });
        }
        expected.sort();
        self.server.receive(&from.interface, &frame(&packet, sent, acknowledges));
        self.server.drain();
        let start = Instant::now();
        let mut found = self.arrivals();
        while found.len() < expected.len() && start.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(3));
            found.extend(self.arrivals());
        }
        // A request that a router answers goes to the other hosts of the bridge as well.
        if matches!(trace.end, End::Answered(_)) {
            found.retain(|arrival| !arrival.what.starts_with("ARP 1 "));
        }
        found.sort();
        (expected, found, trace)
    }

    /// Returns the packets that have arrived since the last call, without what OVN itself has to say: ARP, ICMP errors, resets.
    fn arrivals(&self) -> Vec<Arrival> {
        let mut found = Vec::new();
        for place in &self.places {
            let mut file = std::fs::File::open(self.server.capture_file(&place.interface)).unwrap();
            let mut read = self.read.borrow_mut();
            let at = read.entry(place.interface.clone()).or_insert(24);
            file.seek(SeekFrom::Start(*at)).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            let mut rest = bytes.as_slice();
            while let Some(length) = rest.get(8..12) {
                let length = u32::from_ne_bytes(length.try_into().unwrap()) as usize;
                let Some(frame) = rest.get(16..16 + length) else { break };
                found.extend(arrived(frame).map(|what| Arrival { interface: place.interface.clone(), what }));
                rest = &rest[16 + length..];
                *at += 16 + length as u64;
            }
        }
        found
    }
}

type PodParts = (String, Ipv4Addr, MacAddress, MacAddress, (String, String));

fn pod_of(site: &str, tenant: &Tenant, at: usize, address: Ipv4Addr, number: usize) -> (PodParts, Topology) {
    let bridge = &tenant.bridges[at];
    let mac = MacAddress([0x0a, 0, 0, 0, 1, number as u8]);
    let row = pod::lower(&Pod {
        site,
        tenant: &tenant.name,
        switch: Reference::Key(Key::tenant(&tenant.name).bridge(&bridge.name).device()),
        container: &format!("{}-{address}", tenant.name),
        interface: "eth0",
        tag: None,
        host: Uuid::from_u128(1),
        chassis: None,
        mac,
        address,
        security: PortSecurity::of(tenant, BridgeIndex(at), address),
    });
    let name = row.entries()[0].object.row().unwrap().text_of("name").unwrap().to_owned();
    let gateway = names::mac(site, &Key::tenant(&tenant.name).bridge(&bridge.name).gateway_port());
    ((name, address, mac, gateway, (tenant.name.to_string(), bridge.name.to_string())), row)
}

fn static_port(site: &str, tenant: &Tenant, port: &midoform_compiler::network::Port) -> PodParts {
    let name = &tenant.bridge(port.bridge).unwrap().name;
    let gateway = names::mac(site, &Key::tenant(&tenant.name).bridge(name).gateway_port());
    let row = names::name(site, &Key::tenant(&tenant.name).port(&port.name).device());
    (row, port.address, port.mac, gateway, (tenant.name.to_string(), name.to_string()))
}

/// The MAC address of nobody, as an ARP request has it.
const NOBODY: MacAddress = MacAddress([0; 6]);

/// Returns the bytes of an ARP packet, in hexadecimal digits.
fn arp(packet: &Packet) -> String {
    let mut bytes = [packet.destination_mac.0, packet.source_mac.0].concat();
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, packet.protocol]);
    bytes.extend(packet.source_mac.0);
    bytes.extend(packet.source.octets());
    bytes.extend(NOBODY.0);
    bytes.extend(packet.destination.octets());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the bytes of a packet, in hexadecimal digits.
fn frame(packet: &Packet, sent: Sent, acknowledges: bool) -> String {
    if packet.ethertype == ethertype::ARP {
        return arp(packet);
    }
    let mut bytes = [packet.destination_mac.0, packet.source_mac.0].concat();
    bytes.extend(packet.ethertype.to_be_bytes());
    let ports = [packet.source_port.to_be_bytes(), packet.destination_port.to_be_bytes()].concat();
    let payload = match packet.protocol {
        1 => {
            let mut message = vec![packet.source_port as u8, packet.destination_port as u8, 0, 0];
            message.extend(sent.echo.to_be_bytes());
            message.extend([0, 1]);
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum);
            message
        }
        6 => {
            // A SYN and its answer, or an ACK in the middle of a connection.
            let flags = match (acknowledges, sent.is_answer) {
                (true, _) => 0x10,
                (false, true) => 0x12,
                (false, false) => 2,
            };
            let mut segment =
                [ports.as_slice(), &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0]].concat();
            let sum = with_pseudo_header(packet, &segment);
            segment[16..18].copy_from_slice(&sum);
            segment
        }
        _ => {
            let mut datagram = [ports.as_slice(), &[0, 12, 0, 0], b"data"].concat();
            let sum = with_pseudo_header(packet, &datagram);
            datagram[6..8].copy_from_slice(&sum);
            datagram
        }
    };
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, 0, packet.ttl, packet.protocol, 0, 0]);
    header.extend([packet.source.octets(), packet.destination.octets()].concat());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    bytes.extend(header);
    bytes.extend(payload);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn with_pseudo_header(packet: &Packet, payload: &[u8]) -> [u8; 2] {
    let mut all = [packet.source.octets(), packet.destination.octets()].concat();
    all.extend([0, packet.protocol]);
    all.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    all.extend(payload);
    checksum(&all)
}

/// Returns the Internet checksum of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn shown(packet: &Packet) -> String {
    if packet.ethertype == ethertype::ARP {
        return format!("ARP {} {} > {}", packet.protocol, packet.source, packet.destination);
    }
    format!(
        "{}:{} > {}:{} protocol {} ttl {}",
        packet.source,
        packet.source_port,
        packet.destination,
        packet.destination_port,
        packet.protocol,
        packet.ttl
    )
}

/// Returns what a frame is; none for what OVN itself has to say, but for its answers to ARP.
fn arrived(frame: &[u8]) -> Option<String> {
    let address = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    if frame.get(12..14)? == [8, 6] {
        let is_of_host = frame[22..26] == [0x0a, 0, 0, 0];
        let is_shown = frame[21] == 2 || is_of_host;
        return is_shown.then(|| format!("ARP {} {} > {}", frame[21], address(28), address(38)));
    }
    if frame[12..14] != [8, 0] {
        return Some(format!("EtherType {:02x?}", &frame[12..14]));
    }
    let (protocol, ttl) = (frame[23], frame[22]);
    let ports = match protocol {
        1 if matches!(frame[34], 3 | 11) => return None,
        1 => (u16::from(frame[34]), u16::from(frame[35])),
        6 if frame[47] & 4 != 0 => return None,
        _ => (u16::from_be_bytes([frame[34], frame[35]]), u16::from_be_bytes([frame[36], frame[37]])),
    };
    Some(format!("{}:{} > {}:{} protocol {protocol} ttl {ttl}", address(26), ports.0, address(30), ports.1))
}
