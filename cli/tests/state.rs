//! The allocations in each of the stores: the same commands have the same effects.

use std::sync::{Arc, OnceLock};

use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::etcd::{Etcd, Settings};
use midoform_store::ipam::{Claim, ClaimRequest, Ipam, Owner};
use midoform_store::{Range, SharedStore, allocation, keys, locks, read_one, tenants};
use midoform_testutil::etcd::Cluster;
use midoform_testutil::{Ran, TestFolder};
use uuid::Uuid;

use crate::MIDOFORM;
use crate::served::Served;

/// The host that the API knows.
const HOST: Uuid = Uuid::from_u128(0x7777_7777_8888_4999_aaaa_bbbb_bbbb_bbbb);

const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n[[rule]]\nname = \"open\"\n\
                    from = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n[[rule]]\n\
                    name = \"shut\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";

/// A site whose store is at hand, and a served API.
struct Lab {
    folder: TestFolder,
    served: Served,
    store: SharedStore,
    runtime: tokio::runtime::Runtime,
}

impl Lab {
    fn run(&self, arguments: &[&str]) -> Ran {
        self.folder.run(MIDOFORM, arguments)
    }

    fn apply(&self) -> Ran {
        self.run(&["apply", ".", "--yes"])
    }

    fn claim(&self, bridge: Option<&str>, container: &str) -> Claim {
        let owner =
            Owner { network: "n".to_owned(), container: container.to_owned(), interface: "eth0".to_owned() };
        let ask = ClaimRequest {
            owner,
            host: HOST,
            tenant: "acme".into(),
            bridge: bridge.map(str::to_owned),
            address: None,
            mac: None,
            host_interface: format!("if{container}"),
            port: None,
            pod: None,
            extra: serde_json::Map::new(),
        };
        self.runtime.block_on(Ipam::new(self.store.clone()).claim(&ask)).unwrap()
    }

    /// Adds a bridge in the store, like the plugin when a bridge is full.
    fn grow(&self, name: &str, from: &str) {
        self.runtime.block_on(async {
            let locked = keys::tenant_lock("acme");
            let lock =
                locks::acquire(&self.store, &locked, "a test", std::time::Duration::ZERO).await.unwrap();
            let mut loaded = allocation::load(&self.store).await.unwrap();
            let mut now = loaded.allocations.clone();
            let grown = &mut now.tenants.get_mut("acme").unwrap().grown;
            grown.insert(name.to_owned(), from.to_owned());
            assert!(allocation::write(&self.store, &lock, &mut loaded, &now).await.unwrap());
            lock.release().await;
        });
    }

    fn keys(&self) -> Vec<String> {
        let all = self.runtime.block_on(read_one(&*self.store, Range::prefix(""))).unwrap();
        all.into_iter().map(|entry| entry.key).collect()
    }

    fn ready(&self) -> Option<midoform_store::ready::Ready> {
        self.runtime.block_on(tenants::ready(&self.store, "acme")).unwrap().map(|held| held.record)
    }
}

