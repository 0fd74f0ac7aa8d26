//! MidoNet's ports and the attachments: orphaned ports are found, and nothing that may be in use is deleted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use midoform_compiler::topology::key::{Key, Namespace};
use midoform_store::ipam::consistency::Finding;
use midoform_store::ipam::host_interface::new_host_interface;
use midoform_store::ipam::ports;
use midoform_store::ipam::ports::{OrphanedPort, Port, PortDeletion, repair_ports};
use midoform_store::ipam::{Attachment, Claim, ClaimRequest, Ipam, Progress, consistency};
use midoform_store::record::{Held, encode};
use midoform_store::{SharedStore, StoreError, Transaction, get, keys};
use uuid::Uuid;

use crate::support::{ask, attached, bridge, host, on_every_store, owner, publish, tenant};

on_every_store!(
    what_is_left_over_is_found,
    what_comes_or_goes_meanwhile_is_left,
    a_container_that_is_back_keeps_its_port,
    a_container_is_not_attached_while_its_port_is_deleted,
    a_deletion_that_fails_is_made_by_the_next_run,
    one_of_two_repairs_deletes,
    ports_of_every_interface_that_a_container_had_are_its_own,
);

const SITE: &str = "site";

/// Returns a pod's port as MidoNet returns it, with midoform's id.
fn port_of(attachment: &Attachment) -> Port {
    let owner = &attachment.owner;
    let key = Key::tenant(&attachment.tenant).pod(attachment.host, &owner.container, &owner.interface).port();
    Port {
        id: Namespace::of_site(SITE).id(&key),
        bridge: Some(attachment.bridge_id),
        mark: None,
        host: Some(attachment.host),
        interface: Some(attachment.host_interface.clone()),
    }
}

async fn pods_of(store: &SharedStore) -> Ipam {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/28")])).await;
    Ipam::new(store.clone())
}

/// Attaches and releases a container, and returns its port, which still exists.
async fn left(pods: &Ipam, container: &str) -> Port {
    let held = attached(pods, &ask("acme", container)).await;
    pods.release(&held).await.unwrap();
    port_of(&held.record)
}

async fn done(pods: &Ipam, container: &str) -> Held<Attachment> {
    let mut held = attached(pods, &ask("acme", container)).await;
    held.record.state = Progress::Done;
    assert!(pods.update(&mut held).await.unwrap());
    held
}

async fn compare(store: &SharedStore, ports: &[Port], grace: Duration) -> Vec<Finding> {
    let world = consistency::read(store).await.unwrap();
    assert_eq!(world.findings(), []);
    world.compare(&world, ports, SITE, grace)
}

fn told(findings: &[Finding]) -> Vec<(&str, bool)> {
    findings.iter().map(|finding| (finding.code.name(), finding.safe)).collect()
}

/// Records deletions.
type Deleted = Arc<Mutex<Vec<Uuid>>>;

async fn repair(store: &SharedStore, findings: &mut [Finding], deleted: &Deleted) {
    let delete = async |left: &OrphanedPort| -> Result<(), StoreError> {
        deleted.lock().unwrap().push(left.port.id);
        Ok(())
    };
    repair_ports(store, findings, delete).await.unwrap();
}

