//! `midoform import`: a router becomes a spec, as far as the grammar can express it.

use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;
use serde_json::{Value as Json, json};

use crate::MIDOFORM;
use crate::plugin_network::{HOST, PluginNetwork};
use crate::served::Served;

const VERSIONS: [(&str, &str); 3] = [("1.7", "1"), ("5.0", "5"), ("5.8", "5")];
const SITE: &str = "name = \"gz1\"\n[midonet]\nurl = \"URL\"\nversion = DIALECT\nmanaged = true\n[[host]]\nname = \"node1\"\nid = \
                    \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"10.0.0.1\"\n[tunnel_zone]\nname = \"z\"\n";
const ACME: &str = r#"
name = "acme"
tenant_id = "0a1b"

[[bridge]]
name = "web"
cidr = "10.20.1.0/24"
gateway = "first"

[[bridge]]
name = "db"
cidr = "10.20.0.0/22"
"#;
const POLICY: &str = r#"
[[route]]
destination = "10.99.0.0/16"
type = "blackhole"

[[route]]
destination = "10.30.0.0/16"
via = "10.20.4.10"

[[rule]]
name = "ping"
to = { bridge = "db", icmp = { type = 3, code = 1 } }
action = "accept"
stateful = false

[[rule]]
name = "office-to-web"
from = { address_group = "office" }
to = { bridge = "web", tcp = [8443, "9000-9010"] }
action = "accept"

[[rule]]
name = "inside"
from = { bridge = "web" }
to = { bridge = "web", udp = 53 }
action = "reject"

[[rule]]
name = "no-mail"
from = { bridge = "web", tcp = "1024-65535" }
to = { world = true, tcp = 25 }
action = "drop"

[[address_group]]
name = "office"
addresses = ["198.51.100.0/24", "203.0.113.77"]

[[expose]]
public = "203.0.113.10:443"
to = { bridge = "web", address = "10.20.1.9", tcp = 8443 }

[[expose]]
public = "203.0.113.10:53"
to = { bridge = "db", address = "10.20.4.53", udp = 5353 }
"#;
const PORTS: &str = r#"
[[port]]
name = "web-1"
bridge = "web"
host = "node1"
interface = "tapweb1"
mac = "02:00:00:00:01:0a"
address = "10.20.1.10"

[[port_group]]
name = "one"
ports = ["web-1"]

[[port]]
name = "a-db"
bridge = "db"
host = "node1"
interface = "tapdb1"
mac = "02:00:00:00:01:0b"
address = "10.20.4.10"

[[port_group]]
name = "both"
ports = ["a-db", "web-1"]

[[rule]]
name = "both-to-the-network"
from = { port_group = "both" }
to = { world = true, tcp = [80, "8000-8100"] }
action = "drop"

[[rule]]
name = "to-both"
to = { port_group = "both", udp = 53 }
action = "reject"

[[rule]]
name = "only-web-1"
from = { port_group = "one" }
to = { bridge = "db", tcp = 5432 }
action = "accept"
"#;

fn project(served: &Served, dialect: &str) -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE.replace("URL", &served.url()).replace("DIALECT", dialect));
    folder
}

fn serve(version: &str) -> Served {
    let folder = TestFolder::default();
    let host = format!("{HOST}=node1");
    Served::start(&folder, &["--version", version, "--inspect", "--host", &host])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr))
}

