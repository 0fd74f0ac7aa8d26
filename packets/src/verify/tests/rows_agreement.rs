//! For random specs and packets on OVN: what the interpreter makes of one packet is what the verifier says of the set that the packet is
//! in, for the packet and for its reply; and the packet of a violation has a trace.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::agreement::cases_of_rows;
use super::random::Dice;
use super::rows::{NETWORKS, compiled, faulty, verified};
use crate::ovn::network::SwitchPortKind;
use crate::ovn::{Device, End as Ended, Trace};
use crate::semantics::Packet;
use crate::trace::{Ending, Endpoint, RowsNetwork};
use crate::verify::Check;
use crate::verify::header::{Headers, Range};
use crate::verify::model::Model;
use crate::verify::rows::NO_HOSTS;
use crate::verify::segment::{Segment, Uplink};
use crate::verify::walk::{End, Outcome};
use midoform_compiler::Compiled;
use midoform_compiler::network::RouteTarget;
use midoform_compiler::ovn::lower::pod::BridgeSecurity;
use midoform_compiler::spec::AntiSpoof;
use midoform_compiler::topology::kinds::Reference;

/// The place where a packet ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The bridge with this key.
    Bridge(String),
    /// A router, which answers.
    Router,
    Outside,
    Nowhere,
}

/// Returns the place where the interpreter says that a packet ends.
fn place_of(network: &RowsNetwork<'_>, trace: &Trace) -> Place {
    if trace.answered_by.is_some() {
        return Place::Router;
    }
    let Ended::Delivered(ports) = &trace.end else { return Place::Nowhere };
    let Some(port) = ports.first().and_then(|at| network.network.switch_port(*at)) else {
        return Place::Nowhere;
    };
    match (&port.kind, network.network.switch(port.switch).map(|switch| &switch.row)) {
        (SwitchPortKind::Localnet { .. }, _) => Place::Outside,
        (_, Some(Reference::Key(key))) => Place::Bridge(key.to_string()),
        _ => Place::Nowhere,
    }
}

/// Returns the place where the verifier says that the packets of a set end.
fn end_of(model: &Model<'_>, end: &End) -> Place {
    match end {
        End::Delivered(ports) => ports
            .first()
            .and_then(|port| model.segment_of(*port))
            .map_or(Place::Nowhere, |segment| Place::Bridge(segment.key.to_string())),
        End::Left(_) => Place::Outside,
        End::Consumed(_) => Place::Router,
        End::Dropped { .. } | End::Waits => Place::Nowhere,
    }
}

/// An address that rules tell apart from others, or one beside it; or one of the tenant's own.
fn address(dice: &mut Dice) -> Ipv4Addr {
    const OWN: [&str; 9] = [
        "10.1.0.9",
        "10.1.1.9",
        "10.1.2.9",
        "10.1.1.7",
        "10.9.0.1",
        "10.8.0.1",
        "192.0.2.10",
        "10.1.0.254",
        "10.2.0.9",
    ];
    if dice.one_in(2) {
        return dice.pick(&OWN).parse().unwrap();
    }
    let network: ipnet::Ipv4Net = dice.pick(&NETWORKS).parse().unwrap();
    let (first, last) = (u32::from(network.network()), u32::from(network.broadcast()));
    let near = dice.pick(&[first, last, first + (last - first) / 2]);
    near.wrapping_add(dice.pick(&[0, 0, 1, u32::MAX])).into()
}

fn carried(dice: &mut Dice) -> (u8, u16, u16) {
    let port = dice.pick(&[1, 22, 80, 399, 400, 443, 8443, 9000, 9001]);
    match dice.pick(&[6, 6, 17, 17, 1, 47]) {
        1 => (1, 8, 0),
        47 => (47, 0, 0),
        protocol => (protocol, 40_000, port),
    }
}

/// A sender of packets.
#[derive(Clone, Copy)]
enum Sender<'m> {
    Pod(&'m Segment),
    World(&'m Uplink),
}

/// What is compared.
struct Comparison<'a> {
    compiled: &'a Compiled,
    model: &'a Model<'a>,
    group: &'a BTreeSet<&'a str>,
    compared: usize,
    answers: usize,
}

