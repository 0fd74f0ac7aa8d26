//! Real ovsdb-servers, one or a cluster, that can be killed, paused and started again.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// Folders of programs that an ordinary user's path may lack.
const MORE_FOLDERS: &str = "/usr/sbin:/sbin";

/// Servers of one database in a folder of their own: one, or the members of a cluster.
pub struct Servers {
    folder: tempfile::TempDir,
    ports: Vec<u16>,
    running: Mutex<Vec<Option<Child>>>,
    arguments: String,
    is_secured: bool,
}

/// Returns a command that finds the programs of Open vSwitch.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", format!("{}:{MORE_FOLDERS}", std::env::var("PATH").unwrap_or_default()));
    command
}

/// Returns the programs that are missing for the servers; none if all are there.
pub fn missing() -> Option<String> {
    let is_missing = |program: &&str| {
        let version =
            command("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        !version.is_ok_and(|status| status.success())
    };
    let missing: Vec<&str> = ["ovsdb-server", "ovsdb-tool"].into_iter().filter(is_missing).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// Runs `ovsdb-tool`.
fn tool(arguments: &[&str]) {
    let ran = command("ovsdb-tool").args(arguments).output().expect("ovsdb-tool can be run");
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// Returns free ports. They are below those that the system takes for outgoing connections: a server takes its port only later, and
/// again after it was killed.
fn free_ports(count: usize) -> Vec<u16> {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut taken = TAKEN.lock().unwrap();
    let mut ports = Vec::new();
    while ports.len() < count {
        let random = RandomState::new().hash_one(ports.len());
        let port = 10_000 + u16::try_from(random % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && taken.insert(port) {
            ports.push(port);
        }
    }
    ports
}

impl Servers {
    /// Starts one server of a database with this schema. It listens on a Unix domain socket and on TCP.
    pub fn alone(schema: &Path) -> Servers {
        let servers = Servers::prepared(1, String::new(), false);
        tool(&["create", &servers.file(0), &schema.display().to_string()]);
        servers.run(0);
        servers
    }

    /// Starts one server that takes TLS on its port, and wants a certificate. The certificates are in its folder, as
    /// `certificates::make` makes them.
    pub fn secured(schema: &Path) -> Servers {
        let files = "--private-key=FOLDER/server.key --certificate=FOLDER/server.pem --ca-cert=FOLDER/ca.pem";
        let servers = Servers::prepared(1, files.to_owned(), true);
        crate::certificates::make(servers.folder());
        tool(&["create", &servers.file(0), &schema.display().to_string()]);
        servers.run(0);
        servers
    }

    /// Starts a cluster. Its members may not have found one another yet.
    pub fn cluster(schema: &Path, database: &str, members: usize) -> Servers {
        let servers = Servers::prepared(members, String::new(), false);
        let peers: Vec<String> =
            free_ports(members).into_iter().map(|port| format!("tcp:127.0.0.1:{port}")).collect();
        for (at, peer) in peers.iter().enumerate() {
            let file = servers.file(at);
            match at {
                0 => tool(&["create-cluster", &file, &schema.display().to_string(), peer]),
                _ => tool(&["join-cluster", &file, database, peer, &peers[0]]),
            }
            servers.run(at);
        }
        servers
    }

    fn prepared(count: usize, arguments: String, is_secured: bool) -> Servers {
        let folder = tempfile::tempdir().unwrap();
        let running = Mutex::new((0..count).map(|_| None).collect());
        Servers { folder, ports: free_ports(count), running, arguments, is_secured }
    }

    /// Returns the folder of the servers.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, at: usize) -> String {
        self.folder().join(format!("{at}.db")).display().to_string()
    }

    /// Returns a server's port.
    pub fn port(&self, at: usize) -> u16 {
        self.ports[at]
    }

    /// Returns the remote of a server's Unix domain socket.
    pub fn unix(&self, at: usize) -> String {
        format!("unix:{}", self.folder().join(format!("{at}.sock")).display())
    }

    /// Returns the remotes of all servers by TCP.
    pub fn tcp(&self) -> String {
        let remotes: Vec<String> = self.ports.iter().map(|port| format!("tcp:127.0.0.1:{port}")).collect();
        remotes.join(",")
    }

    /// Starts a server (again).
    pub fn run(&self, at: usize) {
        let folder = self.folder().display().to_string();
        let (file, port) = (self.file(at), self.ports[at]);
        let method = if self.is_secured { "pssl" } else { "ptcp" };
        let arguments = format!(
            "{file} --remote=punix:{folder}/{at}.sock --remote={method}:{port}:127.0.0.1 \
             --unixctl={folder}/{at}.ctl {} -vconsole:info -vsyslog:off",
            self.arguments.replace("FOLDER", &folder)
        );
        // The shell kills it when this program's end of the pipe is closed, however this program ends.
        let script = format!(
            "ovsdb-server {arguments} 2>>{folder}/{at}.log & echo $!; read _; kill -9 $!; kill -CONT $!; wait $!"
        );
        let mut shell = command("sh");
        shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        shell.env("OVS_RUNDIR", &folder).env("OVS_LOGDIR", &folder).env("OVS_DBDIR", &folder);
        self.running.lock().unwrap()[at] = Some(shell.spawn().unwrap());
    }

    /// Returns the logs of the servers, for the message of a failed test.
    pub fn logs(&self) -> String {
        let log = |at: usize| {
            let text = std::fs::read_to_string(self.folder().join(format!("{at}.log"))).unwrap_or_default();
            format!("server {at}:\n{text}")
        };
        (0..self.ports.len()).map(log).collect::<Vec<_>>().join("\n")
    }

    /// Kills a server.
    pub fn kill(&self, at: usize) {
        if let Some(mut child) = self.running.lock().unwrap()[at].take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    /// Pauses a server (`STOP`), or continues it (`CONT`).
    pub fn signal(&self, at: usize, signal: &str) {
        let running = self.running.lock().unwrap();
        let shell = running[at].as_ref().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let server = children.split_whitespace().next().unwrap().to_owned();
        Command::new("kill").args([&format!("-{signal}"), &server]).status().unwrap();
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for at in 0..self.ports.len() {
            self.kill(at);
        }
    }
}
