//! Plans applied to the embedded API, in both dialects.

use midoform_testutil::{TestFolder, root};

use crate::MIDOFORM;

const DIALECTS: [&str; 2] = ["1", "5"];
const EXAMPLES: [&str; 4] = ["seed", "shared-networks", "many-bridges", "policy"];

fn example(name: &str) -> TestFolder {
    let folder = TestFolder::default();
    folder.copy_example(name);
    folder
}

#[test]
fn the_second_apply_changes_nothing() {
    for name in EXAMPLES {
        for dialect in DIALECTS {
            let folder = example(name);
            let first = folder
                .run(MIDOFORM, &["apply", ".", "--yes", "--verify", "--api-version", dialect])
                .expect_code(0);
            assert!(first.stderr.contains("and matches the spec"), "{name}: {}", first.stderr);
            let again =
                folder.run(MIDOFORM, &["apply", ".", "--yes", "--api-version", dialect]).expect_code(0);
            assert!(again.stdout.contains("No changes"), "{name} in dialect {dialect}:\n{}", again.stdout);
            let pending = folder
                .run(MIDOFORM, &["plan", ".", "--detailed-exitcode", "--api-version", dialect])
                .expect_code(0);
            assert!(pending.stdout.contains("No changes"), "{}", pending.stdout);
        }
    }
}

#[test]
fn destroy_leaves_no_object() {
    for dialect in DIALECTS {
        let folder = example("policy");
        folder.write("acme.toml", folder.read("acme.toml").replace("protect = true\n", ""));
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--api-version", dialect]).expect_code(0);
        let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes", "--api-version", dialect]).expect_code(0);
        let shown = folder.run(MIDOFORM, &["show", ".", "--json", "--api-version", dialect]).expect_code(0);
        assert!(!shown.stdout.contains("\"key\": \"acme/"), "{}", shown.stdout);
        assert!(!folder.read("midoform.lock").contains("[tenant."), "the addresses are released");
        let again = folder.run(MIDOFORM, &["destroy", ".", "--yes", "--api-version", dialect]).expect_code(0);
        assert!(again.stdout.contains("No changes"), "{}", again.stdout);
    }
}

#[test]
fn a_protected_tenant_is_not_destroyed_even_when_the_line_is_gone() {
    let folder = example("policy");
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    let refused = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(6);
    assert!(refused.stderr.contains("protected"), "{}", refused.stderr);
    folder.write("acme.toml", folder.read("acme.toml").replace("protect = true\n", ""));
    let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(6);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
}

/// Edits of a spec, one after another: each is applied, and then nothing is to be done.
#[test]
fn edits_converge() {
    let bridge = "[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";
    let rule = |name: &str, port: u16| {
        format!("[[rule]]\nname = \"{name}\"\nto = {{ bridge = \"web\", tcp = {port} }}\naction = \"drop\"\n")
    };
    let expose = "[[expose]]\npublic = \"203.0.113.9:80\"\nto = { bridge = \"web\", address = \"10.1.0.9\", tcp = 80 }\n";
    let port = "[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.5\"\n";
    let texts = [
        String::new(),
        bridge.to_owned(),
        format!("{bridge}{}{}", rule("a", 1), rule("b", 2)),
        format!("{bridge}{}{}", rule("b", 2), rule("a", 1)),
        format!("{bridge}{}{}{}", rule("c", 3), rule("b", 2), rule("a", 9)),
        format!("{bridge}{expose}{}", rule("b", 2)),
        format!("{bridge}{expose}{port}"),
        format!("anti_spoof = \"port\"\n{bridge}{port}"),
        format!("anti_spoof = \"none\"\negress = \"none\"\n{bridge}"),
        format!(
            "egress = {{ snat = \"203.0.113.4-203.0.113.6\" }}\n{}",
            bridge.replace("10.1.0.0/24", "10.2.0.0/24")
        ),
        format!("profile = \"rainbond\"\n{bridge}"),
        format!("{bridge}gateway = \"first\"\n"),
        String::new(),
    ];
    for dialect in DIALECTS {
        let folder = TestFolder::default();
        folder.write(
            "site.toml",
            "name = \"t\"\n[midonet]\nembedded = true\nmanaged = true\n[tunnel_zone]\nname = \"z\"\n[[host]]\nname = \"node1\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"10.0.0.1\"\n",
        );
        for (at, text) in texts.iter().enumerate() {
            folder.write("acme.toml", format!("name = \"acme\"\n{text}"));
            let apply = ["apply", ".", "--yes", "--allow-mass-delete", "--verify", "--api-version", dialect];
            let ran = folder.run(MIDOFORM, &apply);
            assert_eq!(ran.code, 0, "edit {at} in dialect {dialect}:\n{}\n{}", ran.stdout, ran.stderr);
            let pending =
                folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode", "--api-version", dialect]);
            assert_eq!(pending.code, 0, "edit {at} in dialect {dialect}:\n{}", pending.stdout);
        }
    }
}

