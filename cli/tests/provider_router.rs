//! Two sites, and other people, on one provider router.

use std::process::Stdio;

use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};
use serde_json::Value;

use crate::MIDOFORM;
use crate::served::Served;

const ROUTER: &str = "aaaaaaaa-1111-2222-3333-444444444444";
const EXPOSE: &str =
    "[[expose]]\npublic = \"203.0.113.10:443\"\nto = { bridge = \"b\", address = \"10.1.0.5\", tcp = 443 }\n";

fn post(served: &Served, path: &str, kind: &str, body: &str) -> String {
    let mut connection = Connection::open(served.address).unwrap();
    let kind = format!("application/vnd.org.midonet.{kind}+json");
    let answer = connection.send("POST", &format!("/midonet-api{path}"), &kind, body).unwrap();
    assert_eq!(answer.status, 201, "{path}: {}", answer.body);
    answer.location.rsplit('/').next().unwrap().to_owned()
}

/// A server with a provider router.
fn served(version: &str) -> Served {
    let options = ["--version", version, "--inspect", "--faults"];
    let served =
        Served::start(&TestFolder::default(), &options).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    with_router(served, version)
}

fn with_router(served: Served, version: &str) -> Served {
    post(
        &served,
        "/routers",
        if version == "1.7" { "Router-v2" } else { "Router-v3" },
        &format!("{{\"id\":\"{ROUTER}\",\"name\":\"provider\",\"tenantId\":\"p\"}}"),
    );
    served
}

/// A site of this name on the router, with a tenant `t`.
fn site(served: &Served, dialect: &str, name: &str, more: &str) -> TestFolder {
    let folder = TestFolder::default();
    folder.write(
        "site.toml",
        format!(
            "name = \"{name}\"\n[midonet]\nurl = \"{}\"\nversion = {dialect}\nprovider_router = \"{ROUTER}\"\n",
            served.url()
        ),
    );
    folder.write("t.toml", format!("name = \"t\"\n[[bridge]]\nname = \"b\"\ncidr = \"10.1.0.0/24\"\n{more}"));
    folder
}

/// The addresses of the tenant's link in the lock file.
fn link(folder: &TestFolder) -> String {
    let lock = folder.read("midoform.lock");
    lock.lines().find(|line| line.starts_with("link = ")).unwrap().to_owned()
}

/// The addresses of all router ports.
fn port_addresses(served: &Served) -> Vec<String> {
    let all = Connection::open(served.address).unwrap().send("GET", "/midonet-api/ports", "*/*", "").unwrap();
    let all: Value = serde_json::from_str(&all.body).unwrap();
    let address = |port: &Value| Some(port["portAddress"].as_str()?.to_owned());
    all.as_array().unwrap().iter().filter_map(address).filter(|address| !address.starts_with("10.")).collect()
}

/// A provider router that does not exist is a mistake in the site file, and no defect of midoform.
#[test]
fn a_provider_router_that_does_not_exist_is_named() {
    for (version, dialect) in [("1.7", "1"), ("5.8", "5")] {
        let served = served(version);
        let folder = site(&served, dialect, "s", "");
        let absent = "9b0c1a52-7d55-4b55-8d5a-2f3f0f2b9a01";
        let text = folder.read("site.toml");
        let line = text.lines().find(|line| line.contains("provider_router")).unwrap();
        folder.write("site.toml", text.replace(line, &format!("provider_router = \"{absent}\"")));
        for command in [&["plan", "."][..], &["apply", ".", "--yes"]] {
            let ran = folder.run(MIDOFORM, command).expect_code(6);
            assert!(ran.stderr.contains(absent) && ran.stderr.contains("provider_router"), "{}", ran.stderr);
        }
    }
}

/// The router may have any UUID: an id of version 5 does not make it midoform's.
#[test]
fn a_provider_router_has_any_id() {
    const NAMED: &str = "c9bf9e57-1685-5c89-bafb-ff5af830be8a";
    for (version, dialect) in [("1.7", "1"), ("5.0", "5"), ("5.8", "5")] {
        let served = served(version);
        let kind = if version == "1.7" { "Router-v2" } else { "Router-v3" };
        let body = format!("{{\"id\":\"{NAMED}\",\"name\":\"other\",\"tenantId\":\"p\"}}");
        post(&served, "/routers", kind, &body);
        let folder = site(&served, dialect, "s", EXPOSE);
        folder.write("site.toml", folder.read("site.toml").replace(ROUTER, NAMED));
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
        let mut connection = Connection::open(served.address).unwrap();
        let routers = connection.send("GET", "/midonet-api/routers", "*/*", "").unwrap().body;
        assert!(routers.contains(NAMED), "{version}: {routers}");
    }
}

