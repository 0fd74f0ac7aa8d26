//! A laboratory with a real OVN: its databases, northd, and one host in a namespace of its own, with Open vSwitch's userspace datapath.
//!
//! Its programs are those of Debian 13, unpacked in a folder (`midoform_testutil::newer_ovn`): the userspace datapath of Debian 12
//! may die of connection tracking.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use midoform_store::backends::embedded::Embedded;
use midoform_store::record::encode;
use midoform_store::tenants::PushedFile;
use midoform_store::{Range, SharedStore, Transaction, keys};
use midoform_testutil::TestFolder;
use serde_json::{Value, json};

use crate::PLUGIN;
use crate::lab::{Container, Ran, ip, run, skipped_without_root, started, unique};

/// The programs that the laboratory starts.
const PROGRAMS: [&str; 8] = [
    "usr/sbin/ovsdb-server",
    "usr/bin/ovsdb-tool",
    "usr/lib/openvswitch-switch/ovs-vswitchd",
    "usr/bin/ovs-vsctl",
    "usr/bin/ovn-northd",
    "usr/bin/ovn-nbctl",
    "usr/bin/ovn-sbctl",
    "usr/bin/ovn-controller",
];

/// A running OVN with one host.
pub(crate) struct World {
    pub(crate) folder: TestFolder,
    host: String,
    root: PathBuf,
    running: RefCell<BTreeMap<&'static str, Child>>,
    runtime: tokio::runtime::Runtime,
}

