//! No id of a deleted object is posted again: over edits, undos, undone runs, destroys and lost lock files, looked at from in front of
//! the API. What an undo created again is recognised by every later plan.

use std::collections::BTreeSet;

use midoform_testutil::front::{Front, Reaction, response};
use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};
use serde_json::Value;

use crate::MIDOFORM;
use crate::by_hand::VERSIONS;
use crate::served::Served;

const SMALL: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";
const RULES: &str = "[[rule]]\nname = \"one\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\", tcp = 5 }\naction = \"accept\"\n\
    [[rule]]\nname = \"two\"\nfrom = { world = true }\nto = { bridge = \"web\", tcp = 80 }\naction = \"accept\"\n";
const ROUTES: &str = "[[route]]\ndestination = \"10.77.0.0/24\"\ntype = \"blackhole\"\n\
    [[route]]\ndestination = \"10.78.0.0/24\"\nvia = \"10.1.0.77\"\n";
const MORE: &str = "[[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n\
    [[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.7\"\n\
    [[port_group]]\nname = \"group\"\nports = [\"vm\"]\n\
    [[expose]]\npublic = \"203.0.113.1:443\"\nto = { port = \"vm\", tcp = 8443 }\n";

/// A project whose API is behind a front that sees every call.
struct Lab {
    folder: TestFolder,
    served: Served,
    front: Front,
    parallel: &'static str,
    live: BTreeSet<String>,
    dead: BTreeSet<String>,
}

impl Lab {
    fn new((version, dialect): (&str, &str), parallel: &'static str) -> Lab {
        let folder = TestFolder::default();
        let served = Served::with_node_and(&folder, dialect, version, &["--inspect"]);
        let front = Front::start(served.address);
        let site = folder.read("site.toml").replace(&served.url(), &front.url());
        folder.write("site.toml", site);
        Lab { folder, served, front, parallel, live: BTreeSet::new(), dead: BTreeSet::new() }
    }

    fn ids(&self) -> BTreeSet<String> {
        let mut connection = Connection::open(self.served.address).unwrap();
        let body = connection.send("GET", "/_topology", "*/*", "").unwrap().body;
        let all: Value = serde_json::from_str(&body).unwrap();
        let objects = all["objects"].as_object().unwrap().values().flat_map(|kind| kind.as_array().unwrap());
        objects.filter_map(|object| object["id"].as_str().map(str::to_owned)).collect()
    }

    /// Runs a command that changes the network, and looks at all of its calls.
    #[track_caller]
    fn changed(&mut self, arguments: &[&str], code: i32) -> Ran {
        let all = [arguments, &["--yes", "--quiet", "--parallel", self.parallel]].concat();
        let ran = self.folder.run(MIDOFORM, &all).expect_code(code);
        for call in self.front.take_arrived() {
            let body: Value = serde_json::from_str(&call.body).unwrap_or_default();
            match (call.method.as_str(), body["id"].as_str()) {
                ("POST", Some(id)) => {
                    assert!(
                        !self.dead.contains(id),
                        "{arguments:?}: {} offers a used id: {}",
                        call.path,
                        call.body
                    );
                }
                ("DELETE", _) => drop(self.dead.insert(call.path.rsplit('/').next().unwrap().to_owned())),
                _ => {}
            }
        }
        let now = self.ids();
        self.dead.extend(self.live.difference(&now).cloned());
        self.dead.retain(|id| !now.contains(id));
        self.live = now;
        ran
    }

    fn write(&self, spec: &str) {
        self.folder.write("acme.toml", spec);
    }

    #[track_caller]
    fn apply(&mut self, spec: &str) {
        self.write(spec);
        let _ = self.changed(&["apply", ".", "--allow-mass-delete"], 0);
        self.has_nothing_to_do(spec);
    }

    #[track_caller]
    fn has_nothing_to_do(&self, spec: &str) {
        self.write(spec);
        let _ = self.folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        let _ = self.folder.run(MIDOFORM, &["drift", "."]).expect_code(0);
    }

    /// Applies a saved plan for a spec.
    #[track_caller]
    fn apply_saved(&mut self, spec: &str) {
        self.write(spec);
        let _ = self.folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
        let _ = self.changed(&["apply", "plan.json", "--allow-mass-delete"], 0);
    }

