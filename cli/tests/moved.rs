//! `[[moved]]`: what is renamed stays what it is.

use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;
use serde_json::Value;

use crate::MIDOFORM;
use crate::served::Served;

const SITE: &str = "name = \"t\"\n[midonet]\nurl = \"http://127.0.0.1:1/\"\nversion = DIALECT\nmanaged = true\n\
                    [[host]]\nname = \"node1\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"192.0.2.1\"\n\
                    [tunnel_zone]\nname = \"zone\"\ntype = \"vxlan\"\n";
const OLD: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n\
                   [[port]]\nname = \"lb\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"eth7\"\nmac = \"02:00:00:00:00:07\"\naddress = \"WEB7\"\n\
                   [[port_group]]\nname = \"edge\"\nports = [\"lb\"]\n\
                   [[rule]]\nname = \"in\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\", tcp = [80, 443] }\naction = \"accept\"\n\
                   [[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\" }\naction = \"drop\"\n";
const MOVED: &str = "[[moved]]\nbridge = \"web\"\nto = \"front\"\n[[moved]]\nrule = \"shut\"\nto = \"closed\"\n\
                     [[moved]]\nport = \"lb\"\nto = \"balancer\"\n";

/// Returns every object with its id, but without what a rename changes.
fn objects(served: &Served) -> Value {
    let all = Connection::open(served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap();
    let mut all: Value = serde_json::from_str(&all.body).unwrap();
    for bridge in all["objects"]["Network"].as_array_mut().into_iter().flatten() {
        bridge.as_object_mut().unwrap().remove("name");
    }
    all["objects"].take()
}

fn renamed(text: &str) -> String {
    text.replace("\"web\"", "\"front\"").replace("\"shut\"", "\"closed\"").replace("\"lb\"", "\"balancer\"")
}

#[test]
fn renamed_objects_are_not_created_again() {
    for (version, dialect) in [("1.7", "1"), ("5.0", "5"), ("5.8", "5")] {
        let folder = TestFolder::default();
        folder.write("site.toml", SITE.replace("DIALECT", dialect));
        folder.write("acme.toml", "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n");
        let host = "11111111-2222-3333-4444-555555555555=node1";
        let served = Served::start(&folder, &["--version", version, "--inspect", "--host", host])
            .unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let url = served.url();
        let run = |arguments: &[&str]| folder.run(MIDOFORM, &[arguments, &["--api", &url]].concat());
        // The static port's address is in the allocated network.
        let _ = folder.run(MIDOFORM, &["lock", "."]).expect_code(0);
        let lock = folder.read("midoform.lock");
        let network = lock.lines().find_map(|line| line.strip_prefix("web = \"")).unwrap();
        let old = OLD.replace("WEB7", &network.replace(".0/24\"", ".7"));
        folder.write("acme.toml", &old);
        let _ = run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        let before = objects(&served);
        folder.write("acme.toml", format!("{}{MOVED}", renamed(&old)));
        let moved = run(&["apply", ".", "--yes", "--verify", "--json"]).expect_code(0);
        let report: Value = serde_json::from_str(&moved.stdout).unwrap();
        assert_eq!(report["done"], serde_json::json!({ "update": 1 }), "{version}: {}", moved.stdout);
        assert_eq!(objects(&served), before, "{version}: every object is still there, with its id");
        let empty = |what: &str| {
            let plan = run(&["plan", ".", "--detailed-exitcode"]);
            assert_eq!(plan.code, 0, "{version}, {what}: {}{}", plan.stdout, plan.stderr);
        };
        empty("once more");
        if dialect == "5" {
            let lock = folder.read("midoform.lock");
            std::fs::remove_file(folder.path().join("midoform.lock")).unwrap();
            let pinned = format!("cidr = \"{}", network);
            let text = format!("{}{MOVED}", renamed(&old));
            folder.write(
                "acme.toml",
                text.replacen("name = \"front\"", &format!("name = \"front\"\n{pinned}"), 1),
            );
            let plan = run(&["plan", ".", "--json"]).expect_code(0);
            assert!(
                !plan.stdout.contains("\"action\":\"delete\",\"key\":\"acme/bridge/front\""),
                "{}",
                plan.stdout
            );
            folder.write("midoform.lock", lock);
            folder.write("acme.toml", text);
        }
        folder.write("acme.toml", renamed(&old));
        empty("without the lines that said so");
        let _ = run(&["destroy", ".", "--yes"]).expect_code(0);
        let left = objects(&served);
        assert!(left["Network"].as_array().is_none_or(Vec::is_empty), "{version}: {left}");
    }
}