/// Calls a test with a lab whose store is a database, and with one whose store is etcd, in both dialects.
fn in_each_store(test: impl Fn(&Lab)) {
    static ETCD: OnceLock<Option<Cluster>> = OnceLock::new();
    let etcd = ETCD.get_or_init(|| Cluster::start(1)).as_ref();
    if etcd.is_none() {
        println!("SKIPPED: etcd is not installed (etcd-server)");
    }
    for (version, dialect) in [("1.7", 1), ("5.8", 5)] {
        for endpoints in [None, etcd.map(Cluster::endpoints)].into_iter().enumerate() {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let folder = TestFolder::default();
            let host = format!("{HOST}=node1");
            let arguments = ["--version", version, "--inspect", "--faults", "--host", &host];
            let served = Served::start(&folder, &arguments).unwrap_or_else(|ran| panic!("{}", ran.stderr));
            let name = format!("site{:016x}", fastrand::u64(..));
            let (line, store): (String, SharedStore) = match endpoints {
                (0, _) => {
                    let store = Embedded::open(&folder.path().join("site.db")).unwrap();
                    ("[store]\npath = \"site.db\"".to_owned(), Arc::new(store))
                }
                (_, None) => continue,
                (_, Some(endpoints)) => {
                    let line = format!("[etcd]\nendpoints = {endpoints:?}");
                    let (prefix, timeout) = (Etcd::prefix_of(&name), std::time::Duration::from_secs(5));
                    let settings = Settings { endpoints, login: None, prefix, timeout };
                    (line, Arc::new(runtime.block_on(Etcd::open(settings)).unwrap()))
                }
            };
            let url = served.url();
            folder.write(
                "site.toml",
                format!("name = \"{name}\"\n{line}\n[midonet]\nurl = \"{url}\"\nversion = {dialect}\nmanaged = true\n"),
            );
            folder.write("acme.toml", ACME);
            test(&Lab { folder, served, store, runtime });
        }
    }
}

#[test]
fn a_tenant_is_applied_and_destroyed() {
    in_each_store(|lab| {
        let shown = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(2);
        assert!(!lab.keys().iter().any(|key| key.starts_with("given/")), "{}", shown.stdout);
        let _ = lab.apply().expect_code(0);
        assert!(!lab.folder.path().join("midoform.lock").exists());
        assert!(lab.ready().is_some_and(|ready| ready.bridges.len() == 2));
        assert!(!lab.keys().iter().any(|key| key.starts_with("lock/")), "{:?}", lab.keys());
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
        let _ = lab.run(&["drift", "."]).expect_code(0);
        let again = lab.apply().expect_code(0);
        assert!(again.stdout.contains("No changes"), "{}", again.stdout);
        let _ = lab.run(&["destroy", ".", "--yes"]).expect_code(0);
        let left: Vec<String> = lab.keys().into_iter().filter(|key| key.contains("acme")).collect();
        assert_eq!(left, ["given/generation/acme"], "its ids are not used again");
    });
}

#[test]
fn attached_pods_keep_their_tenant() {
    in_each_store(|lab| {
        let _ = lab.apply().expect_code(0);
        assert!(matches!(lab.claim(Some("db"), "c1"), Claim::Attached { .. }));
        let refused = lab.run(&["destroy", ".", "--yes"]).expect_code(6);
        assert!(refused.stderr.contains("1 pods attached"), "{}", refused.stderr);
        let still = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
        assert!(lab.ready().is_some(), "{}", still.stdout);
        let _ = lab.run(&["destroy", ".", "--yes", "--force"]).expect_code(0);
        assert_eq!(lab.ready(), None);
        assert!(matches!(lab.claim(None, "c2"), Claim::NotReady));
    });
}

/// The address or the MAC address of a new static port is a pod's: nothing is changed.
#[test]
fn a_static_port_that_a_pod_is_in_the_way_of_is_refused_before_the_first_call() {
    in_each_store(|lab| {
        let site = lab.folder.read("site.toml");
        lab.folder.write(
            "site.toml",
            format!(
                "{site}[tunnel_zone]\nname = \"zone\"\n[[host]]\nname = \"node1\"\nid = \"{HOST}\"\n\
                 tunnel_address = \"10.255.0.1\"\n"
            ),
        );
        let _ = lab.apply().expect_code(0);
        let Claim::Attached { attachment, .. } = lab.claim(Some("db"), "c1") else { panic!("no address") };
        let (address, mac) = (attachment.record.address, attachment.record.mac);
        let ready = lab.ready();
        let [a, b, c, d] = address.octets();
        let other = std::net::Ipv4Addr::new(a, b, c, d.wrapping_add(50) % 200 + 10);
        for (address, mac, expected) in [
            (address, "02:00:00:00:00:01".to_owned(), "the address"),
            (other, mac.to_string(), "the MAC address"),
        ] {
            let port = format!(
                "[[port]]\nname = \"vm\"\nbridge = \"db\"\nhost = \"node1\"\ninterface = \"tap0\"\nmac = \"{mac}\"\n\
                 address = \"{address}\"\n"
            );
            lab.folder.write("acme.toml", format!("{ACME}{port}"));
            let refused = lab.apply().expect_code(6);
            assert!(refused.stderr.contains(expected) && refused.stderr.contains("c1"), "{}", refused.stderr);
            lab.folder.write("acme.toml", ACME);
            let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
            assert_eq!(lab.ready(), ready);
        }
    });
}

