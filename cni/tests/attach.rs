//! ADD, DEL and CHECK on real namespaces, against the embedded API in both dialects.

use serde_json::{Value, json};

use crate::lab::{Container, DIALECTS, HOST, Lab, ip, skipped_without, skipped_without_root};

#[test]
fn a_container_is_connected_and_taken_away() {
    if skipped_without_root() {
        return;
    }
    for lab in Lab::each() {
        let container = Container::new();
        let result = lab.add(&container);
        let inside = &result["interfaces"][1];
        assert_eq!((&inside["name"], &inside["mtu"]), (&json!("eth0"), &json!(1450)));
        assert_eq!(inside["sandbox"], container.path());
        let address = result["ips"][0]["address"].as_str().unwrap();
        assert_eq!(result["ips"][0]["interface"], 1);

        let link = &container.ip(&["link", "show", "eth0"])[0];
        assert_eq!((&link["address"], &link["mtu"]), (&inside["mac"], &json!(1450)));
        let has = &container.ip(&["-4", "address", "show", "eth0"])[0]["addr_info"][0];
        assert_eq!(format!("{}/{}", has["local"].as_str().unwrap(), has["prefixlen"]), address);
        let default = &container.ip(&["-4", "route", "show", "default"])[0];
        assert_eq!(default["gateway"], result["ips"][0]["gateway"]);

        let host = result["interfaces"][0]["name"].as_str().unwrap();
        assert!(host.starts_with("vif") && host.len() == 15, "{host}");
        let bound = lab.bound_ports();
        assert_eq!(bound.len(), 1, "{bound:?}");
        assert_eq!((&bound[0]["interfaceName"], &bound[0]["hostId"]), (&json!(host), &json!(HOST)));

        let mut config = lab.config();
        config["prevResult"] = result.clone();
        assert_eq!(lab.run("CHECK", &container, &config).ok(), Value::Null);
        assert_eq!(
            lab.run("ADD", &container, &lab.config()).ok(),
            result,
            "the same ADD has the same result"
        );
        assert_eq!(lab.bound_ports(), bound);

        assert_eq!(lab.run("DEL", &container, &config).ok(), Value::Null);
        lab.expect_nothing_left(&[&container]);
        assert_eq!(lab.del(&container), Value::Null, "twice");
        lab.run("CHECK", &container, &config).error(106);
    }
}

#[test]
fn every_version_of_the_specification_has_its_result() {
    if skipped_without_root() {
        return;
    }
    let lab = Lab::new(DIALECTS[1]);
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let container = Container::new();
        let mut config = lab.config();
        config["cniVersion"] = json!(version);
        let result = lab.run("ADD", &container, &config).ok();
        assert_eq!(result["cniVersion"], version);
        match version {
            "0.1.0" | "0.2.0" => {
                assert!(
                    result["ip4"]["ip"].is_string() && result["ip4"]["routes"][0]["gw"].is_string(),
                    "{result}"
                );
                assert!(result.get("interfaces").is_none() && result.get("ips").is_none());
            }
            "0.3.0" | "0.3.1" | "0.4.0" => assert_eq!(result["ips"][0]["version"], "4"),
            _ => assert!(result["ips"][0].get("version").is_none()),
        }
        if !version.starts_with("0.1") && !version.starts_with("0.2") {
            assert_eq!(result["interfaces"][1].get("mtu").is_some(), version == "1.1.0", "{result}");
        }
        if version >= "0.4.0" {
            config["prevResult"] = result;
            lab.run("CHECK", &container, &config).ok();
        }
        lab.run("DEL", &container, &config).ok();
        lab.expect_nothing_left(&[&container]);
    }
}

