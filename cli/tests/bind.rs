//! `midoform bind`: static ports on a host of OVN.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use midoform_testutil::Ran;
use midoform_testutil::ovn_host::{OvnHost, ip};
use serde_json::Value;

use crate::MIDOFORM;

/// A tenant with two static ports on the host of the tests, and one elsewhere.
const TENANT: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n\
    [[port]]\nname = \"one\"\nbridge = \"web\"\nhost = \"here\"\ninterface = \"tap1\"\naddress = \"10.0.0.11\"\nmac = \"02:00:00:00:00:11\"\n\
    [[port]]\nname = \"two\"\nbridge = \"web\"\nhost = \"here\"\ninterface = \"tap2\"\naddress = \"10.0.0.12\"\nmac = \"02:00:00:00:00:12\"\n\
    [[port]]\nname = \"far\"\nbridge = \"web\"\nhost = \"there\"\ninterface = \"tap3\"\naddress = \"10.0.0.13\"\nmac = \"02:00:00:00:00:13\"\n";

/// An OVN with a site, and one tenant in its folder.
pub(crate) struct World {
    pub(crate) host: OvnHost,
    /// The namespaces behind interfaces.
    made: RefCell<BTreeSet<String>>,
}

impl Drop for World {
    fn drop(&mut self) {
        for name in self.made.take() {
            ip(&["netns", "del", &name]);
        }
    }
}

pub(crate) fn world() -> Option<World> {
    let host = OvnHost::start()?;
    let site = format!(
        "name = \"lab\"\n[ovn]\nnorthbound = \"{}\"\nopen_vswitch = \"{}\"\nmanaged = true\ngateway_chassis = \"hv\"\n\
         [[host]]\nname = \"here\"\nid = \"11111111-1111-1111-1111-111111111111\"\nchassis = \"hv\"\n\
         [[host]]\nname = \"there\"\nid = \"22222222-2222-2222-2222-222222222222\"\n",
        host.remote("nb"),
        host.remote("conf"),
    );
    host.folder.write("site.toml", site);
    host.folder.write("tenants/acme.toml", TENANT);
    Some(World { host, made: RefCell::default() })
}

