//! `midoform store` and `midoform push`.

use std::collections::BTreeMap;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_store::ipam::{AddressRecord, Holder, Owner};
use midoform_store::keys;
use midoform_store::ready::{Ready, ReadyBridge};
use midoform_store::record::encode;
use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};
use serde_json::{Value, json};

use crate::MIDOFORM;
use crate::pods::{HOST, attach};
use crate::served::Served;

const ADDRESS: &str = "pod/acme/address/a0001503";

fn store(folder: &TestFolder, arguments: &[&str]) -> Ran {
    folder.run(MIDOFORM, &[&["store", "--store", "store.db"], arguments].concat())
}

/// Puts these keys into the store of a folder that has none.
fn load(folder: &TestFolder, entries: &[(String, String)]) {
    let entries: Vec<Value> =
        entries.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    folder.write("dump.json", json!({ "format": "midoform-store/1", "entries": entries }).to_string());
    let _ = store(folder, &["load", "dump.json"]).expect_code(0);
}

fn dumped(folder: &TestFolder) -> Vec<(String, String)> {
    let dump: Value = serde_json::from_str(&store(folder, &["dump"]).expect_code(0).stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = dump["entries"].as_array().unwrap();
    entries.iter().map(|entry| (text(&entry["key"]), text(&entry["value"]))).collect()
}

fn pairs(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_dump_is_loaded_into_an_empty_store() {
    let folder = TestFolder::default();
    let missing = store(&folder, &["dump"]).expect_code(64);
    assert!(
        missing.stderr.contains("there is no store store.db; --store names another"),
        "{}",
        missing.stderr
    );
    let entries: Vec<(String, String)> = (0..130)
        .map(|number| (format!("spec/t{number:03}"), format!("{{\"version\":1,\"n\":{number}}}")))
        .collect();
    load(&folder, &entries);
    assert_eq!(dumped(&folder), entries);
    let again = store(&folder, &["load", "dump.json"]).expect_code(6);
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
    assert_eq!(dumped(&folder), entries);
    for (text, why) in
        [("nonsense", "is not a dump"), ("{\"format\":\"x/2\",\"entries\":[]}", "its format is x/2")]
    {
        folder.write("bad.json", text);
        let refused =
            folder.run(MIDOFORM, &["store", "--store", "new.db", "load", "bad.json"]).expect_code(64);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}

#[test]
fn leftovers_of_a_crash_are_reported_and_repaired() {
    let folder = TestFolder::default();
    let holder = "\"holder\":{\"kind\":\"container\",\"host\":\"11111111-2222-3333-4444-555555555555\",\
                  \"network\":\"lab\",\"container\":\"c1\",\"interface\":\"eth0\"}";
    let value = format!("{{\"version\":1,{holder},\"since\":5}}");
    load(&folder, &pairs(&[(ADDRESS, &value), ("attachment/x/y/z/eth0", "{\"version\":9}")]));
    let told = store(&folder, &["check"]).expect_code(8);
    assert!(
        told.stdout.contains(&format!("claim-without-attachment  {ADDRESS}: 192.168.0.5")),
        "{}",
        told.stdout
    );
    assert!(told.stdout.contains("(--repair repairs it)"), "{}", told.stdout);
    assert!(told.stdout.contains("its version is 9"), "{}", told.stdout);
    // One is put right, one is for somebody to look at.
    let repaired = store(&folder, &["check", "--repair", "--json"]).expect_code(8);
    let findings: Value = serde_json::from_str(&repaired.stdout).unwrap();
    let seen: Vec<(&str, bool)> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["code"].as_str().unwrap(), finding["repaired"].as_bool().unwrap()))
        .collect();
    assert_eq!(seen, [("unreadable", false), ("claim-without-attachment", true)]);
    let again = store(&folder, &["check"]).expect_code(8);
    assert!(!again.stdout.contains("claim-without-attachment"), "{}", again.stdout);
    assert!(again.stderr.contains("1 findings, 1 of them left"), "{}", again.stderr);
    let address = dumped(&folder).into_iter().find(|(key, _)| key == ADDRESS).unwrap();
    assert!(!address.1.contains("\"holder\"") && address.1.contains("\"last\""), "{}", address.1);
}

#[test]
fn older_values_are_migrated() {
    let folder = TestFolder::default();
    let old = "{ \"since\": 7,   \"version\": 1 }";
    let allocations = [
        (
            "given/ids/acme",
            "{ \"version\": 1, \"ids\": { \"acme/router\": \"00000000-0000-0000-0000-000000000001\" } }",
        ),
        ("given/peer/acme/beta", "{ \"version\": 1, \"provider\": \"10.9.0.1\", \"tenant\": \"10.9.0.2\" }"),
        ("given/pools", "{ \"version\": 1, \"given\": 3 }"),
        (
            "given/tenant/acme",
            "{ \"version\": 1, \"applied\": true, \"bridges\": { \"web\": \"10.8.0.0/24\" } }",
        ),
    ];
    let mut entries =
        pairs(&[(ADDRESS, old), ("pod/acme/free/0000000000000007/a0001503", "{\"version\":1}")]);
    entries.extend(pairs(&allocations));
    load(&folder, &entries);
    let said = store(&folder, &["migrate"]).expect_code(0).stderr;
    assert!(said.contains("5 of 6 values were rewritten"), "{said}");
    let after: BTreeMap<String, String> = dumped(&folder).into_iter().collect();
    for (key, old) in allocations.iter().chain(&[(ADDRESS, old)]) {
        let (old_value, new_value): (Value, Value) =
            (serde_json::from_str(old).unwrap(), serde_json::from_str(&after[*key]).unwrap());
        assert_ne!(after[*key], *old, "{key}");
        for (name, value) in old_value.as_object().unwrap() {
            assert_eq!(new_value[name], *value, "{key}");
        }
    }
    let said = store(&folder, &["migrate"]).expect_code(0).stderr;
    assert!(said.contains("0 of 6 values were rewritten"), "{said}");
    // A value of a newer midoform is reported, and stays.
    let newer = TestFolder::default();
    let entries = pairs(&[(ADDRESS, "{\"version\":2}")]);
    load(&newer, &entries);
    let refused = store(&newer, &["migrate"]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains(ADDRESS) && refused.stderr.contains("version is 2"),
        "{}",
        refused.stderr
    );
    assert_eq!(dumped(&newer), entries);
}

/// The same code as of an apply whose servers are away.
#[test]
fn an_unreachable_etcd_can_be_retried() {
    let folder = TestFolder::default();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    folder.write(
        "site.toml",
        format!("name = \"test\"\n[midonet]\nembedded = true\nmanaged = true\n[etcd]\nendpoints = [\"http://{free}\"]\n"),
    );
    let said = folder.run(MIDOFORM, &["store", "--etcd-of", "site.toml", "check"]).expect_code(4).stderr;
    assert!(said.contains(&free.to_string()), "{said}");
}

#[test]
fn a_push_writes_the_site_and_valid_specs_only() {
    let folder = TestFolder::default();
    folder.write("site.toml", "name = \"test\"\n[midonet]\nembedded = true\nmanaged = true\n");
    let spec = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/24\"\n";
    folder.write("acme.toml", spec);
    folder.write("umbra.toml", spec.replace("acme", "umbra").replace(".20.", ".21."));
    let push = || folder.run(MIDOFORM, &["push", "--store", "store.db", "."]);
    let said = push().expect_code(0).stderr;
    assert!(said.contains("the site and 2 tenants were pushed"), "{said}");
    let dump = dumped(&folder);
    let keys: Vec<&str> = dump.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["site", "spec/acme", "spec/umbra"]);
    let pushed: Value = serde_json::from_str(&dump[1].1).unwrap();
    assert_eq!(
        (&pushed["text"], pushed["file"].as_str().unwrap().ends_with("acme.toml")),
        (&json!(spec), true)
    );
    assert_eq!(pushed["sha256"].as_str().unwrap().len(), 64);
    // A spec that does not compile changes nothing; one that does replaces what was there.
    folder.write("acme.toml", "name = \"acme\"\nnonsense = 1\n");
    let _ = push().expect_code(3);
    assert_eq!(dumped(&folder), dump);
    folder.write("acme.toml", spec.replace(".20.", ".22."));
    let _ = push().expect_code(0);
    assert!(dumped(&folder)[1].1.contains("10.22.0.0/24"));
}

