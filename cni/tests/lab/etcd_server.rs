//! A real etcd, and certificates for it.

use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use midoform_store::backends::etcd::Tls;
use midoform_testutil::TestFolder;

/// The etcd of one test. It is stopped when this is dropped.
pub(crate) struct EtcdServer {
    process: Child,
    pub(crate) endpoint: String,
    /// Empty: no TLS.
    pub(super) tls: Tls,
    _folder: TestFolder,
}

impl EtcdServer {
    pub(super) fn start(address: IpAddr, tls: Tls) -> EtcdServer {
        let folder = TestFolder::default();
        // Held together, so that no two are the same.
        let free = [(); 3].map(|()| TcpListener::bind((address, 0)).unwrap());
        let [client, peer, health] = free.map(|listener| listener.local_addr().unwrap());
        let scheme = if tls.ca.is_some() { "https" } else { "http" };
        let (endpoint, peer) = (format!("{scheme}://{client}"), format!("http://{peer}"));
        let mut command = Command::new("etcd");
        if let Some(ca) = &tls.ca {
            let beside = |name: &str| ca.with_file_name(name);
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(ca);
            command.arg("--cert-file").arg(beside("server.pem")).arg("--key-file").arg(beside("server.key"));
        }
        let process = command
            .args(["--listen-metrics-urls", &format!("http://{health}")])
            .args(["--name", "lab", "--log-level", "error", "--data-dir"])
            .arg(folder.path())
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("lab={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = EtcdServer { process, endpoint, tls, _folder: folder };
        let end = Instant::now() + Duration::from_secs(60);
        let is_healthy = || {
            let mut connection = midoform_testutil::http::Connection::open(health).ok()?;
            let answer = connection.send("GET", "/health", "application/json", "").ok()?;
            answer.body.contains("true").then_some(())
        };
        while is_healthy().is_none() {
            assert!(Instant::now() < end, "etcd does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Sends a signal: `STOP` pauses etcd, `CONT` continues it, `KILL` ends it.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes a certificate and its key, `NAME.pem` and `NAME.key`.
pub(super) fn certificate(folder: &Path, name: &str, more: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", &format!("/CN={name}"), "-keyout", &format!("{name}.key")]);
    let ran = command.args(["-out", &format!("{name}.pem")]).args(more).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
