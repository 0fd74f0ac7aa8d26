//! The packets that the rules of a spec match.

use crate::network::{A, D, acme_and};

pub(crate) const DB_RULES: &str = "[[rule]]\nname = \"web-to-db\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n[[rule]]\nname = \"nothing-else-to-db\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";

#[test]
fn rules_between_bridges_are_stateful_and_in_order() {
    let mut network = acme_and(DB_RULES);
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>5432"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:5432"
    );
    assert_eq!(
        network.send(D, "192.168.1.1", "192.168.0.1", "tcp 5432>1"),
        "acme/192.168.0.1 192.168.1.1:5432>192.168.0.1:1"
    );
    assert_eq!(network.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>22"), "dropped");
    assert_eq!(network.send(A, "192.168.0.1", "192.168.1.1", "icmp"), "dropped");
    // The database opens a connection and gets replies, though nobody may open one to it.
    assert_eq!(
        network.send(D, "192.168.1.1", "192.168.0.1", "tcp 7>80"),
        "acme/192.168.0.1 192.168.1.1:7>192.168.0.1:80"
    );
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.1.1", "tcp 80>7"),
        "acme/192.168.1.1 192.168.0.1:80>192.168.1.1:7"
    );
    assert_eq!(network.send(D, "192.168.1.1", "8.8.8.8", "udp 9>53"), "world 172.16.0.6:1024>8.8.8.8:53");
    assert_eq!(
        network.send("world", "8.8.8.8", "172.16.0.6", "udp 53>1024"),
        "acme/192.168.1.1 8.8.8.8:53>192.168.1.1:9"
    );
    assert_eq!(
        network.send(D, "192.168.1.1", "192.168.1.2", "tcp 1>22"),
        "acme/192.168.1.2 192.168.1.1:1>192.168.1.2:22"
    );
}

#[test]
fn rules_to_the_world_match_before_snat() {
    let mut network = acme_and(
        "[[rule]]\nname = \"no-mail\"\nfrom = { bridge = \"web\" }\nto = { world = true, tcp = 25 }\naction = \"reject\"\n[[rule]]\nname = \"not-there\"\nto = { cidr = \"9.9.9.0/24\" }\naction = \"drop\"\n",
    );
    assert_eq!(network.send(A, "192.168.0.1", "8.8.8.8", "tcp 1>25"), "dropped");
    assert_eq!(network.send(D, "192.168.1.1", "8.8.8.8", "tcp 1>25"), "world 172.16.0.6:1024>8.8.8.8:25");
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>25"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:25"
    );
    assert_eq!(network.send(A, "192.168.0.1", "9.9.9.9", "udp 1>53"), "dropped");
}

#[test]
fn rules_inside_a_bridge_work_without_the_router() {
    let mut network = acme_and(
        "[[rule]]\nname = \"ssh\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\", tcp = 22 }\naction = \"accept\"\n[[rule]]\nname = \"apart\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\" }\naction = \"drop\"\n",
    );
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.0.2", "tcp 1>22"),
        "acme/192.168.0.2 192.168.0.1:1>192.168.0.2:22"
    );
    assert_eq!(
        network.send("acme/192.168.0.2", "192.168.0.2", "192.168.0.1", "tcp 22>1"),
        "acme/192.168.0.1 192.168.0.2:22>192.168.0.1:1"
    );
    assert_eq!(network.send(A, "192.168.0.1", "192.168.0.2", "tcp 1>23"), "dropped");
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>23"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:23"
    );
    assert_eq!(
        network.send(D, "192.168.1.1", "192.168.1.2", "tcp 1>23"),
        "acme/192.168.1.2 192.168.1.1:1>192.168.1.2:23"
    );
}

#[test]
fn stateless_rules_match_return_traffic_and_snat_still_happens() {
    let mut network = acme_and(
        "[[rule]]\nname = \"one-way\"\nfrom = { bridge = \"db\" }\nto = { bridge = \"web\", udp = true }\nstateful = false\naction = \"drop\"\n[[rule]]\nname = \"out\"\nfrom = { bridge = \"web\" }\nto = { udp = 53 }\nstateful = false\naction = \"accept\"\n[[rule]]\nname = \"web-quiet\"\nfrom = { bridge = \"web\" }\nto = { world = true }\naction = \"drop\"\n",
    );
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.1.1", "udp 1>2"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:2"
    );
    assert_eq!(network.send(D, "192.168.1.1", "192.168.0.1", "udp 2>1"), "dropped");
    assert_eq!(network.send(A, "192.168.0.1", "8.8.8.8", "udp 9>53"), "world 172.16.0.6:1024>8.8.8.8:53");
    assert_eq!(network.send(A, "192.168.0.1", "8.8.8.8", "tcp 9>80"), "dropped");
}

#[test]
fn port_groups_and_address_groups_match_their_members() {
    let more = "[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"h\"\ninterface = \"tap0\"\nmac = \"02:bb:00:00:00:01\"\naddress = \"192.168.0.1\"\n[[port_group]]\nname = \"g\"\nports = [\"p\"]\n[[rule]]\nname = \"g\"\nfrom = { port_group = \"g\" }\nto = { bridge = \"db\", tcp = [80, \"90-95\"] }\naction = \"accept\"\n[[rule]]\nname = \"none\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";
    let mut network = acme_and(more);
    assert_eq!(
        network.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>93"),
        "acme/192.168.1.1 192.168.0.1:1>192.168.1.1:93"
    );
    assert_eq!(network.send(A, "192.168.0.1", "192.168.1.1", "tcp 1>96"), "dropped");
    assert_eq!(network.send("acme/192.168.0.2", "192.168.0.2", "192.168.1.1", "tcp 1>80"), "dropped");
}
