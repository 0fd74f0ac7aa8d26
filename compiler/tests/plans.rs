//! Laws of plans: what is there is kept, what is made can be undone, every plan is one that the API takes.

use midoform_compiler::midonet::{lint, plan};
use midoform_compiler::plan::order::creation_order;
use midoform_compiler::plan::{Action, Method};
use midoform_compiler::topology::Entry;
use midoform_compiler::topology::kinds::Kind;
use midoform_compiler::topology::observed::Observed;

use crate::plan_samples::{DIALECTS, as_observed};
use crate::samples::{EXAMPLES, Project};

#[test]
fn every_example_has_a_plan_that_the_checker_takes() {
    for name in EXAMPLES {
        for dialect in DIALECTS {
            let plan = Project::example(name).plan(dialect);
            assert_eq!(lint::check(&plan, &Observed::default()), [], "{name} in dialect {dialect}");
        }
    }
}

#[test]
fn what_is_there_is_kept() {
    for name in EXAMPLES {
        let compiled = Project::example(name).compile();
        let plan = plan(&compiled.site.name.value, DIALECTS[1], &compiled.topology, &as_observed(&compiled));
        let changes: Vec<_> = plan.changes().map(|step| (step.action, step.key.to_string())).collect();
        assert_eq!(changes, [], "{name}");
        assert_eq!(plan.summary().keep, compiled.topology.len());
    }
}

#[test]
fn taking_down_deletes_every_object_once_and_in_order() {
    for name in EXAMPLES {
        let compiled = Project::example(name).compile();
        let observed = as_observed(&compiled);
        let plan = plan(&compiled.site.name.value, DIALECTS[1], &Default::default(), &observed);
        assert_eq!(plan.summary().delete, compiled.topology.len());
        assert_eq!(lint::check(&plan, &observed), [], "{name}");
    }
}

#[test]
fn every_step_of_a_creation_names_its_source_and_its_undo() {
    for name in EXAMPLES {
        for step in Project::example(name).plan(DIALECTS[1]).steps {
            assert!(step.source.is_some(), "{}", step.key);
            assert_eq!(step.action, Action::Create);
            assert_eq!(
                step.undo.iter().map(|call| call.http().unwrap().method).collect::<Vec<_>>(),
                [Method::Delete],
                "{}",
                step.key
            );
        }
    }
}

/// Returns true if every object that an entry depends on comes before it, as the drawing in `plan::order` promises.
fn respects_order(entries: &[&Entry]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    entries.iter().all(|entry| {
        let known = entry
            .object
            .dependencies()
            .iter()
            .all(|key| seen.contains(key) || !entries.iter().any(|other| other.key == *key));
        seen.insert(entry.key.clone());
        known
    })
}

#[test]
fn every_kind_appears_in_an_example_and_in_order() {
    let mut kinds = std::collections::BTreeSet::new();
    for name in EXAMPLES.into_iter().filter(|name| *name != "fleet") {
        let compiled = Project::example(name).compile();
        let mut entries: Vec<_> = compiled.topology.entries().iter().collect();
        entries.sort_by(|a, b| creation_order(a).cmp(&creation_order(b)));
        assert!(respects_order(&entries), "{name}");
        entries.reverse();
        assert!(!respects_order(&entries), "{name}: the check can fail");
        kinds.extend(compiled.topology.entries().iter().map(|entry| Kind::of(&entry.object)));
    }
    let of_midonet: Vec<Kind> = Kind::all().filter(|kind| !matches!(kind, Kind::Row(_))).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), of_midonet);
}

