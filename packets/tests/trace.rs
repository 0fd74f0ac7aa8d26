//! Traces of single packets.

use std::net::Ipv4Addr;

use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_packets::trace::{Ending, Endpoint, HeldAddresses, TraceNetwork, TraceReport};
use serde_json::json;

use crate::samples::Project;

const SITE: &str =
    "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\n";
const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.0.1.0/24\"\n";
const BETA: &str = "name = \"beta\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.8.0/24\"\n";
const EXPOSE: &str = "[[expose]]\npublic = \"198.51.100.1:443\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 8443 }\n";

fn topology(acme: &str, beta: &str) -> Topology {
    let (acme, beta) = (format!("{ACME}{acme}"), format!("{BETA}{beta}"));
    Project::of_text(SITE, &[("acme.toml", &acme), ("beta.toml", &beta)]).compile().topology
}

fn pod(tenant: &str, bridge: &str, address: &str) -> Endpoint {
    Endpoint::Pod(Key::tenant(tenant).bridge(bridge).device(), address.parse().unwrap())
}

/// Traces a TCP packet from a pod of acme to an address.
fn trace(topology: &Topology, held: Option<HeldAddresses>, to: &Endpoint, port: u16) -> TraceReport {
    let mut network = TraceNetwork::new(topology);
    let from = network.attach(&pod("acme", "web", "10.0.0.5")).unwrap();
    if let Some(held) = held {
        network.limit_to(held);
    }
    network.attach_destination(to).unwrap();
    let packet = network.packet(&from, "10.0.0.5".parse().unwrap(), to.address(), (6, 40_000, port));
    network.trace(&from, packet)
}

fn bare(address: &str) -> Endpoint {
    Endpoint::World(address.parse().unwrap())
}

fn delivered_to(report: &TraceReport) -> Option<&str> {
    match &report.ending {
        Ending::Delivered { at } => at.first().map(String::as_str),
        _ => None,
    }
}

#[test]
fn an_address_of_a_peer_needs_no_name_of_the_peer() {
    let peers = ("[[peer]]\ntenant = \"beta\"\n", "[[peer]]\ntenant = \"acme\"\n");
    let topology = topology(peers.0, peers.1);
    let by_address = trace(&topology, None, &bare("10.0.8.7"), 80);
    assert_eq!(delivered_to(&by_address), Some("beta/web/10.0.8.7"));
    let by_name = trace(&topology, None, &pod("beta", "web", "10.0.8.7"), 80);
    assert_eq!(serde_json::to_value(&by_address).unwrap(), serde_json::to_value(&by_name).unwrap());
    assert!(by_address.reply.is_some_and(|reply| reply.ending.is_delivered()));
}

#[test]
fn a_rejected_packet_ends_with_its_icmp_error() {
    let rule = "[[rule]]\nname = \"no\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\" }\naction = \"reject\"\n";
    let report = trace(&topology(rule, ""), None, &bare("10.0.1.7"), 22);
    let ending = serde_json::to_value(&report.ending).unwrap();
    assert_eq!(ending["is"], "rejected", "{ending}");
    assert_eq!(ending["rule"], "acme/chain/policy/rule/no");
    assert_eq!(
        ending["icmp"],
        json!({"type": 3, "code": 13, "source": "10.0.0.254", "destination": "10.0.0.5"})
    );
    let text = report.ending.to_string();
    assert!(text.starts_with("rejected at acme/router by the rule acme/chain/policy/rule/no"), "{text}");
    assert!(
        text.ends_with("ICMP type 3 code 13 (administratively prohibited) 10.0.0.254 → 10.0.0.5"),
        "{text}"
    );
    let route = "[[route]]\ndestination = \"10.9.0.0/16\"\ntype = \"reject\"\n";
    let report = trace(&topology(route, ""), None, &bare("10.9.0.1"), 22);
    assert!(matches!(report.ending, Ending::Rejected { rule: None, icmp: Some(_), .. }), "{}", report.ending);
    // A bridge sends no ICMP.
    let inside = "[[rule]]\nname = \"no\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\" }\naction = \"reject\"\n";
    let report = trace(&topology(inside, ""), None, &bare("10.0.0.7"), 22);
    assert!(matches!(report.ending, Ending::Rejected { rule: Some(_), icmp: None, .. }), "{}", report.ending);
}

#[test]
fn a_reply_from_another_address_than_was_asked_is_none() {
    let made = topology(EXPOSE, "");
    let report = trace(&made, None, &bare("198.51.100.1"), 443);
    assert_eq!(delivered_to(&report), Some("acme/web/10.0.0.9"));
    assert!(report.reply.is_some_and(|reply| reply.ending.is_delivered()));
    // As it is without the translation of the source.
    let before = made.filtered(|entry| !entry.key.as_str().contains("hairpin"));
    let report = trace(&before, None, &bare("198.51.100.1"), 443);
    assert_eq!(delivered_to(&report), Some("acme/web/10.0.0.9"));
    let reply = report.reply.unwrap();
    let ending = serde_json::to_value(&reply.ending).unwrap();
    assert_eq!(ending["is"], "not_a_reply");
    assert_eq!((&ending["source"], &ending["expected"]), (&json!("10.0.0.9"), &json!("198.51.100.1")));
}

#[test]
fn an_address_that_nobody_has_gets_no_arp_reply() {
    let made = topology(EXPOSE, "");
    let key = |bridge: &str| Key::tenant("acme").bridge(bridge).device();
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    let mut held = HeldAddresses::default();
    held.known.insert((key("db"), address("10.0.1.7")));
    let waits = |held: &HeldAddresses, to: &Endpoint, port: u16| {
        let report = trace(&made, Some(held.clone()), to, port);
        matches!(report.ending, Ending::Unanswered { .. })
    };
    assert!(!waits(&held, &bare("10.0.1.7"), 80) && !waits(&held, &pod("acme", "db", "10.0.1.7"), 80));
    for (to, port) in [
        (bare("10.0.1.8"), 80),
        (pod("acme", "db", "10.0.1.8"), 80),
        // On its own bridge, and behind an exposed port.
        (bare("10.0.0.7"), 80),
        (bare("198.51.100.1"), 443),
    ] {
        assert!(waits(&held, &to, port), "{to:?}");
    }
    // A port that nobody knows may have any address.
    held.unknown.insert(key("web"));
    assert!(!waits(&held, &bare("10.0.0.7"), 80) && !waits(&held, &bare("198.51.100.1"), 443));
}
