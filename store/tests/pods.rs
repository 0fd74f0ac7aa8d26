//! Pod addresses, on every store.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use midoform_store::ipam::{Claim, ClaimError, ClaimRequest, Holder, Ipam, Progress};
use midoform_store::ready::ReadyPort;
use midoform_store::tenants::TenantError;
use midoform_store::{Range, SharedStore, keys, locks, read_one, tenants};

use crate::support::{ask, attached, bridge, host, on_every_store, owner, publish, tenant};

on_every_store!(
    a_claim_holds_address_and_attachment,
    the_same_owner_gets_the_same_answer,
    a_tenant_that_is_not_made_has_no_addresses,
    a_full_bridge_says_so_and_a_grown_one_takes_over,
    the_least_recently_released_comes_next,
    a_released_address_rests_unless_nothing_else_is_left,
    an_address_that_is_asked_for,
    static_ports_hold_theirs,
    a_release_is_idempotent_and_spares_a_new_claim,
    an_update_needs_what_was_read,
    many_at_once_get_one_each,
    a_retired_tenant_leaves_nothing,
);

async fn keys_below(store: &SharedStore, prefix: &str) -> Vec<String> {
    read_one(&**store, Range::prefix(prefix)).await.unwrap().into_iter().map(|entry| entry.key).collect()
}

async fn a_claim_holds_address_and_attachment(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/24")])).await;
    let pods = Ipam::new(store.clone());
    let held = attached(&pods, &ask("acme", "c1")).await;
    let record = &held.record;
    assert!(record.cidr.contains(&record.address));
    assert_ne!(record.address, record.gateway);
    assert_eq!((record.bridge.as_str(), record.state), ("web", Progress::Intent));
    assert_eq!(record.mac.0[2..], record.address.octets());
    assert_eq!(pods.find(host(1), &owner("c1")).await.unwrap().unwrap(), held);
    let known = tenants::addresses(store, "acme").await.unwrap();
    assert_eq!(known[&record.address].record.holder, Some(record.holder()));
    assert_eq!(keys_below(store, &keys::free("acme")).await, [""; 0]);
    pods.release(&held).await.unwrap();
    assert_eq!(pods.all(None).await.unwrap(), []);
    assert_eq!(tenants::addresses(store, "acme").await.unwrap()[&record.address].record.holder, None);
    assert_eq!(keys_below(store, &keys::free("acme")).await.len(), 1);
}

async fn the_same_owner_gets_the_same_answer(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/24")])).await;
    let pods = Ipam::new(store.clone());
    let first = attached(&pods, &ask("acme", "c1")).await;
    let Claim::Attached { attachment, new, .. } = pods.claim(&ask("acme", "c1")).await.unwrap() else {
        panic!("it is attached")
    };
    assert_eq!((*attachment, new), (first.clone(), false));
    let held = first.record.address.octets()[3];
    let other = ClaimRequest { address: Some(Ipv4Addr::new(10, 0, 0, held ^ 1)), ..ask("acme", "c1") };
    assert!(matches!(pods.claim(&other).await, Err(ClaimError::Elsewhere { .. })));
    let second = ClaimRequest { host: host(2), ..ask("acme", "c1") };
    assert_ne!(attached(&pods, &second).await.record.address, first.record.address);
}

async fn a_tenant_that_is_not_made_has_no_addresses(store: &SharedStore) {
    let pods = Ipam::new(store.clone());
    assert!(matches!(pods.claim(&ask("acme", "c1")).await.unwrap(), Claim::NotReady));
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/24")])).await;
    let elsewhere = ClaimRequest { bridge: Some("db".to_owned()), ..ask("acme", "c1") };
    let error = pods.claim(&elsewhere).await.unwrap_err();
    assert_eq!(error.to_string(), "tenant `acme` has no bridge `db`; it has: web");
}

