//! A laboratory: the embedded API, a site, and network namespaces that stand for containers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use midoform_simulator::{Auth, Options, Server, User, Users, Version};
use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::etcd;
use midoform_store::backends::etcd::{Etcd, Tls};
use midoform_store::{Range, SharedStore};
use midoform_testutil::TestFolder;
use serde_json::{Value, json};

use crate::PLUGIN;

// By path: the benchmark has this file in another place of its tree.
#[path = "lab/container.rs"]
mod container;
#[path = "lab/etcd_server.rs"]
mod etcd_server;
#[path = "lab/ran.rs"]
mod ran;

pub(crate) use container::Container;
pub(crate) use etcd_server::EtcdServer;
pub(crate) use midoform_testutil::ovn_host::{ip, skipped_without_root, unique};
pub(crate) use ran::{Ran, run, started};

use etcd_server::certificate;

/// The host that most tests run on.
pub(crate) const HOST: &str = "11111111-2222-3333-4444-555555555555";

/// Both dialects, each with the version that stands for it.
pub(crate) const DIALECTS: [(u8, Version); 2] = [(1, Version::V1_7), (5, Version::V5_8)];

/// Returns true, and prints so, if a test can't run because a program is missing.
pub(crate) fn skipped_without(programs: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let there = |program: &str| {
        program.starts_with('/') && std::path::Path::new(program).exists()
            || path.split(':').any(|folder| std::path::Path::new(folder).join(program).exists())
    };
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !there(program)).collect();
    if !missing.is_empty() {
        println!("SKIPPED: not installed: {} (scripts/test.sh installs it as root)", missing.join(", "));
    }
    !missing.is_empty()
}

/// The embedded API with a site.
pub(crate) struct Lab {
    pub(crate) folder: TestFolder,
    pub(crate) base_url: String,
    dialect: u8,
    pub(crate) etcd: Option<EtcdServer>,
    _server: Server,
    runtime: tokio::runtime::Runtime,
}

impl Lab {
    pub(crate) fn new(dialect: (u8, Version)) -> Lab {
        Lab::with(dialect, "127.0.0.1:0", &[HOST.to_owned()], Auth::None)
    }

    /// Makes a lab whose API wants a login: `admin`, `geheim`.
    pub(crate) fn with_login(dialect: (u8, Version)) -> Lab {
        let tenants = BTreeMap::from([("admin".to_owned(), vec!["admin".to_owned()])]);
        let user = User { name: "admin".to_owned(), password: "geheim".to_owned(), tenants };
        let users = Users { admin_token: None, users: vec![user] };
        let auth = Auth::Basic { users, lifetime: Duration::from_secs(3600) };
        Lab::with(dialect, "127.0.0.1:0", &[HOST.to_owned()], auth)
    }

    /// Makes a lab whose host has no agent.
    pub(crate) fn without_agent(dialect: (u8, Version)) -> Lab {
        Lab::start_with(dialect, "127.0.0.1:0", &[HOST.to_owned()], Auth::None, false)
    }

    pub(crate) fn with(dialect: (u8, Version), listen: &str, hosts: &[String], auth: Auth) -> Lab {
        Lab::start_with(dialect, listen, hosts, auth, true)
    }

    fn start_with(
        (dialect, version): (u8, Version),
        listen: &str,
        hosts: &[String],
        auth: Auth,
        agent: bool,
    ) -> Lab {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let named =
            hosts.iter().enumerate().map(|(at, id)| (id.parse().unwrap(), format!("node{at}"))).collect();
        let options = Options {
            version,
            listen: listen.parse().unwrap(),
            hosts: named,
            faults: true,
            inspect: true,
            agent,
            auth,
            ..Options::default()
        };
        let server = runtime.block_on(midoform_simulator::start(options)).unwrap();
        let folder = TestFolder::default();
        let base_url = server.base_url().to_owned();
        let mut site = format!(
            "name = \"lab\"\n[midonet]\nurl = \"{base_url}\"\nversion = {dialect}\nmanaged = true\n\
             [tunnel_zone]\nname = \"lab\"\n"
        );
        for (at, id) in hosts.iter().enumerate() {
            site += &format!(
                "[[host]]\nname = \"node{at}\"\nid = \"{id}\"\ntunnel_address = \"10.255.0.{}\"\n",
                at + 1
            );
        }
        folder.write("site.toml", site);
        Lab { folder, base_url, dialect, etcd: None, _server: server, runtime }
    }

    /// Returns the lab with a real etcd as its store, at the address of the API.
    pub(crate) fn on_etcd(mut self) -> Lab {
        let etcd = EtcdServer::start(self.address().ip(), Tls::default());
        self.add_to_site(&format!("[etcd]\nendpoints = [\"{}\"]\n", etcd.endpoint));
        self.etcd = Some(etcd);
        self
    }

