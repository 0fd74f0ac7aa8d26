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

/// Returns a rule that accepts traffic from a group of its own to TCP ports of a bridge.
fn from_group(at: usize, addresses: &[String], bridge: usize, ports: &[usize]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let addresses = addresses.join(", ");
    format!(
        "[[address_group]]\nname = \"g{at}\"\naddresses = [{addresses}]\n\
         [[rule]]\nname = \"r{at}\"\nfrom = {{ address_group = \"g{at}\" }}\n\
         to = {{ bridge = \"b{bridge}\", tcp = {ports:?} }}\naction = \"accept\"\n"
    )
}

/// Returns rules whose groups of 100 addresses overlap in parts, and whose ten ports are shifted by one from rule to
/// rule.
fn overlapping(count: usize, bridges: usize) -> String {
    let rule = |at: usize| {
        let addresses: Vec<String> =
            (0..100).map(|host| format!("198.18.{}.{}", at % 2, (at * 7 + host) % 256)).collect();
        let ports: Vec<usize> = (0..10).map(|port| 1000 + at % 2500 + 2 * port).collect();
        from_group(at, &addresses, at % bridges, &ports)
    };
    (0..count).map(rule).collect()
}

/// Returns rules whose groups of 100 addresses are in 100 networks, all with the same ten ports.
fn scattered(count: usize, bridges: usize) -> String {
    let rule = |at: usize| {
        let addresses: Vec<String> = (0..100).map(|host| format!("198.18.{host}.{}", 1 + at % 254)).collect();
        let ports: Vec<usize> = (0..10).map(|port| 1000 + 2 * port).collect();
        from_group(at, &addresses, at % bridges, &ports)
    };
    (0..count).map(rule).collect()
}

/// The same numbers for the same seed on every machine (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as usize % bound
    }

    /// Returns addresses, and networks of several sizes around others.
    fn addresses(&mut self) -> Vec<String> {
        let start = self.below(256);
        (0..100)
            .map(|at| match self.below(20) {
                0 => format!("198.{}.0.0/16", 18 + self.below(2)),
                1 | 2 => format!("198.{}.{}.0/24", 18 + self.below(2), self.below(64)),
                3..7 => format!("198.18.{}.{}", self.below(64), self.below(256)),
                _ => format!("198.19.{}.{}", self.below(2), (start + at) % 256),
            })
            .collect()
    }

    /// Returns ports and ranges of ports that do not overlap.
    fn ports(&mut self) -> String {
        let mut next = 1 + self.below(2000);
        let ports: Vec<String> = (0..1 + self.below(10))
            .map(|_| {
                let (first, last) = (next, next + self.below(3) * self.below(500));
                next = last + 2 + self.below(300);
                if first == last { first.to_string() } else { format!("\"{first}-{last}\"") }
            })
            .collect();
        format!("{} = [{}]", ["tcp", "tcp", "udp"][self.below(3)], ports.join(", "))
    }
}

/// Returns rules of every kind: mixed groups, bridges, networks, the world, and anything, with random ports and actions.
fn mixed(count: usize, bridges: usize, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = String::new();
    for at in 0..count {
        let own = |at: usize| format!("bridge = \"b{at}\"");
        let from = match dice.below(10) {
            0..5 => {
                let addresses: Vec<String> =
                    dice.addresses().iter().map(|address| format!("\"{address}\"")).collect();
                writeln!(text, "[[address_group]]\nname = \"g{at}\"\naddresses = [{}]", addresses.join(", "))
                    .unwrap();
                format!("address_group = \"g{at}\"")
            }
            5 | 6 => own(dice.below(bridges)),
            7 => "world = true".to_owned(),
            8 => format!("cidr = \"10.0.{}.0/{}\"", dice.below(32) & !7, 21 + dice.below(4)),
            _ => String::new(),
        };
        let to = match dice.below(10) {
            0..6 => own(dice.below(bridges)),
            6 if !from.starts_with("world") => "world = true".to_owned(),
            7 => format!("cidr = \"10.0.{}.0/{}\"", dice.below(32), 24 + dice.below(4)),
            _ => String::new(),
        };
        let (comma, ports) = (if to.is_empty() { "" } else { ", " }, dice.ports());
        let from = if from.is_empty() { from } else { format!("from = {{ {from} }}\n") };
        let action = ["accept", "accept", "drop", "reject"][dice.below(4)];
        write!(
            text,
            "[[rule]]\nname = \"r{at}\"\n{from}to = {{ {to}{comma}{ports} }}\naction = \"{action}\"\n"
        )
        .unwrap();
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
        let kinds: [(&str, String); 8] = [
            ("bridges", bridges(1250 * factor)),
            ("rules", bridges(40) + &rules(300 * factor, 40)),
            ("both", bridges(40 * factor) + &rules(300 * factor, 40 * factor)),
            ("between", bridges(100 * factor) + &rules_between(100 * factor, 100 * factor)),
            ("exposes", bridges(40) + &exposes(500 * factor, 40)),
            ("overlapping", bridges(40) + &overlapping(300 * factor, 40)),
            ("scattered", bridges(40) + &scattered(300 * factor, 40)),
            ("mixed", bridges(40) + &mixed(300 * factor, 40, 7)),
        ];
        for (kind, tenant) in kinds.iter().filter(|(kind, _)| is_wanted(kind)) {
            measure(&format!("{factor} x {kind}"), tenant);
        }
    }
}
