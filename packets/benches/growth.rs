//! The growth of compiling, of comparing and of verifying one large tenant, at 1, 2, 4 and 8 times its size.
//!
//! Each line is one size: the parts that are counted, and the time of each step. A time that grows with the square of
//! the size is four times that of the line above. Sizes are chosen with arguments: the kind, and the largest factor.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark that can't go on has failed, and it prints its result; it measures with the clock"
)]

use std::fmt::Write;
use std::time::Instant;

use midoform_compiler::source::Source;
use midoform_compiler::topology::Topology;
use midoform_compiler::{Allocated, Compiled, Input, compile};
use midoform_packets::verify::{Subject, check_all, compare};

const SITE: &str =
    "name = \"large\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/12\"\n";

/// Returns a tenant with these bridges.
fn bridges(count: usize) -> String {
    let bridge =
        |at: usize| format!("[[bridge]]\nname = \"b{at}\"\ncidr = \"10.{}.{}.0/24\"\n", at / 256, at % 256);
    std::iter::once("name = \"t\"\n".to_owned()).chain((0..count).map(bridge)).collect()
}

/// Returns rules from groups of 100 addresses to 10 ports of a bridge.
fn rules(count: usize, bridges: usize) -> String {
    let mut text = String::new();
    for at in 0..count {
        let network = format!("198.{}.{}", 18 + at / 256, at % 256);
        let addresses: Vec<String> = (0..100).map(|host| format!("\"{network}.{host}\"")).collect();
        let ports: Vec<String> = (0..10).map(|port| (1000 + at % 2500 * 20 + 2 * port).to_string()).collect();
        writeln!(text, "[[address_group]]\nname = \"g{at}\"\naddresses = [{}]", addresses.join(", "))
            .unwrap();
        writeln!(text, "[[rule]]\nname = \"r{at}\"\nfrom = {{ address_group = \"g{at}\" }}").unwrap();
        writeln!(text, "to = {{ bridge = \"b{}\", tcp = [{}] }}", at % bridges, ports.join(", ")).unwrap();
        writeln!(text, "action = \"accept\"").unwrap();
    }
    text
}

/// Returns rules from one bridge to the next.
fn rules_between(count: usize, bridges: usize) -> String {
    let rule = |at: usize| {
        let (from, to) = (at % bridges, (at + 1) % bridges);
        format!(
            "[[rule]]\nname = \"r{at}\"\nfrom = {{ bridge = \"b{from}\" }}\nto = {{ bridge = \"b{to}\", tcp = {} }}\naction = \"drop\"\n",
            1000 + at
        )
    };
    (0..count).map(rule).collect()
}

/// Returns exposed ports, 250 of each public address.
fn exposes(count: usize, bridges: usize) -> String {
    let expose = |at: usize| {
        format!(
            "[[expose]]\npublic = \"203.0.{}.10:{}\"\nto = {{ bridge = \"b{}\", address = \"10.{}.{}.9\", tcp = 443 }}\n",
            at / 250,
            1000 + at % 250,
            at % bridges,
            at % bridges / 256,
            at % bridges % 256
        )
    };
    (0..count).map(expose).collect()
}

fn compiled(tenant: &str) -> Compiled {
    let tenants = [Source::new("t.toml", tenant)];
    compile(Input { site: &Source::new("site.toml", SITE), allocated: Allocated::Nothing, tenants: &tenants })
        .unwrap()
}

fn measure(kind: &str, tenant: &str) {
    let start = Instant::now();
    let compiled = compiled(tenant);
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
        "{kind}: {} objects: compile {compiling:.2?}, compare {comparing:.2?} ({} changes), verify {verifying:.2?} ({} violations, {} unproven)",
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
    let is_wanted = |kind: &str| wanted == "all" || wanted == kind;
    for factor in [1, 2, 4, 8].into_iter().filter(|factor| *factor <= largest) {
        let kinds: [(&str, String); 5] = [
            ("bridges", bridges(1250 * factor)),
            ("rules", bridges(40) + &rules(300 * factor, 40)),
            ("both", bridges(40 * factor) + &rules(300 * factor, 40 * factor)),
            ("between", bridges(100 * factor) + &rules_between(100 * factor, 100 * factor)),
            ("exposes", bridges(40) + &exposes(500 * factor, 40)),
        ];
        for (kind, tenant) in kinds.iter().filter(|(kind, _)| is_wanted(kind)) {
            measure(&format!("{factor} x {kind}"), tenant);
        }
    }
}
