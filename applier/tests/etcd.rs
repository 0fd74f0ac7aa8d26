//! Real etcd servers on loopback: one, or a cluster of several, that can be killed, paused and started again.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use midoform_applier::store::etcd::{Etcd, Settings};
use midoform_applier::store::{Range, SharedStore, Store as _};

/// A cluster in folders of its own.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    members: Vec<(u16, u16)>,
    running: Mutex<Vec<Option<Child>>>,
}

impl Cluster {
    /// Starts it, and waits until it answers; none where etcd is not installed.
    pub(crate) fn start(members: usize) -> Option<Cluster> {
        Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        let listeners: Vec<TcpListener> =
            (0..2 * members).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();
        drop(listeners);
        let members: Vec<(u16, u16)> = ports.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let running = Mutex::new(members.iter().map(|_| None).collect());
        let cluster = Cluster { folder: tempfile::tempdir().unwrap(), members, running };
        for at in 0..cluster.members.len() {
            cluster.run(at);
        }
        cluster.wait();
        Some(cluster)
    }

    /// Starts a member, again.
    pub(crate) fn run(&self, at: usize) {
        let (client, peer) = self.members[at];
        let all: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(at, (_, peer))| format!("m{at}=http://127.0.0.1:{peer}"))
            .collect();
        let arguments = format!(
            "--name m{at} --data-dir {folder}/m{at} --listen-client-urls http://127.0.0.1:{client} \
             --advertise-client-urls http://127.0.0.1:{client} --listen-peer-urls http://127.0.0.1:{peer} \
             --initial-advertise-peer-urls http://127.0.0.1:{peer} --initial-cluster {all} \
             --heartbeat-interval 50 --election-timeout 500 --logger zap --log-level error --log-outputs stderr",
            folder = self.folder.path().display(),
            all = all.join(",")
        );
        // The shell ends it when this program's end of the pipe is closed, however this program ends.
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
    pub(crate) fn kill(&self, at: usize) {
        if let Some(mut child) = self.running.lock().unwrap()[at].take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    /// Stops a member where it stands (`STOP`), or lets it go on (`CONT`).
    pub(crate) fn signal(&self, at: usize, signal: &str) {
        let running = self.running.lock().unwrap();
        let shell = running[at].as_ref().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let etcd = children.split_whitespace().next().unwrap().to_owned();
        Command::new("kill").args([&format!("-{signal}"), &etcd]).status().unwrap();
    }

    /// The members' client URLs.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|(port, _)| format!("http://127.0.0.1:{port}")).collect()
    }

    /// A store over all members.
    pub(crate) async fn store(&self, prefix: &str) -> SharedStore {
        let endpoints = self.endpoints();
        let timeout = Duration::from_secs(5);
        let settings = Settings { endpoints, login: None, prefix: prefix.to_owned(), timeout };
        let store = Etcd::open(settings).await.unwrap();
        store.read(&[Range::key("x")]).await.unwrap();
        Arc::new(store)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at);
        }
    }
}
