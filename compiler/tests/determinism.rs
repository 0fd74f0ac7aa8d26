//! The same input gives the same bytes; one more tenant, one more rule, changes nothing else.

use std::collections::BTreeMap;

use midoform_compiler::midonet::plan;
use midoform_compiler::network::lock_file;
use midoform_compiler::plan::{Action, Plan};
use midoform_compiler::source::Source;
use midoform_compiler::{Allocated, Input, compile};
use proptest::prelude::*;

use crate::plan_samples::{DIALECTS, as_observed, json};
use crate::samples::{EXAMPLES, Project};

const SITE: &str =
    "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nbridges = \"10.0.0.0/8\"\n";

fn tenant(name: &str) -> (String, String) {
    let text = format!(
        "name = \"{name}\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n[[rule]]\nname = \"r\"\nto = {{ bridge = \"db\" }}\naction = \"drop\"\n"
    );
    (format!("{name}.toml"), text)
}

#[test]
fn the_order_of_files_is_no_input() {
    for name in EXAMPLES {
        for dialect in DIALECTS {
            let project = Project::example(name);
            let mut turned = project.clone();
            turned.tenants.reverse();
            let half = turned.tenants.len() / 2;
            turned.tenants.rotate_left(half);
            assert_eq!(json(&project.plan(dialect)), json(&turned.plan(dialect)), "{name}");
        }
    }
}

#[test]
fn threads_at_the_same_time_give_the_same_bytes() {
    let project = Project::example("policy");
    let expected = json(&project.plan(DIALECTS[1]));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let project = project.clone();
            std::thread::spawn(move || json(&project.plan(DIALECTS[1])))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
}

fn steps_by_tenant(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let mut steps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in &plan.steps {
        steps.entry(step.key.owner().to_owned()).or_default().push(serde_json::to_string(step).unwrap());
    }
    steps
}

#[test]
fn one_more_tenant_changes_no_other_tenants_steps() {
    let names: Vec<String> = (0..200).map(|number| format!("t{number}")).collect();
    let files: Vec<(String, String)> = names.iter().map(|name| tenant(name)).collect();
    let project = |files: &[(String, String)]| {
        let borrowed: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        Project::of_text(SITE, &borrowed)
    };
    let before = project(&files).compile();
    let allocated = Allocated::Store { name: "a store", allocations: &before.allocations };
    let mut more = files.clone();
    more.push(tenant("a-new-one"));
    let more = project(&more);
    let after = compile(Input { site: &more.site, allocated, tenants: &more.tenants }).unwrap();
    for dialect in DIALECTS {
        let empty = midoform_compiler::topology::observed::Observed::default();
        let old = steps_by_tenant(&plan("s", dialect, &before.topology, &empty));
        let mut new = steps_by_tenant(&plan("s", dialect, &after.topology, &empty));
        assert!(new.remove("a-new-one").is_some());
        assert_eq!(old, new);
    }
    let text = |compiled: &midoform_compiler::Compiled| lock_file::to_toml(&compiled.allocations).unwrap();
    let (old, new) = (text(&before), text(&after));
    let gone: Vec<&str> = old.lines().filter(|line| !new.lines().any(|other| other == *line)).collect();
    assert_eq!(gone, Vec::<&str>::new(), "the lock file only gains lines");
}

/// Makes a tenant with rules of these names, in this order.
fn with_rules(rules: &[String]) -> Project {
    let rules: String = rules
        .iter()
        .map(|name| format!("[[rule]]\nname = \"{name}\"\nto = {{ cidr = \"10.9.0.0/16\", tcp = {} }}\naction = \"drop\"\n", 1 + name.len()))
        .collect();
    let text = format!("name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n{rules}");
    Project::of_text(SITE, &[("acme.toml", &text)])
}

#[test]
fn a_rule_in_front_of_500_others_is_one_step() {
    let names: Vec<String> = (0..500).map(|number| format!("r{number}")).collect();
    let observed = as_observed(&with_rules(&names).compile());
    let mut more = names;
    more.insert(0, "first".to_owned());
    let plan = plan("s", DIALECTS[1], &with_rules(&more).compile().topology, &observed);
    let changes: Vec<_> = plan.changes().map(|step| (step.action, step.key.as_str())).collect();
    assert_eq!(changes, [(Action::Create, "acme/chain/policy/rule/first")]);
    let body =
        plan.changes().next().unwrap().http_calls().next().unwrap().body.as_ref().unwrap().get().to_owned();
    assert!(body.contains("\"position\":1,"), "{body}");
}