#[test]
fn a_lost_lock_file_loses_nothing() {
    for dialect in DIALECTS {
        let folder = example("shared-networks");
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--api-version", dialect]).expect_code(0);
        std::fs::remove_file(folder.path().join("midoform.lock")).unwrap();
        let again = folder.run(MIDOFORM, &["apply", ".", "--yes", "--api-version", dialect]).expect_code(0);
        assert!(again.stdout.contains("No changes"), "dialect {dialect}:\n{}", again.stdout);
    }
}

#[test]
fn a_saved_plan_is_applied_exactly_and_refused_when_stale() {
    let folder = example("seed");
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    assert!(!folder.path().join("midoform.lock").exists(), "a plan writes no lock file");
    let _ = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(0);
    assert!(folder.read("midoform.lock").contains("applied = true"));
    let pending = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
    assert!(pending.stdout.contains("No changes"), "{}", pending.stdout);
    let stale = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(6);
    assert!(stale.stderr.contains("plan again"), "{}", stale.stderr);
}

#[test]
fn a_saved_plan_is_refused_when_the_network_has_changed() {
    let folder = example("seed");
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    folder.write(
        "tenant1.toml",
        format!("{}\n[[bridge]]\nname = \"more\"\ncidr = \"10.9.0.0/24\"\n", folder.read("tenant1.toml")),
    );
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    let lock = folder.read("midoform.lock");
    let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
    folder.write("midoform.lock", lock);
    let stale = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(6);
    assert!(stale.stderr.contains("the network has changed"), "{}", stale.stderr);
}

#[test]
fn a_damaged_saved_plan_is_refused() {
    let folder = example("seed");
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    folder.write("plan.json", folder.read("plan.json").replace("192.168.0.254", "192.168.0.253"));
    let refused = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(3);
    assert!(refused.stderr.contains("changed"), "{}", refused.stderr);
    folder.write("plan.json", "{\"format\":");
    let _ = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(3);
}

/// The hash of a saved plan covers where it is applied and what is recorded, not the calls alone.
#[test]
fn a_saved_plan_with_any_other_value_is_refused() {
    let folder = example("seed");
    let url = "http://127.0.0.1:9/midonet-api";
    let offline = ["plan", ".", "--offline", "--out", "plan.json"];
    let _ = folder.run(MIDOFORM, &[&offline[..], &["--api", url]].concat()).expect_code(0);
    let text = folder.read("plan.json");
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let hash = whole["sha256"].as_str().unwrap().to_owned();
    let changes = [
        ("/url", "http://127.0.0.1:10/midonet-api".into()),
        ("/url", serde_json::Value::Null),
        ("/extent", serde_json::json!({ "part": [] })),
        ("/plan/dialect", 1.into()),
        ("/plan/site", "other".into()),
        ("/tenants", serde_json::json!([])),
        ("/provider", serde_json::json!({ "id": "11111111-2222-3333-4444-555555555555" })),
        ("/moves", serde_json::json!({ "a": [] })),
        ("/site_file", "name = \"other\"\n[midonet]\nembedded = true\nmanaged = true\n".into()),
        ("/desired/entries", serde_json::json!([])),
        ("/before/entries", serde_json::json!([{}])),
        (
            "/allocated_before/peers",
            serde_json::json!({ "a/b": { "provider": "1.0.0.1", "tenant": "1.0.0.2" } }),
        ),
        ("/allocated_after/tenants", serde_json::json!({})),
        ("/sha256", "00".into()),
    ];
    for (place, value) in changes {
        let mut forged = whole.clone();
        let (parent, name) = place.rsplit_once('/').unwrap();
        forged.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        folder.write("forged.json", forged.to_string());
        let refused =
            folder.run(MIDOFORM, &["apply", "forged.json", "--yes", "--expect", &hash]).expect_code(3);
        assert!(refused.stderr.contains("can't be used as a saved plan"), "{place}: {}", refused.stderr);
    }
    folder.write("forged.json", text.replacen('{', "{\"hooks\":[],", 1));
    let _ = folder.run(MIDOFORM, &["apply", "forged.json", "--yes", "--expect", &hash]).expect_code(3);
    assert!(!folder.path().join("midoform.lock").exists());
}

