//! Real etcd servers on loopback, one or a cluster, that can be killed, paused and started again.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::certificates;

/// A cluster in its own folders.
pub struct Cluster {
    folder: tempfile::TempDir,
    members: Vec<(u16, u16)>,
    running: Mutex<Vec<Option<Child>>>,
    scheme: &'static str,
    arguments: String,
}

impl Cluster {
    /// Starts a cluster, and waits until it replies; none if etcd is not installed.
    pub fn start(members: usize) -> Option<Cluster> {
        let cluster = Cluster::launch(members, "http", |_| String::new())?;
        cluster.wait();
        Some(cluster)
    }

    /// Starts one member with TLS; it may not reply yet. The certificates are in its folder, as
    /// `certificates::make` makes them. None if etcd or openssl is not installed.
    pub fn start_tls(arguments: &str) -> Option<Cluster> {
        certificates::can_be_made().then_some(())?;
        Cluster::launch(1, "https", |folder| {
            certificates::make(folder);
            let arguments = format!("--cert-file FOLDER/server.pem --key-file FOLDER/server.key {arguments}");
            arguments.replace("FOLDER", &folder.display().to_string())
        })
    }

    /// Starts a cluster with more arguments, in which FOLDER is the common folder, after `prepare` has filled it.
    pub fn start_with(members: usize, arguments: &str, prepare: impl Fn(&Path)) -> Option<Cluster> {
        let cluster = Cluster::launch(members, "http", |folder| {
            prepare(folder);
            arguments.replace("FOLDER", &folder.display().to_string())
        })?;
        cluster.wait();
        Some(cluster)
    }

    fn launch(members: usize, scheme: &'static str, arguments: impl Fn(&Path) -> String) -> Option<Cluster> {
        Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        let listeners: Vec<TcpListener> =
            (0..2 * members).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();
        drop(listeners);
        let members: Vec<(u16, u16)> = ports.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let running = Mutex::new(members.iter().map(|_| None).collect());
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments(folder.path());
        let cluster = Cluster { folder, members, running, scheme, arguments };
        for at in 0..cluster.members.len() {
            cluster.run(at);
        }
        Some(cluster)
    }

    /// Returns the folder of the members.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a member's client port.
    pub fn port(&self, at: usize) -> u16 {
        self.members[at].0
    }

    /// Starts a member (again).
    pub fn run(&self, at: usize) {
        let (client, peer) = self.members[at];
        let all: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(at, (_, peer))| format!("m{at}=http://127.0.0.1:{peer}"))
            .collect();
        let arguments = format!(
            "--name m{at} --data-dir {folder}/m{at} --listen-client-urls {scheme}://127.0.0.1:{client} \
             --advertise-client-urls {scheme}://127.0.0.1:{client} --listen-peer-urls http://127.0.0.1:{peer} \
             --initial-advertise-peer-urls http://127.0.0.1:{peer} --initial-cluster {all} \
             --heartbeat-interval 50 --election-timeout 500 --logger zap --log-level error --log-outputs stderr \
             {more}",
            scheme = self.scheme,
            more = self.arguments,
            folder = self.folder.path().display(),
            all = all.join(",")
        );
        // The shell kills it when this program's end of the pipe is closed, however this program ends.
        let script =
            format!("etcd {arguments} 2>/dev/null & echo $!; read _; kill -9 $!; kill -CONT $!; wait $!");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = shell.spawn();
        self.running.lock().unwrap()[at] = Some(child.unwrap());
    }

    fn wait(&self) {
        let started = Instant::now();
        for (client, _) in &self.members {
            let healthy = || {
                let answer = Command::new("etcdctl")
                    .env("ETCDCTL_API", "3")
                    .args(["--endpoints", &format!("http://127.0.0.1:{client}"), "get", "x"])
                    .output();
                answer.is_ok_and(|answer| answer.status.success())
            };
            while !healthy() {
                assert!(started.elapsed() < Duration::from_secs(60), "etcd does not start");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Kills a member.
    pub fn kill(&self, at: usize) {
        if let Some(mut child) = self.running.lock().unwrap()[at].take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    /// Pauses a member (`STOP`), or continues it (`CONT`).
    pub fn signal(&self, at: usize, signal: &str) {
        let running = self.running.lock().unwrap();
        let shell = running[at].as_ref().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let etcd = children.split_whitespace().next().unwrap().to_owned();
        Command::new("kill").args([&format!("-{signal}"), &etcd]).status().unwrap();
    }

    /// Returns the client URLs of the members.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|(port, _)| format!("{}://127.0.0.1:{port}", self.scheme)).collect()
    }

    /// Runs etcdctl against the first member.
    pub fn control(&self, arguments: &[&str]) -> String {
        let answer = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoints()[0]])
            .args(arguments)
            .output()
            .unwrap();
        assert!(answer.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at);
        }
    }
}
