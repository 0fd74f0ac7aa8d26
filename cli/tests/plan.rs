//! The output of plans for people and machines: every example, both dialects, each format.

use std::collections::BTreeMap;

use midoform_testutil::{TestFolder, root, snapshot_settings};
use sha2::{Digest, Sha256};

use crate::MIDOFORM;

const EXAMPLES: [&str; 5] = ["seed", "shared-networks", "many-bridges", "policy", "fleet"];
const FORMATS: [(&str, &str); 6] = [
    ("text", "txt"),
    ("json", "json"),
    ("markdown", "md"),
    ("shell", "sh"),
    ("dot", "dot"),
    ("mermaid", "mmd"),
];

fn plan(example: &str, dialect: &str, format: &str) -> String {
    let folder = TestFolder::default();
    folder.copy_example(example);
    let arguments = ["plan", ".", "--offline", "--format", format, "--api-version", dialect];
    folder.run(MIDOFORM, &arguments).expect_code(0).stdout
}

#[test]
fn every_example_in_both_dialects_in_each_form() {
    for example in EXAMPLES {
        for dialect in ["1", "5"] {
            for (format, _) in FORMATS {
                let text = plan(example, dialect, format);
                let name = format!("{example}.v{dialect}.{format}");
                let shown = if example == "fleet" { up_to_the_second_tenant(&text) } else { text };
                snapshot_settings("plans").bind(|| insta::assert_snapshot!(name, shown));
            }
        }
    }
}

/// Returns the SHA-256 and the size of a text about the fleet, and its lines before the first that names the second
/// tenant: the rest is longer than a person can review, and `all_tenants_of_the_fleet_get_the_same_steps` compares it.
fn up_to_the_second_tenant(text: &str) -> String {
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    let lines = text.lines().count();
    let first: Vec<&str> = text.lines().take_while(|line| !line.contains("tenant-00002")).collect();
    let left_out = lines - first.len();
    format!("sha256 {hash}, {lines} lines\n{}\n({left_out} more lines)\n", first.join("\n"))
}

#[test]
fn all_tenants_of_the_fleet_get_the_same_steps() {
    for dialect in ["1", "5"] {
        let plan: serde_json::Value = serde_json::from_str(&plan("fleet", dialect, "json")).unwrap();
        let mut steps: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for step in plan["steps"].as_array().unwrap() {
            let (tenant, key) = step["key"].as_str().unwrap().split_once('/').unwrap();
            let calls = step["calls"].as_array().unwrap().iter();
            let calls: Vec<String> = calls.map(|call| without_values(tenant, call)).collect();
            let line = format!("{} {} {key} {}", step["action"], step["kind"], calls.join(" "));
            steps.entry(tenant.to_owned()).or_default().push(line);
        }
        assert_eq!(steps.remove("site").unwrap().len(), 1, "the provider router");
        assert_eq!(steps.len(), 100);
        let first = &steps["tenant-00001"];
        // Only 5.x has the chain about VLAN tags and its two rules.
        assert_eq!(first.len(), if dialect == "1" { 41 } else { 44 });
        for (tenant, own) in &steps {
            assert_eq!(own, first, "{tenant}, dialect {dialect}");
        }
    }
}

/// Returns a call with the tenant's name, the ids and the addresses taken out: what is left is the same for every tenant.
fn without_values(tenant: &str, call: &serde_json::Value) -> String {
    let hexadecimal = |character: char| character.is_ascii_hexdigit() || character == '-';
    let is_id = |word: &str| word.len() == 36 && word.chars().all(hexadecimal);
    let text = call.to_string().replace(tenant, "TENANT");
    let words = text
        .split_inclusive(|character: char| !character.is_ascii_alphanumeric() && !"-.".contains(character));
    let mut shown = String::new();
    for word in words {
        let value = word.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
        let replaced = match value {
            value if is_id(value) => "ID",
            value if value.parse::<std::net::Ipv4Addr>().is_ok() => "ADDRESS",
            value => value,
        };
        shown.push_str(replaced);
        shown.push_str(&word[value.len()..]);
    }
    shown
}

