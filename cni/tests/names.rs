//! The names of interfaces and the ids of ports: new with every attachment. And what an agent does to the interfaces.

use std::collections::BTreeSet;
use std::process::Command;

use midoform_simulator::Version;
use serde_json::{Value, json};

use crate::lab::{Container, DIALECTS, HOST, Lab, ip, skipped_without_root};

/// Returns the host's end and the port of the only pod.
fn only(lab: &Lab) -> (String, String) {
    let ports = lab.bound_ports();
    assert_eq!(ports.len(), 1, "{ports:#?}");
    let text = |field: &str| ports[0][field].as_str().unwrap().to_owned();
    (text("interfaceName"), text("id"))
}

/// Sets the MTU of the host's end to 65000, and changes its offloads, as MidoNet's agent does to a bound port's interface.
fn as_the_agent_does(interface: &str) {
    ip(&["link", "set", interface, "mtu", "65000"]);
    ip(&["link", "set", interface, "gso_max_segs", "1"]);
}

fn index_of(interface: &str) -> u64 {
    let link: Value = serde_json::from_str(&ip(&["-j", "link", "show", interface])).unwrap();
    link[0]["ifindex"].as_u64().unwrap()
}

/// Replaces a pod's port by one with this id (on 1.x the server chooses another one) that is bound to this interface.
fn replace_port(lab: &Lab, port: &str, id: &str, interface: &str) -> String {
    let bridge = lab.bound_ports()[0]["deviceId"].as_str().unwrap().to_owned();
    lab.http("DELETE", &format!("/midonet-api/hosts/{HOST}/ports/{port}"), "");
    lab.http("DELETE", &format!("/midonet-api/ports/{port}"), "");
    let kind = if lab.dialect() == 1 { "Port-v2" } else { "Port-v3" };
    let body = json!({ "id": id, "type": "Bridge" }).to_string();
    lab.post(&format!("/midonet-api/bridges/{bridge}/ports"), kind, &body);
    let id = lab.stray_ports()[0]["id"].as_str().unwrap().to_owned();
    let body = json!({ "hostId": HOST, "portId": id, "interfaceName": interface }).to_string();
    lab.post(&format!("/midonet-api/hosts/{HOST}/ports"), "HostInterfacePort-v1", &body);
    id
}

#[test]
fn what_the_agent_sets_is_no_difference_and_no_reason_to_begin_anew() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, container) = (Lab::new(dialect), Container::new());
        let result = lab.add(&container);
        let (interface, port) = only(&lab);
        let index = index_of(&interface);
        as_the_agent_does(&interface);
        lab.run("CHECK", &container, &lab.config()).ok();
        assert_eq!(lab.add(&container), result, "the result of a repeated ADD is the first one's");
        assert_eq!((only(&lab), index_of(&interface)), ((interface.clone(), port), index));
        // The container's end is not the agent's.
        ip(&["-n", &container.namespace, "link", "set", "eth0", "mtu", "9000"]);
        let error = lab.run("CHECK", &container, &lab.config()).error(106);
        assert!(error.to_string().contains("eth0 has the MTU 9000"), "{error}");
        lab.del(&container);
        lab.expect_nothing_left(&[&container]);
    }
}

/// The interface of a repeated ADD is repaired in place: an open connection continues.
#[test]
fn a_repeated_add_does_not_remove_what_carries_traffic() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, container) = (Lab::new(dialect), Container::new());
        let result = lab.add(&container);
        let before = only(&lab);
        let index = index_of(&before.0);
        as_the_agent_does(&before.0);
        let namespace = container.namespace.as_str();
        for damage in [
            ["-n", namespace, "link", "set", "eth0", "mtu", "1300"].as_slice(),
            &["-n", namespace, "route", "del", "default"],
            &["-n", namespace, "address", "flush", "dev", "eth0"],
            &["-n", namespace, "link", "set", "eth0", "down"],
            &["link", "set", before.0.as_str(), "down"],
            &["link", "set", before.0.as_str(), "alias", ""],
        ] {
            ip(damage);
            lab.run("CHECK", &container, &lab.config()).error(106);
            let posts = lab.requests("POST", "bridges");
            let mut again = lab.add(&container);
            again["routes"] = result["routes"].clone();
            assert_eq!(again, result, "{damage:?}");
            lab.run("CHECK", &container, &lab.config()).ok();
            assert_eq!((only(&lab), index_of(&before.0)), (before.clone(), index), "{damage:?}");
            assert_eq!(lab.requests("POST", "bridges"), posts, "{damage:?}");
        }
        // What carries nothing is made anew, with another name and another port.
        ip(&["link", "del", &before.0]);
        lab.add(&container);
        let after = only(&lab);
        assert!(after.0 != before.0 && after.1 != before.1, "{before:?} {after:?}");
        lab.del(&container);
        lab.expect_nothing_left(&[&container]);
    }
}

