//! The lock file: stable, sorted, mergeable, repairable.

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::names::PeerPair;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::{clash, lock_file};
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::parse;
use midoform_compiler::{Allocated, Input, compile};

use crate::samples::{EXAMPLES, Project};

fn read(text: &str) -> Allocations {
    let mut diagnostics = Diagnostics::default();
    let parsed = lock_file::parse(&Source::new("midoform.lock", text), SourceId(0), &mut diagnostics);
    let file = parsed.filter(|_| !diagnostics.has_errors());
    file.unwrap_or_else(|| panic!("{:?}", diagnostics.into_sorted())).allocations
}

#[test]
fn what_is_written_is_read_and_written_the_same() {
    for name in EXAMPLES {
        let text = lock_file::to_toml(&Project::example(name).compile().allocations).unwrap();
        assert_eq!(lock_file::to_toml(&read(&text)).unwrap(), text);
    }
}

/// A lock file with everything in it, as the first version wrote it: later ones read it, and write it the same.
#[test]
fn a_lock_file_of_the_first_version_is_read_and_written_the_same() {
    let text = include_str!("allocations/midoform.lock");
    let allocations = read(text);
    let acme = &allocations.tenants["acme"];
    assert!(acme.applied && acme.protect && acme.project_made && acme.tenant_id.is_some());
    assert_eq!((acme.ports.len(), acme.making.len(), acme.bridges.len()), (2, 1, 3));
    assert_eq!((acme.grown["web-2"].as_str(), acme.ids.len()), ("web", 2));
    assert_eq!(
        allocations.peers[&PeerPair::new("acme".into(), "blue".into())].tenant.to_string(),
        "172.16.2.2"
    );
    assert_eq!(lock_file::to_toml(&allocations).unwrap(), text);
}

#[test]
fn allocations_are_the_same_in_json() {
    let allocations = read(include_str!("allocations/midoform.lock"));
    let json = serde_json::to_string(&allocations).unwrap();
    assert_eq!(serde_json::from_str::<Allocations>(&json).unwrap(), allocations);
}

#[test]
fn what_a_lock_file_must_not_hold_is_shown_in_its_line() {
    let cases = [
        ("[tenant.a]\nlink = { provider = \"172.16.0.5\" }\n", "lock-damaged"),
        ("[tenant.a]\nmaking = [\"acme\"]\n", "lock-damaged"),
        ("[tenant.a.id]\n\"a/router\" = \"7\"\n", "lock-damaged"),
        ("tenant = 5\n", "lock-damaged"),
        ("[peer.\"a/b\"]\nlink = 5\n", "lock-damaged"),
        ("[peer.\"b/a\"]\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n", "lock-damaged"),
        (
            "[tenant.a]\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\", via = \"x\" }\n",
            "unknown-key",
        ),
        ("[tenant.a]\naplied = true\n", "unknown-key"),
        ("[tenants.a]\n", "unknown-key"),
    ];
    for (text, code) in cases {
        let source = Source::new("midoform.lock", format!("version = 1\n{text}"));
        let mut diagnostics = Diagnostics::default();
        lock_file::parse(&source, SourceId(1), &mut diagnostics);
        let found = diagnostics.into_sorted();
        let [one] = found.as_slice() else { panic!("{text}: {found:?}") };
        assert_eq!(one.code.to_string(), code, "{text}");
        assert!(one.span().source == SourceId(1) && one.span().start >= 12, "{text}: {one:?}");
    }
}

#[test]
fn a_clash_in_a_store_names_the_store() {
    let text = "version = 1\n[tenant.a]\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[tenant.b]\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n";
    let project = Project::of_text(SITE, &[]);
    let allocated = Allocated::Store { name: "etcd at http://127.0.0.1:2379", allocations: &read(text) };
    let found = compile(Input { site: &project.site, allocated, tenants: &project.tenants }).unwrap_err();
    let [one] = found.as_slice() else { panic!("{found:?}") };
    let words = "etcd at http://127.0.0.1:2379 allocates the link addresses 172.16.0.5 and 172.16.0.6 to `a` and to `b`";
    assert_eq!(
        (one.code.to_string().as_str(), one.message.as_str(), one.labels.len()),
        ("lock-clash", words, 0)
    );
}

