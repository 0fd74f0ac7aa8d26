//! What people and machines read of plans: every example, both dialects, each form.

use midoform_testutil::{TestFolder, root, snapshot_settings};

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
                snapshot_settings("plans").bind(|| insta::assert_snapshot!(name, text));
            }
        }
    }
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
    assert_eq!(parsed["format"], "midoform-plan/1");
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
