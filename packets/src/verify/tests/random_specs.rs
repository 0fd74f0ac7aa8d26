//! Random specs whose groups, networks and ports overlap: the interpreter and the verifier agree about their packets, and
//! the search for dead rules finds those that a walk from rule to rule finds.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use uuid::Uuid;

use super::agreement::cases;
use super::random::Dice;
use crate::semantics::world::{Rule, RuleKind, World};
use crate::semantics::{State, Verdict};
use crate::trace::{Endpoint, TraceNetwork};
use crate::verify::checks::groups;
use crate::verify::dead;
use crate::verify::header::{Headers, Range};
use crate::verify::index::Position;
use crate::verify::model::Model;
use crate::verify::path::{Flow, Path};
use crate::verify::segment::Segment;
use crate::verify::walk::{End, Outcome};
use midoform_compiler::source::Source;
use midoform_compiler::topology::key::view::{KeyView, RuleKey, TenantKey};
use midoform_compiler::values::MacAddress;
use midoform_compiler::{Allocated, Compiled, Input, compile};

const SITE: &str =
    "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\n";

/// Networks that hold each other, are beside each other, and are in and around the bridges.
const NETWORKS: [&str; 12] = [
    "198.18.0.0/16",
    "198.18.0.0/24",
    "198.18.0.7/32",
    "198.18.0.128/25",
    "198.18.1.0/24",
    "198.18.1.64/26",
    "203.0.113.0/24",
    "10.0.0.0/22",
    "10.0.1.0/24",
    "10.0.1.8/29",
    "10.0.1.9/32",
    "10.0.2.0/25",
];

const PORTS: [&str; 8] =
    ["80", "443", "\"80-90\"", "\"1-1023\"", "\"85-443\"", "\"1024-2000\"", "1023", "\"443-444\""];

fn networks(dice: &mut Dice) -> String {
    let wanted = 1 + dice.below(5);
    let some: BTreeSet<&str> = (0..wanted).map(|_| dice.pick(&NETWORKS)).collect();
    format!("{some:?}").replace(['{', '}'], "")
}

/// Returns a random tenant; not each is sound.
fn spec(dice: &mut Dice) -> String {
    let mut text = "name = \"t\"\n".to_owned();
    if dice.one_in(3) {
        text.push_str(dice.pick(&["profile = \"rainbond\"\n", "anti_spoof = \"none\"\n"]));
    }
    for at in 0..3 {
        writeln!(text, "[[bridge]]\nname = \"b{at}\"\ncidr = \"10.0.{at}.0/24\"").unwrap();
    }
    for at in 0..3 {
        writeln!(text, "[[address_group]]\nname = \"g{at}\"\naddresses = [{}]", networks(dice)).unwrap();
    }
    for at in 0..dice.below(3) {
        writeln!(text, "[[expose]]\npublic = \"192.0.2.10:{}\"\nto = {{ bridge = \"b{at}\", address = \"10.0.{at}.9\", tcp = 443 }}", 440 + at).unwrap();
    }
    for at in 0..2 + dice.below(8) {
        let end = |dice: &mut Dice| match dice.below(8) {
            0 | 1 => format!("bridge = \"b{}\"", dice.below(3)),
            2 | 3 => format!("address_group = \"g{}\"", dice.below(3)),
            4 | 5 => format!("cidr = \"{}\"", dice.pick(&NETWORKS)),
            6 => "world = true".to_owned(),
            _ => String::new(),
        };
        let (from, mut to) = (end(dice), end(dice));
        if !dice.one_in(5) {
            let comma = if to.is_empty() { "" } else { ", " };
            write!(to, "{comma}{} = {}", dice.pick(&["tcp", "tcp", "udp"]), dice.pick(&PORTS)).unwrap();
        }
        writeln!(text, "[[rule]]\nname = \"r{at}\"").unwrap();
        for (side, end) in [("from", from), ("to", to)].iter().filter(|(_, end)| !end.is_empty()) {
            writeln!(text, "{side} = {{ {end} }}").unwrap();
        }
        writeln!(text, "action = \"{}\"", dice.pick(&["accept", "accept", "drop", "reject"])).unwrap();
        if dice.one_in(6) {
            text.push_str("stateful = false\n");
        }
    }
    text
}

