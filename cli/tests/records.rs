//! What a run records of what it did, whatever fails after it.

use std::time::Duration;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;

use crate::MIDOFORM;
use crate::served::Served;

const WEB: &str = "[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";
const DB: &str = "[[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n";
const PORT: &str = "[[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\n\
                    mac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.7\"\n";
const RULE: &str = "[[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { world = true, tcp = 80 }\naction = \"drop\"\n";

const VERSIONS: [(&str, Dialect); 3] = [("1.7", Dialect::V1), ("5.0", Dialect::V5), ("5.8", Dialect::V5)];

/// Returns a folder with a tenant `acme`, and a server that takes faults.
fn project(version: &str, dialect: Dialect, tenant: &str) -> (TestFolder, Served) {
    let folder = TestFolder::default();
    let served = Served::start(&folder, &["--version", version, "--inspect", "--faults"])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let url = served.url();
    folder.write(
        "site.toml",
        format!("name = \"t\"\n[midonet]\nurl = \"{url}\"\nversion = {dialect}\nmanaged = true\n"),
    );
    folder.write("acme.toml", format!("name = \"acme\"\n{tenant}"));
    (folder, served)
}

fn send(served: &Served, method: &str, body: &str) {
    let mut connection = Connection::open(served.address).unwrap();
    assert!(connection.send(method, "/_faults", "application/json", body).unwrap().status < 300);
}

/// A port that was taken out of the spec is deleted, whatever a part of the tenant was applied before.
#[test]
fn an_apply_of_a_part_forgets_no_static_port() {
    for (version, dialect) in VERSIONS {
        for part in [
            &["--target", "acme/chain/policy"][..],
            &["--target", "acme/bridge/db"],
            &["--target", "acme/port/vm"],
            &["--target", "acme/bridge/db", "--target", "acme/chain/policy"],
            &["--exclude", "acme/port/vm"],
            &["--exclude", "acme/bridge/db"],
        ] {
            let folder = TestFolder::default();
            let served = Served::with_node(&folder, dialect, version);
            folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{DB}{PORT}{RULE}"));
            let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
            // The part is applied with and without the port in the spec.
            let _ = folder.run(MIDOFORM, &[&["apply", ".", "--yes"], part].concat()).expect_code(0);
            let names_port = part.contains(&"acme/port/vm");
            folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{DB}{RULE}"));
            let mut said = String::new();
            if !names_port {
                said = folder.run(MIDOFORM, &[&["apply", ".", "--yes"], part].concat()).expect_code(0).stdout;
            }
            said += &folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0).stdout;
            assert!(said.contains("- port/vm"), "{version} {part:?}: {said}");
            assert!(!folder.read("midoform.lock").contains("vm"), "{version} {part:?}");
            drop(served);
        }
    }
}

/// One tenant is selected as a whole, and another in part: only the records of the part stay as they were.
#[test]
fn each_tenant_of_a_selection_is_whole_or_a_part_by_itself() {
    let folder = TestFolder::default();
    let _served = Served::with_node(&folder, Dialect::V5, "5.8");
    let beta = |more: &str| {
        let other = more.replace("10.1.0", "10.5.0").replace("tap0", "tap1").replace("vm", "box");
        let bridges = format!("{WEB}{DB}").replace("10.1.0", "10.5.0").replace("10.2.0", "10.6.0");
        folder.write("beta.toml", format!("name = \"beta\"\n{bridges}{other}"));
    };
    folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{PORT}"));
    beta(PORT);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    folder.write("acme.toml", format!("name = \"acme\"\n{WEB}"));
    beta("");
    let part = ["apply", ".", "--yes", "--target", "acme", "--target", "beta/bridge/db"];
    let ran = folder.run(MIDOFORM, &part).expect_code(0);
    assert!(ran.stdout.contains("- port/vm"), "{}", ran.stdout);
    let lock = folder.read("midoform.lock");
    assert!(!lock.contains("vm") && lock.contains("box"), "{lock}");
    let ran = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    assert!(ran.stdout.contains("- port/box"), "{}", ran.stdout);
    assert!(!folder.read("midoform.lock").contains("box"));
}

