//! A real OVN for a test: both databases, ovn-northd, and one host with ovn-controller and Open vSwitch's dummy datapath. It needs no
//! root, and no kernel module.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Namespace;
use midoform_compiler::topology::kinds::Reference;
use midoform_testutil::TestFolder;
use serde_json::{Value, json};

use super::samples::row_of;

const SCHEMAS: [&str; 3] = ["ovn/ovn-nb.ovsschema", "ovn/ovn-sb.ovsschema", "openvswitch/vswitch.ovsschema"];

/// The name of the host's chassis.
pub(crate) const CHASSIS: &str = "gw1";

/// A running OVN. It ends with the value.
pub(crate) struct Server {
    folder: TestFolder,
    children: Vec<Child>,
    /// The process of Open vSwitch.
    switch: u32,
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    /// Starts OVN; none, with a word about it, if it is not installed.
    pub(crate) fn start() -> Option<Server> {
        let programs =
            ["ovsdb-server", "ovsdb-tool", "ovn-northd", "ovn-nbctl", "ovn-controller", "ovs-vswitchd"];
        let is_there = |name: &&str| {
            let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
            folders.iter().any(|folder| Path::new(folder).join(name).exists())
        };
        let missing: Vec<&str> = programs.iter().copied().filter(|name| !is_there(name)).collect();
        if !missing.is_empty() {
            println!("SKIPPED: OVN is not installed ({} missing)", missing.join(", "));
            return None;
        }
        let mut server = Server { folder: TestFolder::default(), children: Vec::new(), switch: 0 };
        for (name, schema) in ["nb", "sb", "conf"].into_iter().zip(SCHEMAS) {
            let (file, socket) = (server.path(&format!("{name}.db")), server.path(&format!("{name}.sock")));
            let schema = Path::new("/usr/share").join(schema);
            server.run("ovsdb-tool", &["create", &shown(&file), &shown(&schema)]);
            let remote = format!("--remote=punix:{}", shown(&socket));
            server.spawn("ovsdb-server", &[&shown(&file), &remote]);
            wait_for("a database's socket", || UnixStream::connect(&socket).is_ok());
        }
        server.run("ovn-nbctl", &["--no-wait", "init"]);
        server.run("ovn-sbctl", &["init"]);
        let (nb, sb) = (server.remote("nb"), server.remote("sb"));
        let northd = server.spawn("ovn-northd", &[&format!("--ovnnb-db={nb}"), &format!("--ovnsb-db={sb}")]);
        server.log_everything("ovn-northd", northd);
        server.vsctl(&["--no-wait", "init"]);
        let ids = [
            format!("external_ids:system-id={CHASSIS}"),
            format!("external_ids:ovn-remote={sb}"),
            "external_ids:ovn-encap-type=geneve".to_owned(),
            "external_ids:ovn-encap-ip=127.0.0.1".to_owned(),
            "external_ids:ovn-bridge-mappings=physnet1:br-ex".to_owned(),
        ];
        let mut arguments = vec!["--no-wait", "set", "open", "."];
        arguments.extend(ids.iter().map(String::as_str));
        server.vsctl(&arguments);
        let conf = server.remote("conf");
        server.switch = server.spawn("ovs-vswitchd", &[&conf, "--enable-dummy=override", "--disable-system"]);
        for (bridge, mode) in [("br-int", "fail_mode=secure"), ("br-ex", "fail_mode=standalone")] {
            server.vsctl(&["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy", mode]);
        }
        let controller = server.spawn("ovn-controller", &[&conf]);
        server.log_everything("ovn-controller", controller);
        server.sync();
        Some(server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn remote(&self, name: &str) -> String {
        format!("unix:{}", shown(&self.path(&format!("{name}.sock"))))
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        for variable in ["OVS_RUNDIR", "OVN_RUNDIR", "OVS_LOGDIR", "OVN_LOGDIR", "OVS_DBDIR", "OVN_DBDIR"] {
            command.env(variable, self.folder.path());
        }
        command.env("OVN_NB_DB", self.remote("nb")).env("OVN_SB_DB", self.remote("sb"));
        command
    }

    /// Runs a program, and returns what it writes.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) -> u32 {
        let log =
            format!("--log-file={}", shown(&self.path(&format!("{program}-{}.log", self.children.len()))));
        let mut command = self.command(program, arguments);
        command.args([log.as_str(), "-vconsole:off"]).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let id = child.id();
        self.children.push(child);
        id
    }

    /// Lets a program log all that it complains of.
    fn log_everything(&self, program: &str, process: u32) {
        let socket = self.path(&format!("{program}.{process}.ctl"));
        // The file is there before the program listens.
        wait_for("a program's socket", || UnixStream::connect(&socket).is_ok());
        self.run("ovs-appctl", &["-t", &shown(&socket), "vlog/disable-rate-limit"]);
    }

    fn vsctl(&self, arguments: &[&str]) {
        let db = format!("--db={}", self.remote("conf"));
        let mut all = vec![db.as_str(), "--timeout=60"];
        all.extend(arguments);
        self.run("ovs-vsctl", &all);
    }

    /// Binds ports to interfaces of the host: the first one to `vif0`.
    pub(crate) fn bind(&self, ports: &[String]) {
        let mut arguments = Vec::new();
        for (at, port) in ports.iter().enumerate() {
            let (interface, id) = (format!("vif{at}"), format!("external_ids:iface-id=\"{port}\""));
            let capture = self.capture(&interface);
            let words =
                ["--", "add-port", "br-int", &interface, "--", "set", "interface", &interface, &id, &capture];
            arguments.extend(words.into_iter().map(str::to_owned));
        }
        self.vsctl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Returns the option that records what goes out by an interface.
    fn capture(&self, interface: &str) -> String {
        format!("options:tx_pcap={}", shown(&self.path(&format!("{interface}.pcap"))))
    }

    /// Adds an interface to the switch of the physical network.
    pub(crate) fn add_outside(&self, interface: &str) {
        let capture = self.capture(interface);
        self.vsctl(&["add-port", "br-ex", interface, "--", "set", "interface", interface, &capture]);
    }

    /// Returns the file that has what has gone out by an interface.
    pub(crate) fn capture_file(&self, interface: &str) -> PathBuf {
        self.path(&format!("{interface}.pcap"))
    }

    /// Returns the frames that have gone out by an interface.
    pub(crate) fn sent_out(&self, interface: &str) -> Vec<Vec<u8>> {
        let bytes = std::fs::read(self.capture_file(interface)).unwrap();
        let mut rest = bytes.get(24..).unwrap_or_default();
        let mut frames = Vec::new();
        while let Some(length) = rest.get(8..12) {
            let length = u32::from_ne_bytes(length.try_into().unwrap()) as usize;
            let Some(frame) = rest.get(16..16 + length) else { break };
            frames.push(frame.to_vec());
            rest = &rest[16 + length..];
        }
        frames
    }

    /// Lets a packet come in by an interface: its bytes in hexadecimal digits, or a flow, of which Open vSwitch makes one.
    pub(crate) fn receive(&self, interface: &str, flow: &str) {
        let socket = self.path(&format!("ovs-vswitchd.{}.ctl", self.switch));
        let request = json!({"id": 0, "method": "netdev-dummy/receive", "params": [interface, flow]});
        let reply = ask(&socket, &request);
        assert!(reply["error"].is_null(), "{flow}: {reply}");
    }

    /// Waits until Open vSwitch has done with what has come in. Its main loop handles packets, then one request of each client: behind
    /// the second reply it has been through the packets once. What it asks ovn-controller comes later.
    #[allow(dead_code, reason = "the tests of `packets` share this file, and use it")]
    pub(crate) fn drain(&self) {
        let socket = self.path(&format!("ovs-vswitchd.{}.ctl", self.switch));
        for id in 0..3 {
            ask(&socket, &json!({"id": id, "method": "version", "params": []}));
        }
    }

    /// Waits until the host has everything.
    pub(crate) fn sync(&self) {
        let output = self.command("ovn-nbctl", &["--timeout=60", "--wait=hv", "sync"]).output().unwrap();
        if !output.status.success() {
            panic!("the host did not follow:\n{}", self.complaints().join("\n"));
        }
    }

    /// Executes operations in one transaction, and returns their results.
    pub(crate) fn transact(&self, operations: Vec<Value>) -> Vec<Value> {
        let mut parameters = vec![json!("OVN_Northbound")];
        parameters.extend(operations);
        let request = json!({"id": 1, "method": "transact", "params": parameters});
        let reply = ask(&self.path("nb.sock"), &request);
        reply["result"].as_array().unwrap_or_else(|| panic!("{reply}")).clone()
    }

    /// Inserts rows in one transaction.
    pub(crate) fn insert(&self, site: &str, rows: &Topology) {
        let operations = inserts(site, rows);
        let count = operations.len();
        let results = self.transact(operations);
        let errors: Vec<&Value> = results.iter().filter(|result| !result["error"].is_null()).collect();
        assert_eq!((errors, results.len()), (Vec::new(), count));
    }

    /// Returns the lines of the logs of ovn-northd and ovn-controller that complain.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let names = ["ovn-northd", "ovn-controller"];
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            names.iter().any(|known| name.starts_with(known)) && name.ends_with(".log")
        });
        let mut found = Vec::new();
        for log in logs {
            // A match may have any bytes.
            let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
            let loud = text
                .lines()
                .filter(|line| ["|WARN|", "|ERR|", "|EMER|"].iter().any(|level| line.contains(level)));
            // A busy machine, and hardware and hosts that are not there, are no fault of the rows.
            let told = loud.filter(|line| {
                !["|timeval|", "|vif_plug_provider|", "|Unknown chassis "]
                    .iter()
                    .any(|known| line.contains(known))
            });
            found.extend(told.map(str::to_owned));
        }
        found
    }
}

