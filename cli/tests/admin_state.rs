//! Devices and ports that somebody switches off by hand.

use serde_json::Value;

use crate::by_hand::{ByHand, VERSIONS};

const TENANT: &str = "profile = \"rainbond\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n\
    [[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.5\"\n";

/// Every object with an admin state: its key, its collection, its media type, its kind in words.
const OBJECTS: [(&str, &str, &str, &str); 7] = [
    ("acme/router", "routers", "Router", "router"),
    ("site/provider-router", "routers", "Router", "router"),
    ("acme/bridge/web", "bridges", "Bridge", "bridge"),
    ("acme/bridge/web/gateway-port", "ports", "Port", "router port"),
    ("acme/bridge/web/gateway-peer", "ports", "Port", "bridge port"),
    ("acme/uplink/provider-port", "ports", "Port", "router port"),
    ("acme/port/p", "ports", "Port", "bridge port"),
];

#[test]
fn what_is_switched_off_by_hand_is_drift_and_is_repaired() {
    for version in VERSIONS {
        let lab = ByHand::new(version, &[("acme", TENANT)]);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let trace = ["trace", ".", "--live", "--from", "acme/web/10.1.0.7", "--to", "8.8.8.8"];
        let before = lab.objects("Port").len();
        for (key, collection, media_type, kind) in OBJECTS {
            let path = format!("/{collection}/{}", lab.id(key));
            let whole = lab.get(&path, media_type);
            lab.change(&path, media_type, &[("adminStateUp", false.into())]);
            let drift = lab.run(&["drift", "."]).expect_code(8);
            let line = format!("changed  {key}  {kind}: admin_state_up: false → true");
            assert!(drift.stdout.contains(&line), "{version:?}:\n{}", drift.stdout);
            assert!(drift.stdout.contains("1 object differs"), "{version:?}:\n{}", drift.stdout);
            let plan = lab.run(&["plan", ".", "--out", "plan.json"]).expect_code(0);
            assert!(plan.stdout.contains("1 to update"), "{version:?}:\n{}", plan.stdout);
            let _ = lab.run(&["apply", "plan.json", "--yes", "--verify"]).expect_code(0);
            let again = lab.get(&path, media_type);
            assert_eq!(again["adminStateUp"], true, "{version:?} {key}");
            // Nothing else was changed: the port keeps its link, its binding and its addresses.
            for field in
                ["peerId", "hostId", "interfaceName", "portAddress", "portMac", "name", "inboundFilterId"]
            {
                assert_eq!(again[field], whole[field], "{version:?} {key} {field}");
            }
            let _ = lab.run(&["drift", "."]).expect_code(0);
            // An undo restores what was there, and a further apply repairs it.
            let _ = lab.run(&["undo", "plan.json", "--yes"]).expect_code(0);
            assert_eq!(lab.get(&path, media_type)["adminStateUp"], false, "{version:?} {key}");
            if key == "acme/router" {
                let off = lab.run(&trace).expect_code(0);
                assert!(off.stdout.contains("dropped at acme/router"), "{version:?}:\n{}", off.stdout);
            }
            let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        }
        assert_eq!(lab.objects("Port").len(), before, "{version:?}");
    }
}

/// A static port is on the way to its address, whatever the packet's destination is called.
#[test]
fn a_trace_goes_through_the_static_port_of_an_address() {
    let tenant =
        format!("{TENANT}[[expose]]\npublic = \"203.0.113.1:443\"\nto = {{ port = \"p\", tcp = 8443 }}\n");
    for version in VERSIONS {
        let lab = ByHand::new(version, &[("acme", &tenant)]);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let ending = |(from, to): &(&str, &str)| {
            let trace = ["trace", ".", "--live", "--from", from, "--to", to, "--tcp", "443", "--json"];
            let ran = lab.run(&trace).expect_code(0);
            serde_json::from_str::<Value>(&ran.stdout).unwrap()["ending"]["is"].as_str().unwrap().to_owned()
        };
        let near = "acme/web/10.1.0.9";
        let ways =
            [("world", "203.0.113.1"), (near, "10.1.0.5"), (near, "acme/web/10.1.0.5"), (near, "acme/p")];
        for way in &ways {
            assert_eq!(ending(way), "delivered", "{version:?} {way:?}");
        }
        lab.change(&format!("/ports/{}", lab.id("acme/port/p")), "Port", &[("adminStateUp", false.into())]);
        for way in &ways {
            assert_eq!(ending(way), "dropped", "{version:?} {way:?}");
        }
    }
}
