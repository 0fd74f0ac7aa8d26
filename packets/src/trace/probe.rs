//! What is asked of a trace, and what is known besides the topology.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use uuid::Uuid;

use super::network::{Endpoint, HeldAddresses, TraceError, TraceNetwork};
use super::report::TraceReport;
use super::rows::RowsNetwork;
use crate::ovn::has_rows;
use crate::ovn::network::Fault;
use midoform_compiler::ovn::lower::pod::BridgeSecurity;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::MacAddress;

/// A packet.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its sender.
    pub from: Endpoint,
    /// Its destination.
    pub to: Endpoint,
    /// Its source address; none: the sender's own.
    pub source: Option<Ipv4Addr>,
    /// Its protocol, source port (ICMP's type) and destination port (ICMP's code).
    pub carried: (u8, u16, u16),
    /// Its EtherType.
    pub ethertype: u16,
    /// The VLAN of its tag.
    pub vlan: Option<u16>,
}

/// What is known of the hosts of a network, and of what its topology does not have.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The address and the MAC address behind each static port.
    pub static_ports: BTreeMap<Key, (Ipv4Addr, MacAddress)>,
    /// The addresses that somebody has; none: every address of a bridge's network has a pod. OVN's rows say themselves who has which,
    /// so there it only says that all rows are known.
    pub held: Option<HeldAddresses>,
    /// MidoNet: the addresses of address groups that rules name by their ids.
    pub address_groups: BTreeMap<Uuid, BTreeSet<Ipv4Addr>>,
    /// OVN: what decides about the port security of the pods of each bridge. Pods of other bridges have none.
    pub security: BTreeMap<Key, BridgeSecurity>,
    /// OVN: what rows say that midoform can't read.
    pub unread: Vec<Fault>,
}

/// Sends a packet through a topology and, if it arrives and has a reply, the reply.
///
/// # Errors
/// Returns an error if an end of the path does not exist, or if the packet comes to a row that can't be read.
pub fn trace(topology: &Topology, around: &Surroundings, probe: &Probe) -> Result<TraceReport, TraceError> {
    if has_rows(topology) {
        through_rows(topology, around, probe)
    } else {
        through_objects(topology, around, probe)
    }
}

fn through_objects(
    topology: &Topology,
    around: &Surroundings,
    probe: &Probe,
) -> Result<TraceReport, TraceError> {
    let mut network = TraceNetwork::new(topology);
    if let Some(held) = &around.held {
        network.limit_to(held.clone());
    }
    network.know_address_groups(around.address_groups.clone());
    network.attach_static_ports(&around.static_ports);
    let sender = network.attach(&probe.from)?;
    network.attach_destination(&probe.to)?;
    let source = probe.source.unwrap_or(probe.from.address());
    let packet = network.packet(&sender, source, probe.to.address(), probe.carried);
    Ok(network.trace(&sender, TraceNetwork::as_frame(packet, probe.ethertype, probe.vlan)))
}

fn through_rows(
    topology: &Topology,
    around: &Surroundings,
    probe: &Probe,
) -> Result<TraceReport, TraceError> {
    let mut network = RowsNetwork::new(topology, &around.security);
    network.add_faults(around.unread.iter().cloned());
    if around.held.is_some() {
        network.limit();
    }
    for (key, (address, mac)) in &around.static_ports {
        // A port that no row has is found to be missing where it is an end of the path.
        let _ = network.attach(&Endpoint::Port(key.clone(), *address, *mac));
    }
    let sender = network.attach(&probe.from)?;
    network.attach_destination(&probe.to)?;
    let source = probe.source.unwrap_or(probe.from.address());
    let packet = network.packet(&sender, source, probe.to.address(), probe.carried);
    network.trace(&sender, RowsNetwork::as_frame(packet, probe.ethertype, probe.vlan))
}
