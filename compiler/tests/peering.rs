//! Some of a site's tenants, compiled without those that are not made yet.

use std::collections::BTreeSet;

use midoform_compiler::diagnostic::{Code, Diagnostic};
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::peering::PeersOf;
use midoform_compiler::network::provider_use::Neighbours;
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::{Allocated, Compiled, Input, Policies, compile, compile_beside};

use crate::samples::Project;

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";
/// So few networks that some of eight tenants want the same one first.
const SHARED: &str = "[pools]\nbridges = \"10.77.0.0/24\"\nbridge_prefix = 28\nshared = true\n";

/// Returns the spec of one of the tenants that all name each other: what it says about a peer is in a rule of that
/// peer's name.
fn tenant(name: &str, all: &[&str]) -> String {
    let mut text = format!("name = \"{name}\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n");
    for peer in all.iter().filter(|peer| **peer != name) {
        text += &format!(
            "[[peer]]\ntenant = \"{peer}\"\nbridges = [\"db\"]\n\
             [[rule]]\nname = \"from-{peer}\"\nfrom = {{ peer = \"{peer}\" }}\nto = {{ bridge = \"db\", tcp = 1 }}\naction = \"accept\"\n\
             [[rule]]\nname = \"to-{peer}\"\nfrom = {{ bridge = \"web\" }}\nto = {{ peer = \"{peer}\" }}\naction = \"reject\"\n\
             [[assert]]\nfrom = {{ peer = \"{peer}\" }}\nto = {{ bridge = \"web\" }}\nallowed = false\n"
        );
    }
    text + "[[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\" }\naction = \"drop\"\n"
}

fn input(project: &Project) -> Input<'_> {
    Input { site: &project.site, allocated: Allocated::Nothing, tenants: &project.tenants }
}

/// Compiles some of the site's tenants.
fn compile_present(input: Input<'_>, absent: &PeersOf) -> Result<Compiled, Vec<Diagnostic>> {
    compile_beside(input, Policies::Enforced(&[]), Some(absent), &Neighbours::default())
}

fn present(project: &Project, known: &Allocations, absent: &PeersOf) -> Compiled {
    let allocated = Allocated::Store { name: "a store", allocations: known };
    let input = Input { site: &project.site, allocated, tenants: &project.tenants };
    compile_present(input, absent).unwrap_or_else(|found| panic!("{found:#?}"))
}

/// Returns everything but the positions of rules in their chains.
fn without_places<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> BTreeSet<String> {
    let text = |entry: &Entry| {
        let mut object = entry.object.clone();
        if let Object::Rule(rule) = &mut object {
            rule.position = 0;
        }
        format!("{} {object:?}", entry.key)
    };
    entries.into_iter().map(text).collect()
}

/// Returns true if an object is there because of one of these tenants: its own, or one that another tenant has for it.
fn is_about(entry: &Entry, tenants: &BTreeSet<&str>) -> bool {
    let key = entry.key.as_str();
    tenants.iter().any(|name| {
        key.starts_with(&format!("{name}/"))
            || key.contains(&format!("/peer/{name}"))
            || key.contains(&format!("/from-{name}"))
            || key.contains(&format!("/to-{name}"))
    })
}

#[test]
fn what_is_compiled_of_some_tenants_is_their_part_of_the_whole() {
    let all = ["a", "b", "c", "d"];
    let texts: Vec<String> = all.iter().map(|name| tenant(name, &all)).collect();
    let every: Vec<(&str, &str)> = all.into_iter().zip(texts.iter().map(String::as_str)).collect();
    let whole = Project::of_text(SITE, &every);
    let whole = compile(input(&whole)).unwrap();
    let entries = |topology: &Topology| without_places(topology.entries());
    for chosen in 1..16u32 {
        let is_chosen = |at: usize| chosen & (1 << at) != 0;
        let some: Vec<(&str, &str)> = (0..4).filter(|at| is_chosen(*at)).map(|at| every[at]).collect();
        let others: BTreeSet<&str> = (0..4).filter(|at| !is_chosen(*at)).map(|at| all[at]).collect();
        let part = present(&Project::of_text(SITE, &some), &whole.allocations, &PeersOf::new());
        let expected = whole.topology.entries().iter().filter(|entry| !is_about(entry, &others));
        assert_eq!(entries(&part.topology), without_places(expected), "{some:?}");
        assert_eq!(part.allocations, whole.allocations, "no tenant loses an allocation");
    }
}

