//! `midoform attachments`.

use midoform_store::Store as _;
use midoform_store::Transaction;
use midoform_store::backends::embedded::Embedded;
use midoform_store::ipam::{Attachment, Owner, Progress, mac_of};
use midoform_store::record::encode;
use midoform_testutil::TestFolder;
use uuid::Uuid;

use crate::MIDOFORM;

fn attachment(container: &str, last: u8) -> Attachment {
    let owner =
        Owner { network: "lab".to_owned(), container: container.to_owned(), interface: "eth0".to_owned() };
    let address = [192, 168, 0, last].into();
    Attachment {
        owner,
        host: Uuid::from_u128(1),
        tenant: "acme".into(),
        bridge: "web".to_owned(),
        bridge_id: Uuid::from_u128(2),
        address,
        cidr: "192.168.0.0/24".parse().unwrap(),
        gateway: [192, 168, 0, 254].into(),
        mac: mac_of(address),
        host_interface: format!("vif{container}"),
        earlier_interfaces: Vec::new(),
        port: Some(Uuid::from_u128(3)),
        state: Progress::Done,
        since: 0,
        pod: Some(format!("acme/{container}")),
        extra: serde_json::Map::new(),
    }
}

#[test]
fn attachments_are_listed_and_inspected() {
    let folder = TestFolder::default();
    let _ = folder.run(MIDOFORM, &["attachments", "--store", "none.db"]).expect_code(64);
    let store = Embedded::open(&folder.path().join("store.db")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (container, last) in [("web-1", 9), ("db-1", 5)] {
        let attachment = attachment(container, last);
        let transaction = Transaction::default().put(attachment.key(), encode(&attachment));
        runtime.block_on(store.commit(&transaction)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut all = vec!["attachments", "--store", "store.db"];
        all.extend(arguments);
        folder.run(MIDOFORM, &all)
    };
    let shown = [
        run(&[]).expect_code(0).stdout,
        run(&["web"]).expect_code(0).stdout,
        run(&["acme/db-1"]).expect_code(0).stdout,
    ];
    midoform_testutil::snapshot_settings("commands")
        .bind(|| insta::assert_snapshot!("attachments", shown.join("\n")));
    let json: serde_json::Value =
        serde_json::from_str(&run(&["--json", "--tenant", "acme"]).expect_code(0).stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(run(&["--json", "--tenant", "other"]).expect_code(0).stdout.trim(), "[]");
    let _ = run(&["nothing"]).expect_code(64);
    let _ = run(&["--site", "site.toml"]).expect_code(64);
}