/// A first apply that was undone leaves a tenant that does not exist.
#[test]
fn a_tenant_whose_first_apply_was_undone_is_not_applied() {
    for (version, dialect) in VERSIONS {
        let (folder, served) = project(version, dialect, WEB);
        let fault =
            r#"{"fault": "unavailable-before", "method": "POST", "path": "/ports/*/link", "times": 0}"#;
        send(&served, "POST", fault);
        let failed = folder.run(MIDOFORM, &["apply", ".", "--yes", "--rollback-on-error"]);
        assert!(failed.code == 7 && failed.stderr.contains("undone: "), "{version}: {}", failed.stderr);
        assert!(!folder.read("midoform.lock").contains("applied = true"), "{version}");
        send(&served, "DELETE", "");
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        assert!(folder.read("midoform.lock").contains("applied = true"), "{version}");
        // Here the tenant existed before.
        folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{DB}"));
        send(&served, "POST", fault);
        let failed = folder.run(MIDOFORM, &["apply", ".", "--yes", "--rollback-on-error"]);
        assert!(failed.code == 7 && failed.stderr.contains("undone: "), "{version}: {}", failed.stderr);
        assert!(folder.read("midoform.lock").contains("applied = true"), "{version}");
    }
}

/// A tenant that is selected as a whole brings the parts of its peers that it is linked with. The rest of the peers stays.
#[test]
fn an_apply_of_a_tenant_deletes_nothing_of_its_peers() {
    for (version, dialect) in VERSIONS {
        let folder = TestFolder::default();
        let _served = Served::with_node(&folder, dialect, version);
        let acme = "name = \"acme\"\n[[peer]]\ntenant = \"beta\"\n[[bridge]]\nname = \"lan\"\ncidr = \"10.9.0.0/24\"\n";
        let beta = |more: &str| {
            let text = format!("name = \"beta\"\n[[peer]]\ntenant = \"acme\"\n{WEB}{DB}{more}");
            folder.write("beta.toml", text);
        };
        folder.write("acme.toml", acme);
        beta(&format!("{PORT}{RULE}"));
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        let same = folder.run(MIDOFORM, &["plan", ".", "--target", "acme", "--detailed-exitcode"]);
        assert_eq!(same.code, 0, "{version}: {}{}", same.stdout, same.stderr);
        folder.write("acme.toml", format!("{acme}[[bridge]]\nname = \"new\"\ncidr = \"10.8.0.0/24\"\n"));
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--target", "acme"]).expect_code(0);
        // What acme no longer has is deleted, as it is selected as a whole.
        folder.write("acme.toml", acme);
        let fewer = folder.run(MIDOFORM, &["apply", ".", "--yes", "--target", "acme"]).expect_code(0);
        assert!(fewer.stdout.contains("- bridge/new"), "{version}: {}", fewer.stdout);
        let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        beta(RULE);
        let gone = folder.run(MIDOFORM, &["plan", "."]).expect_code(0);
        assert!(gone.stdout.contains("- port/vm"), "{version}: {}", gone.stdout);
    }
}

/// A part of a tenant is not published to the pods: the network does not have the rest of its spec.
#[test]
fn a_part_of_a_tenant_is_not_published() {
    let ready = |folder: &TestFolder| -> Vec<String> {
        let dump = folder.run(MIDOFORM, &["store", "--store", "store.db", "dump"]).expect_code(0).stdout;
        let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
        let keys = dump["entries"].as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap());
        keys.filter(|key| key.starts_with("ready/")).map(str::to_owned).collect()
    };
    for saves in [false, true] {
        let (folder, served) = project("5.8", Dialect::V5, "");
        let url = served.url();
        folder.write(
            "site.toml",
            format!(
                "name = \"t\"\n[midonet]\nurl = \"{url}\"\nversion = 5\nmanaged = true\n[store]\npath = \"store.db\"\n"
            ),
        );
        let apply = |selection: &[&str]| {
            if saves {
                let plan = [&["plan", ".", "--out", "saved.json"], selection].concat();
                let _ = folder.run(MIDOFORM, &plan).expect_code(0);
                let _ = folder.run(MIDOFORM, &["apply", "saved.json", "--yes"]).expect_code(0);
            } else {
                let _ = folder.run(MIDOFORM, &[&["apply", ".", "--yes"], selection].concat()).expect_code(0);
            }
        };
        folder.write("acme.toml", format!("name = \"acme\"\n[[peer]]\ntenant = \"beta\"\n{WEB}"));
        folder.write("beta.toml", format!("name = \"beta\"\n[[peer]]\ntenant = \"acme\"\n{DB}"));
        apply(&["--target", "acme"]);
        assert_eq!(ready(&folder), ["ready/acme"], "saved: {saves}");
        apply(&["--exclude", "beta/bridge/db"]);
        assert_eq!(ready(&folder), ["ready/acme"], "saved: {saves}");
        apply(&[]);
        assert_eq!(ready(&folder), ["ready/acme", "ready/beta"], "saved: {saves}");
    }
}