#[test]
fn what_a_run_asks_for_is_given_or_refused() {
    if skipped_without_root() {
        return;
    }
    let lab = Lab::new(DIALECTS[1]);
    lab.push("acme", "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/24\"\n");
    let container = Container::new();
    let mut config = lab.config();
    // containerd's capital letters. A capability wins over `args`, and `args` over CNI_ARGS.
    config["runtimeConfig"] = json!({"IPs": ["10.20.0.7/24"], "Mac": "02:00:00:00:00:07", "DNS": {"Servers": ["10.96.0.10"], "Searches": ["svc"], "Options": null}});
    config["args"] = json!({"cni": {"ips": ["10.20.0.8"], "mac": "02:00:00:00:00:08"}});
    let mut command = lab.command("ADD", &container);
    command.env("CNI_ARGS", "IgnoreUnknown=1;IP=10.20.0.9;MAC=02:00:00:00:00:09;K8S_POD_NAME=web-0");
    let result = crate::lab::run(command, &config).ok();
    assert_eq!(result["ips"][0]["address"], "10.20.0.7/24");
    assert_eq!(result["interfaces"][1]["mac"], "02:00:00:00:00:07");
    assert_eq!(result["dns"], json!({"nameservers": ["10.96.0.10"], "search": ["svc"]}));

    let other = Container::new();
    let error = lab.run("ADD", &other, &config).error(103);
    assert!(error.to_string().contains(&container.id), "the owner is named: {error}");
    for (address, code) in [("10.20.0.254", 103), ("10.99.0.1", 103), ("2001:db8::1", 103)] {
        config["runtimeConfig"]["IPs"] = json!([address]);
        lab.run("ADD", &other, &config).error(code);
    }
    config["runtimeConfig"] = json!({});
    let result = lab.run("ADD", &other, &config).ok();
    assert_eq!(result["ips"][0]["address"], "10.20.0.8/24");
    lab.run("DEL", &other, &config).ok();
    config["args"] = json!({});
    let mut command = lab.command("ADD", &other);
    command.env("CNI_ARGS", "IP=10.20.0.9;MAC=02:00:00:00:00:09");
    let result = crate::lab::run(command, &config).ok();
    assert_eq!(result["interfaces"][1]["mac"], "02:00:00:00:00:09");
    lab.del(&container);
    lab.del(&other);
    lab.expect_nothing_left(&[&container, &other]);
}

/// A pod with the MAC address of its gateway takes the traffic of all pods to other networks.
#[test]
fn a_pod_does_not_get_the_mac_address_of_a_routers_port() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, first, second) = (Lab::new(dialect), Container::new(), Container::new());
        let address = lab.add(&first)["ips"][0]["gateway"].clone();
        let ports = lab.objects("Port");
        let gateway = ports.iter().find(|port| port["portAddress"] == address).unwrap();
        let mac = gateway["portMac"].as_str().unwrap();
        for form in [mac.to_owned(), mac.to_uppercase()] {
            let mut config = lab.config();
            config["runtimeConfig"] = json!({"mac": form});
            let error = lab.run("ADD", &second, &config).error(103).to_string();
            assert!(error.contains(gateway["id"].as_str().unwrap()), "{error}");
        }
        assert_eq!(lab.objects("Port").len(), ports.len());
        let mut config = lab.config();
        config["runtimeConfig"] = json!({"mac": "02:00:00:00:00:07"});
        let _ = lab.run("ADD", &second, &config).ok();
        lab.del(&first);
        lab.del(&second);
        lab.expect_nothing_left(&[&first, &second]);
    }
}

/// An ADD that finds the objects of an earlier ADD does not remove them when it fails.
#[test]
fn a_failed_repetition_leaves_what_works() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    let result = lab.add(&container);
    let mut config = lab.config();
    config["runtimeConfig"] = json!({"ips": ["192.168.99.99"]});
    lab.run("ADD", &container, &config).error(103);
    lab.fault(&json!({"fault": "unavailable-before", "path": "/**", "times": 0}));
    lab.run("ADD", &container, &lab.config()).error(11);
    lab.clear_faults();
    lab.run("CHECK", &container, &lab.config()).ok();
    assert_eq!(lab.add(&container), result);
    lab.del(&container);
    lab.expect_nothing_left(&[&container]);
}

