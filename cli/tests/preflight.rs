//! What an apply needs from the network: a plan says what is not there, before the first call.

use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;
use serde_json::{Value, json};

use crate::MIDOFORM;
use crate::by_hand::{ByHand, VERSIONS};
use crate::pods::HOST;
use crate::served::Served;

const WEB: &str = "[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";
const DEN: &str = "[[bridge]]\nname = \"den\"\ncidr = \"10.2.0.0/24\"\n";
const OTHER: &str = "22222222-3333-4444-5555-666666666666";

fn port(name: &str, host: &str, interface: &str, last: u8) -> String {
    format!(
        "[[port]]\nname = \"{name}\"\nbridge = \"web\"\nhost = \"{host}\"\ninterface = \"{interface}\"\nmac = \"02:00:00:00:00:{last:02x}\"\naddress = \"10.1.0.{last}\"\n"
    )
}

/// Runs plan and apply; each ends with 6, says all these words, and sends nothing.
fn is_refused(lab: &ByHand, words: &[&str]) {
    let count = |kind: &str| lab.objects(kind).len();
    let before = ["Router", "Network", "Chain", "Rule", "Port", "TunnelZone"].map(count);
    for command in [&["plan", "."][..], &["apply", ".", "--yes"], &["apply", ".", "--dry-run"]] {
        let ran = lab.run(command).expect_code(6);
        for word in words {
            assert!(ran.stderr.contains(word), "{command:?} {word}:\n{}", ran.stderr);
        }
    }
    assert_eq!(["Router", "Network", "Chain", "Rule", "Port", "TunnelZone"].map(count), before);
}

#[test]
fn hosts_that_are_not_registered_or_in_no_zone_are_named_with_their_lines() {
    for version in VERSIONS {
        let lab = ByHand::new(version, &[("acme", &format!("{WEB}{}", port("p", "node2", "tap0", 5)))]);
        let site = lab.folder.read("site.toml");
        let second =
            format!("{site}[[host]]\nname = \"node2\"\nid = \"{OTHER}\"\ntunnel_address = \"10.255.0.2\"\n");
        lab.folder.write("site.toml", &second);
        // Both the membership and the binding: everything at once.
        is_refused(
            &lab,
            &[
                "site.toml:13: site/tunnel-zone/host/node2",
                OTHER,
                "is not registered at the API",
                "acme.toml:6: acme/port/p",
            ],
        );
        // Registered, but in no zone: the site has no tunnel zone of its own.
        let start = site.find("[tunnel_zone]").unwrap();
        let hosts = site.find("[[host]]").unwrap();
        let bare =
            format!("{}{}", &site[..start], site[hosts..].replace("tunnel_address = \"10.255.0.1\"\n", ""));
        lab.folder.write("site.toml", bare);
        lab.folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{}", port("p", "node1", "tap0", 5)));
        is_refused(&lab, &["acme.toml:6: acme/port/p/binding", HOST, "is in no tunnel zone"]);
        // Somebody else puts it into a zone of their own.
        let zone = lab.post("/tunnel_zones", "TunnelZone", &json!({ "name": "theirs", "type": "gre" }));
        lab.post(
            &format!("/tunnel_zones/{zone}/hosts"),
            "TunnelZoneHost",
            &json!({ "hostId": HOST, "ipAddress": "10.255.0.9" }),
        );
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
    }
}

#[test]
fn a_taken_name_of_the_tunnel_zone_is_named() {
    for version in VERSIONS {
        let lab = ByHand::new(version, &[("acme", WEB)]);
        let other = lab.post("/tunnel_zones", "TunnelZone", &json!({ "name": "zone", "type": "gre" }));
        is_refused(&lab, &["site.toml:7: site/tunnel-zone", "the name `zone` is taken", &other]);
        assert_eq!(lab.send("DELETE", &format!("/tunnel_zones/{other}"), "TunnelZone", "").0, 204);
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
    }
}

#[test]
fn an_interface_of_another_port_is_named() {
    for version in VERSIONS {
        let lab = ByHand::new(version, &[("acme", WEB)]);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let bridge = lab.post("/bridges", "Bridge", &json!({ "name": "theirs", "tenantId": "me" }));
        let theirs = lab.post(&format!("/bridges/{bridge}/ports"), "Port", &json!({ "type": "Bridge" }));
        let bound = json!({ "hostId": HOST, "interfaceName": "tap0", "portId": theirs });
        lab.post(&format!("/hosts/{HOST}/ports"), "HostInterfacePort", &bound);
        lab.folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{}", port("p", "node1", "tap0", 5)));
        is_refused(&lab, &["acme.toml:6: acme/port/p/binding", "interface tap0 of host", &theirs]);
        assert_eq!(lab.send("DELETE", &format!("/ports/{theirs}"), "Port", "").0, 204);
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
    }
}

/// An interface that moves from one port of the spec to another is no conflict: the old binding is deleted before the new one is
/// made, also where two ports exchange their interfaces, and from tenant to tenant.
#[test]
fn interfaces_move_from_port_to_port() {
    for version in VERSIONS {
        for _ in 0..5 {
            let lab = ByHand::new(version, &[("acme", WEB), ("zoo", DEN)]);
            let written = |acme: &str, zoo: &str| {
                lab.folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{acme}"));
                lab.folder.write("zoo.toml", format!("name = \"zoo\"\n{DEN}{zoo}"));
                let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
                let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
            };
            let p = |interface: &str| port("p", "node1", interface, 5);
            let q = |interface: &str| port("q", "node1", interface, 6);
            written(&p("tap0"), "");
            written(&(p("tap1") + &q("tap0")), "");
            written(&(p("tap0") + &q("tap1")), "");
            let other = port("other", "node1", "tap1", 7).replace("web", "den").replace("10.1.0", "10.2.0");
            written(&p("tap0"), &other);
            written(&(p("tap1") + &q("tap0")), &other.replace("tap1", "tap2"));
        }
    }
}