#[test]
fn a_changed_address_replaces_the_port_and_what_stands_on_it() {
    let site = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";
    let tenant = |gateway: &str| {
        format!(
            "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\ngateway = \"{gateway}\"\n"
        )
    };
    let before = Project::of_text(site, &[("acme.toml", &tenant("first"))]).compile();
    let after = Project::of_text(site, &[("acme.toml", &tenant("last"))]).compile();
    let observed = as_observed(&before);
    let plan = plan("s", DIALECTS[1], &after.topology, &observed);
    let changes: Vec<_> = plan.changes().map(|step| (step.action, step.key.as_str())).collect();
    assert_eq!(
        changes,
        [
            (Action::Delete, "acme/bridge/web/gateway-link"),
            (Action::Delete, "acme/bridge/web/route"),
            (Action::Replace, "acme/bridge/web/gateway-port"),
            (Action::Create, "acme/bridge/web/chain/rule/gateway-arp"),
            (Action::Create, "acme/bridge/web/route"),
            (Action::Create, "acme/bridge/web/gateway-link"),
            (Action::Delete, "acme/bridge/web/chain/rule/gateway-arp"),
        ]
    );
    assert_eq!(lint::check(&plan, &observed), []);
}

/// A rule outlives its ports (09-nat-rules), so that what it shuts stays shut meanwhile. It names the port by its id, and the new
/// port has another one.
#[test]
fn rules_stay_while_a_port_that_they_ask_about_is_replaced() {
    let site = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";
    let tenants = |gateway: &str| {
        // A rule about the gateway's own address does not stay.
        let acme = format!(
            "name = \"acme\"\nanti_spoof = \"none\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\ngateway = \"{gateway}\"\n\
             [[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n[[peer]]\ntenant = \"beta\"\nbridges = [\"web\"]\n"
        );
        let beta = "name = \"beta\"\n[[bridge]]\nname = \"b\"\ncidr = \"10.3.0.0/24\"\n[[peer]]\ntenant = \"acme\"\n";
        Project::of_text(site, &[("acme.toml", &acme), ("beta.toml", beta)]).compile()
    };
    let (before, after) = (tenants("first"), tenants("last"));
    let mut observed = as_observed(&before);
    let rules = |dialect, observed: &Observed| {
        let plan = plan("s", dialect, &after.topology, observed);
        assert_eq!(lint::check(&plan, observed), []);
        let rules = plan.changes().filter(|step| step.kind == Kind::Rule);
        rules.map(|step| (step.action, step.key.to_string())).collect::<Vec<_>>()
    };
    let wanted = ["acme/chain/out/rule/peer/beta/sources", "acme/chain/out/rule/peer/beta/destinations"];
    let made = wanted.map(|key| (Action::Create, key.to_owned()));
    let gone = [wanted[1], wanted[0]].map(|key| (Action::Delete, key.to_owned()));
    let replaced = [made, gone].concat();
    assert_eq!(rules(DIALECTS[1], &observed), replaced, "no id is used twice");
    // So it is if the server chooses ids.
    for entry in observed.topology.entries() {
        if matches!(Kind::of(&entry.object), Kind::RouterPort | Kind::BridgePort | Kind::Rule | Kind::Route) {
            let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, entry.key.as_str().as_bytes());
            observed.ids.insert(entry.key.clone(), id);
        }
    }
    for (chain, rules) in &mut observed.rules {
        for rule in rules {
            rule.id = observed.ids[rule.key.as_ref().unwrap_or(chain)];
        }
    }
    assert_eq!(rules(DIALECTS[0], &observed), replaced);
}

#[test]
fn a_changed_filter_is_an_update_that_keeps_what_midoform_does_not_speak_of() {
    let site = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";
    let tenant = |anti_spoof: &str| {
        format!(
            "name = \"acme\"\nprofile = \"rainbond\"\nanti_spoof = \"{anti_spoof}\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n"
        )
    };
    let before = Project::of_text(site, &[("acme.toml", &tenant("none"))]).compile();
    let after = Project::of_text(site, &[("acme.toml", &tenant("bridge"))]).compile();
    let observed = as_observed(&before);
    let plan = plan("s", DIALECTS[1], &after.topology, &observed);
    let update = plan.changes().find(|step| step.action == Action::Update).unwrap();
    assert_eq!(update.key.as_str(), "acme/bridge/web");
    let call = update.http_calls().next().unwrap();
    let body = call.body.as_ref().unwrap().get();
    assert!(
        call.merges && !body.contains("adminStateUp") && body.contains("\"inboundFilterId\":\""),
        "{body}"
    );
    assert_eq!(lint::check(&plan, &observed), []);
}
