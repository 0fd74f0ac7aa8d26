//! Laboratories: real ones, with OVN, in namespaces of this machine.

// By path: the module's folder has the parts that need a laboratory, too.
#[path = "lab/proof.rs"]
mod proof;
#[path = "lab/random_specs.rs"]
mod random_specs;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use midoform_lab::{Datapath, Folder, Programs};
use midoform_testutil::{Ran, TestFolder};
use serde_json::Value as Json;

use crate::MIDOFORM;

/// Two tenants with the same network, and an exposed port of one of them.
const ACME: &str = r#"name = "acme"
[[bridge]]
name = "web"
cidr = "192.168.0.0/24"
[[bridge]]
name = "db"
cidr = "192.168.1.0/24"
[[port]]
name = "web-1"
bridge = "web"
host = "11111111-2222-3333-4444-555555555555"
interface = "tap1"
mac = "02:00:00:00:00:01"
address = "192.168.0.10"
[[rule]]
name = "web-to-db"
from = { bridge = "web" }
to = { bridge = "db", tcp = 5432 }
action = "accept"
[[rule]]
name = "nothing-else-to-db"
to = { bridge = "db" }
action = "drop"
[[expose]]
public = "203.0.113.10:443"
to = { bridge = "web", address = "192.168.0.20", tcp = 8443 }
"#;
const BLUE: &str = r#"name = "blue"
[[bridge]]
name = "web"
cidr = "192.168.0.0/24"
"#;
const SITE: &str = "name = \"two\"\n[midonet]\nurl = \"http://192.0.2.1:8181/midonet-api\"\nmanaged = true\n\
                    [etcd]\nendpoints = [\"http://192.0.2.1:2379\"]\n[pools]\nlinks = \"172.16.0.0/16\"\nshared = true\n";

/// Laboratories below a state folder of their own. They end with the value.
pub(crate) struct Labs {
    pub(crate) spec: TestFolder,
    state: tempfile::TempDir,
    programs: Option<PathBuf>,
}

impl Drop for Labs {
    fn drop(&mut self) {
        let _ = self.run(&["down", "--all"]);
    }
}

