//! A real OVN: its databases, northd, and one host in a namespace of its own, with Open vSwitch's userspace datapath.
//!
//! Its programs are those of Debian 13, unpacked in a folder ([`crate::newer_ovn`]): the userspace datapath of Debian 12 may die of
//! connection tracking.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::TestFolder;

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

/// A running OVN with one host, whose chassis is `hv`.
pub struct OvnHost {
    /// The folder of its databases, sockets and logs.
    pub folder: TestFolder,
    /// The host's network namespace.
    pub namespace: String,
    root: PathBuf,
    running: RefCell<BTreeMap<&'static str, Child>>,
}

/// Returns a name of a namespace that no other test has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns true, and prints so, if a test can't run because it needs root.
pub fn skipped_without_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !is_root {
        println!("SKIPPED: network namespaces need root");
    }
    !is_root
}

/// Runs `ip`, and returns what it prints.
#[track_caller]
pub fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl OvnHost {
    /// Returns a running OVN; none, and says so, if it can't run here.
    pub fn start() -> Option<OvnHost> {
        if skipped_without_root() {
            return None;
        }
        let Some(root) = crate::newer_ovn() else {
            println!(
                "SKIPPED: there is no newer OVN than the system's (scripts/install-test-tools.sh unpacks one)"
            );
            return None;
        };
        let namespace = unique("mh-");
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        let host = OvnHost { folder: TestFolder::default(), namespace, root, running: RefCell::default() };
        host.start_all();
        Some(host)
    }

    fn start_all(&self) {
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
    }

    /// Starts a part that does not run.
    pub fn start_part(&self, part: &'static str) {
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
        shell.args(["netns", "exec", &self.namespace, "sh", "-c", &script]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running.borrow_mut().insert(part, self.with_folders(shell).spawn().unwrap());
        if ["nb", "sb", "conf"].contains(&part) {
            let socket = self.folder.path().join(format!("{part}.sock"));
            self.wait_until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok());
        }
    }

    /// Kills a part.
    pub fn kill(&self, part: &'static str) {
        let mut shell = self.running.borrow_mut().remove(part).unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn wait_until(&self, is_done: impl Fn() -> bool) {
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

    /// Returns the path of a file in the folder.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Returns the address of a database: `nb`, `sb` or `conf`, which is Open vSwitch's own.
    pub fn remote(&self, part: &str) -> String {
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

    /// Runs `ovs-vsctl`.
    #[track_caller]
    pub fn vsctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db={}", self.remote("conf"));
        self.tool("ovs-vsctl", &[&[&*database, "--timeout=10"], arguments].concat())
    }

    /// Runs `ovn-nbctl`.
    #[track_caller]
    pub fn nbctl(&self, arguments: &[&str]) -> String {
        self.tool("ovn-nbctl", &[&["--timeout=10"], arguments].concat())
    }

    /// Returns a command that runs in the host's namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }
}

impl Drop for OvnHost {
    fn drop(&mut self) {
        for (_, mut shell) in std::mem::take(&mut *self.running.borrow_mut()) {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
}
