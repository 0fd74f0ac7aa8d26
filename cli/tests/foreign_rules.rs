//! Rules, routes and ports that somebody else puts on midoform's chains and devices.

use serde_json::{Value, json};

use crate::by_hand::{ByHand, VERSIONS};

const TENANT: &str = "profile = \"rainbond\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n\
    [[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n\
    [[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 80 }\naction = \"drop\"\n\
    [[rule]]\nname = \"ssh\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 22 }\naction = \"drop\"\n";
const WEB_TO_DB: [&str; 7] = ["trace", ".", "--live", "--from", "acme/w", "--to", "acme/d"];

fn applied(version: (&'static str, &str)) -> ByHand {
    let lab = ByHand::new(version, &[("acme", TENANT)]);
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    lab
}

impl ByHand {
    /// Puts a rule into the chain with this key.
    fn put_rule(&self, chain: &str, rule: &Value) -> String {
        self.post(&format!("/chains/{}/rules", self.id(chain)), "Rule", rule)
    }

    fn drift(&self) -> String {
        self.run(&["drift", "."]).expect_code(8).stdout
    }

    /// Sends a TCP packet from web to db, and returns what `trace --live` says of its end.
    fn web_to_db(&self, port: &str) -> Value {
        let ran = self.run(&[&WEB_TO_DB[..], &["--tcp", port, "--json"]].concat()).expect_code(0);
        serde_json::from_str::<Value>(&ran.stdout).unwrap()["ending"].clone()
    }
}

/// A static port holds the addresses: `--live` knows who has one.
const PORTS: &str = "[[port]]\nname = \"w\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.7\"\n\
    [[port]]\nname = \"d\"\nbridge = \"db\"\nhost = \"node1\"\ninterface = \"tap1\"\nmac = \"02:00:00:00:00:02\"\naddress = \"10.2.0.7\"\n";

fn with_ports(version: (&'static str, &str)) -> ByHand {
    let lab = ByHand::new(version, &[("acme", &format!("{TENANT}{PORTS}"))]);
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    lab
}

#[test]
fn a_foreign_accept_ahead_of_a_rule_is_drift_and_is_traced() {
    for version in VERSIONS {
        let lab = with_ports(version);
        assert_eq!(lab.web_to_db("80")["is"], "dropped", "{version:?}");
        let accept =
            json!({ "type": "accept", "position": 1, "nwProto": 6, "tpDst": { "start": 80, "end": 80 } });
        let id = lab.put_rule("acme/chain/policy", &accept);
        let drift = lab.drift();
        let line = format!(
            "foreign  acme/chain/policy  rule at position 1: accept: protocol tcp, destination port 80 ({id}); it gets ahead of \
             acme/chain/policy/rule/shut (acme.toml:"
        );
        assert!(drift.contains(&line) && drift.contains("left as it is"), "{version:?}:\n{drift}");
        assert!(!drift.contains("rule/ssh") && !drift.contains("No drift"), "{version:?}:\n{drift}");
        assert!(drift.contains("1 foreign object changes what the network does"), "{version:?}:\n{drift}");
        assert_eq!(lab.web_to_db("80")["is"], "delivered", "{version:?}");
        assert_eq!(lab.web_to_db("22")["is"], "dropped", "{version:?}");
        let shown = lab.run(&[&WEB_TO_DB[..], &["--tcp", "80"]].concat()).expect_code(0).stdout;
        assert!(shown.contains(&format!("✓ {id}, which is not midoform's: accept")), "{version:?}:\n{shown}");
        // An apply has nothing to do, and leaves it.
        let plan = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0).stdout;
        assert!(
            plan.contains("No changes") && plan.contains("gets ahead of acme/chain/policy/rule/shut"),
            "{plan}"
        );
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        assert_eq!(lab.web_to_db("80")["is"], "delivered", "{version:?}");
        let json: Value =
            serde_json::from_str(&lab.run(&["drift", ".", "--json"]).expect_code(8).stdout).unwrap();
        assert_eq!(json["drift"], true);
        assert_eq!(json["foreign"][0]["ahead_of"][0]["key"], "acme/chain/policy/rule/shut");
        assert!(json["foreign"][0]["ahead_of"][0]["source"].as_str().unwrap().starts_with("acme.toml:"));
    }
}

/// The truth about what a rule gets ahead of, by its place and its condition.
#[test]
fn drift_says_what_a_foreign_rule_gets_ahead_of() {
    let drop = |position: u32| json!({ "type": "drop", "position": position, "nwProto": 6 });
    let udp = json!({ "type": "drop", "position": 1, "nwProto": 17 });
    let nothing = json!({ "type": "drop", "position": 1, "dlType": 0x86dd });
    let everything = json!({ "type": "accept", "position": 1 });
    for version in VERSIONS {
        for (chain, rule, words) in [
            ("policy", &drop(1), "gets ahead of acme/chain/policy/rule/shut and acme/chain/policy/rule/ssh"),
            ("policy", &drop(2), "gets ahead of acme/chain/policy/rule/ssh"),
            ("policy", &drop(3), "gets ahead of no rule of the spec"),
            ("policy", &udp, "gets ahead of no rule of the spec"),
            ("policy", &nothing, "gets ahead of"),
            // A rule in front of the jump, and one in the chain before.
            ("out", &drop(1), "gets ahead of acme/chain/policy/rule/shut, acme/chain/policy/rule/ssh"),
            ("in", &drop(1), "gets ahead of acme/chain/policy/rule/shut, acme/chain/policy/rule/ssh"),
            ("out", &everything, "gets ahead of acme/chain/policy/rule/shut, acme/chain/policy/rule/ssh"),
        ] {
            let lab = applied(version);
            let id = lab.put_rule(&format!("acme/chain/{chain}"), rule);
            let drift = lab.drift();
            let line = drift.lines().find(|line| line.contains(&id)).unwrap();
            assert!(line.contains(words), "{version:?} {chain} {rule}:\n{line}");
        }
        // Nothing comes to a rule behind one that matches everything.
        let lab = applied(version);
        let first = lab.put_rule("acme/chain/policy", &everything);
        let second = lab.put_rule("acme/chain/policy", &drop(2));
        let drift = lab.drift();
        let line = drift.lines().find(|line| line.contains(&second) && !line.contains("position 1")).unwrap();
        assert!(line.contains("is never reached") && line.contains(&first), "{version:?}:\n{drift}");
        assert!(drift.contains("2 foreign objects change"), "{version:?}:\n{drift}");
    }
}

/// A foreign rule that jumps to a foreign chain, and conditions that no spec can have.
#[test]
fn a_trace_follows_foreign_rules_to_foreign_chains_and_groups() {
    for version in VERSIONS {
        let lab = with_ports(version);
        let tenant = "me";
        let chain = lab.post("/chains", "Chain", &json!({ "name": "mine", "tenantId": tenant }));
        let inner = lab.post("/chains", "Chain", &json!({ "name": "inner", "tenantId": tenant }));
        let group = lab.post("/port_groups", "PortGroup", &json!({ "name": "g", "tenantId": tenant }));
        let port = lab.id("acme/port/w");
        lab.post(&format!("/port_groups/{group}/ports"), "PortGroupPort", &json!({ "portId": port }));
        let jump =
            |to: &str| json!({ "type": "jump", "position": 1, "jumpChainId": to, "jumpChainName": "x" });
        lab.post(&format!("/chains/{chain}/rules"), "Rule", &jump(&inner));
        let drop = json!({ "type": "drop", "position": 1, "portGroup": group, "nwProto": 6, "tpDst": { "start": 443, "end": 443 } });
        let id = lab.post(&format!("/chains/{inner}/rules"), "Rule", &drop);
        assert_eq!(lab.web_to_db("443")["is"], "delivered", "{version:?}");
        lab.put_rule("acme/chain/in", &jump(&chain));
        let drift = lab.drift();
        assert!(drift.contains(&format!("rule at position 1: jump to {chain}")), "{version:?}:\n{drift}");
        let ending = lab.web_to_db("443");
        assert_eq!(ending["is"], "dropped", "{version:?}");
        assert!(ending["rule"].as_str().unwrap().ends_with(&id), "{version:?} {ending}");
        assert_eq!(lab.web_to_db("444")["is"], "delivered", "{version:?}");
        // What is no condition of a spec is said in the API's words.
        lab.put_rule(
            "acme/chain/in",
            &json!({ "type": "drop", "position": 1, "nwTos": 16, "portGroup": group, "invPortGroup": true }),
        );
        let drift = lab.drift();
        let words = format!("rule at position 1: drop: invPortGroup, nwTos 16, portGroup {group}");
        assert!(drift.contains(&words), "{version:?}:\n{drift}");
        assert_eq!(lab.web_to_db("444")["is"], "delivered", "{version:?}");
    }
}

#[test]
fn a_foreign_route_is_drift_and_is_followed() {
    for version in VERSIONS {
        let lab = with_ports(version);
        let before = lab.web_to_db("443");
        assert_eq!(before["is"], "delivered", "{version:?}");
        let hole = json!({ "type": "BlackHole", "srcNetworkAddr": "0.0.0.0", "srcNetworkLength": 0,
            "dstNetworkAddr": "10.2.0.0", "dstNetworkLength": 25, "weight": 100 });
        let id = lab.post(&format!("/routers/{}/routes", lab.id("acme/router")), "Route", &hole);
        let drift = lab.drift();
        let line = format!(
            "foreign  acme/router  route to 10.2.0.0/25 black hole, weight 100 ({id}); it gets ahead of acme/bridge/db/route"
        );
        assert!(drift.contains(&line), "{version:?}:\n{drift}");
        let ending = lab.web_to_db("443");
        assert_eq!(
            (&ending["is"], &ending["why"]),
            (&"dropped".into(), &"a black hole".into()),
            "{version:?}"
        );
    }
}

/// A port that leads somewhere is drift, and so is the route to it; one that leads nowhere is named.
#[test]
fn foreign_ports_are_named_and_those_that_lead_somewhere_are_drift() {
    for version in VERSIONS {
        let lab = with_ports(version);
        let router = lab.id("acme/router");
        let port = |address: &str| json!({ "type": "Router", "portAddress": address, "networkAddress": "192.0.2.0", "networkLength": 24 });
        let idle = lab.post(&format!("/routers/{router}/ports"), "Port", &port("192.0.2.1"));
        let ran = lab.run(&["drift", "."]).expect_code(0);
        assert!(
            ran.stdout.contains(&format!("router port 192.0.2.1 ({idle})"))
                && ran.stdout.contains("No drift"),
            "{}",
            ran.stdout
        );
        let other = lab.post("/routers", "Router", &json!({ "name": "other", "tenantId": "me" }));
        let far = lab.post(&format!("/routers/{other}/ports"), "Port", &port("192.0.2.2"));
        lab.post(&format!("/ports/{idle}/link"), "PortLink", &json!({ "peerId": far }));
        let drift = lab.drift();
        assert!(
            drift.contains(&format!("linked to {far} ({idle}); it leads to something")),
            "{version:?}:\n{drift}"
        );
        let route = json!({ "type": "Normal", "srcNetworkAddr": "0.0.0.0", "srcNetworkLength": 0, "dstNetworkAddr": "198.51.100.0",
            "dstNetworkLength": 24, "weight": 1, "nextHopPort": idle, "nextHopGateway": "192.0.2.2" });
        let id = lab.post(&format!("/routers/{router}/routes"), "Route", &route);
        assert!(lab.drift().contains(&id), "{version:?}");
        let trace = ["trace", ".", "--live", "--from", "acme/w", "--to", "198.51.100.9", "--tcp", "80"];
        let ran = lab.run(&trace).expect_code(0);
        let words = format!("delivered to acme/router/foreign/@{idle}");
        assert!(ran.stdout.contains(&words), "{version:?}:\n{}", ran.stdout);
        // A bridge's port that is linked to somebody else's router.
        let bridge = lab.post(
            &format!("/bridges/{}/ports", lab.id("acme/bridge/web")),
            "Port",
            &json!({ "type": "Bridge" }),
        );
        let far = lab.post(&format!("/routers/{other}/ports"), "Port", &port("192.0.2.3"));
        lab.post(&format!("/ports/{far}/link"), "PortLink", &json!({ "peerId": bridge }));
        let drift = lab.drift();
        assert!(
            drift.contains(&format!("foreign  acme/bridge/web  bridge port, linked to {far}")),
            "{version:?}:\n{drift}"
        );
    }
}

/// The same that drift says, as a risk in each form of a plan.
#[test]
fn a_plan_shows_foreign_rules_as_a_risk() {
    let lab = applied(VERSIONS[2]);
    let id = lab.put_rule("acme/chain/in", &json!({ "type": "drop", "position": 1, "nwProto": 6 }));
    let web = lab.folder.read("acme.toml").replace("[[rule]]\nname = \"ssh\"", "[[rule]]\nname = \"shell\"");
    lab.folder.write("acme.toml", web);
    let says = "rule at position 1: drop: protocol tcp";
    let ahead = "it gets ahead of acme/chain/policy/rule/shut, ";
    let text = lab.run(&["plan", ".", "--html", "page.html"]).expect_code(0).stdout;
    for words in ["left alone, but it changes what the network does: 1", says, ahead, "--remove-foreign", &id]
    {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let markdown = lab.run(&["plan", ".", "--format", "markdown"]).expect_code(0).stdout;
    assert!(markdown.contains("changes what the network does: 1") && markdown.contains(ahead), "{markdown}");
    let json: Value = serde_json::from_str(&lab.run(&["plan", ".", "--json"]).expect_code(0).stdout).unwrap();
    assert_eq!(json["foreign"][0]["id"], id.as_str());
    assert_eq!(json["foreign"][0]["effect"]["ahead_of"][0], "acme/chain/policy/rule/shut");
    assert!(lab.folder.read("page.html").contains(ahead));
    // So does an apply, which has nothing against it.
    let apply = lab.run(&["apply", ".", "--yes"]).expect_code(0).stdout;
    assert!(apply.contains(ahead), "{apply}");
}

/// Foreign rules and routes are deleted when asked, with an undo; those of others' routers stay.
#[test]
fn foreign_rules_are_removed_when_asked_and_an_undo_brings_them_back() {
    for version in VERSIONS {
        let lab = applied(version);
        let group = lab.post("/port_groups", "PortGroup", &json!({ "name": "g", "tenantId": "me" }));
        lab.put_rule(
            "acme/chain/policy",
            &json!({ "type": "accept", "position": 2, "nwProto": 6, "portGroup": group }),
        );
        lab.put_rule(
            "acme/chain/in",
            &json!({ "type": "drop", "position": 1, "nwProto": 17, "tpDst": { "start": 53, "end": 53 } }),
        );
        let hole = |to: &str| {
            json!({ "type": "BlackHole", "srcNetworkAddr": "0.0.0.0", "srcNetworkLength": 0,
            "dstNetworkAddr": to, "dstNetworkLength": 24, "weight": 7 })
        };
        lab.post(&format!("/routers/{}/routes", lab.id("acme/router")), "Route", &hole("198.51.100.0"));
        let provider = lab.id("site/provider-router");
        let others = lab.post(&format!("/routers/{provider}/routes"), "Route", &hole("203.0.113.0"));
        let chain = lab.post("/chains", "Chain", &json!({ "name": "mine", "tenantId": "me" }));
        let mine =
            lab.post(&format!("/chains/{chain}/rules"), "Rule", &json!({ "type": "drop", "position": 1 }));
        let before = lab.drift();
        let (rules, routes) = (lab.objects("Rule").len(), lab.objects("Route").len());
        assert!(before.contains("3 foreign objects change what the network does"), "{version:?}:\n{before}");
        let plan = lab.run(&["plan", ".", "--remove-foreign", "--out", "plan.json"]).expect_code(0).stdout;
        for part in ["3 to delete", "rule drop: protocol udp", "(is not midoform's)"] {
            assert!(plan.contains(part), "{version:?}:\n{plan}");
        }
        let saved: Value = serde_json::from_str(&lab.folder.read("plan.json")).unwrap();
        let deletes: Vec<&Value> = saved["plan"]["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|step| step["action"] == "delete")
            .collect();
        assert!(deletes.iter().all(|step| step["undo"][0]["method"] == "POST"), "{version:?}: {deletes:?}");
        let _ = lab.run(&["apply", "plan.json", "--yes"]).expect_code(0);
        let clean = lab.run(&["drift", "."]).expect_code(0).stdout;
        assert!(clean.contains("No drift") && !clean.contains("foreign"), "{version:?}:\n{clean}");
        assert_eq!(
            (lab.objects("Rule").len(), lab.objects("Route").len()),
            (rules - 2, routes - 1),
            "{version:?}"
        );
        for (kind, id) in [("Route", &others), ("Rule", &mine)] {
            assert!(lab.objects(kind).iter().any(|object| object["id"] == id.as_str()), "{version:?} {kind}");
        }
        // The undo makes the same rules at the same places, and they are foreign as before.
        let _ = lab.run(&["undo", "plan.json", "--yes"]).expect_code(0);
        let without_ids = |text: &str| {
            let ids = ids_in(text);
            ids.iter().fold(text.to_owned(), |text, id| text.replace(id.as_str(), "ID"))
        };
        assert_eq!(without_ids(&lab.drift()), without_ids(&before), "{version:?}");
        assert!(!lab.folder.read("midoform.lock").contains("foreign"), "{version:?}");
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        assert_eq!(lab.objects("Rule").len(), rules, "{version:?}: without the option they stay");
        let _ = lab.run(&["apply", ".", "--yes", "--remove-foreign", "--verify"]).expect_code(0);
        let _ = lab.run(&["drift", "."]).expect_code(0);
    }
}

/// Returns the ids in a text.
fn ids_in(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_ascii_hexdigit() && letter != '-');
    words.filter(|word| uuid::Uuid::try_parse(word).is_ok()).map(str::to_owned).collect()
}

/// What is excluded is not compared, and a foreign rule there is none of drift's matters.
#[test]
fn drift_of_a_selection_names_what_is_selected() {
    let lab = ByHand::new(
        VERSIONS[2],
        &[("acme", TENANT), ("beta", "[[bridge]]\nname = \"web\"\ncidr = \"10.9.0.0/24\"\n")],
    );
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    let id = lab.put_rule("acme/chain/in", &json!({ "type": "drop", "position": 1, "nwProto": 6 }));
    assert!(lab.drift().contains(&id));
    for select in [["--exclude", "acme"], ["--target", "beta"]] {
        let ran = lab.run(&[&["drift", "."], &select[..]].concat()).expect_code(0);
        assert!(!ran.stdout.contains(&id), "{select:?}:\n{}", ran.stdout);
    }
    let _ = lab.run(&["drift", ".", "--target", "acme"]).expect_code(8);
}

/// A port of somebody else's bridge is not midoform's because it is linked with midoform's router, even if the ids are not known.
#[test]
fn a_link_with_somebody_elses_bridge_is_taken_away_and_the_port_stays() {
    for version in VERSIONS {
        let lab = applied(version);
        let (near, far) = (lab.id("acme/bridge/web/gateway-port"), lab.id("acme/bridge/web/gateway-peer"));
        assert_eq!(lab.send("DELETE", &format!("/ports/{near}/link"), "PortLink", "").0, 204);
        assert_eq!(lab.send("DELETE", &format!("/ports/{far}"), "Port", "").0, 204);
        let bridge = lab.post("/bridges", "Bridge", &json!({ "name": "theirs", "tenantId": "me" }));
        let theirs = lab.post(&format!("/bridges/{bridge}/ports"), "Port", &json!({ "type": "Bridge" }));
        lab.post(&format!("/ports/{near}/link"), "PortLink", &json!({ "peerId": theirs }));
        let _ = lab.drift();
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        assert!(lab.objects("Port").iter().any(|port| port["id"] == theirs.as_str()), "{version:?}");
        let _ = lab.run(&["drift", "."]).expect_code(0);
    }
}

/// A chain of somebody else's that filters where the spec has no filter stays, like a foreign rule, also when the object is
/// changed otherwise.
#[test]
fn a_foreign_filter_is_drift_and_stays_unless_it_is_to_be_removed() {
    for version in VERSIONS {
        let lab = with_ports(version);
        let chain = lab.post("/chains", "Chain", &json!({ "name": "guard", "tenantId": "me" }));
        let drop =
            json!({ "type": "drop", "position": 1, "nwProto": 6, "tpDst": { "start": 443, "end": 443 } });
        let rule = lab.post(&format!("/chains/{chain}/rules"), "Rule", &drop);
        let port = lab.id("acme/bridge/db/gateway-port");
        let places = [
            ("acme/bridge/web", format!("/bridges/{}", lab.id("acme/bridge/web")), "Bridge", "inbound"),
            ("acme/bridge/db", format!("/bridges/{}", lab.id("acme/bridge/db")), "Bridge", "outbound"),
            ("acme/bridge/db/gateway-port", format!("/ports/{port}"), "Port", "outbound"),
        ];
        for (key, path, kind, direction) in &places {
            let field = format!("{direction}FilterId");
            assert_eq!(lab.web_to_db("443")["is"], "delivered", "{version:?} {key}");
            lab.change(path, kind, &[(&field, chain.clone().into())]);
            let drift = lab.drift();
            let line = format!(
                "foreign  {key}  {direction} filter `guard` ({chain}); it filters packets where the spec has no filter: left as it is"
            );
            assert!(drift.contains(&line) && drift.contains("takes filters off"), "{version:?}:\n{drift}");
            assert_eq!(lab.web_to_db("443")["is"], "dropped", "{version:?} {key}");
            assert_eq!(lab.web_to_db("444")["is"], "delivered", "{version:?} {key}");
            let plan = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0).stdout;
            assert!(plan.contains("No changes") && plan.contains("filter `guard`"), "{version:?}:\n{plan}");
            // A change of another field leaves the filter where it is.
            lab.change(path, kind, &[("adminStateUp", false.into())]);
            let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
            let now = lab.get(path, kind);
            assert_eq!(
                (&now[&field], &now["adminStateUp"]),
                (&json!(chain), &json!(true)),
                "{version:?} {key}"
            );
            let removed = lab.run(&["apply", ".", "--yes", "--remove-foreign"]).expect_code(0);
            assert!(lab.get(path, kind)[&field].is_null(), "{version:?} {key}: {}", removed.stdout);
            assert!(lab.run(&["drift", "."]).expect_code(0).stdout.contains("No drift"), "{version:?}");
        }
        // The chain itself is nobody's business.
        let rules = lab.objects("Rule");
        assert!(rules.iter().any(|one| one["id"] == rule.as_str()), "{version:?}");
    }
}

/// A chain that is no longer wanted would take foreign rules with it.
#[test]
fn a_chain_with_foreign_rules_is_deleted_only_on_request() {
    for version in VERSIONS {
        let lab = applied(version);
        let drop =
            json!({ "type": "drop", "position": 1, "nwProto": 6, "tpDst": { "start": 25, "end": 25 } });
        let rule = lab.put_rule("acme/chain/policy", &drop);
        let bare = TENANT.split("[[rule]]").next().unwrap();
        lab.folder.write("acme.toml", format!("name = \"acme\"\n{bare}"));
        for command in [&["plan", "."][..], &["apply", ".", "--yes"]] {
            let refused = lab.run(command).expect_code(6);
            assert!(
                refused.stderr.contains(&rule) && refused.stderr.contains("--remove-foreign"),
                "{}",
                refused.stderr
            );
        }
        assert!(lab.objects("Rule").iter().any(|one| one["id"] == rule.as_str()), "{version:?}");
        let _ = lab.run(&["apply", ".", "--yes", "--remove-foreign", "--allow-mass-delete"]).expect_code(0);
        assert!(lab.objects("Rule").iter().all(|one| one["id"] != rule.as_str()), "{version:?}");
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
    }
}
