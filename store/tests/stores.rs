//! What every store has to do, and what each does alike.

use std::time::Duration;

use midoform_store::{Commit, Entry, Range, Revision, SharedStore, Transaction, get, read_one};

use crate::support::on_every_store;

on_every_store!(
    a_put_is_read_and_a_delete_is_not,
    a_transaction_is_all_or_nothing,
    compares_hold_what_was_read,
    ranges_end_where_they_say,
    ranges_are_read_as_of_one_moment,
    a_lease_takes_its_keys_along,
    a_lease_that_is_kept_alive_stays,
    values_of_any_text,
    one_of_many_wins,
);

async fn put(store: &SharedStore, key: &str, value: &str) -> Revision {
    match store.commit(&Transaction::default().put(key, value)).await.unwrap() {
        Commit::Done(revisions) => revisions[0],
        Commit::Conflict => panic!("nothing was compared"),
    }
}

fn values(entries: &[Entry]) -> Vec<(&str, &str)> {
    entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect()
}

async fn a_put_is_read_and_a_delete_is_not(store: &SharedStore) {
    assert_eq!(get(&**store, "a").await.unwrap(), None);
    let revision = put(store, "a", "1").await;
    let found = get(&**store, "a").await.unwrap().unwrap();
    assert_eq!((found.value.as_str(), found.revision), ("1", revision));
    assert_ne!(revision, Revision::ABSENT);
    let done = store.commit(&Transaction::default().delete("a").delete("never")).await.unwrap();
    assert_eq!(done, Commit::Done(vec![Revision::ABSENT; 2]));
    assert_eq!(get(&**store, "a").await.unwrap(), None);
}

async fn a_transaction_is_all_or_nothing(store: &SharedStore) {
    put(store, "a", "1").await;
    let refused = Transaction::default().when_absent("b").when_absent("a").put("b", "2").delete("a");
    assert_eq!(store.commit(&refused).await.unwrap(), Commit::Conflict);
    assert_eq!(values(&read_one(&**store, Range::prefix("")).await.unwrap()), [("a", "1")]);
    let accepted = Transaction::default().when_absent("b").put("b", "2").put("c", "3").delete("a");
    let Commit::Done(revisions) = store.commit(&accepted).await.unwrap() else { panic!("a conflict") };
    assert_eq!((revisions.len(), revisions[2]), (3, Revision::ABSENT));
    let found = read_one(&**store, Range::prefix("")).await.unwrap();
    assert_eq!(values(&found), [("b", "2"), ("c", "3")]);
    assert_eq!(found.iter().map(|entry| entry.revision).collect::<Vec<_>>(), revisions[..2]);
}

async fn compares_hold_what_was_read(store: &SharedStore) {
    let first = put(store, "a", "1").await;
    let second = put(store, "a", "2").await;
    assert_ne!(first, second);
    let late = Transaction::default().when("a", first).put("a", "late");
    assert_eq!(store.commit(&late).await.unwrap(), Commit::Conflict);
    let deleted = Transaction::default().when("a", second).delete("a");
    assert!(matches!(store.commit(&deleted).await.unwrap(), Commit::Done(_)));
    assert_eq!(store.commit(&deleted).await.unwrap(), Commit::Conflict);
    let only_asked = Transaction::default().when_absent("a");
    assert_eq!(store.commit(&only_asked).await.unwrap(), Commit::Done(Vec::new()));
}