/// An interface of a port that the options leave alone is a conflict, and no fault of the plan.
#[test]
fn an_interface_of_a_port_that_is_left_alone_is_named() {
    for version in VERSIONS {
        let lab = ByHand::new(
            version,
            &[("acme", &(WEB.to_owned() + &port("p", "node1", "tap0", 5))), ("zoo", DEN)],
        );
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let other = port("q", "node1", "tap0", 6).replace("web", "den").replace("10.1.0", "10.2.0");
        lab.folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{}", port("p", "node1", "tap1", 5)));
        lab.folder.write("zoo.toml", format!("name = \"zoo\"\n{DEN}{other}"));
        for options in [["--exclude", "acme"], ["--exclude", "acme/port/p"], ["--target", "zoo"]] {
            for command in [&["plan", "."][..], &["apply", ".", "--yes"]] {
                let refused = lab.run(&[command, &options].concat()).expect_code(6).stderr;
                for words in
                    ["zoo.toml:6: zoo/port/q/binding", "interface tap0 of host", "choose another interface"]
                {
                    assert!(refused.contains(words), "{version:?} {options:?} {words}: {refused}");
                }
            }
        }
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
    }
}

/// Hosts that exchange their addresses in the tunnel zone.
#[test]
fn hosts_exchange_their_tunnel_addresses() {
    for (version, dialect) in VERSIONS {
        let folder = TestFolder::default();
        let second = format!("{OTHER}=node2");
        let _served = Served::with_node_and(&folder, dialect, version, &["--host", &second]);
        let site = folder.read("site.toml");
        let (head, _) = site.split_once("[[host]]").unwrap();
        folder.write("acme.toml", format!("name = \"acme\"\n{WEB}"));
        let host = |name: &str, id: &str, last: u8| {
            format!("[[host]]\nname = \"{name}\"\nid = \"{id}\"\ntunnel_address = \"10.255.0.{last}\"\n")
        };
        for (one, two) in [(1, 2), (2, 1), (1, 3), (3, 1)] {
            let hosts = host("node1", HOST, one) + &host("node2", OTHER, two);
            folder.write("site.toml", format!("{head}{hosts}"));
            let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
            let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        }
    }
}

#[test]
fn a_provider_router_that_is_not_there_is_named_with_its_line() {
    for version in VERSIONS {
        let lab = ByHand::new(version, &[("acme", WEB)]);
        let site = lab.folder.read("site.toml");
        lab.folder
            .write("site.toml", site.replace("managed = true", &format!("provider_router = \"{OTHER}\"")));
        is_refused(&lab, &["site.toml:5: there is no router", OTHER, "provider_router"]);
    }
}

/// A static port that moves to another host is unbound from the host that it was bound to.
#[test]
fn a_port_moves_to_another_host() {
    for (version, dialect) in VERSIONS {
        let folder = TestFolder::default();
        let second = format!("{OTHER}=node2");
        let served = Served::with_node_and(&folder, dialect, version, &["--inspect", "--host", &second]);
        let site = folder.read("site.toml");
        folder.write(
            "site.toml",
            format!("{site}[[host]]\nname = \"node2\"\nid = \"{OTHER}\"\ntunnel_address = \"10.255.0.2\"\n"),
        );
        let run = |arguments: &[&str]| folder.run(MIDOFORM, arguments).expect_code(0);
        let write = |host: &str| {
            folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{}", port("p", host, "tap0", 5)))
        };
        let bound_to = || {
            let answer =
                Connection::open(served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap();
            let all: Value = serde_json::from_str(&answer.body).unwrap();
            // 5.x keeps a binding in its port.
            let kind = if version == "1.7" { "HostInterfacePort" } else { "Port" };
            let bindings = all["objects"][kind].as_array().cloned().unwrap_or_default();
            let bindings = bindings.iter().filter(|one| one["hostId"].is_string());
            bindings.map(|one| one["hostId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        write("node1");
        let _ = run(&["apply", ".", "--yes", "--verify"]);
        write("node2");
        let _ = run(&["plan", ".", "--out", "moved.json"]);
        let _ = run(&["apply", "moved.json", "--yes", "--verify"]);
        assert_eq!(bound_to(), [OTHER], "{version}");
        let _ = run(&["undo", "moved.json", "--yes", "--verify"]);
        assert_eq!(bound_to(), [HOST], "{version}");
        let _ = run(&["destroy", ".", "--yes"]);
        assert_eq!(bound_to(), Vec::<String>::new(), "{version}");
        write("node1");
        let _ = run(&["apply", ".", "--yes", "--verify"]);
    }
}

/// The first apply of a single tenant brings its hosts into the tunnel zone.
#[test]
fn a_target_includes_the_membership_of_its_hosts() {
    for version in VERSIONS {
        let lab = ByHand::new(
            version,
            &[("acme", &format!("{WEB}{}", port("p", "node1", "tap0", 5))), ("zoo", DEN)],
        );
        let _ = lab.run(&["apply", ".", "--yes", "--target", "acme"]).expect_code(0);
        assert_eq!(lab.objects("TunnelZoneHost").len(), 1, "{version:?}");
        assert!(lab.objects("Network").iter().all(|bridge| bridge["name"] != "zoo den"), "{version:?}");
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
    }
}