impl Labs {
    /// Returns a place for laboratories; none, with a word about it, where there can't be any.
    pub(crate) fn new() -> Option<Labs> {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: a laboratory needs root");
            return None;
        }
        let programs = midoform_testutil::newer_ovn();
        if let Err(error) = Programs::find(programs.as_deref()) {
            println!("SKIPPED: {error}");
            return None;
        }
        // Not below TMPDIR, which may be too deep for sockets.
        let state = tempfile::Builder::new().prefix("mf").tempdir_in("/tmp").unwrap();
        Some(Labs { spec: TestFolder::default(), state, programs })
    }

    /// Returns the same, if the datapath can do what every packet of the tests needs.
    pub(crate) fn with_sound_datapath() -> Option<Labs> {
        let labs = Labs::new()?;
        let version = Programs::find(labs.programs.as_deref()).unwrap().version("ovs-vswitchd").unwrap();
        if Datapath::of_machine() == Datapath::Userspace && version.is_none_or(|found| found.is_before(3, 5))
        {
            println!(
                "SKIPPED: Open vSwitch here is older than 3.5, and its userspace datapath may die of NAT \
                 (scripts/install-test-tools.sh unpacks a newer one)"
            );
            return None;
        }
        Some(labs)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.spec.command(MIDOFORM, &[&["lab"], arguments].concat());
        command.env("XDG_STATE_HOME", self.state.path());
        if let Some(programs) = &self.programs {
            command.env("MIDOFORM_OVN_ROOT", programs);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// Returns the folder of a laboratory.
    pub(crate) fn folder(&self, name: &str) -> Folder {
        let state = self.state.path().to_path_buf();
        Folder::named(&midoform_lab::of_all(Some(&state)), name).unwrap()
    }

    fn status(&self, name: &str) -> Json {
        let ran = self.run(&["status", "--json", "--name", name]).expect_code(0);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    fn ping(&self, name: &str, arguments: &[&str]) -> Json {
        let ran = self.run(&[&["ping", "--json", "-c", "1", "--name", name], arguments].concat());
        let pinged: Json = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        assert_eq!(ran.code == 0, pinged["answered"] != 0, "{pinged}");
        pinged
    }

    fn is_answered(&self, name: &str, arguments: &[&str]) -> bool {
        let wait: &[&str] = &["-W", "2"];
        self.ping(name, &[arguments, wait].concat())["answered"] == 1
    }

    #[track_caller]
    fn expect_gone(&self, name: &str) {
        let folder = self.folder(name);
        assert!(midoform_lab::is_gone(&folder), "something is left of {}", folder.path().display());
    }

    fn write_two(&self) {
        self.spec.write("site.toml", SITE);
        self.spec.write("acme.toml", ACME);
        self.spec.write("blue.toml", BLUE);
    }
}

fn example(name: &str) -> String {
    midoform_testutil::root().join("examples").join(name).display().to_string()
}

/// The seed's promise.
#[test]
fn the_seed_is_up_with_one_command() {
    let Some(labs) = Labs::with_sound_datapath() else { return };
    let seed = example("seed");
    let up = labs.run(&["up", &seed]).expect_code(0);
    assert!(up.stdout.is_empty() && up.stderr.contains("The laboratory seed is up: 2 places"), "{up:?}");
    let status = labs.status("seed");
    assert_eq!(status["is_whole"], true);
    let names: Vec<&str> =
        status["places"].as_array().unwrap().iter().map(|place| place["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tenant1/bridge0/192.168.0.1", "tenant1/bridge0/192.168.0.2"]);
    assert!(labs.is_answered("seed", &[names[0], names[1]]));
    let out = labs.ping("seed", &[names[0], "world", "--tcp", "80"]);
    let arrived = out["arrived"].as_str().unwrap();
    assert!(
        arrived.contains("at world, from 172.16.0."),
        "the source is the tenant's own address: {arrived}"
    );
    assert!(out["trace"].as_str().unwrap().contains("delivered to world"), "{out}");
    let nobody = labs.ping("seed", &[names[0], "192.168.0.99", "-W", "1"]);
    assert_eq!(nobody["answered"], 0, "{nobody}");
    // Whatever people run there, they get its exit code and its output.
    let ran = labs.run(&["exec", names[0], "--", "sh", "-c", "ip -br -4 address show dev eth0; exit 7"]);
    assert!(ran.code == 7 && ran.stdout.contains("192.168.0.1/24"), "{ran:?}");
    let ran = labs.run(&["exec", "host1", "--", "ovs-vsctl", "list-ports", "br-int"]).expect_code(0);
    assert!(ran.stdout.contains("p1\np2\n"), "{ran:?}");
    let absent = labs.run(&["exec", "tenant1/nowhere", "--", "true"]).expect_code(64);
    assert!(absent.stderr.contains("tenant1/bridge0/192.168.0.2"), "{absent:?}");
    let traced = labs.run(&["trace", names[0], names[1]]).expect_code(0).stdout;
    assert!(traced.contains("delivered to") && traced.contains("output to \"seed:tenant1/pod/"), "{traced}");
    // Another `up` keeps what is there.
    let _ = labs.run(&["up", &seed, "--pod", "tenant1/bridge0/192.168.0.77"]).expect_code(0);
    assert_eq!(labs.status("seed")["places"].as_array().unwrap().len(), 3);
    assert!(labs.is_answered("seed", &[names[0], "tenant1/bridge0/192.168.0.77"]));
    let other = labs.run(&["up", &seed, "--hosts", "2"]).expect_code(6);
    assert!(other.stderr.contains("number of hosts") && other.stderr.contains("lab down"), "{other:?}");
    let _ = labs.run(&["down"]).expect_code(0);
    labs.expect_gone("seed");
}

#[test]
fn tenants_are_apart_and_exposed_ports_answer() {
    let Some(labs) = Labs::with_sound_datapath() else { return };
    labs.write_two();
    // The site's own servers are never asked: nobody answers at their addresses.
    let _ = labs.run(&["up", ".", "--name", "two", "--pod", "blue/web/192.168.0.30"]).expect_code(0);
    assert!(!labs.spec.path().join("midoform.lock").exists(), "the spec's folder stays as it was");
    let (web, db) = ("acme/web-1", "acme/db/192.168.1.1");
    let blue = "blue/web/192.168.0.30";
    assert!(labs.is_answered("two", &[web, "acme/web/192.168.0.20"]));
    assert!(labs.is_answered("two", &[web, db, "--tcp", "5432"]));
    assert!(!labs.is_answered("two", &[web, db, "--tcp", "80"]));
    assert!(!labs.is_answered("two", &[web, "192.168.0.30"]), "another tenant's pod");
    let public = ["203.0.113.10", "--tcp", "443"];
    for from in ["world", web, blue] {
        let pinged = labs.ping("two", &[&[from], &public[..]].concat());
        assert_eq!(pinged["answered"], 1, "{pinged}");
        assert!(pinged["arrived"].as_str().unwrap().contains("acme/web/192.168.0.20"), "{pinged}");
    }
    assert!(labs.is_answered("two", &[blue, "world/192.0.2.77", "--udp", "53"]));
}

#[test]
fn two_labs_side_by_side_do_not_meet() {
    let (Some(one), Some(other)) = (Labs::new(), Labs::new()) else { return };
    for labs in [&one, &other] {
        labs.write_two();
    }
    let pods = ["--pod", "blue/web/192.168.0.30"];
    let _ = one.run(&[&["up", ".", "--name", "same"], &pods[..]].concat()).expect_code(0);
    let _ = other.run(&["up", ".", "--name", "same", "--pod", "blue/web/192.168.0.40"]).expect_code(0);
    let from = "blue/web/192.168.0.30";
    assert!(!one.is_answered("same", &[from, "192.168.0.40"]));
    let namespace = |labs: &Labs| labs.status("same")["hosts"][0]["namespace"].as_str().unwrap().to_owned();
    assert_ne!(namespace(&one), namespace(&other));
    let _ = other.run(&["down"]).expect_code(0);
    other.expect_gone("same");
    assert!(one.is_answered("same", &[from, "blue/web/192.168.0.1"]));
    let _ = one.run(&["down", "--name", "same"]).expect_code(0);
    one.expect_gone("same");
}

#[test]
fn three_hosts_have_tunnels_between_them() {
    let Some(labs) = Labs::with_sound_datapath() else { return };
    labs.write_two();
    let _ =
        labs.run(&["up", ".", "--name", "three", "--hosts", "3", "--pods-per-bridge", "3"]).expect_code(0);
    let status = labs.status("three");
    let places = status["places"].as_array().unwrap();
    let of = |tenant: &str| -> Vec<(&str, &str)> {
        let own = places.iter().filter(|place| place["name"].as_str().unwrap().starts_with(tenant));
        own.map(|place| (place["name"].as_str().unwrap(), place["host"].as_str().unwrap())).collect()
    };
    let blue = of("blue/web");
    assert!(blue.iter().any(|(_, host)| *host != blue[0].1), "{blue:?}");
    for (name, host) in &blue[1..] {
        assert!(labs.is_answered("three", &[blue[0].0, name]), "to {name} on {host}");
        assert!(labs.is_answered("three", &[name, "world", "--tcp", "80"]), "{name} on {host} to the world");
    }
    assert!(labs.is_answered("three", &["world", "203.0.113.10", "--tcp", "443"]));
}

/// Whenever `up` is killed, `down` leaves nothing, and another `up` goes on.
#[test]
fn down_leaves_nothing_of_an_up_that_was_killed() {
    let Some(labs) = Labs::new() else { return };
    labs.write_two();
    for (round, milliseconds) in [15, 60, 150, 300, 500, 800, 1200, 1800].into_iter().enumerate() {
        let mut up = labs.command(&["up", ".", "--name", "killed", "--hosts", "2"]);
        let mut up = up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = up.kill();
        let _ = up.wait();
        if round % 4 == 2 {
            let _ = labs.run(&["up", ".", "--name", "killed", "--hosts", "2"]).expect_code(0);
            assert_eq!(labs.status("killed")["is_whole"], true);
        }
        if round % 2 == 1 {
            // Even if the folder is gone, everything else is found.
            let _ = std::fs::remove_dir_all(labs.folder("killed").path());
        }
        let _ = labs.run(&["down", "--name", "killed"]).expect_code(0);
        labs.expect_gone("killed");
    }
}

#[test]
fn what_dies_is_seen_and_started_again() {
    let Some(labs) = Labs::new() else { return };
    labs.write_two();
    let _ = labs.run(&["up", ".", "--name", "hurt"]).expect_code(0);
    let held = labs.command(&["exec", "world", "--", "sleep", "600"]).spawn();
    let daemons = labs.status("hurt")["daemons"].as_array().unwrap().clone();
    for daemon in daemons.iter().filter(|daemon| daemon["name"] != "nb") {
        let process = daemon["process"].as_u64().unwrap().to_string();
        assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
    }
    let broken = labs.run(&["status", "--name", "hurt"]).expect_code(10);
    assert!(broken.stdout.contains("does not run") && broken.stdout.contains("lab up"), "{broken:?}");
    let _ = labs.run(&["up", ".", "--name", "hurt"]).expect_code(0);
    assert_eq!(labs.status("hurt")["is_whole"], true);
    assert!(labs.is_answered("hurt", &["blue/web/192.168.0.1", "blue/web/192.168.0.2"]));
    // What people left running in it ends, too.
    let _ = labs.run(&["down"]).expect_code(0);
    labs.expect_gone("hurt");
    assert!(!held.unwrap().wait().unwrap().success());
}

#[test]
fn mistakes_are_told_before_anything_is_made() {
    let Some(labs) = Labs::new() else { return };
    labs.write_two();
    let told = |arguments: &[&str], code: i32, words: &[&str]| {
        let ran = labs.run(arguments).expect_code(code);
        for word in words {
            assert!(ran.stderr.contains(word), "{arguments:?}: {word}: {}", ran.stderr);
        }
        assert!(Folder::all(Path::new(&labs.folder("x").path().parent().unwrap())).is_empty());
    };
    told(&["up", ".", "--name", "a/b"], 64, &["a/b"]);
    told(&["up", ".", "--pod", "acme/nowhere"], 64, &["acme/nowhere", "TENANT/BRIDGE"]);
    told(&["up", ".", "--pod", "acme/web/192.168.0.254"], 64, &["gateway 192.168.0.254"]);
    told(&["up", ".", "--programs", "/tmp"], 74, &["ovn-northd", "ovn-central", "MIDOFORM_OVN_ROOT"]);
    told(&["status"], 6, &["lab up SPEC"]);
    told(&["status", "--name", "absent"], 6, &["absent"]);
    told(&["down", "--name", "absent"], 0, &["there is nothing of it"]);
    labs.spec.write("acme.toml", "name = \"acme\"\nanti_spoof = \"none\"\n[[bridge]]\nname = \"b\"\n[[rule]]\nname = \"r\"\nfrom = { bridge = \"b\" }\naction = \"drop\"\n");
    // What OVN can't do is told at the line of the spec's own file.
    told(&["up", "."], 3, &["ovn-anti-spoof", "acme.toml:6"]);
    let nobody = labs.command(&["up", "."]).uid(65534).output();
    if let Ok(output) = nobody {
        let ran = Ran::from(output);
        assert!(ran.code == 64 && ran.stderr.contains("root"), "{ran:?}");
    }
}