/// Returns a running world; none, and says so, if it can't run here.
pub(crate) fn world() -> Option<World> {
    if skipped_without_root() {
        return None;
    }
    let Some(root) = midoform_testutil::newer_ovn() else {
        println!(
            "SKIPPED: there is no newer OVN than the system's (scripts/install-test-tools.sh unpacks one)"
        );
        return None;
    };
    let host = unique("mh-");
    ip(&["netns", "add", &host]);
    ip(&["-n", &host, "link", "set", "lo", "up"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = World { folder: TestFolder::default(), host, root, running: RefCell::default(), runtime };
    world.start();
    Some(world)
}

impl World {
    fn start(&self) {
        for name in ["nb", "sb", "conf"] {
            let schema = match name {
                "nb" => "ovn/ovn-nb.ovsschema",
                "sb" => "ovn/ovn-sb.ovsschema",
                _ => "openvswitch/vswitch.ovsschema",
            };
            let schema = self.root.join("usr/share").join(schema);
            let file = self.file(&format!("{name}.db"));
            self.tool("ovsdb-tool", &["create", &file, &schema.display().to_string()]);
            self.start_part(name);
        }
        self.tool("ovn-nbctl", &["--no-wait", "init"]);
        self.tool("ovn-sbctl", &["init"]);
        self.start_part("northd");
        self.vsctl(&["--no-wait", "init"]);
        let southbound = format!("external_ids:ovn-remote={}", self.remote("sb"));
        self.vsctl(&[
            "--no-wait",
            "set",
            "open",
            ".",
            "external_ids:system-id=hv",
            &southbound,
            "external_ids:ovn-encap-type=geneve",
            "external_ids:ovn-encap-ip=127.0.0.1",
            "external_ids:ovn-bridge-datapath-type=netdev",
        ]);
        self.start_part("vswitchd");
        self.start_part("controller");
        self.wait_until(|| self.vsctl(&["list-br"]).contains("br-int"));
        let site = format!(
            "name = \"lab\"\n[ovn]\nnorthbound = \"{}\"\nopen_vswitch = \"{}\"\nmanaged = true\ngateway_chassis = \"hv\"\n",
            self.remote("nb"),
            self.remote("conf"),
        );
        self.folder.write("site.toml", site);
    }

    /// Starts a part that does not run.
    pub(crate) fn start_part(&self, part: &'static str) {
        let file = |name: &str| self.file(name);
        let control = format!("--unixctl={}", file(&format!("{part}.ctl")));
        let log = format!("--log-file={}", file(&format!("{part}.log")));
        let (nb, sb, conf) = (self.remote("nb"), self.remote("sb"), self.remote("conf"));
        let arguments: Vec<String> = match part {
            "nb" | "sb" | "conf" => {
                vec![file(&format!("{part}.db")), format!("--remote=p{}", self.remote(part))]
            }
            "northd" => vec![format!("--ovnnb-db={nb}"), format!("--ovnsb-db={sb}")],
            "vswitchd" => vec![conf.clone(), "--disable-system".to_owned()],
            _ => vec![conf.clone()],
        };
        let program = match part {
            "nb" | "sb" | "conf" => "ovsdb-server",
            "northd" => "ovn-northd",
            "vswitchd" => "ovs-vswitchd",
            _ => "ovn-controller",
        };
        let mut line = self.program(program);
        line.extend(arguments);
        line.extend([control, log, "-vconsole:off".to_owned(), "-vsyslog:off".to_owned()]);
        let line: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
        // The shell kills it when this program's end of the pipe is closed, however this program ends.
        let script = format!("{} & read _; kill -9 $!; wait $!", line.join(" "));
        let mut shell = Command::new("ip");
        shell.args(["netns", "exec", &self.host, "sh", "-c", &script]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running.borrow_mut().insert(part, self.with_folders(shell).spawn().unwrap());
        if ["nb", "sb", "conf"].contains(&part) {
            let socket = self.folder.path().join(format!("{part}.sock"));
            self.wait_until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok());
        }
    }

    /// Kills a part.
    pub(crate) fn kill(&self, part: &'static str) {
        let mut shell = self.running.borrow_mut().remove(part).unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, is_done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_done() {
            assert!(Instant::now() < end, "{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn logs(&self) -> String {
        let log = |part| std::fs::read_to_string(self.file(&format!("{part}.log"))).unwrap_or_default();
        ["northd", "vswitchd", "controller"].map(log).join("\n")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn remote(&self, part: &str) -> String {
        format!("unix:{}", self.file(&format!("{part}.sock")))
    }

    /// Returns the command line of a program.
    fn program(&self, name: &str) -> Vec<String> {
        let path = PROGRAMS.iter().find(|path| path.ends_with(&format!("/{name}"))).unwrap();
        let root = self.root.display();
        let loader = format!("{root}/lib64/ld-linux-x86-64.so.2");
        let libraries = format!("{root}/usr/lib/x86_64-linux-gnu");
        let words = [&*loader, "--library-path", &*libraries, "--argv0", name];
        words.into_iter().map(str::to_owned).chain([format!("{root}/{path}")]).collect()
    }

    fn with_folders(&self, mut command: Command) -> Command {
        for name in ["OVN_RUNDIR", "OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(name, self.folder.path());
        }
        command.env("OVN_NB_DB", self.remote("nb")).env("OVN_SB_DB", self.remote("sb"));
        command
    }

    #[track_caller]
    fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let line = self.program(name);
        let mut command = self.with_folders(Command::new(&line[0]));
        let ran = command.args(&line[1..]).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn vsctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db={}", self.remote("conf"));
        self.tool("ovs-vsctl", &[&[&*database, "--timeout=10"], arguments].concat())
    }

    #[track_caller]
    pub(crate) fn nbctl(&self, arguments: &[&str]) -> String {
        self.tool("ovn-nbctl", &[&["--timeout=10"], arguments].concat())
    }

    pub(crate) fn config(&self) -> Value {
        json!({
            "cniVersion": "1.1.0",
            "name": "lab",
            "type": "midonet-cni",
            "site": self.file("site.toml"),
            "tenant": "acme",
            "state_dir": self.file("state"),
            "log_file": self.file("log"),
            "log_level": "debug",
        })
    }

    /// Returns the configuration with another tenant.
    pub(crate) fn config_of(&self, tenant: &str) -> Value {
        let mut config = self.config();
        config["tenant"] = tenant.into();
        config
    }

    fn command(&self, verb: &str, container: &Container) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.host, PLUGIN])
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &container.id)
            .env("CNI_NETNS", container.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/usr/lib/cni");
        command
    }

    pub(crate) fn run(&self, verb: &str, container: &Container, config: &Value) -> Ran {
        run(self.command(verb, container), config)
    }

    pub(crate) fn begin(&self, verb: &str, container: &Container, config: &Value) -> Child {
        started(self.command(verb, container), config.to_string().as_bytes())
    }

    /// Attaches a container of a tenant, and returns its address.
    #[track_caller]
    pub(crate) fn add(&self, container: &Container, tenant: &str) -> String {
        address_of(&self.run("ADD", container, &self.config_of(tenant)).ok())
    }

    #[track_caller]
    pub(crate) fn del(&self, container: &Container) {
        let _ = self.run("DEL", container, &self.config()).ok();
    }

    /// Returns true if one packet from a container to an address is answered.
    pub(crate) fn pings(&self, from: &Container, to: &str) -> bool {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &from.namespace, "ping", "-n", "-q", "-c", "1", "-W", "1", to]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    fn open_store(&self) -> SharedStore {
        std::fs::create_dir_all(self.file("state")).unwrap();
        Arc::new(Embedded::open(Path::new(&self.file("state/store.db"))).unwrap())
    }

    /// Puts a spec into the store, as `midoform push` does.
    pub(crate) fn push(&self, tenant: &str, text: &str) {
        let pushed = PushedFile::new(&format!("{tenant}.toml"), text);
        let put = Transaction::default().put(keys::spec(tenant), encode(&pushed));
        self.runtime.block_on(self.open_store().commit(&put)).unwrap();
    }

    fn attachments(&self) -> Vec<String> {
        let store = self.open_store();
        let found = self.runtime.block_on(store.read(&[Range::prefix("attachment/")])).unwrap();
        found.into_iter().flatten().map(|entry| entry.key).collect()
    }

    /// Returns the names of the pods' ports in the northbound database.
    pub(crate) fn rows(&self) -> Vec<String> {
        let names = self.nbctl(&["--bare", "--columns=name", "list", "Logical_Switch_Port"]);
        names.lines().filter(|name| name.contains("/pod/")).map(str::to_owned).collect()
    }

    /// Returns the interfaces that midoform plugged in.
    pub(crate) fn plugged(&self) -> Vec<String> {
        let names = self.vsctl(&["--bare", "--columns=name", "list", "Interface"]);
        names.lines().filter(|name| name.starts_with("vif")).map(str::to_owned).collect()
    }

    /// Returns the number of releases that wait.
    pub(crate) fn pending(&self) -> usize {
        std::fs::read_dir(self.file("state/journal")).map(|entries| entries.count()).unwrap_or(0)
    }

    /// Asserts that nothing of any container is left anywhere.
    #[track_caller]
    pub(crate) fn expect_nothing_left(&self, containers: &[&Container]) {
        assert_eq!(self.attachments(), Vec::<String>::new());
        assert_eq!(self.rows(), Vec::<String>::new());
        assert_eq!(self.plugged(), Vec::<String>::new());
        assert_eq!(self.pending(), 0, "releases wait");
        for container in containers {
            assert_eq!(container.interfaces(), Vec::<String>::new());
        }
        assert!(!ip(&["-n", &self.host, "link", "show"]).contains("vif"));
    }

    /// Returns the plugin's log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (_, mut shell) in std::mem::take(&mut *self.running.borrow_mut()) {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.host]).status();
    }
}

/// Returns the address in a result.
pub(crate) fn address_of(result: &Value) -> String {
    result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned()
}
