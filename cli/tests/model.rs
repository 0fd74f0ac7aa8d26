//! Whatever happens between two applies (edits of the spec, changes by hand, faults, kills, a lost lock file): one
//! clean apply makes the network what the spec says, the next has nothing to do, and foreign objects stay. No id of a deleted
//! object is posted again.
//!
//! `MIDOFORM_MODEL_CASES` says how many cases there are for each version, `MIDOFORM_MODEL_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use midoform_simulator::{Options, Server, Version, start};
use midoform_testutil::front::Front;
use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::MIDOFORM;

const BRIDGES: [&str; 4] = ["web", "db", "app", "ops"];
const FAULTS: [&str; 8] = [
    "unavailable-before",
    "unavailable-after",
    "reset-before",
    "reset-after",
    "truncated-body",
    "internal-error",
    "delay",
    "token-dies",
];

/// The content of a tenant's file.
#[derive(Clone, Debug)]
struct Tenant {
    rainbond: bool,
    translated: bool,
    peered: bool,
    exposed: bool,
    /// The bridges; for each, true if the gateway is the first address, and true if the network is fixed.
    bridges: Vec<(usize, bool, bool)>,
    /// Name, source, destination, port of TCP, and whether it is accepted.
    rules: Vec<(u8, usize, usize, u16, bool)>,
}

impl Tenant {
    fn text(&self, name: &str, other: &str, number: usize) -> String {
        let mut text = format!("name = \"{name}\"\n");
        if self.rainbond {
            text += "profile = \"rainbond\"\n";
        }
        if !self.translated {
            text += "egress = \"none\"\n";
        }
        for (bridge, first, pinned) in &self.bridges {
            text += &format!("[[bridge]]\nname = \"{}\"\n", BRIDGES[*bridge]);
            if *first {
                text += "gateway = \"first\"\n";
            }
            // Without translation the lab has to find it: then every address is unique.
            if *pinned {
                text += &format!("cidr = \"10.{}.0.0/24\"\n", number * 100 + bridge);
            }
        }
        let place = |at: usize| match self.bridges.get(at % (self.bridges.len() + 1)) {
            Some((bridge, ..)) => format!("bridge = \"{}\"", BRIDGES[*bridge]),
            None => "world = true".to_owned(),
        };
        for (rule, from, to, port, accept) in &self.rules {
            let action = if *accept { "accept" } else { "drop" };
            text += &format!(
                "[[rule]]\nname = \"r{rule}\"\nfrom = {{ {} }}\nto = {{ {}, tcp = {port} }}\naction = \"{action}\"\n",
                place(*from),
                place(*to)
            );
        }
        if let (true, Some((bridge, _, true))) = (self.exposed, self.bridges.first()) {
            text += &format!(
                "[[expose]]\npublic = \"203.0.113.{number}:443\"\nto = {{ bridge = \"{}\", address = \"10.{}.0.9\", tcp = 8443 }}\n",
                BRIDGES[*bridge],
                number * 100 + bridge
            );
        }
        if self.peered {
            text += &format!("[[peer]]\ntenant = \"{other}\"\n");
        }
        text
    }
}

/// An event between two clean applies.
#[derive(Clone, Debug)]
enum Event {
    /// The spec becomes another.
    Edit,
    /// An object is deleted, unlinked or changed by hand: its kind, and its position among the objects of that kind.
    ByHand(usize, usize),
    /// Somebody adds something of their own.
    Foreign(usize, usize),
    /// An apply meets a fault at this call.
    Fault(usize, u64),
    /// An apply is killed before or after this call.
    Kill(u64, bool),
    /// The lock file is lost.
    LoseStore,
    /// A tenant is deleted.
    Destroy,
    /// The edit is applied to one tenant first.
    Target(usize),
    /// The edit is applied as a saved plan, and undone.
    Undo,
}

/// A step of a case: the edited spec, if it is edited, and the event.
type Step = ([Tenant; 2], Event);

