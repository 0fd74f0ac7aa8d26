//! The programs of OVN and Open vSwitch: the system's, or those of a distribution that is unpacked in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::{LabError, Result, at};

/// The programs, each with the Debian package that has it.
const PROGRAMS: [(&str, &str); 11] = [
    ("ovsdb-server", "openvswitch-common"),
    ("ovsdb-tool", "openvswitch-common"),
    ("ovsdb-client", "openvswitch-common"),
    ("ovs-appctl", "openvswitch-common"),
    ("ovs-ofctl", "openvswitch-common"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovn-nbctl", "ovn-common"),
    ("ovn-trace", "ovn-common"),
    ("ovn-northd", "ovn-central"),
    ("ovn-controller", "ovn-host"),
];
/// The databases' schemas below `usr/share`, each with the Debian package that has it.
const SCHEMAS: [(&str, &str); 3] = [
    ("ovn/ovn-nb.ovsschema", "ovn-common"),
    ("ovn/ovn-sb.ovsschema", "ovn-common"),
    ("openvswitch/vswitch.ovsschema", "openvswitch-common"),
];
/// Tools of the system itself.
const TOOLS: [(&str, &str); 2] = [("ip", "iproute2"), ("ethtool", "ethtool")];

/// Folders of programs that a path may lack.
const MORE_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
/// Folders of programs in an unpacked distribution. There `usr/sbin/ovs-vswitchd` is a link to a choice that the package's
/// installation makes.
const UNPACKED_FOLDERS: [&str; 3] = ["usr/lib/openvswitch-switch", "usr/bin", "usr/sbin"];

/// The programs that a laboratory runs.
#[derive(Clone, Debug)]
pub struct Programs {
    found: BTreeMap<&'static str, Found>,
    tools: BTreeMap<&'static str, PathBuf>,
    share: PathBuf,
}

/// How a program is started.
#[derive(Clone, Debug)]
enum Found {
    Installed(PathBuf),
    /// By the loader and with the libraries of its own distribution.
    Unpacked {
        loader: PathBuf,
        libraries: PathBuf,
        program: PathBuf,
    },
}

/// A version: its first two numbers. They are shown as they are written: `25.03`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    numbers: (u32, u32),
}

