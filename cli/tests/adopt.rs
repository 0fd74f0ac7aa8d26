//! `midoform adopt`: tenants that the Go plugin created are adopted, and the next plan is empty.

use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;
use serde_json::Value as Json;

use crate::MIDOFORM;
use crate::plugin_network::{HOST, PluginNetwork, Tenant, is_random};
use crate::served::Served;

const VERSIONS: [(&str, &str); 3] = [("1.7", "1"), ("5.0", "5"), ("5.8", "5")];
pub(crate) const BLUE: Tenant<'_> = Tenant {
    name: "blue",
    tenant_id: "blue",
    link: ("172.16.9.2", "172.16.9.3", "172.16.9.0/24"),
    cidrs: &["192.168.0.0/24"],
    pods: 0,
};
/// Its link addresses are not adjacent, and its networks differ from the plugin's defaults.
const RED: Tenant<'_> = Tenant {
    name: "red-2",
    tenant_id: "0123456789abcdef0123456789abcdef",
    link: ("172.16.9.17", "172.16.9.203", "172.16.9.0/24"),
    cidrs: &["192.168.0.0/24", "10.7.0.0/20", "10.8.4.0/22"],
    pods: 5,
};
const GREEN: Tenant<'_> = Tenant {
    name: "green.x",
    tenant_id: "green.x",
    link: ("172.16.9.18", "172.16.9.4", "172.16.9.0/24"),
    cidrs: &["192.168.0.0/24"],
    pods: 2,
};

pub(crate) fn serve(folder: &TestFolder, version: &str) -> Served {
    let host = format!("{HOST}=node1");
    Served::start(folder, &["--version", version, "--inspect", "--host", &host])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr))
}

pub(crate) fn write_site(folder: &TestFolder, served: &Served, dialect: &str, provider: &str) {
    let site = format!(
        "name = \"old\"\n[midonet]\nurl = \"{}\"\nversion = {dialect}\nprovider_router = \"{provider}\"\n[pools]\n\
         links = \"172.16.9.0/24\"\nshared = true\n",
        served.url()
    );
    folder.write("site.toml", site);
}

fn get(served: &Served, path: &str) -> String {
    Connection::open(served.address).unwrap().send("GET", path, "*/*", "").unwrap().body
}

