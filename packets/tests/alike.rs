//! A proof for one of several tenants that are alike holds for each of them.

use midoform_compiler::source::Source;
use midoform_compiler::topology::kinds::{NextHop, Object, RuleAction};
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::{Allocated, Compiled, Input, compile};
use midoform_packets::verify::{Subject, alike, check_all, check_group, check_provider, groups};
use proptest::prelude::*;
use serde_json::{Value, json};

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\nshared = true\n[[host]]\nname = \"node1\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"10.255.0.1\"\n";

/// The kind of a tenant.
#[derive(Clone, Debug)]
struct Kind {
    rainbond: bool,
    bridges: usize,
    /// The last bridge has the lowest network.
    turned: bool,
    /// The same networks as others.
    overlapping: bool,
    rules: usize,
    egress: usize,
    expose: bool,
    route: bool,
    port: bool,
    peer: bool,
}

fn kind() -> impl Strategy<Value = Kind> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (0..6_usize, 1..4_usize, 0..6_usize, 0..3_usize, flags).prop_map(
        |(profile, bridges, rules, egress, (turned, overlapping, expose, route, port, peer))| Kind {
            rainbond: profile == 0,
            bridges,
            turned,
            overlapping: overlapping && egress != 2,
            rules,
            egress,
            expose,
            route,
            port,
            peer,
        },
    )
}

/// Returns the text of rules about the first and the second bridge.
fn rules(number: usize, bridges: usize) -> String {
    let rule = |name: &str, body: &str| format!("[[rule]]\nname = \"{name}\"\n{body}\n");
    let second = if bridges > 1 { "db1" } else { "db0" };
    match number {
        1 => {
            rule(
                "one",
                &format!(
                    "from = {{ bridge = \"db0\" }}\nto = {{ bridge = \"{second}\", tcp = 5432 }}\naction = \"accept\""
                ),
            ) + &rule("rest", &format!("to = {{ bridge = \"{second}\" }}\naction = \"drop\""))
        }
        2 => rule("far", "from = { bridge = \"db0\" }\nto = { cidr = \"8.8.0.0/16\" }\naction = \"drop\""),
        3 => rule("in", "from = { world = true }\nto = { bridge = \"db0\", tcp = 22 }\naction = \"accept\""),
        4 => {
            rule(
                "udp",
                &format!(
                    "from = {{ bridge = \"db0\" }}\nto = {{ bridge = \"{second}\", udp = \"1-99\" }}\naction = \"reject\""
                ),
            ) + &rule(
                "dead",
                &format!(
                    "from = {{ bridge = \"db0\" }}\nto = {{ bridge = \"{second}\", udp = 7 }}\naction = \"accept\""
                ),
            )
        }
        5 => rule("pings", "to = { bridge = \"db0\", icmp = true }\naction = \"drop\"\nstateful = false"),
        _ => String::new(),
    }
}

fn name(at: usize) -> String {
    format!("t{at:02}")
}

fn tenant(at: usize, kind: &Kind, peer: Option<usize>) -> String {
    let second = if kind.overlapping { 200 } else { at + 1 };
    let third = |bridge: usize| if kind.turned { kind.bridges - bridge } else { bridge };
    let mut text = format!("name = \"{}\"\n", name(at));
    if kind.rainbond {
        text += "profile = \"rainbond\"\n";
    } else if kind.port {
        text += "anti_spoof = \"port\"\n";
    }
    text += &match kind.egress {
        1 => format!("egress = {{ snat = \"203.0.113.{}-203.0.113.{}\" }}\n", 4 * at, 4 * at + 3),
        2 => "egress = \"none\"\n".to_owned(),
        _ => String::new(),
    };
    for bridge in 0..kind.bridges {
        text +=
            &format!("[[bridge]]\nname = \"db{bridge}\"\ncidr = \"10.{second}.{}.0/24\"\n", third(bridge));
    }
    let first = format!("10.{second}.{}", third(0));
    text += &rules(kind.rules, kind.bridges);
    if kind.expose {
        text += &format!(
            "[[expose]]\npublic = \"198.51.100.{}:443\"\nto = {{ bridge = \"db0\", address = \"{first}.9\", tcp = 8443 }}\n",
            at + 1
        );
    }
    if kind.route {
        text += &format!("[[route]]\ndestination = \"10.{}.0.0/16\"\nvia = \"{first}.7\"\n", 100 + at);
    }
    if kind.port {
        text += &format!(
            "[[port]]\nname = \"vm\"\nbridge = \"db0\"\nhost = \"node1\"\ninterface = \"tap{at}\"\nmac = \"ac:ca:ba:00:00:{at:02x}\"\naddress = \"{first}.20\"\n"
        );
    }
    if let Some(peer) = peer {
        text += &format!("[[peer]]\ntenant = \"{}\"\n", name(peer));
    }
    text
}

