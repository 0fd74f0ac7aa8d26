//! The choice of a server by what it says of itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use midoform_ovsdb::{Client, ConnectionError, Error, Member, Model, Operation, Transaction};
use serde_json::{Value as Json, json};

use crate::fake::{Fake, Peer, database_rows};
use crate::support::{runtime, settings, thing};

const CLUSTER: &str = "22222222-2222-4222-8222-222222222222";
const OTHER: &str = "33333333-3333-4333-8333-333333333333";

fn member(is_leader: bool, index: u64, cluster: &str) -> Json {
    let cid = json!(["uuid", cluster]);
    json!({ "model": "clustered", "connected": true, "leader": is_leader, "index": index, "cid": cid })
}

/// Replies to transactions with an empty result for each operation.
fn serve(peer: &mut Peer) -> std::io::Result<()> {
    loop {
        let request = peer.expect("transact")?;
        let count = request.parameters.as_array().map_or(0, |parameters| parameters.len() - 1);
        peer.reply(&request, json!(vec![json!({}); count]))?;
    }
}

/// Starts a server that describes itself in this way.
fn server(row: Json) -> Fake {
    Fake::start(move |_, peer| {
        peer.welcome_as(&row)?;
        serve(peer)
    })
}

fn abort() -> Transaction {
    Transaction::new().with(Operation::Comment { comment: "x".to_owned() })
}