/// Returns the number of writes at the server.
fn writes(served: &Served) -> u64 {
    let page = get(served, "/metrics");
    let lines = page.lines().filter(|line| line.starts_with("midonet_api_requests_total"));
    let lines: Vec<&str> = lines.collect();
    assert!(!lines.is_empty(), "{page}");
    let written = lines.iter().filter(|line| !line.contains("method=\"GET\""));
    written.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

fn objects(served: &Served, kind: &str) -> Vec<Json> {
    let all: Json = serde_json::from_str(&get(served, "/_topology")).unwrap();
    all["objects"][kind].as_array().cloned().unwrap_or_default()
}

#[test]
fn the_next_plan_is_empty() {
    for (version, dialect) in VERSIONS {
        let folder = TestFolder::default();
        let served = serve(&folder, version);
        let mut network = PluginNetwork::new(&served, version);
        for tenant in [BLUE, RED, GREEN] {
            network.tenant(tenant);
        }
        write_site(&folder, &served, dialect, &network.provider);
        let before = get(&served, "/_topology");
        let told = folder.run(MIDOFORM, &["adopt", "blue", RED.tenant_id, "green.x"]).expect_code(0);
        assert!(told.stderr.contains("red-2: router"), "{}", told.stderr);
        assert!(told.stderr.contains("5 attached ports"), "{}", told.stderr);
        assert!(folder.read("red-2.toml").contains("tenant_id = \"0123456789abcdef0123456789abcdef\""));
        assert_eq!(before, get(&served, "/_topology"), "adopting changes nothing on {version}");
        let made = writes(&served);
        for command in ["plan", "drift"] {
            let _ = folder.run(MIDOFORM, &[command, "."]).expect_code(0);
        }
        let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        assert!(plan.stdout.contains("No changes"), "{version}: {}", plan.stdout);
        let lock = folder.read("midoform.lock");
        let applied = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        assert!(applied.stdout.contains("No changes"), "{version}: {}", applied.stdout);
        assert_eq!(lock, folder.read("midoform.lock"), "the ids stay bound");
        assert_eq!(made, writes(&served), "no write on {version}");
        assert_eq!(before, get(&served, "/_topology"));
        let again = folder.run(MIDOFORM, &["adopt", "blue"]).expect_code(6);
        assert!(again.stderr.contains("has a spec already"), "{}", again.stderr);
    }
}

#[test]
fn adopted_objects_are_owned() {
    for (version, dialect) in VERSIONS {
        let folder = TestFolder::default();
        let served = serve(&folder, version);
        let mut network = PluginNetwork::new(&served, version);
        for tenant in [BLUE, RED] {
            network.tenant(tenant);
        }
        write_site(&folder, &served, dialect, &network.provider);
        let _ = folder.run(MIDOFORM, &["adopt", "blue", "red-2"]).expect_code(0);
        // An edit is an edit: what it does not speak of keeps its id.
        let router = |name: &str| {
            let wanted = format!("{name} default router");
            let found = objects(&served, "Router").into_iter().find(|router| router["name"] == *wanted);
            found.map(|router| router["id"].as_str().unwrap().to_owned())
        };
        let old = router("red-2").unwrap();
        assert!(is_random(&old));
        let rule = "\n[[bridge]]\nname = \"more\"\ncidr = \"10.9.0.0/24\"\n\n[[rule]]\nname = \"shut\"\nfrom = { bridge = \"bridge0\" }\nto = \
                    { bridge = \"more\" }\naction = \"drop\"\n";
        folder.write("red-2.toml", folder.read("red-2.toml") + rule);
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        assert_eq!(router("red-2"), Some(old));
        let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        assert!(plan.stdout.contains("No changes"), "{version}: {}", plan.stdout);
        // Renaming a tenant's id replaces its chains: what has the old ids is made anew, and stays.
        let blue =
            folder.read("blue.toml").replace("name = \"blue\"\n", "name = \"blue\"\ntenant_id = \"other\"\n");
        folder.write("blue.toml", blue);
        let apply = ["apply", ".", "--yes", "--verify", "--allow-mass-delete"];
        let _ = folder.run(MIDOFORM, &apply).expect_code(0);
        let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        assert!(plan.stdout.contains("No changes"), "{version}: {}", plan.stdout);
        let refused = folder.run(MIDOFORM, &["destroy", ".", "--yes"]).expect_code(6);
        assert!(refused.stderr.contains("still attached"), "{}", refused.stderr);
        let _ = folder.run(MIDOFORM, &["destroy", ".", "--yes", "--target", "blue"]).expect_code(0);
        assert_eq!(router("blue"), None);
        assert!(
            objects(&served, "Chain")
                .iter()
                .all(|chain| !chain["name"].as_str().unwrap().starts_with("blue "))
        );
        assert!(router("red-2").is_some() && router("provider").is_none());
    }
}

#[test]
fn the_keys_of_the_plugin_are_used() {
    let folder = TestFolder::default();
    let served = serve(&folder, "5.8");
    let mut network = PluginNetwork::new(&served, "5.8");
    // A retry after a lost answer made a second of each, linked to nothing; the first failed at its links.
    for name in ["red-2 upstream_in", "red-2 upstream_out"] {
        let kind = "application/vnd.org.midonet.Chain-v1+json";
        network.post("/chains", kind, &serde_json::json!({ "name": name, "tenantId": "x" }));
    }
    let kind = "application/vnd.org.midonet.Router-v3+json";
    let second = network.post(
        "/routers",
        kind,
        &serde_json::json!({ "name": "red-2 default router", "tenantId": RED.tenant_id }),
    );
    network.tenant(RED);
    network.tenant(GREEN);
    write_site(&folder, &served, "5", &network.provider);
    folder.write("flat.json", serde_json::json!({ "keys": network.keys }).to_string());
    let unknown = folder.run(MIDOFORM, &["adopt", "blue", "--export", "flat.json"]).expect_code(64);
    assert!(unknown.stderr.contains("they have"), "{}", unknown.stderr);
    let report = folder.run(MIDOFORM, &["adopt", "red-2", "--export", "flat.json", "--json"]).expect_code(0);
    let report: Json = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["pods"].as_array().unwrap().len(), 5);
    assert_eq!(report["attached"].as_array().unwrap().len(), 5);
    assert_eq!(report["differences"], serde_json::json!([]));
    let left: Vec<&str> =
        report["leftovers"].as_array().unwrap().iter().map(|left| left["what"].as_str().unwrap()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(report["leftovers"].as_array().unwrap().iter().any(|left| left["id"] == *second));
    let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
    assert!(plan.stdout.contains("No changes"), "{}", plan.stdout);
    // etcd's own form of the keys.
    let leaves: Vec<Json> =
        network.keys.iter().map(|(key, value)| serde_json::json!({ "key": key, "value": value })).collect();
    let etcd = serde_json::json!({ "action": "get", "node": { "dir": true, "nodes": [{ "key": "/midonet-cni", "dir": true, "nodes": leaves }] } });
    folder.write("etcd.json", etcd.to_string());
    let report =
        folder.run(MIDOFORM, &["adopt", "green.x", "--export", "etcd.json", "--json"]).expect_code(0);
    assert_eq!(serde_json::from_str::<Json>(&report.stdout).unwrap()["pods"].as_array().unwrap().len(), 2);
    folder.write("broken.json", "{\"what\": 1}");
    let broken = folder.run(MIDOFORM, &["adopt", "green.x", "--export", "broken.json"]).expect_code(64);
    assert!(broken.stderr.contains("not an export"), "{}", broken.stderr);
}

#[test]
fn edited_tenants_are_adopted_only_with_force() {
    for (version, dialect) in VERSIONS {
        let folder = TestFolder::default();
        let served = serve(&folder, version);
        let mut network = PluginNetwork::new(&served, version);
        let ids = network.tenant(RED);
        write_site(&folder, &served, dialect, &network.provider);
        // The translation of sources is gone, and somebody added a rule and a route.
        network.delete(&format!("/rules/{}", ids["${id:11}"]));
        let kind = "application/vnd.org.midonet.Rule-v2+json";
        let chain = format!("/chains/{}/rules", ids["${id:2}"]);
        network.post(&chain, kind, &serde_json::json!({ "type": "drop", "position": 1, "nwProto": 47 }));
        let routes = format!("/routers/{}/routes", ids["${id:3}"]);
        let kind = "application/vnd.org.midonet.Route-v1+json";
        let route = serde_json::json!({
            "type": "BlackHole", "srcNetworkAddr": "0.0.0.0", "srcNetworkLength": 0, "dstNetworkAddr": "10.99.0.0",
            "dstNetworkLength": 16, "weight": 7,
        });
        network.post(&routes, kind, &route);
        let refused = folder.run(MIDOFORM, &["adopt", "red-2"]).expect_code(6);
        assert!(refused.stderr.contains("differs: red-2/chain/in/rule/rev-snat"), "{}", refused.stderr);
        assert!(!folder.path().join("red-2.toml").exists() && !folder.path().join("midoform.lock").exists());
        let dry = folder.run(MIDOFORM, &["adopt", "red-2", "--force", "--dry-run"]).expect_code(0);
        assert!(dry.stdout.contains("rule at position 1"), "{}", dry.stdout);
        assert!(
            dry.stdout.contains("destination = \"10.99.0.0/16\"\ntype = \"blackhole\"\nweight = 7\n"),
            "{}",
            dry.stdout
        );
        assert!(!folder.path().join("red-2.toml").exists());
        let _ = folder.run(MIDOFORM, &["adopt", "red-2", "--force"]).expect_code(0);
        let pending = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(2);
        assert!(
            pending.stdout.contains("1 to add") || pending.stdout.contains("rev-snat"),
            "{}",
            pending.stdout
        );
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--verify"]).expect_code(0);
        let drops = objects(&served, "Rule").into_iter().filter(|rule| rule["nwProto"] == 47).count();
        assert_eq!(drops, 1, "what is nobody's is left");
    }
}

#[test]
fn mistakes_are_reported() {
    let folder = TestFolder::default();
    let served = serve(&folder, "5.8");
    let mut network = PluginNetwork::new(&served, "5.8");
    network.tenant(BLUE);
    write_site(&folder, &served, "5", &network.provider);
    let missing = folder.run(MIDOFORM, &["adopt", "purple"]).expect_code(64);
    assert!(missing.stderr.contains("there is no router `purple default router`"), "{}", missing.stderr);
    assert!(missing.stderr.contains("`blue default router`"), "{}", missing.stderr);
    // The pool of the site file is another than the plugin's.
    folder.write("site.toml", folder.read("site.toml").replace("172.16.9.0/24", "10.255.0.0/24"));
    let pool = folder.run(MIDOFORM, &["adopt", "blue"]).expect_code(3);
    assert!(pool.stderr.contains("are in none of the site's pools"), "{}", pool.stderr);
    // The provider router of the site file is another.
    let kind = "application/vnd.org.midonet.Router-v3+json";
    let other = network.post("/routers", kind, &serde_json::json!({ "name": "other", "tenantId": "x" }));
    write_site(&folder, &served, "5", &other);
    let router = folder.run(MIDOFORM, &["adopt", "blue"]).expect_code(6);
    assert!(router.stderr.contains("not the site's provider router"), "{}", router.stderr);
    assert!(!folder.path().join("blue.toml").exists());
    // A full disk, or a folder that can't be written, leaves no spec behind.
    write_site(&folder, &served, "5", &network.provider);
    folder.write("blue.toml", "");
    let there = folder.run(MIDOFORM, &["adopt", "blue"]).expect_code(3);
    assert!(there.stderr.contains("blue.toml"), "{}", there.stderr);
}

/// Returns the tenants that have a spec file, of the three.
fn tenants_with_spec(folder: &TestFolder) -> Vec<&'static str> {
    let all = [BLUE.name, RED.name, GREEN.name];
    all.into_iter().filter(|name| folder.path().join(format!("{name}.toml")).exists()).collect()
}