    /// Applies a spec in a run that ends when it deletes a device of this path, and is taken back.
    #[track_caller]
    fn fail(&mut self, spec: &str, path: &'static str) {
        self.write(spec);
        self.front.set(move |call| match call.method == "DELETE" && call.path.contains(path) {
            true => response(
                "403 Forbidden",
                "application/vnd.org.midonet.Error-v1+json",
                "",
                "{\"message\":\"not now\",\"code\":403}",
            ),
            false => Reaction::Pass,
        });
        let arguments = ["apply", ".", "--allow-mass-delete", "--rollback-on-error"];
        let ran = self.changed(&arguments, 5);
        assert!(ran.stderr.contains("the network is as it was before"), "{}", ran.stderr);
        self.front.set(|_| Reaction::Pass);
    }
}

fn everywhere(test: impl Fn(&mut Lab) + Sync) {
    std::thread::scope(|scope| {
        for version in VERSIONS {
            for parallel in ["1", "8"] {
                let test = &test;
                scope.spawn(move || test(&mut Lab::new(version, parallel)));
            }
        }
    });
}

#[test]
fn an_undo_uses_no_id_twice_and_is_recognised() {
    everywhere(|lab| {
        let whole = format!("{SMALL}{RULES}{ROUTES}{MORE}");
        lab.apply(&whole);
        for less in [format!("{SMALL}{ROUTES}{MORE}"), format!("{SMALL}{RULES}{MORE}"), SMALL.to_owned()] {
            for _ in 0..2 {
                lab.apply_saved(&less);
                let _ = lab.changed(&["undo", "plan.json"], 0);
                // An undo that is complete has nothing to do.
                let _ = lab.changed(&["undo", "plan.json"], 0);
                lab.has_nothing_to_do(&whole);
            }
            lab.apply(&less);
            lab.apply(&whole);
        }
        // An undo of an undone run's rest, and a destroy.
        lab.apply_saved(SMALL);
        let _ = lab.changed(&["undo", "plan.json"], 0);
        lab.apply_saved(&format!("{SMALL}{RULES}"));
        let _ = lab.changed(&["undo", "plan.json"], 0);
        lab.has_nothing_to_do(&whole);
        let _ = lab.changed(&["destroy", "."], 0);
        lab.apply(&whole);
    });
}

/// The undone rule and the rule of the plan say the same: each keeps its own key.
#[test]
fn a_rule_with_another_name_comes_back_under_its_own() {
    everywhere(|lab| {
        let (one, other) =
            (format!("{SMALL}{RULES}"), format!("{SMALL}{}", RULES.replace("\"one\"", "\"other\"")));
        lab.apply(&one);
        for _ in 0..2 {
            lab.apply_saved(&other);
            let _ = lab.changed(&["undo", "plan.json"], 0);
            let again = lab.folder.run(MIDOFORM, &["undo", "plan.json", "--yes"]).expect_code(0);
            assert!(again.stdout.contains("No changes"), "{}", again.stdout);
            lab.has_nothing_to_do(&one);
        }
    });
}

#[test]
fn a_run_that_is_taken_back_uses_no_id_twice_and_is_recognised() {
    everywhere(|lab| {
        let whole = format!("{SMALL}{RULES}{ROUTES}{MORE}");
        lab.apply(&whole);
        for _ in 0..2 {
            lab.fail(SMALL, "/bridges/");
            lab.has_nothing_to_do(&whole);
            lab.fail(&format!("{SMALL}{MORE}"), "/chains/");
            lab.has_nothing_to_do(&whole);
        }
        lab.apply_saved(SMALL);
        let _ = lab.changed(&["undo", "plan.json"], 0);
        lab.has_nothing_to_do(&whole);
    });
}

/// Without the lock file, the rules that an undo created again are recognised by their content.
#[test]
fn what_was_undone_is_recognised_without_the_lock_file() {
    everywhere(|lab| {
        let whole = format!("{SMALL}{RULES}{ROUTES}");
        lab.apply(&whole);
        lab.apply_saved(SMALL);
        let _ = lab.changed(&["undo", "plan.json"], 0);
        std::fs::remove_file(lab.folder.path().join("midoform.lock")).unwrap();
        lab.has_nothing_to_do(&whole);
        lab.apply(&whole);
        lab.apply_saved(SMALL);
        let _ = lab.changed(&["undo", "plan.json"], 0);
        lab.has_nothing_to_do(&whole);
    });
}
