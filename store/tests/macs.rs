//! No two ports of a bridge have the same MAC address, on every store.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use midoform_compiler::values::MacAddress;
use midoform_store::ipam::{ClaimError, ClaimRequest, Ipam, consistency, mac_of};
use midoform_store::ready::{Ready, ReadyPort};
use midoform_store::tenants::TenantError;
use midoform_store::{Range, SharedStore, Transaction, keys, locks, read_one, tenants};

use crate::support::{ask, attached, bridge, on_every_store, publish, tenant};

on_every_store!(
    a_requested_mac_of_another_pod_is_refused,
    a_requested_mac_that_follows_from_a_pod_s_address_is_refused,
    a_static_port_s_mac_is_refused,
    a_derived_mac_that_is_used_gives_way_to_another,
    of_many_that_request_one_mac_at_once_one_gets_it,
    a_static_port_can_t_take_a_pod_s_mac,
    a_release_leaves_the_mac_key_of_another_pod,
    keys_of_macs_are_checked_and_repaired,
);

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);

fn with_mac(container: &str, mac: MacAddress) -> ClaimRequest {
    ClaimRequest { mac: Some(mac), ..ask("acme", container) }
}

fn at(container: &str, last: u8) -> ClaimRequest {
    ClaimRequest { address: Some(Ipv4Addr::new(10, 0, 0, last)), ..ask("acme", container) }
}

fn two_bridges() -> Ready {
    tenant("acme", vec![bridge("web", "10.0.0.0/24"), bridge("db", "10.0.1.0/24")])
}

fn port(name: &str, last: u8, mac: MacAddress) -> ReadyPort {
    ReadyPort { name: name.to_owned(), address: Ipv4Addr::new(10, 0, 0, last), mac: Some(mac) }
}

async fn mac_keys(store: &SharedStore) -> usize {
    read_one(&**store, Range::prefix(keys::MACS)).await.unwrap().len()
}

