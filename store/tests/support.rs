//! Stores for tests.

use std::net::Ipv4Addr;
use std::sync::Arc;

use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::lock_file::LockFile;
use midoform_store::ipam::{Attachment, Claim, ClaimRequest, Ipam, Owner};
use midoform_store::ready::{Ready, ReadyBridge};
use midoform_store::record::Held;
use midoform_store::{SharedStore, locks, tenants};
use uuid::Uuid;

/// A store for one test, and its folder.
pub(crate) struct TestStore {
    pub(crate) store: SharedStore,
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn embedded() -> TestStore {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(&folder.path().join("store.db")).unwrap();
    TestStore { store: Arc::new(store), _folder: Some(folder) }
}

pub(crate) fn lock_file() -> TestStore {
    let folder = tempfile::tempdir().unwrap();
    let store = LockFile::at(folder.path().join("midoform.lock"));
    TestStore { store: Arc::new(store), _folder: Some(folder) }
}

/// Starts a real etcd for all tests of this program; each has its own prefix. Returns none if etcd is not installed.
pub(crate) async fn etcd() -> Option<TestStore> {
    static SERVER: std::sync::OnceLock<Option<midoform_testutil::etcd::Cluster>> = std::sync::OnceLock::new();
    let cluster = SERVER.get_or_init(|| midoform_testutil::etcd::Cluster::start(1)).as_ref()?;
    let store = crate::etcd::store_of(cluster, &format!("/test/{:016x}/", fastrand::u64(..))).await;
    Some(TestStore { store, _folder: None })
}

/// Runs a test on each store.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                match crate::support::etcd().await {
                    Some(etcd) => super::$test(&etcd.store).await,
                    None => println!("SKIPPED: etcd is not installed (etcd-server)"),
                }
            })+
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&crate::support::embedded().store).await;
            })+
        }
        mod lock_file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&crate::support::lock_file().store).await;
            })+
        }
    };
}
pub(crate) use on_every_store;

pub(crate) fn host(number: u128) -> Uuid {
    Uuid::from_u128(0x1000 + number)
}

pub(crate) fn owner(container: impl std::fmt::Display) -> Owner {
    Owner { network: "midonet".to_owned(), container: container.to_string(), interface: "eth0".to_owned() }
}

pub(crate) fn ask(tenant: &str, container: impl std::fmt::Display) -> ClaimRequest {
    ClaimRequest {
        owner: owner(&container),
        host: host(1),
        tenant: tenant.into(),
        bridge: None,
        address: None,
        mac: None,
        host_interface: format!("mn{container}"),
        port: None,
        pod: None,
        extra: serde_json::Map::new(),
    }
}

pub(crate) fn bridge(name: &str, cidr: &str) -> ReadyBridge {
    let cidr: ipnet::Ipv4Net = cidr.parse().unwrap();
    let gateway = Ipv4Addr::from(u32::from(cidr.broadcast()) - 1);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    ReadyBridge {
        name: name.to_owned(),
        id,
        cidr,
        gateway,
        grown_from: None,
        set_aside: Vec::new(),
        routed: Vec::new(),
    }
}

pub(crate) fn tenant(name: &str, bridges: Vec<ReadyBridge>) -> Ready {
    Ready {
        tenant: name.into(),
        tenant_id: name.to_owned(),
        spec: "00".to_owned(),
        bridges,
        ports: Vec::new(),
        mtu: None,
        nameservers: Vec::new(),
        search: Vec::new(),
        port_anti_spoof: false,
        anti_spoof: None,
        untagged: None,
    }
}

/// Publishes a tenant under its lock.
pub(crate) async fn publish(store: &SharedStore, ready: &Ready) {
    let name = format!("tenant:{}", ready.tenant);
    let patience = std::time::Duration::from_secs(10);
    let lock = locks::acquire(store, &name, "a test", patience).await.unwrap();
    tenants::publish(store, &lock.fence(), ready).await.unwrap();
    lock.release().await;
}

/// Claims an address, which must succeed.
pub(crate) async fn attached(pods: &Ipam, ask: &ClaimRequest) -> Held<Attachment> {
    match pods.claim(ask).await.unwrap() {
        Claim::Attached { attachment, .. } => *attachment,
        other => panic!("not attached: {other:?}"),
    }
}
