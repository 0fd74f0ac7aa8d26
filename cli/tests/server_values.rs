//! Values of a server that mean nothing: nothing is compared with them, and no call counts because of them.

use std::net::SocketAddr;
use std::sync::Mutex;

use midoform_testutil::TestFolder;
use midoform_testutil::front::{Arrived, Front, Reaction, response};
use midoform_testutil::http::Connection;
use serde_json::Value;

use crate::MIDOFORM;
use crate::by_hand::VERSIONS;
use crate::served::Served;

const TENANT: &str = "name = \"t\"\n[[bridge]]\nname = \"b\"\ncidr = \"10.1.0.0/24\"\n[[rule]]\nname = \"r\"\n\
                      from = { cidr = \"10.9.0.0/16\" }\naction = \"drop\"\n[[route]]\ndestination = \"10.8.0.0/16\"\n\
                      via = \"10.1.0.9\"\n";

/// A project with an API, and a front through which it is called.
fn lab((version, dialect): (&'static str, &str)) -> (TestFolder, Served, Front) {
    let folder = TestFolder::default();
    let served = Served::with_node_and(&folder, dialect, version, &["--inspect"]);
    let front = Front::start(served.address);
    folder.write("site.toml", folder.read("site.toml").replace(&served.url(), &front.url()));
    folder.write("t.toml", TENANT);
    (folder, served, front)
}

/// Answers a read of a list as the API does, with each object changed.
fn changed(api: SocketAddr, arrived: &Arrived, change: &dyn Fn(&mut Value)) -> Reaction {
    let accept = arrived
        .head
        .lines()
        .find(|line| line.to_lowercase().starts_with("accept:"))
        .and_then(|line| line.split_once(':'))
        .map(|(_, kind)| kind.trim().to_owned())
        .unwrap_or_default();
    let read = Connection::open(api).unwrap().send("GET", &arrived.path, &accept, "").unwrap();
    let Ok(mut list) = serde_json::from_str::<Value>(&read.body) else { return Reaction::Pass };
    list.as_array_mut().into_iter().flatten().for_each(change);
    response("200 OK", &accept, "", list.to_string())
}

#[test]
fn a_value_that_can_not_be_read_is_an_error_that_names_it() {
    for version in VERSIONS {
        let (folder, served, front) = lab(version);
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        let api = served.address;
        for (list, field) in [
            ("/ports", "portAddress"),
            ("/ports", "networkAddress"),
            ("/routes", "dstNetworkAddr"),
            ("/routes", "srcNetworkAddr"),
            ("/routes", "nextHopGateway"),
            ("/rules", "nwSrcAddress"),
            ("/rules", "dlSrc"),
            ("/hosts", "ipAddress"),
        ] {
            front.set(move |arrived| {
                let is_list = arrived.method == "GET" && arrived.path.ends_with(list);
                match is_list && arrived.path != "/midonet-api/hosts" {
                    true => changed(api, arrived, &|object| {
                        if object.get("type").is_none_or(|kind| kind != "Bridge") {
                            object[field] = "10.1.0.z\u{1b}[31m".into();
                        }
                    }),
                    false => Reaction::Pass,
                }
            });
            for command in [["plan", "."].as_slice(), &["drift", "."], &["apply", ".", "--yes"]] {
                let ran = folder.run(MIDOFORM, command).expect_code(7);
                for words in [field, "10.1.0.z\\u{1b}", "can't be read"] {
                    assert!(
                        ran.stderr.contains(words),
                        "{version:?} {list} {field} {command:?}: {}",
                        ran.stderr
                    );
                }
            }
        }
        front.set(|_| Reaction::Pass);
        let _ = folder.run(MIDOFORM, &["drift", "."]).expect_code(0);
    }
}

/// Somebody else's ports of another family are none of midoform's business.
#[test]
fn objects_of_others_may_have_other_addresses() {
    for version in VERSIONS {
        let (folder, served, front) = lab(version);
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        let (api, site) = (served.address, folder.read("site.toml"));
        let other = TestFolder::default();
        other.write("site.toml", site.replace("\"test\"", "\"other\"").replace("\"zone\"", "\"zone2\""));
        other.write("t.toml", TENANT.replace("10.1.", "10.2."));
        front.set(move |arrived| match arrived.method == "GET" && arrived.path.ends_with("/ports") {
            true => changed(api, arrived, &|object| object["portAddress"] = "zzz".into()),
            false => Reaction::Pass,
        });
        let _ = other.run(MIDOFORM, &["plan", "."]).expect_code(0);
    }
}

/// On 1.x a POST counts by the id in its `Location`, so that has to be a new object's: not that of an object that existed before, and
/// not that of another POST.
#[test]
fn the_location_of_another_object_is_not_believed() {
    let existing = "99999999-2222-3333-4444-555555555555";
    for is_of_another_post in [true, false] {
        let (folder, served, front) = lab(VERSIONS[0]);
        let body = format!("{{\"id\":\"{existing}\",\"name\":\"other\",\"tenantId\":\"p\"}}");
        let kind = "application/vnd.org.midonet.Router-v2+json";
        let made =
            Connection::open(served.address).unwrap().send("POST", "/midonet-api/routers", kind, &body);
        assert_eq!(made.unwrap().status, 201);
        let (api, first) = (served.address, Mutex::new(None::<String>));
        front.set(move |arrived| {
            let is_port = arrived.method == "POST" && arrived.path.ends_with("/ports");
            if !is_port || !arrived.path.contains("/routers/") {
                return Reaction::Pass;
            }
            let kind = "application/vnd.org.midonet.Port-v2+json";
            let mut first = first.lock().unwrap();
            let location = match (is_of_another_post, first.as_ref()) {
                (false, _) => format!("http://here/midonet-api/ports/{existing}"),
                (true, Some(location)) => location.clone(),
                (true, None) => {
                    let mut connection = Connection::open(api).unwrap();
                    let made = connection.send("POST", &arrived.path, kind, &arrived.body).unwrap();
                    first.insert(made.location).clone()
                }
            };
            response("201 Created", "", &format!("Location: {location}\r\n"), "")
        });
        let ran = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(7);
        assert!(ran.stderr.contains("is another object's"), "{}", ran.stderr);
        front.set(|_| Reaction::Pass);
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        let _ = folder.run(MIDOFORM, &["drift", "."]).expect_code(0);
    }
}
