//! Every command that takes a store, with each of the three stores; and a run that is stopped, with each of them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};

use crate::MIDOFORM;
use crate::served::Served;
use midoform_testutil::etcd::Cluster;

const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";
const MORE: &str = "[[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n";

/// A site with one of the stores, and a served API.
struct Site {
    folder: TestFolder,
    served: Served,
    store: &'static str,
}

impl Site {
    fn new(store: &'static str) -> Option<Site> {
        static ETCD: OnceLock<Option<Cluster>> = OnceLock::new();
        let line = match store {
            "etcd" => match ETCD.get_or_init(|| Cluster::start(1)) {
                Some(cluster) => format!("[etcd]\nendpoints = {:?}\n", cluster.endpoints()),
                None => {
                    println!("SKIPPED: etcd is not installed (etcd-server)");
                    return None;
                }
            },
            "database" => "[store]\npath = \"store.db\"\n".to_owned(),
            _ => String::new(),
        };
        let folder = TestFolder::default();
        let served = Served::start(&folder, &["--version", "1.7", "--inspect", "--faults"])
            .unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let (name, url) = (format!("site{:016x}", fastrand::u64(..)), served.url());
        folder.write(
            "site.toml",
            format!("name = \"{name}\"\n{line}[midonet]\nurl = \"{url}\"\nversion = 1\nmanaged = true\n"),
        );
        folder.write("acme.toml", ACME);
        Some(Site { folder, served, store })
    }