#[test]
fn the_hash_that_is_shown_of_a_saved_plan_is_the_one_to_expect() {
    let folder = example("seed");
    let mut hashes = std::collections::BTreeSet::new();
    for format in ["text", "markdown", "shell", "json"] {
        let shown = folder
            .run(MIDOFORM, &["plan", ".", "--out", "plan.json", "--html", "page.html", "-f", format])
            .expect_code(0);
        let saved: serde_json::Value = serde_json::from_str(&folder.read("plan.json")).unwrap();
        let hash = saved["sha256"].as_str().unwrap().to_owned();
        assert!(shown.stdout.contains(&hash) && shown.stderr.contains(&hash), "{format}: {}", shown.stdout);
        assert!(folder.read("page.html").contains(&hash));
        hashes.insert(hash);
    }
    assert_eq!(hashes.len(), 1, "the same plan has the same hash: {hashes:?}");
    // The same calls at another server are another plan.
    let elsewhere =
        ["plan", ".", "--offline", "--out", "other.json", "--api", "http://127.0.0.1:9/midonet-api"];
    let _ = folder.run(MIDOFORM, &elsewhere).expect_code(0);
    let hash = hashes.pop_first().unwrap();
    let refused = folder.run(MIDOFORM, &["apply", "other.json", "--yes", "--expect", &hash]).expect_code(4);
    assert!(
        refused.stderr.contains("can't be reached") || refused.stderr.contains("unreachable"),
        "{}",
        refused.stderr
    );
    let _ = folder.run(MIDOFORM, &["apply", "plan.json", "--yes", "--expect", &hash]).expect_code(0);
}

#[test]
fn options_that_a_saved_plan_has_decided_about_are_refused() {
    let folder = example("seed");
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    for option in [
        &["--target", "tenant1"][..],
        &["--exclude", "tenant1"],
        &["--prune"],
        &["--locked"],
        &["--api-version", "1"],
        &["--policy", "site.toml"],
    ] {
        let refused =
            folder.run(MIDOFORM, &[&["apply", "plan.json", "--yes"], option].concat()).expect_code(64);
        assert!(refused.stderr.contains(option[0]), "{}", refused.stderr);
    }
    let trace = ["trace", "plan.json", "--from", "world", "--to", "10.0.0.1"];
    for option in [
        &["--site", "site.toml"][..],
        &["--lock", "l"],
        &["--locked"],
        &["--api-version", "1"],
        &["--api", "http://a"],
    ] {
        let refused = folder.run(MIDOFORM, &[&trace[..], option].concat()).expect_code(64);
        assert!(refused.stderr.contains(option[0]), "{}", refused.stderr);
    }
    assert!(!folder.path().join("midoform.lock").exists());
    let offline = ["plan", ".", "--offline", "--out", "far.json", "--api", "http://127.0.0.1:9/midonet-api"];
    let _ = folder.run(MIDOFORM, &offline).expect_code(0);
    for command in ["apply", "undo"] {
        let refused =
            folder.run(MIDOFORM, &[command, "far.json", "--yes", "--state-dir", "s"]).expect_code(64);
        assert!(refused.stderr.contains("--state-dir"), "{}", refused.stderr);
    }
}

