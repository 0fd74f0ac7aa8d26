//! Hosts that leave the site file: midoform takes out of the tunnel zone what it put there, and nothing else. Nothing that is bound on
//! such a host is cut off unasked.

use midoform_compiler::midonet::dialect::Dialect;
use midoform_testutil::etcd::Cluster;
use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};
use serde_json::{Value, json};

use crate::MIDOFORM;
use crate::pods::{HOST, attach};
use crate::served::Served;

const SECOND: &str = "22222222-3333-4444-5555-666666666666";
const THIRD: &str = "33333333-4444-5555-6666-777777777777";
const WEB: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";
const VERSIONS: [(&str, Dialect); 3] = [("1.7", Dialect::V1), ("5.0", Dialect::V5), ("5.8", Dialect::V5)];
const DETAILED: [&str; 3] = ["plan", ".", "--detailed-exitcode"];

fn host(name: &str, id: &str, last: u8) -> String {
    format!("[[host]]\nname = \"{name}\"\nid = \"{id}\"\ntunnel_address = \"10.255.0.{last}\"\n")
}

struct Lab {
    folder: TestFolder,
    served: Served,
    head: String,
}

impl Lab {
    /// Starts a server with three hosts, and applies a site with the first two of them.
    fn new((version, dialect): (&str, Dialect), store: &str) -> Lab {
        let folder = TestFolder::default();
        let more = [format!("{SECOND}=node2"), format!("{THIRD}=node3")];
        let options = ["--inspect", "--faults", "--host", &more[0], "--host", &more[1]];
        let served = Served::with_node_and(&folder, dialect, version, &options);
        let site = folder.read("site.toml").replace("[midonet]", &format!("{store}[midonet]"));
        let (head, _) = site.split_once("[[host]]").unwrap();
        let lab = Lab { head: head.to_owned(), folder, served };
        lab.folder.write("acme.toml", WEB);
        lab.hosts(&[host("node1", HOST, 1), host("node2", SECOND, 2)]);
        lab.apply();
        lab
    }

    fn hosts(&self, hosts: &[String]) {
        self.folder.write("site.toml", format!("{}{}", self.head, hosts.concat()));
    }

    #[track_caller]
    fn run(&self, code: i32, arguments: &[&str]) -> Ran {
        self.folder.run(MIDOFORM, arguments).expect_code(code)
    }

