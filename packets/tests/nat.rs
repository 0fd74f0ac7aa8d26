//! Exposed ports (DNAT) and egress (SNAT).

use crate::network::{A, ACME, D, Network, PODS, WORLD, acme_and};
use crate::rules::DB_RULES;

const EXPOSE: &str = "[[expose]]\npublic = \"198.51.100.1:443\"\nto = { bridge = \"web\", address = \"192.168.0.1\", tcp = 8443 }\n";

#[test]
fn an_exposed_port_replies_from_its_public_address() {
    let mut network = acme_and(&format!("{EXPOSE}{DB_RULES}"));
    assert_eq!(
        network.send("world", WORLD, "198.51.100.1", "tcp 3333>443"),
        "acme/192.168.0.1 203.0.113.1:3333>192.168.0.1:8443"
    );
    assert_eq!(
        network.send(A, "192.168.0.1", WORLD, "tcp 8443>3333"),
        "world 198.51.100.1:443>203.0.113.1:3333"
    );
    assert_eq!(network.send("world", WORLD, "198.51.100.1", "tcp 3333>444"), "dropped");
    assert_eq!(network.send("world", WORLD, "198.51.100.1", "udp 3333>443"), "dropped");
    assert_eq!(
        network.send("world", "192.168.0.9", "198.51.100.1", "tcp 3333>443"),
        "dropped",
        "an inside source from outside"
    );
    assert_eq!(network.send(A, "192.168.0.1", "8.8.8.8", "tcp 5555>80"), "world 172.16.0.6:1024>8.8.8.8:80");
    // From another bridge of the tenant, and from another tenant.
    assert_eq!(
        network.send(D, "192.168.1.1", "198.51.100.1", "tcp 7>443"),
        "acme/192.168.0.1 192.168.1.1:7>192.168.0.1:8443"
    );
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.1.1", "tcp 8443>7"),
        "acme/192.168.1.1 198.51.100.1:443>192.168.1.1:7"
    );
    let beta = "beta/192.168.0.1";
    assert_eq!(
        network.send(beta, "192.168.0.1", "198.51.100.1", "tcp 9>443"),
        "acme/192.168.0.1 172.16.0.10:1024>192.168.0.1:8443"
    );
    assert_eq!(
        network.send(A, "192.168.0.1", "172.16.0.10", "tcp 8443>1024"),
        "beta/192.168.0.1 198.51.100.1:443>192.168.0.1:9"
    );
}

/// The reply comes back by the router: from the public address, to the pod that asked.
#[test]
fn a_pod_uses_the_exposed_port_of_a_pod_on_its_own_bridge() {
    let rules = "[[rule]]\nname = \"in\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\", tcp = 8443 }\naction = \"accept\"\n[[rule]]\nname = \"else\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\" }\naction = \"drop\"\n";
    let stateless = rules.replace("action = \"accept\"", "action = \"accept\"\nstateful = false");
    let stateless = stateless
        .replace("from = { bridge = \"web\" }\nto = { bridge = \"web\", tcp", "to = { bridge = \"web\", tcp");
    for (profile, more) in [("strict", ""), ("strict", rules), ("rainbond", ""), ("strict", &stateless)] {
        for egress in ["\"snat\"", "\"none\"", "{ snat = \"198.51.100.9\" }"] {
            let acme = format!(
                "{}profile = \"{profile}\"\negress = {egress}\n{}{EXPOSE}{more}",
                &ACME[..14],
                &ACME[14..]
            );
            let mut network = Network::new(&[&acme, crate::network::BETA], &PODS);
            let b = "acme/192.168.0.2";
            assert_eq!(
                network.send(b, "192.168.0.2", "198.51.100.1", "tcp 7>443"),
                "acme/192.168.0.1 172.16.0.6:1024>192.168.0.1:8443",
                "{profile} {egress} {more}"
            );
            assert_eq!(
                network.send(A, "192.168.0.1", "172.16.0.6", "tcp 8443>1024"),
                "acme/192.168.0.2 198.51.100.1:443>192.168.0.2:7",
                "{profile} {egress} {more}"
            );
        }
    }
    // The pod itself may ask as well.
    let mut network = acme_and(EXPOSE);
    let itself = network.send(A, "192.168.0.1", "198.51.100.1", "tcp 7>443");
    assert_eq!(itself, "acme/192.168.0.1 172.16.0.6:1024>192.168.0.1:8443");
    // A rule about the pod's own address is about hairpin traffic as well.
    let drop = "[[rule]]\nname = \"no\"\nfrom = { cidr = \"192.168.0.2/32\" }\nto = { bridge = \"web\", tcp = 8443 }\naction = \"drop\"\n";
    let mut network = acme_and(&format!("{EXPOSE}{drop}"));
    assert_eq!(network.send("acme/192.168.0.2", "192.168.0.2", "198.51.100.1", "tcp 7>443"), "dropped");
}

