//! `midoform doctor` on a site of OVN: real databases, OVN's own northd, and a host of a laboratory.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use midoform_testutil::ovsdb::{self, Servers};
use midoform_testutil::{Ran, TestFolder};
use serde_json::Value as Json;

use crate::MIDOFORM;
use crate::first_steps::{findings, has};
use crate::lab::Labs;

const NORTHBOUND: &str = "/usr/share/ovn/ovn-nb.ovsschema";
const SOUTHBOUND: &str = "/usr/share/ovn/ovn-sb.ovsschema";
const HOST: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Says why the databases can't be had; none if they can.
fn missing() -> bool {
    let schema = [NORTHBOUND, SOUTHBOUND, HOST].into_iter().find(|schema| !Path::new(schema).exists());
    match ovsdb::missing().or_else(|| schema.map(str::to_owned)) {
        None => false,
        Some(missing) => {
            println!("SKIPPED: OVN is not installed ({missing} is missing)");
            true
        }
    }
}

/// A project on a northbound database; its host's database is one that does not exist.
fn project(northbound: &str) -> TestFolder {
    let folder = TestFolder::default();
    write(&folder, northbound, "unix:/nowhere/db.sock");
    folder.write("acme.toml", "name = \"acme\"\n[[bridge]]\nname = \"web\"\n");
    folder
}

fn write(folder: &TestFolder, northbound: &str, host: &str) {
    let remotes: Vec<String> = northbound.split(',').map(|remote| format!("\"{remote}\"")).collect();
    folder.write(
        "site.toml",
        format!(
            "name = \"lab\"\n[ovn]\nnorthbound = [{}]\nmanaged = true\ngateway_chassis = \"host1\"\nopen_vswitch = \"{host}\"\n",
            remotes.join(", ")
        ),
    );
}

