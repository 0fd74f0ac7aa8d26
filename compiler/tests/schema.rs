//! The JSON Schema and the reader accept the same files.

use std::collections::BTreeSet;

use midoform_compiler::diagnostic::{Code, Diagnostics};
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{parse, schema};
use serde_json::Value;

use crate::samples::{EXAMPLES, Project};

fn to_json(source: &Source) -> Value {
    let table: toml::Table = source.text().parse().unwrap();
    serde_json::to_value(table).unwrap()
}

#[test]
fn the_examples_validate() {
    let site = jsonschema::validator_for(&schema::site()).unwrap();
    let tenant = jsonschema::validator_for(&schema::tenant()).unwrap();
    for name in EXAMPLES {
        let project = Project::example(name);
        let errors = |validator: &jsonschema::Validator, source: &Source| {
            let instance = to_json(source);
            validator
                .iter_errors(&instance)
                .map(|error| format!("{}: {error}", source.name))
                .collect::<Vec<_>>()
        };
        assert_eq!(errors(&site, &project.site), Vec::<String>::new());
        for source in &project.tenants {
            assert_eq!(errors(&tenant, source), Vec::<String>::new());
        }
    }
}

#[test]
fn broken_ones_do_not() {
    let tenant = jsonschema::validator_for(&schema::tenant()).unwrap();
    let broken = [
        "",
        "name = 5",
        "name = \"a/b\"",
        "name = \"a\"\ncolour = 1",
        "name = \"a\"\n[[bridge]]\ncidr = \"10.0.0.0/24\"",
        "name = \"a\"\n[[bridge]]\nname = \"b\"\ncidr = \"10.0.0.0/33\"",
        "name = \"a\"\n[[bridge]]\nname = \"b\"\ncidr = \"fd00::/64\"",
        "name = \"a\"\n[[rule]]\nname = \"r\"",
        "name = \"a\"\n[[rule]]\nname = \"r\"\naction = \"allow\"",
        "name = \"a\"\n[[rule]]\nname = \"r\"\naction = \"drop\"\nto = { tcp = 0 }",
        "name = \"a\"\n[[route]]\ndestination = \"10.0.0.0/8\"",
        "name = \"a\"\n[[expose]]\npublic = \"203.0.113.1\"\nto = { port = \"p\", tcp = 1 }",
        "name = \"a\"\n[[expose]]\npublic = \"203.0.113.1:1\"\nto = { port = \"p\", tcp = 1, udp = 1 }",
        "name = \"a\"\negress = \"nat\"",
        "name = \"a\"\n[[expose]]\npublic = \"203.0.113.1:1\"\nto = { port = \"p\", bridge = \"b\", tcp = 1 }",
        "name = \"a\"\n[[rule]]\nname = \"r\"\naction = \"drop\"\nto = { bridge = \"b\", world = true }",
    ];
    for text in broken {
        assert!(!tenant.is_valid(&to_json(&Source::new("t", text))), "{text}");
    }
}

/// Returns a document that has one unknown key in this table.
fn with_unknown_key(path: &[&str], lists: &[&str]) -> String {
    let mut text = String::new();
    let mut so_far = String::new();
    for part in path {
        so_far = if so_far.is_empty() { (*part).to_owned() } else { format!("{so_far}.{part}") };
        let is_list = lists.contains(&so_far.as_str());
        text += &if is_list { format!("[[{so_far}]]\n") } else { format!("[{so_far}]\n") };
    }
    text + "zzzzzzzzzzzzzzzzzzzz = 1\n"
}

/// Returns the keys that the parser lists when it meets an unknown one.
fn keys_of_the_parser(text: &str, site: bool) -> BTreeSet<String> {
    let mut diagnostics = Diagnostics::default();
    let source = Source::new("x.toml", text);
    match site {
        true => drop(parse::site(&source, SourceId(0), &mut diagnostics)),
        false => drop(parse::tenant(&source, SourceId(0), &mut diagnostics)),
    }
    let found = diagnostics.into_sorted();
    let unknown = found
        .iter()
        .find(|d| d.code == Code::UnknownKey && d.message.contains("zzz"))
        .unwrap_or_else(|| panic!("{text}: {found:?}"));
    let listed = unknown.help[0].strip_prefix("it may have: ").unwrap();
    listed.split(", ").map(str::to_owned).collect()
}

/// Walks the closed tables of a schema, and compares each with the parser.
fn compare(
    schema: &Value,
    path: &mut Vec<String>,
    lists: &mut Vec<String>,
    site: bool,
    compared: &mut usize,
) {
    if schema["additionalProperties"] == Value::Bool(false) {
        let keys: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
        let text = with_unknown_key(&path, &lists);
        assert_eq!(keys, keys_of_the_parser(&text, site), "{path:?}");
        *compared += 1;
    }
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        path.push(key.clone());
        let is_list = value["items"]["properties"].is_object();
        if is_list {
            lists.push(path.join("."));
            compare(&value["items"], path, lists, site, compared);
        }
        compare(value, path, lists, site, compared);
        for choice in value["oneOf"].as_array().into_iter().flatten() {
            compare(choice, path, lists, site, compared);
        }
        path.pop();
    }
}

#[test]
fn the_keys_are_those_of_the_parser_at_every_level() {
    let mut compared = 0;
    compare(&schema::site(), &mut Vec::new(), &mut Vec::new(), true, &mut compared);
    compare(&schema::tenant(), &mut Vec::new(), &mut Vec::new(), false, &mut compared);
    assert!(compared >= 20, "{compared} tables");
}

#[test]
fn a_site_names_its_store() {
    let problems = |rest: &str| {
        let text = format!("name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n{rest}");
        let mut diagnostics = Diagnostics::default();
        let site = parse::site(&Source::new("site.toml", text), SourceId(0), &mut diagnostics);
        let codes: Vec<&str> =
            diagnostics.into_sorted().iter().map(|diagnostic| diagnostic.code.name()).collect();
        (site, codes)
    };
    let (site, codes) = problems("[store]\npath = \"state/store.db\"");
    assert_eq!((site.unwrap().store.unwrap().path.value.as_str(), codes), ("state/store.db", vec![]));
    let all = "[etcd]\nendpoints = [\"https://a:2379\", \"https://[::1]:2379/\"]\nca = \"ca.pem\"\ncert = \"c.pem\"\n\
               key = \"k.pem\"\ntimeout = 9";
    let (site, codes) = problems(all);
    let etcd = site.unwrap().etcd.unwrap();
    assert_eq!((etcd.endpoints.len(), etcd.timeout.unwrap().value, codes), (2, 9, vec![]));
    let broken = [
        ("[store]", "missing-key"),
        ("[store]\npath = \"\"", "bad-path"),
        ("[store]\npath = \"a\"\n[etcd]\nendpoints = \"http://a:2379\"", "two-stores"),
        ("[etcd]", "missing-key"),
        ("[etcd]\nendpoints = \"http://root:secret@a:2379\"", "bad-url"),
        ("[etcd]\nendpoints = \"http://a:2379/v3\"", "bad-url"),
        ("[etcd]\nendpoints = \"a:2379\"", "bad-url"),
        ("[etcd]\nendpoints = \"https://a:2379\"\ncert = \"c.pem\"", "missing-key"),
        ("[etcd]\nendpoints = \"http://a:2379\"\nca = \"c.pem\"", "bad-url"),
    ];
    for (text, code) in broken {
        assert_eq!(problems(text).1, [code], "{text}");
    }
}