fn compiled(dice: &mut Dice) -> Option<Compiled> {
    let tenant = [Source::new("t.toml", spec(dice))];
    let site = Source::new("site.toml", SITE);
    compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &tenant }).ok()
}

/// An address that rules tell apart from others, or one beside it.
fn address(dice: &mut Dice) -> Ipv4Addr {
    let network: ipnet::Ipv4Net = dice.pick(&NETWORKS).parse().unwrap();
    let (first, last) = (u32::from(network.network()), u32::from(network.broadcast()));
    let near = dice.pick(&[first, last, first + (last - first) / 2]);
    near.wrapping_add(dice.pick(&[0, 0, 1, u32::MAX])).into()
}

/// The place where a packet ends: the device of the port that it left by, nil for outside, or none.
type Place = Option<Uuid>;

fn place_of(world: &World, verdict: &Verdict) -> Place {
    let Verdict::Delivered(ports) = verdict else { return None };
    let device = world.device_of(*ports.first()?)?;
    Some(if world.is_router(device) { Uuid::nil() } else { device })
}

fn end_of(world: &World, outcome: &Outcome) -> Place {
    match &outcome.end {
        End::Delivered(ports) => world.device_of(*ports.first()?),
        End::Left(_) => Some(Uuid::nil()),
        _ => None,
    }
}

/// Sends packets from pods to other networks and from outside, both ways; returns how many were compared.
fn compare(compiled: &Compiled, dice: &mut Dice) -> Result<usize, TestCaseError> {
    let group = BTreeSet::from(["t"]);
    let model = Model::new(&compiled.topology, &group, &[]);
    let everything = Headers::all(Range::ADDRESSES, Range::ADDRESSES);
    let mut compared = 0;
    for segment in &model.segments {
        let Ok(outcomes) = model.sent_by_pod(segment, &everything) else { return Ok(compared) };
        for _ in 0..40 {
            let mut network = TraceNetwork::of_tenants(&compiled.topology, &group);
            let (source, destination) = (address(dice), address(dice));
            let is_here = |address: Ipv4Addr| segment.networks.iter().any(|own| own.contains(&address));
            // The network's own address, the gateway's and the broadcast address are no pod's.
            let is_no_pod = |of: &Segment| {
                of.networks.iter().any(|own| own.contains(&destination))
                    && !of.pods.iter().any(|range| range.has(destination.into()))
            };
            if is_here(destination) || model.segments.iter().any(is_no_pod) {
                continue;
            }
            let own = segment.pods.first().map_or(0, |range| range.first + dice.below(9) as u32);
            let source = if dice.one_in(4) { source } else { own.into() };
            let from = network.attach(&Endpoint::Pod(segment.key.clone(), source)).unwrap();
            network.attach_pods(destination);
            let port = dice.pick(&[1, 80, 84, 85, 90, 91, 443, 444, 1023, 1024, 2001]);
            let carried = (dice.pick(&[6, 6, 17, 1, 47]), 40_000, port);
            let carried = if carried.0 == 1 { (1, 8, 0) } else { carried };
            let carried = if carried.0 == 47 { (47, 0, 0) } else { carried };
            let packet = network.packet(&from, source, destination, carried);
            let trace = network.send(&mut State::default(), &from, packet);
            let place = place_of(&network.world, &trace.verdict);
            let mine = outcomes.iter().filter(|outcome| outcome.path.sent().has(&model.sets, &packet));
            let mine: Vec<Place> = mine.map(|outcome| end_of(&model.world, outcome)).collect();
            prop_assert!(mine.contains(&place), "{packet:?}\n{trace:#?}\n{mine:?}");
            prop_assert!(mine.iter().all(|own| *own == place), "{packet:?}\n{trace:#?}\n{mine:?}");
            compared += 1;
        }
    }
    Ok(compared)
}

