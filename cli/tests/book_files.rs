//! Every file and every part of a file in the documentation is what it says: midoform, or the plugin, reads it. Files of tours are
//! `book`'s.

use std::path::Path;

use midoform_testutil::{TestFolder, root};
use serde_json::{Value as Json, json};

use crate::MIDOFORM;
use crate::book::{Block, blocks, chapters, read};
use crate::first_steps::findings;
use crate::served::Served;

/// What a block is, and how it is read.
type Reader = fn(&Block);

/// The blocks, by chapter and beginning.
const FILES: &[(&str, &str, Reader)] = &[
    ("docs/adopt.md", "name = \"gz1\"", a_site),
    ("docs/engines.md", "[ovn]", a_part_of_a_site),
    ("docs/login.md", "[midonet]", credentials),
    ("docs/login.md", "# site.toml", a_part_of_a_midonet_site),
    ("docs/serve.md", "admin_token", users),
    ("docs/verify.md", "[[assert]]", a_part_of_a_tenant),
    ("docs/cni.md", "{", a_network_configuration),
    ("docs/plan-format.md", "{\"format\"", a_shortened_plan),
];

/// Returns the blocks of files outside of tours.
fn files() -> Vec<(String, Block)> {
    let mut found = Vec::new();
    for path in chapters() {
        let text = read(&path);
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let is_in_a_tour =
            |block: &Block| text.contains("<!-- tour -->") && block.1.starts_with("# ") && block.0 == "toml";
        let is_file = |block: &Block| ["toml", "json"].contains(&block.0.as_str());
        let own = blocks(&text).into_iter().filter(is_file).filter(|block| !is_in_a_tour(block));
        found.extend(own.map(|block| (name.clone(), block)));
    }
    found
}

#[test]
fn every_file_in_a_block_is_read() {
    let all = files();
    for (chapter, block) in &all {
        let named = |(of, beginning, _): &&(&str, &str, Reader)| {
            of == chapter && block.1.trim_start().starts_with(beginning)
        };
        let readers: Vec<_> = FILES.iter().filter(named).collect();
        assert_eq!(readers.len(), 1, "{chapter}:{}: this many places say what it is", block.2);
        (readers[0].2)(block);
    }
    assert_eq!(all.len(), FILES.len());
}

const TENANT: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n";

/// Validates a site with a tenant.
fn validate(site: &str, tenant: &str) {
    let folder = TestFolder::default();
    folder.write("site.toml", site);
    folder.write("tenants/acme.toml", tenant);
    let ran = folder.run(MIDOFORM, &["validate", "tenants", "--deny-warnings"]);
    assert_eq!(ran.code, 0, "{site}\n{tenant}\n{}", ran.stderr);
}

fn a_site(block: &Block) {
    validate(&block.1, TENANT);
}

fn a_part_of_a_site(block: &Block) {
    validate(&format!("name = \"lab\"\n{}", block.1), TENANT);
}

/// With a Keystone, a tenant has its project.
fn a_part_of_a_midonet_site(block: &Block) {
    let tenant = format!("tenant_id = \"0123456789abcdef0123456789abcdef\"\n{TENANT}");
    validate(&format!("name = \"lab\"\n[midonet]\nembedded = true\nmanaged = true\n{}", block.1), &tenant);
}

/// An assertion holds where a rule makes it hold.
fn a_part_of_a_tenant(block: &Block) {
    let rule = "[[rule]]\nname = \"closed\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";
    validate(
        "name = \"lab\"\n[midonet]\nembedded = true\nmanaged = true\n",
        &format!("{TENANT}{rule}{}", block.1),
    );
}

/// A login that is read and refused by nobody: there is no server.
fn credentials(block: &Block) {
    let folder = TestFolder::default();
    folder.write(
        "site.toml",
        "name = \"lab\"\n[midonet]\nurl = \"http://127.0.0.1:1/midonet-api\"\nmanaged = true\n",
    );
    folder.write("acme.toml", TENANT);
    folder.write("logins", &block.1);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("logins"), private).unwrap();
    let ran = folder.run(MIDOFORM, &["plan", ".", "--credentials", "logins", "--timeout", "1"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("127.0.0.1:1"), "{}", ran.stderr);
}

fn users(block: &Block) {
    let folder = TestFolder::default();
    folder.write("users.toml", &block.1);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("users.toml"), private).unwrap();
    let served = Served::start(&folder, &["--users", "users.toml"]);
    assert!(served.is_ok(), "{}", served.err().map(|ran| ran.stderr).unwrap_or_default());
}

/// The plugin reads the configuration: with the paths of this test, and a server that answers.
fn a_network_configuration(block: &Block) {
    let plugin = Path::new(MIDOFORM).with_file_name("midonet-cni");
    let mut list: Json = serde_json::from_str(&block.1).unwrap();
    if !plugin.exists() {
        println!("SKIPPED: the network configuration of docs/cni.md: midonet-cni is not built");
        return;
    }
    let folder = TestFolder::default();
    let path = |name: &str| json!(folder.path().join(name).display().to_string());
    let served = Served::start(&folder, &["--host", "11111111-2222-3333-4444-555555555555=node1", "--agent"]);
    let served = served.unwrap_or_else(|ran| panic!("{}", ran.stderr));
    folder.write(
        "site.toml",
        format!("name = \"lab\"\n[midonet]\nurl = \"{}\"\nmanaged = true\n", served.url()),
    );
    folder.write("acme.toml", TENANT);
    folder.write("login.json", r#"{"username": "admin", "password": "x", "project": "admin"}"#);
    let own = &mut list["plugins"][0];
    assert_eq!((&own["type"], &own["site"]), (&json!("midonet-cni"), &json!("/etc/midoform/site.toml")));
    own["site"] = path("site.toml");
    own["login_file"] = path("login.json");
    own["state_dir"] = path("state");
    own["host_uuid"] = json!("11111111-2222-3333-4444-555555555555");
    folder.write("net.d/10-midonet.conflist", list.to_string());
    let programs = plugin.parent().unwrap().display().to_string();
    let arguments = ["doctor", "--json", "--cni-configuration", "net.d", "--cni-plugins", &programs];
    let ran = folder.run(MIDOFORM, &arguments);
    let found = findings(&ran, "CNI configuration");
    assert!(
        found.iter().any(|(verdict, text)| verdict == "right" && text.contains("can be attached")),
        "{found:?}"
    );
}

/// Its fields are those of the schema; the long values are left out.
fn a_shortened_plan(block: &Block) {
    let folder = TestFolder::default();
    let schema: Json =
        serde_json::from_str(&folder.run(MIDOFORM, &["schema", "plan"]).expect_code(0).stdout).unwrap();
    let text = block.1.replace(",\n…", "").replace("[…]", "[]");
    let plan: Json = serde_json::from_str(&text).unwrap();
    let known = |object: &Json, schema: &Json| {
        let names = object.as_object().unwrap().keys();
        let unknown: Vec<&String> =
            names.filter(|name| schema["properties"].get(name.as_str()).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    };
    known(&plan, &schema);
    known(&plan["summary"], &schema["$defs"]["summary"]);
    known(&plan["steps"][0], &schema["$defs"]["step"]);
}