/// Compiles the fleet. Neighbours in the list are peers if both want one.
fn fleet(kinds: &[Kind]) -> Result<Compiled, String> {
    let wants =
        |at: usize| kinds.get(at).is_some_and(|kind| kind.peer && !kind.overlapping && !kind.rainbond);
    let peer = |at: usize| Some(at ^ 1).filter(|other| wants(at) && wants(*other));
    let source =
        |(at, kind): (usize, &Kind)| Source::new(format!("{}.toml", name(at)), tenant(at, kind, peer(at)));
    let tenants: Vec<Source> = kinds.iter().enumerate().map(source).collect();
    let site = Source::new("site.toml", SITE);
    compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants })
        .map_err(|found| found.iter().map(|diagnostic| format!("{}\n", diagnostic.message)).collect())
}

/// Makes a fleet of a few kinds, so that many tenants are alike.
fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    (prop::collection::vec(kind(), 1..3), prop::collection::vec(any::<prop::sample::Index>(), 2..10))
        .prop_map(|(kinds, picks)| picks.iter().map(|pick| pick.get(&kinds).clone()).collect())
}

/// Does something to one object: takes it away, or turns what it decides.
fn broken(topology: &Topology, at: usize, remove: bool) -> Topology {
    let mut entries: Vec<Entry> = topology.entries().to_vec();
    if remove {
        entries.remove(at);
    } else {
        turn(&mut entries[at].object);
    }
    Topology::new(entries)
}

fn turn(object: &mut Object) {
    match object {
        Object::Rule(rule) => match &mut rule.action {
            RuleAction::Drop | RuleAction::Reject => rule.action = RuleAction::Accept,
            RuleAction::Accept | RuleAction::Return => rule.action = RuleAction::Drop,
            RuleAction::SourceNat(target, _) | RuleAction::DestinationNat(target, _) => {
                (target.first, target.last) = ([10, 1, 1, 77].into(), [10, 1, 1, 77].into());
            }
            _ => rule.condition.not_destination ^= true,
        },
        Object::Route(route) => route.next_hop = NextHop::BlackHole,
        Object::Bridge(bridge) => bridge.0.inbound_filter = None,
        Object::Router(router) => router.0.outbound_filter = None,
        Object::BridgePort(port) => port.inbound_filter = None,
        Object::RouterPort(port) => port.address = [10, 1, 1, 33].into(),
        _ => {}
    }
}

fn subject<'a>(compiled: &'a Compiled, topology: &'a Topology, links: &'a [ipnet::Ipv4Net]) -> Subject<'a> {
    Subject { topology, tenants: &compiled.tenants, links }
}

fn links(compiled: &Compiled) -> Vec<ipnet::Ipv4Net> {
    compiled.site.pools.links.iter().map(|pool| pool.value).collect()
}

/// Returns the results of every group, each verified on its own.
fn each_on_its_own(subject: Subject<'_>) -> Value {
    let mut violations = check_provider(subject.topology);
    let mut unproven = Vec::new();
    for group in groups(subject.topology) {
        let answers = check_group(subject, &group);
        violations.extend(answers.violations);
        unproven.extend(answers.unproven);
    }
    violations.sort_by_key(|violation| violation.check);
    json!({ "violations": violations, "unproven": unproven })
}

fn together(subject: Subject<'_>) -> Value {
    serde_json::to_value(check_all(subject, 2, &|_| ())).unwrap()
}

