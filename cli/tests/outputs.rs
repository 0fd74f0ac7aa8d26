//! Files, pipes and terminals that midoform reads and writes.

use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt, symlink};
use std::process::Stdio;
use std::time::{Duration, Instant};

use midoform_testutil::TestFolder;

use crate::MIDOFORM;

const TENANT: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";

fn folder() -> TestFolder {
    TestFolder::with_tenants(&[("acme.toml", TENANT)])
}

/// Makes a named pipe.
fn pipe(folder: &TestFolder, name: &str) {
    let made = std::process::Command::new("mkfifo").arg(folder.path().join(name)).status().unwrap();
    assert!(made.success());
}

#[test]
fn outputs_follow_links_and_keep_permissions() {
    let folder = folder();
    folder.write("real.json", "");
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(folder.path().join("real.json"), PermissionsExt::from_mode(0o640)).unwrap();
    let is_link = |name: &str| folder.path().join(name).is_symlink();
    for (link, target) in
        [("plan.json", "real.json"), ("page.html", "made/new.html"), ("midoform.lock", "made/l")]
    {
        symlink(target, folder.path().join(link)).unwrap();
    }
    std::fs::create_dir(folder.path().join("made")).unwrap();
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json", "--html", "page.html"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(0);
    assert!(is_link("plan.json") && is_link("page.html") && is_link("midoform.lock"));
    assert!(folder.read("real.json").starts_with('{') && mode("real.json") == 0o640);
    assert!(
        folder.read("made/new.html").contains("<html") && folder.read("made/l").contains("applied = true")
    );
    // Every path to one lock file has the same locks.
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--lock", "made/l"]).expect_code(0);
    assert!(!folder.path().join("midoform.lock.busy").exists() && folder.path().join("made/l.busy").exists());
}

#[test]
fn pipes_and_devices_are_written_to() {
    let folder = folder();
    pipe(&folder, "pipe");
    let mut reader = folder.command("cat", &["pipe"]).stdout(Stdio::piped()).spawn().unwrap();
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "pipe", "--html", "/dev/null"]).expect_code(0);
    let mut text = String::new();
    reader.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(reader.wait().unwrap().success() && text.contains("midoform-saved-plan"), "{text}");
    let kind = |path: &std::path::Path| std::fs::metadata(path).unwrap().file_type();
    assert!(kind(&folder.path().join("pipe")).is_fifo());
    assert!(kind(std::path::Path::new("/dev/null")).is_char_device());
    let all = folder.run(MIDOFORM, &["plan", ".", "--quiet", "--out", "/dev/stdout"]).expect_code(0);
    assert!(all.stdout.contains("midoform-saved-plan") && all.stdout.contains("acme"), "{}", all.stdout);
}

#[test]
fn a_pipe_without_a_writer_is_an_error() {
    let folder = folder();
    pipe(&folder, "pipe");
    for arguments in [
        &["validate", "pipe"][..],
        &["plan", "pipe", "--offline"],
        &["apply", "pipe", "--yes"],
        &["trace", "pipe", "--from", "world", "--to", "10.1.0.1"],
        &["verify", "pipe"],
        &["undo", "pipe", "--yes"],
        &["validate", ".", "--policy", "pipe"],
        &["validate", ".", "--site", "pipe"],
        &["validate", ".", "--lock", "pipe"],
        &["adopt", "acme", "--export", "pipe"],
        &["serve", "--users", "pipe", "--listen", "127.0.0.1:0"],
    ] {
        let started = Instant::now();
        let ran = folder.run("timeout", &[&["20", MIDOFORM], arguments].concat());
        assert!(ran.code == 3 || ran.code == 74, "{arguments:?}: {} {}", ran.code, ran.stderr);
        assert!(ran.stderr.contains("pipe"), "{arguments:?}: {}", ran.stderr);
        assert!(started.elapsed() < Duration::from_secs(15), "{arguments:?}");
    }
    std::fs::rename(folder.path().join("pipe"), folder.path().join("pipe.toml")).unwrap();
    let _ = folder.run("timeout", &["20", MIDOFORM, "validate", "."]).expect_code(3);
    std::fs::remove_file(folder.path().join("pipe.toml")).unwrap();
    // One that is written into, only later, is read.
    let late = format!("{MIDOFORM} validate . --policy <(sleep 1; echo 'require_protect = true')");
    let ran = folder.run("bash", &["-c", &late]).expect_code(3);
    assert!(ran.stderr.contains("policy-protect"), "{}", ran.stderr);
}