#[test]
fn what_is_locked_stays_when_compiled_again() {
    for name in EXAMPLES {
        let project = Project::example(name);
        let first = project.compile();
        let lock = Source::new("midoform.lock", lock_file::to_toml(&first.allocations).unwrap());
        let again = compile(Input {
            site: &project.site,
            allocated: Allocated::LockFile(&lock),
            tenants: &project.tenants,
        })
        .unwrap();
        assert_eq!(again.allocations, first.allocations);
        assert_eq!(again.topology, first.topology);
    }
}

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";

#[test]
fn a_removed_tenant_keeps_its_addresses_until_it_is_destroyed() {
    let both = Project::of_text(SITE, &[("a.toml", "name = \"a\"\n"), ("b.toml", "name = \"b\"\n")]);
    let lock = Source::new("midoform.lock", lock_file::to_toml(&both.compile().allocations).unwrap());
    let tenants = vec![Source::new("a.toml", "name = \"a\"\n")];
    let one = compile(Input { site: &both.site, allocated: Allocated::LockFile(&lock), tenants: &tenants })
        .unwrap();
    assert!(one.allocations.tenants.contains_key("b"));
}

#[test]
fn repair_moves_what_was_never_applied_and_nothing_else() {
    let text = "version = 1\n[tenant.a]\napplied = false\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[tenant.a.bridge]\nweb = \"192.168.3.0/24\"\n[tenant.b]\napplied = true\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[tenant.b.bridge]\nweb = \"192.168.3.0/24\"\n[tenant.c]\napplied = false\nlink = { provider = \"172.16.0.9\", tenant = \"172.16.0.10\" }\n";
    let mut allocations = read(text);
    let site =
        parse::site(&Source::new("site.toml", SITE), SourceId(0), &mut Diagnostics::default()).unwrap();
    let repair = clash::repair(&mut allocations, &site);
    assert_eq!((repair.moved.len(), repair.stuck.len()), (2, 0), "{repair:?}");
    let left = |name: &str| allocations.tenants[name].link.is_some();
    assert_eq!((left("a"), left("b"), left("c")), (false, true, true));
    assert!(allocations.tenants["a"].bridges.is_empty());
}

#[test]
fn repair_says_when_both_are_applied() {
    let text = "version = 1\n[tenant.a]\napplied = true\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[tenant.b]\napplied = true\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n";
    let mut allocations = read(text);
    let site =
        parse::site(&Source::new("site.toml", SITE), SourceId(0), &mut Diagnostics::default()).unwrap();
    let repair = clash::repair(&mut allocations, &site);
    assert_eq!((repair.moved.len(), repair.stuck.len()), (0, 1));
}

/// The link of two tenants that may have objects does not move, either.
#[test]
fn repair_leaves_the_link_of_peers_that_may_exist() {
    for (applied, expected) in [(true, (0, 1)), (false, (1, 0))] {
        let text = format!(
            "version = 1\n[peer.\"a/b\"]\nlink = {{ provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }}\n[tenant.a]\napplied = true\n[tenant.b]\napplied = {applied}\n[tenant.c]\napplied = true\nlink = {{ provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }}\n"
        );
        let mut allocations = read(&text);
        let site =
            parse::site(&Source::new("site.toml", SITE), SourceId(0), &mut Diagnostics::default()).unwrap();
        let repair = clash::repair(&mut allocations, &site);
        assert_eq!((repair.moved.len(), repair.stuck.len()), expected, "{repair:?}");
        assert_eq!(allocations.peers.len(), expected.1);
    }
}

#[test]
fn a_full_pool_is_used_to_its_last_place() {
    let site = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = [\"172.16.0.0/29\", \"172.17.0.0/30\"]\n";
    let files = [("a.toml", "name = \"a\"\n"), ("b.toml", "name = \"b\"\n"), ("c.toml", "name = \"c\"\n")];
    let compiled = Project::of_text(site, &files).compile();
    let mut blocks: Vec<String> =
        compiled.allocations.tenants.values().map(|t| t.link.unwrap().block().to_string()).collect();
    blocks.sort();
    assert_eq!(blocks, ["172.16.0.0/30", "172.16.0.4/30", "172.17.0.0/30"]);
}