fn cases() -> u32 {
    std::env::var("MIDOFORM_VERIFY_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(48)
}

#[test]
fn what_is_proven_once_is_what_is_proven_of_each() {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let counted = std::cell::Cell::new([0_usize; 4]);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let breaks = prop::option::weighted(0.7, (any::<prop::sample::Index>(), any::<bool>()));
    let result = runner.run(&(kinds(), breaks), |(kinds, breaks)| {
        let compiled = fleet(&kinds).map_err(TestCaseError::fail)?;
        let topology = match breaks {
            Some((at, remove)) => broken(&compiled.topology, at.index(compiled.topology.len()), remove),
            None => compiled.topology.clone(),
        };
        let links = links(&compiled);
        let subject = subject(&compiled, &topology, &links);
        let (one, other) = (together(subject), each_on_its_own(subject));
        let [fleets, groups_seen, shapes, violated] = counted.get();
        let all = groups(&topology);
        counted.set([
            fleets + 1,
            groups_seen + all.len(),
            shapes + alike(subject, &all).len(),
            violated + usize::from(one["violations"] != json!([])),
        ]);
        prop_assert_eq!(one, other);
        Ok(())
    });
    let [fleets, groups, shapes, violated] = counted.get();
    println!("{fleets} fleets, {violated} of them with violations; {groups} groups of {shapes} shapes");
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(shapes < groups, "some are alike");
}

fn alike_fleet(many: usize, kind: &Kind) -> Compiled {
    fleet(&vec![kind.clone(); many]).unwrap()
}

const PLAIN: Kind = Kind {
    rainbond: false,
    bridges: 2,
    turned: false,
    overlapping: false,
    rules: 1,
    egress: 0,
    expose: true,
    route: true,
    port: true,
    peer: false,
};

/// Returns the tenants in which something is wrong.
fn violated(compiled: &Compiled, topology: &Topology) -> Vec<String> {
    let links = links(compiled);
    let answers = check_all(subject(compiled, topology, &links), 1, &|_| ());
    let mut tenants: Vec<String> =
        answers.violations.into_iter().map(|violation| violation.tenant.to_string()).collect();
    tenants.dedup();
    tenants
}

fn shapes(compiled: &Compiled) -> usize {
    let links = links(compiled);
    alike(subject(compiled, &compiled.topology, &links), &groups(&compiled.topology)).len()
}

#[test]
fn tenants_that_differ_in_names_and_addresses_alone_have_one_shape() {
    assert_eq!(shapes(&alike_fleet(20, &PLAIN)), 1);
    assert_eq!(shapes(&alike_fleet(20, &Kind { overlapping: true, ..PLAIN })), 1);
    // Which of the networks comes first does not matter.
    let turned = Kind { turned: true, ..PLAIN };
    assert_eq!(shapes(&fleet(&[PLAIN, turned]).unwrap()), 1);
    // Pairs of peers.
    assert_eq!(shapes(&alike_fleet(20, &Kind { peer: true, ..PLAIN })), 1);
    let other = Kind { rules: 2, ..PLAIN };
    assert_eq!(shapes(&fleet(&[PLAIN, other.clone(), PLAIN, other]).unwrap()), 2);
}

#[test]
fn what_is_wrong_with_one_of_many_is_said_of_that_one() {
    for kind in [PLAIN, Kind { overlapping: true, ..PLAIN }] {
        let compiled = alike_fleet(20, &kind);
        assert_eq!(violated(&compiled, &compiled.topology), Vec::<String>::new());
        for taken in ["bridge/db0/chain/rule/source", "uplink/default-route", "chain/policy/rule/rest"] {
            for tenant in ["t00", "t13", "t19"] {
                let taken = format!("{tenant}/{taken}");
                let topology = compiled.topology.filtered(|entry| entry.key.as_str() != taken);
                assert_eq!(topology.len() + 1, compiled.topology.len(), "{taken}");
                assert_eq!(violated(&compiled, &topology), [tenant], "{taken}");
            }
        }
    }
}

#[test]
fn a_rule_for_another_network_of_the_same_size_is_another_shape() {
    // The second's rule is about its own network, the first's about one outside.
    let tenant = |at: usize, cidr: &str| {
        format!(
            "name = \"{}\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.{at}.0.0/24\"\n[[rule]]\nname = \"r\"\nto = {{ cidr = \"{cidr}\" }}\naction = \"drop\"\n",
            name(at)
        )
    };
    let sources = [tenant(1, "10.9.0.0/24"), tenant(2, "10.2.0.0/24"), tenant(3, "10.9.0.0/24")];
    let sources: Vec<Source> = sources
        .iter()
        .enumerate()
        .map(|(at, text)| Source::new(format!("{at}.toml"), text.clone()))
        .collect();
    let site = Source::new("site.toml", SITE);
    let compiled = compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &sources }).unwrap();
    let links = links(&compiled);
    let found = alike(subject(&compiled, &compiled.topology, &links), &groups(&compiled.topology));
    assert_eq!(found, [vec![0, 2], vec![1]]);
}