#[test]
fn the_fleet_is_what_its_script_makes() {
    let folder = TestFolder::default();
    let script = root().join("examples/fleet/generate.sh");
    let ran = folder.run("sh", &[script.to_str().unwrap(), "100", "tenants"]).expect_code(0);
    assert_eq!(ran.stderr, "");
    for number in 1..=100 {
        let name = format!("tenants/tenant-{number:05}.toml");
        let kept = std::fs::read_to_string(root().join("examples/fleet").join(&name)).unwrap();
        assert_eq!(folder.read(&name), kept);
    }
}

#[test]
fn the_same_whatever_the_place_the_locale_and_the_time_zone() {
    let folder = TestFolder::default();
    folder.copy_example("policy");
    let here = folder.run(MIDOFORM, &["plan", ".", "--json"]).expect_code(0).stdout;
    let path = folder.path().to_str().unwrap().to_owned();
    let other = TestFolder::default();
    let mut command = other.command(MIDOFORM, &["plan", &path, "--json"]);
    let output = command
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "de_DE")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), here);
}

#[test]
fn standard_output_is_data_and_nothing_else() {
    let folder = TestFolder::default();
    folder.copy_example("policy");
    let ran = folder.run(MIDOFORM, &["plan", ".", "--json"]).expect_code(0);
    let parsed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(parsed["format"], "midoform-plan/2");
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "colour only on a terminal");
    let coloured = folder.run(MIDOFORM, &["plan", ".", "--color", "always"]).expect_code(0);
    assert!(coloured.stdout.contains('\u{1b}'));
}

#[test]
fn the_hash_is_that_of_the_bytes_before_it() {
    let text = plan("seed", "5", "json");
    let folder = TestFolder::default();
    let (before, after) = text.split_once("\n],\"sha256\":\"").unwrap();
    folder.write("before", before);
    let hash = folder.run("sha256sum", &["before"]).expect_code(0).stdout;
    assert_eq!(hash.split(' ').next().unwrap(), after.split('"').next().unwrap());
}

#[test]
fn templates_can_be_replaced() {
    let folder = TestFolder::default();
    folder.copy_example("seed");
    let _ = folder.run(MIDOFORM, &["templates", "mine"]).expect_code(0);
    folder.write("mine/text-end.hbs", "{{summary.create}} new things\n");
    let ran = folder.run(MIDOFORM, &["plan", ".", "--templates", "mine"]).expect_code(0);
    assert!(ran.stdout.ends_with("17 new things\n"), "{}", ran.stdout);
    folder.write("mine/text.hbs", "{{#each");
    let broken = folder.run(MIDOFORM, &["plan", ".", "--templates", "mine"]).expect_code(64);
    assert!(broken.stderr.contains("text.hbs"), "{}", broken.stderr);
}

#[test]
fn an_object_is_explained() {
    let folder = TestFolder::default();
    folder.copy_example("seed");
    let ran = folder.run(MIDOFORM, &["explain", "tenant1/bridge/bridge0/gateway-port", "."]).expect_code(0);
    snapshot_settings("commands").bind(|| insta::assert_snapshot!("explain", ran.stdout));
    let ran = folder.run(MIDOFORM, &["explain", "tenant1/nothing", "."]).expect_code(64);
    assert!(ran.stderr.contains("there is no object"), "{}", ran.stderr);
}

#[test]
fn help_texts() {
    let folder = TestFolder::default();
    for command in [
        "", "validate", "plan", "apply", "undo", "drift", "destroy", "show", "graph", "schema", "explain",
        "lock", "serve", "trace", "verify",
    ] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let ran = folder.run(MIDOFORM, &arguments).expect_code(0);
        let name = if command.is_empty() { "help".to_owned() } else { format!("help-{command}") };
        snapshot_settings("commands").bind(|| insta::assert_snapshot!(name, ran.stdout));
    }
}

#[test]
fn completions_for_every_shell() {
    let folder = TestFolder::default();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = folder.run(MIDOFORM, &["completions", shell]).expect_code(0);
        assert!(ran.stdout.contains("midoform"), "{shell}");
    }
}
