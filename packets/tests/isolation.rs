//! The packets of tenants with the strict profile and the rainbond profile, of peers and of static ports.

use crate::network::{A, ACME, BETA, D, Network, PODS, WORLD, acme_and};
use crate::rules::DB_RULES;

#[test]
fn a_strict_tenant_accepts_no_connections_from_outside() {
    let mut network = acme_and("");
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.0.2", "tcp 1>2"),
        "acme/192.168.0.2 192.168.0.1:1>192.168.0.2:2"
    );
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.1.1", "udp 1>2"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:2"
    );
    assert_eq!(
        network.send(D, "192.168.1.1", "192.168.0.1", "udp 2>1"),
        "acme/192.168.0.1 192.168.1.1:2>192.168.0.1:1"
    );
    assert_eq!(network.send(A, "192.168.0.1", "8.8.8.8", "udp 5000>53"), "world 172.16.0.6:1024>8.8.8.8:53");
    assert_eq!(
        network.send("world", "8.8.8.8", "172.16.0.6", "udp 53>1024"),
        "acme/192.168.0.1 8.8.8.8:53>192.168.0.1:5000"
    );
    assert_eq!(network.send(A, "192.168.0.1", "8.8.8.8", "icmp"), "world 172.16.0.6:8>8.8.8.8:0");
    assert_eq!(
        network.send("world", "8.8.8.8", "172.16.0.6", "icmp 0>0"),
        "acme/192.168.0.1 8.8.8.8:0>192.168.0.1:0"
    );
    for (destination, what) in
        [("172.16.0.6", "udp 53>1025"), ("172.16.0.6", "tcp 1>22"), ("172.16.0.6", "icmp")]
    {
        assert_eq!(network.send("world", WORLD, destination, what), "dropped", "{what}");
    }
    assert_eq!(
        network.send("beta/192.168.0.1", "192.168.0.1", "8.8.8.8", "udp 1>53"),
        "world 172.16.0.10:1024>8.8.8.8:53"
    );
}

#[test]
fn a_strict_tenant_reaches_no_links_and_sends_no_foreign_sources() {
    let mut network = acme_and("");
    for destination in ["172.16.0.10", "172.16.0.9", "172.16.0.5", "172.16.0.6"] {
        for what in ["tcp 1>2", "icmp", "udp 5>6"] {
            assert_eq!(network.send(A, "192.168.0.1", destination, what), "dropped", "{destination} {what}");
        }
    }
    for source in ["10.66.0.1", "192.168.1.1", "8.8.8.8", "172.16.0.6"] {
        for destination in ["192.168.0.2", "192.168.1.1", "8.8.8.8"] {
            assert_eq!(
                network.send(A, source, destination, "tcp 5>6"),
                "dropped",
                "{source} to {destination}"
            );
        }
    }
}

#[test]
fn the_rainbond_profile_matches_the_recordings() {
    let mut network = Network::new(
        &[&format!("profile = \"rainbond\"\n{ACME}"), &format!("profile = \"rainbond\"\n{BETA}")],
        &PODS,
    );
    assert_eq!(
        network.send(A, "10.66.0.1", "192.168.0.2", "tcp 5>6"),
        "acme/192.168.0.2 10.66.0.1:5>192.168.0.2:6"
    );
    assert_eq!(network.send(A, "192.168.0.1", "172.16.0.9", "icmp"), "consumed");
    assert_eq!(network.send(A, "192.168.0.1", "8.8.8.8", "udp 5000>53"), "world 172.16.0.6:1024>8.8.8.8:53");
    assert_eq!(
        network.send("world", "8.8.8.8", "172.16.0.6", "udp 53>1024"),
        "acme/192.168.0.1 8.8.8.8:53>192.168.0.1:5000"
    );
}

