//! A kind of objects is one file and one line of the table. The files elsewhere that name a kind are counted, so that a
//! decision about all kinds does not grow back outside of their files.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::source::Path;
use crate::workspace::Crate;

/// The folder of the kinds' own files.
const FOLDER: &str = "compiler/src/topology/kinds";

/// The number of files that may name one kind: rules have the most, since packets, the review page, adoption, the plugin and the
/// report of foreign rules decide by them.
const MOST: usize = 22;

/// The number of files that name the kinds that nothing decides by. A new kind touches as many: lowering creates it, the lint
/// and the semantics of packets have their own view of it, reconcile lists it and recognises it.
const FEWEST: usize = 7;

/// The files that name every kind: two views of the network that share nothing with the kinds' own files on purpose.
const COMPLETE: [&str; 2] = ["compiler/src/midonet/lint/model.rs", "packets/src/verify/shape.rs"];

/// Returns the kinds, in the order of the table.
fn table() -> Vec<String> {
    let file = midoform_testutil::root().join(FOLDER).join("mod.rs");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (_, table) = text.split_once("\nkinds! {").expect("the table of kinds");
    let (table, _) = table.split_once("\n}").expect("the end of the table");
    let entries = table.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    entries.filter_map(|line| Some(line.split_once('(')?.0.to_owned())).collect()
}

/// Returns true for `Object::Rule`, `Kind::Rule`, and for the types `kinds::Rule` and `kinds::RuleJson`.
fn names(path: &Path, kind: &str) -> bool {
    path.segments.windows(2).any(|pair| match pair[0].as_str() {
        "Object" | "Kind" => pair[1] == kind,
        "kinds" => pair[1].strip_suffix("Json").unwrap_or(&pair[1]) == kind,
        _ => false,
    })
}

/// Returns the files outside of the folder that name each kind.
fn places() -> Vec<(String, BTreeSet<String>)> {
    let mut found: Vec<(String, BTreeSet<String>)> =
        table().into_iter().map(|kind| (kind, BTreeSet::new())).collect();
    let uses_the_compiler = |one: &&Crate| {
        one.name == "compiler" || one.dependencies.iter().any(|name| name == "midoform-compiler")
    };
    for (file, source) in Crate::all().iter().filter(uses_the_compiler).flat_map(Crate::files) {
        if file.starts_with(FOLDER) {
            continue;
        }
        for (kind, files) in &mut found {
            if source.paths.iter().any(|path| names(path, kind)) {
                files.insert(file.display().to_string());
            }
        }
    }
    found
}

#[test]
fn each_kind_has_one_file() {
    let folder = midoform_testutil::root().join(FOLDER);
    for kind in table() {
        let mut name = String::new();
        for letter in kind.chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(letter.to_lowercase());
        }
        let has_file =
            folder.join(format!("{name}.rs")).is_file() || folder.join(&name).join("mod.rs").is_file();
        assert!(has_file, "{FOLDER}: the kind {kind} of the table has no file {name}.rs");
    }
}

#[test]
fn few_files_name_a_kind() {
    let places = places();
    let mut text = String::new();
    for (kind, files) in &places {
        let _ = writeln!(text, "{kind}: {} files", files.len());
        for file in files {
            let _ = writeln!(text, "    {file}");
        }
    }
    insta::assert_snapshot!(text);
    for (kind, files) in &places {
        let count = files.len();
        assert!(count <= MOST, "{count} files name {kind}: say it in its own file, below {FOLDER}");
    }
    let fewest = places.iter().map(|(_, files)| files.len()).min();
    assert!(fewest <= Some(FEWEST), "every kind is named in {fewest:?} files: a new one will touch as many");
}

#[test]
fn two_files_name_every_kind() {
    let places = places();
    let mut common = places.first().map(|(_, files)| files.clone()).expect("the table has kinds");
    for (_, files) in &places {
        common.retain(|file| files.contains(file));
    }
    assert!(
        common.iter().eq(COMPLETE),
        "{common:?} name every kind: say it in the kinds' own files, by a function of the trait `Resource`"
    );
}