#[test]
fn a_tenant_s_spec_decides() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        let spec = "name = \"acme\"\nmtu = 1400\nanti_spoof = \"port\"\n\
            dns = { nameservers = [\"10.96.0.10\"], search = [\"acme.svc\"] }\nquotas = { bridges = 2 }\n\
            [[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.20.0.0/29\"\n\
            [[expose]]\npublic = \"203.0.113.10:443\"\nto = { bridge = \"db\", address = \"10.20.0.3\", tcp = 8443 }\n";
        lab.push("acme", spec);
        let container = Container::new();
        let mut config = lab.config();
        config["args"] = json!({"cni": {"bridge": "db"}});
        config["runtimeConfig"] =
            json!({"portMappings": [{"hostPort": 443, "containerPort": 8443, "protocol": "tcp"}]});
        let result = lab.run("ADD", &container, &config).ok();
        assert_eq!(result["ips"][0]["address"], "10.20.0.3/29", "the address that the spec exposes");
        assert_eq!(result["interfaces"][1]["mtu"], 1400);
        assert_eq!(result["dns"], json!({"nameservers": ["10.96.0.10"], "search": ["acme.svc"]}));
        let chains = |lab: &Lab| {
            let named = |chain: &Value| chain["name"].as_str().unwrap().contains(&container.id);
            lab.objects("Chain").iter().filter(|chain| named(chain)).count()
        };
        assert_eq!(chains(&lab), 1, "the port is tied to its address");

        let other = Container::new();
        config["runtimeConfig"]["portMappings"][0]["hostPort"] = json!(80);
        let error = lab.run("ADD", &other, &config).error(7);
        assert!(error.to_string().contains("expose"), "{error}");

        // Three more fit; then the limit of two bridges holds.
        config["runtimeConfig"] = json!({});
        let more: Vec<Container> = (0..4).map(|_| Container::new()).collect();
        for container in &more {
            lab.run("ADD", container, &config).ok();
        }
        let error = lab.run("ADD", &other, &config).error(102);
        assert!(error.to_string().contains("quotas.bridges"), "{error}");
        // The spec's first bridge still has free addresses.
        // (The hosts of the embedded 5.x have no agent.)
        let status = lab.run("STATUS", &other, &config);
        assert!(status.code == 0 || status.error_code() == 51, "{status:?}");
        config["args"]["cni"]["bridge"] = json!("nowhere");
        lab.run("ADD", &other, &config).error(7);
        more.iter().for_each(|container| drop(lab.del(container)));
        lab.del(&container);
        assert_eq!(chains(&lab), 0);
        lab.expect_nothing_left(&[&container, &other]);
        lab.push("broken", "name = \"broken\"\n[[bridge]]\nname = \"a b\"\n");
        config["tenant"] = json!("broken");
        let error = lab.run("ADD", &other, &config).error(101);
        assert!(error.to_string().contains("broken.toml:3"), "{error}");
    }
}

#[test]
fn a_tenant_without_addresses_is_no_good_status() {
    if skipped_without_root() {
        return;
    }
    let lab = Lab::new(DIALECTS[1]);
    lab.push(
        "acme",
        "name = \"acme\"\nquotas = { bridges = 1 }\n[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/29\"\n",
    );
    let containers: Vec<Container> = (0..5).map(|_| Container::new()).collect();
    containers.iter().for_each(|container| drop(lab.add(container)));
    let error = lab.run("STATUS", &containers[0], &lab.config()).error(50);
    assert!(error.to_string().contains("quotas.bridges"), "{error}");
    lab.del(&containers[0]);
    lab.run("STATUS", &containers[0], &lab.config()).ok();
    containers.iter().for_each(|container| drop(lab.del(container)));
    lab.expect_nothing_left(&containers.iter().collect::<Vec<_>>());
}

/// Runs another plugin of a chain, as libcni does.
fn reference(lab: &Lab, verb: &str, container: &Container, plugin: &str, config: &Value) -> Value {
    let mut command = std::process::Command::new(format!("/usr/lib/cni/{plugin}"));
    lab.environment(&mut command, verb, container);
    crate::lab::run(command, config).ok()
}

#[track_caller]
fn expect_ping(container: &Container, address: &str) {
    let mut ping = std::process::Command::new("ip");
    ping.args(["netns", "exec", &container.namespace, "ping", "-c1", "-W2", address]);
    assert!(ping.output().unwrap().status.success(), "{address} can't be reached");
}