    /// Returns the lab with an etcd over TLS. This etcd wants a client's certificate, and its own certificate is of a
    /// CA that nobody else trusts.
    pub(crate) fn on_etcd_over_tls(mut self) -> Lab {
        let path = |name: &str| self.path(name).display().to_string();
        certificate(self.folder.path(), "ca", &[]);
        let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
        let name = format!("subjectAltName=IP:{}", self.address().ip());
        certificate(self.folder.path(), "server", &[&signed[..], &["-addext", &name]].concat());
        certificate(
            self.folder.path(),
            "client",
            &[&signed[..], &["-addext", "extendedKeyUsage=clientAuth"]].concat(),
        );
        let tls = Tls {
            ca: Some(self.path("ca.pem")),
            identity: Some((self.path("client.pem"), self.path("client.key"))),
        };
        let etcd = EtcdServer::start(self.address().ip(), tls);
        let keys = format!(
            "ca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\n",
            path("ca.pem"),
            path("client.pem"),
            path("client.key")
        );
        self.add_to_site(&format!("[etcd]\nendpoints = [\"{}\"]\n{keys}", etcd.endpoint));
        self.etcd = Some(etcd);
        self
    }

    pub(crate) fn add_to_site(&self, text: &str) {
        let site = self.folder.read("site.toml");
        self.folder.write("site.toml", format!("{site}{text}"));
    }

    /// Returns every available combination of dialect and store. Without etcd the tests that use it say so.
    pub(crate) fn each() -> Vec<Lab> {
        let mut labs: Vec<Lab> = DIALECTS.into_iter().map(Lab::new).collect();
        if !skipped_without(&["etcd"]) {
            labs.extend(DIALECTS.into_iter().map(|dialect| Lab::new(dialect).on_etcd()));
        }
        labs
    }