#[test]
fn whoever_comes_first_the_whole_is_the_same() {
    let all = ["a", "b", "c", "d"];
    let texts: Vec<String> = all.iter().map(|name| tenant(name, &all)).collect();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let mut known = Allocations::default();
        for count in 1..=4 {
            let some: Vec<(&str, &str)> =
                order[..count].iter().map(|at| (all[*at], texts[*at].as_str())).collect();
            known = present(&Project::of_text(SITE, &some), &known, &PeersOf::new()).allocations;
        }
        let every: Vec<(&str, &str)> = all.into_iter().zip(texts.iter().map(String::as_str)).collect();
        let project = Project::of_text(SITE, &every);
        let allocated = Allocated::Store { name: "a store", allocations: &known };
        let whole = compile(Input { allocated, ..input(&project) }).unwrap();
        assert_eq!(whole.allocations, known, "all of it was allocated on the way");
    }
}

#[test]
fn a_peer_that_does_not_answer_is_left_out() {
    let (one, other) = (tenant("a", &["b"]), tenant("b", &[]));
    let part = present(
        &Project::of_text(SITE, &[("a", &one), ("b", &other)]),
        &Allocations::default(),
        &PeersOf::new(),
    );
    let left = part.topology.entries().iter().filter(|entry| entry.key.as_str().contains("peer/b"));
    assert_eq!(left.count(), 0);
    assert_eq!(part.allocations.peers.len(), 0);
}

#[test]
fn a_tenant_is_not_its_own_peer() {
    let text = tenant("a", &["a"]) + "[[peer]]\ntenant = \"a\"\n";
    let project = Project::of_text(SITE, &[("a", &text)]);
    let found = compile_present(input(&project), &PeersOf::new()).unwrap_err();
    assert_eq!(found.iter().map(|one| one.code).collect::<Vec<_>>(), [Code::PeerSelf]);
}

/// In a shared pool networks are a tenant's own business, unless one router has to tell them apart.
#[test]
fn two_peers_of_one_tenant_get_different_networks() {
    let spokes = ["s1", "s2", "s3", "s4", "s5", "s6", "s7"];
    let texts: Vec<String> = spokes.iter().map(|name| tenant(name, &["hub"])).collect();
    let hub = tenant("hub", &spokes);
    let mut every: Vec<(&str, &str)> = spokes.into_iter().zip(texts.iter().map(String::as_str)).collect();
    every.push(("hub", &hub));
    let site = format!("{SITE}{SHARED}");
    let all_at_once = Project::of_text(&site, &every).compile();
    let networks = |allocations: &Allocations| -> BTreeSet<String> {
        let bridges = allocations.tenants.values().flat_map(|tenant| tenant.bridges.values());
        bridges.map(ToString::to_string).collect()
    };
    assert_eq!(networks(&all_at_once.allocations).len(), 16);

    // One after the other, the hub last: who is not there yet says whom it will have to tell apart.
    let absent = PeersOf::from([("hub".into(), spokes.map(TenantName::from).into())]);
    let mut known = Allocations::default();
    for one in &every[..7] {
        known = present(&Project::of_text(&site, &[*one]), &known, &absent).allocations;
    }
    known = present(&Project::of_text(&site, &every), &known, &PeersOf::new()).allocations;
    assert_eq!(networks(&known).len(), 16);
}
