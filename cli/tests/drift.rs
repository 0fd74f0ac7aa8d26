//! `midoform drift` and `midoform undo`.

use std::collections::BTreeMap;

use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;

use crate::MIDOFORM;
use crate::served::Served;

const SITE: &str =
    "name = \"t\"\n[midonet]\nurl = \"http://127.0.0.1:1/\"\nversion = DIALECT\nmanaged = true\n";
const WEB: &str = "[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";
const DB: &str = "[[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n";
const RULE: &str = "[[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 80 }\naction = \"drop\"\n";
const VERSIONS: [(&str, &str); 3] = [("1.7", "1"), ("5.0", "5"), ("5.8", "5")];

fn project(dialect: &str, tenant: &str) -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE.replace("DIALECT", dialect));
    folder.write("acme.toml", format!("name = \"acme\"\n{tenant}"));
    folder
}

fn serve(folder: &TestFolder, version: &str) -> Served {
    Served::start(folder, &["--version", version, "--inspect"]).unwrap_or_else(|ran| panic!("{}", ran.stderr))
}

/// Returns everything that is there, without what a server makes up. In the place of an id is what its object says, and what the
/// objects say that it refers to: no id is used twice.
fn state(served: &Served) -> serde_json::Value {
    let body = Connection::open(served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap().body;
    let mut all: serde_json::Value = serde_json::from_str(&body).unwrap();
    let mut objects: BTreeMap<String, String> = BTreeMap::new();
    for object in
        all["objects"].as_object_mut().unwrap().values_mut().flat_map(|list| list.as_array_mut().unwrap())
    {
        for made_up in ["tunnelKey", "portMac"] {
            if object.get(made_up).is_some() {
                object[made_up] = serde_json::Value::Null;
            }
        }
        if let Some(id) = object["id"].as_str().map(str::to_owned) {
            objects.insert(id, object.to_string());
        }
    }
    let mut labels: BTreeMap<String, String> =
        objects.keys().map(|id| (id.clone(), "ID".to_owned())).collect();
    let labelled = |text: &str, labels: &BTreeMap<String, String>| {
        labels.iter().fold(text.to_owned(), |text, (id, label)| text.replace(id, label))
    };
    for _ in 0..4 {
        let label = |(id, text): (&String, &String)| {
            let text = labelled(&text.replace(id, "SELF"), &labels);
            (id.clone(), uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).to_string())
        };
        labels = objects.iter().map(label).collect();
    }
    let mut all: serde_json::Value = serde_json::from_str(&labelled(&all.to_string(), &labels)).unwrap();
    for objects in all["objects"].as_object_mut().unwrap().values_mut() {
        objects.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    all
}

/// Returns a lock file without the ids of objects.
fn without_ids(lock: &str) -> String {
    let mut of_ids = false;
    lock.lines().fold(String::new(), |text, line| {
        of_ids =
            if line.starts_with('[') { line == "[generation]" || line.ends_with(".id]") } else { of_ids };
        if of_ids { text } else { text + line + "\n" }
    })
}

#[test]
fn a_plan_is_undone() {
    for (version, dialect) in VERSIONS {
        let folder = project(dialect, &format!("{WEB}{DB}{RULE}"));
        let served = serve(&folder, version);
        let url = served.url();
        let run = |arguments: &[&str]| folder.run(MIDOFORM, &[arguments, &["--api", &url]].concat());
        let nothing = state(&served);
        let edits = [
            format!("{WEB}{DB}{RULE}"),
            format!(
                "{WEB}{}",
                RULE.replace("to = { bridge = \"db\", tcp = 80 }", "to = { bridge = \"web\", tcp = 81 }")
            ),
            format!("anti_spoof = \"none\"\n{WEB}{DB}gateway = \"first\"\n"),
        ];
        let mut before = vec![(
            nothing,
            folder.path().join("midoform.lock").exists().then(|| folder.read("midoform.lock")),
        )];
        for (at, edit) in edits.iter().enumerate() {
            folder.write("acme.toml", format!("name = \"acme\"\n{edit}"));
            let _ = run(&["plan", ".", "--out", &format!("plan{at}.json")]).expect_code(0);
            let _ = run(&["apply", &format!("plan{at}.json"), "--yes", "--allow-mass-delete"]).expect_code(0);
            before.push((state(&served), Some(folder.read("midoform.lock"))));
        }
        for at in (0..edits.len()).rev() {
            let plan = format!("plan{at}.json");
            let _ = run(&["undo", &plan, "--yes"]).expect_code(0);
            let (wanted, lock) = &before[at];
            let now = state(&served);
            for (kind, objects) in wanted["objects"].as_object().unwrap() {
                assert_eq!(now["objects"][kind], *objects, "undoing plan {at} on {version}");
            }
            if let (Some(lock), "5") = (lock, dialect) {
                let now = without_ids(&folder.read("midoform.lock"));
                assert_eq!(now, without_ids(lock), "undoing plan {at} on {version}");
            }
            let again = run(&["undo", &plan, "--yes"]).expect_code(0);
            assert!(again.stdout.contains("No changes"), "{}", again.stdout);
        }
    }
}

#[test]
fn drift_shows_changes_with_their_lines() {
    for (version, dialect) in VERSIONS {
        let folder = project(dialect, &format!("{WEB}{DB}{RULE}"));
        let served = serve(&folder, version);
        let url = served.url();
        let run = |arguments: &[&str]| folder.run(MIDOFORM, &[arguments, &["--api", &url]].concat());
        let empty = run(&["drift", "."]).expect_code(8);
        assert!(empty.stdout.contains("missing  acme/router"), "{}", empty.stdout);
        let _ = run(&["apply", ".", "--yes"]).expect_code(0);
        let none = run(&["drift", "."]).expect_code(0);
        assert!(none.stdout.contains("No drift"), "{}", none.stdout);
        // Somebody takes a link apart, and a rule away.
        let topology =
            Connection::open(served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap().body;
        let all: serde_json::Value = serde_json::from_str(&topology).unwrap();
        let drop = all["objects"]["Rule"]
            .as_array()
            .unwrap()
            .iter()
            .find(|rule| rule["tpDst"]["start"] == 80)
            .unwrap();
        let path = format!("/midonet-api/rules/{}", drop["id"].as_str().unwrap());
        assert_eq!(
            Connection::open(served.address).unwrap().send("DELETE", &path, "*/*", "").unwrap().status,
            204
        );
        let found = run(&["drift", "."]).expect_code(8);
        assert!(
            found.stdout.contains("missing  acme/") && found.stdout.contains("(acme.toml:"),
            "{}",
            found.stdout
        );
        assert!(found.stdout.contains("1 object differs from the spec"), "{}", found.stdout);
        let json = run(&["drift", ".", "--json"]).expect_code(8);
        assert_eq!(json.stdout.lines().count(), 1, "one line for each look");
        let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(json["differences"][0]["is"], "missing");
        let _ = run(&["apply", ".", "--yes"]).expect_code(0);
        let _ = run(&["drift", "."]).expect_code(0);
    }
}

/// Somebody puts another rule in the place of one, and another name on the router: what is said is what changed.
#[test]
fn drift_shows_changed_fields() {
    let folder = project("5", &format!("{WEB}{DB}{RULE}"));
    let served = serve(&folder, "5.8");
    let url = served.url();
    let run = |arguments: &[&str]| folder.run(MIDOFORM, &[arguments, &["--api", &url]].concat());
    let _ = run(&["apply", ".", "--yes"]).expect_code(0);
    let topology =
        Connection::open(served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap().body;
    let all: serde_json::Value = serde_json::from_str(&topology).unwrap();
    let find = |kind: &str, is_it: &dyn Fn(&serde_json::Value) -> bool| {
        all["objects"][kind].as_array().unwrap().iter().find(|object| is_it(object)).unwrap().clone()
    };
    let rule = find("Rule", &|rule| rule["tpDst"]["start"] == 80);
    let mut connection = Connection::open(served.address).unwrap();
    let path = format!("/midonet-api/rules/{}", rule["id"].as_str().unwrap());
    assert_eq!(connection.send("DELETE", &path, "*/*", "").unwrap().status, 204);
    let body = serde_json::json!({
        "id": rule["id"], "type": "drop", "position": 1, "nwProto": 6, "tpDst": { "start": 81, "end": 81 },
        "inPorts": rule["inPorts"], "outPorts": rule["outPorts"],
    });
    let path = format!("/midonet-api/chains/{}/rules", rule["chainId"].as_str().unwrap());
    let kind = "application/vnd.org.midonet.Rule-v2+json";
    assert_eq!(connection.send("POST", &path, kind, &body.to_string()).unwrap().status, 201);
    let router = find("Router", &|router| router["name"] == "acme default router");
    let path = format!("/midonet-api/routers/{}", router["id"].as_str().unwrap());
    let mut body = router.clone();
    body["name"] = "mine".into();
    let kind = "application/vnd.org.midonet.Router-v3+json";
    let put = connection.send("PUT", &path, kind, &body.to_string()).unwrap();
    assert!(matches!(put.status, 200 | 204), "{}", put.body);
    let found = run(&["drift", "."]).expect_code(8);
    for said in [
        "changed  acme/router  router: name: mine → acme default router  (acme.toml:1)",
        "changed  acme/chain/policy/rule/shut  rule: the existing rule differs: destination_ports: 81 → 80  (acme.toml:9)",
        "2 objects differ from the spec",
    ] {
        assert!(found.stdout.contains(said), "{said}:\n{}", found.stdout);
    }
}

#[test]
fn drift_is_watched_and_exported_as_metrics() {
    use std::io::{BufRead as _, BufReader};
    let folder = project("5", WEB);
    let served = serve(&folder, "5.8");
    let url = served.url();
    let arguments = ["drift", ".", "--api", &url, "--watch", "1", "--metrics", "127.0.0.1:0"];
    let mut command = folder.command(MIDOFORM, &arguments);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let address = line.split("://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let metrics = |wanted: &str, is_none: bool| {
        let mut page = String::new();
        for _ in 0..100 {
            page = Connection::open(address).unwrap().send("GET", "/metrics", "*/*", "").unwrap().body;
            let value = page.lines().find_map(|line| line.strip_prefix(wanted)).unwrap().trim();
            let looked = !page.contains("midoform_drift_looks_total 0");
            if looked && (value == "0") == is_none {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{wanted} does not come to it: {page}");
    };
    metrics("midoform_drift_objects{is=\"missing\"}", false);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--api", &url]).expect_code(0);
    metrics("midoform_drift_objects{is=\"missing\"}", true);
    metrics("midoform_drift_tenant_objects{tenant=\"acme\"}", true);
    // The spec is read anew for each look.
    folder.write("acme.toml", format!("name = \"acme\"\n{WEB}{DB}"));
    metrics("midoform_drift_tenant_objects{tenant=\"acme\"}", false);
    let page = Connection::open(address).unwrap().send("GET", "/metrics", "*/*", "").unwrap().body;
    crate::book::expect_documented_metrics(&page);
    let names: Vec<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let expected = [
        "midoform_drift_failures_total",
        "midoform_drift_last_look_seconds",
        "midoform_drift_looks_total",
        "midoform_drift_objects{is=\"changed\"}",
        "midoform_drift_objects{is=\"missing\"}",
        "midoform_drift_objects{is=\"unwanted\"}",
        "midoform_drift_tenant_objects{tenant=\"acme\"}",
        "midoform_foreign_objects",
    ];
    assert_eq!(names.into_iter().collect::<std::collections::BTreeSet<_>>(), expected.into(), "{page}");
    assert!(page.contains("# TYPE midoform_drift_looks counter") && page.ends_with("# EOF\n"), "{page}");
    folder.write("acme.toml", format!("name = \"acme\"\n{WEB}"));
    metrics("midoform_drift_tenant_objects{tenant=\"acme\"}", true);
    drop(served);
    metrics("midoform_drift_failures_total", false);
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