/// Each of many tenants of midoform is imported into a folder of its own, where the next plan is empty.
#[test]
fn objects_of_midoform_are_imported_completely() {
    let acme = ACME.replace("10.20.0.0/22", "10.20.4.0/22");
    let heads = [
        "",
        "profile = \"rainbond\"\n",
        "egress = \"none\"\n",
        "egress = { snat = \"203.0.113.32-203.0.113.35\" }\n",
    ];
    let spoofs = ["bridge", "port", "none"];
    for (version, dialect) in VERSIONS {
        let served = serve(version);
        for (at, head) in heads.iter().enumerate() {
            for spoof in spoofs {
                let made = project(&served, dialect);
                let ports = if spoof == "port" { PORTS } else { "" };
                let name = format!("t{at}-{spoof}");
                let text = acme.replace("name = \"acme\"", &format!("name = \"{name}\""));
                let spec = format!("anti_spoof = \"{spoof}\"\n{head}{text}{POLICY}{ports}");
                made.write("acme.toml", spec);
                let _ = made.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
                let found = project(&served, dialect);
                let router = format!("{name} default router");
                let told = found.run(MIDOFORM, &["import", &router]).expect_code(0);
                assert!(
                    told.stderr.contains("The next plan is empty"),
                    "{version} {spoof} {head}: {}",
                    told.stderr
                );
                assert!(
                    !told.stderr.contains("not in the spec"),
                    "{version} {spoof} {head}: {}",
                    told.stderr
                );
                let plan = found.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
                assert!(plan.stdout.contains("No changes"), "{version}: {}", plan.stdout);
                if (version, spoof, at) == ("5.8", "port", 0) {
                    let text = found.read(&format!("{name}.toml"));
                    let router = text.lines().next().unwrap().to_owned();
                    midoform_testutil::snapshot_settings("import").bind(|| {
                        insta::assert_snapshot!(
                            "imported_spec",
                            text.replace(&router, "# Written from the router ID")
                        );
                    });
                }
                // Imported objects are owned: a destroy deletes all of them.
                let _ = found.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
                let topology =
                    Connection::open(served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap();
                assert!(
                    !topology.body.contains(&format!("\"{name} ")),
                    "{version}: nothing of {name} is left"
                );
            }
        }
    }
}

/// Makes a router with one bridge, and nothing else.
fn make_by_hand(network: &mut PluginNetwork, dialect: &str) -> (String, String) {
    let media = |kind: &str, v1: u8, v5: u8| {
        let number = if dialect == "1" { v1 } else { v5 };
        format!("application/vnd.org.midonet.{kind}-v{number}+json")
    };
    let router =
        network.post("/routers", &media("Router", 2, 3), &json!({ "name": "My router!", "tenantId": "me" }));
    let bridge =
        network.post("/bridges", &media("Bridge", 1, 4), &json!({ "name": "lan", "tenantId": "me" }));
    let port = network.post(
        &format!("/routers/{router}/ports"),
        &media("Port", 2, 3),
        &json!({ "type": "Router", "networkAddress": "10.3.0.0", "networkLength": 24, "portAddress": "10.3.0.1" }),
    );
    let peer =
        network.post(&format!("/bridges/{bridge}/ports"), &media("Port", 2, 3), &json!({ "type": "Bridge" }));
    network.post(&format!("/ports/{port}/link"), &media("PortLink", 1, 1), &json!({ "peerId": peer }));
    network.post(
        &format!("/routers/{router}/routes"),
        &media("Route", 1, 1),
        &json!({
            "type": "Normal", "srcNetworkAddr": "0.0.0.0", "srcNetworkLength": 0, "dstNetworkAddr": "10.3.0.0",
            "dstNetworkLength": 24, "weight": 0, "nextHopPort": port,
        }),
    );
    (router, bridge)
}

/// A router that somebody created by hand: the spec has what the grammar can express, and differences are reported.
#[test]
fn a_router_made_by_hand_is_imported() {
    for (version, dialect) in VERSIONS {
        let served = serve(version);
        let mut network = PluginNetwork::new(&served, version);
        let folder = project(&served, dialect);
        let (router, bridge) = make_by_hand(&mut network, dialect);
        let dry = folder.run(MIDOFORM, &["import", &router, "--dry-run"]).expect_code(2);
        assert!(dry.stdout.contains("name = \"My-router-\"\ntenant_id = \"me\"\n"), "{}", dry.stdout);
        assert!(dry.stdout.contains("cidr = \"10.3.0.0/24\"\ngateway = \"10.3.0.1\"\n"), "{}", dry.stdout);
        let told = folder.run(MIDOFORM, &["import", "My router!", "--name", "mine", "--json"]).expect_code(2);
        let report: Json = serde_json::from_str(&told.stdout).unwrap();
        let differs: Vec<&str> = report["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["key"].as_str().unwrap())
            .collect();
        assert!(differs.contains(&"mine/router") && differs.contains(&"mine/uplink/port"), "{differs:?}");
        for same in ["mine/bridge/lan/gateway-port", "mine/bridge/lan/gateway-link", "mine/bridge/lan/route"]
        {
            assert!(!differs.contains(&same), "{differs:?}");
        }
        // The plan says just that, and applying it makes the router a tenant's, with the same router and bridge.
        let plan = folder.run(MIDOFORM, &["plan", ".", "--json"]).expect_code(0);
        let plan: Json = serde_json::from_str(&plan.stdout).unwrap();
        let changed: std::collections::BTreeSet<&str> = plan["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|step| step["action"] != "keep" && step["key"].as_str().unwrap().starts_with("mine/"))
            .map(|step| step["key"].as_str().unwrap())
            .collect();
        assert_eq!(changed, differs.into_iter().collect());
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        let shown = folder.run(MIDOFORM, &["show", ".", "--json"]).expect_code(0);
        assert!(shown.stdout.contains(&router) && shown.stdout.contains(&bridge), "{}", shown.stdout);
    }
}

#[test]
fn a_spec_alone_binds_nothing() {
    let served = serve("5.8");
    let made = project(&served, "5");
    made.write("acme.toml", ACME.replace("10.20.0.0/22", "10.20.4.0/22"));
    let _ = made.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    let found = project(&served, "5");
    let _ = found
        .run(MIDOFORM, &["import", "acme default router", "--no-bind", "--out", "specs/a.toml"])
        .expect_code(0);
    assert!(found.read("specs/a.toml").contains("are not bound"));
    assert!(!found.path().join("midoform.lock").exists());
    let several = found.run(MIDOFORM, &["import", "nobody"]).expect_code(64);
    assert!(several.stderr.contains("there is no router `nobody`"), "{}", several.stderr);
}

/// A router made by hand, whose bridge has a chain of its own.
fn make_guarded(network: &mut PluginNetwork, dialect: &str) -> (String, String, String) {
    let (router, bridge) = make_by_hand(network, dialect);
    let chain = network.post(
        "/chains",
        "application/vnd.org.midonet.Chain-v1+json",
        &json!({ "name": "guard", "tenantId": "me" }),
    );
    let rule = network.post(
        &format!("/chains/{chain}/rules"),
        "application/vnd.org.midonet.Rule-v2+json",
        &json!({ "type": "drop", "position": 1, "nwProto": 6, "tpDst": { "start": 25, "end": 25 } }),
    );
    network.change("Bridge", &bridge, "inboundFilterId", json!(chain));
    (router, bridge, rule)
}

/// A bridge's own chain is somebody's firewall. It stays in force: after the import, after an apply, and after a destroy it is
/// still there.
#[test]
fn a_bridges_own_chain_is_left_alone() {
    for (version, dialect) in VERSIONS {
        let served = serve(version);
        let mut network = PluginNetwork::new(&served, version);
        let folder = project(&served, dialect);
        let (router, bridge, rule) = make_guarded(&mut network, dialect);
        let told = folder.run(MIDOFORM, &["import", &router, "--name", "mine"]).expect_code(2);
        assert!(told.stderr.contains("inbound filter `guard`"), "{version}: {}", told.stderr);
        assert!(!told.stderr.contains("mine/bridge/lan/chain"), "{version}: {}", told.stderr);
        assert!(folder.read("mine.toml").contains("inbound filter `guard` at mine/bridge/lan"));
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        let filter = network.get("Bridge", &bridge)["inboundFilterId"].clone();
        assert!(filter.is_string(), "{version}");
        assert_eq!(network.get("Bridge", &bridge)["name"], "mine lan", "{version}");
        let drift = folder.run(MIDOFORM, &["drift", "."]).expect_code(8);
        assert!(drift.stdout.contains("inbound filter `guard`"), "{version}: {}", drift.stdout);
        let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
        let topology =
            Connection::open(served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap();
        assert!(topology.body.contains(&rule) && topology.body.contains("guard"), "{version}");
    }
}

/// A chain that filters two routers is not taken over with one of them.
#[test]
fn a_filter_that_others_use_is_not_bound() {
    for (version, dialect) in VERSIONS {
        let served = serve(version);
        let mut network = PluginNetwork::new(&served, version);
        let folder = project(&served, dialect);
        let (router, _, rule) = make_guarded(&mut network, dialect);
        let chain = network.get("Rule", &rule)["chainId"].as_str().unwrap().to_owned();
        network.change("Router", &router, "inboundFilterId", json!(chain));
        let told = folder.run(MIDOFORM, &["import", &router, "--name", "mine"]).expect_code(2);
        assert!(told.stderr.contains("which others use as well"), "{version}: {}", told.stderr);
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        assert_eq!(network.get("Chain", &chain)["name"], "guard", "{version}");
        let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
        assert_eq!(network.get("Rule", &rule)["chainId"], json!(chain), "{version}");
    }
}

const MEDIA: &str = "application/vnd.org.midonet.";

/// Hangs all kinds of things on a router and its bridge that no spec can express. Returns what the import has to say of each.
fn hang_things_on(network: &mut PluginNetwork, version: &str, router: &str, bridge: &str) -> Vec<String> {
    let kind = |kind: &str| format!("{MEDIA}{kind}+json");
    let of_bridge = "of the bridge `lan`";
    let balancer = network.post("/load_balancers", &kind("LoadBalancer-v1"), &json!({}));
    network.change("Router", router, "loadBalancerId", json!(balancer));
    let dhcp = json!({ "subnetPrefix": "10.3.0.0", "subnetLength": 24 });
    network.post(&format!("/bridges/{bridge}/dhcp"), &kind("DhcpSubnet-v2"), &dhcp);
    let dhcp6 = json!({ "prefix": "fd00:0:0:0:0:0:0:0", "prefixLength": 64 });
    network.post(&format!("/bridges/{bridge}/dhcpV6"), &kind("DhcpV6Subnet-v1"), &dhcp6);
    let port = kind(if version == "1.7" { "Port-v2" } else { "Port-v3" });
    let tagged =
        network.post(&format!("/bridges/{bridge}/ports"), &port, &json!({ "type": "Bridge", "vlanId": 17 }));
    let mut said = vec![
        format!("load balancer {balancer} of the router `My router!`"),
        format!("DHCP subnet 10.3.0.0/24 {of_bridge}"),
        format!("DHCPv6 subnet fd00:0:0:0:0:0:0:0/64 {of_bridge}"),
        format!("VLAN 17 of port {tagged} {of_bridge}"),
    ];
    if version == "1.7" {
        let address = json!({
            "type": "Router", "networkAddress": "192.0.2.0", "networkLength": 30, "portAddress": "192.0.2.2"
        });
        let outside = network.post(&format!("/routers/{router}/ports"), &port, &address);
        let session = json!({ "localAS": 64512, "peerAddr": "192.0.2.1", "peerAS": 64513 });
        network.post(&format!("/ports/{outside}/bgps"), &kind("Bgp-v1"), &session);
        said.push(format!("BGP session with 192.0.2.1 (AS 64513) of port {outside}"));
    } else {
        network.change("Router", router, "asNumber", json!(64512));
        let peer = json!({ "asNumber": 64513, "address": "192.0.2.1" });
        network.post(&format!("/routers/{router}/bgp_peers"), &kind("BgpPeer-v1"), &peer);
        let announced = json!({ "subnetAddress": "198.51.100.0", "subnetLength": 24 });
        network.post(&format!("/routers/{router}/bgp_networks"), &kind("BgpNetwork-v1"), &announced);
        said.push("BGP with the AS number 64512 of the router `My router!`".to_owned());
        said.push("BGP peer 192.0.2.1 (AS 64513) of the router `My router!`".to_owned());
        said.push("BGP network 198.51.100.0/24 of the router `My router!`".to_owned());
    }
    said
}

/// What no spec can express is named, in the report, in its JSON and in the tenant file.
#[test]
fn what_is_not_taken_over_is_named() {
    for (version, dialect) in VERSIONS {
        let served = serve(version);
        let mut network = PluginNetwork::new(&served, version);
        let folder = project(&served, dialect);
        let (router, bridge) = make_by_hand(&mut network, dialect);
        let said = hang_things_on(&mut network, version, &router, &bridge);
        let dry = folder.run(MIDOFORM, &["import", &router, "--name", "mine", "--dry-run", "--json"]);
        let report: Json = serde_json::from_str(&dry.expect_code(2).stdout).unwrap();
        let unsaid: Vec<&str> =
            report["unsaid"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
        let told = folder.run(MIDOFORM, &["import", &router, "--name", "mine"]).expect_code(2);
        let written = folder.read("mine.toml");
        for one in said {
            assert!(unsaid.iter().any(|unsaid| unsaid.starts_with(&one)), "{version} {one}: {unsaid:?}");
            assert!(
                told.stderr.contains(&format!("not in the spec: {one}")),
                "{version} {one}: {}",
                told.stderr
            );
            assert!(written.contains(&format!("# - {one}")), "{version} {one}: {written}");
        }
        // An apply leaves all of it as it is.
        let before = network.get("Router", &router);
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        let after = network.get("Router", &router);
        for field in ["loadBalancerId", "asNumber"] {
            assert_eq!(before[field], after[field], "{version} {field}");
        }
    }
}

/// A chain of somebody's own may have the name that midoform would give to it.
#[test]
fn a_chain_that_is_called_like_midoforms_is_left_alone() {
    for (version, dialect) in VERSIONS {
        let served = serve(version);
        let mut network = PluginNetwork::new(&served, version);
        let folder = project(&served, dialect);
        let (router, bridge, rule) = make_guarded(&mut network, dialect);
        let chain = network.get("Rule", &rule)["chainId"].as_str().unwrap().to_owned();
        network.change("Bridge", &bridge, "inboundFilterId", Json::Null);
        network.delete(&format!("/chains/{chain}"));
        let chain = network.post(
            "/chains",
            &format!("{MEDIA}Chain-v1+json"),
            &json!({ "name": "lan in", "tenantId": "me" }),
        );
        let drop =
            json!({ "type": "drop", "position": 1, "nwProto": 6, "tpDst": { "start": 26, "end": 26 } });
        let rule = network.post(&format!("/chains/{chain}/rules"), &format!("{MEDIA}Rule-v2+json"), &drop);
        network.change("Bridge", &bridge, "inboundFilterId", json!(chain));
        let _ = folder.run(MIDOFORM, &["import", &router, "--name", "mine"]).expect_code(2);
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        assert_eq!(network.get("Rule", &rule)["chainId"], json!(chain), "{version}");
        assert_eq!(network.get("Bridge", &bridge)["inboundFilterId"], json!(chain), "{version}");
    }
}

/// Another tenant's chain jumps to the router's filter.
#[test]
fn a_filter_that_others_jump_to_is_not_bound() {
    for (version, dialect) in VERSIONS {
        let served = serve(version);
        let mut network = PluginNetwork::new(&served, version);
        let folder = project(&served, dialect);
        let (router, _) = make_by_hand(&mut network, dialect);
        let chain_type = format!("{MEDIA}Chain-v1+json");
        let shared = network.post("/chains", &chain_type, &json!({ "name": "fw", "tenantId": "me" }));
        let other = network.post("/chains", &chain_type, &json!({ "name": "other", "tenantId": "x" }));
        let jump = json!({ "type": "jump", "position": 1, "jumpChainId": shared, "jumpChainName": "fw" });
        let jump = network.post(&format!("/chains/{other}/rules"), &format!("{MEDIA}Rule-v2+json"), &jump);
        network.change("Router", &router, "inboundFilterId", json!(shared));
        let told = folder.run(MIDOFORM, &["import", &router, "--name", "mine"]).expect_code(2);
        assert!(told.stderr.contains("which others use as well"), "{version}: {}", told.stderr);
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
        assert_eq!(network.get("Chain", &shared)["name"], "fw", "{version}");
        assert_eq!(network.get("Rule", &jump)["jumpChainId"], json!(shared), "{version}");
    }
}
