//! Failures: of the API at each call, of the whole API or the store, and the measured defects of the Go plugin (one
//! test each).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::{Container, DIALECTS, Lab, skipped_without_root};

/// Faults at each call of an ADD in turn. ADD succeeds or takes everything back, and DEL leaves nothing in both cases.
#[test]
fn the_api_s_faults_at_each_call_leave_nothing() {
    if skipped_without_root() {
        return;
    }
    let kinds = [
        "unavailable-before",
        "unavailable-after",
        "reset-before",
        "reset-after",
        "internal-error",
        "truncated-body",
    ];
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        let first = Container::new();
        lab.add(&first);
        lab.del(&first);
        for kind in kinds {
            for (nth, times) in [(1, 1), (2, 1), (1, 0), (2, 0)] {
                let container = Container::new();
                lab.fault(
                    &json!({"fault": kind, "method": "POST", "path": "/**", "nth": nth, "times": times}),
                );
                let ran = lab.run("ADD", &container, &lab.config());
                lab.clear_faults();
                match ran.code {
                    0 => drop(ran.ok()),
                    _ => {
                        let code = if kind == "internal-error" || kind.ends_with("body") {
                            ran.error_code()
                        } else {
                            11
                        };
                        drop(ran.error(code));
                        assert_eq!(container.interfaces(), Vec::<String>::new(), "{kind} {nth}");
                    }
                }
                lab.del(&container);
                lab.expect_nothing_left(&[&container]);
            }
        }
    }
}

/// Faults at the calls of DEL: it succeeds, and a later run completes the release.
#[test]
fn a_release_that_fails_is_made_later() {
    if skipped_without_root() {
        return;
    }
    for lab in Lab::each() {
        for kind in ["unavailable-before", "unavailable-after", "reset-after", "internal-error"] {
            let (container, other) = (Container::new(), Container::new());
            lab.add(&container);
            lab.fault(&json!({"fault": kind, "method": "DELETE", "path": "/**", "times": 0}));
            lab.del(&container);
            assert_eq!(container.interfaces(), Vec::<String>::new());
            assert_eq!(lab.held_addresses(), 1, "{kind}: the address stays while its port may be there");
            lab.clear_faults();
            // Any later run completes the release.
            lab.del(&other);
            let mut empty = lab.config();
            empty["cni.dev/valid-attachments"] = json!([]);
            lab.run("GC", &container, &empty).ok();
            lab.expect_nothing_left(&[&container]);
        }
    }
}

/// A release that fails each time, of one container, holds up no other's.
#[test]
fn a_release_that_always_fails_holds_up_no_other() {
    if skipped_without_root() {
        return;
    }
    let (lab, stuck, other, last) =
        (Lab::new(DIALECTS[1]), Container::new(), Container::new(), Container::new());
    for container in [&stuck, &other] {
        lab.add(container);
    }
    let port_of = |container: &Container| {
        let held = lab
            .store()
            .into_iter()
            .find(|(key, _)| key.starts_with("attachment/") && key.contains(&container.id));
        held.unwrap().1["port"].as_str().unwrap().to_owned()
    };
    let port = port_of(&stuck);
    lab.fault(&json!({"fault": "unavailable-before", "method": "DELETE", "path": "/**", "times": 0}));
    lab.del(&stuck);
    lab.del(&other);
    lab.clear_faults();
    for path in [format!("/ports/{port}"), format!("/hosts/*/ports/{port}")] {
        lab.fault(&json!({"fault": "internal-error", "method": "DELETE", "path": path, "times": 0}));
    }
    lab.del(&last);
    assert_eq!((lab.held_addresses(), lab.bound_ports().len()), (1, 1), "the other container's is released");
    lab.clear_faults();
    lab.del(&last);
    lab.expect_nothing_left(&[&stuck, &other, &last]);
}