fn tenants() -> impl Strategy<Value = [Tenant; 2]> {
    let bridges = proptest::sample::subsequence(vec![0, 1, 2, 3], 0..=3).prop_shuffle();
    let rule = (0..6u8, 0..4usize, 0..4usize, 1..5u16, any::<bool>());
    let tenant = (bridges, any::<[bool; 9]>(), proptest::collection::vec(rule, 0..5));
    let tenant = tenant.prop_map(|(bridges, yes, mut rules)| {
        let mut seen = BTreeSet::new();
        rules.retain(|rule| seen.insert(rule.0));
        let bridges = bridges.into_iter().map(|at: usize| (at, yes[at], yes[at + 4])).collect();
        Tenant {
            rainbond: yes[8] && yes[0],
            translated: !(yes[1] && yes[5]),
            peered: yes[2],
            exposed: yes[3],
            bridges,
            rules,
        }
    });
    [tenant.clone(), tenant]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let event = prop_oneof![
        3 => Just(Event::Edit),
        3 => (0..7usize, any::<usize>()).prop_map(|(kind, which)| Event::ByHand(kind, which)),
        1 => (0..3usize, any::<usize>()).prop_map(|(kind, which)| Event::Foreign(kind, which)),
        4 => (0..FAULTS.len(), 1..70u64).prop_map(|(fault, nth)| Event::Fault(fault, nth)),
        2 => (1..70u64, any::<bool>()).prop_map(|(nth, after)| Event::Kill(nth, after)),
        1 => Just(Event::LoseStore),
        1 => Just(Event::Destroy),
        2 => (0..2usize).prop_map(Event::Target),
        2 => Just(Event::Undo),
    ];
    proptest::collection::vec((tenants(), event), 1..4)
}

/// A lab: a server, a folder with a spec, and what is somebody else's.
struct Lab {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    /// It notes every call of midoform.
    front: Front,
    folder: TestFolder,
    dialect: &'static str,
    /// Paths below the API of what midoform did not make, each with the path of what it hangs on.
    foreign: Vec<(String, String)>,
    /// The ids of all objects when it was last looked, and those of objects that were deleted.
    live: BTreeSet<String>,
    dead: BTreeSet<String>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown());
        }
    }
}

