//! Good plans pass; each way of breaking one is found by name.

use serde_json::value::to_raw_value;

use super::*;
use crate::midonet::plan;
use crate::plan::{Action, Call};
use crate::source::Source;
use crate::topology::kinds::Kind;
use crate::{Allocated, Input, compile};

fn good(dialect: Dialect) -> Plan {
    let site = Source::new(
        "site.toml",
        "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[tunnel_zone]\nname = \"z\"\n[[host]]\nname = \"h\"\nid = \"11111111-2222-4333-8444-555555555555\"\ntunnel_address = \"10.0.0.1\"\n",
    );
    let tenant = Source::new(
        "a.toml",
        "name = \"a\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"h\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.5\"\n[[port_group]]\nname = \"g\"\nports = [\"p\"]\nstateful = true\n[[rule]]\nname = \"r\"\nto = { bridge = \"web\", tcp = 22 }\naction = \"drop\"\n[[rule]]\nname = \"q\"\naction = \"accept\"\n",
    );
    let tenants = [tenant];
    let input = Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants };
    let mut compiled = compile(input).unwrap();
    compiled.use_engine(dialect.engine(), &input);
    plan("s", dialect, &compiled.topology, &Observed::default())
}

fn codes(plan: &Plan) -> Vec<&'static str> {
    let mut codes: Vec<&'static str> =
        check(plan, &Observed::default()).into_iter().map(|found| found.code.name()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn step<'a>(plan: &'a mut Plan, key: &str) -> &'a mut Step {
    plan.steps.iter_mut().find(|step| step.key.as_str() == key).unwrap_or_else(|| panic!("{key}"))
}

/// Returns the first call of a step.
fn call<'a>(plan: &'a mut Plan, key: &str) -> &'a mut HttpCall {
    match &mut step(plan, key).calls[0] {
        Call::Http(call) => call,
        Call::Row(_) => panic!("{key} is no object of MidoNet"),
    }
}

/// Changes fields of a step's body; null takes one out.
fn edit(plan: &mut Plan, key: &str, changes: serde_json::Value) {
    let call = call(plan, key);
    let mut body: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(call.body.as_ref().unwrap().get()).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        match value.is_null() {
            true => drop(body.remove(field)),
            false => drop(body.insert(field.clone(), value.clone())),
        }
    }
    call.body = Some(to_raw_value(&body).unwrap());
}

#[test]
fn a_good_plan_has_no_findings() {
    for dialect in [Dialect::V1, Dialect::V5] {
        assert_eq!(check(&good(dialect), &Observed::default()), []);
    }
}

#[test]
fn fields_that_the_api_refuses_are_found() {
    let port = "a/uplink/port";
    let (route, rule, snat) = ("a/uplink/default-route", "a/chain/policy/rule/r", "a/chain/out/rule/snat");
    let cases = [
        (port, serde_json::json!({"portAddress": "172.16.0.300"}), "bad-address"),
        (port, serde_json::json!({"networkLength": 33}), "bad-number"),
        (port, serde_json::json!({"type": "Bridge"}), "bad-word"),
        (port, serde_json::json!({"hostId": "x"}), "forbidden-field"),
        ("a/router", serde_json::json!({"name": ""}), "missing-field"),
        (
            "a/router",
            serde_json::json!({"inboundFilterId": "5ba7b810-9dad-51d1-80b4-00c04fd430c8"}),
            "unknown-reference",
        ),
        (route, serde_json::json!({"type": "Sideways"}), "bad-word"),
        (route, serde_json::json!({"nextHopPort": null}), "no-port"),
        (route, serde_json::json!({"dstNetworkLength": 40}), "bad-number"),
        (rule, serde_json::json!({"position": 9}), "bad-position"),
        (rule, serde_json::json!({"type": "nonsense"}), "bad-word"),
        (rule, serde_json::json!({"tpDst": {"start": 9, "end": 3}}), "bad-range"),
        (rule, serde_json::json!({"fragmentPolicy": "any"}), "bad-fragments"),
        (snat, serde_json::json!({"natTargets": null}), "no-nat-targets"),
        (snat, serde_json::json!({"flowAction": null}), "bad-word"),
        ("a/chain/out/rule/policy", serde_json::json!({"jumpChainId": null}), "missing-field"),
        ("a/port/p/binding", serde_json::json!({"interfaceName": null}), "missing-field"),
        ("site/tunnel-zone", serde_json::json!({"type": "ipip"}), "bad-word"),
    ];
    for (key, changes, code) in cases {
        let mut plan = good(Dialect::V5);
        edit(&mut plan, key, changes.clone());
        assert!(codes(&plan).contains(&code), "{key} {changes}: {:?}", codes(&plan));
    }
}