#[test]
fn a_rule_limits_the_sources_of_an_exposed_port() {
    let mut network = acme_and(&format!(
        "{EXPOSE}[[address_group]]\nname = \"office\"\naddresses = [\"203.0.113.0/30\"]\n[[rule]]\nname = \"office\"\nfrom = {{ address_group = \"office\" }}\nto = {{ bridge = \"web\", tcp = 8443 }}\naction = \"accept\"\n[[rule]]\nname = \"others\"\nfrom = {{ world = true }}\nto = {{ bridge = \"web\", tcp = 8443 }}\naction = \"drop\"\n"
    ));
    assert_eq!(
        network.send("world", WORLD, "198.51.100.1", "tcp 3>443"),
        "acme/192.168.0.1 203.0.113.1:3>192.168.0.1:8443"
    );
    assert_eq!(network.send("world", "9.9.9.9", "198.51.100.1", "tcp 3>443"), "dropped");
}

#[test]
fn tenants_without_snat_are_reached_only_by_rule() {
    let tenant = "name = \"acme\"\negress = \"none\"\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[[bridge]]\nname = \"web\"\ncidr = \"10.7.0.0/24\"\n";
    let rule = "[[rule]]\nname = \"in\"\nfrom = { world = true }\nto = { bridge = \"web\", tcp = 443 }\naction = \"accept\"\n";
    let pods = [("acme", "web", "10.7.0.1")];
    let mut closed = Network::new(&[tenant], &pods);
    assert_eq!(
        closed.send("acme/10.7.0.1", "10.7.0.1", "8.8.8.8", "tcp 1>80"),
        "world 10.7.0.1:1>8.8.8.8:80"
    );
    assert_eq!(
        closed.send("world", "8.8.8.8", "10.7.0.1", "tcp 80>1"),
        "acme/10.7.0.1 8.8.8.8:80>10.7.0.1:1"
    );
    assert_eq!(closed.send("world", "8.8.8.8", "10.7.0.1", "tcp 5>443"), "dropped");
    let mut open = Network::new(&[&format!("{tenant}{rule}")], &pods);
    assert_eq!(
        open.send("world", "8.8.8.8", "10.7.0.1", "tcp 5>443"),
        "acme/10.7.0.1 8.8.8.8:5>10.7.0.1:443"
    );
    assert_eq!(
        open.send("acme/10.7.0.1", "10.7.0.1", "8.8.8.8", "tcp 443>5"),
        "world 10.7.0.1:443>8.8.8.8:5"
    );
    assert_eq!(open.send("world", "8.8.8.8", "10.7.0.1", "tcp 5>22"), "dropped");
}

#[test]
fn snat_to_public_addresses_is_reversed() {
    let mut network =
        Network::new(&[&format!("egress = {{ snat = \"198.51.100.8-198.51.100.11\" }}\n{ACME}")], &PODS[..4]);
    assert_eq!(network.send(A, "192.168.0.1", "8.8.8.8", "udp 5>53"), "world 198.51.100.8:1024>8.8.8.8:53");
    assert_eq!(
        network.send("world", "8.8.8.8", "198.51.100.8", "udp 53>1024"),
        "acme/192.168.0.1 8.8.8.8:53>192.168.0.1:5"
    );
    assert_eq!(network.send("world", "8.8.8.8", "198.51.100.9", "tcp 5>22"), "dropped");
    assert_eq!(
        network.send(A, "192.168.0.1", "8.8.8.8", "47 0>0"),
        "dropped",
        "a packet without SNAT stays inside"
    );
}
