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

const CIRCLE: &str = "[[moved]]\nbridge = \"a\"\nto = \"b\"\n[[moved]]\nbridge = \"b\"\nto = \"c\"\n[[moved]]\nbridge = \"c\"\nto = \"a\"\n\
                      [[moved]]\nport = \"p\"\nto = \"q\"\n[[moved]]\nport = \"q\"\nto = \"p\"\n\
                      [[moved]]\nrule = \"x\"\nto = \"y\"\n[[moved]]\nrule = \"y\"\nto = \"x\"\n";

/// A tenant with three bridges, two ports and two rules of these names. The network of the third bridge is allocated.
fn three([a, b, c]: [&str; 3], [p, q]: [&str; 2], [x, y]: [&str; 2]) -> String {
    let port = |name: &str, bridge: &str, number: u8| {
        format!(
            "[[port]]\nname = \"{name}\"\nbridge = \"{bridge}\"\nhost = \"node1\"\ninterface = \"eth{number}\"\n\
             mac = \"02:00:00:00:00:0{number}\"\naddress = \"10.1.{number}.7\"\n"
        )
    };
    let rule = |name: &str, from: &str, to: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nfrom = {{ bridge = \"{from}\" }}\nto = {{ bridge = \"{to}\" }}\naction = \"drop\"\n"
        )
    };
    format!(
        "name = \"acme\"\n[[bridge]]\nname = \"{a}\"\ncidr = \"10.1.1.0/24\"\n[[bridge]]\nname = \"{b}\"\ncidr = \"10.1.2.0/24\"\n\
         [[bridge]]\nname = \"{c}\"\n{}{}{}{}",
        port(p, a, 1),
        port(q, b, 2),
        rule(x, a, b),
        rule(y, b, c)
    )
}

#[test]
fn things_can_exchange_their_names() {
    for (version, dialect) in [("1.7", "1"), ("5.0", "5"), ("5.8", "5")] {
        let folder = TestFolder::default();
        folder.write("site.toml", SITE.replace("DIALECT", dialect));
        folder.write("acme.toml", three(["a", "b", "c"], ["p", "q"], ["x", "y"]));
        let host = "11111111-2222-3333-4444-555555555555=node1";
        let served = Served::start(&folder, &["--version", version, "--inspect", "--host", host])
            .unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let url = served.url();
        let run = |arguments: &[&str]| folder.run(MIDOFORM, &[arguments, &["--api", &url]].concat());
        let _ = run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        let before = objects(&served);
        let network = |bridge: &str| {
            let lock = folder.read("midoform.lock");
            lock.lines().find(|line| line.starts_with(&format!("{bridge} = \""))).unwrap()[4..].to_owned()
        };
        let allocated = network("c");
        let empty = |what: &str| {
            let plan = run(&["plan", ".", "--detailed-exitcode"]);
            assert_eq!(plan.code, 0, "{version}, {what}: {}{}", plan.stdout, plan.stderr);
            assert_eq!(objects(&served), before, "{version}, {what}");
        };
        let exchanged = three(["b", "c", "a"], ["q", "p"], ["y", "x"]);
        folder.write("acme.toml", format!("{exchanged}{CIRCLE}"));
        let _ = run(&["plan", ".", "--out", "plan.json"]).expect_code(0);
        if version != "5.0" {
            // The allocations follow a renaming once, whoever writes them.
            let _ = folder.run(MIDOFORM, &["lock", "."]).expect_code(0);
            assert_eq!(network("a"), allocated, "{version}");
        }
        let moved = run(&["apply", ".", "--yes", "--verify", "--json"]).expect_code(0);
        let report: Value = serde_json::from_str(&moved.stdout).unwrap();
        assert_eq!(report["done"], serde_json::json!({ "update": 3 }), "{version}: {}", moved.stdout);
        empty("once more");
        let _ = folder.run(MIDOFORM, &["lock", "."]).expect_code(0);
        empty("after another allocation");
        let _ = run(&["apply", ".", "--yes"]).expect_code(0);
        assert_eq!(network("a"), allocated, "{version}");
        if version == "5.0" {
            let _ = run(&["undo", "plan.json", "--yes"]).expect_code(0);
            assert_eq!(network("c"), allocated, "{version}: undone");
            let _ = run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
            empty("after an undo");
        }
        folder.write("acme.toml", &exchanged);
        empty("without the lines that said so");
        let _ = run(&["apply", ".", "--yes"]).expect_code(0);
        folder.write("acme.toml", three(["a", "b", "c"], ["p", "q"], ["x", "y"]) + &CIRCLE_BACK.join(""));
        let _ = run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        empty("and back");
        let _ = run(&["destroy", ".", "--yes"]).expect_code(0);
        let left = objects(&served);
        assert!(left["Network"].as_array().is_none_or(Vec::is_empty), "{version}: {left}");
    }
}

const CIRCLE_BACK: [&str; 7] = [
    "[[moved]]\nbridge = \"b\"\nto = \"a\"\n",
    "[[moved]]\nbridge = \"c\"\nto = \"b\"\n",
    "[[moved]]\nbridge = \"a\"\nto = \"c\"\n",
    "[[moved]]\nport = \"p\"\nto = \"q\"\n",
    "[[moved]]\nport = \"q\"\nto = \"p\"\n",
    "[[moved]]\nrule = \"x\"\nto = \"y\"\n",
    "[[moved]]\nrule = \"y\"\nto = \"x\"\n",
];