#[test]
fn two_sites_get_different_links_and_public_addresses() {
    for (version, dialect) in [("1.7", "1"), ("5.0", "5"), ("5.8", "5")] {
        let served = served(version);
        let (one, two) = (site(&served, dialect, "one", EXPOSE), site(&served, dialect, "two", ""));
        let _ = one.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        // Nobody knew of the other one when the addresses were allocated.
        let _ = two.run(MIDOFORM, &["lock", "."]).expect_code(0);
        assert_eq!(link(&one), link(&two), "{version}: the search starts at the same place");
        let shown = two.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
        assert!(shown.stdout.contains("provider-port"), "{version}: {}", shown.stdout);
        let _ = two.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(0);
        assert_ne!(link(&one), link(&two), "{version}");
        for folder in [&one, &two] {
            let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
            let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        }
        let mut addresses = port_addresses(&served);
        addresses.sort();
        let before = addresses.clone();
        addresses.dedup();
        assert_eq!(addresses, before, "{version}: no address twice");
        assert_eq!(addresses.len(), 4, "{version}: {addresses:?}");
        two.write("t.toml", two.read("t.toml") + EXPOSE);
        for command in [&["plan", "."][..], &["apply", ".", "--yes"]] {
            let refused = two.run(MIDOFORM, command).expect_code(6);
            for words in ["203.0.113.10", "tenant `t`", "t.toml", "is taken", "another route"] {
                assert!(refused.stderr.contains(words), "{version}: {}", refused.stderr);
            }
        }
        two.write("t.toml", two.read("t.toml").replace("203.0.113.10", "203.0.113.11"));
        let _ = two.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        let _ = one.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        let _ = one.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
        let _ = two.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        two.write("t.toml", two.read("t.toml").replace("203.0.113.11", "203.0.113.10"));
        let _ = two.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
    }
}

#[test]
fn whatever_is_on_the_provider_router_counts() {
    let served = served("5.8");
    // A site that has the router as its own finds the same.
    let free = site(&served, "5", "one", EXPOSE);
    let _ = free.run(MIDOFORM, &["lock", "."]).expect_code(0);
    let allocated = link(&free);
    let far = allocated.split('"').nth(1).unwrap().to_owned();
    let port = |address: &str, network: &str, length: u8| {
        let body = format!(
            "{{\"type\":\"Router\",\"portAddress\":\"{address}\",\"networkAddress\":\"{network}\",\"networkLength\":{length}}}"
        );
        post(&served, &format!("/routers/{ROUTER}/ports"), "Port-v3", &body)
    };
    let other = port(&far, &far, 30);
    let plan = free.run(MIDOFORM, &["plan", ".", "--json"]).expect_code(0).stdout;
    assert!(!plan.contains(&format!("\"portAddress\":\"{far}\"")), "{plan}");
    let _ = free.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    // Between plan and apply, an administrator makes a route, or a port with the public address.
    let uplink = port("198.51.100.1", "198.51.100.0", 24);
    let route = |destination: &str, length: u8| {
        let body = format!(
            "{{\"type\":\"Normal\",\"srcNetworkAddr\":\"0.0.0.0\",\"srcNetworkLength\":0,\"dstNetworkAddr\":\"{destination}\",\
             \"dstNetworkLength\":{length},\"nextHopPort\":\"{uplink}\",\"weight\":100}}"
        );
        post(&served, &format!("/routers/{ROUTER}/routes"), "Route-v1", &body)
    };
    // These lead outside, and leave a public address of a tenant alone.
    route("0.0.0.0", 0);
    route("203.0.113.0", 24);
    let _ = free.run(MIDOFORM, &["plan", "."]).expect_code(0);
    let taken = route("203.0.113.10", 32);
    for command in [&["plan", "."][..], &["apply", ".", "--yes"], &["apply", "plan.json", "--yes"]] {
        let refused = free.run(MIDOFORM, command).expect_code(6);
        assert!(
            refused.stderr.contains(&taken) && refused.stderr.contains("203.0.113.10"),
            "{}",
            refused.stderr
        );
    }
    let delete = |path: String| {
        let gone = Connection::open(served.address).unwrap().send("DELETE", &path, "*/*", "").unwrap();
        assert_eq!(gone.status, 204);
    };
    delete(format!("/midonet-api/routes/{taken}"));
    let public = port("203.0.113.10", "203.0.113.0", 24);
    let refused = free.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(6);
    assert!(
        refused.stderr.contains("another port") && refused.stderr.contains(&public),
        "{}",
        refused.stderr
    );
    delete(format!("/midonet-api/ports/{public}"));
    let _ = free.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
    // A pinned link is refused by name.
    let pinned = site(&served, "5", "three", "");
    let pin =
        format!("link = {{ provider = \"{far}\", tenant = \"{}\" }}\n", allocated.split('"').nth(3).unwrap());
    pinned.write("t.toml", pinned.read("t.toml").replacen('\n', &format!("\n{pin}"), 1));
    let refused = pinned.run(MIDOFORM, &["plan", "."]).expect_code(6);
    assert!(refused.stderr.contains(&far) && refused.stderr.contains("link address"), "{}", refused.stderr);
    delete(format!("/midonet-api/ports/{other}"));
    let _ = pinned.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
}

