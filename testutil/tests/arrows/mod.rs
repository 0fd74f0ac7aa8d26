//! Arrows point downwards: crates, the compiler's stages, modules, commands. The sources' own imports say where they point.

use std::collections::BTreeSet;

use crate::workspace::{Crate, OWN, Use, circles};

/// The crates that each crate may use.
const BELOW: [(&str, &[&str]); 12] = [
    ("compiler", &[]),
    ("packets", &["compiler"]),
    ("render", &["compiler"]),
    ("ovsdb", &[]),
    ("store", &["compiler"]),
    ("reconcile", &["compiler", "ovsdb", "store"]),
    ("adopt", &["compiler", "store", "reconcile"]),
    ("lab", &["store"]),
    ("simulator", &[]),
    ("cni", &["compiler", "ovsdb", "store", "reconcile"]),
    ("cli", &["compiler", "packets", "render", "ovsdb", "store", "reconcile", "adopt", "lab", "simulator"]),
    ("testutil", &[]),
];

/// The compiler's stages: one may use those before it.
const STAGES: [&str; 11] = [
    "named_codes",
    "source",
    "diagnostic",
    "values",
    "names",
    "spec",
    "topology",
    "network",
    "plan",
    "midonet",
    "ovn",
];

/// Crates that are functions of their arguments, and packages that would let them be more.
const PURE: [&str; 3] = ["compiler", "packets", "render"];
const IMPURE: [&str; 8] =
    ["tokio", "reqwest", "hyper", "etcd-client", "rusqlite", "fastrand", "rand", "tempfile"];

/// Modules that use their children and define what these use: a type or a trait, and the calls of what implements it. No
/// other module may do so. A module that no longer does is taken out of this list.
const PARENTS_IN_CIRCLES: [&str; 20] = [
    "compiler::midonet::lint",
    "compiler::midonet::lower",
    "compiler::network::check",
    "compiler::ovn::lower",
    "compiler::plan",
    "compiler::spec",
    "compiler::spec::parse",
    "compiler::topology::kinds",
    "compiler::topology::kinds::rule",
    "packets::semantics",
    "render",
    "render::code_hosts",
    "render::html",
    "store::ipam",
    "reconcile::keystone",
    "adopt",
    "simulator::auth",
    "simulator::keystone",
    "simulator::resources",
    "cni::netlink",
];

fn fail_with(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn named<'a>(crates: &'a [Crate], name: &str) -> &'a Crate {
    crates.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("there is no crate {name}"))
}

#[test]
fn crates_use_those_below_them_only() {
    let crates = Crate::all();
    let mut problems = Vec::new();
    for one in crates {
        let Some((_, below)) = BELOW.iter().find(|(name, _)| *name == one.name) else {
            problems.push(format!("Cargo.toml: the crate {} is new: add it to BELOW in this test", one.name));
            continue;
        };
        let manifest = format!("{}/Cargo.toml", one.name);
        let declared =
            one.dependencies.iter().filter_map(|name| Some((name.strip_prefix("midoform-")?, &manifest)));
        let used = one.foreign_uses();
        let used = used.iter().map(|(name, position)| (name.as_str(), position));
        for (name, position) in
            declared.chain(used).filter(|(name, _)| !below.contains(name) && *name != one.name)
        {
            problems.push(format!(
                "{position}: {} must not use {name}, which is not below it: move what it needs into a lower crate",
                one.name
            ));
        }
    }
    fail_with(&problems);
}

#[test]
fn pure_crates_depend_on_nothing_that_reaches_out() {
    let crates = Crate::all();
    let mut problems = Vec::new();
    for one in PURE.map(|name| named(crates, name)) {
        for package in one.dependencies.iter().filter(|package| IMPURE.contains(&package.as_str())) {
            problems.push(format!(
                "{}/Cargo.toml: {package} is not for a pure crate: take its result as an argument instead",
                one.name
            ));
        }
    }
    fail_with(&problems);
}

