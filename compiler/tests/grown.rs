//! Bridges that were added because one of the spec was full.

use std::collections::BTreeSet;

use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::{Allocated, Compiled, Input, compile};

use crate::samples::Project;

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";

const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\ngateway = \"10.9.0.7\"\ncidr = \"10.9.0.0/24\"\n\
                    [[rule]]\nname = \"open\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = [5432, 5433] }\naction = \"accept\"\n\
                    [[rule]]\nname = \"shut\"\nto = { bridge = \"db\" }\naction = \"drop\"\n\
                    [[assert]]\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 22 }\nallowed = false\n\
                    [[assert]]\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\nallowed = true\n\
                    [[peer]]\ntenant = \"beta\"\nbridges = [\"db\"]\n";
const BETA: &str = "name = \"beta\"\n[[bridge]]\nname = \"app\"\n[[peer]]\ntenant = \"acme\"\n";

fn compiled(tenants: &[(&str, &str)], known: &Allocations) -> Compiled {
    let project = Project::of_text(SITE, tenants);
    let allocated = Allocated::Store { name: "a store", allocations: known };
    let input = Input { site: &project.site, allocated, tenants: &project.tenants };
    compile(input).unwrap_or_else(|found| panic!("{found:?}"))
}

fn grown(known: &Allocations, name: &str, from: &str) -> Allocations {
    let mut known = known.clone();
    known.tenants.get_mut("acme").unwrap().grown.insert(name.to_owned(), from.to_owned());
    known
}

/// Returns everything but the positions of rules in their chains.
fn without_places(topology: &Topology) -> BTreeSet<String> {
    let text = |entry: &midoform_compiler::topology::Entry| {
        let mut object = entry.object.clone();
        if let Object::Rule(rule) = &mut object {
            rule.position = 0;
        }
        format!("{} {object:?}", entry.key)
    };
    topology.entries().iter().map(text).collect()
}

#[test]
fn what_was_there_stays_as_it_was() {
    let tenants = [("acme.toml", ACME), ("beta.toml", BETA)];
    let before = compiled(&tenants, &Allocations::default());
    let after = compiled(&tenants, &grown(&before.allocations, "db-2", "db"));
    let (old, new) = (without_places(&before.topology), without_places(&after.topology));
    // One rule names the ports of all bridges that a peer may reach.
    let changed = old.difference(&new).filter(|text| !text.starts_with("acme/chain/out/rule/peer/beta/"));
    assert_eq!(changed.collect::<Vec<_>>(), Vec::<&String>::new());
    let keys: Vec<&str> = after.topology.entries().iter().map(|entry| entry.key.as_str()).collect();
    let network = after.allocations.tenants["acme"].bridges["db-2"].to_string().replace('/', "-");
    for key in [
        "acme/bridge/db-2".to_owned(),
        "acme/chain/policy/rule/open/to-db-2/tcp-5432".to_owned(),
        "acme/chain/policy/rule/open/to-db-2/tcp-5433".to_owned(),
        "acme/chain/policy/rule/shut/to-db-2".to_owned(),
    ] {
        assert!(keys.contains(&key.as_str()), "{key}: {keys:#?}");
    }
    let to_it =
        keys.iter().filter(|key| key.starts_with("beta/peer/acme/route/") && key.ends_with(&network)).count();
    assert_eq!(to_it, 1, "the peer finds its way: {keys:#?}");
    // Once more, from what is known then: the same.
    let again = compiled(&tenants, &after.allocations);
    assert_eq!(again.topology, after.topology);
    assert_eq!(again.allocations, after.allocations);
}

#[test]
fn it_goes_with_the_bridge_that_it_was_added_for() {
    let tenants = [("acme.toml", ACME), ("beta.toml", BETA)];
    let known = grown(&compiled(&tenants, &Allocations::default()).allocations, "db-2", "db");
    let without = [("acme.toml", "name = \"acme\"\n[[bridge]]\nname = \"web\"\n")];
    let after = compiled(&without, &known);
    let allocated = &after.allocations.tenants["acme"];
    assert_eq!((allocated.bridges.len(), allocated.grown.len()), (1, 0));
}

#[test]
fn it_follows_a_bridge_that_is_renamed_and_yields_to_one_of_the_spec() {
    let text = "name = \"acme\"\n[[bridge]]\nname = \"db\"\n";
    let known = grown(&compiled(&[("a.toml", text)], &Allocations::default()).allocations, "db-2", "db");
    let network = compiled(&[("a.toml", text)], &known).allocations.tenants["acme"].bridges["db-2"];
    let known = compiled(&[("a.toml", text)], &known).allocations;
    let renamed = "name = \"acme\"\n[[bridge]]\nname = \"data\"\n[[moved]]\nbridge = \"db\"\nto = \"data\"\n";
    let allocated = compiled(&[("a.toml", renamed)], &known).allocations.tenants["acme"].clone();
    assert_eq!((allocated.grown["db-2"].as_str(), allocated.bridges["db-2"]), ("data", network));
    let taken_over = format!("{text}[[bridge]]\nname = \"db-2\"\n");
    let allocated = compiled(&[("a.toml", &taken_over)], &known).allocations.tenants["acme"].clone();
    assert!(
        allocated.grown.is_empty() && allocated.bridges["db-2"] == network,
        "it stays, as the spec's own"
    );
}

#[test]
fn quotas_count_it() {
    let text = "name = \"acme\"\n[quotas]\nbridges = 1\n[[bridge]]\nname = \"db\"\n";
    let known = grown(&compiled(&[("a.toml", text)], &Allocations::default()).allocations, "db-2", "db");
    let project = Project::of_text(SITE, &[("a.toml", text)]);
    let allocated = Allocated::Store { name: "a store", allocations: &known };
    let found = compile(Input { site: &project.site, allocated, tenants: &project.tenants }).unwrap_err();
    assert!(found.iter().any(|one| one.message.contains("bridges")), "{found:?}");
}