#[test]
fn a_link_in_the_place_of_a_lock_leads_nowhere() {
    for ending in ["busy", "leases"] {
        let folder = folder();
        folder.write("victim", "precious");
        symlink("victim", folder.path().join(format!("midoform.lock.{ending}"))).unwrap();
        let ran = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(74);
        assert!(ran.stderr.contains("it is a link"), "{}", ran.stderr);
        assert_eq!(folder.read("victim"), "precious");
    }
}

#[test]
fn a_reader_that_ends_early_is_no_error_and_stops_nothing() {
    let folder = folder();
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    for command in [
        "plan . --verbose",
        "plan . --json",
        "plan . --format shell",
        "graph .",
        "schema tenant",
        "explain acme/router",
        "verify .",
        "trace . --from acme/web/10.1.0.5 --to 8.8.8.8",
        "apply . --yes --dry-run",
        "apply . --yes --dry-run --json",
        "apply plan.json --yes",
        "show .",
        "drift .",
        "drift . --watch 1",
        "undo plan.json --yes",
        "apply . --yes --json",
        "destroy . --yes",
        "completions bash",
    ] {
        let script = format!("timeout 20 {MIDOFORM} {command} | true; exit ${{PIPESTATUS[0]}}");
        let ran = folder.run("bash", &["-c", &script]);
        assert_eq!(ran.code, 0, "{command}: {}", ran.stderr);
        if command.starts_with("apply plan.json") {
            let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        }
    }
    assert!(!folder.read("midoform.lock").contains("tenant.acme"), "the destroy ran to its end");
}

/// Whatever a name of a file or a text of a spec says is shown as text.
#[test]
fn control_characters_and_line_breaks_are_escaped() {
    let folder = folder();
    let evil = "x\n::error::y\u{1b}]0;title\u{7}\u{202e}";
    folder.write(&format!("{evil}/site.toml"), midoform_testutil::SITE);
    folder.write(&format!("{evil}/{evil}.toml"), TENANT);
    let wrong = "name = \"u\"\n[[bridge]]\nname = \"a\\u001b[31m\\nb\"\n# \u{1b}[2J \u{9b}2J\n[[route]]\nto = \"10.0.0.0/8\"\nbridge = \"c\\u001b[31m\\nb\"\n";
    folder.write(&format!("{evil}/wrong.toml"), wrong);
    let out = format!("{evil}/plan{evil}.json");
    let plan = |format: &'static str| vec!["plan", evil, "--format", format, "--out", &out];
    let mut runs =
        vec![vec!["validate", evil], vec!["validate", evil, "--format", "github"], vec!["plan", evil]];
    let check = |runs: &[Vec<&str>]| {
        for arguments in runs {
            let ran = folder.run(MIDOFORM, arguments);
            for text in [&ran.stdout, &ran.stderr] {
                let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
                assert_eq!(bad, None, "{arguments:?}: {text:?}");
                assert!(!text.lines().any(|line| line.starts_with("::error::y")), "{arguments:?}: {text}");
            }
        }
    };
    check(&runs);
    std::fs::remove_file(folder.path().join(format!("{evil}/wrong.toml"))).unwrap();
    let page = format!("{evil}/page.html");
    runs = ["text", "markdown", "shell", "dot", "mermaid"].map(plan).to_vec();
    runs.extend([
        vec!["plan", evil, "--verbose", "--html", &page],
        vec!["apply", &out, "--yes", "--target", "x"],
        vec!["explain", "acme/bridge/web", evil],
        vec!["apply", evil, "--yes"],
        vec!["show", evil],
        vec!["drift", evil],
        vec!["trace", evil, "--from", "acme/web/10.1.0.5", "--to", "8.8.8.8"],
        vec!["lock", evil],
        vec!["destroy", evil, "--yes"],
        vec!["plan", evil, "--target", evil],
        vec!["import", evil, "--folder", evil],
        vec!["templates", evil],
        vec!["undo", evil],
    ]);
    check(&runs);
}

