//! Random tenants.

use fastrand::Rng;

/// The addresses that a site's random tenants are exposed at, and the networks that they may name.
const BRIDGES: [&str; 3] = ["web", "db", "log"];

/// Returns the specs of a few tenants that are peers of each other, as far as the choice goes.
pub(crate) fn tenants(random: &mut Rng) -> Vec<(String, String)> {
    let names = ["acme", "blue", "coral"];
    let count = random.usize(1..=names.len());
    let with_peers = random.bool();
    (0..count)
        .map(|at| {
            let peer = (with_peers && count > 1 && at < 2).then(|| names[1 - at]);
            (format!("{}.toml", names[at]), tenant(random, at, names[at], peer))
        })
        .collect()
}

fn one<'t>(random: &mut Rng, of: &[&'t str]) -> &'t str {
    of[random.usize(..of.len())]
}

fn tenant(random: &mut Rng, at: usize, name: &str, peer: Option<&str>) -> String {
    let profile = one(random, &["strict", "strict", "rainbond"]);
    let anti_spoof = one(random, &["bridge", "port", "none"]);
    let public = format!("{{ snat = \"203.0.113.{}-203.0.113.{}\" }}", 64 + 8 * at, 66 + 8 * at);
    let egress = one(random, &["\"snat\"", "\"snat\"", "\"none\"", &public]).to_owned();
    let mut text = format!(
        "name = \"{name}\"\nprofile = \"{profile}\"\nanti_spoof = \"{anti_spoof}\"\negress = {egress}\n"
    );
    let count = random.usize(1..=BRIDGES.len());
    for (number, bridge) in BRIDGES.iter().enumerate().take(count) {
        text += &format!("[[bridge]]\nname = \"{bridge}\"\ncidr = \"10.{}.{number}.0/24\"\n", 10 + at);
    }
    text += "[[address_group]]\nname = \"office\"\naddresses = [\"198.51.100.0/24\", \"8.8.0.0/16\", \"10.0.0.0/9\"]\n";
    if let Some(peer) = peer {
        text += &format!("[[peer]]\ntenant = \"{peer}\"\n");
        if random.bool() {
            text += "bridges = [\"web\"]\n";
        }
    }
    if random.u8(..4) == 0 {
        text += "[[route]]\ndestination = \"10.99.0.0/16\"\ntype = \"reject\"\n[[route]]\ndestination = \"10.99.1.0/24\"\ntype = \"blackhole\"\n";
    }
    if random.u8(..4) == 0 {
        text += &format!("[[route]]\ndestination = \"10.60.{at}.0/24\"\nvia = \"10.{}.0.11\"\n", 10 + at);
    }
    for number in 0..random.usize(..3) {
        let transport = one(random, &["udp", "tcp"]);
        text += &format!(
            "[[expose]]\npublic = \"203.0.113.{}:{}\"\nto = {{ bridge = \"web\", address = \"10.{}.0.11\", {transport} = {} }}\n",
            10 + at,
            443 + number,
            10 + at,
            8443 + number
        );
    }
    let has_port = random.u8(..3) == 0;
    if has_port {
        text += &format!(
            "[[port]]\nname = \"fw\"\nbridge = \"web\"\nhost = \"gw1\"\ninterface = \"port{at}\"\nmac = \"0a:00:00:00:06:0{at}\"\n\
             address = \"10.{}.0.13\"\n[[port_group]]\nname = \"walls\"\nports = [\"fw\"]\n",
            10 + at
        );
    }
    for number in 0..random.usize(..7) {
        text += &rule(random, number, (count, has_port), anti_spoof, peer);
    }
    text
}

fn rule(
    random: &mut Rng,
    number: usize,
    (bridges, has_port): (usize, bool),
    anti_spoof: &str,
    peer: Option<&str>,
) -> String {
    let of_bridge: Vec<String> =
        BRIDGES.iter().take(bridges).map(|name| format!("bridge = \"{name}\"")).collect();
    let of_peer = peer.map(|peer| format!("peer = \"{peer}\""));
    let mut places: Vec<&str> = of_bridge.iter().map(String::as_str).collect();
    places.extend(["address_group = \"office\"", "cidr = \"10.10.0.0/15\"", "world = true", ""]);
    places.extend(of_peer.as_deref());
    places.extend(has_port.then_some("port_group = \"walls\""));
    let protocols = [
        "",
        "udp = 80",
        "tcp = [22, \"8000-8500\"]",
        "udp = [53, 8443]",
        "icmp = { type = 8 }",
        "tcp = true",
    ];
    let mut from = one(random, &places);
    if anti_spoof == "none" && !from.contains("address") && !from.contains("cidr") {
        from = "";
    }
    let (to, protocol) = (one(random, &places), one(random, &protocols));
    let comma = if to.is_empty() || protocol.is_empty() { "" } else { ", " };
    let stateless = random.u8(..6) == 0;
    let action =
        if stateless { one(random, &["accept", "drop"]) } else { one(random, &["accept", "drop", "reject"]) };
    let stateless = if stateless { "stateful = false\n" } else { "" };
    format!(
        "[[rule]]\nname = \"r{number}\"\nfrom = {{ {from} }}\nto = {{ {to}{comma}{protocol} }}\naction = \"{action}\"\n{stateless}"
    )
}
