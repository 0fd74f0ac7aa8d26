//! Quoting, bounds, and templates that people replace.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::*;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::plan;
use midoform_compiler::source::Source;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::{Allocated, Compiled, Input, compile};

const SITE: &str =
    "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nbridges = \"10.0.0.0/8\"\n";

fn compiled(tenants: &[String]) -> Compiled {
    let sources: Vec<Source> = tenants
        .iter()
        .enumerate()
        .map(|(at, text)| Source::new(format!("t{at}.toml"), text.as_str()))
        .collect();
    compile(Input { site: &Source::new("site.toml", SITE), allocated: Allocated::Nothing, tenants: &sources })
        .unwrap()
}

fn rendered(
    compiled: &Compiled,
    dialect: Dialect,
    format: Format,
    templates: &BTreeMap<String, String>,
) -> Result<String, RenderError> {
    let plan = plan("s", dialect, &compiled.topology, &Observed::default());
    let options = Options {
        base_url: "http://127.0.0.1:8181/midonet-api",
        plan_file: Some("plan.json"),
        ..Options::plain(templates)
    };
    let mut out = Vec::new();
    render(&plan, &compiled.topology, format, &options, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn markdown_is_bounded_whatever_the_size() {
    for (tenants, bridges) in [(0, 0), (1, 1), (1, 200), (30, 3), (3000, 1)] {
        let tenant = |number: usize| {
            let bridges: String =
                (0..bridges).map(|at| format!("[[bridge]]\nname = \"{}{at}\"\n", "b".repeat(50))).collect();
            format!("name = \"{}{number}\"\n{bridges}", "t".repeat(50))
        };
        let compiled = compiled(&(0..tenants).map(tenant).collect::<Vec<_>>());
        let text = rendered(&compiled, Dialect::V5, Format::Markdown, &BTreeMap::new()).unwrap();
        assert!(text.chars().count() <= MOST_CHARACTERS, "{tenants} tenants: {}", text.chars().count());
        assert!(text.contains("`plan.json`") && text.contains("SHA-256"), "{text}");
    }
}

#[test]
fn scripts_are_syntactically_right() {
    let compiled = compiled(&["name = \"a\"\n[[bridge]]\nname = \"web\"\n".to_owned()]);
    for dialect in [Dialect::V1, Dialect::V5] {
        let script = rendered(&compiled, dialect, Format::Shell, &BTreeMap::new()).unwrap();
        let mut child = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{script}");
        assert!(!script.contains("${a/"), "every placeholder is a variable");
    }
}

#[test]
fn shell_words_survive_everything() {
    let nasty = "it's $HOME `id` \"x\" \\ \n${no/such} ${a/port}!";
    let word = shell::quoted(nasty, &BTreeMap::from([("a/port", "id_1".to_owned())]));
    let output = Command::new("sh").arg("-c").arg(format!("id_1=UUID; printf %s {word}")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), nasty.replace("${a/port}", "UUID"));
}

#[test]
fn an_unchanged_network_is_said_to_be_so() {
    let nothing = compiled(&[]);
    let plan = plan("s", Dialect::V5, &Default::default(), &Observed::default());
    let templates = BTreeMap::new();
    let mut out = Vec::new();
    render(&plan, &nothing.topology, Format::Text, &Options::plain(&templates), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "No changes: 0 objects are up to date.\n");
}

#[test]
fn a_replaced_template_is_used_and_a_broken_one_is_named() {
    let compiled = compiled(&["name = \"a\"\n".to_owned()]);
    let mine = BTreeMap::from([("text-end.hbs".to_owned(), "made by me: {{changes}}\n".to_owned())]);
    let text = rendered(&compiled, Dialect::V5, Format::Text, &mine).unwrap();
    assert!(text.contains("made by me: "), "{text}");
    let broken = BTreeMap::from([("text.hbs".to_owned(), "{{#each steps}}".to_owned())]);
    let error = rendered(&compiled, Dialect::V5, Format::Text, &broken).unwrap_err().to_string();
    assert!(error.contains("text.hbs"), "{error}");
    let asking = BTreeMap::from([("text.hbs".to_owned(), "{{no_such_field}}".to_owned())]);
    let error = rendered(&compiled, Dialect::V5, Format::Text, &asking).unwrap_err().to_string();
    assert!(error.contains("no_such_field"), "{error}");
}

#[test]
fn a_script_names_the_pods_that_it_cuts_off() {
    let compiled = compiled(&["name = \"a\"\n".to_owned()]);
    let plan = plan("s", Dialect::V5, &compiled.topology, &Observed::default());
    let (templates, pods) = (
        BTreeMap::new(),
        ["web-1\nrm -rf /\u{202e}", "web-2"].map(|pod| CutPort { what: pod.to_owned(), is_pod: true }),
    );
    let options = Options { cut_pods: &pods, ..Options::plain(&templates) };
    let mut out = Vec::new();
    render(&plan, &compiled.topology, Format::Shell, &options, &mut out).unwrap();
    let script = String::from_utf8(out).unwrap();
    let named = "# 2 pods are cut off from their network:\n#   web-1\\nrm -rf /\\u{202e}\n#   web-2\n";
    assert!(script.contains(named), "{script}");
}

/// A key alone does not say what is lost.
#[test]
fn a_deletion_says_what_it_deletes() {
    let rule = "name = \"a\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[rule]]\nname = \"r\"\n\
                from = { world = true }\nto = { bridge = \"web\", tcp = 8443 }\naction = \"drop\"\n";
    let before = compiled(&[rule.to_owned()]);
    let nothing = compiled(&["name = \"a\"\n".to_owned()]);
    let namespace = midoform_compiler::topology::key::Namespace::of_site("s");
    let observed = Observed::of_topology(&before.topology, namespace);
    let plan = plan("s", Dialect::V5, &nothing.topology, &observed);
    let templates = BTreeMap::new();
    let options = Options { before: Some(&before.topology), ..Options::plain(&templates) };
    for format in [Format::Text, Format::Markdown] {
        let mut out = Vec::new();
        render(&plan, &nothing.topology, format, &options, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let deleted = text.lines().find(|line| line.contains("rule drop: ") && line.contains("8443"));
        assert!(deleted.is_some_and(|line| line.trim_start().starts_with("- ")), "{text}");
    }
}
