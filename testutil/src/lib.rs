//! The test helpers of all crates: a folder for each test, the built command, snapshots in one place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

pub mod browser;
pub mod certificates;
pub mod documentation;
pub mod etcd;
pub mod front;
pub mod http;
pub mod keystone;
pub mod ovn_host;
pub mod ovsdb;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("testutil lies in the repository").to_path_buf()
}

/// Returns the folder of a newer OVN than the system's, if there is one: what `MIDOFORM_OVN_ROOT` names, or what
/// `scripts/install-test-tools.sh` unpacked.
pub fn newer_ovn() -> Option<PathBuf> {
    let named = std::env::var_os("MIDOFORM_OVN_ROOT").map(PathBuf::from);
    let unpacked = root().join("target/ovn-trixie");
    named.or_else(|| unpacked.is_dir().then_some(unpacked))
}

/// Returns settings that put snapshots into one folder, named by the test alone.
pub fn snapshot_settings(folder: &str) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("snapshots").join(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// A site file that uses the embedded API and its own provider router.
pub const SITE: &str = "name = \"test\"\n\n[midonet]\nembedded = true\nmanaged = true\n";

/// A temporary folder for one test, whose commands run with an empty environment.
pub struct TestFolder {
    folder: tempfile::TempDir,
}

/// The result of a command.
#[derive(Debug)]
#[must_use]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Default for TestFolder {
    fn default() -> Self {
        TestFolder { folder: tempfile::tempdir().expect("a temporary folder") }
    }
}

impl TestFolder {
    /// Creates a folder with a site file and these tenant files.
    pub fn with_tenants(tenants: &[(&str, &str)]) -> Self {
        let folder = TestFolder::default();
        folder.write("site.toml", SITE);
        for (name, text) in tenants {
            folder.write(name, text);
        }
        folder
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, creating its parent folders.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
        std::fs::write(path, content).expect("files can be written");
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Copies an example into the folder.
    pub fn copy_example(&self, name: &str) {
        copy(&root().join("examples").join(name), self.path());
    }

    /// Returns a command that runs in the folder.
    pub fn command(&self, binary: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default());
        command.stdin(std::process::Stdio::null());
        command
    }

    /// Runs a command in the folder.
    pub fn run(&self, binary: &str, arguments: &[&str]) -> Ran {
        Ran::from(self.command(binary, arguments).output().expect("the command can be run"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Panics with the whole output unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the example is there") {
        let entry = entry.expect("the example can be listed");
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') || name == "midoform.lock" {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().expect("a file type").is_dir() {
            std::fs::create_dir_all(&target).expect("folders can be made");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("files can be copied");
        }
    }
}