impl Lab {
    fn new(version: Version, dialect: &'static str) -> Lab {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options { version, faults: true, inspect: true, ..Options::default() };
        let server = runtime.block_on(start(options)).unwrap();
        let folder = TestFolder::default();
        let front = Front::start(server.address());
        let url = front.url();
        let site = format!("name = \"m\"\n[midonet]\nurl = \"{url}\"\nversion = {dialect}\nmanaged = true\n");
        folder.write("site.toml", site);
        Lab {
            runtime,
            server: Some(server),
            front,
            folder,
            dialect,
            foreign: Vec::new(),
            live: BTreeSet::new(),
            dead: BTreeSet::new(),
        }
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> (u16, String, String) {
        let address = self.server.as_ref().unwrap().address();
        let answer = Connection::open(address).unwrap().send(method, path, kind, body).unwrap();
        (answer.status, answer.body, answer.location)
    }

    /// Sends to the API with the media type of this name.
    fn api(&self, method: &str, path: &str, kind: &str, body: &Value) -> (u16, String, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let kind = format!("application/vnd.org.midonet.{kind}+json");
        self.send(method, &format!("/midonet-api{path}"), &kind, &body)
    }

    fn objects(&self) -> BTreeMap<String, Vec<Value>> {
        let (_, body, _) = self.send("GET", "/_topology", "*/*", "");
        let mut all: Value = serde_json::from_str(&body).unwrap();
        serde_json::from_value(all["objects"].take()).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.folder.run(MIDOFORM, arguments)
    }

    fn write(&self, tenants: &[Tenant; 2]) {
        self.folder.write("a.toml", tenants[0].text("a", "b", 0));
        self.folder.write("b.toml", tenants[1].text("b", "a", 1));
    }

    fn is_there(&self, path: &str) -> bool {
        let id = path.rsplit('/').next().unwrap();
        self.objects().values().flatten().any(|object| object["id"] == id)
    }

    /// Checks that no call since the last time has offered the id of a deleted object.
    fn uses_no_id_twice(&mut self) -> Result<(), TestCaseError> {
        for call in self.front.take_arrived() {
            let body: Value = serde_json::from_str(&call.body).unwrap_or_default();
            match (call.method.as_str(), body["id"].as_str()) {
                ("POST", Some(id)) => {
                    prop_assert!(!self.dead.contains(id), "{} offers a used id: {}", call.path, call.body);
                }
                ("DELETE", _) => drop(self.dead.insert(call.path.rsplit('/').next().unwrap().to_owned())),
                _ => {}
            }
        }
        let objects = self.objects();
        let ids = objects.values().flatten().filter_map(|object| object["id"].as_str().map(str::to_owned));
        let now: BTreeSet<String> = ids.collect();
        self.dead.extend(self.live.difference(&now).cloned());
        // Those whose deletion failed.
        self.dead.retain(|id| !now.contains(id));
        self.live = now;
        Ok(())
    }

    /// Lets an event happen.
    fn happen(&mut self, event: &Event) {
        match event {
            Event::Edit | Event::Target(_) | Event::Undo => {}
            Event::ByHand(kind, which) => self.by_hand(*kind, *which),
            Event::Foreign(kind, which) => self.add_foreign(*kind, *which),
            Event::Fault(fault, nth) => {
                let fault = json!({ "fault": FAULTS[*fault], "nth": nth, "milliseconds": 20 });
                self.send("POST", "/_faults", "application/json", &fault.to_string());
                let _ = self.run(&["apply", ".", "--yes", "--quiet", "--allow-mass-delete"]);
                self.send("DELETE", "/_faults", "*/*", "");
            }
            Event::Kill(nth, after) => self.kill(*nth, *after),
            Event::LoseStore => self.lose_store(),
            Event::Destroy => {
                let _ = self
                    .run(&["destroy", ".", "--yes", "--quiet", "--force", "--target", "b"])
                    .expect_code(0);
            }
        }
        let objects = self.objects();
        let ids: BTreeSet<&str> =
            objects.values().flatten().filter_map(|object| object["id"].as_str()).collect();
        self.foreign.retain(|(path, _)| ids.contains(path.rsplit('/').next().unwrap()));
    }

    /// Loses the store. On 1.x only the lock file knows which rules are midoform's: without it, rules that are no
    /// longer in the spec would be left as somebody else's. So on 1.x the lock file loses the ids alone, while the
    /// network is what the spec says.
    fn lose_store(&mut self) {
        let path = self.folder.path().join("midoform.lock");
        if self.dialect == "5" {
            let _ = std::fs::remove_file(path);
            // Nobody knows any more which ids were used.
            self.dead.clear();
            return;
        }
        let _ = self.run(&["apply", ".", "--yes", "--quiet", "--allow-mass-delete"]).expect_code(0);
        let mut of_ids = false;
        let kept = self.folder.read("midoform.lock").lines().fold(String::new(), |text, line| {
            of_ids = if line.starts_with('[') { line.ends_with(".id]") } else { of_ids };
            if of_ids { text } else { text + line + "\n" }
        });
        self.folder.write("midoform.lock", kept);
    }

    /// Applies one tenant: the devices of the other one stay.
    fn apply_one(&self, which: usize) -> Result<(), TestCaseError> {
        let names = ["a", "b"];
        let other = names[1 - which];
        let devices = || -> BTreeSet<String> {
            let all = self.objects().into_values().flatten();
            let own = all.filter(|object| object["tenantId"] == other);
            own.map(|object| object["id"].to_string()).collect()
        };
        let before = devices();
        let ran =
            self.run(&["apply", ".", "--yes", "--quiet", "--allow-mass-delete", "--target", names[which]]);
        if ran.code == 6 && self.has_foreign_children() {
            return Ok(());
        }
        prop_assert_eq!(ran.code, 0, "an apply of one tenant: {} {}", ran.stdout, ran.stderr);
        let after = devices();
        prop_assert!(before.is_subset(&after), "{other} lost {:?}", before.difference(&after));
        Ok(())
    }

    /// Applies one spec and then a saved plan for another, and undoes that one: then nothing is left to do for the first.
    fn undo(&mut self, current: &[Tenant; 2], other: &[Tenant; 2]) -> Result<(), TestCaseError> {
        self.write(current);
        self.converges()?;
        self.write(other);
        // A chain with foreign rules is not deleted.
        if self.run(&["validate", "."]).code == 0 && self.run(&["plan", ".", "--out", "plan.json"]).code == 0
        {
            for command in [&["apply", "plan.json", "--allow-mass-delete"][..], &["undo", "plan.json"]] {
                let ran = self.run(&[command, &["--yes", "--quiet"]].concat());
                prop_assert_eq!(ran.code, 0, "{:?}: {} {}", command, ran.stdout, ran.stderr);
                self.uses_no_id_twice()?;
            }
            self.write(current);
            let again = self.run(&["plan", ".", "--detailed-exitcode"]);
            prop_assert_eq!(again.code, 0, "after an undo: {} {}", again.stdout, again.stderr);
        }
        self.write(current);
        Ok(())
    }

    fn kill(&self, nth: u64, after: bool) {
        let delay = json!({ "fault": "delay", "nth": nth, "milliseconds": 60 });
        self.send("POST", "/_faults", "application/json", &delay.to_string());
        let mut command =
            self.folder.command(MIDOFORM, &["apply", ".", "--yes", "--quiet", "--allow-mass-delete"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            if self.send("GET", "/_faults", "*/*", "").1.contains("\"struck\":1") {
                std::thread::sleep(Duration::from_millis(if after { 62 } else { 0 }));
                let _ = child.kill();
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.wait();
        std::thread::sleep(Duration::from_millis(70));
        self.send("DELETE", "/_faults", "*/*", "");
    }

    fn by_hand(&self, kind: usize, which: usize) {
        let objects = self.objects();
        let mine: BTreeSet<String> = self.foreign.iter().map(|(path, _)| path.clone()).collect();
        let pick = |kind: &str, collection: &str| {
            let is_automatic = |route: &Value| {
                let host = route["dstNetworkLength"] == 32;
                host && (route["type"] == "Local" || (self.dialect == "1" && route["weight"] == 0))
            };
            let all: Vec<String> = objects
                .get(kind)?
                .iter()
                .filter(|object| kind != "Route" || !is_automatic(object))
                .map(|object| format!("/{collection}/{}", object["id"].as_str().unwrap()))
                .filter(|path| !mine.contains(path))
                .collect();
            (!all.is_empty()).then(|| all[which % all.len()].clone())
        };
        let choices = [
            ("Rule", "rules"),
            ("Route", "routes"),
            ("Chain", "chains"),
            ("Network", "bridges"),
            ("Router", "routers"),
            ("Port", "ports"),
            ("Port", "ports"),
        ];
        let (name, collection) = choices[kind];
        let Some(path) = pick(name, collection) else { return };
        match kind {
            5 => drop(self.api("DELETE", &format!("{path}/link"), "PortLink-v1", &Value::Null)),
            6 => drop(self.api("DELETE", &path, "Port-v2", &Value::Null)),
            _ => drop(self.api("DELETE", &path, "X", &Value::Null)),
        }
    }

    fn add_foreign(&mut self, kind: usize, which: usize) {
        let objects = self.objects();
        let pick = |kind: &str| {
            let all = objects.get(kind)?;
            all.get(which % all.len().max(1)).map(|object| object["id"].as_str().unwrap().to_owned())
        };
        let made = match kind {
            0 => pick("Chain").map(|chain| {
                let rule =
                    json!({ "type": "drop", "tpDst": { "start": 9, "end": 9 }, "nwProto": 6, "position": 1 });
                (
                    format!("/chains/{chain}"),
                    self.api("POST", &format!("/chains/{chain}/rules"), "Rule-v2", &rule),
                )
            }),
            1 => pick("Router").map(|router| {
                let route = json!({ "type": "BlackHole", "srcNetworkAddr": "0.0.0.0", "srcNetworkLength": 0,
                    "dstNetworkAddr": "198.51.100.0", "dstNetworkLength": 24, "weight": 7 });
                (
                    format!("/routers/{router}"),
                    self.api("POST", &format!("/routers/{router}/routes"), "Route-v1", &route),
                )
            }),
            _ => {
                let kind = if self.dialect == "1" { "Router-v2" } else { "Router-v3" };
                let router = json!({ "name": "a default router", "tenantId": "a" });
                Some((String::new(), self.api("POST", "/routers", kind, &router)))
            }
        };
        if let Some((parent, (201, _, location))) = made {
            let path = location.split("/midonet-api").nth(1).unwrap().to_owned();
            self.foreign.push((path, parent));
        }
    }

    /// Returns true if somebody else has put rules or routes into chains and routers.
    fn has_foreign_children(&self) -> bool {
        self.foreign.iter().any(|(_, parent)| !parent.is_empty())
    }

    /// Applies once, and checks that this was enough.
    fn converges(&mut self) -> Result<(), TestCaseError> {
        let apply = ["apply", ".", "--yes", "--json", "--allow-mass-delete"];
        let mut first = self.run(&apply);
        if first.code == 6 && self.has_foreign_children() {
            // A chain that goes with somebody else's rules in it is deleted on request only.
            first = self.run(&[&apply[..], &["--remove-foreign"]].concat());
            self.foreign.retain(|(_, parent)| parent.is_empty());
        }
        prop_assert_eq!(first.code, 0, "a clean apply: {} {}", first.stdout, first.stderr);
        let again = self.run(&["plan", ".", "--detailed-exitcode"]);
        prop_assert_eq!(again.code, 0, "nothing is left to do: {} {}", again.stdout, again.stderr);
        for (path, parent) in &self.foreign {
            let orphan = !parent.is_empty() && !self.is_there(parent);
            prop_assert!(orphan || self.is_there(path), "{} is somebody else's and gone", path);
        }
        let mut foreign = std::mem::take(&mut self.foreign);
        foreign.retain(|(_, parent)| parent.is_empty() || self.is_there(parent));
        self.foreign = foreign;
        // Nothing is there twice: as many objects as a first apply makes, and what is somebody else's.
        let wanted = self.run(&["plan", ".", "--offline", "--json"]).expect_code(0);
        let wanted: Value = serde_json::from_str(&wanted.stdout).unwrap();
        let count = |kinds: &[&str]| {
            let steps = wanted["steps"].as_array().unwrap().iter();
            steps.filter(|step| kinds.contains(&step["kind"].as_str().unwrap())).count()
        };
        let foreign =
            |collection: &str| self.foreign.iter().filter(|(path, _)| path.starts_with(collection)).count();
        let objects = self.objects();
        let there = |kind: &str| objects.get(kind).map_or(0, Vec::len);
        let router_ports = count(&["router_port"]);
        prop_assert_eq!(there("Router"), count(&["router"]) + foreign("/routers"), "routers");
        prop_assert_eq!(there("Network"), count(&["bridge"]), "bridges");
        prop_assert_eq!(there("Chain"), count(&["chain"]), "chains");
        prop_assert_eq!(there("Rule"), count(&["rule"]) + foreign("/rules"), "rules");
        prop_assert_eq!(there("Port"), router_ports + count(&["bridge_port"]), "ports");
        prop_assert_eq!(there("Route"), count(&["route"]) + router_ports + foreign("/routes"), "routes");
        Ok(())
    }
}

fn case(
    version: Version,
    dialect: &'static str,
    first: &[Tenant; 2],
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut lab = Lab::new(version, dialect);
    let mut current = first.clone();
    lab.write(&current);
    if lab.run(&["validate", "."]).code != 0 {
        return Err(TestCaseError::reject("no spec"));
    }
    for (tenants, event) in steps {
        lab.happen(event);
        lab.uses_no_id_twice()?;
        if matches!(event, Event::Undo) {
            lab.undo(&current, tenants)?;
        }
        if !matches!(event, Event::LoseStore | Event::ByHand(..)) {
            lab.write(tenants);
            match lab.run(&["validate", "."]).code {
                0 => current = tenants.clone(),
                _ => lab.write(&current),
            }
        }
        if let Event::Target(which) = event {
            lab.apply_one(*which)?;
            lab.uses_no_id_twice()?;
        }
        lab.converges()?;
        lab.uses_no_id_twice()?;
    }
    Ok(())
}

fn any_state_converges(version: Version, dialect: &'static str) {
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let cases = u32::try_from(variable("MIDOFORM_MODEL_CASES").unwrap_or(60)).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = variable("MIDOFORM_MODEL_SEED").unwrap_or(now.as_nanos() as u64);
    println!("MIDOFORM_MODEL_SEED={seed} MIDOFORM_MODEL_CASES={cases} on {version}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    match runner.run(&(tenants(), steps()), |(first, steps)| case(version, dialect, &first, &steps)) {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => panic!("seed {seed}: {why}\n{input:#?}"),
        Err(other) => panic!("seed {seed}: {other}"),
    }
}

#[test]
fn any_state_converges_on_1_7() {
    any_state_converges(Version::V1_7, "1");
}

#[test]
fn any_state_converges_on_5_0() {
    any_state_converges(Version::V5_0, "5");
}

#[test]
fn any_state_converges_on_5_8() {
    any_state_converges(Version::V5_8, "5");
}
