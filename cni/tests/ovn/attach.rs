//! Attaching and detaching: what talks, what is left.

use std::process::Command;

use serde_json::{Value, json};

use super::world::{address_of, world};
use crate::lab::{Container, Ran};

#[test]
fn pods_of_a_tenant_talk_and_tenants_are_apart() {
    let Some(world) = world() else { return };
    let [first, second, other] = [(); 3].map(|()| Container::new());
    let first_at = world.add(&first, "acme");
    let second_at = world.add(&second, "acme");
    // The first packet after ADD is answered.
    assert!(world.pings(&second, &first_at), "{}", world.log());
    assert!(world.pings(&first, &second_at));
    let gateway = world.run("ADD", &first, &world.config()).ok()["ips"][0]["gateway"].clone();
    assert!(world.pings(&first, gateway.as_str().unwrap()), "{gateway}");
    let other_at = world.add(&other, "globex");
    assert_ne!(other_at, first_at);
    assert!(!world.pings(&other, &first_at));
    assert!(!world.pings(&first, &other_at));
    for container in [&first, &second, &other] {
        world.del(container);
    }
    world.expect_nothing_left(&[&first, &second, &other]);
}

/// The userspace datapath completes no checksums, so that TCP needs those of the container.
#[test]
fn a_pod_sends_complete_checksums() {
    let Some(world) = world() else { return };
    let [first, second] = [(); 2].map(|()| Container::new());
    let address = world.add(&first, "acme");
    world.add(&second, "acme");
    let mut server = Command::new("ip");
    let script = "import socket; s=socket.create_server(('0.0.0.0',80)); print('ready',flush=True); c,_=s.accept(); c.sendall(b'hello'); c.close()";
    let mut server = server
        .args(["netns", "exec", &first.namespace, "python3", "-c", script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.as_mut().unwrap()), &mut ready)
        .unwrap();
    let script =
        format!("import socket; print(socket.create_connection(('{address}',80),3).recv(9).decode())");
    let client =
        Command::new("ip").args(["netns", "exec", &second.namespace, "python3", "-c", &script]).output();
    let _ = server.kill();
    server.wait().unwrap();
    assert_eq!(String::from_utf8(client.unwrap().stdout).unwrap(), "hello\n");
}

#[test]
fn a_repeated_add_is_the_same_and_check_passes() {
    let Some(world) = world() else { return };
    let container = Container::new();
    let first = world.run("ADD", &container, &world.config()).ok();
    let again = world.run("ADD", &container, &world.config()).ok();
    assert_eq!(first, again);
    let mut config = world.config();
    config["prevResult"] = first;
    let _ = world.run("CHECK", &container, &config).ok();
    let plugged = world.plugged();
    world.del(&container);
    world.del(&container);
    // Nothing comes back: neither the name of the interface nor that of the port.
    let _ = world.run("ADD", &container, &world.config()).ok();
    assert_ne!(world.plugged(), plugged);
    world.del(&container);
    world.expect_nothing_left(&[&container]);
}

#[test]
fn check_names_what_differs() {
    let Some(world) = world() else { return };
    let container = Container::new();
    let _ = world.run("ADD", &container, &world.config()).ok();
    let [row, interface] = [world.rows().remove(0), world.plugged().remove(0)];
    let problem = |world: &super::world::World| -> String {
        world.run("CHECK", &container, &world.config()).error(106)["details"].as_str().unwrap().to_owned()
    };
    world.nbctl(&["lsp-set-port-security", &row, "00:00:00:00:00:01"]);
    assert!(problem(&world).contains("`port_security` of its port is"), "{}", problem(&world));
    world.vsctl(&["remove", "interface", &interface, "external_ids", "attached-mac"]);
    assert!(problem(&world).contains("is not plugged into br-int"), "{}", problem(&world));
    world.vsctl(&["del-port", "br-int", &interface]);
    assert!(problem(&world).contains("is not in Open vSwitch"), "{}", problem(&world));
    world.nbctl(&["lsp-del", &row]);
    assert!(problem(&world).contains("has no port for it"), "{}", problem(&world));
    // An ADD makes it again, and a DEL finds nothing but the rest.
    let _ = world.run("ADD", &container, &world.config()).ok();
    let _ = world.run("CHECK", &container, &world.config()).ok();
    world.del(&container);
    world.expect_nothing_left(&[&container]);
}

#[test]
fn a_crowd_is_attached_at_once() {
    let Some(world) = world() else { return };
    let containers: Vec<Container> = (0..12).map(|_| Container::new()).collect();
    let begin = |verb: &str, tenant: &str| {
        let run = |container| world.begin(verb, container, &world.config_of(tenant));
        containers.iter().map(run).collect::<Vec<_>>()
    };
    let results: Vec<Value> = begin("ADD", "acme").into_iter().map(|child| Ran::from(child).ok()).collect();
    let addresses: std::collections::BTreeSet<String> = results.iter().map(address_of).collect();
    assert_eq!(addresses.len(), containers.len());
    let own = address_of(&results[0]);
    for address in addresses.iter().filter(|address| **address != own) {
        assert!(world.pings(&containers[0], address), "{address}");
    }
    for child in begin("DEL", "acme") {
        let _ = Ran::from(child).ok();
    }
    world.expect_nothing_left(&containers.iter().collect::<Vec<_>>());
}

