//! A project, an embedded API, and a store, for one reconciliation at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::lower::provider_router;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::Plan;
use midoform_compiler::source::Source;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::{Allocated, Compiled, Input, compile};
use midoform_reconcile::client::{Client, Credentials, Settings};
use midoform_reconcile::execute::Control;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::observe::{Scope, observe};
use midoform_reconcile::planned::Planned;
use midoform_reconcile::reconciliation::{Finished, Options};
use midoform_reconcile::recorder::{Bookkeeping, Extent, Recorder};
use midoform_simulator::{Server, Version};
use midoform_store::SharedStore;
use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::lock_file::LockFile;
use midoform_store::locks::{self, Lock};
use midoform_store::{allocation, keys};
use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;

const SITE: &str = r#"
name = "lab"
[midonet]
embedded = true
managed = true
version = DIALECT
[tunnel_zone]
name = "zone"
[[host]]
name = "node1"
id = "11111111-2222-3333-4444-555555555555"
tunnel_address = "10.255.0.1"
"#;

/// One tenant with a bridge, a rule and a static port.
pub(crate) const TENANT: &str = r#"
name = "acme"
[[bridge]]
name = "web"
cidr = "10.1.0.0/24"
[[rule]]
name = "shut"
to = { bridge = "web", tcp = 22 }
action = "drop"
[[port]]
name = "db"
bridge = "web"
host = "11111111-2222-3333-4444-555555555555"
interface = "eth1"
mac = "02:00:00:00:00:01"
address = "10.1.0.9"
"#;

/// A compiled project as a goal.
pub(crate) struct WholeProject {
    pub(crate) compiled: Compiled,
    tenants: BTreeSet<TenantName>,
    provider: Reference,
    /// The part of the topology that the goal has.
    pub(crate) desired: Topology,
    /// False where the goal leaves alone what it does not have.
    pub(crate) deletes: bool,
}

impl WholeProject {
    pub(crate) fn new(dialect: &str, tenant: &str) -> WholeProject {
        let site = Source::new("site.toml", SITE.replace("DIALECT", dialect));
        let tenants = [Source::new("acme.toml", tenant)];
        let compiled =
            compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants }).unwrap();
        WholeProject {
            tenants: BTreeSet::from(["acme".into()]),
            provider: provider_router(&compiled.site),
            desired: compiled.topology.clone(),
            deletes: true,
            compiled,
        }
    }

    pub(crate) fn books(&self, extent: Extent) -> Bookkeeping<'static> {
        let applied = BTreeMap::from([("acme".into(), false)]);
        Bookkeeping { applied, ..Bookkeeping::of(self.tenants.clone(), extent) }
    }
}

impl Goal for WholeProject {
    type Refusal = Infallible;

    fn desired(&self) -> &Topology {
        &self.desired
    }

    fn scope<'a>(&'a self, known: &'a Allocations) -> Scope<'a> {
        let whole = Scope::of(&self.compiled, known, &self.tenants, &self.provider);
        Scope { desired: &self.desired, ..whole }
    }

    fn plan(&self, observed: &Observed) -> Result<Plan, Infallible> {
        let mut observed = observed.clone();
        if !self.deletes {
            let is_wanted = |key: &str| self.desired.get(key).is_some();
            observed.topology = observed.topology.filtered(|entry| is_wanted(entry.key.as_str()));
        }
        Ok(self.compiled.plan(&self.desired, &observed))
    }
}

/// The embedded API and a store.
pub(crate) struct Fixture {
    server: Server,
    pub(crate) client: Client,
    pub(crate) store: SharedStore,
    _folder: TestFolder,
}

impl Fixture {
    pub(crate) async fn start(dialect: Dialect, with_database: bool) -> Fixture {
        let version = match dialect {
            Dialect::V1 => Version::V1_7,
            Dialect::V5 => Version::V5_8,
        };
        let hosts = vec![("11111111-2222-3333-4444-555555555555".parse().unwrap(), "node1".to_owned())];
        let options = midoform_simulator::Options { version, hosts, faults: true, ..Default::default() };
        let server = midoform_simulator::start(options).await.unwrap();
        let settings = Settings {
            dialect,
            ca: None,
            base_url: server.base_url().to_owned(),
            credentials: Credentials::None,
            timeout: Duration::from_secs(20),
        };
        let client = Client::connect(settings).await.unwrap().with_most_tries(1);
        let folder = TestFolder::default();
        let store: SharedStore = match with_database {
            true => Arc::new(Embedded::open(&folder.path().join("store.db")).unwrap()),
            false => Arc::new(LockFile::at(folder.path().join("midoform.lock"))),
        };
        Fixture { server, client, store, _folder: folder }
    }

    /// Sets a fault, as `docs/serve.md` describes them.
    pub(crate) fn fault(&self, fault: &str) {
        self.ask("POST", fault);
    }

    pub(crate) fn clear_faults(&self) {
        self.ask("DELETE", "");
    }

    fn ask(&self, method: &str, body: &str) {
        let address = self.server.base_url().split('/').nth(2).unwrap().parse().unwrap();
        let mut connection = Connection::open(address).unwrap();
        let answer = connection.send(method, "/_faults", "application/json", body).unwrap();
        assert!(answer.status < 300, "{}", answer.body);
    }

    pub(crate) async fn lock(&self, store: &SharedStore, lease: Duration) -> Lock {
        let name = keys::tenant_lock("acme");
        locks::acquire_for(store, &name, "a test", Duration::from_secs(5), lease).await.unwrap()
    }

    /// Reconciles under a lock of its own.
    pub(crate) async fn reconcile(&self, goal: &WholeProject, extent: Extent) -> Finished<Infallible> {
        let lock = self.lock(&self.store, locks::LEASE).await;
        let finished = self.reconcile_under(goal, goal.books(extent), &self.store, &lock, true).await;
        lock.release().await;
        finished
    }

    pub(crate) async fn reconcile_under(
        &self,
        goal: &WholeProject,
        books: Bookkeeping<'_>,
        store: &SharedStore,
        lock: &Lock,
        looks_again: bool,
    ) -> Finished<Infallible> {
        let stored = allocation::load(store).await.unwrap();
        let mut allocations = stored.allocations.clone();
        if allocations.tenants.is_empty() {
            allocations = goal.compiled.allocations.clone();
        }
        let site = &goal.compiled.site;
        let mut recorder = Recorder::new(store, lock, site, stored, allocations, books);
        let planned = Planned::look(&self.client.clone().into(), goal, recorder.allocations(), &|_| {}).await;
        let planned = planned.unwrap_or_else(|error| panic!("{error:?}"));
        let options = Options {
            parallel: 1,
            batches: None,
            takes_back: false,
            looks_again,
            conflicts_pass: false,
            events: &|_| {},
        };
        let control = Control::default();
        planned.execute(&self.client.clone().into(), &mut recorder, &control, options).await.unwrap()
    }

    /// Returns the number of rules in the chains of a project, whoever made them.
    pub(crate) async fn count_rules(&self, goal: &WholeProject) -> usize {
        let known = self.recorded().await;
        let observed = observe(&self.client, goal.scope(&known), &|_| {}).await.unwrap();
        observed.rules.values().map(Vec::len).sum()
    }

    pub(crate) async fn recorded(&self) -> Allocations {
        allocation::load(&self.store).await.unwrap().allocations
    }
}
