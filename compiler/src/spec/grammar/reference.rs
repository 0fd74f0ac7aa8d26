//! The tables of keys in `docs/spec.md`, generated from the grammar, and the tests of the grammar.

use std::fmt::Write;

use midoform_testutil::documentation::expect_generated;

use super::constraint::{Constraint, Count};
use super::{Called, Grammar, KeyView, PolicyKeys, SiteKeys, TenantKeys};
use crate::diagnostic::{Code, Diagnostics};
use crate::source::{Source, SourceId};
use crate::spec::parse;

/// A table inside of another one.
pub(crate) struct Nested {
    heading: String,
    key: &'static str,
    /// True if it is one of several: `[[key]]`.
    is_item: bool,
    description: &'static str,
    keys: Vec<KeyView>,
    constraints: &'static [Constraint],
}

impl Nested {
    /// Makes the nested table of a key.
    pub(crate) fn of<T: Grammar>(called: Called<'_>, key: &'static str) -> Nested {
        let heading = match called {
            Called::Item(key) => format!("`[[{key}]]`"),
            Called::Section(key) => format!("`[{key}]`"),
            Called::Value(_) | Called::Words(_) => called.to_string(),
        };
        let mut keys = Vec::new();
        T::keys().each(&mut |key| keys.push(key));
        let is_item = matches!(called, Called::Item(_));
        Nested { heading, key, is_item, description: T::DESCRIPTION, keys, constraints: T::CONSTRAINTS }
    }

    fn tables(&self) -> Vec<Nested> {
        self.keys.iter().flat_map(|key| key.shape.tables(key.name)).collect()
    }
}

fn file<T: Grammar>() -> Nested {
    Nested::of::<T>(Called::Words("file"), "")
}

/// Writes the keys of a table, and then its inner tables under headings, each once.
fn write(text: &mut String, table: &Nested, written: &mut Vec<(String, &'static str)>) {
    text.push_str("| Key | Value | Default | Meaning |\n|-|-|-|-|\n");
    for key in &table.keys {
        let default = match (key.required, key.shape.default_value()) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("`{default}`"),
            (false, None) => String::new(),
        };
        let (value, meaning) = (key.shape.wanted(), key.description);
        let _ = writeln!(text, "| `{}` | {value} | {default} | {meaning} |", key.name);
    }
    for constraint in table.constraints {
        let sets = constraint.sets.iter().map(|set| {
            let keys: Vec<String> = set.iter().map(|key| format!("`{key}`")).collect();
            keys.join(if constraint.count == Count::Together { ", " } else { " with " })
        });
        let sets: Vec<String> = sets.collect();
        let count = match constraint.count {
            Count::ExactlyOne => "Set exactly one of these",
            Count::AtLeastOne => "Set at least one of these",
            Count::AtMostOne => "Set at most one of these",
            Count::Together => "Set all of these, or none",
        };
        let _ = writeln!(text, "\n{count}: {}.", sets.join(", "));
    }
    for inner in table.tables() {
        let known = (inner.heading.clone(), inner.description);
        if written.contains(&known) {
            continue;
        }
        written.push(known);
        let _ = write!(text, "\n### {}\n\n{}\n\n", inner.heading, inner.description);
        write(text, &inner, written);
    }
}

#[test]
fn the_documentation_is_current() {
    // The policy has a chapter of its own.
    let policy = file::<PolicyKeys>();
    let chapter = (format!("`[{}]`", SiteKeys::KEYS.policy.name), policy.description);
    let files =
        [("site file", file::<SiteKeys>()), ("tenant file", file::<TenantKeys>()), ("policy", policy)];
    let parts = files.map(|(name, table)| {
        let mut generated = String::new();
        write(&mut generated, &table, &mut vec![chapter.clone()]);
        (format!("keys of the {name}"), generated)
    });
    let parts: Vec<(&str, String)> = parts.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    expect_generated("docs/spec.md", &parts);
}

/// Calls `visit` with every key, and with the headings of its table.
fn each_key(table: &Nested, path: &str, headings: &str, visit: &mut dyn FnMut(&str, &KeyView)) {
    for key in &table.keys {
        visit(headings, key);
    }
    for inner in table.tables() {
        let path = format!("{path}{}", inner.key);
        let heading = if inner.is_item { format!("[[{path}]]\n") } else { format!("[{path}]\n") };
        each_key(&inner, &format!("{path}."), &format!("{headings}{heading}"), visit);
    }
}

/// No key takes a date: whoever reads the key reports it.
const DATE: &str = "1979-05-27";

#[test]
fn every_key_is_read() {
    type Read = fn(&Source, &mut Diagnostics);
    let site: Read = |source, found| drop(parse::site(source, SourceId(0), found));
    let tenant: Read = |source, found| drop(parse::tenant(source, SourceId(0), found));
    let policy: Read = |source, found| drop(parse::policy(source, SourceId(0), found));
    let files = [(file::<SiteKeys>(), site), (file::<TenantKeys>(), tenant), (file::<PolicyKeys>(), policy)];
    let mut count = 0;
    for (file, read) in &files {
        each_key(file, "", "", &mut |headings, key| {
            count += 1;
            let text = format!("{headings}{} = {DATE}\n", key.name);
            let mut found = Diagnostics::default();
            read(&Source::new("x.toml", text.clone()), &mut found);
            let found = found.into_sorted();
            let is_reported = found.iter().any(|one| {
                let marked = text.get(one.span().start as usize..one.span().end as usize);
                one.code != Code::UnknownKey && marked == Some(DATE)
            });
            assert!(is_reported, "no function reads this key:\n{text}{found:#?}");
        });
    }
    assert!(count > 120, "{count} keys");
}

#[test]
fn a_required_key_is_reported_with_what_to_add() {
    let mut found = Diagnostics::default();
    let text = "name = \"s\"\n[midonet]\nmanaged = true\n[etcd]\nendpoints = []\n[[host]]\nname = \"h\"\n";
    parse::site(&Source::new("site.toml", text), SourceId(0), &mut found);
    let found: Vec<String> =
        found.into_sorted().iter().map(|one| format!("{}: {}", one.message, one.help.join("; "))).collect();
    let expected = [
        "[midonet] needs `url`: add `url = \"http://HOST:8181/midonet-api\"`, or `embedded = true` to try things out",
        "[etcd] needs `endpoints`: add `endpoints = [\"http://127.0.0.1:2379\"]`",
        "a [[host]] needs `id`: add `id = …`",
    ];
    assert_eq!(found, expected);
}
