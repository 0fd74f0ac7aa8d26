//! Random packets through a real OVN and through the interpreter: what arrives is the same.
//!
//! `MIDOFORM_OVN_WORLDS`, `MIDOFORM_OVN_PACKETS` (of each world) and `MIDOFORM_OVN_SEED` choose a larger run.

use std::net::Ipv4Addr;

use fastrand::Rng;
use midoform_compiler::values::{MacAddress, ethertype};
use midoform_packets::ovn::End;
use midoform_packets::semantics::{ARP_REQUEST, Fragment, Packet};

use super::random;
use super::specs::{SITE, number};
use super::world::{Place, World};
use crate::samples::Project;

/// What happened in a run.
#[derive(Default)]
struct Seen {
    packets: u64,
    delivered: u64,
    refused: u64,
    worlds: u64,
    differences: Vec<String>,
}

#[test]
fn the_interpreter_does_what_ovn_does() {
    let worlds = number("MIDOFORM_OVN_WORLDS", 12);
    let packets = number("MIDOFORM_OVN_PACKETS", 60);
    let seed = number("MIDOFORM_OVN_SEED", 1);
    let mut seen = Seen::default();
    for at in seed..seed + worlds {
        let mut random = Rng::with_seed(at);
        let texts = random::tenants(&mut random);
        let files: Vec<(&str, &str)> =
            texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let project = Project::of_text(SITE, &files);
        if super::specs::rows(&project).is_none() {
            seen.refused += 1;
            continue;
        }
        let Some(mut world) = World::start(&project) else { return };
        seen.worlds += 1;
        let before = seen.differences.len();
        play(&mut world, &mut random, packets, &format!("seed {at}"), &mut seen);
        if seen.differences.len() > before && std::env::var_os("MIDOFORM_OVN_SHOW").is_some() {
            for (name, text) in &texts {
                println!("--- {name}\n{text}");
            }
        }
    }
    println!(
        "{} worlds ({} refused), {} packets, {} delivered, {} differences",
        seen.worlds,
        seen.refused,
        seen.packets,
        seen.delivered,
        seen.differences.len()
    );
    assert!(seen.differences.is_empty(), "{}", seen.differences.join("\n"));
    assert!(seen.worlds * 3 > worlds, "most specs are refused");
    assert!(seen.delivered * 10 > seen.packets, "hardly a packet arrives");
}

fn play(world: &mut World, random: &mut Rng, packets: u64, what: &str, seen: &mut Seen) {
    for at in 0..packets {
        let from = world.places[random.usize(..world.places.len())].clone();
        let packet = packet(world, random, &from, 20_000 + u16::try_from(at % 20_000).unwrap());
        let packet = if random.u8(..15) == 0 { question(&from, packet) } else { packet };
        // An ACK that belongs to no connection opens one.
        let acknowledges = random.u8(..8) == 0;
        let Some((to, arrived)) = compare(world, &from, (packet, false), acknowledges, (what, seen)) else {
            continue;
        };
        // Its reply, from the place where it has arrived.
        let mut reply = arrived.reply();
        let next = world.next_mac(&to, reply.destination);
        (reply.source_mac, reply.destination_mac, reply.ttl) = (to.mac, next, 64);
        compare(world, &to, (reply, true), acknowledges, (&format!("{what}, reply"), seen));
    }
}

/// Returns the ARP request for a packet's destination.
fn question(from: &Place, packet: Packet) -> Packet {
    Packet {
        ethertype: ethertype::ARP,
        protocol: ARP_REQUEST,
        source: from.address,
        source_port: 0,
        destination_port: 0,
        destination_mac: MacAddress([0xff; 6]),
        ..packet
    }
}

/// Sends a packet through both. Returns the place where it has arrived, and the packet there.
fn compare(
    world: &mut World,
    from: &Place,
    (packet, is_answer): (Packet, bool),
    acknowledges: bool,
    (what, seen): (&str, &mut Seen),
) -> Option<(Place, Packet)> {
    // A reply of the middle of a connection has an ACK as well, and may open one.
    let opens = acknowledges && packet.protocol == 6;
    let (expected, found, trace) = world.send(from, (packet, is_answer && !opens), acknowledges);
    seen.packets += 1;
    if expected != found {
        seen.differences.push(format!(
            "{what}: from {} {}:{} > {}:{} protocol {} EtherType {:04x}{}: OVN {found:?}, the interpreter {expected:?} ({:?} by {:?})",
            from.interface,
            packet.source,
            packet.source_port,
            packet.destination,
            packet.destination_port,
            packet.protocol,
            packet.ethertype,
            if acknowledges { " (ACK)" } else { "" },
            trace.end,
            trace.hops.iter().map(|hop| hop.in_port.as_str()).collect::<Vec<_>>()
        ));
    }
    let End::Delivered(ports) = &trace.end else { return None };
    seen.delivered += 1;
    let to = world.places.iter().find(|place| ports.contains(&place.port))?.clone();
    // An answer of a router has no answer, and ARP has none here.
    (to.interface != from.interface && packet.ethertype == ethertype::IPV4).then_some((to, trace.packet))
}

fn packet(world: &World, random: &mut Rng, from: &Place, port: u16) -> Packet {
    let protocol = [1, 6, 17, 17][random.usize(..4)];
    let (destination, exposed) = destination(world, random);
    let ports = [22, 53, 80, 443, 444, 8443, 8444, 5432];
    let port_there =
        exposed.filter(|_| random.u8(..4) > 0).map_or(ports[random.usize(..ports.len())], |(_, port)| port);
    let protocol = exposed.filter(|_| random.u8(..4) > 0).map_or(protocol, |(protocol, _)| protocol);
    let source = match random.u8(..12) {
        0 => world.places[random.usize(..world.places.len())].address,
        1 => Ipv4Addr::new(10, 60, random.u8(..3), 5),
        _ => from.address,
    };
    let (source_port, destination_port) = if protocol == 1 { (8, 0) } else { (port, port_there) };
    Packet {
        ethertype: 0x0800,
        vlan: None,
        source,
        destination,
        protocol,
        source_port,
        destination_port,
        source_mac: from.mac,
        destination_mac: world.next_mac(from, destination),
        fragment: Fragment::Whole,
        ttl: if random.u8(..20) == 0 { random.u8(1..4) } else { 64 },
    }
}

/// Returns an address, and the protocol and port that is exposed there.
fn destination(world: &World, random: &mut Rng) -> (Ipv4Addr, Option<(u8, u16)>) {
    let tenant = &world.tenants[random.usize(..world.tenants.len())];
    match random.u8(..12) {
        0 => (Ipv4Addr::new(8, 8, 4, 4), None),
        1 => (tenant.link.near, None),
        2 => (tenant.bridges[0].gateway, None),
        3 => (Ipv4Addr::new(10, 99, random.u8(..2), 1), None),
        4 => (Ipv4Addr::new(10, 60, random.u8(..3), 5), None),
        5 => (Ipv4Addr::new(203, 0, 113, 64 + random.u8(..20)), None),
        6 | 7 if !tenant.exposes.is_empty() => {
            let expose = &tenant.exposes[random.usize(..tenant.exposes.len())];
            (expose.public, Some((expose.protocol, expose.public_port)))
        }
        8 => (tenant.link.far, None),
        _ => (world.places[random.usize(..world.places.len())].address, None),
    }
}