impl Version {
    /// Returns true if it is older than the one with these numbers.
    pub fn is_before(&self, first: u32, second: u32) -> bool {
        self.numbers < (first, second)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Programs {
    /// Finds the programs: those of the system, or of the distribution that is unpacked in this folder.
    ///
    /// # Errors
    /// When some are missing: the error names them all, and the packages that have them.
    pub fn find(root: Option<&Path>) -> Result<Programs> {
        let mut missing: Vec<(&str, &str)> = Vec::new();
        let mut found = BTreeMap::new();
        for (name, package) in PROGRAMS {
            let program = match root {
                Some(root) => unpacked(root, name),
                None => installed(name).map(Found::Installed),
            };
            match program {
                Some(program) => drop(found.insert(name, program)),
                None => missing.push((name, package)),
            }
        }
        let share = root.unwrap_or(Path::new("/")).join("usr/share");
        missing.extend(SCHEMAS.into_iter().filter(|(schema, _)| !share.join(schema).is_file()));
        let mut tools = BTreeMap::new();
        let mut missing_tools = Vec::new();
        for (name, package) in TOOLS {
            match installed(name) {
                Some(path) => drop(tools.insert(name, path)),
                None => missing_tools.push((name, package)),
            }
        }
        let packages = |of: &[(&str, &'static str)]| {
            let mut packages: Vec<&str> = of.iter().map(|(_, package)| *package).collect();
            packages.sort_unstable();
            packages.dedup();
            packages.join(" ")
        };
        if missing.is_empty() && missing_tools.is_empty() {
            return Ok(Programs { found, tools, share });
        }
        let elsewhere = match root {
            Some(root) if !missing.is_empty() => {
                format!(" into {}, which `--programs` or MIDOFORM_OVN_ROOT names", root.display())
            }
            _ => String::new(),
        };
        missing.extend(missing_tools);
        let programs = missing.iter().map(|(name, _)| (*name).to_owned()).collect();
        Err(LabError::Missing { programs, packages: packages(&missing), elsewhere })
    }

    /// Returns a program's command.
    pub(crate) fn command(&self, name: &str) -> Command {
        match (self.found.get(name), self.tools.get(name)) {
            (Some(Found::Installed(path)), _) | (None, Some(path)) => Command::new(path),
            (Some(Found::Unpacked { loader, libraries, program }), _) => {
                let mut command = Command::new(loader);
                command.arg("--library-path").arg(libraries).args(["--argv0", name]).arg(program);
                command
            }
            (None, None) => Command::new(name),
        }
    }

    /// Returns a database's schema.
    pub(crate) fn schema(&self, name: &str) -> PathBuf {
        self.share.join(name)
    }

    /// Writes a folder with all programs, for the path of commands that people run in a laboratory.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(crate) fn write_folder(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        for name in self.found.keys() {
            let command = self.command(name);
            let words = [command.get_program()].into_iter().chain(command.get_args());
            let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
            let path = folder.join(name);
            let text = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
            fs::write(&path, text).map_err(at(&path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Returns the version of a program.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn version(&self, name: &str) -> Result<Option<Version>> {
        Ok(version_in(&command::run(self.command(name).arg("--version"))?))
    }
}

/// Returns the first two numbers of a version in the first line of a program's words.
fn version_in(text: &str) -> Option<Version> {
    text.lines().next()?.split_whitespace().find_map(|word| {
        let (first, rest) = word.split_once('.')?;
        let second: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let numbers = (first.parse().ok()?, second.parse().ok()?);
        Some(Version { text: format!("{first}.{second}"), numbers })
    })
}

/// Returns a word as a shell takes it for itself.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn unpacked(root: &Path, name: &str) -> Option<Found> {
    let program = UNPACKED_FOLDERS
        .iter()
        .filter_map(|folder| within(root, &Path::new(folder).join(name)))
        .find(|path| is_program(path))?;
    // The loader's name has the architecture: ld-linux-x86-64.so.2, ld-linux-aarch64.so.1.
    let loader = ["lib64", "lib", "usr/lib64", "usr/lib"].iter().find_map(|folder| {
        let entries = fs::read_dir(within(root, Path::new(folder))?).ok()?.flatten();
        let is_loader = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("ld-linux-");
        let entry = entries.into_iter().find(is_loader)?;
        within(root, &Path::new(folder).join(entry.file_name()))
    })?;
    let entries = fs::read_dir(root.join("usr/lib")).ok()?.flatten();
    let is_libraries = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("-linux-gnu");
    let libraries = entries.into_iter().find(is_libraries)?.path();
    Some(Found::Unpacked { loader, libraries, program })
}

/// Follows links as they lead within an unpacked distribution: its absolute links begin at its own root.
fn within(root: &Path, path: &Path) -> Option<PathBuf> {
    const MOST_LINKS: usize = 40;
    let mut left: Vec<PathBuf> = parts(path);
    let mut inside = PathBuf::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == Path::new("..") {
            inside.pop();
            continue;
        }
        let next = inside.join(&part);
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                if target.is_absolute() {
                    inside = PathBuf::new();
                }
                left.extend(parts(&target));
            }
            Err(_) => inside = next,
        }
    }
    let found = root.join(inside);
    found.exists().then_some(found)
}

/// Returns the parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.rev().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn versions() {
        let shown = |text: &str| version_in(text).map(|version| version.to_string());
        assert_eq!(shown("ovs-vswitchd (Open vSwitch) 3.1.0\n").as_deref(), Some("3.1"));
        assert_eq!(shown("ovn-controller 25.03.0\nOpen vSwitch Library 3.5.0\n").as_deref(), Some("25.03"));
        assert!(
            version_in("x 3.1.0").is_some_and(|version| version.is_before(3, 5) && !version.is_before(3, 1))
        );
        assert_eq!(version_in("nothing"), None);
    }

    #[test]
    fn links_of_an_unpacked_distribution_stay_in_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("usr/lib/x");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("program"), "").unwrap();
        let link = |target: &str, at: &str| std::os::unix::fs::symlink(target, root.path().join(at)).unwrap();
        link("usr/lib", "lib");
        link("/lib/x/program", "absolute");
        link("lib/x/../x/program", "relative");
        link("/etc/passwd", "gone");
        link("circle", "circle");
        for name in ["absolute", "relative"] {
            assert_eq!(within(root.path(), Path::new(name)), Some(folder.join("program")));
        }
        assert_eq!(within(root.path(), Path::new("gone")), None);
        assert_eq!(within(root.path(), Path::new("circle")), None);
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let root = tempfile::tempdir().unwrap();
        let error = Programs::find(Some(root.path())).unwrap_err().to_string();
        assert!(error.contains("ovn-northd") && error.contains("ovn-central"), "{error}");
        assert!(error.contains("MIDOFORM_OVN_ROOT"), "{error}");
    }
}