/// Returns the rules of the spec that match some packet, by a walk from each rule to the next.
fn alive(model: &Model<'_>) -> BTreeSet<Uuid> {
    let walker = model.walker();
    let ports = || model.world.ports.keys().copied().chain([Uuid::nil()]);
    let mut found = BTreeSet::new();
    for (chain, rules) in &model.world.chains {
        let told = |rule: &Rule| model.entry(rule.id).is_some_and(|entry| is_from_spec(&entry.key));
        let Some(index) = walker.index.chain(*chain).filter(|_| rules.iter().any(told)) else { continue };
        for (in_port, out_port) in ports().flat_map(|own| ports().map(move |other| (own, other))) {
            let position = Position { device: in_port, in_port, out_port: Some(out_port) };
            for (flow, headers) in [Flow::Forward, Flow::Return].into_iter().flat_map(|flow| {
                Headers::all(Range::ADDRESSES, Range::ADDRESSES).into_iter().map(move |all| (flow, all))
            }) {
                let mac = MacAddress([2, 0, 0, 0, 0, 0]);
                let mut path = Path::new(headers, in_port, mac, mac);
                path.flow = flow;
                let mut left = vec![path];
                for (place, rule) in rules.iter().enumerate() {
                    let mut next = Vec::new();
                    for path in left {
                        let (matched, others) = walker.split((rule, index.wanted(place)), path, position);
                        found.extend(matched.first().map(|_| rule.id));
                        next.extend(others);
                        next.extend(matched.into_iter().filter(|_| !decides(rule)));
                    }
                    left = Path::merged(&model.sets, next.into_iter().map(|path| (0, path)).collect())
                        .into_iter()
                        .map(|(_, path)| path)
                        .collect();
                }
            }
        }
    }
    found
}

fn decides(rule: &Rule) -> bool {
    matches!(rule.kind, RuleKind::Accept | RuleKind::Drop | RuleKind::Reject | RuleKind::Return)
}

fn is_from_spec(key: &midoform_compiler::topology::key::Key) -> bool {
    let KeyView::Tenant(_, TenantKey::Rule(_, rule)) = key.view() else { return false };
    matches!(rule, RuleKey::Spec { .. } | RuleKey::Inside { .. } | RuleKey::Open { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(40), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_interpreter_and_the_verifier_agree_about_specs_that_overlap(seed: u64) {
        let mut dice = Dice::new(seed);
        if let Some(compiled) = compiled(&mut dice) {
            println!("compared: {} packets", compare(&compiled, &mut dice)?);
        }
    }

    #[test]
    fn the_dead_rules_are_those_that_a_walk_from_rule_to_rule_never_matches(seed: u64) {
        let Some(compiled) = compiled(&mut Dice::new(seed)) else { return Ok(()) };
        let groups = groups(&compiled.topology);
        let model = Model::new(&compiled.topology, &groups[0], &[]);
        let alive = alive(&model);
        let rules = model.world.chains.values().flatten();
        let keys = rules.filter_map(|rule| Some((rule.id, &model.entry(rule.id)?.key)));
        let keys = keys.filter(|(id, key)| is_from_spec(key) && !alive.contains(id));
        let wanted: BTreeSet<String> = keys.map(|(_, key)| format!("the rule {key} can never match")).collect();
        let found = dead::rules_and_routes(&model, &compiled.tenants[0]).into_iter();
        let found: BTreeSet<String> =
            found.filter_map(|violation| Some(violation.message.split_once(':')?.0.to_owned())).collect();
        prop_assert_eq!(found, wanted);
    }
}
