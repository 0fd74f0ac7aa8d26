//! Tests that need no container: versions, help, errors. Standard output carries one document, or nothing.

use std::process::Command;

use serde_json::{Value, json};

use crate::PLUGIN;
use crate::lab::{HOST, Ran, started};

fn plugin(environment: &[(&str, &str)], input: &str) -> Ran {
    let mut command = Command::new(PLUGIN);
    command.env_clear().envs(environment.iter().copied());
    started(command, input.as_bytes()).into()
}

fn verb(verb: &str, config: &Value) -> Ran {
    let environment = [
        ("CNI_COMMAND", verb),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/nowhere"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/nowhere"),
    ];
    plugin(&environment, &config.to_string())
}

/// Returns a correct configuration. Nothing listens at its addresses.
fn config() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "lab",
        "type": "midonet-cni",
        "host_uuid": HOST,
        "tenant": "acme",
        "state_dir": "/nowhere/state",
        "site": {
            "name": "lab",
            "midonet": {"url": "http://127.0.0.1:1/midonet-api", "version": 5, "managed": true},
        },
    })
}

#[test]
fn version_is_answered_whatever_comes() {
    let all = json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    for (input, shown) in [("", "1.1.0"), ("{\"cniVersion\": \"0.3.1\"}", "0.3.1"), ("no JSON", "1.1.0")] {
        let answer = plugin(&[("CNI_COMMAND", "VERSION"), ("CNI_NETNS", "dummy")], input).ok();
        assert_eq!(answer, json!({"cniVersion": shown, "supportedVersions": all}));
    }
}

#[test]
fn without_a_verb_it_says_what_it_is() {
    let ran = plugin(&[], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("CNI plugin"), "{}", ran.stderr);
    for (argument, word) in [("--version", env!("CARGO_PKG_VERSION")), ("--help", "docs/cni.md")] {
        let output = Command::new(PLUGIN).arg(argument).output().unwrap();
        assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains(word));
    }
    assert_eq!(Command::new(PLUGIN).arg("--frob").output().unwrap().status.code(), Some(64));
}

#[test]
fn wrong_input_is_refused_with_the_specification_s_codes() {
    plugin(&[("CNI_COMMAND", "FROB")], "{}").error(4);
    verb("ADD", &json!("text")).error(6);
    plugin(&[("CNI_COMMAND", "ADD")], "{").error(6);
    plugin(&[("CNI_COMMAND", "ADD")], "").error(6);
    let mut other = config();
    other["cniVersion"] = json!("9.9.9");
    verb("ADD", &other).error(1);
    for (name, version) in [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")] {
        other["cniVersion"] = json!(version);
        let error = verb(name, &other).error(1);
        assert_eq!(error["cniVersion"], version);
    }
    // A namespace that is not there: ADD fails, and knows nothing of the container.
    verb("ADD", &config()).error(3);
}

#[test]
fn a_wrong_configuration_names_the_key() {
    let cases: &[(&str, Value, &str)] = &[
        ("name", json!(""), "name"),
        ("site", Value::Null, "site"),
        ("site", json!("/nowhere/site.toml"), "site"),
        ("site", json!({"name": "lab"}), "midonet"),
        ("site", json!({"name": "lab", "midonet": {"embedded": true, "managed": true}}), "midoform serve"),
        ("site", json!({"name": "lab", "midonet": {"url": "ftp://x", "managed": true}}), "is not an http://"),
        ("host_uuid", json!("x"), "host_uuid"),
        ("tenant", json!(7), "tenant"),
        ("mtu", json!(-1), "mtu"),
        ("mtu", json!(1455), "1454"),
        ("routes", json!([{"dst": "x"}]), "routes"),
        ("routes", json!([{"dst": "10.0.0.0/08"}]), "routes"),
        ("routes", json!([{"dst": "010.0.0.0/8"}]), "routes"),
        ("routes", json!([{"dst": "10.0.0.0/8", "via": "x"}]), "routes"),
        ("login", json!({"user": "x"}), "login"),
        ("login_file", json!("/nowhere/login"), "login_file"),
        ("profile", json!("x"), "profile"),
        ("timeout", json!(0), "timeout"),
        ("dns", json!({"nameservers": 5}), "dns"),
        ("runtimeConfig", json!({"mac": "x"}), "runtimeConfig.mac"),
        ("runtimeConfig", json!({"ips": ["x"]}), "runtimeConfig.ips"),
        ("runtimeConfig", json!(7), "runtimeConfig"),
        ("args", json!({"cni": {"mac": "x"}}), "args.cni.mac"),
        ("args", json!("x"), "args"),
        ("state_dir", json!("state"), "state_dir"),
        ("state_dir", json!("./state"), "state_dir"),
        ("store", json!("store.db"), "store"),
        ("log_file", json!("log"), "log_file"),
        ("site", json!("site.toml"), "site"),
        ("login_file", json!("../login"), "login_file"),
        ("etcd_login_file", json!("~/login"), "etcd_login_file"),
    ];
    for (key, value, word) in cases {
        let mut config = config();
        config[*key] = value.clone();
        let error = verb("ADD", &config).error(7);
        assert!(error.to_string().contains(word), "{key}: {error}");
    }
    let mut nobody = config();
    nobody.as_object_mut().unwrap().remove("host_uuid");
    let error = verb("DEL", &nobody).error(7);
    assert!(error.to_string().contains("host_uuid.properties"), "{error}");
}

