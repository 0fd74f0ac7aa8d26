//! Inconsistencies after a crash are found, and repaired where that is safe.

use midoform_store::ipam::{Ipam, consistency};
use midoform_store::{SharedStore, Transaction, keys, tenants};

use crate::support::{ask, attached, bridge, on_every_store, publish, tenant};

on_every_store!(
    a_sound_store_has_no_findings,
    what_is_broken_is_found_and_repaired,
    nothing_in_use_is_reclaimed,
    a_key_that_no_address_has_is_reported
);

async fn codes(store: &SharedStore) -> Vec<&'static str> {
    consistency::read(store).await.unwrap().findings().iter().map(|finding| finding.code.name()).collect()
}

async fn a_sound_store_has_no_findings(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/28")])).await;
    let pods = Ipam::new(store.clone());
    let held = attached(&pods, &ask("acme", "c1")).await;
    attached(&pods, &ask("acme", "c2")).await;
    pods.release(&held).await.unwrap();
    assert_eq!(codes(store).await, [""; 0]);
}

async fn what_is_broken_is_found_and_repaired(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/28")])).await;
    let pods = Ipam::new(store.clone());
    let (lost, freed) =
        (attached(&pods, &ask("acme", "c1")).await, attached(&pods, &ask("acme", "c2")).await);
    pods.release(&freed).await.unwrap();
    let since = tenants::addresses(store, "acme").await.unwrap()[&freed.record.address].record.since;
    let broken = Transaction::default()
        .delete(&lost.key)
        .delete(keys::freed("acme", since, freed.record.address))
        .put(keys::freed("acme", 7, freed.record.address), "{\"version\":1}");
    store.commit(&broken).await.unwrap();
    let mut findings = consistency::read(store).await.unwrap().findings().to_vec();
    let found: Vec<&str> = findings.iter().map(|finding| finding.code.name()).collect();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["claim-without-attachment", "free-key-missing", "free-key-too-many"]);
    consistency::repair(store, &mut findings).await.unwrap();
    assert!(findings.iter().all(|finding| finding.repaired), "{findings:?}");
    assert_eq!(codes(store).await, [""; 0]);
    assert!(
        tenants::addresses(store, "acme").await.unwrap().values().all(|held| held.record.holder.is_none())
    );
}

async fn nothing_in_use_is_reclaimed(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/28")])).await;
    let pods = Ipam::new(store.clone());
    let lost = attached(&pods, &ask("acme", "c1")).await;
    store.commit(&Transaction::default().delete(&lost.key)).await.unwrap();
    let mut findings = consistency::read(store).await.unwrap().findings().to_vec();
    // Between the check and the repair the owner comes back.
    let again = midoform_store::record::encode(&lost.record);
    store.commit(&Transaction::default().put(&lost.key, again)).await.unwrap();
    consistency::repair(store, &mut findings).await.unwrap();
    assert!(findings.iter().all(|finding| finding.safe && !finding.repaired), "{findings:?}");
    assert_eq!(codes(store).await, [""; 0]);
    let found = pods.find(lost.record.host, &lost.record.owner).await.unwrap().unwrap();
    pods.release(&found).await.unwrap();
    assert_eq!(codes(store).await, [""; 0]);
    // A value of a newer midoform is reported, and stays.
    let newer = Transaction::default().put("attachment/x/y/z/eth0", "{\"version\":9}");
    store.commit(&newer).await.unwrap();
    let mut findings = consistency::read(store).await.unwrap().findings().to_vec();
    assert!(findings[0].what.contains("its version is 9"), "{findings:?}");
    consistency::repair(store, &mut findings).await.unwrap();
    assert!(!findings[0].repaired);
}

async fn a_key_that_no_address_has_is_reported(store: &SharedStore) {
    let wrong = ["pod/acme/address/1", "pod/acme/free/x/00000001", "pod/acme/other"];
    let put = wrong.iter().fold(Transaction::default(), |all, key| all.put(*key, "{\"version\":1}"));
    store.commit(&put).await.unwrap();
    let findings = consistency::read(store).await.unwrap().findings().to_vec();
    let found: Vec<(&str, &str)> =
        findings.iter().map(|finding| (finding.code.name(), finding.key.as_str())).collect();
    assert_eq!(found, wrong.map(|key| ("unreadable", key)));
    assert!(
        findings.iter().all(|finding| !finding.safe && finding.what.contains("not the key of an address"))
    );
}
