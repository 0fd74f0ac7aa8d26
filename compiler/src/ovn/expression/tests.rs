use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::meaning::{Condition, Contents, NumberTest, PacketField};
use super::symbols::SYMBOLS;
use super::{Sets, parse};

#[test]
fn symbols_are_sorted_by_name() {
    assert!(SYMBOLS.is_sorted_by(|one, next| one.name < next.name));
}

/// One address set, and one port group.
struct Known;

impl Sets for Known {
    fn has_address_set(&self, name: &str) -> bool {
        name == "office"
    }

    fn has_port_group(&self, name: &str) -> bool {
        name == "group"
    }
}

impl Contents for Known {
    fn addresses(&self, _: &str) -> Vec<Ipv4Net> {
        ["10.0.0.0/8", "192.0.2.1/32"].map(|network| network.parse().unwrap()).to_vec()
    }

    fn ports(&self, _: &str) -> BTreeSet<String> {
        BTreeSet::from(["a".to_owned(), "b".to_owned()])
    }
}

fn meets(condition: &Condition, fields: &dyn Fn(PacketField) -> u128) -> bool {
    match condition {
        Condition::Constant(value) => *value,
        Condition::All(parts) => parts.iter().all(|part| meets(part, fields)),
        Condition::Any(parts) => parts.iter().any(|part| meets(part, fields)),
        Condition::Number(test) => test.is_met_by(fields(test.field)),
        Condition::Port(test) => test.names.contains("a") == test.holds,
        Condition::Resident { holds, .. } => *holds,
    }
}

/// Returns true if a UDP packet from port 53 to port 8050 of 10.1.2.3, with the VLAN tag 5, which opens a connection, is selected. It
/// comes in by port `a`.
fn selects(text: &str) -> bool {
    use PacketField as P;
    let condition = parse(text, &Known).unwrap_or_else(|error| panic!("{text}: {error}")).meaning(&Known);
    meets(&condition, &|field| match field {
        P::EtherType => 0x800,
        P::VlanTag => 0x1005,
        P::Protocol => 17,
        P::Ipv4Source => 0xc000_0201,
        P::Ipv4Destination => 0x0a01_0203,
        P::SourcePort => 53,
        P::DestinationPort => 8050,
        P::EthernetDestination => 0x0a00_0000_0001,
        P::ConnectionState => 0x21,
        _ => 0,
    })
}

#[test]
fn a_condition_selects_what_the_expression_says() {
    for text in [
        "1",
        "ip4",
        "udp.dst == 8050",
        "udp.dst == {80, 8050}",
        "8000 <= udp.dst <= 8100",
        "8100 > udp.dst > 8000",
        "udp.dst > 8049",
        "!(udp.dst < 8050)",
        "udp.dst != {80, 81}",
        "udp.dst[0..3] == 2",
        "ip4.dst == $office && ip4.src == $office",
        "ip4.dst == 10.1.0.0/16",
        "ip4.dst != 10.2.0.0/16",
        "inport == @group",
        "inport == {\"x\", \"a\"}",
        "ct.new && ct.trk && !ct.est",
        "vlan.present && vlan.vid == 5",
        "!eth.bcast && !eth.mcast",
        "!(ip4.mcast || ip.is_frag)",
        "ip.proto == 17",
        "!(ip4.dst == 10.2.0.0/16 || udp.src == 54)",
    ] {
        assert!(selects(text), "{text}");
    }
    for text in [
        "0",
        "ip6",
        "tcp.dst == 8050",
        // What is said of a port is about packets with this port only.
        "tcp.dst != 80",
        "!(tcp.dst == 80)",
        "!(udp.dst >= 8050)",
        "udp.dst != {80, 8050}",
        "udp.dst < 8050",
        "udp.dst > 65535",
        "udp.dst < 0",
        "ip4.dst != $office",
        "!(ip4.dst == $office)",
        "!ct.trk",
        "vlan.pcp == 1",
        "arp",
        "arp.spa != 10.0.0.1",
        "icmp4.type == 0",
        "ip.first_frag",
    ] {
        assert!(!selects(text), "{text}");
    }
}

#[test]
fn an_address_set_is_replaced_by_its_networks() {
    let condition = parse("ip4.src == $office", &Known).unwrap().meaning(&Known);
    let test = |low: u32, mask: u32| {
        Condition::Number(NumberTest {
            field: PacketField::Ipv4Source,
            shift: 0,
            mask: mask.into(),
            low: low.into(),
            high: low.into(),
            holds: true,
        })
    };
    let Condition::Any(parts) = condition else { panic!("{condition:?}") };
    let sources: Vec<&Condition> = parts
        .iter()
        .map(|part| match part {
            Condition::All(parts) => parts.last().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sources, [&test(0x0a00_0000, 0xff00_0000), &test(0xc000_0201, u32::MAX)]);
}
