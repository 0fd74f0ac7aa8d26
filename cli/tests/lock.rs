//! The lock file as Git users meet it.

use midoform_testutil::{SITE, TestFolder};

use crate::MIDOFORM;

const TENANT: &str = "[[bridge]]\nname = \"web\"\n";

fn folder() -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE);
    folder.write("a.toml", format!("name = \"a\"\n{TENANT}"));
    folder
}

#[test]
fn the_lock_file_is_written_by_apply_but_not_by_plan() {
    let folder = folder();
    let _ = folder.run(MIDOFORM, &["plan", "."]).expect_code(0);
    assert!(!folder.path().join("midoform.lock").exists());
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    assert!(folder.read("midoform.lock").contains("[tenant.a]\napplied = true\n"));
}

#[test]
fn locked_refuses_to_allocate() {
    let folder = folder();
    let _ = folder.run(MIDOFORM, &["lock", "."]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["plan", ".", "--locked"]).expect_code(0);
    folder.write("b.toml", format!("name = \"b\"\n{TENANT}"));
    let ran = folder.run(MIDOFORM, &["plan", ".", "--locked"]).expect_code(6);
    assert!(ran.stderr.contains('b'), "{}", ran.stderr);
}

#[test]
fn clashes_of_two_branches_are_refused_and_repaired() {
    let folder = folder();
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    // The other branch: a tenant with the same allocated addresses, and was never applied.
    let ours = folder.read("midoform.lock");
    let theirs = ours.replace("[tenant.a", "[tenant.b").replace("applied = true", "applied = false");
    let merged = format!("{ours}{}", theirs.split_once("version = 1\n").unwrap().1);
    folder.write("midoform.lock", &merged);
    folder.write("b.toml", format!("name = \"b\"\n{TENANT}"));
    let refused = folder.run(MIDOFORM, &["validate", "."]).expect_code(3);
    assert!(refused.stderr.contains("midoform lock --repair"), "{}", refused.stderr);
    let _ = folder.run(MIDOFORM, &["lock", ".", "--repair"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["validate", "."]).expect_code(0);
    let repaired = folder.read("midoform.lock");
    let part_of_a = |text: &str| text.split("[tenant.b]").next().unwrap().to_owned();
    assert_eq!(part_of_a(&repaired), ours.clone() + "\n", "what was applied stays");
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
}

#[test]
fn different_allocations_of_two_branches_merge() {
    let ours = folder();
    ours.write("b.toml", format!("name = \"b\"\n{TENANT}"));
    let theirs = folder();
    theirs.write("c.toml", format!("name = \"c\"\n{TENANT}"));
    let _ = ours.run(MIDOFORM, &["lock", "."]).expect_code(0);
    let _ = theirs.run(MIDOFORM, &["lock", "."]).expect_code(0);
    let (b, c) = (ours.read("midoform.lock"), theirs.read("midoform.lock"));
    let c_part = c.split_once("\n[tenant.c]").unwrap().1;
    let merged = format!("{b}\n[tenant.c]{c_part}");
    ours.write("c.toml", theirs.read("c.toml"));
    ours.write("midoform.lock", &merged);
    let _ = ours.run(MIDOFORM, &["validate", "."]).expect_code(0);
    let _ = ours.run(MIDOFORM, &["lock", "."]).expect_code(0);
    assert_eq!(ours.read("midoform.lock"), merged, "nothing moves");
}

#[test]
fn only_the_lock_file_is_left() {
    let folder = folder();
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    assert!(!folder.path().join("midoform.lock.leases").exists());
    assert_eq!(folder.read("midoform.lock.busy"), "");
}