#[test]
fn what_del_needs_is_checked_for_it() {
    for (key, value) in [
        ("name", json!("")),
        ("name", json!(7)),
        ("site", json!("/nowhere/site.toml")),
        ("site", json!("site.toml")),
        ("host_uuid", json!("x")),
        ("state_dir", json!("state")),
        ("state_dir", json!(7)),
        ("store", json!("store.db")),
    ] {
        let mut config = config();
        config[key] = value;
        let error = verb("DEL", &config).error(7);
        assert!(error.to_string().contains(key), "{key}: {error}");
    }
}

#[test]
fn gc_needs_a_list_of_attachments() {
    let error = verb("GC", &config()).error(7);
    assert!(error.to_string().contains("valid-attachments"), "{error}");
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        for list in [json!(null), json!(5), json!({}), json!([null]), json!([{"containerID": "c1"}])] {
            let mut config = config();
            config[key] = list;
            let error = verb("GC", &config).error(7);
            assert!(error.to_string().contains("attachments"), "{error}");
        }
    }
    let mut unclear = config();
    unclear["cni.dev/valid-attachments"] = json!([]);
    unclear["disableGC"] = json!("yes");
    let error = verb("GC", &unclear).error(7);
    assert!(error.to_string().contains("disableGC"), "{error}");
}

#[test]
fn secrets_are_never_shown() {
    let folder = midoform_testutil::TestFolder::default();
    let mut config = config();
    config["login"] = json!({"username": "admin", "password": "geheim", "project": "p"});
    config["log_level"] = json!("trace");
    config["state_dir"] = json!(folder.path());
    let ran = verb("STATUS", &config);
    assert!(!format!("{ran:?}").contains("geheim"), "{ran:?}");
    ran.error(50);
    folder.write("login.json", "{\"username\": \"admin\", \"password\": geheim}");
    config.as_object_mut().unwrap().remove("login");
    config["login_file"] = json!(folder.path().join("login.json"));
    let ran = verb("STATUS", &config);
    assert!(!format!("{ran:?}").contains("geheim"), "{ran:?}");
    ran.error(7);
}

#[test]
fn the_plugin_s_own_namespace_is_refused_before_anything_is_done() {
    for name in ["ADD", "CHECK"] {
        let environment = [
            ("CNI_COMMAND", name),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", "/proc/self/ns/net"),
            ("CNI_IFNAME", "eth0"),
        ];
        let error = plugin(&environment, &config().to_string()).error(4);
        assert!(error.to_string().contains("own network namespace"), "{error}");
    }
}

