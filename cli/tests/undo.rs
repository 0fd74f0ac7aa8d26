//! `midoform undo` restores what the plan changed: links with tenants that are gone from the specs, renamed and deleted
//! bridges. What can't be restored any more is refused.

use midoform_compiler::midonet::dialect::Dialect;
use midoform_testutil::TestFolder;
use serde_json::Value;

use crate::MIDOFORM;
use crate::served::Served;

const VERSIONS: [(&str, Dialect); 3] = [("1.7", Dialect::V1), ("5.0", Dialect::V5), ("5.8", Dialect::V5)];
const DETAILED: [&str; 3] = ["plan", ".", "--detailed-exitcode"];

struct Lab {
    folder: TestFolder,
    served: Served,
}

impl Lab {
    fn new((version, dialect): (&str, Dialect), tenants: &[(&str, String)]) -> Lab {
        let folder = TestFolder::default();
        let served = Served::with_node_and(&folder, dialect, version, &["--inspect"]);
        let lab = Lab { folder, served };
        lab.write(tenants);
        lab.run(&["apply", ".", "--yes"], 0);
        lab
    }

    fn write(&self, tenants: &[(&str, String)]) {
        for (name, text) in tenants {
            self.folder.write(&format!("{name}.toml"), format!("name = \"{name}\"\n{text}"));
        }
    }

    fn forget(&self, tenant: &str) {
        std::fs::remove_file(self.folder.path().join(format!("{tenant}.toml"))).unwrap();
    }

    #[track_caller]
    fn run(&self, arguments: &[&str], code: i32) -> String {
        let ran = self.folder.run(MIDOFORM, arguments).expect_code(code);
        ran.stdout + &ran.stderr
    }

    /// Saves a plan, and applies it.
    fn applied(&self, options: &[&str]) {
        self.run(&[&["plan", ".", "--out", "plan.json"], options].concat(), 0);
        self.run(&["apply", "plan.json", "--yes", "--allow-mass-delete"], 0);
    }
}

fn bridge(name: &str, network: u8) -> String {
    format!("[[bridge]]\nname = \"{name}\"\ncidr = \"10.{network}.0.0/24\"\n")
}

fn peer(name: &str) -> String {
    format!("[[peer]]\ntenant = \"{name}\"\n")
}

/// The link of two tenants has the key of the first one, whichever is gone.
#[test]
fn the_link_with_a_tenant_that_is_gone_from_the_specs_is_restored() {
    for version in VERSIONS {
        for (gone, kept) in [("b", "a"), ("a", "b")] {
            for options in [&[][..], &["--target", kept]] {
                let both = [("a", bridge("web", 1) + &peer("b")), ("b", bridge("web", 2) + &peer("a"))];
                let lab = Lab::new(version, &both);
                let before = lab.served.counts();
                lab.forget(gone);
                lab.write(&[(kept, bridge("web", if kept == "a" { 1 } else { 2 }))]);
                lab.applied(options);
                assert_ne!(lab.served.counts(), before);
                lab.run(&["undo", "plan.json", "--yes"], 0);
                assert_eq!(lab.served.counts(), before, "{version:?} {gone}");
                lab.write(&both);
                lab.run(&DETAILED, 0);
            }
        }
    }
}

#[test]
fn a_link_with_a_destroyed_tenant_is_refused() {
    for version in VERSIONS {
        for (gone, kept) in [("b", "a"), ("a", "b")] {
            let both = [("a", bridge("web", 1) + &peer("b")), ("b", bridge("web", 2) + &peer("a"))];
            let lab = Lab::new(version, &both);
            lab.forget(gone);
            lab.write(&[(kept, bridge("web", if kept == "a" { 1 } else { 2 }))]);
            lab.applied(&[]);
            lab.run(&["destroy", ".", "--yes", "--target", gone], 0);
            let before = lab.served.counts();
            let refused = lab.run(&["undo", "plan.json", "--yes"], 6);
            assert!(refused.contains("a/peer/b/link needs "), "{refused}");
            assert_eq!(lab.served.counts(), before);
            lab.run(&DETAILED, 0);
        }
    }
}

