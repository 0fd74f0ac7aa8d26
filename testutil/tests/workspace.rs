//! The crates of the workspace, their modules, and which module uses which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::source::{self, Source};

/// A crate's folder, what its manifest says, and its modules.
pub(super) struct Crate {
    /// The folder's name, such as `compiler`.
    pub(super) name: String,
    /// The names of the packages below `[dependencies]` and `[build-dependencies]`.
    pub(super) dependencies: Vec<String>,
    /// Every file of `src` that is not for tests, by its module's path. The crate's root has the empty path.
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    file: PathBuf,
    source: Source,
}

/// One use of a module by another of the same crate, or of another crate.
#[derive(Clone, Debug)]
pub(super) struct Use {
    /// The module that uses.
    pub(super) from: Vec<String>,
    /// The module that is used; its path is empty if it is the crate's root.
    pub(super) to: Vec<String>,
    /// File and line.
    pub(super) position: String,
    /// The path as it is written.
    pub(super) written: String,
}

impl Crate {
    /// Reads all crates that the workspace's manifest lists.
    pub(super) fn all() -> &'static [Crate] {
        static ALL: LazyLock<Vec<Crate>> = LazyLock::new(|| {
            let root = midoform_testutil::root();
            let manifest = manifest(&root);
            let members =
                manifest["workspace"]["members"].as_array().expect("the workspace lists its members");
            members.iter().map(|member| Crate::read(&root, member.as_str().expect("a folder"))).collect()
        });
        &ALL
    }

    fn read(root: &Path, name: &str) -> Crate {
        let manifest = manifest(&root.join(name));
        let tables =
            ["dependencies", "build-dependencies"].into_iter().filter_map(|table| manifest.get(table));
        let dependencies =
            tables.filter_map(toml::Value::as_table).flat_map(|table| table.keys().cloned()).collect();
        let mut modules = BTreeMap::new();
        add_modules(root, &root.join(name).join("src"), &[], &mut modules);
        let tests: Vec<Vec<String>> = modules
            .iter()
            .flat_map(|(path, module): (&Vec<String>, &Module)| {
                module
                    .source
                    .test_modules
                    .iter()
                    .map(|test| [path.as_slice(), std::slice::from_ref(test)].concat())
            })
            .collect();
        modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
        Crate { name: name.to_owned(), dependencies, modules }
    }

    /// Returns the files of `src` that are not for tests, with what they name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &Source)> {
        self.modules.values().map(|module| (module.file.as_path(), &module.source))
    }

    /// Returns the uses of other crates of the workspace: the crate's name, file and line.
    pub(super) fn foreign_uses(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for module in self.modules.values() {
            for path in &module.source.paths {
                let first = path.segments.first().map(String::as_str).unwrap_or_default();
                if let Some(name) = first.strip_prefix("midoform_") {
                    found.push((name.to_owned(), position(module, path.line)));
                }
            }
        }
        found
    }

    /// Returns every use of one module by another; those of a module by itself are left out.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut found = Vec::new();
        for (from, module) in &self.modules {
            for path in &module.source.paths {
                let Some(to) = self.absolute(from, &path.segments).and_then(|path| self.module_of(&path, 0))
                else {
                    continue;
                };
                if to != *from {
                    let written = path.segments.join("::");
                    found.push(Use {
                        from: from.clone(),
                        to,
                        position: position(module, path.line),
                        written,
                    });
                }
            }
        }
        found
    }

    /// Returns a path from the crate's root on; nothing if it leads out of the crate.
    fn absolute(&self, from: &[String], segments: &[String]) -> Option<Vec<String>> {
        let (first, rest) = segments.split_first()?;
        let start = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.to_vec(),
            "super" => {
                let (_, parent) = from.split_last()?;
                let supers = rest.iter().take_while(|segment| *segment == "super").count();
                let parent = parent.get(..parent.len().checked_sub(supers)?)?;
                return Some([parent, &rest[supers..]].concat());
            }
            name => {
                let module = self.modules.get(from)?;
                let child = [from, std::slice::from_ref(first)].concat();
                let import = module.source.imports.get(name);
                match import {
                    _ if self.modules.contains_key(&child) => child,
                    Some(import) if import != segments && import.first() != Some(first) => {
                        self.absolute(from, import)?
                    }
                    _ => return None,
                }
            }
        };
        Some([start.as_slice(), rest].concat())
    }

    /// Returns the module that defines what a path names: the longest part of it that is a module, and from there
    /// through the re-exports.
    fn module_of(&self, path: &[String], depth: usize) -> Option<Vec<String>> {
        let longest = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(longest);
        let Some(name) = rest.first().filter(|_| depth < 8) else { return Some(module.to_vec()) };
        let source = &self.modules.get(module)?.source;
        if source.items.contains(name) {
            return Some(module.to_vec());
        }
        if let Some(target) = source.imports.get(name).and_then(|import| self.absolute(module, import)) {
            return self.module_of(&target, depth + 1);
        }
        for path in &source.paths {
            let Some((_, glob)) = path.segments.split_last().filter(|(last, _)| *last == "*") else {
                continue;
            };
            let Some(mut target) = self.absolute(module, glob) else { continue };
            target.push(name.clone());
            let found = self.module_of(&target, depth + 1);
            if found.as_ref().is_some_and(|found| self.defines(found, name)) {
                return found;
            }
        }
        Some(module.to_vec())
    }

    fn defines(&self, module: &[String], name: &String) -> bool {
        self.modules.get(module).is_some_and(|module| module.source.items.contains(name))
    }
}