/// Go plugin: five ADDs against an API that returns 500 leaked five addresses, and wrote two documents.
#[test]
fn failed_adds_leak_no_address_and_write_one_document() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, container) = (Lab::new(dialect), Container::new());
        for path in ["/**", "/bridges/*/ports", "/hosts/**"] {
            lab.fault(&json!({"fault": "internal-error", "path": path, "times": 0}));
            for _ in 0..5 {
                let ran = lab.run("ADD", &container, &lab.config());
                let code = ran.error_code();
                let error = ran.error(code);
                assert!(error["details"].as_str().is_some_and(|details| details.contains("500")), "{error}");
            }
            lab.clear_faults();
            lab.run("GC", &container, &with_valid(&lab, json!([]))).ok();
            lab.expect_nothing_left(&[&container]);
        }
    }
}

/// Go plugin: a DEL against an API that hangs took 20 s; an ADD against an etcd that never replies hung forever.
#[test]
fn nothing_waits_for_good() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    lab.add(&container);
    lab.fault(&json!({"fault": "delay", "milliseconds": 60_000, "path": "/**", "times": 0}));
    let mut config = lab.config();
    config["timeout"] = json!(1);
    config["add_timeout"] = json!(2);
    let started = Instant::now();
    lab.run("DEL", &container, &config).ok();
    assert!(started.elapsed() < Duration::from_secs(12), "DEL: {:?}", started.elapsed());
    let started = Instant::now();
    lab.run("ADD", &Container::new(), &config).error(11);
    assert!(started.elapsed() < Duration::from_secs(20), "ADD: {:?}", started.elapsed());
    lab.clear_faults();
    lab.run("GC", &container, &with_valid(&lab, json!([]))).ok();
    lab.expect_nothing_left(&[&container]);
}

/// Go plugin: DEL left the veth, and an ADD in the same namespace failed; a short container id made it panic; it ignored
/// `CNI_IFNAME`.
#[test]
fn a_namespace_can_be_used_again_and_names_are_whatever_the_runtime_says() {
    if skipped_without_root() {
        return;
    }
    let lab = Lab::new(DIALECTS[1]);
    let mut container = Container::new();
    container.id = "c9".to_owned();
    for _ in 0..3 {
        lab.add(&container);
        lab.del(&container);
    }
    for interface in ["net1", "eth0", "a-long-name.100"] {
        let mut command = lab.command("ADD", &container);
        command.env("CNI_IFNAME", interface);
        let result = crate::lab::run(command, &lab.config()).ok();
        assert_eq!(result["interfaces"][1]["name"], interface);
    }
    assert_eq!(container.interfaces().len(), 3);
    assert_eq!(container.ip(&["-4", "route", "show", "default"]).as_array().unwrap().len(), 1);
    for interface in ["net1", "eth0", "a-long-name.100"] {
        let mut command = lab.command("DEL", &container);
        command.env("CNI_IFNAME", interface);
        crate::lab::run(command, &lab.config()).ok();
    }
    lab.expect_nothing_left(&[&container]);
}

/// Go plugin: a login that was refused counted as a success.
#[test]
fn a_refused_login_is_an_error_and_a_token_is_kept_for_the_next_run() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::with_login(DIALECTS[1]), Container::new());
    let mut config = lab.config();
    config["login"] = json!({"username": "admin", "password": "wrong", "project": "admin"});
    let error = lab.run("ADD", &container, &config).error(104);
    assert!(error["details"].as_str().unwrap().contains("login"), "{error}");
    config["login"]["password"] = json!("geheim");
    lab.run("ADD", &container, &config).ok();
    let before = lab.requests("POST", "login");
    assert!(before > 0);
    lab.run("DEL", &container, &config).ok();
    assert_eq!(lab.requests("POST", "login"), before, "the token of the ADD serves the DEL");
    lab.fault(&json!({"fault": "token-dies", "path": "/**", "method": "POST"}));
    lab.run("ADD", &container, &config).ok();
    lab.run("DEL", &container, &config).ok();
    assert!(!lab.log().contains("geheim"));
    lab.expect_nothing_left(&[&container]);
}