/// Adopts while every call from the nth one on fails. Then the server works again, and the adoption is repeated.
fn adopt_through_an_outage(nth: u64) {
    let folder = TestFolder::default();
    let host = format!("{HOST}=node1");
    let served =
        Served::start(&folder, &["--version", "5.8", "--inspect", "--faults", "--host", &host]).unwrap();
    let mut network = PluginNetwork::new(&served, "5.8");
    for tenant in [BLUE, RED, GREEN] {
        network.tenant(tenant);
    }
    write_site(&folder, &served, "5", &network.provider);
    let before = get(&served, "/_topology");
    let mut connection = Connection::open(served.address).unwrap();
    let outage = format!("{{\"fault\": \"internal-error\", \"nth\": {nth}, \"times\": 0}}");
    assert_eq!(connection.send("POST", "/_faults", "application/json", &outage).unwrap().status, 201);
    let failed = folder.run(MIDOFORM, &["adopt", "blue", "red-2", "green.x"]).expect_code(7);
    assert!(failed.stderr.contains("error: "), "{nth}: {}", failed.stderr);
    assert!(connection.send("DELETE", "/_faults", "*/*", "").unwrap().status < 300);
    let done = tenants_with_spec(&folder);
    let lock = folder.path().join("midoform.lock");
    let recorded = if lock.exists() { folder.read("midoform.lock") } else { String::new() };
    for tenant in &done {
        assert!(recorded.contains(&format!("{tenant}/router")), "{nth}: {recorded}");
    }
    if !done.is_empty() {
        let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
        assert!(plan.stdout.contains("No changes"), "{nth}: {}", plan.stdout);
    }
    let left = [BLUE.name, RED.name, GREEN.name].into_iter().filter(|name| !done.contains(name));
    let left: Vec<&str> = ["adopt"].into_iter().chain(left).collect();
    assert!(left.len() > 1, "{nth}: the outage came too late to hit a call");
    let _ = folder.run(MIDOFORM, &left).expect_code(0);
    assert_eq!(tenants_with_spec(&folder).len(), 3);
    let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
    assert!(plan.stdout.contains("No changes"), "{nth}: {}", plan.stdout);
    assert_eq!(before, get(&served, "/_topology"), "{nth}: adopting changes nothing");
}