#[test]
fn only_the_expected_hash_is_applied() {
    let folder = example("seed");
    let wrong = folder.run(MIDOFORM, &["apply", ".", "--yes", "--expect", "00ff"]).expect_code(6);
    let hash = wrong.stderr.split("SHA-256 is ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    assert!(!folder.path().join("midoform.lock").exists());
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--expect", &hash]).expect_code(0);
}

#[test]
fn a_target_is_created_with_its_dependencies_only() {
    let folder = example("shared-networks");
    let _ =
        folder.run(MIDOFORM, &["apply", ".", "--yes", "--target", "acme/bridge/web/route"]).expect_code(0);
    let shown = folder.run(MIDOFORM, &["show", ".", "--json"]).expect_code(0).stdout;
    assert!(
        shown.contains("\"acme/bridge/web/gateway-port\"") && shown.contains("\"acme/router\""),
        "{shown}"
    );
    assert!(!shown.contains("\"acme/bridge/db\"") && !shown.contains("\"beta/"), "{shown}");
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--target", "beta"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
}

#[test]
fn a_dry_run_changes_nothing() {
    let folder = example("seed");
    let ran = folder.run(MIDOFORM, &["apply", ".", "--dry-run"]).expect_code(0);
    assert!(ran.stdout.contains("to create"), "{}", ran.stdout);
    assert!(!folder.path().join("midoform.lock").exists());
    let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(2);
}

#[test]
fn foreign_objects_are_reported_and_left() {
    for version in ["5.8", "1.7"] {
        let folder = example("shared-networks");
        let server = Served::start(&folder, version);
        let dialect = if version == "1.7" { "1" } else { "5" };
        let api = ["--api", server.url.as_str(), "--api-version", dialect];
        let _ = folder.run(MIDOFORM, &[&["apply", ".", "--yes"], &api[..]].concat()).expect_code(0);
        let shown =
            folder.run(MIDOFORM, &[&["show", ".", "--json"], &api[..]].concat()).expect_code(0).stdout;
        let chain = id_of(&shown, "acme/chain/in");
        let body = "{\"type\":\"drop\",\"position\":1,\"nwProto\":47}";
        let made = curl(&server.url, &format!("/chains/{chain}/rules"), "Rule-v2", body);
        assert_eq!(made, "201");
        let plan =
            folder.run(MIDOFORM, &[&["plan", ".", "--detailed-exitcode"], &api[..]].concat()).expect_code(0);
        assert!(
            plan.stdout.contains("left alone") && plan.stdout.contains("rule at position 1"),
            "{}",
            plan.stdout
        );
        let _ = folder.run(MIDOFORM, &[&["apply", ".", "--yes"], &api[..]].concat()).expect_code(0);
    }
}

#[test]
fn the_shell_script_does_what_the_plan_says() {
    for (version, dialect) in [("1.7", "1"), ("5.0", "5"), ("5.8", "5")] {
        for name in ["seed", "policy"] {
            let folder = example(name);
            let server = Served::start(&folder, version);
            let api = ["--api", server.url.as_str(), "--api-version", dialect];
            let script = folder
                .run(MIDOFORM, &[&["plan", ".", "--format", "shell"], &api[..]].concat())
                .expect_code(0);
            folder.write("apply.sh", &script.stdout);
            for shell in ["dash", "bash"] {
                let syntax = folder.run(shell, &["-n", "apply.sh"]);
                assert_eq!(syntax.code, 0, "{shell}: {}", syntax.stderr);
            }
            let _ = folder.run("dash", &["apply.sh"]).expect_code(0);
            let pending = folder.run(MIDOFORM, &[&["plan", ".", "--detailed-exitcode"], &api[..]].concat());
            assert_eq!(pending.code, 0, "{name} on {version}:\n{}", pending.stdout);
        }
    }
}

#[test]
fn the_three_versions_accept_every_call_of_the_examples() {
    for (version, dialect) in [("1.7", "1"), ("5.0", "5"), ("5.8", "5")] {
        for name in EXAMPLES {
            let folder = example(name);
            let server = Served::start(&folder, version);
            let api = ["--api", server.url.as_str(), "--api-version", dialect];
            let ran = folder.run(MIDOFORM, &[&["apply", ".", "--yes", "--json"], &api[..]].concat());
            assert_eq!(ran.code, 0, "{name} on {version}:\n{}\n{}", ran.stdout, ran.stderr);
            assert!(ran.stdout.contains("\"converged\": true"), "{}", ran.stdout);
            let again = folder.run(MIDOFORM, &[&["apply", ".", "--yes"], &api[..]].concat()).expect_code(0);
            assert!(again.stdout.contains("No changes"), "{name} on {version}: {}", again.stdout);
        }
    }
}

/// `midoform serve`, as long as the test lasts.
struct Served {
    child: std::process::Child,
    url: String,
}

impl Served {
    fn start(folder: &TestFolder, version: &str) -> Served {
        use std::io::BufRead;
        let hosts = [
            "11111111-2222-3333-4444-555555555555=node1",
            "22222222-3333-4444-5555-666666666666=node2",
            "aaaaaaaa-0000-4000-8000-000000000001=rack1",
            "aaaaaaaa-0000-4000-8000-000000000002=rack2",
        ];
        let mut arguments = vec!["serve", "--version", version, "--listen", "127.0.0.1:0"];
        for host in hosts {
            arguments.extend(["--host", host]);
        }
        let mut command = folder.command(MIDOFORM, &arguments);
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_else(|| panic!("{line}"));
        Served { url: url.to_owned(), child }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn curl(url: &str, path: &str, kind: &str, body: &str) -> String {
    let output = std::process::Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H"])
        .arg(format!("Content-Type: application/vnd.org.midonet.{kind}+json"))
        .args(["--data-raw", body])
        .arg(format!("{url}{path}"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the id of the object with this key in `show --json`.
fn id_of(shown: &str, key: &str) -> String {
    let behind = shown.split(&format!("\"key\": \"{key}\"")).nth(1).unwrap();
    behind.split("\"id\": \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn the_readme_shows_the_first_command_that_works() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks: Vec<&str> = readme.split("```").skip(1).step_by(2).collect();
    let one_line = |block: &str| block.trim().lines().count() == 2;
    assert!(one_line(blocks[0]) && one_line(blocks[1]), "{blocks:?}");
    assert!(blocks[0].contains("plan examples/seed") && blocks[0].contains("apply examples/seed --yes"));
}