    pub(crate) fn dialect(&self) -> u8 {
        self.dialect
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a network configuration that names the plugin alone.
    pub(crate) fn config(&self) -> Value {
        json!({
            "cniVersion": "1.1.0",
            "name": "lab",
            "type": "midonet-cni",
            "site": self.path("site.toml"),
            "host_uuid": HOST,
            "tenant": "acme",
            "state_dir": self.path("state"),
            "log_file": self.path("log"),
            "log_level": "debug",
        })
    }

    /// Returns a run of the plugin that is not started yet.
    pub(crate) fn command(&self, verb: &str, container: &Container) -> Command {
        let mut command = Command::new(PLUGIN);
        self.environment(&mut command, verb, container);
        command
    }

    pub(crate) fn environment(&self, command: &mut Command, verb: &str, container: &Container) {
        command
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &container.id)
            .env("CNI_NETNS", container.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/usr/lib/cni");
    }

    pub(crate) fn run(&self, verb: &str, container: &Container, config: &Value) -> Ran {
        run(self.command(verb, container), config)
    }

    /// Starts a verb, and does not wait for it.
    pub(crate) fn start(&self, verb: &str, container: &Container, config: &Value) -> Child {
        started(self.command(verb, container), config.to_string().as_bytes())
    }

    pub(crate) fn add(&self, container: &Container) -> Value {
        self.run("ADD", container, &self.config()).ok()
    }

    pub(crate) fn del(&self, container: &Container) -> Value {
        self.run("DEL", container, &self.config()).ok()
    }

    /// Returns the objects of one kind, as `GET /_topology` lists them.
    pub(crate) fn objects(&self, kind: &str) -> Vec<Value> {
        let topology: Value = serde_json::from_str(&self.http("GET", "/_topology", "")).unwrap();
        topology["objects"][kind].as_array().unwrap_or_else(|| panic!("no kind {kind}")).clone()
    }

    /// Returns the ports that are bound to a host's interface.
    pub(crate) fn bound_ports(&self) -> Vec<Value> {
        self.ports().into_iter().filter(|port| port["interfaceName"].is_string()).collect()
    }

    fn ports(&self) -> Vec<Value> {
        self.objects("Port")
    }

    /// Returns the number of requests that the API received for a method and a resource.
    pub(crate) fn requests(&self, method: &str, resource: &str) -> u64 {
        let metrics = self.http("GET", "/metrics", "");
        let wanted = [format!("method=\"{method}\""), format!("resource=\"{resource}\"")];
        let lines = metrics.lines().filter(|line| {
            line.contains("requests_total") && wanted.iter().all(|wanted| line.contains(wanted))
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map(|count| count as u64).sum()
    }

    /// Returns the bridge ports that are neither linked nor bound.
    pub(crate) fn stray_ports(&self) -> Vec<Value> {
        let is_stray = |port: &Value| {
            port["type"] == "Bridge" && port["peerId"].is_null() && port["interfaceName"].is_null()
        };
        self.ports().into_iter().filter(is_stray).collect()
    }

    /// Returns the ids and the names of interfaces that came back, which an agent does not cope with.
    pub(crate) fn came_back(&self) -> Value {
        let agents: Value = serde_json::from_str(&self.http("GET", "/_agent", "")).unwrap();
        agents["came_back"].clone()
    }

    /// Sets a fault.
    pub(crate) fn fault(&self, fault: &Value) {
        self.http("POST", "/_faults", &fault.to_string());
    }

    pub(crate) fn clear_faults(&self) {
        self.http("DELETE", "/_faults", "");
    }

    /// Sends one request, and returns the body of the response.
    #[track_caller]
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> String {
        let mut connection = midoform_testutil::http::Connection::open(self.address()).unwrap();
        let answer = connection.send(method, path, "application/json", body).unwrap();
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// Puts a spec into the store, as `midoform push` does.
    pub(crate) fn push(&self, tenant: &str, text: &str) {
        use midoform_store::record::encode;
        use midoform_store::tenants::PushedFile;
        use midoform_store::{Transaction, keys};
        let pushed = PushedFile::new(&format!("{tenant}.toml"), text);
        self.commit(&Transaction::default().put(keys::spec(tenant), encode(&pushed)));
    }

    /// Writes something else into the store.
    pub(crate) fn commit(&self, transaction: &midoform_store::Transaction) {
        let store = self.open_store();
        self.runtime.block_on(store.commit(transaction)).unwrap();
    }

    /// Runs something while somebody else holds a tenant's lock.
    pub(crate) fn while_locked(&self, tenant: &str, act: impl FnOnce()) {
        use midoform_store::{keys, locks};
        let store = self.open_store();
        let name = keys::tenant_lock(tenant);
        let lock = self.runtime.block_on(locks::acquire(&store, &name, "a test", Duration::from_secs(5)));
        act();
        self.runtime.block_on(lock.unwrap().release());
    }

    /// Returns the keys of the objects that `midoform plan` of these tenants would change. Other peers are left out.
    pub(crate) fn changes(&self, specs: &BTreeMap<String, String>) -> Vec<String> {
        use midoform_compiler::midonet::dialect::Dialect;
        use midoform_compiler::midonet::lower::provider_router;
        use midoform_compiler::network::peering::PeersOf;
        use midoform_compiler::network::provider_use::Neighbours;
        use midoform_compiler::plan::Action;
        use midoform_compiler::source::Source;
        use midoform_compiler::{Allocated, Input, Policies, compile_beside};
        use midoform_reconcile::client::{Client, Credentials, Settings};
        use midoform_reconcile::observe::{Scope, observe};
        let store = self.open_store();
        let known = self.runtime.block_on(midoform_store::allocation::load(&store)).unwrap().allocations;
        let site = Source::new("site.toml", self.folder.read("site.toml"));
        let tenants: Vec<Source> =
            specs.iter().map(|(name, text)| Source::new(format!("{name}.toml"), text.clone())).collect();
        let input = Input {
            site: &site,
            allocated: Allocated::Store { name: "the store", allocations: &known },
            tenants: &tenants,
        };
        let (absent, others) = (PeersOf::new(), Neighbours::default());
        let compiled = compile_beside(input, Policies::Enforced(&[]), Some(&absent), &others)
            .unwrap_or_else(|found| panic!("{found:#?}"));
        let mut needed = known.clone();
        needed.peers.retain(|pair, _| compiled.allocations.peers.contains_key(pair));
        assert_eq!(compiled.allocations, needed, "everything is allocated already");
        let settings = Settings {
            base_url: self.base_url.clone(),
            credentials: Credentials::None,
            timeout: Duration::from_secs(10),
            dialect: Dialect::of(compiled.engine()).unwrap(),
            ca: None,
        };
        let client = Client::resume(settings, None).unwrap();
        let names = specs.keys().map(|name| name.as_str().into()).collect();
        let provider = provider_router(&compiled.site);
        let scope = Scope::of(&compiled, &known, &names, &provider);
        let observed = self.runtime.block_on(observe(&client, scope, &|_| {})).unwrap();
        let plan = compiled.plan(&compiled.topology, &observed);
        let changes = plan.steps.iter().filter(|step| step.action != Action::Keep);
        changes.map(|step| format!("{:?} {}: {}", step.action, step.key, step.reason)).collect()
    }

    fn open_store(&self) -> SharedStore {
        let Some(etcd) = &self.etcd else {
            std::fs::create_dir_all(self.path("state")).unwrap();
            return Arc::new(Embedded::open(&self.path("state/store.db")).unwrap());
        };
        let settings = etcd::Settings {
            endpoints: vec![etcd.endpoint.clone()],
            login: None,
            prefix: Etcd::prefix_of("lab"),
            timeout: Duration::from_secs(10),
        };
        Arc::new(Etcd::open_tls(settings, &etcd.tls).unwrap())
    }

    /// Changes the store so that every free address was released this many hours ago.
    pub(crate) fn age(&self, hours: u64) {
        use midoform_store::{Transaction, read_one};
        let store = self.open_store();
        self.runtime.block_on(async {
            let mut transaction = Transaction::default();
            for entry in read_one(&*store, Range::prefix("pod/")).await.unwrap() {
                let mut value: Value = serde_json::from_str(&entry.value).unwrap();
                if entry.key.contains("/free/") {
                    transaction = transaction.delete(entry.key);
                } else if value["holder"].is_null() {
                    let since = value["since"].as_u64().unwrap() - hours * 3_600_000;
                    value["since"] = since.into();
                    let (below, spread) = entry.key.split_once("/address/").unwrap();
                    let free = format!("{below}/free/{since:016x}/{spread}");
                    transaction = transaction.put(&entry.key, value.to_string());
                    transaction = transaction.put(free, "{\"version\":1}");
                }
            }
            store.commit(&transaction).await.unwrap();
        });
    }

    /// Makes a port on a bridge, with a chosen id.
    pub(crate) fn make_port(&self, bridge: &str, id: &str) {
        let body = json!({"id": id, "type": "Bridge"}).to_string();
        self.post(&format!("/midonet-api/bridges/{bridge}/ports"), "Port-v3", &body);
    }

    /// Makes a provider router that existed before midoform.
    pub(crate) fn make_provider_router(&self) -> String {
        let router = "99999999-0000-4000-8000-000000000001";
        let body = json!({"id": router, "name": "provider", "tenantId": "provider"}).to_string();
        self.post("/midonet-api/routers", if self.dialect == 1 { "Router-v2" } else { "Router-v3" }, &body);
        router.to_owned()
    }

    /// Adds the hosts to a tunnel zone: without one, no port can be bound on a host.
    pub(crate) fn add_host_to_tunnel_zone(&self) {
        let zone = "99999999-0000-4000-8000-000000000002";
        let body = json!({"id": zone, "name": "zone", "type": "vxlan"}).to_string();
        self.post("/midonet-api/tunnel_zones", "TunnelZone-v1", &body);
        let body = json!({"hostId": HOST, "ipAddress": "10.255.0.1"}).to_string();
        self.post(&format!("/midonet-api/tunnel_zones/{zone}/hosts"), "TunnelZoneHost-v1", &body);
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: &str) {
        let mut connection = midoform_testutil::http::Connection::open(self.address()).unwrap();
        let kind = format!("application/vnd.org.midonet.{kind}+json");
        let answer = connection.send("POST", path, &kind, body).unwrap();
        assert_eq!(answer.status, 201, "{path}: {}", answer.body);
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.base_url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap()
    }

    /// Returns the values in the store, by key.
    pub(crate) fn store(&self) -> BTreeMap<String, Value> {
        let store = self.open_store();
        let found = self.runtime.block_on(store.read(&[Range::prefix("")])).unwrap();
        found
            .into_iter()
            .flatten()
            .map(|entry| (entry.key, serde_json::from_str(&entry.value).unwrap()))
            .collect()
    }

    /// Returns the addresses that have a holder.
    pub(crate) fn held_addresses(&self) -> usize {
        self.store()
            .iter()
            .filter(|(key, value)| key.contains("/address/") && value["holder"].is_object())
            .count()
    }

    /// Asserts that nothing of any container is left anywhere.
    #[track_caller]
    pub(crate) fn expect_nothing_left(&self, containers: &[&Container]) {
        let attachments: Vec<String> =
            self.store().into_keys().filter(|key| key.starts_with("attachment/")).collect();
        assert_eq!(attachments, Vec::<String>::new());
        assert_eq!(self.held_addresses(), 0);
        assert_eq!(self.bound_ports(), Vec::<Value>::new());
        assert_eq!(self.stray_ports(), Vec::<Value>::new());
        for container in containers {
            assert_eq!(container.interfaces(), Vec::<String>::new());
        }
        let journal =
            std::fs::read_dir(self.path("state/journal")).map(|entries| entries.count()).unwrap_or(0);
        assert_eq!(journal, 0, "releases wait");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}
