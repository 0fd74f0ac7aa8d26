//! Servers that are no MidoNet API: no verb believes them, an ADD gives no address, and a DEL keeps the claim.

use midoform_testutil::front::{Arrived, Front, Reaction, response};
use serde_json::{Value, json};

use crate::lab::{Container, DIALECTS, Lab, skipped_without_root};

const HTML: &str = "<html>Welcome\u{1b}]0;title\u{7}</html>";

/// A name, and what the front does.
type Strange = (&'static str, fn(&Arrived) -> Reaction);

/// The responses of what is no MidoNet API.
const STRANGE: [Strange; 7] = [
    ("404", |_| response("404 Not Found", "text/html", "", HTML)),
    ("an empty 404", |_| response("404 Not Found", "", "", "")),
    ("HTML", |_| response("200 OK", "text/html", "", HTML)),
    ("a list for all", |_| response("200 OK", "application/json", "", "[]")),
    ("an object for all", |_| response("200 OK", "application/json", "", "{}")),
    ("an empty 204", |_| response("204 No Content", "", "", "")),
    ("a redirect", |_| response("301 Moved", "", "Location: http://elsewhere/\r\n", "")),
];

/// Returns a lab whose site names a front of the API.
fn lab(dialect: (u8, midoform_simulator::Version)) -> (Lab, Front) {
    let lab = Lab::new(dialect);
    let front = Front::start(lab.address());
    let site = lab.folder.read("site.toml").replace(&lab.base_url, &front.url());
    lab.folder.write("site.toml", site);
    (lab, front)
}

fn address(result: &Value) -> String {
    result["ips"][0]["address"].as_str().unwrap().to_owned()
}

fn is_root(arrived: &Arrived) -> bool {
    arrived.path == "/midonet-api/"
}

#[test]
fn no_verb_believes_what_is_no_midonet_api() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, front) = lab(dialect);
        let first = Container::new();
        let taken = address(&lab.add(&first));
        let ports = lab.objects("Port").len();
        for (name, strange) in STRANGE {
            for root_too in [true, false] {
                // A server that says 204 to everything but its root can't be told from the real one by DEL.
                if !root_too && name == "an empty 204" {
                    continue;
                }
                front.set(move |arrived| match is_root(arrived) && !root_too {
                    true => Reaction::Pass,
                    false => strange(arrived),
                });
                let second = Container::new();
                let ran = lab.run("ADD", &second, &lab.config());
                assert_ne!(ran.code, 0, "{name}: {}", ran.stdout);
                assert_eq!(second.interfaces(), Vec::<String>::new(), "{name}");
                assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'));
                assert_ne!(lab.run("CHECK", &first, &lab.config()).code, 0, "{name}");
                let _ = lab.run("DEL", &second, &lab.config());
                assert_eq!(lab.objects("Port").len(), ports, "{name}");
                front.set(|_| Reaction::Pass);
                let third = Container::new();
                assert_ne!(address(&lab.add(&third)), taken, "{name}");
                lab.del(&third);
                lab.del(&second);
            }
        }
        // The runtime has no container any more, and the claim stays.
        for (name, strange) in STRANGE {
            front.set(strange);
            let mut config = lab.config();
            config["cni.dev/valid-attachments"] = json!([]);
            assert_ne!(lab.run("GC", &first, &config).code, 0, "{name}");
            assert_eq!(lab.objects("Port").len(), ports, "{name}");
        }
        front.set(|_| Reaction::Pass);
        let third = Container::new();
        assert_ne!(address(&lab.add(&third)), taken);
        lab.del(&third);
        lab.del(&first);
        lab.expect_nothing_left(&[&first]);
    }
}

#[test]
fn a_del_at_a_strange_server_is_done_later() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        for (name, strange) in STRANGE {
            let (lab, front) = lab(dialect);
            let (first, second) = (Container::new(), Container::new());
            let taken = address(&lab.add(&first));
            front.set(strange);
            lab.del(&first);
            front.set(|_| Reaction::Pass);
            assert_eq!(lab.bound_ports().len(), 1, "{name}");
            assert_ne!(address(&lab.add(&second)), taken, "{name}: the claim is kept");
            // The release is made by a later run.
            lab.del(&second);
            lab.expect_nothing_left(&[&first, &second]);
        }
    }
}

/// An ADD of a tenant that is ready makes no call more: its own calls are checked by their own responses.
#[test]
fn an_add_reads_no_root_and_a_del_reads_it_once() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, front) = lab(dialect);
        let (first, second) = (Container::new(), Container::new());
        lab.add(&first);
        front.take_arrived();
        lab.add(&second);
        let calls = front.take_arrived();
        assert!(calls.iter().all(|call| call.method == "POST"), "{calls:?}");
        lab.del(&second);
        let calls = front.take_arrived();
        assert_eq!(calls.iter().filter(|call| is_root(call)).count(), 1, "{calls:?}");
        assert!(is_root(&calls[0]), "it comes first");
        lab.del(&first);
    }
}