/// The lints of the pure crates name every way out of the process.
#[test]
fn the_lints_of_pure_crates_are_the_same() {
    let lints = |name: &str| {
        let file = midoform_testutil::root().join(name).join("clippy.toml");
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    let [first, others @ ..] = PURE;
    let mut problems = Vec::new();
    for other in others.iter().filter(|other| lints(other) != lints(first)) {
        problems.push(format!(
            "{other}/clippy.toml differs from {first}/clippy.toml: copy the one that is right"
        ));
    }
    fail_with(&problems);
}

#[test]
fn stages_of_the_compiler_use_earlier_ones_only() {
    let crates = Crate::all();
    let rank = |module: &[String]| match module.first() {
        Some(name) => STAGES.iter().position(|stage| stage == name),
        None => Some(STAGES.len()),
    };
    let uses = named(crates, "compiler").uses();
    let mut problems = Vec::new();
    for one in &uses {
        let (Some(from), Some(to)) = (rank(&one.from), rank(&one.to)) else {
            problems.push(format!("{}: a stage is new: add it to STAGES in this test", one.position));
            continue;
        };
        let stage = one.to.first().map_or("lib.rs", String::as_str);
        if from < to {
            let own = one.from.first().map_or("lib.rs", String::as_str);
            problems.push(format!(
                "{}: the stage {own} uses {} of the later stage {stage}: move that down, or the user of it up",
                one.position, one.written
            ));
        }
    }
    fail_with(&problems);
}

#[test]
fn no_modules_use_one_another_in_a_circle() {
    let crates = Crate::all();
    let mut problems = Vec::new();
    for one in crates {
        let uses = one.uses();
        for (parent, circle) in circles(&uses, false) {
            problems.push(circle_in_words(&one.name, &parent, &circle, &uses));
        }
    }
    fail_with(&problems);
}

#[test]
fn no_module_and_its_children_use_one_another() {
    let mut problems = Vec::new();
    let mut known: BTreeSet<&str> = PARENTS_IN_CIRCLES.into();
    for one in Crate::all() {
        let uses = one.uses();
        for (parent, circle) in circles(&uses, true) {
            let path = [std::slice::from_ref(&one.name), parent.as_slice()].concat().join("::");
            if !known.remove(path.as_str()) {
                problems.push(circle_in_words(&one.name, &parent, &circle, &uses));
            }
        }
    }
    let mended = known.iter();
    problems
        .extend(mended.map(|path| format!("{path}: no circle any more: take it out of PARENTS_IN_CIRCLES")));
    fail_with(&problems);
}

/// Names a circle and the lines that make it.
fn circle_in_words(crate_name: &str, parent: &[String], circle: &BTreeSet<String>, uses: &[Use]) -> String {
    let members: Vec<&str> = circle.iter().map(String::as_str).collect();
    let above = [&[crate_name.to_owned()], parent].concat().join("::");
    let mut text =
        format!("{above}: {} use one another in a circle: break one of these arrows", members.join(", "));
    let depth = parent.len();
    let mut shown = BTreeSet::new();
    for one in uses.iter().filter(|one| one.from.starts_with(parent) && one.to.starts_with(parent)) {
        let side = |path: &[String]| path.get(depth).map_or(OWN, String::as_str).to_owned();
        let (from, to) = (side(&one.from), side(&one.to));
        if from != to
            && circle.contains(&from)
            && circle.contains(&to)
            && shown.insert((from.clone(), to.clone()))
        {
            text.push_str(&format!("\n    {}: {from} uses {} of {to}", one.position, one.written));
        }
    }
    text
}

#[test]
fn commands_and_verbs_stand_alone() {
    let crates = Crate::all();
    let mut problems = Vec::new();
    for (crate_name, folder) in [("cli", "commands"), ("cni", "verbs")] {
        for one in named(crates, crate_name).uses() {
            let inside = |path: &[String]| path.first().is_some_and(|first| first == folder);
            let both = inside(&one.from) && inside(&one.to);
            let beside = both && one.from.len() > 1 && one.to.len() > 1 && one.from[1] != one.to[1];
            let arguments = one.from.first().is_some_and(|first| first == "args") && inside(&one.to);
            let used = one.to.get(1).unwrap_or(&one.to[0]).clone();
            if beside || arguments {
                problems.push(format!(
                    "{}: {} is of {folder}/{used}: move what both need out of {folder}/",
                    one.position, one.written
                ));
            }
        }
    }
    fail_with(&problems);
}