/// An id of any form, UUIDv4 as well, is known only if the server has an object of the right kind.
#[test]
fn an_object_that_nobody_saw_is_missed() {
    let id: uuid::Uuid = "9f1c0000-0000-4000-8000-000000000001".parse().unwrap();
    for (key, field, kind, other) in [
        ("a/router", "inboundFilterId", Kind::Chain, Kind::Router),
        ("a/uplink/link", "peerId", Kind::RouterPort, Kind::Chain),
        ("a/port/p/binding", "portId", Kind::BridgePort, Kind::PortGroup),
    ] {
        let mut plan = good(Dialect::V5);
        edit(&mut plan, key, serde_json::json!({field: id}));
        let found = |present: &[(uuid::Uuid, Kind)]| {
            let observed = Observed { present: present.iter().copied().collect(), ..Observed::default() };
            check(&plan, &observed).iter().any(|found| found.code == Code::UnknownReference)
        };
        assert!(found(&[]), "{key}");
        assert!(found(&[(id, other)]), "{key}");
        assert!(!found(&[(id, kind)]), "{key}");
    }
    let mut plan = good(Dialect::V5);
    let call = call(&mut plan, "a/router");
    (call.method, call.path, call.body) = (Method::Delete, format!("/routers/{id}"), None);
    assert!(codes(&plan).contains(&"unknown-reference"));
}

#[test]
fn a_route_by_another_routers_port_is_found() {
    let mut plan = good(Dialect::V1);
    edit(
        &mut plan,
        "a/uplink/default-route",
        serde_json::json!({"nextHopPort": "${a/uplink/provider-port}"}),
    );
    assert_eq!(codes(&plan), ["foreign-port"]);
}

#[test]
fn steps_in_the_wrong_order_are_found() {
    for dialect in [Dialect::V1, Dialect::V5] {
        let mut plan = good(dialect);
        let at = plan.steps.iter().position(|step| step.key.as_str() == "a/router").unwrap();
        let step = plan.steps.remove(at);
        plan.steps.push(step);
        assert_eq!(codes(&plan), ["late-need", "unknown-reference"]);
    }
}

#[test]
fn missing_and_repeated_steps_are_found() {
    let mut missing = good(Dialect::V5);
    missing.steps.retain(|step| step.key.as_str() != "a/bridge/web");
    assert_eq!(codes(&missing), ["unknown-need", "unknown-reference"]);
    let mut repeated = good(Dialect::V5);
    let step = repeated.steps.iter().find(|step| step.key.as_str() == "a/chain/in").unwrap().clone();
    repeated.steps.push(step);
    assert_eq!(codes(&repeated), ["duplicate-id", "duplicate-step"]);
    let mut linked = good(Dialect::V5);
    let link = linked.steps.iter().find(|step| step.key.as_str() == "a/uplink/link").unwrap().clone();
    linked.steps.push(Step { key: "a/uplink/link2".into(), ..link });
    assert_eq!(codes(&linked), ["linked-twice"]);
    let mut bound = good(Dialect::V5);
    let binding = bound.steps.iter().find(|step| step.key.as_str() == "a/port/p/binding").unwrap().clone();
    bound.steps.push(Step { key: "a/port/p/binding2".into(), ..binding });
    assert_eq!(codes(&bound), ["bound-twice", "interface-taken"]);
}

#[test]
fn media_types_methods_and_undo_are_checked() {
    let mut plan = good(Dialect::V5);
    call(&mut plan, "a/router").content_type = Some("application/vnd.org.midonet.Router-v2+json".into());
    assert_eq!(codes(&plan), ["media-type"]);
    let mut plan = good(Dialect::V5);
    let call = call(&mut plan, "a/chain/policy/rule/r");
    call.method = Method::Put;
    call.path = "/rules/11111111-2222-4333-8444-555555555555".to_owned();
    assert!(codes(&plan).contains(&"bad-method"));
    let mut plan = good(Dialect::V5);
    step(&mut plan, "a/router").undo.clear();
    assert_eq!(codes(&plan), ["no-undo"]);
    let mut plan = good(Dialect::V5);
    step(&mut plan, "a/router").calls.clear();
    assert!(codes(&plan).contains(&"no-calls"));
}

#[test]
fn an_id_that_1x_will_not_keep_is_missed() {
    let mut plan = good(Dialect::V1);
    call(&mut plan, "a/uplink/port").binds = false;
    assert!(codes(&plan).contains(&"no-id"), "{:?}", codes(&plan));
}

#[test]
fn deleting_what_something_stands_on_is_found() {
    let plan = good(Dialect::V5);
    let undo: Vec<Step> = plan
        .steps
        .iter()
        .rev()
        .map(|step| Step {
            action: Action::Delete,
            calls: step.undo.clone(),
            undo: step.calls.clone(),
            needs: Vec::new(),
            ..step.clone()
        })
        .collect();
    let mut whole = plan.clone();
    whole.steps.extend(undo.iter().cloned());
    assert_eq!(codes(&whole), Vec::<&str>::new(), "backwards is right");
    let mut wrong = plan;
    wrong.steps.extend(undo.into_iter().rev());
    assert!(codes(&wrong).contains(&"still-used"));
}