#[test]
fn an_added_bridge_stays_and_its_rules_apply() {
    in_each_store(|lab| {
        let _ = lab.apply().expect_code(0);
        lab.grow("db-2", "db");
        let planned = lab.run(&["plan", "."]).expect_code(0);
        for key in
            ["+ bridge/db-2 ", "+ chain/policy/rule/open/to-db-2 ", "+ chain/policy/rule/shut/to-db-2 "]
        {
            assert!(planned.stdout.contains(key), "{key}: {}", planned.stdout);
        }
        assert!(planned.stdout.contains("0 to replace, 0 to delete"), "{}", planned.stdout);
        let _ = lab.apply().expect_code(0);
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
        let ready = lab.ready().unwrap();
        assert_eq!(ready.bridges_for(Some("db")).len(), 2);
        let verified = lab.run(&["verify", "."]);
        assert_eq!(verified.code, 0, "{}", verified.stdout);
        // Once the spec no longer speaks of the bridge, what was added for it goes too.
        lab.folder.write("acme.toml", "name = \"acme\"\n[[bridge]]\nname = \"web\"\n");
        let _ = lab.run(&["apply", ".", "--yes", "--allow-mass-delete"]).expect_code(0);
        assert_eq!(lab.ready().unwrap().bridges.len(), 1);
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
    });
}

#[test]
fn a_saved_plan_is_applied_and_undone() {
    in_each_store(|lab| {
        let _ = lab.run(&["plan", ".", "--out", "one.plan"]).expect_code(0);
        let _ = lab.run(&["apply", "one.plan", "--yes"]).expect_code(0);
        assert!(lab.ready().is_some());
        lab.folder.write("acme.toml", format!("{ACME}[[bridge]]\nname = \"cache\"\n"));
        let _ = lab.run(&["plan", ".", "--out", "two.plan"]).expect_code(0);
        let _ = lab.run(&["apply", "two.plan", "--yes"]).expect_code(0);
        assert_eq!(lab.ready().unwrap().bridges.len(), 3);
        let _ = lab.run(&["undo", "two.plan", "--yes"]).expect_code(0);
        assert_eq!(lab.ready().unwrap().bridges.len(), 2);
        lab.folder.write("acme.toml", ACME);
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
        let stale = lab.run(&["apply", "one.plan", "--yes"]).expect_code(6);
        assert!(stale.stderr.contains("plan again"), "{}", stale.stderr);
    });
}

#[test]
fn a_lock_file_beside_a_store_is_refused() {
    in_each_store(|lab| {
        let refused = lab.run(&["apply", ".", "--yes", "--lock", "other.lock"]).expect_code(64);
        assert!(refused.stderr.contains("--lock: the site keeps"), "{}", refused.stderr);
        let _ = lab.run(&["plan", ".", "--offline"]).expect_code(0);
        let _ = lab.run(&["validate", "."]).expect_code(0);
    });
}

