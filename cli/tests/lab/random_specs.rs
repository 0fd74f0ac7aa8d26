//! Random specs for laboratories: small, and full of rules, exposed ports, peers and groups. Not each is accepted.

use std::fmt::Write as _;

use fastrand::Rng;

/// The site of all of them.
pub(super) const SITE: &str = "name = \"r\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\n\
                               shared = true\n[[host]]\nname = \"node1\"\nid = \"11111111-2222-3333-4444-555555555555\"\n";

const TENANTS: [&str; 2] = ["red", "blue"];
const PORTS: [&str; 4] = ["80", "443", "\"80-90\"", "[80, 8443]"];
const NETWORKS: [&str; 5] = ["10.0.0.0/25", "10.0.1.0/24", "10.0.2.0/30", "8.8.8.0/24", "192.0.2.0/24"];

fn pick<'a>(dice: &mut Rng, from: &[&'a str]) -> &'a str {
    from[dice.usize(..from.len())]
}

/// Returns the tenant files of a seed, each with its name.
pub(super) fn tenants(seed: u64) -> Vec<(String, String)> {
    let mut dice = Rng::with_seed(seed);
    let has_peers = dice.bool();
    TENANTS
        .iter()
        .enumerate()
        .map(|(at, name)| (format!("{name}.toml"), tenant(&mut dice, at, name, has_peers)))
        .collect()
}

fn tenant(dice: &mut Rng, at: usize, name: &str, has_peers: bool) -> String {
    let mut text = format!("name = \"{name}\"\n");
    // Peers need different networks; others may have the same.
    let base = if has_peers { 10 * at } else { 0 };
    match dice.u8(..6) {
        0 => text.push_str("profile = \"rainbond\"\n"),
        1 => text.push_str("anti_spoof = \"bridge\"\n"),
        2 => text.push_str("profile = \"rainbond\"\nanti_spoof = \"port\"\n"),
        _ => {}
    }
    match dice.u8(..6) {
        0 => writeln!(text, "egress = {{ snat = \"192.0.2.{}\" }}", 100 + at).unwrap(),
        1 if has_peers => text.push_str("egress = \"none\"\n"),
        _ => {}
    }
    let bridges = 1 + dice.usize(..3);
    for bridge in 0..bridges {
        writeln!(text, "[[bridge]]\nname = \"b{bridge}\"\ncidr = \"10.{base}.{bridge}.0/24\"").unwrap();
    }
    if dice.bool() {
        writeln!(
            text,
            "[[port]]\nname = \"p\"\nbridge = \"b0\"\nhost = \"node1\"\ninterface = \"tap{at}\"\nmac = \"02:00:00:00:00:0{at}\"\n\
             address = \"10.{base}.0.30\"\n[[port_group]]\nname = \"pg\"\nports = [\"p\"]"
        )
        .unwrap();
    }
    let has_port = text.contains("[[port_group]]");
    writeln!(text, "[[address_group]]\nname = \"g\"\naddresses = [\"{}\"]", pick(dice, &NETWORKS)).unwrap();
    for rule in 0..dice.usize(..6) {
        add_rule(dice, &mut text, rule, (bridges, has_peers, has_port));
    }
    for expose in 0..dice.usize(..3) {
        let bridge = dice.usize(..bridges);
        let (public, port) = (10 + at, 8000 + expose);
        let protocol = pick(dice, &["tcp", "udp"]);
        writeln!(
            text,
            "[[expose]]\npublic = \"203.0.113.{public}:{port}\"\nto = {{ bridge = \"b{bridge}\", address = \"10.{base}.{bridge}.9\", \
             {protocol} = 80 }}"
        )
        .unwrap();
    }
    if dice.u8(..4) == 0 {
        writeln!(
            text,
            "[[route]]\ndestination = \"{}\"\ntype = \"blackhole\"",
            pick(dice, &["8.8.8.8/32", "10.99.0.0/16"])
        )
        .unwrap();
    }
    if has_peers {
        writeln!(text, "[[peer]]\ntenant = \"{}\"\nbridges = [\"b0\"]", TENANTS[1 - at]).unwrap();
    }
    text
}

fn add_rule(
    dice: &mut Rng,
    text: &mut String,
    number: usize,
    (bridges, has_peers, has_port): (usize, bool, bool),
) {
    let end = |dice: &mut Rng| match dice.u8(..8) {
        0..=2 => format!("bridge = \"b{}\"", dice.usize(..bridges)),
        3 => "world = true".to_owned(),
        4 => "address_group = \"g\"".to_owned(),
        5 if has_peers => {
            format!("peer = \"{}\"", if text.contains("name = \"red\"") { "blue" } else { "red" })
        }
        6 if has_port => "port_group = \"pg\"".to_owned(),
        _ => String::new(),
    };
    let (from, mut to) = (end(dice), end(dice));
    if dice.u8(..4) != 0 {
        let comma = if to.is_empty() { "" } else { ", " };
        write!(to, "{comma}{} = {}", pick(dice, &["tcp", "udp"]), pick(dice, &PORTS)).unwrap();
    }
    writeln!(text, "[[rule]]\nname = \"r{number}\"").unwrap();
    for (side, end) in [("from", from), ("to", to)].iter().filter(|(_, end)| !end.is_empty()) {
        writeln!(text, "{side} = {{ {end} }}").unwrap();
    }
    writeln!(text, "action = \"{}\"", pick(dice, &["accept", "accept", "drop", "drop", "reject"])).unwrap();
}
