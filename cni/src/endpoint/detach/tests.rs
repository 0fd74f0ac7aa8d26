//! A kernel that does not answer in time.

use std::process::Command;

use midoform_store::ipam::host_interface::new_host_interface;

use super::*;
use crate::config::{self, Config};
use crate::protocol::request::Verb;

fn config(state: &std::path::Path) -> Config {
    let text = serde_json::json!({
        "cniVersion": "1.1.0", "name": "lab", "state_dir": state,
        "host_uuid": "11111111-2222-3333-4444-555555555555",
        "site": {"name": "lab", "midonet": {"url": "http://127.0.0.1:1/midonet-api", "version": 5, "managed": true}},
    });
    config::parse(&text.to_string(), Verb::Del, &|_| None).unwrap()
}

fn link_exists(name: &str) -> bool {
    Command::new("ip").args(["link", "show", name]).output().unwrap().status.success()
}

/// Makes an interface on the host that has a name and the alias of the endpoint. Returns the name.
fn make_host_end(endpoint: &Endpoint) -> Option<String> {
    let owner = Owner {
        network: "lab".to_owned(),
        container: endpoint.container.clone(),
        interface: "eth0".to_owned(),
    };
    let (name, alias) = (new_host_interface(&owner), VethOwner::new(&owner).alias);
    let ip = |arguments: &[&str]| Command::new("ip").args(arguments).status().unwrap().success();
    let is_made =
        ip(&["link", "add", &name, "type", "dummy"]) && ip(&["link", "set", &name, "alias", &alias]);
    is_made.then_some(name)
}

/// The kernel is busy, so the interface is not removed until the deadline. The journal takes it over, and a later run
/// removes it.
#[tokio::test]
async fn an_interface_that_is_not_removed_in_time_is_left_to_a_later_run() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let mut backend = Backend::open(&config).await.unwrap();
    let endpoint =
        Endpoint { container: format!("late-{}", std::process::id()), interface: "eth0".to_owned() };
    let Some(name) = make_host_end(&endpoint) else {
        println!("SKIPPED: interfaces need root");
        return;
    };
    let network = NetworkThread::start(None).unwrap();
    let busy = network.run(Box::new(|_, _| {
        std::thread::sleep(Duration::from_secs(30));
        Ok(())
    }));
    let started = Instant::now();
    let limit = Duration::from_millis(300);
    let detached = detach(&mut backend, &network, &endpoint, started + limit).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    detached.interface.unwrap();
    detached.release.unwrap();
    assert!(link_exists(&name));
    let journal = Journal::in_folder(folder.path());
    assert!(matches!(journal.oldest(9).as_slice(), [one] if one.has_interface));
    drop(busy);
    make_pending_releases(&mut backend, 1).await;
    assert!(!link_exists(&name));
    assert_eq!(journal.oldest(9), []);
}

/// A release that can't be made goes behind the others.
#[test]
fn a_postponed_release_is_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::in_folder(folder.path());
    let pending = |container: &str| {
        let owner = Owner {
            network: "lab".to_owned(),
            container: container.to_owned(),
            interface: "eth0".to_owned(),
        };
        PendingRelease::new("lab", uuid::Uuid::nil(), &owner, None, false)
    };
    for container in ["one", "two"] {
        journal.add(&pending(container)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(journal.oldest(1), [pending("one")]);
    journal.postpone(&pending("one"));
    assert_eq!(journal.oldest(1), [pending("two")]);
}