/// What is no file is not a lock file, and nothing is left beside it.
#[test]
fn a_lock_file_is_a_file() {
    let folder = TestFolder::with_tenants(&[("t.toml", "name = \"t\"\n")]);
    std::fs::create_dir(folder.path().join("locks")).unwrap();
    std::os::unix::fs::symlink("/dev/null", folder.path().join("locks/null")).unwrap();
    for command in ["plan", "lock", "apply"] {
        for lock in ["/dev/null", "locks/null", "locks"] {
            let mut arguments = vec![command, ".", "--lock", lock];
            arguments.extend((command == "apply").then_some("--yes"));
            let ran = folder.run(MIDOFORM, &arguments);
            assert!(![0, 2].contains(&ran.code), "{command} {lock}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains("is not a file"), "{command} {lock}: {}", ran.stderr);
        }
    }
    assert!(!std::path::Path::new("/dev/null.busy").exists());
    assert_eq!(std::fs::read_dir(folder.path().join("locks")).unwrap().count(), 1);
}

#[test]
fn an_output_that_leads_nowhere_names_its_folder() {
    let folder = TestFolder::with_tenants(&[("t.toml", "name = \"t\"\n")]);
    std::os::unix::fs::symlink("nowhere/plan.json", folder.path().join("link")).unwrap();
    for option in ["--out", "--html"] {
        for path in ["link", "nowhere/plan.json"] {
            let ran = folder.run(MIDOFORM, &["plan", ".", option, path]).expect_code(74);
            assert!(ran.stderr.contains(path) && ran.stderr.contains("the folder nowhere"), "{}", ran.stderr);
            assert!(!ran.stderr.contains(".midoform-"), "{}", ran.stderr);
        }
    }
}

/// The project of a login is sent as a header, in which no line break can be.
#[test]
fn a_login_with_a_line_break_names_its_variable() {
    let folder = TestFolder::with_tenants(&[("t.toml", "name = \"t\"\n")]);
    for name in ["MIDONET_PROJECT", "MIDONET_PASSWORD", "MIDONET_USERNAME", "MIDONET_TOKEN"] {
        let mut command = folder.command(MIDOFORM, &["plan", ".", "--api", "http://127.0.0.1:1/midonet-api"]);
        command.env("MIDONET_USERNAME", "u").env("MIDONET_PASSWORD", "p").env(name, "hunter2\n");
        let ran = midoform_testutil::Ran::from(command.output().unwrap()).expect_code(64);
        assert!(ran.stderr.contains(name) && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
}

/// An output never replaces what the project is made of.
#[test]
fn an_output_does_not_replace_the_projects_own_files() {
    let folder = folder();
    folder.write("policy", "");
    let _ = folder.run(MIDOFORM, &["lock", "."]).expect_code(0);
    std::os::unix::fs::symlink("site.toml", folder.path().join("link")).unwrap();
    for file in ["site.toml", "acme.toml", "midoform.lock", "policy", "link", "./site.toml"] {
        let before = folder.read(file);
        for option in ["--out", "--html"] {
            let refused =
                folder.run(MIDOFORM, &["plan", ".", "--offline", "--policy", "policy", option, file]);
            let refused = refused.expect_code(6);
            assert!(refused.stderr.contains("own files"), "{option} {file}: {}", refused.stderr);
            assert_eq!(folder.read(file), before, "{option} {file}");
        }
    }
    let both = folder.run(MIDOFORM, &["plan", ".", "--offline", "--out", "x", "--html", "x"]).expect_code(64);
    assert!(both.stderr.contains("one file") && !folder.path().join("x").exists(), "{}", both.stderr);
}
