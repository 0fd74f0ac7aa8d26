//! The specs of the tenants that are measured.

use std::fmt::Write;

/// Returns a tenant with these bridges.
pub(crate) fn bridges(count: usize) -> String {
    let bridge =
        |at: usize| format!("[[bridge]]\nname = \"b{at}\"\ncidr = \"10.{}.{}.0/24\"\n", at / 256, at % 256);
    std::iter::once("name = \"t\"\n".to_owned()).chain((0..count).map(bridge)).collect()
}

/// Returns rules from groups of 100 addresses to 10 ports of a bridge.
pub(crate) fn rules(count: usize, bridges: usize) -> String {
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
fn from_group(at: usize, addresses: &[String], bridge: usize, ports: &str) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let addresses = addresses.join(", ");
    format!(
        "[[address_group]]\nname = \"g{at}\"\naddresses = [{addresses}]\n\
         [[rule]]\nname = \"r{at}\"\nfrom = {{ address_group = \"g{at}\" }}\n\
         to = {{ bridge = \"b{bridge}\", tcp = {ports} }}\naction = \"accept\"\n"
    )
}

/// Returns rules whose groups of 100 addresses overlap in parts, and whose ten ports are shifted by one from rule to
/// rule.
pub(crate) fn overlapping(count: usize, bridges: usize) -> String {
    let rule = |at: usize| {
        let addresses: Vec<String> =
            (0..100).map(|host| format!("198.18.{}.{}", at % 2, (at * 7 + host) % 256)).collect();
        let ports: Vec<usize> = (0..10).map(|port| 1000 + at % 2500 + 2 * port).collect();
        from_group(at, &addresses, at % bridges, &format!("{ports:?}"))
    };
    (0..count).map(rule).collect()
}

/// Returns rules whose groups of 100 addresses are in 100 networks, all with the same ten ports.
pub(crate) fn scattered(count: usize, bridges: usize) -> String {
    let rule = |at: usize| {
        let addresses: Vec<String> = (0..100).map(|host| format!("198.18.{host}.{}", 1 + at % 254)).collect();
        let ports: Vec<usize> = (0..10).map(|port| 1000 + 2 * port).collect();
        from_group(at, &addresses, at % bridges, &format!("{ports:?}"))
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
pub(crate) fn mixed(count: usize, bridges: usize, seed: u64) -> String {
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
pub(crate) fn rules_between(count: usize, bridges: usize) -> String {
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
pub(crate) fn exposes(count: usize, bridges: usize) -> String {
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

/// Returns rules from networks of all sizes, each inside others of the same group, to ranges of ports that are inside each
/// other.
pub(crate) fn nested(count: usize, bridges: usize) -> String {
    let rule = |at: usize| {
        let address = |host: usize| {
            let (length, step) = (20 + (at + host) % 13, (at * 37 + host * 101) % (1 << 20));
            let address = (0xc610_0000 + step as u32) & (u32::MAX << (32 - length));
            format!("{}/{length}", std::net::Ipv4Addr::from(address))
        };
        let addresses: Vec<String> = (0..100).map(address).collect();
        let ports = (1000 + at % 500, 3000 - at % 500);
        from_group(at, &addresses, at % bridges, &format!("[\"{}-{}\"]", ports.0, ports.1))
    };
    (0..count).map(rule).collect()
}

/// Returns static ports, and the checks of the addresses behind them.
pub(crate) fn static_ports(count: usize, bridges: usize) -> String {
    let port = |at: usize| {
        let (bridge, host) = (at % bridges, 2 + at / bridges);
        format!(
            "[[port]]\nname = \"p{at}\"\nbridge = \"b{bridge}\"\nhost = \"0f1e2d3c-0000-4000-8000-00000000{:04x}\"\n\
             interface = \"tap{at}\"\nmac = \"02:00:00:{:02x}:{:02x}:{:02x}\"\naddress = \"10.{}.{}.{host}\"\n",
            at % 16,
            at >> 16 & 0xff,
            at >> 8 & 0xff,
            at & 0xff,
            bridge / 256,
            bridge % 256
        )
    };
    (0..count).map(port).collect()
}

/// Returns tenants with four bridges and some rules each. Where they are peers, each chooses the one before and the one
/// after it.
pub(crate) fn tenants(count: usize, are_peers: bool) -> Vec<String> {
    let tenant = |at: usize| {
        let bridge = |own: usize| {
            let network = 4 * at + own;
            format!("[[bridge]]\nname = \"b{own}\"\ncidr = \"10.{}.{}.0/24\"\n", network / 256, network % 256)
        };
        let bridges: String = (0..4).map(bridge).collect();
        let beside = [at.checked_sub(1), Some(at + 1).filter(|next| *next < count)];
        let peers = beside.into_iter().flatten().filter(|_| are_peers);
        let peers: String = peers.map(|peer| format!("[[peer]]\ntenant = \"t{peer}\"\n")).collect();
        format!("name = \"t{at}\"\n{bridges}{peers}{}", rules_between(4, 4))
    };
    (0..count).map(tenant).collect()
}