/// The lock file has the old names again: the old spec has nothing to replace.
#[test]
fn a_renamed_bridge_has_its_old_name_again() {
    for version in VERSIONS {
        // One with a network of its own, and one whose network is allocated.
        let spec = |name: &str, moved: &str| {
            format!(
                "{}[[bridge]]\nname = \"{name}-2\"\n[[port]]\nname = \"vm\"\nbridge = \"{name}\"\nhost = \"node1\"\n\
                 interface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.7\"\n{moved}",
                bridge(name, 1)
            )
        };
        let moved =
            "[[moved]]\nbridge = \"web\"\nto = \"front\"\n[[moved]]\nbridge = \"web-2\"\nto = \"front-2\"\n";
        let lab = Lab::new(version, &[("acme", spec("web", ""))]);
        let lock = lab.folder.read("midoform.lock");
        lab.write(&[("acme", spec("front", moved))]);
        lab.applied(&[]);
        assert_ne!(lab.folder.read("midoform.lock"), lock);
        lab.run(&["undo", "plan.json", "--yes"], 0);
        assert_eq!(lab.folder.read("midoform.lock"), lock, "{version:?}");
        lab.write(&[("acme", spec("web", ""))]);
        lab.run(&DETAILED, 0);
    }
}

/// 5.0.2 takes no id twice: what comes back has new ones.
#[test]
fn a_deleted_bridge_comes_back() {
    for version in VERSIONS {
        let both = bridge("web", 1) + &bridge("db", 2);
        let lab = Lab::new(version, &[("acme", both.clone())]);
        let before = lab.served.counts();
        for _ in 0..2 {
            lab.write(&[("acme", bridge("db", 2))]);
            lab.applied(&[]);
            lab.run(&["undo", "plan.json", "--yes"], 0);
            assert_eq!(lab.served.counts(), before, "{version:?}");
            lab.write(&[("acme", both.clone())]);
            lab.run(&DETAILED, 0);
        }
    }
}

/// A target is one tenant, and the others stay as they are: also one that it has nothing to do with, and a peer.
#[test]
fn the_other_tenants_are_left_alone_by_a_target() {
    for version in VERSIONS {
        let tenants = [
            ("a", bridge("web", 1) + &peer("b")),
            ("b", bridge("web", 2) + &bridge("old", 3) + &peer("a")),
            ("c", bridge("web", 4)),
        ];
        let lab = Lab::new(version, &tenants);
        let before = lab.served.counts();
        for tenant in ["a", "b", "c"] {
            let plan = lab.run(&["plan", ".", "--target", tenant, "--detailed-exitcode"], 0);
            assert!(plan.contains("No changes"), "{version:?}: {plan}");
        }
        lab.write(&[("b", bridge("web", 2) + &peer("a"))]);
        let plan: Value =
            serde_json::from_str(&lab.run(&["plan", ".", "--target", "b", "--json"], 0)).unwrap();
        let changed = plan["steps"].as_array().unwrap().iter().filter(|step| step["action"] != "keep");
        let keys: Vec<&str> = changed.map(|step| step["key"].as_str().unwrap()).collect();
        assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("b/")), "{keys:?}");
        lab.run(&["apply", ".", "--yes", "--target", "b"], 0);
        // The peer's route to the old bridge is the peer's.
        lab.run(&["apply", ".", "--yes"], 0);
        lab.run(&DETAILED, 0);
        assert_eq!(lab.served.counts()["Router"], before["Router"]);
        assert_eq!(lab.served.counts()["Network"], before["Network"] - 1);
    }
}

const RULE: &str = "[[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { world = true, tcp = 25 }\naction = \"drop\"\n\
                    [[route]]\ndestination = \"10.99.0.0/16\"\ntype = \"blackhole\"\n";

/// An undo that was interrupted is continued, and one that is complete has nothing to do.
#[test]
fn an_undo_can_be_run_again() {
    for version in VERSIONS {
        let lab = Lab::new(version, &[("acme", bridge("web", 1))]);
        lab.write(&[("acme", bridge("web", 1) + &bridge("db", 2) + RULE)]);
        lab.applied(&[]);
        // A part of the undo is done by somebody else.
        let folder = &lab.folder;
        let _ = folder.run(MIDOFORM, &["undo", "plan.json", "--yes", "--deadline", "0"]);
        lab.run(&["undo", "plan.json", "--yes", "--verify"], 0);
        let again = lab.run(&["undo", "plan.json", "--yes"], 0);
        assert!(again.contains("Nothing to do") || again.contains("No changes"), "{version:?}: {again}");
        lab.write(&[("acme", bridge("web", 1))]);
        lab.run(&DETAILED, 0);
        // What somebody changed since is still not overwritten.
        lab.write(&[("acme", bridge("web", 1) + &bridge("db", 2))]);
        lab.applied(&[]);
        lab.write(&[("acme", bridge("web", 1) + &bridge("db", 2) + RULE)]);
        lab.run(&["apply", ".", "--yes"], 0);
        let refused = lab.run(&["undo", "plan.json", "--yes"], 6);
        assert!(refused.contains("has changed since"), "{version:?}: {refused}");
    }
}
