//! Layer 2: EtherTypes, VLAN tags and ARP.

use crate::network::{A, ACME, BETA, Network, PODS, acme_and};

const B: &str = "acme/192.168.0.2";
const GATEWAY: &str = "192.168.0.254";
const IPV6: u16 = 0x86dd;
const NO_TELNET: &str = "[[rule]]\nname = \"no-telnet\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\", tcp = 23 }\naction = \"drop\"\n";

#[test]
fn a_strict_bridge_passes_ipv4_and_arp_only() {
    let mut network = acme_and(NO_TELNET);
    for ethertype in [IPV6, 0x88b5, 0x8100, 0x88a8, 0x0600, 0xffff] {
        assert_eq!(network.send_frame(A, B, ethertype, None), "dropped", "{ethertype:#x}");
    }
    assert_eq!(network.send_frame(A, B, 0x0800, None), "dropped", "the rule");
    assert_eq!(network.send(A, "192.168.0.1", "192.168.0.2", "tcp 5>80").split(' ').next(), Some(B));
    assert_eq!(network.arp(A, 1, "192.168.0.1", "192.168.0.2"), B);
    assert_eq!(network.arp(A, 1, "192.168.0.1", GATEWAY), "consumed");
}

#[test]
fn a_tag_helps_no_frame() {
    let mut network = acme_and(NO_TELNET);
    for ethertype in [0x0800, 0x0806, IPV6, 0x88b5] {
        assert_eq!(network.send_frame(A, B, ethertype, Some(5)), "dropped", "{ethertype:#x}");
    }
}

#[test]
fn the_spec_names_further_ethertypes() {
    let of = |named: &str| format!("{}ethertypes = {named}\n{}", &ACME[..14], &ACME[14..]);
    let mut network = Network::new(&[&of("[\"ipv6\", 0x88b5]"), BETA], &PODS);
    for (ethertype, seen) in [(IPV6, B), (0x88b5, B), (0x88b6, "dropped")] {
        assert_eq!(network.send_frame(A, B, ethertype, None), seen, "{ethertype:#x}");
    }
    assert_eq!(network.send_frame(A, B, IPV6, Some(5)), "dropped");
    let mut network = Network::new(&[&of("[\"vlan\"]"), BETA], &PODS);
    assert_eq!(network.send_frame(A, B, IPV6, Some(5)), B);
    assert_eq!(network.send_frame(A, B, IPV6, None), "dropped");
}

#[test]
fn nobody_claims_the_gateway_s_address() {
    let mut network = acme_and("");
    for operation in [1, 2] {
        assert_eq!(network.arp(A, operation, GATEWAY, "192.168.0.2"), "dropped", "{operation}");
        // `bridge` holds ARP to anything but the gateway's address.
        assert_eq!(network.arp(A, operation, "192.168.0.77", "192.168.0.2"), B, "{operation}");
    }
    let mut open =
        Network::new(&[&format!("{}anti_spoof = \"none\"\n{}", &ACME[..14], &ACME[14..]), BETA], &PODS);
    assert_eq!(open.arp(A, 2, GATEWAY, "192.168.0.2"), B);
    let mut rainbond =
        Network::new(&[&format!("{}profile = \"rainbond\"\n{}", &ACME[..14], &ACME[14..]), BETA], &PODS);
    assert_eq!(rainbond.send_frame(A, B, IPV6, None), B);
    assert_eq!(rainbond.send_frame(A, B, IPV6, Some(5)), B);
}

#[test]
fn a_port_that_is_tied_to_its_address_claims_no_other() {
    let vm = "[[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"h\"\ninterface = \"tap0\"\nmac = \"02:aa:00:00:00:77\"\naddress = \"192.168.0.7\"\n";
    for (kind, other) in [("port", "dropped"), ("bridge", "acme/192.168.0.1+acme/192.168.0.2")] {
        let acme = format!("{}anti_spoof = \"{kind}\"\n{}{vm}", &ACME[..14], &ACME[14..]);
        let mut network = Network::new(&[&acme, BETA], &PODS);
        let port = network.id("acme/port/vm");
        let mac = "02:aa:00:00:00:77".parse().unwrap();
        network.station("acme/192.168.0.7", port, "192.168.0.7".parse().unwrap(), mac);
        let vm = "acme/192.168.0.7";
        assert_eq!(network.arp(vm, 2, "192.168.0.7", "192.168.0.9"), "acme/192.168.0.1+acme/192.168.0.2");
        assert_eq!(network.arp(vm, 2, "192.168.0.1", "192.168.0.9"), other, "{kind}");
        assert_eq!(network.arp(vm, 2, GATEWAY, "192.168.0.9"), "dropped", "{kind}");
        assert_eq!(network.send_frame(vm, B, 0x0800, Some(5)), "dropped", "{kind}");
        assert_eq!(network.send_frame(vm, B, 0x0800, None), B, "{kind}");
    }
}
