//! The commands of the first steps: `midoform init` and `midoform doctor`.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use midoform_testutil::{Ran, TestFolder};
use serde_json::Value as Json;

use crate::MIDOFORM;
use crate::served::Served;

const FILES: [&str; 4] = ["site.toml", "acme.toml", "schema/site.json", "schema/tenant.json"];
/// No CNI configuration and no plugin: those of this machine are no matter of a test.
const NO_PLUGIN: [&str; 4] = ["--cni-configuration", "none", "--cni-plugins", "none"];

/// Without a terminal nothing is asked. What is written can be applied, and is written over by nobody.
#[test]
fn init_writes_a_project_that_can_be_applied() {
    let folder = TestFolder::default();
    let told = folder.run(MIDOFORM, &["init", "lab"]).expect_code(0);
    for file in FILES {
        assert!(told.stderr.contains(&format!("written: lab/{file}")), "{}", told.stderr);
    }
    assert!(told.stderr.contains("  midoform plan lab"), "{}", told.stderr);
    assert!(folder.read("lab/site.toml").contains("name = \"lab\""));
    for (kind, file) in [("site", "site.json"), ("tenant", "tenant.json")] {
        let schema = folder.run(MIDOFORM, &["schema", kind]).expect_code(0).stdout;
        assert_eq!(folder.read(&format!("lab/schema/{file}")), schema);
    }
    for file in ["site", "tenant"] {
        let toml = if file == "site" { "site.toml" } else { "acme.toml" };
        let first = folder.read(&format!("lab/{toml}"));
        assert!(first.starts_with(&format!("#:schema schema/{file}.json\n")), "{first}");
    }
    let valid = folder.run(MIDOFORM, &["validate", "lab", "--deny-warnings"]).expect_code(0);
    assert!(valid.stderr.contains("valid: 1 tenants"), "{}", valid.stderr);
    let _ = folder.run(MIDOFORM, &["apply", "lab", "--yes", "--verify"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["verify", "lab"]).expect_code(0);
    let before = FILES.map(|file| folder.read(&format!("lab/{file}")));
    let again = folder.run(MIDOFORM, &["init", "lab", "--tenant", "other"]).expect_code(6);
    assert!(
        again.stderr.contains("lab/site.toml") && again.stderr.contains("nothing was written"),
        "{}",
        again.stderr
    );
    assert!(!folder.path().join("lab/other.toml").exists());
    assert_eq!(FILES.map(|file| folder.read(&format!("lab/{file}"))), before);
}

#[test]
fn init_takes_options() {
    let folder = TestFolder::default();
    let router = "9d1a6c1e-5b0c-4b8e-8f6f-0d6f7b1f2a3c";
    let told = folder
        .run(
            MIDOFORM,
            &[
                "init",
                "--site-name",
                "gz1",
                "--tenant",
                "shop",
                "--api",
                "http://midonet-api:8181/midonet-api",
                "--midonet-version",
                "1",
                "--provider-router",
                router,
                "--json",
            ],
        )
        .expect_code(0);
    let report: Json = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(report["files"].as_array().unwrap().len(), 4);
    assert_eq!(report["next"][1], "midoform doctor .");
    let site = folder.read("site.toml");
    for words in ["name = \"gz1\"", "url = \"http://midonet-api:8181/midonet-api\"", "version = 1 ", router] {
        assert!(site.contains(words), "{words}: {site}");
    }
    assert!(folder.read("shop.toml").contains("name = \"shop\""));
    let _ = folder.run(MIDOFORM, &["validate", "."]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["plan", ".", "--offline"]).expect_code(0);
}

/// A site of OVN: by options, and what does not fit it is refused.
#[test]
fn init_writes_a_site_of_ovn() {
    for (place, more) in [
        ("unix:/var/run/ovn/ovnnb_db.sock", ""),
        ("ssl:10.0.0.1:6641", "ca = \"cacert.pem\""),
        ("ssl:10.0.0.1:6641,ssl:10.0.0.2:6641", "[\"ssl:10.0.0.1:6641\", \"ssl:10.0.0.2:6641\"]"),
    ] {
        let folder = TestFolder::default();
        let _ = folder.run(MIDOFORM, &["init", "--api", place, "--gateway-chassis", "edge1"]).expect_code(0);
        let site = folder.read("site.toml");
        assert!(
            site.contains("[ovn]")
                && place.split(',').all(|server| site.contains(server))
                && site.contains("\"edge1\"")
                && site.contains(more),
            "{site}"
        );
        let _ = folder.run(MIDOFORM, &["validate", ".", "--deny-warnings"]).expect_code(0);
        let _ = folder.run(MIDOFORM, &["plan", ".", "--offline"]).expect_code(0);
    }
    let folder = TestFolder::default();
    for wrong in [
        &["--api", "tcp:h:1", "--midonet-version", "1"][..],
        &["--gateway-chassis", "gw"],
        &["--api", "unix:"],
    ] {
        let _ = folder.run(MIDOFORM, &[&["init", "x"], wrong].concat()).expect_code(64);
    }
    assert!(!folder.path().join("x").exists());
}

#[test]
fn init_refuses_what_would_be_wrong() {
    for (options, words) in [
        (&["--tenant", "a b"][..], "--tenant a b: the name"),
        (&["--tenant", "site"], "the site's own"),
        (&["--site-name=-x"], "--site-name"),
        (&["--api", "http://user:hunter2@host/midonet-api"], "the API's URL"),
        (&["--api", "ftp://host"], "the API's URL"),
        (&["--midonet-version", "3"], "3"),
        (&["--provider-router", "router"], "router"),
    ] {
        let folder = TestFolder::default();
        let refused = folder.run(MIDOFORM, &[&["init", "x"], options].concat()).expect_code(64);
        assert!(refused.stderr.contains(words), "{options:?}: {}", refused.stderr);
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
        assert!(!folder.path().join("x").exists(), "{options:?}");
    }
}

/// A folder that can't be written: the error names it.
#[test]
fn init_names_what_it_can_not_write() {
    let folder = TestFolder::default();
    folder.write("file", "");
    let failed = folder.run(MIDOFORM, &["init", "file/lab"]).expect_code(74);
    assert!(failed.stderr.contains("file/lab"), "{}", failed.stderr);
}

/// On a terminal the questions show their defaults.
#[test]
fn init_asks_on_a_terminal() {
    let folder = TestFolder::default();
    let script = format!(
        "import pty, os, sys\npid, fd = pty.fork()\nif pid == 0: os.execv({MIDOFORM:?}, ['midoform', 'init', 'lab'])\n\
         answers = [b'gz2', b'http://api:8181/midonet-api', b'1', b'', b'shop']\nseen = b''\nasked = 0\n\
         while True:\n    try: part = os.read(fd, 4096)\n    except OSError: break\n    if not part: break\n    seen += part\n    \
         while asked < len(answers) and seen.count(b': ') > asked:\n        os.write(fd, answers[asked] + b'\\n'); asked += 1\n\
         sys.stdout.buffer.write(seen)\nsys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    );
    let output = Command::new("python3")
        .args(["-c", &script])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("The site's name [lab]: ") && shown.contains("[acme]"), "{shown}");
    let site = folder.read("lab/site.toml");
    assert!(
        site.contains("name = \"gz2\"") && site.contains("version = 1 ") && site.contains("managed = true"),
        "{site}"
    );
    assert!(folder.path().join("lab/shop.toml").exists());
}

fn doctor(folder: &TestFolder, more: &[&str]) -> Ran {
    folder.run(MIDOFORM, &[&["doctor"], &NO_PLUGIN[..], more].concat())
}

/// Returns the verdict and the text of the findings about something.
pub(crate) fn findings(ran: &Ran, about: &str) -> Vec<(String, String)> {
    let report: Json = serde_json::from_str(&ran.stdout).unwrap();
    let found = report["findings"].as_array().unwrap().iter().filter(|finding| finding["about"] == about);
    let text = |finding: &Json, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    found
        .map(|one| (text(one, "verdict"), format!("{} | {}", text(one, "found"), text(one, "advice"))))
        .collect()
}

pub(crate) fn has(found: &[(String, String)], verdict: &str, words: &str) -> bool {
    found.iter().any(|(is, text)| is == verdict && text.contains(words))
}

#[test]
fn doctor_finds_nothing_wrong_in_a_new_project() {
    let folder = TestFolder::default();
    let _ = folder.run(MIDOFORM, &["init"]).expect_code(0);
    let seen = doctor(&folder, &[]).expect_code(0);
    assert!(seen.stdout.contains("✓ configuration"), "{}", seen.stdout);
    let ran = doctor(&folder, &["--json"]).expect_code(0);
    assert!(has(&findings(&ran, "store"), "right", "0 tenants"), "{}", ran.stdout);
    assert!(has(&findings(&ran, "API"), "skipped", "inside midoform"), "{}", ran.stdout);
    assert!(has(&findings(&ran, "plugin"), "skipped", "no midonet-cni"), "{}", ran.stdout);
    // Nothing is changed, and nothing is made.
    assert!(!folder.path().join("midoform.lock").exists() && !folder.path().join(".midoform").exists());
}

#[test]
fn doctor_judges_the_api_and_its_version() {
    for (version, dialect, right) in [("1.7", 1, true), ("5.0", 5, true), ("5.8", 5, true), ("5.8", 1, false)]
    {
        let folder = TestFolder::default();
        let _served = Served::with_node_and(&folder, dialect, version, &[]);
        folder.write("acme.toml", "name = \"acme\"\n[[bridge]]\nname = \"web\"\n");
        let ran = doctor(&folder, &["--json"]).expect_code(if right { 0 } else { 10 });
        let api = findings(&ran, "API");
        match right {
            true => {
                assert!(has(&api, "right", "is MidoNet v"), "{version}: {api:?}");
                assert!(has(&findings(&ran, "clock"), "right", "differ by 0 s"), "{}", ran.stdout);
            }
            false => assert!(has(&api, "wrong", "`version`"), "{api:?}"),
        }
    }
}

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let folder = TestFolder::default();
    let ran = doctor(&folder, &["--json"]).expect_code(10);
    assert!(has(&findings(&ran, "configuration"), "wrong", "midoform init"), "{}", ran.stdout);
    let _ = folder.run(MIDOFORM, &["init", "--api", "http://127.0.0.1:9/midonet-api"]).expect_code(0);
    let ran = doctor(&folder, &["--json"]).expect_code(10);
    assert!(has(&findings(&ran, "API"), "wrong", "can't be reached"), "{}", ran.stdout);
    folder.write("midoform.lock", "[[[");
    folder.write("logins", "[midonet]\nusername = \"admin\"\npassword = \"hunter2\"\n");
    std::fs::set_permissions(folder.path().join("logins"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = doctor(&folder, &["--json", "--credentials", "logins"]).expect_code(10);
    assert!(has(&findings(&ran, "configuration"), "wrong", "midoform validate"), "{}", ran.stdout);
    std::fs::remove_file(folder.path().join("midoform.lock")).unwrap();
    let ran = doctor(&folder, &["--json", "--credentials", "logins"]).expect_code(10);
    assert!(has(&findings(&ran, "permissions"), "wrong", "chmod 600 logins"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("hunter2"));
}

/// A host of the site: its interface has to carry what the site says.
#[test]
fn doctor_compares_the_mtu_of_the_tunnels() {
    let folder = TestFolder::default();
    let _ = folder.run(MIDOFORM, &["init"]).expect_code(0);
    let site = folder.read("site.toml");
    let host = "[[host]]\nname = \"here\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"127.0.0.1\"\n";
    let whole = format!("{site}{}", host.replace("127.0.0.1", "192.0.2.77"));
    folder.write("site.toml", whole);
    let ran = doctor(&folder, &["--json"]).expect_code(0);
    assert!(has(&findings(&ran, "interfaces"), "skipped", "no host of the site"), "{}", ran.stdout);
    // In a network namespace of its own, this machine is that host.
    let inside = |mtu: &str| {
        let script = format!(
            "ip link add v0 mtu {mtu} type veth peer v1 && ip address add 192.0.2.77/24 dev v0 && ip link set v0 up && \
             exec {MIDOFORM} doctor --json --cni-configuration none --cni-plugins none"
        );
        Command::new("unshare")
            .args(["--net", "sh", "-c", &script])
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let ended = inside("1500");
    if ended.stdout.is_empty() {
        println!("SKIPPED: the MTU of an interface: {}", String::from_utf8_lossy(&ended.stderr).trim());
        return;
    }
    for (mtu, verdict, words) in
        [("1500", "right", "v0 of host `here`"), ("1400", "wrong", "`underlay_mtu = 1400`")]
    {
        let stdout = String::from_utf8_lossy(&inside(mtu).stdout).into_owned();
        let ran = Ran { code: 0, stdout, stderr: String::new() };
        assert!(has(&findings(&ran, "interfaces"), verdict, words), "{mtu}: {}", ran.stdout);
    }
}

/// The plugin and the files that name it, in the order in which a runtime takes them.
#[test]
fn doctor_looks_at_the_plugin_and_its_configuration() {
    let folder = TestFolder::default();
    let _ = folder.run(MIDOFORM, &["init"]).expect_code(0);
    let folders = ["--cni-configuration", "net.d", "--cni-plugins", "bin", "--json"];
    let run = |code| folder.run(MIDOFORM, &[&["doctor"], &folders[..]].concat()).expect_code(code);
    folder.write("net.d/00-other.conf", "{ \"type\": \"bridge\" }");
    assert!(has(&findings(&run(0), "plugin"), "skipped", "no midonet-cni"));
    folder.write("net.d/10-midonet.conflist", "{ \"plugins\": [{ \"type\": \"midonet-cni\"");
    let ran = run(10);
    assert!(has(&findings(&ran, "plugin"), "wrong", "install -D midonet-cni"), "{}", ran.stdout);
    assert!(
        has(&findings(&ran, "CNI configuration"), "wrong", "10-midonet.conflist can't be read"),
        "{}",
        ran.stdout
    );
    folder.write("bin/midonet-cni", "#!/bin/sh\necho midonet-cni 0.0.1\n");
    let ran = run(10);
    assert!(has(&findings(&ran, "plugin"), "wrong", "chmod 755"), "{}", ran.stdout);
    std::fs::set_permissions(folder.path().join("bin/midonet-cni"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    let ran = run(10);
    assert!(has(&findings(&ran, "plugin"), "doubtful", "from one release"), "{}", ran.stdout);
}