/// A tenant under another name has its old addresses: that can't end well, and is said before anything is tried.
#[test]
fn a_renamed_tenant_is_told_what_to_write() {
    let folder = TestFolder::with_tenants(&[(
        "t.toml",
        "name = \"t\"\n[[bridge]]\nname = \"b\"\ncidr = \"10.1.0.0/24\"\n",
    )]);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    folder.write("t.toml", folder.read("t.toml").replace("\"t\"", "\"u\""));
    let lock = folder.read("midoform.lock");
    for command in
        [&["validate", "."][..], &["plan", "."], &["plan", ".", "--offline"], &["apply", ".", "--yes"]]
    {
        let refused = folder.run(MIDOFORM, command).expect_code(3);
        for words in ["tenant-renamed", "10.1.0.0/24", "write `name = \"t\"`", "destroy --target t"] {
            assert!(refused.stderr.contains(words), "{command:?}: {}", refused.stderr);
        }
    }
    let _ = folder.run(MIDOFORM, &["lock", "."]).expect_code(6);
    assert_eq!(folder.read("midoform.lock"), lock);
    let _ = folder.run(MIDOFORM, &["destroy", ".", "--target", "t", "--yes"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
    // Or the old name is written again.
    folder.write("t.toml", folder.read("t.toml").replace("\"u\"", "\"v\""));
    let _ = folder.run(MIDOFORM, &["validate", "."]).expect_code(3);
    folder.write("t.toml", folder.read("t.toml").replace("\"v\"", "\"u\""));
    let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
}

/// On 5.x the id of an object follows from its first name: a new one of that name needs another.
#[test]
fn a_new_bridge_can_have_the_old_name_of_another() {
    for (version, dialect) in [("1.7", "1"), ("5.8", "5")] {
        let folder = TestFolder::default();
        folder.write("site.toml", SITE.replace("DIALECT", dialect));
        let spec = |bridges: &[&str], more: &str| {
            let tables = bridges.iter().map(|name| format!("[[bridge]]\nname = \"{name}\"\n"));
            let text =
                format!("name = \"acme\"\nanti_spoof = \"port\"\n{}{more}", tables.collect::<String>());
            folder.write("acme.toml", text);
        };
        let host = "11111111-2222-3333-4444-555555555555=node1";
        let served = Served::start(&folder, &["--version", version, "--inspect", "--host", host])
            .unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let url = served.url();
        let run = |arguments: &[&str]| folder.run(MIDOFORM, &[arguments, &["--api", &url]].concat());
        spec(&["web"], "");
        let _ = run(&["apply", ".", "--yes"]).expect_code(0);
        spec(&["front"], "[[moved]]\nbridge = \"web\"\nto = \"front\"\n");
        let _ = run(&["apply", ".", "--yes"]).expect_code(0);
        spec(&["front", "web"], "");
        let _ = run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        let _ = run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
        spec(&["front"], "");
        let _ = run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        spec(&["web", "front"], "");
        let _ = run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        let _ = run(&["destroy", ".", "--yes"]).expect_code(0);
        let left = objects(&served);
        assert!(left["Network"].as_array().is_none_or(Vec::is_empty), "{version}: {left}");
    }
}

/// A renaming to the name of something that exists, and that the same edit removes: the objects of both would have one name. It is
/// refused where it stands, and the two steps that the help names work.
#[test]
fn a_rename_onto_something_that_exists_is_refused() {
    let bridge =
        |name: &str, network: u8| format!("[[bridge]]\nname = \"{name}\"\ncidr = \"10.{network}.0.0/24\"\n");
    let port = |name: &str, interface: &str, last: u8| {
        format!(
            "[[port]]\nname = \"{name}\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"{interface}\"\n\
             mac = \"02:00:00:00:00:0{last}\"\naddress = \"10.9.0.{last}\"\n"
        )
    };
    let moved = |kind: &str, from: &str, to: &str| format!("[[moved]]\n{kind} = \"{from}\"\nto = \"{to}\"\n");
    let web = bridge("web", 9);
    let cases = [
        (
            bridge("a", 1) + &bridge("b", 2),
            bridge("a", 1),
            bridge("b", 1) + &moved("bridge", "a", "b"),
            "`a` can't be renamed to `b`: another bridge",
        ),
        (
            bridge("a", 1) + &bridge("b", 2) + &bridge("c", 3),
            bridge("a", 1) + &bridge("b", 2),
            bridge("b", 1) + &bridge("c", 2) + &moved("bridge", "a", "b") + &moved("bridge", "b", "c"),
            "`b` can't be renamed to `c`: another bridge",
        ),
        (
            web.clone() + &port("p", "tap0", 5) + &port("q", "tap1", 6),
            web.clone() + &port("p", "tap0", 5),
            web.clone() + &port("q", "tap0", 5) + &moved("port", "p", "q"),
            "`p` can't be renamed to `q`: another port",
        ),
    ];
    for (version, dialect) in [("1.7", 1), ("5.0", 5), ("5.8", 5)] {
        for (before, between, after, words) in &cases {
            let folder = TestFolder::default();
            let _served = Served::with_node_and(&folder, dialect, version, &[]);
            let write = |text: &str| folder.write("acme.toml", format!("name = \"acme\"\n{text}"));
            write(before);
            let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
            write(after);
            for command in [&["validate", "."][..], &["plan", "."], &["apply", ".", "--yes"]] {
                let refused = folder.run(MIDOFORM, command).expect_code(3);
                assert!(refused.stderr.contains(words), "{version} {command:?}: {}", refused.stderr);
                assert!(refused.stderr.contains("apply once without"), "{}", refused.stderr);
            }
            write(between);
            let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
            write(after);
            for _ in 0..2 {
                let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
            }
            let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
            assert!(plan.stdout.contains("No changes"), "{version}: {}", plan.stdout);
        }
    }
}