/// Runs the same command for two sites at the same time, on a slow server: each looks before the other one has created anything.
fn at_once(served: &Served, sites: [&TestFolder; 2], arguments: &[&str]) -> [Ran; 2] {
    let slow =
        r#"{"fault": "delay", "method": "POST", "path": "/routers/**", "times": 0, "milliseconds": 400}"#;
    let mut control = Connection::open(served.address).unwrap();
    assert_eq!(control.send("POST", "/_faults", "application/json", slow).unwrap().status, 201);
    let start = |site: &TestFolder| {
        let mut command = site.command(MIDOFORM, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let started = sites.map(start);
    let ended = started.map(|child| Ran::from(child.wait_with_output().unwrap()));
    control.send("DELETE", "/_faults", "*/*", "").unwrap();
    ended
}

#[test]
fn two_sites_that_apply_at_once_are_told_and_find_a_way_out() {
    for (version, dialect) in [("1.7", "1"), ("5.0", "5"), ("5.8", "5")] {
        let served = served(version);
        let (one, two) = (site(&served, dialect, "one", EXPOSE), site(&served, dialect, "two", EXPOSE));
        let [first, second] = at_once(&served, [&one, &two], &["apply", ".", "--yes"]);
        assert_eq!(link(&one), link(&two), "{version}: nobody saw the other one");
        let told = [&first, &second].into_iter().find(|ran| ran.code == 6);
        let told = &told.unwrap_or_else(|| panic!("{version}: {} {}", first.stderr, second.stderr)).stderr;
        for words in ["203.0.113.10", "link address", "is used twice", "--move-links", "t.toml"] {
            assert!(told.contains(words), "{version}: {told}");
        }
        for folder in [&one, &two] {
            let drift = folder.run(MIDOFORM, &["drift", "."]).expect_code(8).stdout;
            assert!(drift.contains("twice    t/uplink/provider-port"), "{version}: {drift}");
            assert!(drift.contains("203.0.113.10"), "{version}: {drift}");
            let plan = folder.run(MIDOFORM, &["plan", ".", "--json"]).expect_code(0);
            assert!(plan.stderr.contains("warning: the link address"), "{version}: {}", plan.stderr);
            assert!(
                plan.stdout.contains("\"used_twice\":[\"the address 203.0.113.10 of tenant `t`"),
                "{version}: {}",
                plan.stdout
            );
        }
        // A plan moves the link of one of them, and the spec the public address.
        two.write("t.toml", two.read("t.toml").replace("203.0.113.10", "203.0.113.11"));
        let _ = two.run(MIDOFORM, &["plan", ".", "--move-links", "--out", "plan.json"]).expect_code(0);
        let refused = two.run(MIDOFORM, &["apply", "plan.json", "--yes", "--move-links"]).expect_code(64);
        assert!(refused.stderr.contains("--move-links"), "{}", refused.stderr);
        let _ = two.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(0);
        assert_ne!(link(&one), link(&two), "{version}");
        for folder in [&one, &two] {
            let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
            let _ = folder.run(MIDOFORM, &["drift", "."]).expect_code(0);
        }
    }
}

#[test]
fn two_sites_that_move_their_links_at_once_do_not_meet_again() {
    let served = served("5.8");
    let (one, two) = (site(&served, "5", "one", ""), site(&served, "5", "two", ""));
    let _ = at_once(&served, [&one, &two], &["apply", ".", "--yes"]);
    assert_eq!(link(&one), link(&two));
    let _ = at_once(&served, [&one, &two], &["apply", ".", "--yes", "--move-links"]);
    assert_ne!(link(&one), link(&two));
    for folder in [&one, &two] {
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--move-links", "--verify"]).expect_code(0);
        let _ = folder.run(MIDOFORM, &["drift", "."]).expect_code(0);
    }
    // A link that the spec names does not move by itself.
    let pinned = link(&one).split('"').nth(1).unwrap().to_owned();
    let pin = format!(
        "link = {{ provider = \"{pinned}\", tenant = \"{}\" }}\n",
        link(&one).split('"').nth(3).unwrap()
    );
    one.write("t.toml", one.read("t.toml").replacen('\n', &format!("\n{pin}"), 1));
    let body = format!(
        "{{\"type\":\"Router\",\"portAddress\":\"{pinned}\",\"networkAddress\":\"{pinned}\",\"networkLength\":30}}"
    );
    let other = post(&served, &format!("/routers/{ROUTER}/ports"), "Port-v3", &body);
    let told = one.run(MIDOFORM, &["apply", ".", "--yes", "--move-links"]).expect_code(6);
    assert!(told.stderr.contains(&other) && told.stderr.contains("changed in the spec"), "{}", told.stderr);
}
