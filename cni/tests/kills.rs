//! kill -9 of the plugin at every call in turn, and of many plugins at once: the next run leaves nothing behind.
//!
//! `strace` kills the plugin when it enters its Nth system call of a set. The calls of the store, the API and the
//! kernel consist of these system calls, so a run is killed before and after each of them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::PLUGIN;
use crate::lab::{Container, DIALECTS, Lab, skipped_without, skipped_without_root, started};

/// The sets of system calls that a run makes. `strace` counts for each thread, and the first thread that reaches its
/// Nth call kills the process. So one set is used only by the thread of store and API, one only by the thread of the
/// kernel, and one by both.
const CALLS: [&str; 3] = [
    "connect,writev,sendmsg,pwrite64,fdatasync,fsync,unlink,rename",
    "sendto,setns",
    "recvfrom,recvmsg,setns",
];

/// Runs a verb, and kills it at its Nth call of a set. Returns true if it was killed.
fn killed(lab: &Lab, verb: &str, container: &Container, config: &Value, calls: &str, nth: usize) -> bool {
    let mut command = Command::new("strace");
    lab.environment(&mut command, verb, container);
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:signal=KILL:when={nth}"), PLUGIN]);
    let output = started(command, config.to_string().as_bytes()).wait_with_output().unwrap();
    let was_killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    assert!(was_killed || output.status.success(), "{nth}: {output:?}");
    was_killed
}

/// Kills at the first call of each set, at the second, and so on until a run ends by itself. Returns the number of
/// killed runs.
fn each_call(lab: &Lab, mut kill: impl FnMut(&Lab, &str, usize) -> bool) -> usize {
    CALLS.into_iter().map(|calls| (1..).take_while(|nth| kill(lab, calls, *nth)).count()).sum()
}

fn skipped() -> bool {
    if skipped_without_root() || skipped_without(&["strace"]) {
        return true;
    }
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    if !traced.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: processes can't be traced here");
        return true;
    }
    false
}

#[test]
fn an_add_that_is_killed_at_any_call_leaves_nothing_after_del_or_gc() {
    if skipped() {
        return;
    }
    let mut labs: Vec<Lab> = DIALECTS.into_iter().map(Lab::new).collect();
    if !skipped_without(&["etcd"]) {
        labs.push(Lab::new(DIALECTS[1]).on_etcd());
    }
    for lab in labs {
        let first = Container::new();
        lab.add(&first);
        lab.del(&first);
        let kills = each_call(&lab, |lab, calls, nth| {
            let container = Container::new();
            let was_killed = killed(lab, "ADD", &container, &lab.config(), calls, nth);
            if nth % 2 == 0 || !was_killed {
                lab.del(&container);
            } else {
                let mut config = lab.config();
                config["cni.dev/valid-attachments"] = json!([]);
                lab.run("GC", &container, &config).ok();
            }
            lab.expect_nothing_left(&[&container]);
            was_killed
        });
        println!("ADD was killed at {kills} calls");
        assert!(kills > 40, "{kills}");
    }
}

#[test]
fn an_add_after_a_killed_one_succeeds() {
    if skipped() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        let first = Container::new();
        lab.add(&first);
        let kills = each_call(&lab, |lab, calls, nth| {
            let container = Container::new();
            let was_killed = killed(lab, "ADD", &container, &lab.config(), calls, nth);
            lab.add(&container);
            lab.run("CHECK", &container, &lab.config()).ok();
            assert_eq!((lab.bound_ports().len(), lab.held_addresses()), (2, 2), "{calls} {nth}");
            lab.del(&container);
            // On 1.x a call that was sent just before its sender died may make another port: DEL finds it.
            assert_eq!((lab.bound_ports().len(), lab.stray_ports().len()), (1, 0), "{calls} {nth}");
            was_killed
        });
        println!("dialect {}: ADD was killed at {kills} calls, and done again", dialect.0);
        assert!(kills > 40, "{kills}");
        lab.del(&first);
        lab.expect_nothing_left(&[&first]);
    }
}