#[test]
fn gc_keeps_what_is_valid_and_sweeps_what_is_left() {
    let Some(world) = world() else { return };
    let [kept, gone] = [(); 2].map(|()| Container::new());
    world.add(&kept, "acme");
    world.add(&gone, "acme");
    let rows = world.rows();
    // A port of somebody else stays, and one that midoform plugged for a pod that nobody knows goes.
    world.vsctl(&["--no-wait", "add-port", "br-int", "foreign0"]);
    let key = "external_ids:midoform=acme/pod/11111111-2222-3333-4444-555555555555/c/eth0/@0000000/port";
    world.vsctl(&[
        "--no-wait",
        "add-port",
        "br-int",
        "vif00000000000",
        "--",
        "set",
        "interface",
        "vif00000000000",
        "external_ids:midoform-site=lab",
        key,
    ]);
    let mut config = world.config();
    config["cni.dev/valid-attachments"] = json!([{"containerID": kept.id, "ifname": "eth0"}]);
    let _ = world.run("GC", &kept, &config).ok();
    assert_eq!(world.rows().len(), 1, "{rows:?}");
    let plugged = world.plugged();
    assert_eq!(plugged.len(), 1, "{plugged:?}");
    assert!(!plugged.contains(&"vif00000000000".to_owned()));
    assert!(world.vsctl(&["list-ports", "br-int"]).contains("foreign0"));
    let _ = world.run("CHECK", &kept, &world.config()).ok();
    world.del(&kept);
    world.expect_nothing_left(&[&kept, &gone]);
}

/// The spec's checks of sources are the port's: another address gets no answer.
#[test]
fn a_spec_that_was_pushed_decides_about_the_ports() {
    let Some(world) = world() else { return };
    let spec = "name = \"acme\"\nanti_spoof = \"port\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.7.0.0/24\"\n";
    world.push("acme", spec);
    let [first, second] = [(); 2].map(|()| Container::new());
    let address = world.add(&first, "acme");
    assert!(address.starts_with("10.7.0."), "{address}");
    world.add(&second, "acme");
    assert!(world.pings(&second, &address));
    second.ip(&["addr", "add", "10.7.0.77/24", "dev", "eth0"]);
    let mut spoofed = Command::new("ip");
    spoofed.args([
        "netns",
        "exec",
        &second.namespace,
        "ping",
        "-c",
        "1",
        "-W",
        "1",
        "-I",
        "10.7.0.77",
        &address,
    ]);
    assert!(!spoofed.output().unwrap().status.success());
    let security = world.nbctl(&["--bare", "--columns=port_security", "list", "Logical_Switch_Port"]);
    assert!(security.lines().any(|line| line.ends_with(&address)), "{security}");
}

#[test]
fn status_says_what_is_missing() {
    let Some(world) = world() else { return };
    let container = Container::new();
    let _ = world.run("STATUS", &container, &world.config()).ok();
    world.kill("vswitchd");
    world.run("STATUS", &container, &world.config()).error(51);
    world.start_part("vswitchd");
    world.kill("nb");
    world.run("STATUS", &container, &world.config()).error(50);
    world.start_part("nb");
    world.vsctl(&["remove", "open", ".", "external_ids", "ovn-remote"]);
    world.run("STATUS", &container, &world.config()).error(50);
}

/// The first pod of the second of two peers links them, and a bridge that is full gets another one beside it.
#[test]
fn peers_are_linked_and_a_full_bridge_gets_another() {
    let Some(world) = world() else { return };
    for (own, peer, network) in [("acme", "globex", "10.7.0.0/29"), ("globex", "acme", "10.8.0.0/24")] {
        let spec = format!(
            "name = \"{own}\"\n[[bridge]]\nname = \"web\"\ncidr = \"{network}\"\n[[peer]]\ntenant = \"{peer}\"\n"
        );
        world.push(own, &spec);
    }
    let containers: Vec<Container> = (0..7).map(|_| Container::new()).collect();
    let first = world.add(&containers[0], "acme");
    let second = world.add(&containers[1], "globex");
    // The link is a new router's port, which takes OVN a moment.
    world.wait_until(|| world.pings(&containers[1], &first));
    assert!(world.pings(&containers[0], &second));
    for container in &containers[2..] {
        let address = world.add(container, "acme");
        world.wait_until(|| world.pings(&containers[0], &address));
    }
    let last = world.add(&containers[6], "acme");
    assert!(!last.starts_with("10.7.0."), "{last}");
    world.wait_until(|| world.pings(&containers[1], &last));
    for container in &containers {
        world.del(container);
    }
    world.expect_nothing_left(&containers.iter().collect::<Vec<_>>());
}