/// Starts a server, and waits for its socket.
pub(crate) fn started(schema: &Path) -> Servers {
    let servers = Servers::alone(schema);
    let socket = servers.unix(0).trim_start_matches("unix:").to_owned();
    for _ in 0..500 {
        if Path::new(&socket).exists() {
            return servers;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{}", servers.logs())
}

const NO_PLUGIN: [&str; 4] = ["--cni-configuration", "none", "--cni-plugins", "none"];

fn doctor(folder: &TestFolder, code: i32) -> Ran {
    folder
        .run(MIDOFORM, &[&["doctor", "--json", "--timeout", "2"], &NO_PLUGIN[..]].concat())
        .expect_code(code)
}

/// A northd between two databases. It ends with the value.
struct Northd {
    child: Child,
    _southbound: Servers,
}

impl Northd {
    fn start(northbound: &Servers) -> Northd {
        let southbound = started(Path::new(SOUTHBOUND));
        let folder = southbound.folder().display().to_string();
        let mut command = Command::new("ovn-northd");
        command.args([
            format!("--ovnnb-db={}", northbound.unix(0)),
            format!("--ovnsb-db={}", southbound.unix(0)),
        ]);
        command.arg(format!("--unixctl={folder}/northd.ctl")).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.env("OVN_RUNDIR", &folder).spawn().unwrap();
        Northd { child, _southbound: southbound }
    }
}

impl Drop for Northd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn server_schema_northd_and_clock_are_judged() {
    if missing() {
        return;
    }
    let northbound = started(Path::new(NORTHBOUND));
    let folder = project(&northbound.unix(0));
    let version = Command::new("ovsdb-tool").args(["schema-version", NORTHBOUND]).output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap().trim().to_owned();
    let ran = doctor(&folder, 10);
    let seen = findings(&ran, "northbound");
    assert!(has(&seen, "right", &format!("has OVN_Northbound {version}, no cluster")), "{seen:?}");
    assert!(has(&findings(&ran, "northd"), "wrong", "start ovn-northd"), "{}", ran.stdout);
    assert!(
        findings(&ran, "clock").is_empty()
            && has(&findings(&ran, "Open vSwitch"), "skipped", "no host of OVN")
    );
    let _northd = Northd::start(&northbound);
    let ran = doctor(&folder, 0);
    for (about, words) in [
        ("northd", "follows"),
        ("clock", "the northd's and this machine's differ by 0 s"),
        ("chassis", "all have"),
    ] {
        assert!(has(&findings(&ran, about), "right", words), "{about}: {}", ran.stdout);
    }
}

/// The schema of a database that an older OVN has made: tables and columns are missing.
#[test]
fn a_schema_that_is_too_old_is_named() {
    if missing() {
        return;
    }
    let mut schema: Json = serde_json::from_str(&std::fs::read_to_string(NORTHBOUND).unwrap()).unwrap();
    schema["version"] = "5.16.0".into();
    schema.as_object_mut().unwrap().remove("cksum");
    let gone =
        schema["tables"]["Logical_Router_Policy"]["columns"].as_object_mut().unwrap().remove("nexthops");
    let number = schema["tables"]["NB_Global"]["columns"].as_object_mut().unwrap().remove("hv_cfg");
    assert!(gone.is_some() && number.is_some());
    let folder = TestFolder::default();
    folder.write("old.ovsschema", schema.to_string());
    let servers = started(&folder.path().join("old.ovsschema"));
    let project = project(&servers.unix(0));
    let seen = findings(&doctor(&project, 10), "northbound");
    for words in ["OVN_Northbound 5.16.0", "NB_Global.hv_cfg", "upgrade OVN"] {
        assert!(has(&seen, "wrong", words), "{words}: {seen:?}");
    }
}

#[test]
fn a_database_that_can_not_be_used_says_what_to_do() {
    if missing() {
        return;
    }
    let southbound = started(Path::new(SOUTHBOUND));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_remote = format!("tcp:{}", silent.local_addr().unwrap());
    let paused = started(Path::new(NORTHBOUND));
    paused.signal(0, "STOP");
    let nobody = "tcp:127.0.0.1:1".to_owned();
    for (remote, words) in [
        (southbound.unix(0), "has other databases, not OVN_Northbound"),
        ("unix:/nowhere/nb.sock".to_owned(), "start the ovsdb-server of the northbound database"),
        (nobody, "start the ovsdb-server of the northbound database"),
        (paused.unix(0), "does not answer"),
        (silent_remote, "does not answer"),
    ] {
        let seen = findings(&doctor(&project(&remote), 10), "northbound");
        assert!(has(&seen, "wrong", words), "{remote}: {seen:?}");
    }
    paused.signal(0, "CONT");
}

#[test]
fn a_cluster_is_used_through_its_leader() {
    if missing() {
        return;
    }
    let cluster = Servers::cluster(Path::new(NORTHBOUND), "OVN_Northbound", 3);
    let all = project(&cluster.tcp());
    // It may still be electing its leader.
    let is_led = || {
        let seen = findings(&doctor(&all, 10), "northbound");
        has(&seen, "right", "the leader of its cluster").then_some(seen)
    };
    let seen = (0..20).find_map(|_| is_led()).unwrap_or_else(|| panic!("{}", cluster.logs()));
    let leader = seen[0].1.split(' ').next().unwrap().to_owned();
    let follower = cluster.tcp().split(',').find(|remote| *remote != leader).unwrap().to_owned();
    let seen = findings(&doctor(&project(&follower), 10), "northbound");
    assert!(has(&seen, "wrong", "name all members of the cluster"), "{seen:?}");
    // Two of three are gone: what is left has no majority.
    let at = cluster.tcp().split(',').position(|remote| remote == follower).unwrap();
    (0..3).filter(|other| *other != at).for_each(|other| cluster.kill(other));
    let lost = || {
        let seen = findings(&doctor(&project(&follower), 10), "northbound");
        has(&seen, "wrong", "no majority").then_some(())
    };
    assert!((0..20).find_map(|_| lost()).is_some(), "{}", cluster.logs());
}

#[test]
fn a_socket_that_this_user_may_not_use_is_named() {
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok_and(|ran| ran.status.success());
    if missing() {
        return;
    }
    if !rustix::process::geteuid().is_root() || !has_setpriv {
        println!("SKIPPED: a socket of another user needs root and setpriv");
        return;
    }
    let northbound = started(Path::new(NORTHBOUND));
    let host = started(Path::new(HOST));
    let folder = project(&northbound.unix(0));
    write(&folder, &northbound.unix(0), &host.unix(0));
    for path in [folder.path(), northbound.folder(), host.folder()] {
        assert!(Command::new("chmod").arg("755").arg(path).status().unwrap().success());
    }
    for socket in [northbound.unix(0), host.unix(0)] {
        let path = socket.trim_start_matches("unix:").to_owned();
        assert!(Command::new("chmod").args(["750", &path]).status().unwrap().success());
    }
    let arguments =
        ["--reuid=65534", "--regid=65534", "--clear-groups", MIDOFORM, "doctor", "--json", "--timeout", "2"];
    let ran = folder.run("setpriv", &[&arguments[..], &NO_PLUGIN[..]].concat()).expect_code(10);
    for about in ["northbound", "Open vSwitch"] {
        assert!(
            has(&findings(&ran, about), "wrong", "this user may not use the socket"),
            "{about}: {}",
            ran.stdout
        );
    }
}

/// A host's database as packages leave it, and then key by key.
#[test]
fn a_host_that_is_no_chassis_is_told_what_lacks() {
    if missing() {
        return;
    }
    let (northbound, host) = (started(Path::new(NORTHBOUND)), started(Path::new(HOST)));
    let folder = project(&northbound.unix(0));
    write(&folder, &northbound.unix(0), &host.unix(0));
    let vsctl = |arguments: &[&str]| {
        let ran = Command::new("ovs-vsctl")
            .arg(format!("--db={}", host.unix(0)))
            .arg("--no-wait")
            .args(arguments)
            .output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    vsctl(&["init"]);
    assert!(has(&findings(&doctor(&folder, 10), "Open vSwitch"), "skipped", "no `ovn-remote`"));
    let set = |pair: &str| vsctl(&["set", "open_vswitch", ".", &format!("external_ids:{pair}")]);
    set("ovn-remote=unix:/nowhere/sb.sock");
    let ran = doctor(&folder, 10);
    assert!(has(&findings(&ran, "Open vSwitch"), "wrong", "no integration bridge br-int"), "{}", ran.stdout);
    assert!(has(&findings(&ran, "chassis"), "wrong", "external_ids:system-id=NAME"), "{}", ran.stdout);
    assert!(has(&findings(&ran, "tunnels"), "wrong", "external_ids:ovn-encap-type=geneve"), "{}", ran.stdout);
    assert!(has(&findings(&ran, "ovn-controller"), "wrong", "start ovn-controller"), "{}", ran.stdout);
    set("system-id=host1");
    set("ovn-encap-type=vxlan");
    set("ovn-encap-ip=192.0.2.99");
    vsctl(&["add-br", "br-int"]);
    let ran = doctor(&folder, 10);
    let chassis = findings(&ran, "chassis");
    assert!(has(&chassis, "right", "this host is `host1`, a gateway of the site"), "{chassis:?}");
    let tunnels = findings(&ran, "tunnels");
    assert!(has(&tunnels, "doubtful", "are vxlan, and the site says geneve"), "{tunnels:?}");
    assert!(has(&tunnels, "wrong", "192.0.2.99, which no interface of this machine has"), "{tunnels:?}");
    assert!(has(&findings(&ran, "Open vSwitch"), "wrong", "start ovs-vswitchd"), "{}", ran.stdout);
    assert!(has(&findings(&ran, "ovn-controller"), "wrong", "has never followed"), "{}", ran.stdout);
}

/// A host on which everything runs; then ovn-controller stops.
#[test]
fn a_host_of_a_laboratory_is_sound() {
    let Some(labs) = Labs::new() else { return };
    labs.spec.write("site.toml", "name = \"one\"\n[midonet]\nembedded = true\nmanaged = true\n");
    labs.spec.write("acme.toml", "name = \"acme\"\n[[bridge]]\nname = \"web\"\n");
    let _ = labs.run(&["up", ".", "--name", "doctor", "--hosts", "2"]).expect_code(0);
    let central = labs.folder("doctor").path().join("central");
    let sockets =
        labs.run(&["exec", "--name", "doctor", "host1", "--", "sh", "-c", "echo $OVS_RUNDIR"]).expect_code(0);
    let folder = project("");
    write(
        &folder,
        &format!("unix:{}/nb.sock", central.display()),
        &format!("unix:{}/db.sock", sockets.stdout.trim()),
    );
    let project = folder.path().display().to_string();
    let arguments = ["exec", "--name", "doctor", "host1", "--", MIDOFORM, "doctor", "--json", &project];
    let look = || labs.run(&[&arguments[..], &NO_PLUGIN[..]].concat());
    let ran = look().expect_code(0);
    for (about, words) in [
        ("northbound", "OVN_Northbound"),
        ("northd", "follows"),
        ("Open vSwitch", "has br-int"),
        ("chassis", "this host is `host1`"),
        ("tunnels", "`ovn-encap-ip`"),
        ("ovn-controller", "this host has its flows"),
    ] {
        assert!(has(&findings(&ran, about), "right", words), "{about}: {}", ran.stdout);
    }
    let status = labs.run(&["status", "--json", "--name", "doctor"]).expect_code(0);
    let status: Json = serde_json::from_str(&status.stdout).unwrap();
    let daemons = status["daemons"].as_array().unwrap();
    let controller = daemons.iter().find(|daemon| daemon["name"] == "controller").unwrap();
    let process = controller["process"].as_u64().unwrap().to_string();
    assert!(Command::new("kill").args(["-STOP", &process]).status().unwrap().success());
    let ran = look();
    assert!(Command::new("kill").args(["-CONT", &process]).status().unwrap().success());
    let ran = ran.expect_code(10);
    assert!(has(&findings(&ran, "ovn-controller"), "wrong", "start ovn-controller"), "{}", ran.stdout);
    assert!(has(&findings(&ran, "chassis"), "doubtful", "has not made its flows"), "{}", ran.stdout);
}