/// Returns the part of a lock file about a tenant.
fn recorded(folder: &TestFolder, tenant: &str) -> String {
    let lock = folder.read("midoform.lock");
    let own = lock.split(&format!("[tenant.{tenant}]")).nth(1).unwrap_or_default();
    own.split("\n[tenant.")
        .take_while(|part| !part.starts_with("tenant"))
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Reads fail after the first call: what was created counts as applied, and a repair of the lock file moves other tenants.
#[test]
fn a_look_that_fails_leaves_a_tenant_applied() {
    for (version, dialect) in [("1.7", Dialect::V1), ("5.8", Dialect::V5)] {
        for how in [&["--verify"][..], &["--batch", "1"], &["--batch", "1", "--verify"]] {
            let what = format!("{version} {how:?}");
            let (folder, served) = project(version, dialect, "[[bridge]]\nname = \"web\"\n");
            let fault =
                r#"{"fault": "internal-error", "method": "GET", "path": "/routers", "nth": 2, "times": 0}"#;
            send(&served, "POST", fault);
            let failed = folder.run(MIDOFORM, &[&["apply", ".", "--yes"], how].concat());
            assert_ne!(failed.code, 0, "{what}: {}", failed.stderr);
            send(&served, "DELETE", "");
            let ours = folder.read("midoform.lock");
            assert!(ours.contains("[tenant.acme]\napplied = true\n"), "{what}: {ours}");
            if dialect == Dialect::V1 {
                continue;
            }
            // Another branch allocated the same addresses, to a tenant whose name comes first.
            let theirs =
                ours.replace("[tenant.acme", "[tenant.aaa").replace("applied = true", "applied = false");
            let merged = format!("{}{}", theirs, ours.split_once("version = 1\n").unwrap().1);
            folder.write("midoform.lock", merged);
            folder.write("aaa.toml", "name = \"aaa\"\n[[bridge]]\nname = \"web\"\n");
            let _ = folder.run(MIDOFORM, &["lock", ".", "--repair"]).expect_code(0);
            let _ = folder
                .run(MIDOFORM, &["plan", ".", "--target", "acme", "--detailed-exitcode"])
                .expect_code(0);
            assert!(folder.read("midoform.lock").contains("[tenant.acme]\napplied = true\n"), "{what}");
        }
    }
}

/// The second of two batches is not begun, since the look after the first one fails: its records stay.
#[test]
fn a_look_that_fails_between_batches_does_not_count_as_the_end() {
    let (folder, served) = project("1.7", Dialect::V1, WEB);
    folder.write("beta.toml", format!("name = \"beta\"\n{}", DB.replace("10.2", "10.3")));
    let fault = r#"{"fault": "internal-error", "method": "GET", "path": "/routers", "nth": 2, "times": 0}"#;
    send(&served, "POST", fault);
    let failed = folder.run(MIDOFORM, &["apply", ".", "--yes", "--batch", "1", "--json"]);
    assert_eq!(failed.code, 7, "{}", failed.stderr);
    let report: serde_json::Value = serde_json::from_str(&failed.stdout).unwrap();
    assert!(report["left"].as_u64().unwrap() > 0 && report["converged"] == false, "{report}");
    assert!(recorded(&folder, "beta").contains("making"), "{}", folder.read("midoform.lock"));
    send(&served, "DELETE", "");
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    assert!(!folder.read("midoform.lock").contains("making"));
    let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
}

/// A run that is killed at its first call has recorded that its tenant may exist.
#[test]
fn a_killed_run_leaves_its_tenant_applied() {
    for (version, dialect) in VERSIONS {
        let (folder, served) = project(version, dialect, WEB);
        send(&served, "POST", r#"{"fault": "delay", "method": "POST", "nth": 1, "milliseconds": 300}"#);
        let mut command = folder.command(MIDOFORM, &["apply", ".", "--yes", "--quiet"]);
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        let mut control = Connection::open(served.address).unwrap();
        while !control.send("GET", "/_faults", "*/*", "").unwrap().body.contains("\"struck\":1") {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let lock = folder.read("midoform.lock");
        assert!(lock.contains("[tenant.acme]\napplied = true\n"), "{version}: {lock}");
    }
}

/// A bridge is taken out, and its last part can't be deleted: the run restores the rest, whose ids only the server knows.
/// Before that it records what it will create.
#[test]
fn a_rollback_records_what_it_will_create() {
    let (folder, served) = project("1.7", Dialect::V1, &format!("{WEB}{DB}"));
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    folder.write("acme.toml", format!("name = \"acme\"\n{WEB}"));
    let fault = r#"{"fault": "unavailable-before", "method": "DELETE", "path": "/bridges/*", "times": 0}"#;
    send(&served, "POST", fault);
    // The process ends while the rollback creates something.
    send(&served, "POST", r#"{"fault": "delay", "method": "POST", "nth": 1, "milliseconds": 5000}"#);
    let mut command = folder
        .command(MIDOFORM, &["apply", ".", "--yes", "--rollback-on-error", "--allow-mass-delete", "--quiet"]);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut control = Connection::open(served.address).unwrap();
    let is_struck = |page: &str| {
        let faults: serde_json::Value = serde_json::from_str(page).unwrap();
        let struck = |fault: &serde_json::Value| {
            fault["fault"] == "delay" && fault["struck"].as_u64().unwrap_or_default() > 0
        };
        faults.as_array().or_else(|| faults["faults"].as_array()).unwrap().iter().any(struck)
    };
    while !is_struck(&control.send("GET", "/_faults", "*/*", "").unwrap().body) {
        assert!(child.try_wait().unwrap().is_none(), "no rollback was begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let lock = recorded(&folder, "acme");
    assert!(lock.contains("making") && lock.contains("acme/bridge/db/"), "{lock}");
    send(&served, "DELETE", "");
    std::thread::sleep(Duration::from_secs(5));
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--allow-mass-delete"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
}

/// The generations that a look finds after the lock file was lost are kept: an id that an object had is no new object's.
#[test]
fn ids_that_were_found_are_not_used_again() {
    for (version, dialect) in VERSIONS {
        let (folder, served) = project(version, dialect, WEB);
        let apply = || folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        let ids = || -> Vec<String> {
            let mut connection = Connection::open(served.address).unwrap();
            let all = connection.send("GET", "/_topology", "application/json", "").unwrap().body;
            let all: serde_json::Value = serde_json::from_str(&all).unwrap();
            let ports = all["objects"]["Port"].as_array().unwrap().iter();
            ports.map(|port| port["id"].as_str().unwrap().to_owned()).collect()
        };
        let _ = apply();
        let first = ids();
        folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{DB}"));
        let _ = apply();
        let later: Vec<String> = ids().into_iter().filter(|id| !first.contains(id)).collect();
        assert_eq!(later.len(), 2, "{version}");
        // On 1.x the lock file alone says whose a rule is. This tenant has none of its own.
        std::fs::remove_file(folder.path().join("midoform.lock")).unwrap();
        let _ = apply();
        for port in &later {
            let path = format!("/midonet-api/ports/{port}");
            let mut connection = Connection::open(served.address).unwrap();
            let _ = connection.send("DELETE", &format!("{path}/link"), "", "").unwrap();
            assert_eq!(connection.send("DELETE", &path, "", "").unwrap().status, 204, "{version}");
        }
        let _ = apply();
        assert_eq!(ids().len(), first.len() + 2, "{version}");
        assert!(ids().iter().all(|id| !later.contains(id)), "{version}: {later:?}");
    }
}