/// Stores a ready tenant, and three containers that held addresses: one was deleted long ago, one just now, one is
/// unknown.
fn left_over(folder: &TestFolder, now: u64) {
    let bridge = Namespace::of_site("test").id(&Key::from("acme/bridge/web"));
    let ready = Ready {
        tenant: "acme".into(),
        tenant_id: "acme".to_owned(),
        spec: String::new(),
        bridges: vec![ReadyBridge {
            name: "web".to_owned(),
            id: bridge,
            cidr: "10.20.0.0/24".parse().unwrap(),
            gateway: [10, 20, 0, 1].into(),
            grown_from: None,
            set_aside: Vec::new(),
            routed: Vec::new(),
        }],
        ports: Vec::new(),
        mtu: None,
        nameservers: Vec::new(),
        search: Vec::new(),
        port_anti_spoof: false,
        anti_spoof: None,
        untagged: None,
    };
    let mut entries = vec![(keys::ready("acme"), encode(&ready))];
    for (container, last, since) in [("gone", 5, 1000), ("leaves", 6, now)] {
        let owner = Owner {
            network: "lab".to_owned(),
            container: container.to_owned(),
            interface: "eth0".to_owned(),
        };
        let holder = Holder::Container { host: HOST.parse().unwrap(), owner };
        let address = [10, 20, 0, last].into();
        let record = AddressRecord { holder: None, since, last: Some(holder), interfaces: Vec::new() };
        entries.push((keys::address("acme", address), encode(&record)));
        entries.push((keys::freed("acme", since, address), "{\"version\":1}".to_owned()));
    }
    load(folder, &entries);
}