#[test]
fn an_outage_leaves_adopted_tenants_recorded() {
    std::thread::scope(|scope| {
        for nth in [1, 9, 20, 32, 45, 60] {
            scope.spawn(move || adopt_through_an_outage(nth));
        }
    });
}

#[test]
fn ids_are_recorded_when_the_spec_can_not_be_written() {
    let folder = TestFolder::default();
    let served = serve(&folder, "5.8");
    let mut network = PluginNetwork::new(&served, "5.8");
    network.tenant(RED);
    write_site(&folder, &served, "5", &network.provider);
    folder.write("specs", "a file where a folder is wanted");
    let failed = folder.run(MIDOFORM, &["adopt", "red-2", "--out", "specs/red-2.toml"]).expect_code(74);
    assert!(failed.stderr.contains("specs"), "{}", failed.stderr);
    let recorded = folder.read("midoform.lock");
    assert!(recorded.contains("red-2/router"), "{recorded}");
    assert!(!recorded.contains("applied = true"), "a tenant without a spec is not applied: {recorded}");
    let _ = folder.run(MIDOFORM, &["adopt", "red-2"]).expect_code(0);
    let recorded = folder.read("midoform.lock");
    assert!(recorded.contains("applied = true"), "{recorded}");
    let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
    assert!(plan.stdout.contains("No changes"), "{}", plan.stdout);
}