/// The name of a parent's own items among its children.
pub(super) const OWN: &str = "its own items";

/// Returns the groups of sibling modules that use one another in a circle, by the path of their parent. What lies below a
/// sibling counts as the sibling's. With `own`, the parent's own items stand beside its children: a circle of a parent
/// with its children is found as well.
pub(super) fn circles(uses: &[Use], own: bool) -> Vec<(Vec<String>, BTreeSet<String>)> {
    let mut arrows: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for found in uses {
        let common = found.from.iter().zip(&found.to).take_while(|(a, b)| a == b).count();
        if !own && (found.from.len() == common || found.to.len() == common) {
            continue;
        }
        let side = |path: &[String]| path.get(common).map_or(OWN, String::as_str).to_owned();
        let siblings = arrows.entry(found.from[..common].to_vec()).or_default();
        siblings.entry(side(&found.from)).or_default().insert(side(&found.to));
    }
    let mut found = Vec::new();
    for (parent, siblings) in arrows {
        let mut left: BTreeSet<&String> = siblings.keys().collect();
        while let Some(first) = left.pop_first() {
            let ahead = reachable(&siblings, first);
            let circle: BTreeSet<String> =
                ahead.iter().filter(|name| reachable(&siblings, name).contains(first)).cloned().collect();
            left.retain(|name| !circle.contains(*name));
            if circle.len() > 1 {
                found.push((parent.clone(), circle));
            }
        }
    }
    found
}

fn reachable(arrows: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = vec![from];
    while let Some(name) = next.pop() {
        for to in arrows.get(name).into_iter().flatten() {
            if seen.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    seen
}

fn position(module: &Module, line: usize) -> String {
    format!("{}:{line}", module.file.display())
}

fn manifest(folder: &Path) -> toml::Table {
    let file = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn add_modules(root: &Path, folder: &Path, parent: &[String], modules: &mut BTreeMap<Vec<String>, Module>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let mut module = parent.to_vec();
        if path.is_dir() {
            module.push(name);
            add_modules(root, &path, &module, modules);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if !matches!(name.as_str(), "lib" | "main" | "mod") {
                module.push(name);
            }
            let text = std::fs::read_to_string(&path).expect("a source file can be read");
            let file = path.strip_prefix(root).expect("it lies in the repository").to_owned();
            modules.insert(module, Module { file, source: source::read(&text) });
        }
    }
}