/// Returns the operations that insert rows into a database that has none of them.
fn inserts(site: &str, rows: &Topology) -> Vec<Value> {
    let id_of = |reference: &Reference| reference.key().map(|key| Namespace::of_site(site).id(key));
    let mut held: BTreeMap<(String, &str), Vec<Value>> = BTreeMap::new();
    for entry in rows.entries() {
        if let Some(holder) = &row_of(entry).holder {
            let place = (holder.row.to_string(), holder.column);
            held.entry(place).or_default().push(json!(["uuid", Namespace::of_site(site).id(&entry.key)]));
        }
    }
    let insert = |entry: &midoform_compiler::topology::Entry| {
        let columns =
            row_of(entry).columns.iter().map(|(name, value)| ((*name).to_owned(), value.json(id_of)));
        let mut row: serde_json::Map<String, Value> = columns.collect();
        for ((holder, column), members) in &held {
            if *holder == entry.key.as_str() {
                row.insert((*column).to_owned(), json!(["set", members]));
            }
        }
        json!({"op": "insert", "table": row_of(entry).table.name(), "uuid": Namespace::of_site(site).id(&entry.key), "row": row})
    };
    rows.entries().iter().map(insert).collect()
}

/// Sends a request to a program's socket, and returns its reply.
fn ask(socket: &Path, request: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request.to_string().as_bytes()).unwrap();
    let mut received = Vec::new();
    let mut part = [0; 65536];
    loop {
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "the server has closed the connection");
        received.extend_from_slice(&part[..length]);
        if let Ok(reply) = serde_json::from_slice::<Value>(&received) {
            return reply;
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_there() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