async fn a_full_bridge_says_so_and_a_grown_one_takes_over(store: &SharedStore) {
    let mut ready = tenant("acme", vec![bridge("web", "10.0.0.0/29"), bridge("db", "10.0.1.0/24")]);
    publish(store, &ready).await;
    let pods = Ipam::new(store.clone());
    let mut claimed = BTreeSet::new();
    for number in 0..5 {
        claimed.insert(attached(&pods, &ask("acme", number)).await.record.address);
    }
    let expected: BTreeSet<Ipv4Addr> = (1..6).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect();
    assert_eq!(claimed, expected);
    assert_eq!(ready.bridges[0].capacity(), 5);
    let Claim::Full { bridge: full, .. } = pods.claim(&ask("acme", 5)).await.unwrap() else {
        panic!("it is full")
    };
    assert_eq!(full, "web");
    let mut grown = bridge("web.2", "10.0.2.0/29");
    grown.grown_from = Some("web".to_owned());
    ready.bridges.push(grown);
    publish(store, &ready).await;
    let held = attached(&pods, &ask("acme", 5)).await;
    assert_eq!(held.record.bridge, "web.2");
    assert_eq!(held.record.cidr, ready.bridges[2].cidr);
}

/// Claims all five addresses of a /29, and releases them one after the other, with time between.
async fn used_up(store: &SharedStore, pods: &Ipam) -> Vec<Ipv4Addr> {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/29")])).await;
    let mut held = Vec::new();
    for number in 0..5 {
        held.push(attached(pods, &ask("acme", number)).await);
    }
    for one in &held {
        pods.release(one).await.unwrap();
        tokio::time::sleep(Duration::from_millis(110)).await;
    }
    held.iter().map(|one| one.record.address).collect()
}

async fn the_least_recently_released_comes_next(store: &SharedStore) {
    let pods = Ipam::with_quarantine(store.clone(), Duration::ZERO);
    let order = used_up(store, &pods).await;
    for (number, address) in order.into_iter().enumerate() {
        assert_eq!(attached(&pods, &ask("acme", format!("again-{number}"))).await.record.address, address);
    }
}

async fn a_released_address_rests_unless_nothing_else_is_left(store: &SharedStore) {
    let pods = Ipam::new(store.clone());
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/29")])).await;
    let first = attached(&pods, &ask("acme", "first")).await;
    pods.release(&first).await.unwrap();
    for number in 0..4 {
        let next = attached(&pods, &ask("acme", number)).await;
        assert_ne!(next.record.address, first.record.address, "it rests");
    }
    let last = attached(&pods, &ask("acme", "last")).await;
    assert_eq!(last.record.address, first.record.address, "nothing else is left");
}

async fn an_address_that_is_asked_for(store: &SharedStore) {
    let mut web = bridge("web", "10.0.0.0/24");
    web.set_aside = vec!["10.0.0.9".parse().unwrap()];
    publish(store, &tenant("acme", vec![web, bridge("db", "10.0.1.0/24")])).await;
    let pods = Ipam::new(store.clone());
    let wanting = |container: &str, address: &str| ClaimRequest {
        address: address.parse().ok(),
        ..ask("acme", container)
    };
    for address in ["10.0.0.9", "10.0.1.7"] {
        let held = attached(&pods, &wanting(address, address)).await;
        assert_eq!(held.record.address.to_string(), address);
    }
    let taken = pods.claim(&wanting("other", "10.0.1.7")).await.unwrap_err();
    assert_eq!(
        taken.to_string(),
        "the address 10.0.1.7 is held by eth0 of container 10.0.1.7 (network midonet) on host 00000000-0000-0000-0000-000000001001"
    );
    for (address, why) in [
        ("10.0.0.254", "it is the gateway of bridge `web` (10.0.0.0/24)"),
        ("10.0.0.0", "it is the network's own of bridge `web` (10.0.0.0/24)"),
        ("10.9.9.9", "it lies in none of the networks of the pod's bridges (10.0.0.0/24, 10.0.1.0/24)"),
    ] {
        let error = pods.claim(&wanting("other", address)).await.unwrap_err().to_string();
        assert_eq!(error, format!("no pod can have the address {address}: {why}"));
    }
    // A released address can be requested at once.
    let held = pods.find(host(1), &owner("10.0.1.7")).await.unwrap().unwrap();
    pods.release(&held).await.unwrap();
    assert_eq!(attached(&pods, &wanting("other", "10.0.1.7")).await.record.address.to_string(), "10.0.1.7");
    assert_eq!(keys_below(store, &keys::free("acme")).await, [""; 0]);
}

