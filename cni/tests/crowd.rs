//! Many runs at once: pods of new tenants on several hosts, and more pods than a bridge has addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use midoform_simulator::Auth;
use serde_json::{Value, json};

use crate::PLUGIN;
use crate::lab::{Container, DIALECTS, Lab, Ran, ip, skipped_without, skipped_without_root, started, unique};

/// A network namespace that stands for a host, with a way to the API.
struct Host {
    id: String,
    namespace: String,
}

impl Host {
    fn new(number: usize, octet: u32) -> Host {
        let namespace = unique("mh-");
        ip(&["netns", "add", &namespace]);
        let near = format!("{}h", namespace.replace('-', ""));
        ip(&["link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", &namespace]);
        ip(&["address", "add", &format!("10.{octet}.{number}.1/30"), "dev", &near]);
        ip(&["link", "set", &near, "up"]);
        ip(&["-n", &namespace, "address", "add", &format!("10.{octet}.{number}.2/30"), "dev", "eth0"]);
        ip(&["-n", &namespace, "link", "set", "eth0", "up"]);
        ip(&["-n", &namespace, "route", "add", "default", "via", &format!("10.{octet}.{number}.1")]);
        Host { id: format!("{number:08x}-2222-3333-4444-555555555555"), namespace }
    }

    fn interfaces(&self) -> usize {
        let links: Value = serde_json::from_str(&ip(&["-n", &self.namespace, "-j", "link", "show"])).unwrap();
        let is_pod = |link: &&Value| link["ifname"].as_str().unwrap().starts_with("vif");
        links.as_array().unwrap().iter().filter(is_pod).count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).stderr(Stdio::null()).status();
    }
}

struct Pod {
    container: Container,
    host: usize,
    tenant: String,
}

/// Starts a verb for every pod at once, and returns the result of each.
fn all_at_once(lab: &Lab, hosts: &[Host], pods: &[Pod], verb: &str) -> Vec<Ran> {
    let start = |pod: &Pod| -> Child {
        let host = &hosts[pod.host];
        let mut config = lab.config();
        config["host_uuid"] = json!(host.id);
        config["tenant"] = json!(pod.tenant);
        config["add_timeout"] = json!(240);
        config["timeout"] = json!(60);
        config["state_dir"] = json!(lab.path(&format!("state-{}", pod.host)));
        config["store"] = json!(lab.path("state/store.db"));
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &host.namespace, PLUGIN]);
        lab.environment(&mut command, verb, &pod.container);
        started(command, config.to_string().as_bytes())
    };
    let children: Vec<Child> = pods.iter().map(start).collect();
    children.into_iter().map(Ran::from).collect()
}

#[test]
fn two_hundred_pods_of_twenty_new_tenants_on_four_hosts() {
    if skipped_without_root() {
        return;
    }
    crowd(|lab| lab);
}

#[test]
fn two_hundred_pods_on_etcd() {
    if skipped_without_root() || skipped_without(&["etcd"]) {
        return;
    }
    crowd(Lab::on_etcd);
}

fn crowd(prepare: impl Fn(Lab) -> Lab) {
    // The hosts of both tests have the same addresses.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let octet = 200 + std::process::id() % 50;
    let hosts: Vec<Host> = (1..=4).map(|number| Host::new(number, octet)).collect();
    let ids: Vec<String> = hosts.iter().map(|host| host.id.clone()).collect();
    let lab = prepare(Lab::with(DIALECTS[1], &format!("10.{octet}.1.1:0"), &ids, Auth::None));
    std::fs::create_dir_all(lab.path("state")).unwrap();
    let pods: Vec<Pod> = (0..200)
        .map(|at| Pod { container: Container::new(), host: at % 4, tenant: format!("tenant{}", at % 20) })
        .collect();
    let results: Vec<Value> = all_at_once(&lab, &hosts, &pods, "ADD").into_iter().map(Ran::ok).collect();

    let mut addresses: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (pod, result) in pods.iter().zip(&results) {
        let is_new =
            addresses.entry(&pod.tenant).or_default().insert(result["ips"][0]["address"].to_string());
        assert!(is_new, "{} twice in {}", result["ips"][0]["address"], pod.tenant);
    }
    let routers: Vec<String> =
        lab.objects("Router").iter().map(|router| router["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(routers.len(), 21, "one for each tenant, and the provider's: {routers:?}");
    assert_eq!(lab.objects("Network").len(), 20);
    assert_eq!((lab.bound_ports().len(), lab.stray_ports().len(), lab.held_addresses()), (200, 0, 200));
    assert_eq!(hosts.iter().map(Host::interfaces).collect::<Vec<_>>(), [50; 4]);

    all_at_once(&lab, &hosts, &pods, "DEL").into_iter().for_each(|ran| drop(ran.ok()));
    lab.expect_nothing_left(&[]);
    assert_eq!(hosts.iter().map(Host::interfaces).collect::<Vec<_>>(), [0; 4]);
}

/// Go plugin: with six addresses left, 20 ADDs at once failed once, and attached ten pods to the old bridge with an
/// address of the new one.
#[test]
fn pods_beyond_a_bridge_s_room_are_on_the_bridge_of_their_address() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        let site = lab.folder.read("site.toml");
        lab.folder
            .write("site.toml", format!("{site}[pools]\nbridges = \"10.77.0.0/24\"\nbridge_prefix = 28\n"));
        let containers: Vec<Container> = (0..30).map(|_| Container::new()).collect();
        let children: Vec<_> = containers
            .iter()
            .map(|container| {
                let mut config = lab.config();
                config["add_timeout"] = json!(120);
                lab.start("ADD", container, &config)
            })
            .collect();
        let results: Vec<Value> = children.into_iter().map(|child| Ran::from(child).ok()).collect();
        let all: BTreeSet<String> =
            results.iter().map(|result| result["ips"][0]["address"].to_string()).collect();
        assert_eq!(all.len(), 30);
        let bridges = lab.objects("Network");
        assert_eq!(bridges.len(), 3, "13 pods find room on each");
        // Each pod's port is on the bridge whose gateway the pod received.
        let ports = lab.bound_ports();
        let store = lab.store();
        for attachment in
            store.iter().filter(|(key, _)| key.starts_with("attachment/")).map(|(_, value)| value)
        {
            let port =
                ports.iter().find(|port| port["interfaceName"] == attachment["host_interface"]).unwrap();
            assert_eq!(port["deviceId"], attachment["bridge_id"]);
            let network: ipnet::Ipv4Net = attachment["cidr"].as_str().unwrap().parse().unwrap();
            let address: std::net::Ipv4Addr = attachment["address"].as_str().unwrap().parse().unwrap();
            assert!(network.contains(&address));
        }
        containers.iter().for_each(|container| drop(lab.del(container)));
        lab.expect_nothing_left(&containers.iter().collect::<Vec<_>>());
    }
}