async fn what_is_left_over_is_found(store: &SharedStore) {
    let pods = pods_of(store).await;
    let (whole, lost) = (done(&pods, "whole").await, done(&pods, "lost").await);
    let begun = attached(&pods, &ask("acme", "begun")).await;
    let gone = left(&pods, "gone").await;
    let marked = Port { id: Uuid::from_u128(1), mark: Some(left(&pods, "marked").await.id), ..gone.clone() };
    let unknown =
        Port { id: Uuid::from_u128(2), interface: Some("vif0123456789ab".to_owned()), ..gone.clone() };
    let foreign = Port { id: Uuid::from_u128(3), interface: Some("tap3".to_owned()), ..gone.clone() };
    let ports = [port_of(&whole.record), gone.clone(), marked, unknown, foreign];
    let findings = compare(store, &ports, Duration::ZERO).await;
    let expected = [
        ("attachment-unfinished", false),
        ("attachment-without-port", false),
        ("port-without-claim", true),
        ("port-without-claim", true),
        ("port-without-claim", false),
    ];
    assert_eq!(told(&findings), expected, "{findings:?}");
    assert!(findings[0].key == begun.key && findings[1].key == lost.key);
    assert!(findings[1].what.contains("container lost") && findings[2].what.contains("container gone"));
    // The port of a recent release may still be deleted by its owner; a new attachment has time.
    let findings = compare(store, &ports, ports::GRACE).await;
    let late = [
        ("attachment-without-port", false),
        ("port-without-claim", false),
        ("port-without-claim", false),
        ("port-without-claim", false),
    ];
    assert_eq!(told(&findings), late, "{findings:?}");
    // A repair deletes what is safe, and leaves no mark.
    let mut findings = compare(store, &ports, Duration::ZERO).await;
    let deleted = Deleted::default();
    repair(store, &mut findings, &deleted).await;
    assert_eq!(*deleted.lock().unwrap(), [gone.id, Uuid::from_u128(1)]);
    assert!(findings.iter().all(|finding| finding.repaired == finding.safe));
    assert_eq!(get(&**store, &keys::reclaiming(host(1), &owner("gone"))).await.unwrap(), None);
    // The next holder of the address does not make another container's port safe to delete.
    let address = pods.find(host(1), &owner("whole")).await.unwrap().unwrap().record.address;
    assert!(
        compare(store, &[], Duration::ZERO).await.iter().any(|it| it.what.contains(&address.to_string()))
    );
}

async fn what_comes_or_goes_meanwhile_is_left(store: &SharedStore) {
    let pods = pods_of(store).await;
    let leaves = done(&pods, "leaves").await;
    let changes = done(&pods, "changes").await;
    let before = consistency::read(store).await.unwrap();
    // MidoNet is read while one container is attached, one is detached, and one is attached again.
    let comes = done(&pods, "comes").await;
    pods.release(&leaves).await.unwrap();
    pods.release(&changes).await.unwrap();
    let again = done(&pods, "changes").await;
    let after = consistency::read(store).await.unwrap();
    for ports in [vec![], vec![port_of(&leaves.record), port_of(&comes.record), port_of(&again.record)]] {
        assert_eq!(before.compare(&after, &ports, SITE, Duration::ZERO), [], "{ports:?}");
    }
}

async fn a_container_that_is_back_keeps_its_port(store: &SharedStore) {
    let pods = pods_of(store).await;
    let port = left(&pods, "c1").await;
    let mut findings = compare(store, std::slice::from_ref(&port), Duration::ZERO).await;
    assert_eq!(told(&findings), [("port-without-claim", true)]);
    let back = attached(&pods, &ask("acme", "c1")).await;
    let deleted = Deleted::default();
    repair(store, &mut findings, &deleted).await;
    assert!(!findings[0].repaired && deleted.lock().unwrap().is_empty());
    assert_eq!(pods.find(host(1), &owner("c1")).await.unwrap().unwrap(), back);
}

async fn a_container_is_not_attached_while_its_port_is_deleted(store: &SharedStore) {
    let pods = pods_of(store).await;
    let port = left(&pods, "c1").await;
    let mut findings = compare(store, std::slice::from_ref(&port), Duration::ZERO).await;
    let claiming: Arc<Mutex<Option<tokio::task::JoinHandle<Claim>>>> = Arc::default();
    let delete = async |_: &OrphanedPort| -> Result<(), StoreError> {
        let pods = pods.clone();
        let claim = tokio::spawn(async move { pods.claim(&ask("acme", "c1")).await.unwrap() });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!claim.is_finished(), "it was attached while its port was being deleted");
        // Other containers do not wait.
        attached(&Ipam::new(store.clone()), &ask("acme", "c2")).await;
        *claiming.lock().unwrap() = Some(claim);
        Ok(())
    };
    repair_ports(store, &mut findings, delete).await.unwrap();
    let claim = claiming.lock().unwrap().take().unwrap();
    assert!(matches!(claim.await.unwrap(), Claim::Attached { new: true, .. }));
    assert!(findings[0].repaired);
}

