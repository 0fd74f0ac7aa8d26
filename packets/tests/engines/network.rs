//! A project on both engines, and the packets between its places.

use std::net::Ipv4Addr;

use fastrand::Rng;
use midoform_compiler::Compiled;
use midoform_compiler::network::Tenant;
use midoform_compiler::ovn::lower::pod::BridgeSecurity;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::ethertype;
use midoform_packets::trace::{Endpoint, Probe, Surroundings, TraceError, TraceReport, trace};

use crate::ovn::specs::rows;
use crate::samples::Project;

/// A compiled project, with its objects and its rows.
pub(super) struct Both {
    pub(super) compiled: Compiled,
    rows: Topology,
    around: Surroundings,
    places: Vec<Place>,
}

/// A place that sends and receives.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    /// The positions of its tenant and its bridge; none: the outside.
    pub(super) bridge: Option<(usize, usize)>,
}

/// A packet that is sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) from: Place,
    pub(super) probe: Probe,
}

impl Sent {
    /// Returns the source address.
    pub(super) fn source(&self) -> Ipv4Addr {
        self.probe.source.unwrap_or(self.probe.from.address())
    }

    /// Returns true if the source is not the sender's own address.
    pub(super) fn is_spoofed(&self) -> bool {
        self.source() != self.probe.from.address()
    }

    pub(super) fn destination(&self) -> Ipv4Addr {
        self.probe.to.address()
    }
}

/// A protocol without ports, of which MidoNet translates and tracks nothing.
pub(super) const GRE: u8 = 47;
const PORTS: [u16; 10] = [22, 53, 80, 443, 444, 8200, 8443, 8444, 5432, 9];

impl Both {
    /// Compiles a project for both; none if it is refused.
    pub(super) fn of(project: &Project) -> Option<Both> {
        let (compiled, rows) = rows(project)?;
        let tenants = &compiled.tenants;
        let mut places = Vec::new();
        let ports = |tenant: &Tenant| {
            let of = |port: &midoform_compiler::network::Port| {
                (Key::tenant(&tenant.name).port(&port.name).device(), (port.address, port.mac))
            };
            tenant.ports.iter().map(of).collect::<Vec<_>>()
        };
        for (number, tenant) in tenants.iter().enumerate() {
            for (at, bridge) in tenant.bridges.iter().enumerate() {
                let key = Key::tenant(&tenant.name).bridge(&bridge.name).device();
                // The second one is in another part of the network: sources of a range may become another address there.
                for host in [11, 100] {
                    let address = (u32::from(bridge.cidr.network()) + host).into();
                    places.push(Place {
                        endpoint: Endpoint::Pod(key.clone(), address),
                        bridge: Some((number, at)),
                    });
                }
            }
            for (port, (key, (address, mac))) in tenant.ports.iter().zip(ports(tenant)) {
                let bridge = tenant.indexed_bridges().position(|(index, _)| index == port.bridge);
                let endpoint = Endpoint::Port(key, address, mac);
                places.push(Place { endpoint, bridge: bridge.map(|at| (number, at)) });
            }
        }
        for outside in [Ipv4Addr::new(8, 8, 4, 4), Ipv4Addr::new(198, 51, 100, 7)] {
            places.push(Place { endpoint: Endpoint::World(outside), bridge: None });
        }
        let around = Surroundings {
            static_ports: tenants.iter().flat_map(ports).collect(),
            security: BridgeSecurity::of_tenants(tenants),
            ..Surroundings::default()
        };
        Some(Both { compiled, rows, around, places })
    }

    /// Sends a packet through both: MidoNet's first. None: the sender does not exist.
    pub(super) fn trace(&self, sent: &Sent) -> Option<[TraceReport; 2]> {
        let through = |topology| match trace(topology, &self.around, &sent.probe) {
            Ok(report) => Some(report),
            Err(TraceError::Unread { .. }) => panic!("midoform writes rows that it can't read"),
            Err(_) => None,
        };
        Some([through(&self.compiled.topology)?, through(&self.rows)?])
    }

    pub(super) fn is_delivered(&self, sent: &Sent) -> bool {
        trace(&self.rows, &self.around, &sent.probe).is_ok_and(|report| report.ending.is_delivered())
    }

    /// Returns a packet between places of any two kinds.
    pub(super) fn random_packet(&self, random: &mut Rng) -> Sent {
        let from = self.places[random.usize(..self.places.len())].clone();
        let (destination, exposed) = self.destination(random);
        let protocol = [1, 1, 6, 6, 6, 17, 17, 17, GRE][random.usize(..9)];
        let port = PORTS[random.usize(..PORTS.len())];
        let (protocol, port) = exposed.filter(|_| random.u8(..4) > 0).unwrap_or((protocol, port));
        let source = match random.u8(..12) {
            0 => Some(self.places[random.usize(..self.places.len())].endpoint.address()),
            1 => Some(Ipv4Addr::new(10, 60, random.u8(..3), 5)),
            _ => None,
        };
        let carried = match protocol {
            1 => (1, 8, 0),
            GRE => (GRE, 0, 0),
            _ => (protocol, 40_000, port),
        };
        let (ethertype, vlan) = (ethertype::IPV4, None);
        let probe = Probe {
            from: from.endpoint.clone(),
            to: Endpoint::World(destination),
            source: source.filter(|source| *source != from.endpoint.address()),
            carried,
            ethertype,
            vlan,
        };
        Sent { from, probe }
    }

    /// Returns an address, and the protocol and port that is exposed there.
    fn destination(&self, random: &mut Rng) -> (Ipv4Addr, Option<(u8, u16)>) {
        let tenants = &self.compiled.tenants;
        let tenant = &tenants[random.usize(..tenants.len())];
        match random.u8(..14) {
            0 => (tenant.link.near, None),
            1 => (tenant.bridges[random.usize(..tenant.bridges.len())].gateway, None),
            2 => (Ipv4Addr::new(10, 99, random.u8(..2), 1), None),
            3 => (Ipv4Addr::new(10, 60, random.u8(..3), 5), None),
            4 => (Ipv4Addr::new(203, 0, 113, 64 + random.u8(..20)), None),
            5..=7 if !tenant.exposes.is_empty() => {
                let expose = &tenant.exposes[random.usize(..tenant.exposes.len())];
                (expose.public, Some((expose.protocol, expose.public_port)))
            }
            8 => (tenant.link.far, None),
            _ => (self.places[random.usize(..self.places.len())].endpoint.address(), None),
        }
    }
}