async fn ranges_end_where_they_say(store: &SharedStore) {
    for key in ["a", "a/", "a/b", "a/c/d", "a0", "b", "ü/x", "ü/y"] {
        put(store, key, key).await;
    }
    let keys = async |range: Range| -> Vec<String> {
        read_one(&**store, range).await.unwrap().into_iter().map(|entry| entry.key).collect()
    };
    assert_eq!(keys(Range::key("a")).await, ["a"]);
    assert_eq!(keys(Range::prefix("a/")).await, ["a/", "a/b", "a/c/d"]);
    assert_eq!(keys(Range::prefix("a/").limit(2)).await, ["a/", "a/b"]);
    assert_eq!(keys(Range::within("a/", "a/bb")).await, ["a/c/d"]);
    assert_eq!(keys(Range::prefix("ü/")).await, ["ü/x", "ü/y"]);
    assert_eq!(keys(Range::prefix("")).await.len(), 8);
    assert_eq!(keys(Range::prefix("z")).await, [""; 0]);
    let backwards = Range { from: "b".to_owned(), to: "a".to_owned(), limit: None };
    assert_eq!(keys(backwards).await, [""; 0]);
}

async fn ranges_are_read_as_of_one_moment(store: &SharedStore) {
    put(store, "left", "0").await;
    put(store, "right", "0").await;
    let writing = {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 1..=50 {
                let number = number.to_string();
                let both = Transaction::default().put("left", &*number).put("right", &*number);
                store.commit(&both).await.unwrap();
            }
        })
    };
    while !writing.is_finished() {
        let found = store.read(&[Range::key("left"), Range::key("right")]).await.unwrap();
        assert_eq!(found[0][0].value, found[1][0].value);
    }
    writing.await.unwrap();
}

async fn a_lease_takes_its_keys_along(store: &SharedStore) {
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let leased = Transaction::default().put_leased("a", "1", lease).put("b", "2");
    store.commit(&leased).await.unwrap();
    assert_eq!(get(&**store, "a").await.unwrap().unwrap().lease, Some(lease));
    store.revoke(lease).await.unwrap();
    assert_eq!(values(&read_one(&**store, Range::prefix("")).await.unwrap()), [("b", "2")]);
    assert!(!store.keep_alive(lease).await.unwrap());
    store.revoke(lease).await.unwrap();
    // A key that is put again without a lease outlives it.
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    store.commit(&Transaction::default().put_leased("c", "1", lease)).await.unwrap();
    put(store, "c", "2").await;
    store.revoke(lease).await.unwrap();
    assert!(get(&**store, "c").await.unwrap().is_some());
}

async fn a_lease_that_is_kept_alive_stays(store: &SharedStore) {
    let (kept, left) = (
        store.grant(Duration::from_secs(1)).await.unwrap(),
        store.grant(Duration::from_secs(1)).await.unwrap(),
    );
    let both = Transaction::default().put_leased("kept", "1", kept).put_leased("left", "1", left);
    store.commit(&both).await.unwrap();
    let started = std::time::Instant::now();
    // etcd rounds the time of a lease up, and looks for ended ones twice a second.
    while get(&**store, "left").await.unwrap().is_some() {
        assert!(started.elapsed() < Duration::from_secs(20), "the lease never ends");
        assert!(store.keep_alive(kept).await.unwrap(), "a lease that is kept alive has ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(get(&**store, "kept").await.unwrap().is_some());
    assert!(!store.keep_alive(left).await.unwrap());
    // What ended is as if it had never been there.
    let again = Transaction::default().when_absent("left").put("left", "2");
    assert!(matches!(store.commit(&again).await.unwrap(), Commit::Done(_)));
}

async fn values_of_any_text(store: &SharedStore) {
    let long = "x".repeat(100_000);
    for value in ["", "ünï\u{10FFFF}", "\"quotes\" 'and' \\ \n lines\r\n\t", "'''", "\"\"\"", &long] {
        let revision = put(store, "key with ' and \" and \\", value).await;
        let found = get(&**store, "key with ' and \" and \\").await.unwrap().unwrap();
        assert_eq!((found.value.as_str(), found.revision), (value, revision));
    }
}

async fn one_of_many_wins(store: &SharedStore) {
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let put = Transaction::default().when_absent("prize").put("prize", number.to_string());
                matches!(store.commit(&put).await.unwrap(), Commit::Done(_))
            })
        })
        .collect();
    let mut winners = 0;
    for attempt in attempts {
        winners += usize::from(attempt.await.unwrap());
    }
    assert_eq!(winners, 1);
}