async fn static_ports_hold_theirs(store: &SharedStore) {
    let mut ready = tenant("acme", vec![bridge("web", "10.0.0.0/29")]);
    let port = |name: &str, last| ReadyPort {
        name: name.to_owned(),
        address: Ipv4Addr::new(10, 0, 0, last),
        mac: None,
    };
    ready.ports = vec![port("one", 1), port("two", 2)];
    publish(store, &ready).await;
    let pods = Ipam::new(store.clone());
    let wanting = ClaimRequest { address: Some(Ipv4Addr::new(10, 0, 0, 2)), ..ask("acme", "c") };
    let error = pods.claim(&wanting).await.unwrap_err();
    assert_eq!(error.to_string(), "the address 10.0.0.2 is held by the static port `two`");
    for number in 0..3 {
        assert!(attached(&pods, &ask("acme", number)).await.record.address > Ipv4Addr::new(10, 0, 0, 2));
    }
    assert!(matches!(pods.claim(&ask("acme", 3)).await.unwrap(), Claim::Full { .. }));
    // A port that the spec no longer has frees its address; a port can't take a pod's address.
    ready.ports = vec![port("two", 1)];
    publish(store, &ready).await;
    assert_eq!(attached(&pods, &wanting).await.record.address, Ipv4Addr::new(10, 0, 0, 2));
    ready.ports = vec![port("two", 1), port("three", 3)];
    let lock = locks::acquire(store, "tenant:acme", "a test", Duration::ZERO).await.unwrap();
    let error = tenants::publish(store, &lock.fence(), &ready).await.unwrap_err();
    assert!(matches!(error, TenantError::Taken { holder: Holder::Container { .. }, .. }), "{error}");
}

async fn a_release_is_idempotent_and_spares_a_new_claim(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/24")])).await;
    let pods = Ipam::new(store.clone());
    let mut held = attached(&pods, &ask("acme", "c1")).await;
    let early = held.clone();
    held.record.state = Progress::Done;
    assert!(pods.update(&mut held).await.unwrap());
    // An older read of the attachment is still the same claim.
    pods.release(&early).await.unwrap();
    pods.release(&early).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let anew = attached(&pods, &ask("acme", "c1")).await;
    pods.release(&held).await.unwrap();
    assert_eq!(pods.find(host(1), &owner("c1")).await.unwrap().unwrap(), anew);
}

async fn an_update_needs_what_was_read(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/24")])).await;
    let pods = Ipam::new(store.clone());
    let mut held = attached(&pods, &ask("acme", "c1")).await;
    let mut stale = held.clone();
    held.record.port = Some(host(9));
    assert!(pods.update(&mut held).await.unwrap());
    stale.record.state = Progress::Done;
    assert!(!pods.update(&mut stale).await.unwrap());
    assert_eq!(pods.find(host(1), &owner("c1")).await.unwrap().unwrap(), held);
}

async fn many_at_once_get_one_each(store: &SharedStore) {
    let web = bridge("web", "10.0.0.0/26");
    let capacity = usize::try_from(web.capacity()).unwrap();
    publish(store, &tenant("acme", vec![web])).await;
    let claims: Vec<_> = (0..capacity)
        .map(|number| {
            let pods = Ipam::new(store.clone());
            tokio::spawn(async move { attached(&pods, &ask("acme", number)).await })
        })
        .collect();
    let mut claimed = BTreeSet::new();
    for claim in claims {
        claimed.insert(claim.await.unwrap().record.address);
    }
    assert_eq!(claimed.len(), capacity);
    let pods = Ipam::new(store.clone());
    assert!(matches!(pods.claim(&ask("acme", "one more")).await.unwrap(), Claim::Full { .. }));
}

async fn a_retired_tenant_leaves_nothing(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/24")])).await;
    let pods = Ipam::new(store.clone());
    let held = attached(&pods, &ask("acme", "c1")).await;
    let lock = locks::acquire(store, "tenant:acme", "a test", Duration::ZERO).await.unwrap();
    let refused = tenants::withdraw(store, &lock.fence(), "acme", false).await.unwrap_err();
    assert!(refused.to_string().starts_with("tenant `acme` has 1 pods attached"), "{refused}");
    pods.release(&held).await.unwrap();
    tenants::withdraw(store, &lock.fence(), "acme", false).await.unwrap();
    lock.release().await;
    assert_eq!(keys_below(store, "").await, [""; 0]);
    assert!(matches!(pods.claim(&ask("acme", "c1")).await.unwrap(), Claim::NotReady));
}