/// As the seed's deployments do: `ptp` with `host-local` for the host-access interface, then midonet-cni, then others.
#[test]
fn chained_after_ptp_and_before_others() {
    if skipped_without_root()
        || skipped_without(&["/usr/lib/cni/ptp", "/usr/lib/cni/portmap", "iptables", "ping"])
    {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    let subnet = format!("10.{}.0.0/24", 100 + std::process::id() % 40);
    let base = json!({"cniVersion": "1.0.0", "name": "lab"});
    let with = |more: Value, previous: &Value| {
        let mut config = base.clone();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config["prevResult"] = previous.clone();
        config
    };
    let ptp = json!({"type": "ptp", "ipam": {"type": "host-local", "dataDir": lab.path("ipam"), "subnet": subnet, "routes": [{"dst": "0.0.0.0/0"}]}});
    let mut first = with(ptp, &Value::Null);
    first.as_object_mut().unwrap().remove("prevResult");
    let one = reference(&lab, "ADD", &container, "ptp", &first);
    let mut own = lab.config();
    own["cniVersion"] = json!("1.0.0");
    own["prevResult"] = one.clone();
    let two = lab.run("ADD", &container, &own).ok();
    assert_eq!(container.interfaces(), ["eth1", "eth0"]);
    let names: Vec<&str> = two["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|interface| interface["name"].as_str().unwrap())
        .collect();
    assert_eq!((names.len(), names[1], names[3]), (4, "eth1", "eth0"));
    assert_eq!(two["ips"].as_array().unwrap().len(), 2, "prevResult is passed on");
    let default = container.ip(&["-4", "route", "show", "default"]);
    assert_eq!((default.as_array().unwrap().len(), &default[0]["dev"]), (1, &json!("eth0")));
    let old = container.ip(&["-4", "address", "show", "eth1"]);
    assert_eq!(
        old[0]["addr_info"][0]["local"],
        one["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap()
    );
    expect_ping(&container, one["ips"][0]["gateway"].as_str().unwrap());

    let tuning = json!({"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}});
    let three = reference(&lab, "ADD", &container, "tuning", &with(tuning.clone(), &two));
    let portmap = json!({"type": "portmap", "runtimeConfig": {"portMappings": [{"hostPort": 18099, "containerPort": 80, "protocol": "tcp"}]}});
    let four = reference(&lab, "ADD", &container, "portmap", &with(portmap.clone(), &three));
    let bandwidth = json!({"type": "bandwidth", "ingressRate": 1_000_000, "ingressBurst": 1_000_000});
    let five = reference(&lab, "ADD", &container, "bandwidth", &with(bandwidth.clone(), &four));
    own["prevResult"] = five.clone();
    lab.run("CHECK", &container, &own).ok();
    own["prevResult"] = one.clone();
    assert_eq!(lab.run("ADD", &container, &own).ok(), two, "again");

    for (plugin, config) in [("bandwidth", bandwidth), ("portmap", portmap), ("tuning", tuning)] {
        reference(&lab, "DEL", &container, plugin, &with(config, &five));
    }
    own["prevResult"] = five;
    lab.run("DEL", &container, &own).ok();
    assert_eq!(container.interfaces(), ["eth0"], "ptp's interface has its name again");
    reference(&lab, "DEL", &container, "ptp", &first);
    lab.expect_nothing_left(&[&container]);
}

#[test]
fn the_go_plugin_s_configuration_makes_its_layout() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, container) = (Lab::new(dialect), Container::new());
        let provider = lab.make_provider_router();
        let legacy = json!({
            "cniVersion": "0.2.0", "name": "midonet-cni", "type": "midonet-cni", "mtu": 1430,
            "log_path": lab.path("log"), "log_level": "debug", "veth_ctrl_type": "shell",
            "midonet_router_cidr": "172.16.0.0/24", "midonet_bridge_cidr": "192.168.0.0/24",
            "midonet_host_uuid": HOST,
            "ipam": {"type": "etcd", "route": [{"net": "10.96.0.0", "netmask": "255.240.0.0", "gw": "192.168.0.253"}]},
            "midonet_api": {"url": lab.base_url, "version": dialect.0, "provider_router_id": provider},
            "etcd_conf": {"urls": []}, "state_dir": lab.path("state"),
        });
        lab.add_host_to_tunnel_zone();
        container.add_stranger("eth0");
        let mut command = lab.command("ADD", &container);
        command.env(
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=tenant1;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=x",
        );
        let result = crate::lab::run(command, &legacy).ok();
        let address = result["ip4"]["ip"].as_str().unwrap();
        assert!(address.starts_with("192.168.0.") && address.ends_with("/24"), "{address}");
        assert_eq!(result["ip4"]["gateway"], "192.168.0.254");
        assert_eq!(container.interfaces(), ["eth1", "eth0"]);
        assert_eq!(container.ip(&["link", "show", "eth0"])[0]["mtu"], 1430);
        let extra = container.ip(&["-4", "route", "show", "10.96.0.0/12"]);
        assert_eq!(extra[0]["gateway"], "192.168.0.253");
        let names: Vec<Value> = lab.objects("Network").iter().map(|bridge| bridge["name"].clone()).collect();
        assert_eq!(names, ["tenant1 bridge0"]);
        let log = lab.log();
        assert!(log.contains("veth_ctrl_type") && log.contains("\"tenant\":\"tenant1\""), "{log}");
        let mut command = lab.command("DEL", &container);
        command.env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=tenant1");
        crate::lab::run(command, &legacy).ok();
        assert_eq!(container.interfaces(), ["eth0"]);
        assert_eq!((lab.bound_ports().len(), lab.held_addresses()), (0, 0));
    }
}

#[test]
fn an_interface_of_somebody_else_is_no_way_to_begin() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    container.add_stranger("eth0");
    lab.run("ADD", &container, &lab.config()).error(4);
    assert_eq!(container.interfaces(), ["eth0"], "{}", lab.log());
    assert_eq!((lab.bound_ports().len(), lab.held_addresses(), lab.stray_ports().len()), (0, 0, 0));
    lab.del(&container);
    assert_eq!(container.interfaces(), ["eth0"], "what the plugin did not make stays");
}

#[test]
fn a_namespace_may_be_a_process_or_a_descriptor() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    let mut process = std::process::Command::new("ip")
        .args(["netns", "exec", &container.namespace, "sleep", "60"])
        .spawn()
        .unwrap();
    // `ip` has to be in the namespace first.
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    while std::fs::read_link(format!("/proc/{}/ns/net", process.id())).is_ok_and(|of| of == own) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut command = lab.command("ADD", &container);
    command.env("CNI_NETNS", process.id().to_string());
    crate::lab::run(command, &lab.config()).ok();
    assert_eq!(container.interfaces(), ["eth0"]);
    process.kill().unwrap();
    process.wait().unwrap();

    let script = format!("exec 9<{}; CNI_NETNS=fd:9 exec {}", container.path(), crate::PLUGIN);
    let mut command = std::process::Command::new("sh");
    lab.environment(&mut command, "DEL", &container);
    command.args(["-c", &script]);
    crate::lab::run(command, &lab.config()).ok();
    lab.expect_nothing_left(&[&container]);
}