/// An interface that is bound and up, but not in the container's namespace, is in use elsewhere.
#[test]
fn an_interface_that_is_in_use_elsewhere_stays() {
    if skipped_without_root() {
        return;
    }
    let (lab, container, other) = (Lab::new(DIALECTS[1]), Container::new(), Container::new());
    lab.add(&container);
    let before = only(&lab);
    let mut command = lab.command("ADD", &container);
    command.env("CNI_NETNS", other.path());
    let error = crate::lab::run(command, &lab.config()).error(4);
    assert!(error.to_string().contains("in use elsewhere"), "{error}");
    assert_eq!(only(&lab), before);
    lab.run("CHECK", &container, &lab.config()).ok();
    lab.del(&container);
    lab.expect_nothing_left(&[&container, &other]);
}

/// A pod that a version without tags attached: its port's id and its interface's name follow from the container alone.
#[test]
fn a_pod_of_an_earlier_version_stays_attached() {
    use midoform_compiler::topology::key::{Key, Namespace};
    use midoform_store::Transaction;
    use midoform_store::ipam::host_interface::host_interface_without_tag;
    use midoform_store::ipam::{Attachment, Owner};
    use midoform_store::record::encode;
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        for verb in ["DEL", "GC"] {
            let (lab, container) = (Lab::new(dialect), Container::new());
            let result = lab.add(&container);
            let (interface, port) = only(&lab);
            // Everything is renamed to what the earlier version made.
            let owner = Owner {
                network: "lab".to_owned(),
                container: container.id.clone(),
                interface: "eth0".to_owned(),
            };
            let host = HOST.parse().unwrap();
            let name = host_interface_without_tag(&owner);
            ip(&["link", "set", &interface, "down"]);
            ip(&["link", "set", &interface, "name", &name]);
            ip(&["link", "set", &name, "up"]);
            let key = Key::tenant("acme").pod(host, &container.id, "eth0").port();
            let id = Namespace::of_site("lab").id(&key).to_string();
            let id = replace_port(&lab, &port, &id, &name);
            let (key, record) =
                lab.store().into_iter().find(|(key, _)| key.starts_with("attachment/")).unwrap();
            let mut record: Value = record;
            record["host_interface"] = json!(name);
            record["port"] = json!(id);
            let record: Attachment = serde_json::from_value(record).unwrap();
            lab.commit(&Transaction::default().put(key, encode(&record)));
            assert_eq!(only(&lab), (name.clone(), id));
            lab.run("CHECK", &container, &lab.config()).ok();
            let again = lab.add(&container);
            assert_eq!(again["interfaces"][0]["name"], name, "{again}");
            assert_eq!(again["ips"], result["ips"]);
            if verb == "GC" {
                let mut config = lab.config();
                config["cni.dev/valid-attachments"] = json!([]);
                lab.run("GC", &container, &config).ok();
            } else {
                lab.del(&container);
            }
            lab.expect_nothing_left(&[&container]);
        }
    }
}

/// Over any sequence of ADD, DEL, repeated ADD, failed ADD and GC, no port's id is posted again once its port was deleted, and
/// no interface's name is bound twice.
#[test]
fn no_port_s_id_and_no_interface_s_name_comes_back() {
    if skipped_without_root() {
        return;
    }
    for dialect in [DIALECTS[0], DIALECTS[1], (5, Version::V5_0)] {
        let (lab, container) = (Lab::new(dialect), Container::new());
        lab.run("ADD", &container, &lab.config()).ok();
        let mut seen = BTreeSet::new();
        let mut dice = 7_u64;
        for _ in 0..30 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match (dice >> 33) % 7 {
                0 => drop(lab.del(&container)),
                1 => {
                    let mut config = lab.config();
                    config["cni.dev/valid-attachments"] = json!([]);
                    lab.run("GC", &container, &config).ok();
                }
                // The host's end goes, so that the next ADD begins anew.
                2 => {
                    for port in lab.bound_ports() {
                        let interface = port["interfaceName"].as_str().unwrap();
                        let _ = Command::new("ip").args(["link", "del", interface]).output();
                    }
                }
                3 => {
                    lab.fault(
                        &json!({ "fault": "internal-error", "method": "POST", "path": "/hosts/*/ports" }),
                    );
                    let _ = lab.run("ADD", &container, &lab.config());
                    lab.clear_faults();
                }
                4 => {
                    lab.fault(&json!({ "fault": "reset-after", "method": "POST", "times": 4 }));
                    let _ = lab.run("ADD", &container, &lab.config());
                    lab.clear_faults();
                }
                _ => drop(lab.run("ADD", &container, &lab.config()).ok()),
            }
            seen.extend(lab.bound_ports().iter().map(|port| port["id"].to_string()));
        }
        assert!(seen.len() > 5, "the sequence attaches too rarely: {seen:?}");
        lab.del(&container);
        lab.expect_nothing_left(&[&container]);
        let came_back = lab.came_back();
        assert_eq!(came_back["ports"], json!([]), "{came_back}");
        assert_eq!(came_back["interfaces"], json!([]), "{came_back}");
    }
}