#[test]
fn a_renamed_rule_touches_that_rule_only() {
    let names: Vec<String> = (0..50).map(|number| format!("r{number}")).collect();
    let observed = as_observed(&with_rules(&names).compile());
    let mut renamed = names;
    renamed[20] = "x20".to_owned();
    let plan = plan("s", DIALECTS[1], &with_rules(&renamed).compile().topology, &observed);
    let changes: Vec<_> = plan.changes().map(|step| (step.action, step.key.as_str())).collect();
    assert_eq!(
        changes,
        [(Action::Create, "acme/chain/policy/rule/x20"), (Action::Delete, "acme/chain/policy/rule/r20")]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to the order of rules: playing the plan's positions gives the wanted order.
    #[test]
    fn insertions_and_deletions_reach_the_wanted_order(
        old in proptest::sample::subsequence((0..12u8).collect::<Vec<_>>(), 0..=12).prop_shuffle(),
        new in proptest::sample::subsequence((0..12u8).collect::<Vec<_>>(), 0..=12).prop_shuffle(),
    ) {
        let names = |rules: &[u8]| rules.iter().map(|rule| format!("r{rule:02}")).collect::<Vec<_>>();
        let observed = as_observed(&with_rules(&names(&old)).compile());
        let desired = with_rules(&names(&new)).compile();
        let plan = plan("s", DIALECTS[1], &desired.topology, &observed);
        let prefix = "acme/chain/policy/rule/";
        let namespace = midoform_compiler::topology::key::Namespace::of_site("s");
        let with_id = |name: String| (namespace.id(&format!("{prefix}{name}").as_str().into()).to_string(), name);
        let mut chain: Vec<(String, String)> = names(&old).into_iter().map(with_id).collect();
        for step in plan.changes() {
            let Some(rule) = step.key.as_str().strip_prefix(prefix) else { continue };
            for call in step.http_calls() {
                match &call.body {
                    None => chain.retain(|(id, _)| !call.path.ends_with(id)),
                    Some(body) => {
                        let body: serde_json::Value = serde_json::from_str(body.get()).unwrap();
                        let position = body["position"].as_u64().unwrap() as usize;
                        prop_assert!(position >= 1 && position <= chain.len() + 1);
                        chain.insert(position - 1, (body["id"].as_str().unwrap().to_owned(), rule.to_owned()));
                    }
                }
            }
        }
        let chain: Vec<String> = chain.into_iter().map(|(_, name)| name).collect();
        prop_assert_eq!(chain, names(&new));
    }

    /// Files in any order, tenants in any number.
    #[test]
    fn permuted_files_give_the_same_plan(order in Just((0..20usize).collect::<Vec<_>>()).prop_shuffle()) {
        let files: Vec<(String, String)> = (0..20).map(|number| tenant(&format!("t{number}"))).collect();
        let arranged = |order: &[usize]| {
            let borrowed: Vec<(&str, &str)> = order.iter().map(|at| (files[*at].0.as_str(), files[*at].1.as_str())).collect();
            json(&Project::of_text(SITE, &borrowed).plan(DIALECTS[1]))
        };
        prop_assert_eq!(arranged(&order), arranged(&(0..20).collect::<Vec<_>>()));
    }
}

/// Takes the steps in another order that `needs` allows: the last one that is ready, each time.
fn turned(plan: &Plan) -> Plan {
    let changes: Vec<_> = plan.changes().cloned().collect();
    let mut done = vec![false; changes.len()];
    let mut steps = Vec::new();
    while steps.len() < changes.len() {
        let ready = |at: &usize| {
            let step = &changes[*at];
            let waits_for =
                |before: usize| step.needs.contains(&changes[before].key) || changes[before].key == step.key;
            !done[*at] && (0..*at).all(|before| done[before] || !waits_for(before))
        };
        let next = (0..changes.len()).rev().find(ready).expect("needs have no circle");
        done[next] = true;
        steps.push(changes[next].clone());
    }
    Plan { steps, ..plan.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Steps that are taken at the same time can end in any order that `needs` allows: the API takes all of them,
    /// and the rules end in the wanted order.
    #[test]
    fn any_order_that_needs_allow_is_taken(
        old in proptest::sample::subsequence((0..8u8).collect::<Vec<_>>(), 0..=8).prop_shuffle(),
        new in proptest::sample::subsequence((0..8u8).collect::<Vec<_>>(), 0..=8).prop_shuffle(),
        address in proptest::sample::select(vec!["first", "last"]),
    ) {
        let names = |rules: &[u8]| rules.iter().map(|rule| format!("r{rule:02}")).collect::<Vec<_>>();
        let observed = as_observed(&with_rules(&names(&old)).compile());
        let mut wanted = with_rules(&names(&new));
        let text = wanted.tenants[0].text().replace("cidr = \"10.1.0.0/24\"", &format!("cidr = \"10.1.0.0/24\"\ngateway = \"{address}\""));
        wanted.tenants[0] = Source::new("acme.toml", text);
        for from in [&observed, &midoform_compiler::topology::observed::Observed::default()] {
            for dialect in DIALECTS {
                // The observed network here is one of a dialect that keeps ids.
                if dialect == DIALECTS[0] && !from.topology.is_empty() {
                    continue;
                }
                let plan = turned(&plan("s", dialect, &wanted.compile_for(dialect).topology, from));
                let found: Vec<_> = midoform_compiler::midonet::lint::check(&plan, from).into_iter().filter(|found| found.code.name() != "late-need").collect();
                prop_assert_eq!(found, vec![]);
            }
        }
    }
}

/// A rule over ports 1 to 4 of TCP, and what becomes of what it matches.
type Simple = (u8, (u16, u16), bool);

/// Makes a tenant whose policy chain has these rules; the first number of each is its name.
fn with_policy(rules: &[Simple]) -> Project {
    let rule = |(name, (first, last), accept): &Simple| {
        let action = if *accept { "accept" } else { "drop" };
        format!(
            "[[rule]]\nname = \"r{name}\"\nto = {{ bridge = \"web\", tcp = \"{first}-{last}\" }}\naction = \"{action}\"\n"
        )
    };
    let rules: String = rules.iter().map(rule).collect();
    let text = format!("name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n{rules}");
    Project::of_text(SITE, &[("acme.toml", &text)])
}

/// Returns for each of the ports 1 to 6 whether a chain of rules lets it pass.
fn verdicts(chain: &[(String, (u16, u16), bool)]) -> Vec<bool> {
    let verdict = |port: u16| {
        let matching = chain.iter().find(|(_, (first, last), _)| (*first..=*last).contains(&port));
        matching.is_none_or(|(_, _, accept)| *accept)
    };
    (1..=6).map(verdict).collect()
}

fn policies() -> impl Strategy<Value = Vec<Simple>> {
    let rule = (1..=6u16, 0..=3u16, any::<bool>());
    (
        proptest::sample::subsequence((0..7u8).collect::<Vec<_>>(), 0..=7).prop_shuffle(),
        proptest::collection::vec(rule, 7),
    )
        .prop_map(|(names, rules)| {
            let of = |name: u8| rules[usize::from(name)];
            names
                .into_iter()
                .map(|name| (name, (of(name).0, (of(name).0 + of(name).1).min(6)), of(name).2))
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a policy changes: after each call its chain lets through only what the old or the new one does.
    #[test]
    fn no_state_on_the_way_lets_through_what_neither_end_does(old in policies(), new in policies()) {
        let observed = as_observed(&with_policy(&old).compile());
        let plan = plan("s", DIALECTS[1], &with_policy(&new).compile().topology, &observed);
        let namespace = midoform_compiler::topology::key::Namespace::of_site("s");
        let id = |name: u8| namespace.id(&format!("acme/chain/policy/rule/r{name}").as_str().into()).to_string();
        let named = |rules: &[Simple]| rules.iter().map(|(name, ports, accept)| (id(*name), *ports, *accept)).collect::<Vec<_>>();
        let (before, after) = (verdicts(&named(&old)), verdicts(&named(&new)));
        let mut chain = named(&old);
        for step in plan.changes().filter(|step| step.key.as_str().starts_with("acme/chain/policy/rule/")) {
            for call in step.http_calls() {
                match &call.body {
                    None => {
                        let gone = call.path.rsplit('/').next().unwrap();
                        prop_assert!(chain.iter().any(|(id, _, _)| id == gone), "{} is not there", gone);
                        chain.retain(|(id, _, _)| id != gone);
                    }
                    Some(body) => {
                        let body: serde_json::Value = serde_json::from_str(body.get()).unwrap();
                        let position = body["position"].as_u64().unwrap() as usize - 1;
                        let ports = &body["tpDst"];
                        let port = |end: &str| u16::try_from(ports[end].as_u64().unwrap()).unwrap();
                        let rule = (body["id"].as_str().unwrap().to_owned(), (port("start"), port("end")), body["type"] == "return");
                        prop_assert!(!chain.iter().any(|(id, _, _)| *id == rule.0));
                        chain.insert(position, rule);
                    }
                }
                for (port, passes) in verdicts(&chain).into_iter().enumerate() {
                    prop_assert!(!passes || before[port] || after[port], "port {} passes on the way", port + 1);
                }
            }
        }
        prop_assert_eq!(chain.iter().map(|(_, ports, accept)| (*ports, *accept)).collect::<Vec<_>>(), new.iter().map(|(_, ports, accept)| (*ports, *accept)).collect::<Vec<_>>());
    }
}