impl Comparison<'_> {
    /// Returns true for an address that the sets and the interpreter mean different hosts by: of a bridge's network, those that no pod
    /// has; and that of a packet to the sender itself.
    fn is_left_out(&self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let is_no_pod = |of: &Segment| {
            of.networks.iter().any(|own| own.contains(&destination))
                && !of.pods.iter().any(|range| range.has(destination.into()))
                && !of.gateways.iter().any(|(gateway, _)| *gateway == destination)
        };
        source == destination
            || NO_HOSTS.iter().any(|range| range.has(destination.into()))
            || self.model.segments.iter().any(is_no_pod)
    }

    /// Returns a random sender's address, and a source and a destination; none if the sets and the interpreter mean different hosts by
    /// them.
    fn ends(&self, sender: Sender<'_>, dice: &mut Dice) -> Option<(Endpoint, Ipv4Addr, Ipv4Addr)> {
        let (source, destination) = (address(dice), address(dice));
        let (end, source) = match sender {
            Sender::Pod(segment) => {
                let own =
                    segment.pods.first().map_or(0, |range| range.first + 1 + dice.below(9) as u32).into();
                let is_own = !dice.one_in(4);
                (Endpoint::Pod(segment.key.clone(), own), if is_own { own } else { source })
            }
            Sender::World(_) => (Endpoint::World(source), source),
        };
        let is_left_out = match sender {
            // A packet to another tenant comes by another uplink.
            Sender::World(uplink) => uplink.destinations.iter().all(|own| !own.has(destination.into())),
            Sender::Pod(segment) => segment.networks.iter().any(|own| own.contains(&destination)),
        };
        let tenants = &self.compiled.tenants;
        // A host of the sets that sends to what is behind itself is another one of its bridge.
        let is_behind_itself = tenants.iter().flat_map(|tenant| &tenant.routes).any(|route| {
            matches!(route.target, RouteTarget::Via(_, hop) if hop == end.address())
                && route.destination.contains(&destination)
        });
        // With `anti_spoof = "port"` the sets say what some pod of the bridge may do.
        let is_port = tenants.iter().any(|tenant| tenant.anti_spoof == AntiSpoof::Port);
        let is_of_another = is_port && source != end.address();
        let is_meant = !is_left_out && !is_behind_itself && !is_of_another;
        (is_meant && !self.is_left_out(source, destination)).then_some((end, source, destination))
    }

    fn compare(
        &mut self,
        sender: Sender<'_>,
        outcomes: &[Outcome],
        dice: &mut Dice,
    ) -> Result<(), TestCaseError> {
        let model = self.model;
        let Some((end, source, destination)) = self.ends(sender, dice) else { return Ok(()) };
        let topology = &self.compiled.topology;
        let security = BridgeSecurity::of_tenants(&self.compiled.tenants);
        let mut network = RowsNetwork::of_tenants(topology, self.group, &security);
        let from = network.attach(&end).unwrap();
        network.attach_pods(destination);
        let packet = network.packet(&from, source, destination, carried(dice));
        let mut state = RowsNetwork::state();
        let trace = network.send(&mut state, &from, (packet, false));
        // A pod that connects to its own exposed port: the pods of the sets are others of its bridge.
        let mut translated =
            trace.hops.iter().flat_map(|hop| &hop.evaluated).filter_map(|row| row.packet_after);
        if translated.any(|packet| packet.destination == source) {
            return Ok(());
        }
        // The sets end where a pod's packet leaves the tenant, and begin behind the provider's router, which knows addresses of its own.
        if matches!(sender, Sender::World(_)) && trace.hops.len() < 3 {
            return Ok(());
        }
        let provider = Reference::Key("site/provider-router".into());
        let is_provider = |hop: &crate::ovn::Hop| matches!(hop.device, Device::Router(at) if network.network.router(at).is_some_and(|own| own.row == provider));
        let leaves = matches!(sender, Sender::Pod(_)) && trace.hops.iter().any(is_provider);
        let place = if leaves { Place::Outside } else { place_of(&network, &trace) };
        let mine: Vec<&Outcome> =
            outcomes.iter().filter(|own| own.path.sent().has(&model.sets, &packet)).collect();
        let places: Vec<Place> = mine.iter().map(|own| end_of(model, &own.end)).collect();
        prop_assert!(
            !places.is_empty() && places.iter().all(|own| *own == place),
            "{packet:?}\n{trace:#?}\n{places:?}"
        );
        self.compared += 1;
        let Ended::Delivered(ports) = &trace.end else { return Ok(()) };
        let arrived = &trace.packet;
        if trace.answered_by.is_some() || !matches!(arrived.protocol, 1 | 6 | 17) || place == Place::Outside {
            return Ok(());
        }
        // Nobody here has a spoofed address, and in the sets any pod may have it.
        if source != end.address() {
            return Ok(());
        }
        let host = network.host_at(ports[0], arrived);
        let Some(reply) = network.reply_of(&host, arrived) else { return Ok(()) };
        let back = network.send(&mut state, &host, (reply, true));
        self.answer(&mine, &packet, (place_of(&network, &back), &back))
    }

    /// Compares the reply to a packet that has arrived at a pod.
    fn answer(
        &mut self,
        arrived: &[&Outcome],
        sent: &Packet,
        (place, back): (Place, &Trace),
    ) -> Result<(), TestCaseError> {
        let model = self.model;
        let mut places = Vec::new();
        for outcome in arrived {
            let End::Delivered(ports) = &outcome.end else { continue };
            let Some(port) = ports.first() else { continue };
            let Some(segment) = model.segment_of(*port) else { continue };
            let own = if *port == segment.pod { segment.pod_mac } else { segment.neighbour_mac };
            let reply = outcome.path.reply(*port, own, outcome.path.source_mac);
            let Ok(outcomes) = model.follow(reply) else { return Ok(()) };
            let mine = outcomes.iter().filter(|own| own.path.sent().has(&model.sets, sent));
            places.extend(mine.map(|own| end_of(model, &own.end)));
        }
        prop_assert!(
            !places.is_empty() && places.iter().all(|own| *own == place),
            "the answer to {sent:?}\n{back:#?}\n{places:?}"
        );
        self.answers += 1;
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases_of_rows(24))]

    #[test]
    fn the_interpreter_and_the_verifier_agree_about_rows(seed: u64) {
        let mut dice = Dice::new(seed);
        let Some((compiled, texts)) = compiled(&mut dice) else { return Ok(()) };
        let group = BTreeSet::from(["t", "u"]);
        let model = Model::new(&compiled.topology, &group, &compiled.tenants);
        let everything = Headers::all(Range::ADDRESSES, Range::ADDRESSES);
        let mut comparison = Comparison { compiled: &compiled, model: &model, group: &group, compared: 0, answers: 0 };
        let wrong = |error: TestCaseError| TestCaseError::fail(format!("{error}\n{}\n{}", texts[0], texts[1]));
        for segment in &model.segments {
            let Ok(outcomes) = model.sent_by_pod(segment, &everything) else { return Ok(()) };
            for _ in 0..25 {
                comparison.compare(Sender::Pod(segment), &outcomes, &mut dice).map_err(wrong)?;
            }
        }
        for uplink in &model.uplinks {
            let routed = uplink.destinations.iter().flat_map(|range| Headers::all(Range::ADDRESSES, *range));
            let Ok(outcomes) = model.sent_by_world(uplink, &routed.collect::<Vec<_>>()) else { return Ok(()) };
            for _ in 0..25 {
                comparison.compare(Sender::World(uplink), &outcomes, &mut dice).map_err(wrong)?;
            }
        }
        println!("compared: {} packets, {} answers", comparison.compared, comparison.answers);
    }

    #[test]
    fn the_packet_of_a_violation_has_a_trace_that_shows_it(seed: u64) {
        let dice = &mut Dice::new(seed);
        let Some((compiled, texts)) = compiled(dice) else { return Ok(()) };
        let Some((fault, topology)) = faulty(dice, &compiled.topology) else { return Ok(()) };
        for violation in verified(&compiled, &topology).violations {
            if violation.check == Check::Dead {
                continue;
            }
            let message = &violation.message;
            let shown = format!("{fault}\n{message}\n{}\n{}", texts[0], texts[1]);
            prop_assert!(violation.trace.is_some(), "no trace: {shown}");
            let Some(trace) = violation.trace else { continue };
            let arrives = trace.ending.is_delivered();
            let comes_back = |ending: &Ending| matches!(ending, Ending::Delivered { at } if at.contains(&trace.from));
            let is_answered = trace.reply.as_ref().is_some_and(|reply| comes_back(&reply.ending));
            let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
            let is_as_said = if says(&["does not arrive", "does not leave"]) {
                !arrives
            } else if says(&["not reachable"]) {
                // Without a route the packet goes back to the world.
                !is_answered || matches!(&trace.ending, Ending::Delivered { at } if at.contains(&trace.from))
            } else if says(&["but the reply is lost"]) {
                !is_answered
            } else if says(&["can send to the world"]) {
                trace.hops.iter().any(|hop| hop.device == "site/provider-router")
            } else if says(&["arrives, although"]) || says(&["reaches"]) && !says(&["link addresses"]) {
                arrives
            } else {
                true
            };
            prop_assert!(is_as_said, "{shown}\n{trace:#?}");
        }
    }
}