#[test]
fn a_del_that_is_killed_at_any_call_is_finished_by_the_next() {
    if skipped() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        let kills = each_call(&lab, |lab, calls, nth| {
            let container = Container::new();
            lab.add(&container);
            let was_killed = killed(lab, "DEL", &container, &lab.config(), calls, nth);
            lab.del(&container);
            lab.expect_nothing_left(&[&container]);
            was_killed
        });
        println!("dialect {}: DEL was killed at {kills} calls", dialect.0);
        assert!(kills > 12, "{kills}");
    }
}

/// Kills the first pod of a tenant at every call, with a new tenant each time. The first pod makes the tenant, and
/// links it with its peer if the peer is made. The next pod finishes the work.
fn tenants_that_were_being_made(lab: &Lab, is_linked: bool) {
    /// A spoke's ADD compiles all spokes of its hub.
    const SPOKES: usize = 16;
    lab.add_to_site("[pools]\nbridges = \"10.64.0.0/12\"\nbridge_prefix = 24\n");
    let mut specs = BTreeMap::new();
    let (mut tenants, mut hubs) = (0, 0);
    let kills = each_call(lab, |lab, calls, nth| {
        if tenants % SPOKES == 0 {
            hubs += 1;
            make_hub(lab, &format!("hub{hubs}"), tenants + 1..=tenants + SPOKES, &mut specs);
        }
        tenants += 1;
        let name = format!("t{tenants}");
        let config = of_tenant(lab, &name);
        let hub = peers(is_linked.then(|| format!("hub{hubs}")));
        let spec = format!("name = \"{name}\"\n[[bridge]]\nname = \"web\"\n{hub}");
        lab.push(&name, &spec);
        specs.insert(name, spec);
        let (container, next) = (Container::new(), Container::new());
        let was_killed = killed(lab, "ADD", &container, &config, calls, nth);
        lab.run("ADD", &next, &config).ok();
        for container in [&container, &next] {
            lab.run("DEL", container, &config).ok();
            assert_eq!(container.interfaces(), Vec::<String>::new(), "{calls} {nth}");
        }
        was_killed
    });
    println!("the first ADD of a tenant was killed at {kills} calls, of a tenant each");
    assert!(kills > 100, "{kills}");
    lab.expect_nothing_left(&[]);
    let count = |kind: &str| lab.objects(kind).len();
    assert_eq!(count("Router"), tenants + hubs + 1, "one for each tenant and hub, and the provider's");
    assert_eq!(count("Network"), tenants + hubs);
    assert_eq!(lab.changes(&specs), Vec::<String>::new());
}

/// Pushes a hub that names these tenants as its peers, and makes it by its first pod.
fn make_hub(lab: &Lab, name: &str, spokes: RangeInclusive<usize>, specs: &mut BTreeMap<String, String>) {
    let spokes = peers(spokes.map(|number| format!("t{number}")));
    let spec = format!("name = \"{name}\"\n[[bridge]]\nname = \"services\"\n{spokes}");
    lab.push(name, &spec);
    specs.insert(name.to_owned(), spec);
    let (first, config) = (Container::new(), of_tenant(lab, name));
    lab.run("ADD", &first, &config).ok();
    lab.run("DEL", &first, &config).ok();
}

fn peers(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().map(|name| format!("[[peer]]\ntenant = \"{name}\"\n")).collect()
}

fn of_tenant(lab: &Lab, tenant: &str) -> Value {
    let mut config = lab.config();
    config["tenant"] = json!(tenant);
    config
}

#[test]
fn a_tenant_that_was_being_made_is_finished_by_the_next_pod() {
    if !skipped() {
        tenants_that_were_being_made(&Lab::new(DIALECTS[1]), true);
    }
}

#[test]
fn a_tenant_that_was_being_made_is_finished_by_the_next_pod_on_1_7() {
    if !skipped() {
        tenants_that_were_being_made(&Lab::new(DIALECTS[0]), true);
    }
}

#[test]
fn a_tenant_that_was_being_made_is_finished_by_the_next_pod_on_etcd() {
    if !skipped() && !skipped_without(&["etcd"]) {
        tenants_that_were_being_made(&Lab::new(DIALECTS[1]).on_etcd(), false);
    }
}
