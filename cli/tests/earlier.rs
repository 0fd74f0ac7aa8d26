//! What earlier versions wrote is read by this one: lock files, saved plans, databases, the state of the embedded API.
//!
//! Each version leaves a folder in `earlier`, and it is never changed: `lock-file` is a site with a lock file that was
//! applied, and a saved plan that was not; `database` one with `[store] path`, with two attached pods and its dump.

use std::path::{Path, PathBuf};

use midoform_testutil::{TestFolder, root};
use serde_json::Value as Json;

use crate::MIDOFORM;
use crate::served::Served;

/// Returns the folders of all versions, and the one of this version.
fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("cli/tests/earlier")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn copied(from: &Path) -> TestFolder {
    fn copy(from: &Path, name: &str, to: &TestFolder) {
        for entry in std::fs::read_dir(from.join(name)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{name}{}", entry.file_name().to_string_lossy());
            match entry.file_type().unwrap().is_dir() {
                true => copy(from, &format!("{name}/"), to),
                false => to.write(&name, std::fs::read(entry.path()).unwrap()),
            }
        }
    }
    let folder = TestFolder::default();
    copy(from, "", &folder);
    folder
}

/// A release adds its folder: without one, nobody would notice what the next version can't read.
#[test]
fn this_version_left_a_folder() {
    let own = root().join("cli/tests/earlier").join(env!("CARGO_PKG_VERSION"));
    assert!(
        own.join("lock-file/midoform.lock").exists() && own.join("database/store.db").exists(),
        "{}",
        own.display()
    );
}

#[test]
fn a_lock_file_and_a_saved_plan() {
    for version in versions() {
        let folder = copied(&version.join("lock-file"));
        let before = folder.read("midoform.lock");
        let state = ["--state-dir", "state"];
        let run =
            |command: &[&str], code| folder.run(MIDOFORM, &[command, &state].concat()).expect_code(code);
        let _ = folder.run(MIDOFORM, &["validate", "."]).expect_code(0);
        // The network is as it was left, and no address has moved.
        let _ = run(&["plan", ".", "--detailed-exitcode", "--locked"], 0);
        let _ = run(&["drift", "."], 0);
        let done = run(&["apply", "plan.json", "--yes"], 0);
        assert!(done.stderr.contains("1 of 1 changes were made"), "{}", done.stderr);
        let _ = run(&["undo", "plan.json", "--yes"], 0);
        let _ = run(&["plan", ".", "--detailed-exitcode", "--locked"], 0);
        let after: toml::Table = folder.read("midoform.lock").parse().unwrap();
        let tenants = |lock: &toml::Table| (lock["tenant"].clone(), lock["peer"].clone());
        let addresses = |mut lock: toml::Table| {
            lock.remove("generation");
            tenants(&lock)
        };
        assert_eq!(addresses(after), addresses(before.parse().unwrap()), "{}", version.display());
    }
}

#[test]
fn a_database_with_attached_pods() {
    for version in versions() {
        let folder = copied(&version.join("database"));
        let run = |command: &[&str], code| folder.run(MIDOFORM, command).expect_code(code);
        let dump: Json =
            serde_json::from_str(&run(&["store", "--store", "store.db", "dump"], 0).stdout).unwrap();
        let kept: Json = serde_json::from_str(&folder.read("dump.json")).unwrap();
        assert_eq!(dump, kept, "{}", version.display());
        let pods = run(&["attachments", "--store", "store.db", "--json"], 0);
        let pods: Json = serde_json::from_str(&pods.stdout).unwrap();
        let addresses: Vec<&Json> = pods.as_array().unwrap().iter().map(|pod| &pod["address"]).collect();
        assert_eq!(addresses.len(), 2, "{pods}");
        let _ = run(&["store", "--store", "store.db", "check"], 0);
        // The dump of that version becomes a store of this one.
        let _ = run(&["store", "--store", "loaded.db", "load", "dump.json"], 0);
        let _ = run(&["store", "--store", "loaded.db", "check"], 0);

        let host = "11111111-2222-3333-4444-555555555555=node1";
        let served = Served::start(&folder, &["--state-dir", "api", "--host", host])
            .unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let url = served.url();
        let _ = run(&["plan", ".", "--detailed-exitcode", "--locked", "--api", &url], 0);
        let _ = run(&["store", "--store", "store.db", "migrate"], 0);
        let _ = run(&["plan", ".", "--detailed-exitcode", "--locked", "--api", &url], 0);
        let refused = run(&["destroy", "acme.toml", "--yes", "--api", &url], 6);
        assert!(refused.stderr.contains("attached") || refused.stderr.contains("pod"), "{}", refused.stderr);
    }
}