impl World {
    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.host.command(MIDOFORM);
        command.args(arguments).arg("tenants").current_dir(self.host.folder.path());
        command
    }

    fn midoform(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    #[track_caller]
    pub(crate) fn apply(&self) {
        let ran = self.midoform(&["apply", "--yes"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }

    /// Returns the name of the namespace behind an interface.
    fn inside(&self, interface: &str) -> String {
        format!("{}-{interface}", self.host.namespace)
    }

    /// Makes an interface of the host. Its other end is in a namespace, with the addresses of the port.
    pub(crate) fn add_interface(&self, name: &str) {
        let (host, inside) = (&*self.host.namespace, &*self.inside(name));
        let number = &name[3..];
        let (mac, address) = (format!("02:00:00:00:00:1{number}"), format!("10.0.0.1{number}/24"));
        if self.made.borrow_mut().insert(inside.to_owned()) {
            ip(&["netns", "add", inside]);
        }
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", inside];
        ip(&[&["-n", host, "link", "add", name][..], &peer].concat());
        ip(&["-n", host, "link", "set", name, "up"]);
        ip(&["-n", inside, "link", "set", "eth0", "address", &mac, "up"]);
        ip(&["-n", inside, "addr", "add", &address, "dev", "eth0"]);
    }

    /// Asserts that one port's namespace reaches the address of the other.
    #[track_caller]
    fn expect_answer(&self, from: &str, address: &str) {
        let inside = self.inside(from);
        let ping = ["netns", "exec", &inside, "ping", "-n", "-c", "1", "-W", "1", address];
        let answers = || std::process::Command::new("ip").args(ping).output().unwrap().status.success();
        assert!((0..10).any(|_| answers()), "{address} does not answer {from}");
    }

    /// Returns the name of the logical switch port of an interface in Open vSwitch.
    fn port_of(&self, interface: &str) -> String {
        let get = ["--if-exists", "get", "Interface", interface, "external_ids:iface-id"];
        self.host.vsctl(&get).trim().trim_matches('"').to_owned()
    }

    fn is_up(&self, port: &str) -> bool {
        self.host.nbctl(&["lsp-get-up", port]).trim() == "up"
    }

    fn bind_json(&self, more: &[&str]) -> Value {
        let ran = self.midoform(&[&["bind", "--json"], more].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }
}

/// Returns the states of the ports in a report, by interface.
fn states(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ports = report["ports"].as_array().unwrap();
    ports.iter().map(|port| (text(&port["interface"]), text(&port["state"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn ports_of_this_host_are_bound_when_their_interfaces_are_there() {
    let Some(world) = world() else { return };
    world.apply();
    world.add_interface("tap1");
    let first = world.midoform(&["bind"]);
    assert_eq!(first.code, 0, "{first:?}");
    let lines = "acme/port/one                    tap1            bound\n\
                 acme/port/two                    tap2            waits: the host has no such interface\n";
    assert_eq!(first.stdout, lines);
    assert_eq!(world.port_of("tap1"), "lab:acme/port/one");
    assert!(world.is_up("lab:acme/port/one") && !world.is_up("lab:acme/port/two"));
    world.add_interface("tap2");
    assert_eq!(states(&world.bind_json(&["--dry-run"])), pairs(&[("tap1", "bound"), ("tap2", "would-bind")]));
    assert_eq!(world.port_of("tap2"), "");
    assert_eq!(states(&world.bind_json(&[])), pairs(&[("tap1", "bound"), ("tap2", "bound")]));
    // Twice is once.
    let before = world.host.vsctl(&["list", "Interface"]);
    assert_eq!(world.midoform(&["bind"]).code, 0);
    assert_eq!(world.host.vsctl(&["list", "Interface"]), before);
    world.expect_answer("tap1", "10.0.0.12");
    let shown = world.midoform(&["show"]).stdout;
    let line = |key: &str| shown.lines().find(|line| line.contains(key)).unwrap();
    assert!(line("port/one ").ends_with("(bound)") && line("port/far ").ends_with("(not bound)"), "{shown}");
    assert!(!line("bridge/web ").contains("bound"), "{shown}");
    // An interface that is made again is bound again, and carries packets.
    ip(&["-n", &world.host.namespace, "link", "del", "tap1"]);
    assert_eq!(states(&world.bind_json(&[]))[0], ("tap1".to_owned(), "no-interface".to_owned()));
    world.add_interface("tap1");
    assert_eq!(states(&world.bind_json(&[])), pairs(&[("tap1", "bound"), ("tap2", "bound")]));
    world.expect_answer("tap1", "10.0.0.12");
}

#[test]
fn what_the_spec_no_longer_names_is_taken_out_and_nothing_else() {
    let Some(world) = world() else { return };
    world.apply();
    for name in ["tap1", "tap2", "tap9"] {
        world.add_interface(name);
    }
    world.host.vsctl(&[
        "add-port",
        "br-int",
        "tap9",
        "--",
        "set",
        "Interface",
        "tap9",
        "external_ids:iface-id=x",
    ]);
    assert_eq!(world.midoform(&["bind"]).code, 0);
    // The port gets another interface, and the second one goes.
    let (kept, _) = TENANT.split_once("[[port]]\nname = \"two\"").unwrap();
    world.host.folder.write("tenants/acme.toml", kept.replace("tap1", "tap2"));
    let report = world.bind_json(&[]);
    assert_eq!(states(&report), pairs(&[("tap2", "bound")]));
    assert_eq!(report["removed"], serde_json::json!(["tap1"]));
    assert_eq!((world.port_of("tap1"), world.port_of("tap2")), (String::new(), "lab:acme/port/one".into()));
    // A tenant without a file is left, unless --prune asks for it.
    world.host.folder.write("tenants/other.toml", "name = \"other\"\n");
    std::fs::remove_file(world.host.folder.path().join("tenants/acme.toml")).unwrap();
    assert_eq!(world.bind_json(&[])["removed"], serde_json::json!([]));
    assert_eq!(world.port_of("tap2"), "lab:acme/port/one");
    assert_eq!(world.bind_json(&["--prune"])["removed"], serde_json::json!(["tap2"]));
    assert_eq!(world.port_of("tap9"), "x");
    assert_eq!(
        world.midoform(&["bind", "--release"]).stdout,
        "The specs have no static port on the host here.\n"
    );
}

#[test]
fn an_interface_of_somebody_else_is_named_or_refused() {
    let Some(world) = world() else { return };
    world.apply();
    for name in ["tap1", "tap2"] {
        world.add_interface(name);
    }
    // A virtual machine's own script put it into the bridge, with words of its own.
    world.host.vsctl(&["add-port", "br-int", "tap1", "--", "set", "Interface", "tap1", "external_ids:vm=7"]);
    world.host.vsctl(&[
        "add-port",
        "br-int",
        "tap2",
        "--",
        "set",
        "Interface",
        "tap2",
        "external_ids:iface-id=y",
    ]);
    let ran = world.midoform(&["bind"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.stdout.contains("tap1            bound\n"), "{ran:?}");
    assert!(
        ran.stdout.contains("tap2            refused: somebody else plugged it for the port y\n"),
        "{ran:?}"
    );
    assert_eq!(world.port_of("tap2"), "y");
    let ids = world.host.vsctl(&["get", "Interface", "tap1", "external_ids"]);
    assert!(ids.contains("vm=\"7\"") && ids.contains("midoform-given=\"true\""), "{ids}");
    // The names go, and the port stays.
    assert_eq!(world.bind_json(&["--release"])["removed"], serde_json::json!(["tap1"]));
    assert_eq!(world.port_of("tap1"), "");
    let ids = world.host.vsctl(&["get", "Interface", "tap1", "external_ids"]);
    assert!(ids.contains("vm=\"7\"") && !ids.contains("midoform"), "{ids}");
    // One in another bridge is not taken away.
    world.host.vsctl(&[
        "del-port",
        "tap1",
        "--",
        "add-br",
        "other",
        "--",
        "set",
        "Bridge",
        "other",
        "datapath_type=netdev",
    ]);
    world.host.vsctl(&["add-port", "other", "tap1"]);
    let ran = world.midoform(&["bind"]);
    assert!(
        ran.stdout.contains("tap1            refused: it is in the bridge other, not in br-int\n"),
        "{ran:?}"
    );
}

#[test]
fn a_port_without_its_row_is_not_bound_and_the_exit_code_says_so() {
    let Some(world) = world() else { return };
    world.add_interface("tap1");
    let ran = world.midoform(&["bind", "--wait", "1"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("tap1            plugged in, but OVN has not installed it"), "{ran:?}");
    // It is bound when the spec is applied.
    world.apply();
    world.host.wait_until(|| world.is_up("lab:acme/port/one"));
}

#[test]
fn the_host_is_told_by_its_chassis_and_a_wrong_one_is_refused() {
    let Some(world) = world() else { return };
    let wrong = world.midoform(&["bind", "--host", "there"]);
    assert_eq!(wrong.code, 6, "{wrong:?}");
    assert!(wrong.stderr.contains("has the chassis `there`, and this host's is `hv`"), "{wrong:?}");
    let unknown = world.midoform(&["bind", "--host", "nowhere"]);
    assert_eq!(unknown.code, 64, "{unknown:?}");
    assert!(unknown.stderr.contains("The site's hosts: here, there"), "{unknown:?}");
    world.host.kill("conf");
    let away = world.midoform(&["bind"]);
    assert_eq!(away.code, 4, "{away:?}");
    assert!(away.stderr.contains("does Open vSwitch run on this host"), "{away:?}");
}

/// A `bind --watch`, whose reports are read line by line.
struct Watching {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Watching {
    fn start(world: &World) -> Watching {
        let mut command = world.command(&["bind", "--watch", "2", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Watching { child, lines }
    }

    /// Waits for a report with these states.
    #[track_caller]
    fn until(&self, expected: &[(&str, &str)]) {
        let end = Instant::now() + Duration::from_secs(20);
        let mut last = String::new();
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if states(&serde_json::from_str(&line).unwrap()) == pairs(expected) {
                return;
            }
            last = line;
        }
        panic!("the last report is {last}");
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_watch_binds_interfaces_as_they_appear_and_follows_the_specs() {
    let Some(world) = world() else { return };
    world.apply();
    let watching = Watching::start(&world);
    watching.until(&[("tap1", "no-interface"), ("tap2", "no-interface")]);
    world.add_interface("tap2");
    watching.until(&[("tap1", "no-interface"), ("tap2", "bound")]);
    let (kept, _) = TENANT.split_once("[[port]]\nname = \"two\"").unwrap();
    world.host.folder.write("tenants/acme.toml", kept);
    watching.until(&[("tap1", "no-interface")]);
    world.host.wait_until(|| world.port_of("tap2").is_empty());
    // A wrong spec, or a database that is away, does not end it.
    world.host.folder.write("tenants/acme.toml", "name = ");
    std::thread::sleep(Duration::from_secs(3));
    world.host.folder.write("tenants/acme.toml", TENANT);
    watching.until(&[("tap1", "no-interface"), ("tap2", "bound")]);
    world.add_interface("tap1");
    watching.until(&[("tap1", "bound"), ("tap2", "bound")]);
    watching.stop();
    // What is bound stays bound.
    assert!(world.is_up("lab:acme/port/one"));
}
