//! The embedded API as a process.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Stdio};

use midoform_compiler::midonet::dialect::Dialect;
use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};

use crate::MIDOFORM;
use crate::pods::HOST;

/// A server in a process of its own.
pub(crate) struct Served {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub(crate) address: SocketAddr,
    /// The lines on standard error until it was ready.
    pub(crate) said: String,
}

impl Served {
    /// Returns the base URL of the API.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/midonet-api", self.address)
    }

    /// Starts a server on a free port. If it does not start, returns its result.
    #[expect(clippy::zombie_processes, reason = "a server that serves is waited for when it is dropped")]
    pub(crate) fn start(folder: &TestFolder, arguments: &[&str]) -> Result<Served, Ran> {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let mut child = folder.command(MIDOFORM, &all).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if stderr.read_line(&mut line).unwrap() == 0 {
                let code = child.wait().unwrap().code().unwrap_or(-1);
                return Err(Ran { code, stdout: String::new(), stderr: said });
            }
            said.push_str(&line);
            if line.starts_with("serving MidoNet") {
                let url = line.split("://").nth(1).unwrap();
                let address = url.split('/').next().unwrap().parse().unwrap();
                return Ok(Served { child, stderr, address, said });
            }
        }
    }

    /// Starts a server with a host, and writes a site file for it.
    pub(crate) fn with_node(folder: &TestFolder, dialect: Dialect, version: &str) -> Served {
        Served::with_node_and(folder, dialect, version, &[])
    }

    /// The same, with more options of the server.
    pub(crate) fn with_node_and(
        folder: &TestFolder,
        dialect: impl std::fmt::Display,
        version: &str,
        more: &[&str],
    ) -> Served {
        let host = format!("{HOST}=node1");
        let options = [&["--version", version, "--host", &host], more].concat();
        let served = Served::start(folder, &options).unwrap_or_else(|ran| panic!("{}", ran.stderr));
        folder.write(
            "site.toml",
            format!(
                "name = \"test\"\n[midonet]\nurl = \"{}\"\nversion = {dialect}\nmanaged = true\n[tunnel_zone]\n\
                 name = \"zone\"\n[[host]]\nname = \"node1\"\nid = \"{HOST}\"\ntunnel_address = \"10.255.0.1\"\n",
                served.url()
            ),
        );
        served
    }

    /// Returns the number of objects of each kind. The server was started with `--inspect`.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut connection = Connection::open(self.address).unwrap();
        let all = connection.send("GET", "/_topology", "application/json", "").unwrap().body;
        let all: serde_json::Value = serde_json::from_str(&all).unwrap();
        let kinds = all["objects"].as_object().unwrap();
        kinds.iter().map(|(kind, objects)| (kind.clone(), objects.as_array().unwrap().len())).collect()
    }

    /// Ends it like a crash.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it like a supervisor. Returns its exit code, and the lines on standard error since it was ready.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