    #[track_caller]
    fn run(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.folder.run(MIDOFORM, arguments);
        let what = format!("{} with the store {}", arguments.join(" "), self.store);
        assert_eq!(ran.code, code, "{what}:\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.folder.command(MIDOFORM, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Sets a fault, and returns a connection to look at it.
    fn fault(&self, fault: &str) -> Connection {
        let mut connection = Connection::open(self.served.address).unwrap();
        assert_eq!(connection.send("POST", "/_faults", "application/json", fault).unwrap().status, 201);
        connection
    }

    /// Returns the number of requests that the server has seen.
    fn requests(&self) -> u64 {
        let mut connection = Connection::open(self.served.address).unwrap();
        let page = connection.send("GET", "/metrics", "*/*", "").unwrap().body;
        let lines = page.lines().filter(|line| {
            line.starts_with("midonet_api_requests_total{") && !line.contains("resource=\"other\"")
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Begins an apply, and stops its process when the fault has struck.
    fn stopped_at(&self, faults: &mut Connection, parallel: &str) -> Child {
        let stopped = self.spawn(&["apply", ".", "--yes", "--parallel", parallel]);
        while !faults.send("GET", "/_faults", "*/*", "").unwrap().body.contains("\"struck\":1") {
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&stopped, "-STOP");
        stopped
    }

    /// Lets a stopped apply go on. It makes no call, and says that its lock is lost.
    fn ends_without_a_call(&self, stopped: Child) {
        let before = self.requests();
        signal(&stopped, "-CONT");
        let ran = Ran::from(stopped.wait_with_output().unwrap());
        assert_eq!(ran.code, 6, "{}: {}{}", self.store, ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("the lock on the tenants was lost"), "{}: {}", self.store, ran.stderr);
        assert_eq!(self.requests(), before, "{}", self.store);
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// Calls a test with each store at the same time.
fn with_each_store(test: impl Fn(&Site) + Sync) {
    std::thread::scope(|scope| {
        for store in ["lock file", "database", "etcd"] {
            let test = &test;
            scope.spawn(move || Site::new(store).iter().for_each(test));
        }
    });
}

#[test]
fn every_command_works_with_each_store() {
    with_each_store(|site| {
        for arguments in [
            &["lock", "."][..],
            &["validate", "."],
            &["plan", "."],
            &["plan", ".", "--out", "one.plan", "--html", "review.html"],
            &["plan", ".", "--against", "."],
            &["apply", ".", "--dry-run"],
            &["apply", "one.plan", "--yes"],
            &["undo", "one.plan", "--yes"],
            &["apply", ".", "--yes", "--target", "acme/bridge/web"],
            &["apply", ".", "--yes", "--batch", "1", "--verify"],
            &["drift", "."],
            &["drift", ".", "--json"],
            &["show", "."],
            &["graph", "."],
            &["explain", "acme/router", "."],
            &["trace", ".", "--from", "acme/web/10.1.0.5", "--to", "world"],
            &["trace", ".", "--from", "acme/web/10.1.0.5", "--to", "198.51.100.1", "--live"],
            &["verify", "."],
            &["lock", ".", "--repair"],
        ] {
            let _ = site.run(0, arguments);
        }
        let place = match site.store {
            "database" => &["--store", "store.db"][..],
            "etcd" => &["--etcd-of", "site.toml"],
            _ => &[],
        };
        if !place.is_empty() {
            for command in [&["dump"][..], &["check"], &["check", "--midonet-of", "site.toml", "--repair"]] {
                let _ = site.run(0, &[&["store"][..], place, command].concat());
            }
            let _ = site.run(0, &[&["store"][..], place, &["migrate"]].concat());
            let _ = site.run(0, &[&["push", "."][..], place].concat());
        }
        let code = if place.is_empty() { 64 } else { 0 };
        let _ = site.run(code, &["attachments", "--site", "site.toml"]);
        let _ = site.run(0, &["destroy", ".", "--yes"]);
        // What nobody remembers is taken over.
        let router = "application/vnd.org.midonet.Router-v2+json";
        let body = r#"{"name": "old default router", "tenantId": "old"}"#;
        let mut connection = Connection::open(site.served.address).unwrap();
        assert_eq!(connection.send("POST", "/midonet-api/routers", router, body).unwrap().status, 201);
        let ran = site.folder.run(MIDOFORM, &["import", "old default router", "--dry-run"]);
        assert!(matches!(ran.code, 0 | 2), "{}: {}", site.store, ran.stderr);
        let ran = site.folder.run(MIDOFORM, &["adopt", "old", "--force"]);
        assert!(matches!(ran.code, 0 | 2), "{}: {}", site.store, ran.stderr);
        assert!(site.folder.path().join("old.toml").exists(), "{}", site.store);
    });
}

#[test]
fn drift_is_watched_with_each_store() {
    with_each_store(|site| {
        let _ = site.run(0, &["apply", ".", "--yes"]);
        let mut watching = site.spawn(&["drift", ".", "--watch", "1"]);
        let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap_or_else(|| panic!("{}: it ended", site.store)).unwrap();
        assert!(next().contains("No drift"), "{}", site.store);
        // It reads the spec and the store again each time.
        site.folder.write("acme.toml", format!("{ACME}{MORE}"));
        while !next().contains("objects differ from the spec") {}
        let _ = site.run(0, &["apply", ".", "--yes"]);
        while !next().contains("No drift") {}
        signal(&watching, "-TERM");
        assert_eq!(watching.wait().unwrap().code(), Some(0), "{}", site.store);
    });
}

/// Another apply gets the lock of a process that is stopped, and the spec has changed: the first one must make no call
/// after that.
#[test]
fn a_run_that_was_stopped_for_longer_than_its_lease_makes_no_more_calls() {
    with_each_store(|site| {
        site.folder.write("acme.toml", format!("{ACME}{MORE}"));
        let mut faults = site.fault(r#"{"fault": "delay", "method": "POST", "nth": 4, "milliseconds": 500}"#);
        let stopped = site.stopped_at(&mut faults, "2");
        site.folder.write("acme.toml", ACME);
        let _ = site.run(0, &["apply", ".", "--yes", "--lock-timeout", "60"]);
        site.ends_without_a_call(stopped);
        let _ = site.run(0, &["plan", ".", "--detailed-exitcode"]);
        let _ = site.run(0, &["apply", ".", "--yes"]);
    });
}

/// The same where nobody else got the lock meanwhile.
#[test]
fn a_run_that_was_stopped_ends_even_if_nobody_got_its_lock() {
    with_each_store(|site| {
        let mut faults = site.fault(r#"{"fault": "reset-after", "method": "POST", "nth": 3, "times": 1}"#);
        let _slow = site.fault(r#"{"fault": "delay", "method": "POST", "times": 0, "milliseconds": 100}"#);
        let stopped = site.stopped_at(&mut faults, "1");
        std::thread::sleep(Duration::from_secs(17));
        // A call that is repeated needs the lock, too.
        site.ends_without_a_call(stopped);
        let mut faults = Connection::open(site.served.address).unwrap();
        faults.send("DELETE", "/_faults", "application/json", "").unwrap();
        let _ = site.run(0, &["apply", ".", "--yes"]);
        let _ = site.run(0, &["plan", ".", "--detailed-exitcode"]);
    });
}

/// A member's URL with a login is a mistake in the site file. No command connects to it, and none shows the login.
#[test]
fn a_wrong_endpoint_of_etcd_is_never_called() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let folder = TestFolder::default();
    folder.write("acme.toml", ACME);
    let of_site = "[midonet]\nembedded = true\nmanaged = true\n";
    for endpoint in [
        format!("http://u:hunter2@{address}"),
        format!("u:hunter2@{address}"),
        format!("https://{address}?x=hunter2"),
        format!("http://{address}/#hunter2"),
        format!("http://{address},http://u:hunter2@{address}"),
        format!("http:\\\\\\\\u:hunter2@{address}"),
    ] {
        folder.write("site.toml", format!("name = \"s\"\n{of_site}[etcd]\nendpoints = [\"{endpoint}\"]\n"));
        for command in [
            "validate .",
            "plan .",
            "plan . --offline",
            "plan . --json",
            "apply . --yes",
            "destroy . --yes",
            "lock .",
            "lock . --repair",
            "drift .",
            "show .",
            "graph .",
            "verify .",
            "explain acme .",
            "trace . --from acme/web --to acme/web",
            "import someone",
            "adopt someone --force",
            "attachments --site site.toml",
            "push . --etcd-of site.toml",
            "store --etcd-of site.toml dump",
            "store --etcd-of site.toml load acme.toml",
            "store --etcd-of site.toml check",
            "store --etcd-of site.toml check --midonet-of site.toml",
            "store --etcd-of site.toml migrate",
        ] {
            let arguments: Vec<&str> = command.split(' ').collect();
            let ran = folder.run(MIDOFORM, &arguments);
            let all = format!("{command}: {}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
            assert_eq!(ran.code, 3, "{all}");
            assert!(ran.stderr.contains("bad-url") && !all.contains("hunter2"), "{all}");
        }
    }
    assert!(listener.accept().is_err(), "a command has connected to the endpoint");
}