#[test]
fn the_go_plugin_s_configuration_is_taken_as_it_stands() {
    let mut legacy = json!({
        "cniVersion": "0.2.0",
        "name": "midonet-cni",
        "type": "midonet-cni",
        "log_level": "debug",
        "mtu": 1454,
        "veth_ctrl_type": "shell",
        "midonet_router_cidr": "172.16.0.0/24",
        "midonet_bridge_cidr": "192.168.0.0/24",
        "midonet_host_uuid": HOST,
        "ipam": {"type": "etcd", "route": [{"net": "10.96.0.0", "netmask": "255.240.0.0", "gw": "192.168.0.254"}]},
        "midonet_api": {
            "url": "http://127.0.0.1:1/midonet-api", "user_name": "admin", "password": "geheim", "project_id": "admin",
            "provider_router_id": HOST, "version": 5,
            "keystone_conf": {"url": "http://127.0.0.1:35357/v2.0", "token": "geheim"}
        },
        "etcd_conf": {"urls": [], "timeout": 10},
    });
    // The tenant comes from the pod; here there is none.
    let ran = verb("ADD", &legacy);
    let shown = format!("{ran:?}");
    for word in ["Go plugin's configuration", "veth_ctrl_type", "keystone_conf", "etcd_conf.timeout"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(!shown.contains("geheim"), "{shown}");
    ran.error(3);
    for (key, value, word) in [
        ("midonet_bridge_cidr", json!("192.168.0.0/33"), "midonet_bridge_cidr"),
        ("log_path", json!("log"), "log_path"),
        ("midonet_host_uuid", json!("x"), "midonet_host_uuid"),
        ("ipam", json!({"type": "host-local"}), "ipam.type"),
        (
            "ipam",
            json!({"type": "etcd", "route": [{"net": "10.0.0.0", "netmask": "255.0.255.0"}]}),
            "ipam.route",
        ),
        ("midonet_api", json!({"version": 5}), "midonet_api"),
        ("midonet_api", json!({"url": "http://x", "provider_router_id": "x"}), "UUID"),
    ] {
        let mut wrong = legacy.clone();
        wrong[key] = value;
        let error = verb("ADD", &wrong).error(7);
        assert!(error.to_string().contains(word), "{key}: {error}");
    }
    legacy["midonet_api"]["version"] = json!(3);
    verb("DEL", &legacy).error(7);
}

/// A login in the URL of a member of etcd is refused before anything is called, and not repeated.
#[test]
fn an_endpoint_of_etcd_with_a_login_is_wrong() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    for endpoint in [
        format!("http://u:hunter2@{address}"),
        format!("u:hunter2@{address}"),
        format!("http://{address}?x=hunter2"),
        format!("http://{address},http://u:hunter2@{address}"),
    ] {
        let mut native = config();
        native["site"]["etcd"] = json!({"endpoints": [endpoint]});
        let go = json!({
            "cniVersion": "0.3.1", "name": "lab", "type": "midonet-cni", "midonet_host_uuid": HOST,
            "midonet_api": {"url": "http://127.0.0.1:1/midonet-api", "provider_router_id": HOST},
            "etcd_conf": {"urls": [endpoint]}, "state_dir": "/nowhere/state",
        });
        for config in [native, go] {
            for name in ["ADD", "DEL"] {
                let error = verb(name, &config).error(7);
                assert!(!error.to_string().contains("hunter2"), "{error}");
                assert!(error.to_string().contains("etcd"), "{error}");
            }
        }
    }
    assert!(listener.accept().is_err(), "the plugin has connected to the endpoint");
}

#[test]
fn the_go_plugin_s_networks_have_no_leading_zeros() {
    let go = |key: &str, value: &str| {
        let mut config = json!({
            "cniVersion": "0.3.1", "name": "lab", "type": "midonet-cni", "midonet_host_uuid": HOST,
            "midonet_api": {"url": "http://127.0.0.1:1/midonet-api", "provider_router_id": HOST},
            "state_dir": "/nowhere/state",
        });
        match key {
            "netmask" => {
                config["ipam"] = json!({"type": "etcd", "route": [{"net": "10.96.0.0", "netmask": value}]});
            }
            key => config[key] = json!(value),
        }
        config
    };
    for (key, value) in [
        ("midonet_router_cidr", "172.016.0.0/24"),
        ("midonet_router_cidr", "172.16.0.0/024"),
        ("midonet_bridge_cidr", "192.168.0.0/024"),
        ("midonet_bridge_cidr", "192.168.00.0/24"),
        ("netmask", "016"),
        ("netmask", "/016"),
        ("netmask", "255.240.000.0"),
    ] {
        let error = verb("ADD", &go(key, value)).error(7);
        assert!(error.to_string().contains(value), "{key} = {value}: {error}");
    }
}