async fn connect(remotes: &[&Fake], member: Member) -> Result<String, Vec<ConnectionError>> {
    let remotes: Vec<String> = remotes.iter().map(|fake| fake.remote()).collect();
    let mut settings = settings(&remotes.join(","));
    settings.member = member;
    settings.timeout = Duration::from_millis(800);
    match Client::new(settings).unwrap().connect().await {
        Ok(connected) => Ok(connected.remote.to_string()),
        Err(Error::Unreachable { attempts, .. }) => Err(attempts.into_iter().map(|it| it.reason).collect()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_leader_is_chosen_or_any_member_if_that_is_asked_for() {
    runtime().block_on(async {
        let follower = server(member(false, 5, CLUSTER));
        let leader = server(member(true, 5, CLUSTER));
        for _ in 0..10 {
            assert_eq!(connect(&[&follower, &leader], Member::Leader).await.unwrap(), leader.remote());
        }
        assert_eq!(connect(&[&follower], Member::Any).await.unwrap(), follower.remote());
        let reason = connect(&[&follower], Member::Leader).await.unwrap_err();
        assert!(matches!(reason[..], [ConnectionError::NotLeader]), "{reason:?}");
    });
}

#[test]
fn a_member_without_its_cluster_and_a_relay_are_not_chosen() {
    runtime().block_on(async {
        let mut alone = member(true, 5, CLUSTER);
        alone["connected"] = json!(false);
        let reason = connect(&[&server(alone)], Member::Any).await.unwrap_err();
        assert!(matches!(reason[..], [ConnectionError::Disconnected]), "{reason:?}");
        let relay = server(json!({ "model": "relay", "connected": true, "leader": false }));
        let reason = connect(&[&relay], Member::Leader).await.unwrap_err();
        assert!(matches!(reason[..], [ConnectionError::NotLeader]), "{reason:?}");
        connect(&[&relay], Member::Any).await.unwrap();
    });
}

#[test]
fn a_server_without_the_database_is_not_tried_again() {
    runtime().block_on(async {
        let tries = Arc::new(Mutex::new(0));
        let counted = tries.clone();
        let fake = Fake::start(move |_, peer| {
            *counted.lock().unwrap() += 1;
            let request = peer.expect("set_db_change_aware")?;
            peer.reply(&request, json!({}))?;
            let request = peer.expect("monitor")?;
            peer.reply(&request, json!({}))?;
            peer.next().map(drop)
        });
        let reason = connect(&[&fake], Member::Leader).await.unwrap_err();
        assert!(matches!(&reason[..], [ConnectionError::NoDatabase(name)] if name == "Things"), "{reason:?}");
        assert_eq!(*tries.lock().unwrap(), 1);
    });
}

#[test]
fn a_server_that_is_too_old_for_clusters_is_used() {
    runtime().block_on(async {
        let fake = Fake::start(|_, peer| {
            let request = peer.expect("set_db_change_aware")?;
            peer.send(json!({ "id": request.id, "result": null, "error": "unknown method" }).to_string())?;
            let request = peer.expect("monitor")?;
            peer.refuse(&request, "unknown database")?;
            serve(peer)
        });
        let client = Client::new(settings(&fake.remote())).unwrap();
        assert_eq!(client.connect().await.unwrap().server, None);
        client.transact(&abort()).await.unwrap();
    });
}

#[test]
fn a_new_leader_is_followed_and_what_was_sent_still_gets_its_reply() {
    runtime().block_on(async {
        let (has_moved, is_followed) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let [first, second] = [true, false].map(|is_first| {
            let (has_moved, is_followed) = (has_moved.clone(), is_followed.clone());
            Fake::start(move |_, peer| {
                let is_leader = is_first != has_moved.load(Ordering::SeqCst);
                let monitor = peer.welcome_as(&member(is_leader, 5, CLUSTER))?;
                if !is_first && is_leader {
                    is_followed.store(true, Ordering::SeqCst);
                }
                if !is_first || !is_leader {
                    return serve(peer);
                }
                let request = peer.expect("transact")?;
                has_moved.store(true, Ordering::SeqCst);
                peer.notify("update", &json!([monitor, database_rows(&member(false, 6, CLUSTER))]))?;
                while !is_followed.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                peer.reply(&request, json!([{}]))?;
                peer.next().map(drop)
            })
        });
        let client = Client::new(settings(&format!("{},{}", first.remote(), second.remote()))).unwrap();
        assert_eq!(client.connect().await.unwrap().remote.to_string(), first.remote());
        let abort = abort();
        let (slow, next) = tokio::join!(client.transact(&abort), async {
            loop {
                let connected = client.connect().await.unwrap();
                if connected.remote.to_string() != first.remote() {
                    return connected;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        slow.unwrap();
        let connected = next;
        assert_eq!(connected.remote.to_string(), second.remote());
        assert_eq!(connected.server.unwrap().model, Model::Clustered);
    });
}

#[test]
fn older_contents_and_another_cluster_are_refused_after_a_lost_connection() {
    for (row, is_expected) in [
        (
            member(true, 6, CLUSTER),
            (|reason: &ConnectionError| matches!(reason, ConnectionError::Stale { found: 6, seen: 7 }))
                as fn(&ConnectionError) -> bool,
        ),
        (member(true, 9, OTHER), |reason| matches!(reason, ConnectionError::OtherCluster { .. })),
    ] {
        runtime().block_on(async {
            let fake = Fake::start(move |number, peer| {
                if number > 0 {
                    peer.welcome_as(&row)?;
                    return serve(peer);
                }
                let monitor = peer.welcome_as(&member(true, 5, CLUSTER))?;
                let request = peer.expect("transact")?;
                peer.notify("update", &json!([monitor, database_rows(&member(true, 7, CLUSTER))]))?;
                peer.reply(&request, json!([{}]))?;
                std::thread::sleep(Duration::from_millis(100));
                Ok(())
            });
            let client = Client::new(settings(&fake.remote())).unwrap();
            client.transact(&abort()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let error = client.with_timeout(Duration::from_millis(600)).transact(&abort()).await.unwrap_err();
            let Error::Unreachable { attempts, .. } = &error else { panic!("{error}") };
            assert!(is_expected(&attempts[0].reason), "{error}");
        });
    }
}

#[test]
fn nonsense_about_the_databases_ends_the_connection() {
    runtime().block_on(async {
        for rows in [json!([]), json!({ "Database": 5 }), database_rows(&json!({ "leader": "yes" }))] {
            let fake = Fake::start(move |_, peer| {
                let request = peer.expect("set_db_change_aware")?;
                peer.reply(&request, json!({}))?;
                let request = peer.expect("monitor")?;
                peer.reply(&request, rows.clone())?;
                serve(peer)
            });
            let reason = connect(&[&fake], Member::Leader).await.unwrap_err();
            assert!(matches!(reason[..], [ConnectionError::Nonsense { .. }]), "{reason:?}");
        }
    });
}

#[test]
fn a_server_that_closes_each_connection_is_not_hammered() {
    runtime().block_on(async {
        let tries = Arc::new(Mutex::new(0));
        let counted = tries.clone();
        let fake = Fake::start(move |_, peer| {
            *counted.lock().unwrap() += 1;
            peer.welcome()
        });
        let client = Client::new(settings(&fake.remote())).unwrap().with_timeout(Duration::from_secs(2));
        for _ in 0..3 {
            client.transact(&Transaction::new().with(thing(1, "a"))).await.unwrap_err();
        }
        let tries = *tries.lock().unwrap();
        assert!((3..=20).contains(&tries), "{tries}");
    });
}