/// DEL succeeds without a namespace, with a namespace that is gone, without an ADD before, twice, and without a
/// prevResult.
#[test]
fn del_takes_whatever_is_gone_already() {
    if skipped_without_root() {
        return;
    }
    for lab in Lab::each() {
        let container = Container::new();
        lab.del(&container);
        lab.add(&container);
        let mut command = lab.command("DEL", &container);
        command.env_remove("CNI_NETNS");
        crate::lab::run(command, &lab.config()).ok();
        lab.expect_nothing_left(&[&container]);
        lab.add(&container);
        crate::lab::ip(&["netns", "del", &container.namespace]);
        lab.del(&container);
        lab.del(&container);
        lab.expect_nothing_left(&[]);
    }
}

/// Go plugin: an etcd that accepted and never replied made ADD hang; one that refused cost 10 s. Here both are error 11
/// soon, and a DEL removes the interface and leaves the rest to a later run.
#[test]
fn a_store_that_is_away_is_no_reason_to_wait() {
    if skipped_without_root() || crate::lab::skipped_without(&["etcd"]) {
        return;
    }
    let lab = Lab::new(DIALECTS[1]).on_etcd();
    let mut config = lab.config();
    config["timeout"] = json!(1);
    for (away, back) in [("STOP", Some("CONT")), ("KILL", None)] {
        let (container, other) = (Container::new(), Container::new());
        lab.add(&container);
        let etcd = lab.etcd.as_ref().unwrap();
        etcd.signal(away);
        let started = Instant::now();
        lab.run("ADD", &other, &config).error(11);
        lab.run("STATUS", &other, &config).error(50);
        lab.run("DEL", &container, &config).ok();
        assert!(started.elapsed() < Duration::from_secs(20), "{away}: {:?}", started.elapsed());
        assert_eq!(container.interfaces(), Vec::<String>::new());
        assert!(std::fs::read_dir(lab.path("state/journal")).unwrap().count() >= 1);
        let Some(back) = back else { continue };
        etcd.signal(back);
        lab.run("GC", &container, &with_valid(&lab, json!([]))).ok();
        lab.expect_nothing_left(&[&container, &other]);
    }
}

/// GC keeps the endpoints that are named, removes the others, and touches no other network's endpoints.
#[test]
fn gc_keeps_what_the_runtime_has() {
    if skipped_without_root() {
        return;
    }
    for lab in Lab::each() {
        let (kept, gone, other) = (Container::new(), Container::new(), Container::new());
        lab.add(&kept);
        lab.add(&gone);
        let mut second = lab.config();
        second["name"] = json!("second");
        lab.run("ADD", &other, &second).ok();
        let valid = json!([{"containerID": kept.id, "ifname": "eth0"}]);
        let mut disabled = with_valid(&lab, valid.clone());
        disabled["disableGC"] = json!(true);
        lab.run("GC", &kept, &disabled).ok();
        assert_eq!(lab.held_addresses(), 3);
        lab.run("GC", &kept, &with_valid(&lab, valid)).ok();
        assert_eq!((lab.held_addresses(), lab.bound_ports().len()), (2, 2));
        assert_eq!(gone.interfaces(), Vec::<String>::new());
        lab.run("CHECK", &kept, &lab.config()).ok();
        lab.run("CHECK", &other, &second).ok();
        second["cni.dev/attachments"] = json!([]);
        lab.run("GC", &other, &second).ok();
        lab.del(&kept);
        lab.expect_nothing_left(&[&kept, &gone, &other]);
    }
}