#[test]
fn only_orphaned_ports_are_deleted() {
    for (dialect, version) in [(Dialect::V1, "1.7"), (Dialect::V5, "5.8")] {
        let folder = TestFolder::default();
        let served = Served::with_node(&folder, dialect, version);
        let spec = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/24\"\n";
        folder.write("acme.toml", spec);
        let _ = folder.run(MIDOFORM, &["apply", "--yes", "."]).expect_code(0);
        let ports = ["gone", "leaves", "other"].map(|container| attach(&served, dialect, container, 6));
        let there = || {
            let mut connection = Connection::open(served.address).unwrap();
            ports.each_ref().map(|port| connection.send("GET", port, "*/*", "").unwrap().status == 200)
        };
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        left_over(&folder, u64::try_from(now).unwrap());
        let check = |arguments: &[&str]| {
            store(&folder, &[&["check", "--midonet-of", "site.toml"], arguments].concat()).expect_code(8)
        };
        let told = check(&[]).stdout;
        assert!(told.contains("container gone") && told.contains("(--repair repairs it)"), "{told}");
        assert!(told.contains("container leaves") && told.contains("(left: check it by hand)"), "{told}");
        assert_eq!(there(), [true; 3]);
        let said = check(&["--repair"]);
        assert!(said.stderr.contains("2 findings, 1 of them left"), "{}\n{}", said.stdout, said.stderr);
        assert_eq!(there(), [false, true, true], "{dialect}");
        // With it went its binding and its chain: nothing is left that names the container.
        let mut connection = Connection::open(served.address).unwrap();
        for path in ["/midonet-api/chains?tenant_id=acme", &format!("/midonet-api/hosts/{HOST}/ports")] {
            let answer = connection.send("GET", path, "*/*", "").unwrap();
            assert!(!answer.body.contains("gone"), "{path}: {}", answer.body);
        }
        let _ = check(&["--repair"]);
        // An API that can't be reached is an error, and nothing is changed.
        let gone = store(
            &folder,
            &["check", "--midonet-of", "site.toml", "--api", "http://127.0.0.1:1/midonet-api"],
        );
        assert_eq!(gone.code, 4, "{}", gone.stderr);
    }
}
