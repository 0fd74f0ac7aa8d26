//! Saved plans as files: from a pipe, after a byte order mark, with keys that nobody knows.

use std::io::Write as _;
use std::process::Stdio;

use midoform_testutil::{Ran, TestFolder};

use crate::MIDOFORM;

const SITE: &str = "name = \"test\"\n[midonet]\nembedded = true\nmanaged = true\n";
const TENANT: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";

/// Returns a project with a saved plan, `plan.json`.
fn planned() -> (TestFolder, String) {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE);
    folder.write("acme.toml", TENANT);
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    let plan = folder.read("plan.json");
    (folder, plan)
}

/// Runs a command with a text on its standard input, which is a pipe.
fn piped(folder: &TestFolder, arguments: &[&str], text: &str) -> Ran {
    let mut command = folder.command(MIDOFORM, arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

#[test]
fn a_saved_plan_comes_through_a_pipe() {
    let (folder, plan) = planned();
    let refused = piped(&folder, &["verify", "/dev/stdin"], &plan).expect_code(64);
    assert!(refused.stderr.contains("a saved plan can't be verified"), "{}", refused.stderr);
    let ran = piped(&folder, &["apply", "/dev/stdin", "--yes"], &plan).expect_code(0);
    assert!(ran.stderr.contains("Done"), "{}", ran.stderr);
    // The allocations are where the command runs, not beside the pipe.
    assert!(folder.read("midoform.lock").contains("[tenant.acme]"));
    let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
    let _ = piped(&folder, &["undo", "/dev/stdin", "--yes", "--allow-mass-delete"], &plan).expect_code(0);
}

#[test]
fn a_spec_comes_through_a_pipe_although_it_is_read_twice() {
    let (folder, _) = planned();
    let ran = piped(&folder, &["apply", "/dev/stdin", "--site", "site.toml", "--yes"], TENANT).expect_code(0);
    assert!(ran.stderr.contains("Done"), "{}", ran.stderr);
}

#[test]
fn a_byte_order_mark_before_a_saved_plan_is_no_part_of_it() {
    let (folder, plan) = planned();
    folder.write("plan.json", format!("\u{feff}\n{plan}"));
    let _ = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(0);
}

#[test]
fn what_no_saved_plan_has_is_refused_wherever_it_is() {
    let (folder, plan) = planned();
    for (place, more) in [
        ("\"action\":\"create\"", "\"action\":\"create\",\"colour\":5"),
        ("\"method\":\"POST\"", "\"method\":\"POST\",\"colour\":5"),
        ("\"source\":{", "\"source\":{\"colour\":5,"),
        ("\"desired\":{", "\"desired\":{\"colour\":5,"),
        ("\"allocated_after\":{", "\"allocated_after\":{\"colour\":5,"),
    ] {
        let changed = plan.replacen(place, more, 1);
        assert_ne!(changed, plan, "{place}");
        folder.write("plan.json", changed);
        for command in [["apply", "plan.json", "--yes"].as_slice(), &["undo", "plan.json", "--yes"]] {
            let ran = folder.run(MIDOFORM, command).expect_code(3);
            assert!(ran.stderr.contains("plan.json"), "{}", ran.stderr);
            assert!(ran.stderr.contains("`\"colour\":5"), "{place}: {}", ran.stderr);
        }
    }
    assert!(!folder.path().join("midoform.lock").exists());
    // White space is no change.
    folder.write("plan.json", plan.replace("},{", "} ,\n {"));
    let _ = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(0);
}

#[test]
fn the_site_file_beside_a_saved_plan_exists() {
    let (folder, _) = planned();
    for (site, code) in [("nowhere.toml", 74), (".", 64)] {
        for command in ["apply", "undo"] {
            let ran =
                folder.run(MIDOFORM, &[command, "plan.json", "--yes", "--site", site]).expect_code(code);
            assert!(ran.stderr.contains(site), "{}", ran.stderr);
        }
    }
    let _ = folder.run(MIDOFORM, &["apply", "plan.json", "--yes", "--site", "site.toml"]).expect_code(0);
}

#[test]
fn a_long_line_is_cut_around_the_mark() {
    let (folder, _) = planned();
    let long = "10.0.0.0/8, ".repeat(20_000);
    folder.write("acme.toml", format!("{TENANT}labels = {{ a = \"{long}\", b = 5, c = \"{long}\" }}\n"));
    let ran = folder.run(MIDOFORM, &["validate", "."]).expect_code(3);
    assert!(ran.stderr.len() < 2_000 && ran.stderr.contains('…'), "{} bytes", ran.stderr.len());
    assert!(ran.stderr.contains("acme.toml:5:"), "{}", ran.stderr);
}