/// The address is announced: a gratuitous ARP leaves the host's end, and the sysctl is set.
#[test]
fn the_address_is_announced() {
    if skipped_without_root() || skipped_without(&["python3"]) {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    let listen = "import socket,sys\n\
        s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(0x806))\n\
        s.settimeout(60)\nprint('ready',flush=True)\n\
        while True:\n  f=s.recv(100)\n  \
        if f[28:32]==f[38:42]: print(socket.inet_ntoa(f[28:32]),flush=True)\n";
    let mut listener = std::process::Command::new("python3")
        .args(["-c", listen])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::BufRead as _;
    let mut lines = std::io::BufReader::new(listener.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let result = lab.add(&container);
    let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    assert!(lines.map_while(Result::ok).any(|line| line == address), "no gratuitous ARP of {address}");
    listener.kill().unwrap();
    listener.wait().unwrap();
    let parameter = ["netns", "exec", &container.namespace, "cat", "/proc/sys/net/ipv4/conf/eth0/arp_notify"];
    assert_eq!(ip(&parameter).trim(), "1");
    lab.del(&container);
}

/// etcd over TLS, from the site that the configuration names: with the right certificates, and with others.
#[test]
fn etcd_is_reached_over_tls() {
    if skipped_without_root() || skipped_without(&["etcd", "openssl"]) {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]).on_etcd_over_tls(), Container::new());
    lab.add(&container);
    lab.run("CHECK", &container, &lab.config()).ok();
    lab.del(&container);
    lab.expect_nothing_left(&[&container]);
    let site = lab.folder.read("site.toml");
    for (from, to) in [("ca.pem", "client.pem"), ("cert = ", "# cert = ")] {
        let site = site.replace(from, to);
        lab.folder
            .write("site.toml", if from == "cert = " { site.replace("key = ", "# key = ") } else { site });
        let started = std::time::Instant::now();
        let error = lab.run("ADD", &container, &lab.config());
        assert!([11, 107].contains(&error.error_code()), "{error:?}");
        assert!(error.stdout.contains("certificate") || error.stdout.contains("Certificate"), "{error:?}");
        assert!(started.elapsed() < std::time::Duration::from_secs(10));
    }
    lab.folder.write("site.toml", site);
    lab.expect_nothing_left(&[&container]);
}
