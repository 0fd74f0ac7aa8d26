//! The plan of a pod: two calls, the same ids whenever it is made, and what the API takes.

use std::net::Ipv4Addr;

use midoform_compiler::midonet::lower::pod;
use midoform_compiler::midonet::lower::pod::Pod;
use midoform_compiler::midonet::{lint, plan};
use midoform_compiler::plan::Step;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::{Kind, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::values::MacAddress;
use uuid::Uuid;

use crate::plan_samples::DIALECTS;

fn pod<'a>(container: &'a str, tied_to: Option<(Ipv4Addr, MacAddress)>) -> Pod<'a> {
    Pod {
        tenant: "acme",
        tenant_id: "acme",
        bridge: Reference::External(Uuid::from_u128(1)),
        container,
        interface: "eth0",
        tag: None,
        host: Uuid::from_u128(2),
        host_interface: "vif0123456789ab",
        untagged: None,
        tied_to,
    }
}

/// A network that has the pod's bridge.
fn with_bridge() -> Observed {
    Observed { present: [(Uuid::from_u128(1), Kind::Bridge)].into(), ..Observed::default() }
}

#[test]
fn a_pod_is_a_port_and_a_binding() {
    for dialect in DIALECTS {
        let topology = pod::lower(&pod("c1", None));
        let made = plan("lab", dialect, &topology, &Observed::default());
        assert_eq!(lint::check(&made, &with_bridge()), [], "{dialect}");
        let calls: Vec<String> = made
            .steps
            .iter()
            .flat_map(Step::http_calls)
            .map(|call| format!("{} {} {}", call.method.as_str(), call.path, call.body.as_ref().unwrap()))
            .collect();
        insta::assert_snapshot!(format!("pod_in_dialect_{dialect}"), calls.join("\n"));
    }
}

#[test]
fn a_port_that_is_tied_to_its_address_has_a_chain() {
    let mac: MacAddress = "0a:58:c0:a8:00:05".parse().unwrap();
    for dialect in DIALECTS {
        let topology = pod::lower(&pod("c1", Some(("192.168.0.5".parse().unwrap(), mac))));
        let made = plan("lab", dialect, &topology, &Observed::default());
        assert_eq!(lint::check(&made, &with_bridge()), [], "{dialect}");
        assert_eq!(made.steps.len(), 6, "chain, three rules, port, binding");
        let observed = Observed { topology, ..Observed::default() };
        let gone = plan("lab", DIALECTS[1], &Topology::default(), &observed);
        assert_eq!(gone.summary().delete, 6);
    }
}

#[test]
fn a_port_has_the_tenant_s_chain_for_frames_with_a_tag() {
    let chain = Uuid::from_u128(77);
    let mut observed = with_bridge();
    observed.present.insert(chain, Kind::Chain);
    let mac: MacAddress = "0a:58:c0:a8:00:05".parse().unwrap();
    for tied_to in [None, Some(("192.168.0.5".parse().unwrap(), mac))] {
        let pod = pod::Pod { untagged: Some(Reference::External(chain)), ..pod("c1", tied_to) };
        let made = plan("lab", DIALECTS[1], &pod::lower(&pod), &Observed::default());
        assert_eq!(lint::check(&made, &observed), []);
        // A pod needs no more calls for it.
        assert_eq!(made.steps.len(), if tied_to.is_some() { 7 } else { 2 });
        let calls = made.steps.iter().flat_map(Step::http_calls);
        let named = calls
            .filter(|call| call.body.as_ref().is_some_and(|body| body.get().contains(&chain.to_string())));
        assert_eq!(named.count(), 1, "the port's filter, or the jump in its own chain");
    }
}

/// Every attachment has objects of its own, and an attachment of a version without tags keeps its ids.
#[test]
fn an_attachment_with_another_tag_shares_no_id() {
    let mac: MacAddress = "0a:58:c0:a8:00:05".parse().unwrap();
    let ids = |tag: Option<&'static str>| -> Vec<Uuid> {
        let tagged = Pod { tag, ..pod("c1", Some(("192.168.0.5".parse().unwrap(), mac))) };
        let topology = pod::lower(&tagged);
        topology.entries().iter().map(|entry| Namespace::of_site("lab").id(&entry.key)).collect()
    };
    let all: Vec<Uuid> = [None, Some("0a1b2c3"), Some("0a1b2c4")].into_iter().flat_map(ids).collect();
    let different: std::collections::BTreeSet<&Uuid> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (18, 18));
    let before = Key::tenant("acme").pod(Uuid::from_u128(2), "c1", "eth0");
    assert!(ids(None).contains(&Namespace::of_site("lab").id(&before.port())));
}

#[test]
fn two_hosts_may_have_a_container_of_one_name() {
    let id = |host: u128, container: &str| {
        Namespace::of_site("lab")
            .id(&Key::tenant("acme").pod(Uuid::from_u128(host), container, "eth0").port())
    };
    assert_eq!(id(1, "c1"), id(1, "c1"));
    assert_ne!(id(1, "c1"), id(2, "c1"));
    assert_ne!(id(1, "c1"), id(1, "c2"));
}
