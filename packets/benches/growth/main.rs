//! The growth of compiling, of comparing and of verifying large tenants, at 1, 2, 4 and 8 times their size.
//!
//! Each line is one size: the parts that are counted, and the time of each step. A time that grows with the square of
//! the size is four times that of the line above. Sizes are chosen with arguments: the kind, and the largest factor. With `ovn` as
//! the third one, the tenants are on OVN.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark that can't go on has failed, and it prints its result; it measures with the clock"
)]

mod specs;

use std::time::Instant;

use midoform_compiler::source::Source;
use midoform_compiler::topology::Topology;
use midoform_compiler::{Allocated, Compiled, Input, compile};
use midoform_packets::verify::{Subject, check_all, compare};
use specs::{
    bridges, exposes, mixed, nested, overlapping, rules, rules_between, scattered, static_ports, tenants,
};

const SITE: &str =
    "name = \"large\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/12\"\n";

/// The kinds of tenants that are measured.
const KINDS: [&str; 16] = [
    "bridges",
    "rules",
    "both",
    "between",
    "exposes",
    "exposes-and-rules",
    "overlapping",
    "scattered",
    "nested",
    "mixed",
    "stateless",
    "rainbond",
    "static-ports",
    "unchecked",
    "tenants",
    "peers",
];

/// Returns the tenants of a kind, so many times as large.
fn of_kind(kind: &str, factor: usize) -> Vec<String> {
    let with = |text: &str, rest: String| format!("{text}\n{}{rest}", bridges(40));
    let one = match kind {
        "bridges" => bridges(1250 * factor),
        "rules" => with("", rules(300 * factor, 40)),
        "both" => bridges(40 * factor) + &rules(300 * factor, 40 * factor),
        "between" => bridges(100 * factor) + &rules_between(100 * factor, 100 * factor),
        "exposes" => with("", exposes(500 * factor, 40)),
        "exposes-and-rules" => with("", exposes(200 * factor, 40) + &rules(100 * factor, 40)),
        "overlapping" => with("", overlapping(300 * factor, 40)),
        "scattered" => with("", scattered(30 * factor, 40)),
        "nested" => with("", nested(300 * factor, 40)),
        "mixed" => with("", mixed(300 * factor, 40, 7)),
        "stateless" => with(
            "",
            exposes(40, 40) + &rules(100 * factor, 40).replace("action = ", "stateful = false\naction = "),
        ),
        "rainbond" => format!("profile = \"rainbond\"\n{}", bridges(100 * factor)),
        "static-ports" => with("anti_spoof = \"port\"", static_ports(500 * factor, 40)),
        "unchecked" => format!("anti_spoof = \"none\"\n{}", bridges(100 * factor)) + &rules(50 * factor, 40),
        "tenants" => return tenants(100 * factor, false),
        "peers" => return tenants(10 * factor, true),
        _ => return Vec::new(),
    };
    vec![one]
}

const OVN: &str = "name = \"large\"\n[ovn]\nnorthbound = \"unix:nb.sock\"\nmanaged = true\ngateway_chassis = \"gw1\"\n[pools]\nlinks = \"172.16.0.0/12\"\n[[host]]\nname = \"node\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"10.255.0.1\"\n";

fn compiled(site: &str, tenants: &[String]) -> Compiled {
    let named = |(at, text): (usize, &String)| Source::new(format!("t{at}.toml"), text.as_str());
    let tenants: Vec<Source> = tenants.iter().enumerate().map(named).collect();
    compile(Input { site: &Source::new("site.toml", site), allocated: Allocated::Nothing, tenants: &tenants })
        .unwrap()
}

fn measure(site: &str, kind: &str, factor: usize) {
    let tenants = of_kind(kind, factor);
    let start = Instant::now();
    let compiled = compiled(site, &tenants);
    let compiling = start.elapsed();
    let start = Instant::now();
    let reachability = compare(&Topology::default(), &compiled.topology);
    let comparing = start.elapsed();
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let subject = Subject { topology: &compiled.topology, tenants: &compiled.tenants, links: &links };
    let start = Instant::now();
    let found = check_all(subject, 2, &|_| ());
    let verifying = start.elapsed();
    println!(
        "{factor} x {kind}: {} objects: compile {compiling:.2?}, compare {comparing:.2?} ({} changes), verify {verifying:.2?} ({} violations, {} unproven)",
        compiled.topology.len(),
        reachability.changes.len(),
        found.violations.len(),
        found.unproven.len(),
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let wanted = arguments.next().unwrap_or_else(|| "all".to_owned());
    let largest: usize = arguments.next().and_then(|factor| factor.parse().ok()).unwrap_or(8);
    let site = if arguments.next().as_deref() == Some("ovn") { OVN } else { SITE };
    for kind in KINDS.into_iter().filter(|kind| wanted == "all" || wanted == *kind) {
        for factor in [1, 2, 4, 8].into_iter().filter(|factor| *factor <= largest) {
            measure(site, kind, factor);
        }
    }
}