    /// Applies, and checks that nothing is left to do.
    #[track_caller]
    fn apply(&self) {
        let _ = self.run(0, &["apply", ".", "--yes"]);
        let _ = self.run(0, &DETAILED);
        let _ = self.run(0, &["drift", "."]);
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> (u16, String) {
        let answer = Connection::open(self.served.address).unwrap().send(method, path, kind, body).unwrap();
        (answer.status, answer.body)
    }

    fn objects(&self, kind: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(&self.send("GET", "/_topology", "*/*", "").1).unwrap();
        all["objects"][kind].as_array().cloned().unwrap_or_default()
    }

    /// Returns the last bytes of the addresses in the zone, with the first digits of their hosts.
    fn members(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let members = self.objects("TunnelZoneHost").into_iter().map(|member| {
            let (host, address) = (text(&member["hostId"]), text(&member["ipAddress"]));
            format!("{}@{}", &host[..1], address.rsplit('.').next().unwrap())
        });
        let mut members: Vec<String> = members.collect();
        members.sort();
        members
    }

    /// Adds a host to the zone, or takes one out, without midoform.
    fn by_hand(&self, method: &str, host: &str, last: u8) {
        let zone = self.objects("TunnelZone")[0]["id"].as_str().unwrap().to_owned();
        let kind = "application/vnd.org.midonet.TunnelZoneHost-v1+json";
        let path = format!("/midonet-api/tunnel_zones/{zone}/hosts");
        let body = json!({ "hostId": host, "ipAddress": format!("10.255.0.{last}") }).to_string();
        let status = match method {
            "POST" => self.send("POST", &path, kind, &body).0,
            _ => self.send("DELETE", &format!("{path}/{host}"), kind, "").0,
        };
        assert!(status == 201 || status == 204, "{status}");
    }
}

#[test]
fn a_replaced_host_gives_its_address_to_the_next_one() {
    for version in VERSIONS {
        let lab = Lab::new(version, "");
        for (hosts, members) in [
            ([host("node1", HOST, 1), host("node3", THIRD, 2)], ["1@1", "3@2"]),
            // Another host has the name of the one that leaves.
            ([host("node1", HOST, 1), host("node3", SECOND, 2)], ["1@1", "2@2"]),
            ([host("node1", SECOND, 1), host("node2", HOST, 2)], ["1@2", "2@1"]),
            ([host("node1", THIRD, 2), host("node2", HOST, 1)], ["1@1", "3@2"]),
        ] {
            lab.hosts(&hosts);
            lab.apply();
            assert_eq!(lab.members(), members, "{version:?}");
        }
        // One less, also one that only loses its address.
        let bare = |host: String| host.lines().take(3).collect::<Vec<_>>().join("\n") + "\n";
        lab.hosts(&[host("node2", HOST, 1), bare(host("node1", THIRD, 2))]);
        let plan = lab.run(0, &["plan", "."]).stdout;
        assert!(plan.contains(&format!("{THIRD} at 10.255.0.2 (is no longer wanted)")), "{plan}");
        let drift = lab.run(8, &["drift", "."]);
        assert!(drift.stdout.contains(THIRD), "{}", drift.stdout);
        lab.apply();
        assert_eq!(lab.members(), ["1@1"], "{version:?}");
        let lock = lab.folder.read("midoform.lock");
        assert!(lock.contains(&format!("[tunnel_zone_host]\n{HOST} = \"node2\"\n")), "{lock}");
        lab.hosts(&[]);
        lab.apply();
        assert!(lab.members().is_empty(), "{version:?}");
        let _ = lab.run(0, &["destroy", ".", "--site", "--yes"]);
        assert!(lab.objects("TunnelZone").is_empty(), "{version:?}");
        assert!(!lab.folder.read("midoform.lock").contains("tunnel_zone_host"), "{version:?}");
    }
}

/// A host that left is deleted with the site, also before the next apply, and with a site that has no zone any more.
#[test]
fn the_site_is_destroyed_with_the_hosts_that_left() {
    for version in VERSIONS {
        for zone in [true, false] {
            let lab = Lab::new(version, "");
            let (head, _) = lab.head.split_once("[tunnel_zone]").unwrap();
            match zone {
                true => lab.hosts(&[host("node1", HOST, 1)]),
                false => lab.folder.write("site.toml", head),
            }
            let _ = lab.run(0, &["destroy", ".", "--site", "--yes"]);
            assert!(lab.objects("TunnelZone").is_empty() && lab.members().is_empty(), "{version:?} {zone}");
        }
    }
}

/// A tunnel zone that leaves the site file is deleted like any other object.
#[test]
fn a_zone_that_is_no_longer_wanted_is_deleted() {
    for version in VERSIONS {
        let lab = Lab::new(version, "");
        let site = lab.folder.read("site.toml");
        let (head, _) = lab.head.split_once("[tunnel_zone]").unwrap();
        lab.folder.write("site.toml", head);
        lab.by_hand("POST", THIRD, 9);
        let refused = lab.run(6, &["apply", ".", "--yes"]);
        assert!(refused.stderr.contains(&format!("host at 10.255.0.9 ({THIRD})")), "{}", refused.stderr);
        lab.by_hand("DELETE", THIRD, 9);
        lab.apply();
        assert!(lab.objects("TunnelZone").is_empty() && lab.members().is_empty(), "{version:?}");
        lab.folder.write("site.toml", site);
        lab.apply();
        assert_eq!(lab.members(), ["1@1", "2@2"], "{version:?}");
    }
}

/// What others put into the zone stays, and is named where it is in the way. So is a host that a lost lock file does not name.
#[test]
fn a_tunnel_address_of_somebody_elses_host_is_named() {
    for version in VERSIONS {
        let lab = Lab::new(version, "");
        lab.by_hand("POST", THIRD, 9);
        lab.apply();
        assert_eq!(lab.members(), ["1@1", "2@2", "3@9"], "{version:?}");
        lab.hosts(&[host("node1", HOST, 1), host("node2", SECOND, 9)]);
        let words = [THIRD, "which midoform did not put into the zone", "site.toml:13", "10.255.0.9"];
        for command in [&["plan", "."][..], &["apply", ".", "--yes"]] {
            let refused = lab.run(6, command).stderr;
            for word in words {
                assert!(refused.contains(word), "{word}: {refused}");
            }
        }
        lab.by_hand("DELETE", THIRD, 9);
        lab.apply();
        // The membership of a host that leaves while the lock file is lost belongs to nobody.
        std::fs::remove_file(lab.folder.path().join("midoform.lock")).unwrap();
        lab.hosts(&[host("node1", HOST, 1), host("node3", THIRD, 9)]);
        let refused = lab.run(6, &["apply", ".", "--yes"]).stderr;
        assert!(refused.contains(&format!("is taken by host {SECOND}")), "{refused}");
        lab.by_hand("DELETE", SECOND, 9);
        lab.apply();
    }
}

/// A lock file of before has no record: nothing is made again, and what is as the spec says is recorded.
#[test]
fn a_lock_file_without_the_record_gets_it() {
    for version in VERSIONS {
        let lab = Lab::new(version, "");
        let lock = lab.folder.read("midoform.lock");
        let is_of_hosts = |line: &&str| !line.contains("tunnel_zone_host") && !line.contains("= \"node");
        let old: Vec<&str> = lock.lines().filter(is_of_hosts).collect();
        lab.folder.write("midoform.lock", old.join("\n") + "\n");
        let _ = lab.run(0, &DETAILED);
        lab.apply();
        assert_eq!(lab.folder.read("midoform.lock"), lock, "{version:?}");
        lab.hosts(&[host("node1", HOST, 1)]);
        lab.apply();
        assert_eq!(lab.members(), ["1@1"], "{version:?}");
    }
}

#[test]
fn pods_and_ports_of_a_host_that_leaves_are_not_cut_off_unasked() {
    for (version, dialect) in [VERSIONS[0], VERSIONS[2]] {
        let lab = Lab::new((version, dialect), "");
        let _ = attach(&lab.served, dialect, "c1", 6);
        let port = "[[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.7\"\n";
        lab.folder.write("acme.toml", format!("{WEB}{port}"));
        lab.apply();
        // The host keeps its name, for the static port, and loses its address.
        let bare = host("node1", HOST, 1).replace("tunnel_address = \"10.255.0.1\"\n", "");
        lab.hosts(&[bare.clone(), host("node2", SECOND, 1)]);
        let plan = lab.run(0, &["plan", ".", "--out", "plan.json"]).stdout;
        let both = ["Pods and ports that are cut off", "vifc1 of host", "tap0 of host", "at acme/port/vm"];
        both.iter().for_each(|words| assert!(plan.contains(words), "{words}: {plan}"));
        for command in [&["apply", ".", "--yes"][..], &["apply", "plan.json", "--yes"]] {
            let refused = lab.run(6, command).stderr;
            for words in ["2 pods and ports would be cut off", "vifc1", "tap0", "--cut-pods"] {
                assert!(refused.contains(words), "{version} {words}: {refused}");
            }
        }
        // A static port that goes with its host is not cut off.
        lab.folder.write("acme.toml", WEB);
        lab.hosts(&[host("node2", SECOND, 1)]);
        let refused = lab.run(6, &["apply", ".", "--yes"]).stderr;
        assert!(refused.contains("1 pod would be cut off") && !refused.contains("tap0"), "{refused}");
        let _ = lab.run(0, &["plan", ".", "--out", "plan.json"]);
        let _ = lab.run(0, &["apply", "plan.json", "--yes", "--cut-pods"]);
        let _ = lab.run(0, &DETAILED);
        assert_eq!(lab.members(), ["2@1"], "{version}");
        // The undo brings the host back.
        let _ = lab.run(0, &["undo", "plan.json", "--yes"]);
        assert_eq!(lab.members(), ["1@1", "2@2"], "{version}");
        lab.folder.write("acme.toml", format!("{WEB}{port}"));
        lab.hosts(&[host("node1", HOST, 1), host("node2", SECOND, 2)]);
        let _ = lab.run(0, &DETAILED);
        lab.hosts(&[host("node1", HOST, 1)]);
        lab.apply();
        assert_eq!(lab.members(), ["1@1"], "{version}");
    }
}

/// A target takes nothing out of the zone, and says so.
#[test]
fn a_target_takes_no_host_out() {
    for version in VERSIONS {
        let lab = Lab::new(version, "");
        let port = "[[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"node3\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.7\"\n";
        lab.folder.write("acme.toml", format!("{WEB}{port}"));
        lab.hosts(&[host("node1", HOST, 1), host("node3", THIRD, 2)]);
        let refused = lab.run(6, &["apply", ".", "--yes", "--target", "acme"]).stderr;
        for words in ["site.toml:13", SECOND, "node2", "which midoform put into the zone", "--target"] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
        assert_eq!(lab.members(), ["1@1", "2@2"], "{version:?}");
        lab.apply();
    }
}

/// Whatever call fails, and in whatever way: the next apply ends with what the site file says.
#[test]
fn a_replacement_that_is_interrupted_is_continued() {
    for version in VERSIONS {
        for fault in ["unavailable-after", "reset-after", "reset-before", "internal-error"] {
            for method in ["POST", "DELETE"] {
                let lab = Lab::new(version, "");
                lab.hosts(&[host("node1", THIRD, 2), host("node2", SECOND, 1)]);
                let set = json!({ "fault": fault, "method": method, "path": "/tunnel_zones/**", "times": 9 });
                let _ = lab.send("POST", "/_faults", "application/json", &set.to_string());
                let _ = lab.folder.run(MIDOFORM, &["apply", ".", "--yes", "--parallel", "8"]);
                let _ = lab.send("DELETE", "/_faults", "*/*", "");
                // The spec changes again before the next apply.
                lab.hosts(&[host("node1", HOST, 2)]);
                lab.apply();
                assert_eq!(lab.members(), ["1@2"], "{version:?} {fault} {method}");
            }
        }
    }
}

#[test]
fn each_store_has_the_record() {
    let cluster = Cluster::start(1);
    let etcd = cluster.as_ref().map(|cluster| format!("[etcd]\nendpoints = {:?}\n", cluster.endpoints()));
    if etcd.is_none() {
        println!("SKIPPED: etcd is not installed (etcd-server)");
    }
    for store in [Some("[store]\npath = \"store.db\"\n".to_owned()), etcd].into_iter().flatten() {
        let lab = Lab::new(VERSIONS[2], &store);
        lab.hosts(&[host("node1", HOST, 1), host("node3", THIRD, 2)]);
        lab.apply();
        assert_eq!(lab.members(), ["1@1", "3@2"], "{store}");
        lab.hosts(&[host("node3", THIRD, 2)]);
        let _ = lab.run(0, &["destroy", ".", "--site", "--yes"]);
        assert!(lab.objects("TunnelZone").is_empty(), "{store}");
    }
}