#[test]
fn a_killed_apply_keeps_no_lock() {
    in_each_store(|lab| {
        let delay = r#"{"fault": "delay", "method": "POST", "nth": 3, "milliseconds": 60000}"#;
        let mut connection = midoform_testutil::http::Connection::open(lab.served.address).unwrap();
        let _ = connection.send("POST", "/_faults", "application/json", delay).unwrap();
        let mut command = lab.folder.command(MIDOFORM, &["apply", ".", "--yes", "--quiet"]);
        let mut first = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        while !connection.send("GET", "/_faults", "*/*", "").unwrap().body.contains("\"struck\":1") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let busy = lab.apply().expect_code(6);
        assert!(
            busy.stderr.contains("midoform apply (process") && busy.stderr.contains("since"),
            "{}",
            busy.stderr
        );
        first.kill().unwrap();
        let _ = first.wait().unwrap();
        let _ = lab.apply().expect_code(0);
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
    });
}

#[test]
fn an_unreachable_etcd_is_reported_and_offline_commands_work() {
    let folder = TestFolder::default();
    let site = "name = \"s\"\n[etcd]\nendpoints = \"http://127.0.0.1:1\"\ntimeout = 1\n[midonet]\nembedded = true\nmanaged = true\n";
    folder.write("site.toml", site);
    folder.write("acme.toml", ACME);
    let refused = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(4);
    assert!(refused.stderr.contains("etcd at http://127.0.0.1:1"), "{}", refused.stderr);
    let _ = folder.run(MIDOFORM, &["validate", "."]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["plan", ".", "--offline"]).expect_code(0);
}

/// Each in a folder of its own, as several people or pipelines have them.
#[test]
fn concurrent_tenants_get_different_allocations() {
    in_each_store(|lab| {
        let site = lab.folder.read("site.toml").replace("site.db", "../site.db");
        let names: Vec<String> = (0..6).map(|number| format!("t{number}")).collect();
        for name in &names {
            lab.folder
                .write(&format!("{name}/site.toml"), format!("{site}[pools]\nlinks = \"172.16.0.0/27\"\n"));
            lab.folder.write(&format!("{name}/a.toml"), ACME.replace("acme", name));
        }
        let running: Vec<_> = names
            .iter()
            .map(|name| {
                let arguments = ["apply", name, "--yes", "--quiet"];
                let mut command = lab.folder.command(MIDOFORM, &arguments);
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
                (name, command.spawn().unwrap())
            })
            .collect();
        for (name, child) in running {
            let ended = child.wait_with_output().unwrap();
            // Two may pick one place: then one of them is told so, and picks another one when it is run again.
            match ended.status.code() {
                Some(0) => {}
                Some(6) => drop(lab.run(&["apply", name, "--yes"]).expect_code(0)),
                other => panic!("{name}: {other:?} {}", String::from_utf8_lossy(&ended.stderr)),
            }
        }
        let allocations = lab.runtime.block_on(allocation::load(&lab.store)).unwrap().allocations;
        let mut networks: Vec<String> = Vec::new();
        for tenant in allocations.tenants.values() {
            assert!(tenant.applied);
            networks.extend(tenant.bridges.values().map(ToString::to_string));
            networks.push(tenant.link.unwrap().block().to_string());
        }
        let all = networks.len();
        networks.sort();
        networks.dedup();
        assert_eq!((all, networks.len()), (18, 18), "{networks:?}");
    });
}

#[test]
fn a_full_pool_is_reported_and_can_grow() {
    in_each_store(|lab| {
        let site = lab.folder.read("site.toml");
        let with_pool = |pool: &str| format!("{site}[pools]\nlinks = \"{pool}\"\n");
        lab.folder.write("site.toml", with_pool("172.16.0.0/30"));
        let _ = lab.apply().expect_code(0);
        lab.folder.write("beta.toml", ACME.replace("acme", "beta"));
        let full = lab.apply().expect_code(3);
        assert!(full.stderr.contains("172.16.0.0/30") && full.stderr.contains("[pools]"), "{}", full.stderr);
        lab.folder.write("site.toml", with_pool("172.16.0.0/29"));
        let grown = lab.apply().expect_code(0);
        assert!(
            !grown.stdout.contains("to replace") || grown.stdout.contains("0 to replace"),
            "{}",
            grown.stdout
        );
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
    });
}