async fn a_deletion_that_fails_is_made_by_the_next_run(store: &SharedStore) {
    let pods = pods_of(store).await;
    let port = left(&pods, "c1").await;
    let look = async || compare(store, std::slice::from_ref(&port), Duration::ZERO).await;
    let fail = async |_: &OrphanedPort| -> Result<(), StoreError> {
        Err(StoreError::Unreachable { store: "the API".to_owned(), cause: "gone".to_owned() })
    };
    let mut findings = look().await;
    assert!(repair_ports(store, &mut findings, fail).await.is_err());
    assert!(!findings[0].repaired);
    // An interrupted run left its mark: a recent one may be under way, an old one is not.
    let key = keys::reclaiming(host(1), &owner("c1"));
    let deleted = Deleted::default();
    let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for (since, is_old) in [(now, false), (1, true)] {
        let mark = Transaction::default().put(&key, encode(&PortDeletion { port: port.id, since }));
        store.commit(&mark).await.unwrap();
        let codes: Vec<_> =
            consistency::read(store).await.unwrap().findings().iter().map(|it| it.code.name()).collect();
        assert_eq!(codes, vec!["reclaim-unfinished"; usize::from(is_old)]);
        let world = consistency::read(store).await.unwrap();
        let mut findings = world.compare(&world, std::slice::from_ref(&port), SITE, Duration::ZERO);
        repair(store, &mut findings, &deleted).await;
        assert_eq!(findings[0].repaired, is_old);
    }
    assert_eq!(*deleted.lock().unwrap(), [port.id]);
    assert_eq!(consistency::read(store).await.unwrap().findings().to_vec(), []);
}

async fn one_of_two_repairs_deletes(store: &SharedStore) {
    let pods = pods_of(store).await;
    let port = left(&pods, "c1").await;
    let findings = compare(store, std::slice::from_ref(&port), Duration::ZERO).await;
    let deleted = Deleted::default();
    let delete = async |left: &OrphanedPort| -> Result<(), StoreError> {
        let mut second = findings.clone();
        repair(store, &mut second, &deleted).await;
        assert!(!second[0].repaired);
        deleted.lock().unwrap().push(left.port.id);
        Ok(())
    };
    repair_ports(store, &mut findings.clone(), delete).await.unwrap();
    assert_eq!(*deleted.lock().unwrap(), [port.id]);
}

/// The ids of ports follow from the names of interfaces: from those that the store knows, and from the name that a port is
/// bound to.
async fn ports_of_every_interface_that_a_container_had_are_its_own(store: &SharedStore) {
    let pods = pods_of(store).await;
    let names: Vec<String> = (0..3).map(|_| new_host_interface(&owner("gone"))).collect();
    let request = ClaimRequest { host_interface: names[0].clone(), ..ask("acme", "gone") };
    let mut held = attached(&pods, &request).await;
    // An ADD that began anew: a call of the first one may still be on its way.
    held.record.host_interface = names[1].clone();
    held.record.earlier_interfaces.push(names[0].clone());
    assert!(pods.update(&mut held).await.unwrap());
    let port = |name: &str, is_bound: bool| {
        let attachment = Attachment { host_interface: name.to_owned(), ..held.record.clone() };
        let id = Namespace::of_site(SITE).id(&attachment.keys().port());
        let interface = is_bound.then(|| name.to_owned());
        Port { id, bridge: Some(attachment.bridge_id), mark: None, host: Some(attachment.host), interface }
    };
    let ports = [port(&names[0], false), port(&names[1], true)];
    assert_ne!(ports[0].id, ports[1].id);
    assert_eq!(compare(store, &ports, Duration::ZERO).await, [], "all are the attachment's");
    pods.release(&held).await.unwrap();
    // The store never knew the third name.
    let ports = [ports.as_slice(), &[port(&names[2], true), port(&names[2], false)]].concat();
    let mut findings = compare(store, &ports, Duration::ZERO).await;
    assert_eq!(told(&findings), [("port-without-claim", true); 3], "{findings:?}");
    let deleted = Deleted::default();
    repair(store, &mut findings, &deleted).await;
    assert_eq!(*deleted.lock().unwrap(), ports.iter().take(3).map(|port| port.id).collect::<Vec<_>>());
}
