//! A laboratory with a real OVN and one host, on which the plugin runs.

use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use midoform_store::backends::embedded::Embedded;
use midoform_store::record::encode;
use midoform_store::tenants::PushedFile;
use midoform_store::{Range, SharedStore, Transaction, keys};
use midoform_testutil::ovn_host::OvnHost;
use serde_json::{Value, json};

use crate::PLUGIN;
use crate::lab::{Container, Ran, ip, run, started};

/// A running OVN with one host.
pub(crate) struct World {
    host: OvnHost,
    runtime: tokio::runtime::Runtime,
}

/// Returns a running world; none, and says so, if it can't run here.
pub(crate) fn world() -> Option<World> {
    let host = OvnHost::start()?;
    let site = format!(
        "name = \"lab\"\n[ovn]\nnorthbound = \"{}\"\nopen_vswitch = \"{}\"\nmanaged = true\ngateway_chassis = \"hv\"\n",
        host.remote("nb"),
        host.remote("conf"),
    );
    host.folder.write("site.toml", site);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Some(World { host, runtime })
}

impl Deref for World {
    type Target = OvnHost;

    fn deref(&self) -> &OvnHost {
        &self.host
    }
}

impl World {
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
        let mut command = self.host.command(PLUGIN);
        command
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
        assert!(!ip(&["-n", &self.host.namespace, "link", "show"]).contains("vif"));
    }

    /// Returns the plugin's log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

/// Returns the address in a result.
pub(crate) fn address_of(result: &Value) -> String {
    result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned()
}