#[test]
fn peers_reach_only_the_selected_bridges() {
    let beta = BETA.replace("192.168.0.0/24", "192.168.8.0/24")
        + "[[bridge]]\nname = \"private\"\ncidr = \"192.168.9.0/24\"\n[[peer]]\ntenant = \"acme\"\nbridges = [\"web\"]\n";
    let acme = format!("{ACME}{DB_RULES}[[peer]]\ntenant = \"beta\"\nbridges = [\"web\", \"db\"]\n");
    let pods = [
        ("acme", "web", "192.168.0.1"),
        ("acme", "db", "192.168.1.1"),
        ("beta", "web", "192.168.8.1"),
        ("beta", "private", "192.168.9.1"),
    ];
    let mut network = Network::new(&[&acme, &beta], &pods);
    let (b, p) = ("beta/192.168.8.1", "beta/192.168.9.1");
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.8.1", "tcp 1>80"),
        "beta/192.168.8.1 192.168.0.1:1>192.168.8.1:80"
    );
    assert_eq!(
        network.send(b, "192.168.8.1", "192.168.0.1", "tcp 80>1"),
        "acme/192.168.0.1 192.168.8.1:80>192.168.0.1:1"
    );
    assert_eq!(
        network.send(b, "192.168.8.1", "192.168.0.1", "tcp 5>22"),
        "acme/192.168.0.1 192.168.8.1:5>192.168.0.1:22"
    );
    assert_eq!(
        network.send(b, "192.168.8.1", "192.168.1.1", "tcp 5>22"),
        "dropped",
        "the peer's own rules apply"
    );
    assert_eq!(
        network.send(p, "192.168.9.1", "192.168.0.1", "tcp 5>22"),
        "dropped",
        "a bridge that is not selected"
    );
    assert_ne!(network.send(A, "192.168.0.1", "192.168.9.1", "tcp 5>22").split(' ').next(), Some(p));
    assert_eq!(network.send(b, "10.0.0.1", "192.168.0.1", "tcp 5>22"), "dropped", "a foreign source");
}

#[test]
fn a_route_by_an_appliance_passes_the_source_check() {
    let mut network = acme_and(
        "[[route]]\ndestination = \"10.50.0.0/16\"\nvia = \"192.168.1.2\"\n[[route]]\ndestination = \"10.60.0.0/16\"\ntype = \"blackhole\"\n",
    );
    assert_eq!(
        network.send(A, "192.168.0.1", "10.50.1.1", "tcp 1>2"),
        "acme/192.168.1.2 192.168.0.1:1>10.50.1.1:2"
    );
    assert_eq!(
        network.send("acme/192.168.1.2", "10.50.1.1", "192.168.0.1", "tcp 2>1"),
        "acme/192.168.0.1 10.50.1.1:2>192.168.0.1:1"
    );
    assert_eq!(network.send("acme/192.168.1.2", "10.51.1.1", "192.168.0.1", "tcp 2>1"), "dropped");
    assert_eq!(network.send(A, "192.168.0.1", "10.60.1.1", "tcp 1>2"), "dropped");
}

#[test]
fn anti_spoof_by_port_ties_a_port_to_its_address_and_mac() {
    let port = "anti_spoof = \"port\"\n";
    let statics = "[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"h\"\ninterface = \"tap0\"\nmac = \"02:bb:00:00:00:01\"\naddress = \"192.168.0.50\"\n";
    let mut network = Network::new(&[&format!("{port}{ACME}{statics}")], &PODS[..2]);
    let id = network.id("acme/port/p");
    network.station("acme/p", id, "192.168.0.50".parse().unwrap(), "02:bb:00:00:00:01".parse().unwrap());
    assert_eq!(
        network.send("acme/p", "192.168.0.50", "192.168.0.1", "tcp 1>2"),
        "acme/192.168.0.1 192.168.0.50:1>192.168.0.1:2"
    );
    assert_eq!(network.send("acme/p", "192.168.0.51", "192.168.0.1", "tcp 1>2"), "dropped");
    network.stations.last_mut().unwrap().mac = "02:bb:00:00:00:02".parse().unwrap();
    assert_eq!(network.send("acme/p", "192.168.0.50", "192.168.0.1", "tcp 1>2"), "dropped");
}