async fn a_requested_mac_of_another_pod_is_refused(store: &SharedStore) {
    publish(store, &two_bridges()).await;
    let pods = Ipam::new(store.clone());
    let first = attached(&pods, &with_mac("c1", MAC)).await;
    assert_eq!(first.record.mac, MAC);
    assert_eq!(attached(&pods, &with_mac("c1", MAC)).await.record, first.record, "a repeated request");
    let error = pods.claim(&with_mac("c2", MAC)).await.unwrap_err();
    assert!(matches!(error, ClaimError::MacTaken { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the MAC address 02:00:00:00:00:07 is used on bridge `web` by eth0 of container c1 (network midonet) on \
         host 00000000-0000-0000-0000-000000001001"
    );
    // Another bridge is another segment.
    let other = ClaimRequest { bridge: Some("db".to_owned()), ..with_mac("c3", MAC) };
    let other = attached(&pods, &other).await;
    pods.release(&first).await.unwrap();
    assert_eq!(attached(&pods, &with_mac("c2", MAC)).await.record.mac, MAC, "a release frees it");
    pods.release(&other).await.unwrap();
    assert_eq!(mac_keys(store).await, 1);
}

async fn a_requested_mac_that_follows_from_a_pod_s_address_is_refused(store: &SharedStore) {
    publish(store, &two_bridges()).await;
    let pods = Ipam::new(store.clone());
    let first = attached(&pods, &at("c1", 5)).await;
    assert_eq!(first.record.mac, mac_of(first.record.address));
    let error = pods.claim(&with_mac("c2", first.record.mac)).await.unwrap_err();
    assert!(matches!(error, ClaimError::MacTaken { .. }), "{error}");
    // A pod that requests both its address and the MAC address that follows from it.
    let own = ClaimRequest { mac: Some(mac_of(Ipv4Addr::new(10, 0, 0, 6))), ..at("c3", 6) };
    attached(&pods, &own).await;
    assert_eq!(mac_keys(store).await, 0);
    // The holder of the address has another MAC address.
    let other = ClaimRequest { mac: Some(MAC), ..at("c4", 8) };
    attached(&pods, &other).await;
    let behind = mac_of(Ipv4Addr::new(10, 0, 0, 8));
    assert_eq!(attached(&pods, &with_mac("c5", behind)).await.record.mac, behind);
}

async fn a_static_port_s_mac_is_refused(store: &SharedStore) {
    publish(store, &Ready { ports: vec![port("vm", 9, MAC)], ..two_bridges() }).await;
    let pods = Ipam::new(store.clone());
    let error = pods.claim(&with_mac("c1", MAC)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the MAC address 02:00:00:00:00:07 is used on bridge `web` by the static port `vm`"
    );
    let other = ClaimRequest { bridge: Some("db".to_owned()), ..with_mac("c1", MAC) };
    assert_eq!(attached(&pods, &other).await.record.mac, MAC);
}

async fn a_derived_mac_that_is_used_gives_way_to_another(store: &SharedStore) {
    let five = mac_of(Ipv4Addr::new(10, 0, 0, 5));
    let six = mac_of(Ipv4Addr::new(10, 0, 0, 6));
    publish(store, &Ready { ports: vec![port("vm", 9, six)], ..two_bridges() }).await;
    let pods = Ipam::new(store.clone());
    attached(&pods, &ClaimRequest { mac: Some(five), ..at("c1", 20) }).await;
    let held = [attached(&pods, &at("c2", 5)).await, attached(&pods, &at("c3", 6)).await];
    let macs: Vec<String> = held.iter().map(|held| held.record.mac.to_string()).collect();
    assert_eq!(macs, ["0a:59:0a:00:00:05", "0a:59:0a:00:00:06"]);
    // The similar one is held as well.
    assert!(pods.claim(&with_mac("c4", held[0].record.mac)).await.is_err());
    for held in &held {
        pods.release(held).await.unwrap();
    }
    assert_eq!(mac_keys(store).await, 1);
}

async fn of_many_that_request_one_mac_at_once_one_gets_it(store: &SharedStore) {
    publish(store, &two_bridges()).await;
    let five = mac_of(Ipv4Addr::new(10, 0, 0, 5));
    for round in 0..4 {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8 {
            let pods = Ipam::new(store.clone());
            let container = format!("c{round}-{number}");
            // Half of them get the MAC address with the address, and the others request it.
            let ask = if number % 2 == 0 { at(&container, 5) } else { with_mac(&container, five) };
            tasks.spawn(async move { (pods.clone(), pods.claim(&ask).await) });
        }
        let mut macs = Vec::new();
        let mut all = Vec::new();
        while let Some(result) = tasks.join_next().await {
            let (pods, claim) = result.unwrap();
            match claim {
                Ok(midoform_store::ipam::Claim::Attached { attachment, .. }) => {
                    macs.push(attachment.record.mac);
                    all.push((pods, attachment));
                }
                Err(ClaimError::MacTaken { .. } | ClaimError::Taken { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(macs.contains(&five), "{macs:?}");
        assert_eq!(macs.iter().collect::<BTreeSet<_>>().len(), macs.len(), "{macs:?}");
        for (pods, held) in all {
            pods.release(&held).await.unwrap();
        }
    }
}

async fn a_static_port_can_t_take_a_pod_s_mac(store: &SharedStore) {
    publish(store, &two_bridges()).await;
    let pods = Ipam::new(store.clone());
    attached(&pods, &with_mac("c1", MAC)).await;
    let derived = attached(&pods, &at("c2", 5)).await.record.mac;
    for mac in [MAC, derived] {
        let ready = Ready { ports: vec![port("vm", 9, mac)], ..two_bridges() };
        let lock = locks::acquire(store, "tenant:acme", "a test", Duration::ZERO).await.unwrap();
        let error = tenants::publish(store, &lock.fence(), &ready).await.unwrap_err();
        assert!(matches!(error, TenantError::MacTaken { .. }), "{error}");
        lock.release().await;
    }
}

/// An earlier midoform wrote no key for a requested MAC address.
async fn a_release_leaves_the_mac_key_of_another_pod(store: &SharedStore) {
    publish(store, &two_bridges()).await;
    let pods = Ipam::new(store.clone());
    let older = attached(&pods, &with_mac("c1", MAC)).await;
    let key = keys::mac("acme", MAC, older.record.bridge_id);
    store.commit(&Transaction::default().delete(&key)).await.unwrap();
    let newer = attached(&pods, &with_mac("c2", MAC)).await;
    pods.release(&older).await.unwrap();
    assert!(pods.claim(&with_mac("c3", MAC)).await.is_err(), "it is used by c2");
    pods.release(&newer).await.unwrap();
    assert_eq!(mac_keys(store).await, 0);
}

async fn keys_of_macs_are_checked_and_repaired(store: &SharedStore) {
    publish(store, &two_bridges()).await;
    let pods = Ipam::new(store.clone());
    let held = attached(&pods, &with_mac("c1", MAC)).await;
    let find = async || consistency::read(store).await.unwrap().findings().to_vec();
    assert_eq!(find().await, []);
    let key = keys::mac("acme", MAC, held.record.bridge_id);
    let other = keys::mac("acme", MacAddress([2, 0, 0, 0, 0, 8]), held.record.bridge_id);
    let value = read_one(&**store, Range::key(&key)).await.unwrap().remove(0).value;
    store.commit(&Transaction::default().delete(&key).put(&other, value)).await.unwrap();
    let mut findings = find().await;
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code.name()).collect();
    assert_eq!(codes, ["mac-without-attachment", "mac-key-missing"]);
    consistency::repair(store, &mut findings).await.unwrap();
    assert_eq!(find().await, []);
    assert!(matches!(pods.claim(&with_mac("c2", MAC)).await, Err(ClaimError::MacTaken { .. })));
}
