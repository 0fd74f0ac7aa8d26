//! Policies in files, and findings as code hosts read them.

use midoform_testutil::{SITE, TestFolder};
use serde_json::Value;

use crate::MIDOFORM;

const TENANT: &str = "name = \"acme\"\n\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n\n[[expose]]\npublic = \"203.0.113.1:22\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 22 }\n";
const NO_SSH: &str = "forbidden_public_ports = [22]\n";

/// Makes a project that the policy beside it forbids.
fn forbidden() -> TestFolder {
    let folder = TestFolder::with_tenants(&[("net/acme.toml", TENANT)]);
    folder.write("net/site.toml", SITE);
    folder.write("net/no-ssh.toml", NO_SSH);
    folder
}

#[test]
fn a_policy_file_is_enforced_by_validate_plan_and_apply() {
    let folder = forbidden();
    let _ = folder.run(MIDOFORM, &["validate", "net/acme.toml"]).expect_code(0);
    for command in ["validate", "plan", "apply"] {
        let arguments = [command, "net", "--policy", "net/no-ssh.toml"];
        let ran = folder.run(MIDOFORM, &arguments).expect_code(3);
        assert!(ran.stderr.contains("error[policy-public-port]"), "{}", ran.stderr);
        assert!(ran.stderr.contains("net/acme.toml:8:10"), "the line of the spec: {}", ran.stderr);
        assert!(ran.stderr.contains("net/no-ssh.toml:1:26"), "the line of the policy: {}", ran.stderr);
    }
    assert!(!folder.path().join("net/midoform.lock").exists(), "nothing was allocated");
}

#[test]
fn policies_of_files_and_of_the_site_are_combined() {
    let folder = forbidden();
    folder.write("net/site.toml", format!("{SITE}[policy]\nlimits = {{ bridges = 0 }}\n"));
    folder.write("labels.toml", "[policy]\nrequired_labels = \"team\"\n");
    let arguments = ["validate", "net", "--policy", "net/no-ssh.toml", "--policy", "labels.toml"];
    let ran = folder.run(MIDOFORM, &arguments).expect_code(3);
    for code in ["policy-limit", "policy-public-port", "policy-label"] {
        assert!(ran.stderr.contains(code), "{code}: {}", ran.stderr);
    }
    let broken = ["validate", "net/acme.toml", "--policy", "broken.toml"];
    folder.write("broken.toml", "forbidden_public_port = 22\n");
    let ran = folder.run(MIDOFORM, &broken).expect_code(3);
    assert!(ran.stderr.contains("did you mean `forbidden_public_ports`?"), "{}", ran.stderr);
    std::fs::remove_file(folder.path().join("broken.toml")).unwrap();
    let ran = folder.run(MIDOFORM, &broken).expect_code(74);
    assert!(ran.stderr.contains("broken.toml"), "{}", ran.stderr);
}

#[test]
fn tenants_against_a_new_policy_can_be_inspected_and_destroyed() {
    let folder = TestFolder::with_tenants(&[("acme.toml", TENANT)]);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    folder.write("site.toml", format!("{SITE}[policy]\n{NO_SSH}"));
    let _ = folder.run(MIDOFORM, &["plan", "."]).expect_code(3);
    let _ = folder.run(MIDOFORM, &["show", "."]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["explain", "acme/router", "."]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(0);
}

#[test]
fn policies_do_not_apply_to_saved_plans() {
    let folder = TestFolder::with_tenants(&[("acme.toml", TENANT)]);
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "saved.plan"]).expect_code(0);
    folder.write("p.toml", NO_SSH);
    let ran = folder.run(MIDOFORM, &["apply", "saved.plan", "--policy", "p.toml", "--yes"]).expect_code(64);
    assert!(ran.stderr.contains("when it was made"), "{}", ran.stderr);
}

#[test]
fn code_hosts_get_paths_from_where_the_command_runs() {
    let folder = forbidden();
    let run = |format: &str| {
        let arguments =
            ["validate", "./net/acme.toml", "--policy", "./net/../net/no-ssh.toml", "--format", format];
        folder.run(MIDOFORM, &arguments).expect_code(3).stdout
    };
    let github = run("github");
    assert!(github.starts_with("::error file=net/acme.toml,line=8,endLine=8,col=10,endColumn=26,title=policy-public-port::the public port 22 may not be exposed%0A"), "{github}");
    let gitlab: Value = serde_json::from_str(&run("gitlab")).unwrap();
    assert_eq!(gitlab[0]["location"]["path"], "net/acme.toml");
    assert_eq!(gitlab[0]["location"]["lines"]["begin"], 8);
    let sarif: Value = serde_json::from_str(&run("sarif")).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    let file = |location: &Value| location["physicalLocation"]["artifactLocation"]["uri"].clone();
    assert_eq!(result["ruleId"], "policy-public-port");
    assert_eq!(file(&result["locations"][0]), "net/acme.toml");
    assert_eq!(file(&result["relatedLocations"][0]), "net/no-ssh.toml");
}

#[test]
fn code_hosts_get_warnings_and_empty_reports() {
    let folder = TestFolder::with_tenants(&[("acme.toml", TENANT)]);
    let run = |format: &str, arguments: &[&str], code| {
        let all = [&["validate", ".", "--format", format], arguments].concat();
        folder.run(MIDOFORM, &all).expect_code(code).stdout
    };
    assert_eq!(run("github", &[], 0), "");
    assert_eq!(run("gitlab", &[], 0), "[]\n");
    let sarif: Value = serde_json::from_str(&run("sarif", &[], 0)).unwrap();
    assert_eq!(sarif["runs"][0]["results"], Value::Array(Vec::new()));
    folder.write(
        "acme.toml",
        format!("{TENANT}[[address_group]]\nname = \"g\"\naddresses = [\"10.9.0.0/16\"]\n"),
    );
    assert!(run("github", &[], 0).starts_with("::warning file=acme.toml,"));
    assert!(run("github", &["--deny-warnings"], 3).starts_with("::error file=acme.toml,"));
}
