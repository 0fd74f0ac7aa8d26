//! The lock file: stable, sorted, mergeable, repairable.

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::lock_file;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::parse;
use midoform_compiler::{Input, compile};

use crate::samples::{EXAMPLES, Project};

fn read(text: &str) -> Allocations {
    let mut diagnostics = Diagnostics::default();
    let parsed = lock_file::parse(&Source::new("midoform.lock", text), SourceId(0), &mut diagnostics);
    parsed.unwrap_or_else(|| panic!("{:?}", diagnostics.into_sorted()))
}

#[test]
fn what_is_written_is_read_and_written_the_same() {
    for name in EXAMPLES {
        let text = lock_file::to_toml(&Project::example(name).compile().allocations);
        assert_eq!(lock_file::to_toml(&read(&text)), text);
    }
}

#[test]
fn what_is_locked_stays_when_compiled_again() {
    for name in EXAMPLES {
        let project = Project::example(name);
        let first = project.compile();
        let lock = Source::new("midoform.lock", lock_file::to_toml(&first.allocations));
        let again =
            compile(Input { site: &project.site, lock: Some(&lock), tenants: &project.tenants }).unwrap();
        assert_eq!(lock_file::to_toml(&again.allocations), lock_file::to_toml(&first.allocations));
        assert_eq!(again.topology, first.topology);
    }
}

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";

#[test]
fn a_removed_tenant_keeps_its_addresses_until_it_is_destroyed() {
    let both = Project::of_text(SITE, &[("a.toml", "name = \"a\"\n"), ("b.toml", "name = \"b\"\n")]);
    let lock = Source::new("midoform.lock", lock_file::to_toml(&both.compile().allocations));
    let tenants = vec![Source::new("a.toml", "name = \"a\"\n")];
    let one = compile(Input { site: &both.site, lock: Some(&lock), tenants: &tenants }).unwrap();
    assert!(one.allocations.tenants.contains_key("b"));
}

#[test]
fn repair_moves_what_was_never_applied_and_nothing_else() {
    let text = "version = 1\n[tenant.a]\napplied = false\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[tenant.a.bridge]\nweb = \"192.168.3.0/24\"\n[tenant.b]\napplied = true\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[tenant.b.bridge]\nweb = \"192.168.3.0/24\"\n[tenant.c]\napplied = false\nlink = { provider = \"172.16.0.9\", tenant = \"172.16.0.10\" }\n";
    let mut allocations = read(text);
    let site =
        parse::site(&Source::new("site.toml", SITE), SourceId(0), &mut Diagnostics::default()).unwrap();
    let repair = lock_file::repair(&mut allocations, &site);
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
    let repair = lock_file::repair(&mut allocations, &site);
    assert_eq!((repair.moved.len(), repair.stuck.len()), (0, 1));
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