/// A live etcd with its v2 API on.
struct Etcd {
    child: std::process::Child,
    address: std::net::SocketAddr,
    _folder: TestFolder,
}

impl Etcd {
    fn start() -> Option<Etcd> {
        let folder = TestFolder::default();
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, peers) = (free(), free());
        let (client, peer) = (format!("http://{address}"), format!("http://{peers}"));
        let initial = format!("default={peer}");
        let arguments = [
            "--enable-v2",
            "--data-dir",
            "data",
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &initial,
        ];
        let mut command = folder.command("etcd", &arguments);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let Ok(child) = command.spawn() else {
            println!("SKIPPED: etcd is not installed; scripts/test.sh says why");
            return None;
        };
        let etcd = Etcd { child, address, _folder: folder };
        for _ in 0..200 {
            let answer =
                Connection::open(address).and_then(|mut etcd| etcd.send("GET", "/health", "*/*", ""));
            if answer.is_ok_and(|answer| answer.body.contains("true")) {
                return Some(etcd);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("etcd does not start");
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keys_are_read_from_a_live_etcd() {
    let Some(etcd) = Etcd::start() else { return };
    let folder = TestFolder::default();
    let served = serve(&folder, "5.0");
    let mut network = PluginNetwork::new(&served, "5.0");
    network.tenant(RED);
    write_site(&folder, &served, "5", &network.provider);
    let url = format!("http://{}", etcd.address);
    let empty = folder.run(MIDOFORM, &["adopt", "red-2", "--etcd-v2", &url]).expect_code(64);
    assert!(empty.stderr.contains("have no tenant `red-2`"), "{}", empty.stderr);
    let mut connection = Connection::open(etcd.address).unwrap();
    for (key, value) in &network.keys {
        let hex: String = value.as_str().unwrap().bytes().map(|byte| format!("%{byte:02x}")).collect();
        let kind = "application/x-www-form-urlencoded";
        let answer =
            connection.send("PUT", &format!("/v2/keys{key}"), kind, &format!("value={hex}")).unwrap();
        assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
    }
    let report = folder.run(MIDOFORM, &["adopt", "red-2", "--etcd-v2", &url, "--json"]).expect_code(0);
    let report: Json = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["pods"].as_array().unwrap().len(), 5);
    let addresses =
        report["pods"].as_array().unwrap().iter().filter(|pod| pod["address"].is_string()).count();
    assert_eq!(addresses, 5);
    let plan = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
    assert!(plan.stdout.contains("No changes"), "{}", plan.stdout);
    // An API that is no etcd, and one that is not there.
    let wrong = folder.run(MIDOFORM, &["adopt", "x", "--etcd-v2", &format!("http://{}", served.address)]);
    assert!(wrong.stderr.contains("no v2 API"), "{}", wrong.stderr);
    drop(etcd);
    let gone = folder.run(MIDOFORM, &["adopt", "x", "--etcd-v2", &url]);
    assert!(gone.code != 0 && gone.stderr.contains("etcd at http://"), "{}", gone.stderr);
}