/// A port exists after everything that names it was deleted: its lost call was executed late.
#[test]
fn gc_takes_away_ports_that_pods_of_this_host_left_long_ago() {
    if skipped_without_root() {
        return;
    }
    let (lab, container, kept) = (Lab::new(DIALECTS[1]), Container::new(), Container::new());
    lab.add(&kept);
    lab.add(&container);
    let theirs = lab.store().into_iter().find(|(key, _)| key.contains(&container.id)).unwrap().1;
    let (port, bridge) = (theirs["port"].as_str().unwrap(), theirs["bridge_id"].as_str().unwrap());
    lab.del(&container);
    lab.make_port(bridge, port);
    let valid = json!([{"containerID": kept.id, "ifname": "eth0"}]);
    let collect = || lab.run("GC", &kept, &with_valid(&lab, valid.clone())).ok();
    collect();
    assert_eq!(lab.stray_ports().len(), 1, "it may be one that is on its way out");
    lab.age(2);
    collect();
    assert_eq!((lab.stray_ports().len(), lab.bound_ports().len()), (0, 1));
    lab.run("CHECK", &kept, &lab.config()).ok();
}

/// STATUS reports why no container can be attached.
#[test]
fn status_tells_what_is_wrong() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    lab.run("STATUS", &container, &lab.config()).ok();
    let lab = Lab::without_agent(DIALECTS[1]);
    lab.run("STATUS", &container, &lab.config()).error(51);
    // Without a configured tenant it reads nothing of any tenant. Nothing is made in either case.
    lab.commit(
        &midoform_store::Transaction::default().put(midoform_store::keys::spec("status"), "{\"version\":99}"),
    );
    let before = lab.store();
    let mut nobody = lab.config();
    nobody.as_object_mut().unwrap().remove("tenant");
    lab.run("STATUS", &container, &nobody).error(51);
    assert_eq!(lab.store(), before);
    assert_eq!(lab.requests("POST", "routers"), 0);
    let mut config = lab.config();
    config["host_uuid"] = json!("99999999-2222-3333-4444-555555555555");
    lab.run("STATUS", &container, &config).error(50);
    lab.fault(&json!({"fault": "unavailable-before", "path": "/**", "times": 0}));
    let error = lab.run("STATUS", &container, &lab.config()).error(50);
    assert!(error.to_string().contains("503"), "{error}");
    lab.folder.write("broken", "this is no database");
    config["store"] = json!(lab.path("broken"));
    lab.run("STATUS", &container, &config).error(50);
}

/// CHECK finds each thing that is missing.
#[test]
fn check_names_what_is_missing() {
    if skipped_without_root() {
        return;
    }
    for lab in Lab::each() {
        let damages: &[(&str, &[&str])] = &[
            ("address", &["address", "flush", "dev", "eth0"]),
            ("default route", &["route", "del", "default"]),
            ("down", &["link", "set", "eth0", "down"]),
            ("MTU", &["link", "set", "eth0", "mtu", "1300"]),
            ("MAC", &["link", "set", "eth0", "address", "02:00:00:00:00:01"]),
            ("has no interface", &["link", "del", "eth0"]),
        ];
        for (word, damage) in damages {
            let container = Container::new();
            lab.add(&container);
            lab.run("CHECK", &container, &lab.config()).ok();
            let mut arguments = vec!["-n", container.namespace.as_str()];
            arguments.extend(*damage);
            crate::lab::ip(&arguments);
            let error = lab.run("CHECK", &container, &lab.config()).error(106);
            assert!(error.to_string().contains(word), "{word}: {error}");
            // The same ADD again repairs the endpoint.
            lab.add(&container);
            lab.run("CHECK", &container, &lab.config()).ok();
            lab.del(&container);
        }
        let container = Container::new();
        lab.add(&container);
        let port = lab.bound_ports()[0]["id"].as_str().unwrap().to_owned();
        lab.http("DELETE", &format!("/midonet-api/ports/{port}"), "");
        let error = lab.run("CHECK", &container, &lab.config()).error(106);
        assert!(error.to_string().contains("port"), "{error}");
        lab.add(&container);
        assert_eq!(lab.bound_ports().len(), 1);
        lab.del(&container);
        lab.expect_nothing_left(&[&container]);
    }
}

fn with_valid(lab: &Lab, valid: Value) -> Value {
    let mut config = lab.config();
    config["cni.dev/valid-attachments"] = valid;
    config
}
