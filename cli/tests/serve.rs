//! `midoform serve` as a process: its flags, its end, and what survives one that nobody saw coming.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};

use crate::MIDOFORM;
use crate::served::Served;

const ROUTER: &str = "application/json";

/// Returns the values of a field in a list of objects. What is looked for has no escapes in it.
fn fields(list: &str, field: &str) -> Vec<String> {
    let key = format!("\"{field}\":\"");
    list.split(&key).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

fn get(address: SocketAddr, path: &str, kind: &str) -> String {
    let answer = Connection::open(address).unwrap().send("GET", path, kind, "").unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// The changes of a client before the server was killed.
#[derive(Default)]
struct Done {
    /// The names of the routers whose creation or deletion the server acknowledged.
    there: BTreeMap<String, String>,
    gone: BTreeSet<String>,
    /// The name whose fate nobody knows: the answer did not come.
    unknown: Option<String>,
}

/// Makes routers with a port each (of this media type), and deletes some again, until the server is gone.
fn work(address: SocketAddr, kind: &str, client: usize, round: usize, stopped: &AtomicBool) -> Done {
    let mut done = Done::default();
    let Ok(mut connection) = Connection::open(address) else { return done };
    for number in 0.. {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("r-{round}-{client}-{number}");
        done.unknown = Some(name.clone());
        let body = format!("{{\"name\": \"{name}\", \"tenantId\": \"t\"}}");
        let Ok(made) = connection.send("POST", "/midonet-api/routers", ROUTER, &body) else { return done };
        assert_eq!(made.status, 201, "{}", made.body);
        let path = format!("/midonet-api{}", made.location.split("/midonet-api").nth(1).unwrap());
        done.there.insert(name.clone(), path.clone());
        done.unknown = None;
        let port = "{\"type\": \"Router\", \"networkAddress\": \"10.0.0.0\", \"networkLength\": 24, \"portAddress\": \"10.0.0.1\"}";
        let Ok(made) = connection.send("POST", &format!("{path}/ports"), kind, port) else { return done };
        assert_eq!(made.status, 201, "{}", made.body);
        if number % 3 == 0 {
            done.there.remove(&name);
            done.unknown = Some(name.clone());
            let Ok(gone) = connection.send("DELETE", &path, ROUTER, "") else { return done };
            assert_eq!(gone.status, 204);
            done.gone.insert(name);
            done.unknown = None;
        }
    }
    done
}

/// Checks that everything acknowledged is there, that everything deleted is not, and that every port has its one
/// route: a change is there as a whole or not at all.
fn check(address: SocketAddr, known: &[Done]) {
    let routers = get(address, "/midonet-api/routers", ROUTER);
    let names: BTreeSet<String> = fields(&routers, "name").into_iter().collect();
    for done in known {
        for name in done.there.keys() {
            assert!(names.contains(name), "{name} was acknowledged, and is lost");
        }
        for name in &done.gone {
            assert!(!names.contains(name), "{name} was deleted, and is there");
        }
    }
    let expected: BTreeSet<&String> =
        known.iter().flat_map(|done| done.there.keys().chain(&done.unknown)).collect();
    for name in &names {
        assert!(expected.contains(name), "{name} was never made");
    }
    let ports = fields(&get(address, "/midonet-api/ports", ROUTER), "deviceId");
    let topology = get(address, "/_topology", ROUTER);
    let routes = topology.split("\"Route\":").nth(1).unwrap().split("\"Chain\":").next().unwrap();
    assert_eq!(fields(routes, "nextHopPort").len(), ports.len(), "a port brings its route, and takes it");
}

#[test]
fn acknowledged_changes_survive_two_hundred_kills() {
    // 1.7 has another form of ports for plain JSON.
    for (version, kind) in [("5.8", "Port-v3"), ("1.7", "Port-v2")] {
        let kind = format!("application/vnd.org.midonet.{kind}+json");
        for batch in 0..10 {
            let folder = TestFolder::default();
            let state = folder.path().join("state");
            let arguments = ["--version", version, "--inspect", "--state-dir", state.to_str().unwrap()];
            let mut known: Vec<Done> = Vec::new();
            for round in 0..10 {
                let served =
                    Served::start(&folder, &arguments).unwrap_or_else(|ran| panic!("{}", ran.stderr));
                check(served.address, &known);
                let stopped = AtomicBool::new(false);
                let address = served.address;
                let wait = Duration::from_micros(5_000 + 4_321 * (batch * 10 + round) as u64 % 60_000);
                known.extend(std::thread::scope(|scope| {
                    let (stopped, kind) = (&stopped, kind.as_str());
                    let workers: Vec<_> = (0..4)
                        .map(|client| scope.spawn(move || work(address, kind, client, round, stopped)))
                        .collect();
                    std::thread::sleep(wait);
                    served.kill();
                    stopped.store(true, Ordering::Relaxed);
                    workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
                }));
            }
            let served = Served::start(&folder, &arguments).unwrap_or_else(|ran| panic!("{}", ran.stderr));
            check(served.address, &known);
            assert!(known.iter().any(|done| !done.there.is_empty()), "nothing was made at all");
        }
    }
}

/// Makes a state of some hundred objects, left by a server that ended in this way.
fn some_state(folder: &TestFolder, killed: bool) -> String {
    let served =
        Served::start(folder, &["--state-dir", "state"]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let mut connection = Connection::open(served.address).unwrap();
    for number in 0..300 {
        let body = format!("{{\"name\": \"r{number}\", \"tenantId\": \"t\"}}");
        assert_eq!(connection.send("POST", "/midonet-api/routers", ROUTER, &body).unwrap().status, 201);
    }
    let all = get(served.address, "/midonet-api/routers", ROUTER);
    if killed {
        served.kill();
    } else {
        served.terminate();
    }
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Returns the contents of damaged files: with a wrong bit, with a part of its length, with a page of zeros.
fn damages(whole: &[u8]) -> Vec<Vec<u8>> {
    let mut damages: Vec<Vec<u8>> = Vec::new();
    for step in 0..40 {
        // All over the file, and many places at its beginning, which says where the rest is.
        let place = if step < 20 { step * 7 } else { step * whole.len() / 40 + step };
        let mut damaged = whole.to_vec();
        let Some(byte) = damaged.get_mut(place) else { continue };
        *byte ^= 1 << (step % 8);
        damages.push(damaged);
    }
    for share in [0, 1, 3, 7] {
        damages.push(whole[..whole.len() * share / 8].to_vec());
    }
    let (middle, end) = (whole.len() / 2, (whole.len() / 2 + 4096).min(whole.len()));
    damages.push([&whole[..middle], &vec![0; end - middle], &whole[end..]].concat());
    damages
}

#[test]
fn a_damaged_state_is_refused_or_whole() {
    let mut refused = 0;
    let mut tried = 0;
    // A killed server leaves the newest commits in the log.
    for (killed, files) in [(false, &["simulator.db"][..]), (true, &["simulator.db", "simulator.db-wal"])] {
        let folder = TestFolder::default();
        let all = some_state(&folder, killed);
        assert_eq!(folder.path().join("state/simulator.db-wal").exists(), killed);
        for file in files {
            let whole = std::fs::read(folder.path().join("state").join(file)).unwrap();
            for damaged in damages(&whole) {
                tried += 1;
                let copied = folder.path().join("copy");
                let _ = std::fs::remove_dir_all(&copied);
                copy(&folder.path().join("state"), &copied);
                std::fs::write(copied.join(file), &damaged).unwrap();
                match Served::start(&folder, &["--state-dir", "copy"]) {
                    Ok(served) => assert_eq!(
                        get(served.address, "/midonet-api/routers", ROUTER)
                            .replace(&served.address.to_string(), ""),
                        all,
                        "something is lost, and nobody said so"
                    ),
                    Err(ran) => {
                        refused += 1;
                        assert_eq!(ran.code, 74, "{}", ran.stderr);
                        assert!(ran.stderr.contains("copy/simulator.db is damaged"), "{}", ran.stderr);
                        assert_eq!(std::fs::read(copied.join(file)).unwrap(), damaged, "it was changed");
                    }
                }
            }
        }
    }
    assert!(refused > tried / 4, "{refused} of {tried}");
}

#[test]
fn a_state_that_lost_its_last_commits_is_refused() {
    let folder = TestFolder::default();
    let (database, log) = ("state/simulator.db", "state/simulator.db-wal");
    some_state(&folder, false);
    let old = std::fs::read(folder.path().join(database)).unwrap();
    let served =
        Served::start(&folder, &["--state-dir", "state"]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let mut connection = Connection::open(served.address).unwrap();
    let body = "{\"name\": \"last\", \"tenantId\": \"t\"}";
    assert_eq!(connection.send("POST", "/midonet-api/routers", ROUTER, body).unwrap().status, 201);
    served.kill();
    copy(&folder.path().join("state"), &folder.path().join("logged"));
    let refused = |told: &str| {
        let refused = Served::start(&folder, &["--state-dir", "state"]).err().unwrap();
        assert_eq!(refused.code, 74, "{}", refused.stderr);
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    };
    // The last commit is in the log alone.
    std::fs::remove_file(folder.path().join(log)).unwrap();
    refused("the last 1 of 301 commits are missing");
    // And now it is in the database.
    let _ = std::fs::remove_dir_all(folder.path().join("state"));
    copy(&folder.path().join("logged"), &folder.path().join("state"));
    Served::start(&folder, &["--state-dir", "state"])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr))
        .terminate();
    assert!(!folder.path().join(log).exists());
    std::fs::write(folder.path().join(database), old).unwrap();
    refused("the last 1 of 301 commits are missing");
    std::fs::remove_file(folder.path().join(database)).unwrap();
    refused("it is gone, with 301 commits");
}

#[test]
fn the_state_of_an_earlier_midoform_is_refused() {
    let folder = TestFolder::default();
    folder.write("state/simulator.redb", "redb");
    let refused = Served::start(&folder, &["--state-dir", "state"]).err().unwrap();
    assert_eq!(refused.code, 74, "{}", refused.stderr);
    let told = "state/simulator.redb is that of an earlier midoform: delete the folder state to start empty, or keep the \
                older midoform";
    assert!(
        refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ").contains(told),
        "{}",
        refused.stderr
    );
    let files = std::fs::read_dir(folder.path().join("state")).unwrap().count();
    assert_eq!(files, 1, "it was left as it was");
}

#[test]
fn a_state_belongs_to_one_server_and_one_version() {
    let folder = TestFolder::default();
    let first =
        Served::start(&folder, &["--state-dir", "state"]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let second = Served::start(&folder, &["--state-dir", "state"]).err().unwrap();
    assert_eq!(second.code, 74);
    assert!(second.stderr.contains("in use by another process"), "{}", second.stderr);
    drop(first);
    let other = Served::start(&folder, &["--state-dir", "state", "--version", "1.7"]).err().unwrap();
    assert!(other.stderr.contains("that of MidoNet 5.8, not of 1.7"), "{}", other.stderr);
}

#[test]
fn requests_are_logged_and_sigterm_is_an_orderly_end() {
    let folder = TestFolder::default();
    let served = Served::start(&folder, &["--log", "json"]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    get(served.address, "/midonet-api/routers?tenant_id=t", ROUTER);
    let (code, log) = served.terminate();
    assert_eq!(code, Some(0));
    let line = log.lines().next().unwrap();
    for part in [
        "\"method\":\"GET\"",
        "\"path\":\"/midonet-api/routers?tenant_id=t\"",
        "\"status\":200",
        "\"milliseconds\":",
        "\"timestamp\":",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let served = Served::start(&folder, &[]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    get(served.address, "/midonet-api/routers", ROUTER);
    assert_eq!(served.terminate(), (Some(0), String::new()), "without --log it says nothing");
}

#[test]
fn faults_and_topology_need_their_options() {
    let folder = TestFolder::default();
    for (arguments, status) in [(&[][..], 404), (&["--faults", "--inspect"][..], 200)] {
        let served = Served::start(&folder, arguments).unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let mut connection = Connection::open(served.address).unwrap();
        for path in ["/_faults", "/_topology"] {
            assert_eq!(connection.send("GET", path, ROUTER, "").unwrap().status, status, "{path}");
        }
    }
}

#[test]
fn users_of_a_file_log_in() {
    let folder = TestFolder::default();
    folder.write(
        "users.toml",
        "[[user]]\nname = \"admin\"\npassword = \"secret\"\ntenants = { admin = [\"admin\"] }\n",
    );
    for arguments in [
        &["--auth", "basic"][..],
        &["--auth", "keystone"],
        &["--auth", "keystone", "--keystone-version", "2"],
    ] {
        let arguments = [arguments, &["--users", "users.toml"]].concat();
        let served = Served::start(&folder, &arguments).unwrap_or_else(|ran| panic!("{}", ran.stderr));
        assert_eq!(
            served.said.contains("serving Keystone at http://127.0.0.1:"),
            arguments.contains(&"keystone")
        );
        let mut connection = Connection::open(served.address).unwrap();
        assert_eq!(connection.send("GET", "/midonet-api/routers", ROUTER, "").unwrap().status, 401);
        // The login of midoform itself, with a name and a password.
        folder.write("site.toml", midoform_testutil::SITE);
        folder.write("tenants/acme.toml", "name = \"acme\"\n[[bridge]]\nname = \"web\"\n");
        let url = format!("http://{}/midonet-api", served.address);
        let plan = |password: &str| {
            let mut command = folder.command(MIDOFORM, &["plan", "tenants", "--api", &url]);
            command
                .env("MIDONET_USERNAME", "admin")
                .env("MIDONET_PASSWORD", password)
                .env("MIDONET_PROJECT", "admin");
            Ran::from(command.output().unwrap())
        };
        let _ = plan("secret").expect_code(0);
        let _ = plan("wrong").expect_code(5);
    }
}

#[test]
fn failures_to_start_are_reported() {
    let folder = TestFolder::default();
    folder.write("users.toml", "[[user]]\nname = \"a\"\n");
    folder
        .write("members.toml", "[[user]]\nname = \"a\"\npassword = \"b\"\ntenants = { t = [\"member\"] }\n");
    for (arguments, code, told) in [
        (&["--auth", "basic"][..], 64, "--auth basic needs --users FILE"),
        (&["--auth", "keystone"], 64, "needs --users FILE"),
        (&["--auth", "keystone", "--users", "members.toml"], 64, "no user in the file has the role admin"),
        (&["--auth", "keystone", "--keystone-url", "http://127.0.0.1:1"], 64, "OS_USERNAME"),
        (&["--auth", "basic", "--users", "users.toml"], 74, "password"),
        (&["--auth", "basic", "--users", "nowhere.toml"], 74, "nowhere.toml"),
        (&["--auth", "magic"], 64, "magic"),
        (&["--host", "node1"], 64, "ID=NAME"),
        (&["--version", "6"], 64, "6"),
        (&["--tls-cert", "x.pem"], 64, "--tls-key"),
        (&["--tls-cert", "x.pem", "--tls-key", "y.pem"], 74, "x.pem"),
        (&["--state-dir", "users.toml"], 74, "users.toml"),
    ] {
        let refused = Served::start(&folder, arguments).err().unwrap_or_else(|| panic!("{arguments:?}"));
        assert_eq!(refused.code, code, "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(told), "{arguments:?}: {}", refused.stderr);
    }
}

/// A small file system, gone with the test.
struct SmallDisk<'a>(&'a Path);

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_reported_and_loses_nothing() {
    let folder = TestFolder::default();
    let place = folder.path().join("small");
    std::fs::create_dir(&place).unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&place)
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("SKIPPED: a small disk can't be mounted, which takes root");
        return;
    }
    let disk = SmallDisk(&place);
    let served = Served::start(&folder, &["--state-dir", "small/state"])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let mut connection = Connection::open(served.address).unwrap();
    let body = format!("{{\"name\": \"r\", \"tenantId\": \"{}\"}}", "t".repeat(2_000));
    let mut made = 0;
    let refused = loop {
        let answer = connection.send("POST", "/midonet-api/routers", ROUTER, &body).unwrap();
        match answer.status {
            201 => made += 1,
            _ => break answer,
        }
        assert!(made < 100_000, "the disk does not fill");
    };
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("No space left on device"), "{}", refused.body);
    let again = connection.send("POST", "/midonet-api/routers", ROUTER, &body).unwrap();
    assert_eq!(again.status, 503);
    get(served.address, "/midonet-api/routers", ROUTER);
    served.kill();
    copy(&place.join("state"), &folder.path().join("large"));
    drop(disk);
    let served =
        Served::start(&folder, &["--state-dir", "large"]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let kept = fields(&get(served.address, "/midonet-api/routers", ROUTER), "name").len();
    assert_eq!(kept, made, "what was acknowledged is there, and nothing else");
}
