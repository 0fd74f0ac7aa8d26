//! DEL and GC do what they can, whatever else is wrong.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::lab::{Container, DIALECTS, HOST, Lab, Ran, ip, run, skipped_without_root, started};

/// Parameters that make ADD fail.
fn wrong_parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("runtimeConfig", json!({"ips": ["x"]})),
        ("runtimeConfig", json!({"ips": 7})),
        ("runtimeConfig", json!({"mac": "x"})),
        ("runtimeConfig", json!({"mac": ["02:00:00:00:00:01"]})),
        ("runtimeConfig", json!({"dns": "x"})),
        ("runtimeConfig", json!({"portMappings": [{"hostPort": 80}]})),
        ("runtimeConfig", json!({"portMappings": [{"hostPort": 70_000, "containerPort": 80}]})),
        ("runtimeConfig", json!({"portMappings": "80"})),
        ("runtimeConfig", json!("x")),
        ("args", json!({"cni": {"ips": [null]}})),
        ("args", json!({"cni": {"mac": 7}})),
        ("args", json!({"cni": {"tenant": []}})),
        ("args", json!({"cni": 7})),
        ("mtu", json!(1)),
        ("mtu", json!("1500")),
        ("dns", json!(7)),
        ("dns", json!({"nameservers": "x"})),
        ("routes", json!("x")),
        ("routes", json!([{"dst": "10.0.0.0/8", "via": "x"}])),
        ("timeout", json!(0)),
        ("timeout", json!("3")),
        ("add_timeout", json!(-1)),
        ("prevResult", json!("x")),
        ("prevResult", json!({"cniVersion": "9.0.0"})),
        ("prevResult", json!({"cniVersion": "1.0.0", "ips": [{"address": 7}]})),
        ("tenant", json!(7)),
        ("bridge", json!([])),
        ("profile", json!("x")),
        ("rename_existing", json!("yes")),
        ("log_file", json!(7)),
        ("log_file", json!("relative")),
        ("log_level", json!(7)),
        ("login", json!({"user": "x"})),
        ("login_file", json!("/nowhere/login")),
        ("etcd_login", json!(7)),
    ]
}

const WRONG_ARGUMENTS: [&str; 5] =
    ["IP=x", "MAC=x", "X=1", "K8S_POD_NAME", "K8S_POD_NAMESPACE=acme;IP=10.0.0.300"];

/// A wrong parameter makes ADD fail. DEL detaches nevertheless.
#[test]
fn a_wrong_parameter_does_not_keep_a_container() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    for (key, value) in wrong_parameters() {
        lab.add(&container);
        let mut config = lab.config();
        config[key] = value.clone();
        let add = lab.run("ADD", &container, &config);
        assert_ne!(add.code, 0, "{key} {value}");
        let del = lab.run("DEL", &container, &config);
        assert_eq!(del.code, 0, "{key} {value}: {del:?}");
        lab.expect_nothing_left(&[&container]);
    }
    for arguments in WRONG_ARGUMENTS {
        lab.add(&container);
        let of = |verb: &str| {
            let mut command = lab.command(verb, &container);
            command.env("CNI_ARGS", arguments);
            run(command, &lab.config())
        };
        assert_ne!(of("ADD").code, 0, "{arguments}");
        of("DEL").ok();
        lab.expect_nothing_left(&[&container]);
    }
}

/// GC detaches nevertheless as well.
#[test]
fn a_wrong_parameter_does_not_stop_gc() {
    if skipped_without_root() {
        return;
    }
    let (lab, kept, gone) = (Lab::new(DIALECTS[1]), Container::new(), Container::new());
    lab.add(&kept);
    for (key, value) in wrong_parameters() {
        lab.add(&gone);
        let mut config = lab.config();
        config["cni.dev/valid-attachments"] = json!([{"containerID": kept.id, "ifname": "eth0"}]);
        config[key] = value.clone();
        let gc = lab.run("GC", &kept, &config);
        assert_eq!(gc.code, 0, "{key} {value}: {gc:?}");
        assert_eq!((lab.held_addresses(), gone.interfaces().len()), (1, 0), "{key} {value}");
    }
    lab.run("CHECK", &kept, &lab.config()).ok();
}

/// A list that is null or missing removes nothing. An empty one removes everything.
#[test]
fn gc_without_a_list_removes_nothing() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    lab.add(&container);
    lab.run("GC", &container, &lab.config()).error(7);
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        let mut config = lab.config();
        config[key] = json!(null);
        lab.run("GC", &container, &config).error(7);
        config["cni.dev/attachments"] = json!([]);
        config["cni.dev/valid-attachments"] = json!(null);
        lab.run("GC", &container, &config).error(7);
    }
    lab.run("CHECK", &container, &lab.config()).ok();
    let mut config = lab.config();
    config["cni.dev/valid-attachments"] = json!([]);
    lab.run("GC", &container, &config).ok();
    lab.expect_nothing_left(&[&container]);
}

/// Returns those interfaces of the plugin's own namespace that no test makes.
fn own_interfaces() -> Vec<String> {
    let links: Value = serde_json::from_str(&ip(&["-j", "link", "show"])).unwrap();
    let names = links.as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned());
    names.filter(|name| ["lo", "eth0", "eth1"].contains(&name.as_str())).collect()
}

/// DEL with a namespace that is the plugin's own, that is none, or that is of another kind: it does nothing there, and
/// detaches.
#[test]
fn del_leaves_a_namespace_alone_that_is_not_the_container_s() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    lab.folder.write("file", "");
    let pipe = lab.path("pipe").display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let file = lab.path("file").display().to_string();
    let below = format!("{file}/x");
    let long = format!("/{}", "x".repeat(5000));
    let folder = lab.folder.path().display().to_string();
    let paths = [
        "/proc/self/ns/net",
        "/proc/thread-self/ns/net",
        "/proc/self/ns/mnt",
        "/proc/self/ns/uts",
        "/proc/1/ns/pid",
        "/proc/999999999/ns/net",
        "/dev/zero",
        "relative",
        "fd:77",
        &pipe,
        &file,
        &below,
        &folder,
        &long,
    ];
    let before = own_interfaces();
    for path in paths {
        lab.add(&container);
        let mut command = lab.command("DEL", &container);
        command.env("CNI_NETNS", path);
        let ran = run(command, &lab.config());
        assert_eq!(ran.code, 0, "{path}: {ran:?}");
        lab.expect_nothing_left(&[&container]);
        assert_eq!(own_interfaces(), before, "{path}");
        for verb in ["ADD", "CHECK"] {
            let mut command = lab.command(verb, &container);
            command.env("CNI_NETNS", path);
            assert_ne!(run(command, &lab.config()).code, 0, "{verb} {path}");
        }
    }
}

/// DEL of one container with the namespace of another one, which has an interface that was renamed.
#[test]
fn del_changes_nothing_in_the_namespace_of_another_container() {
    if skipped_without_root() {
        return;
    }
    for lab in Lab::each() {
        let (one, other) = (Container::new(), Container::new());
        let mut config = lab.config();
        config["rename_existing"] = json!(true);
        other.add_stranger("eth0");
        lab.run("ADD", &other, &config).ok();
        // The name is free now, and the interface that had it is the other container's.
        ip(&["-n", &other.namespace, "link", "set", "eth0", "down"]);
        ip(&["-n", &other.namespace, "link", "set", "eth0", "name", "moved"]);
        let before = other.interfaces();
        lab.run("ADD", &one, &config).ok();
        let mut command = lab.command("DEL", &one);
        command.env("CNI_NETNS", other.path());
        run(command, &config).ok();
        assert_eq!(other.interfaces(), before);
        assert_eq!(one.interfaces(), Vec::<String>::new());
        assert_eq!((lab.held_addresses(), lab.bound_ports().len()), (1, 1));
        lab.run("DEL", &other, &config).ok();
        lab.expect_nothing_left(&[&one]);
        assert_eq!(other.interfaces(), ["eth0"], "its own DEL restores the name");
    }
}

/// Whatever the log file is named, standard output has only the result, and standard input is not written.
#[test]
fn the_log_never_goes_to_standard_output() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    let link = lab.path("link");
    std::os::unix::fs::symlink("/dev/stdout", &link).unwrap();
    let (second, pipe) = (lab.path("second"), lab.path("pipe"));
    std::os::unix::fs::symlink(&link, &second).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let out = lab.path("out");
    let names = [
        json!("/dev/stdout"),
        json!("/proc/self/fd/1"),
        json!("/dev/fd/1"),
        json!("/proc/thread-self/fd/1"),
        json!("/proc/self/../self/fd/1"),
        json!("/dev/stdin"),
        json!("/proc/self/fd/0"),
        json!("/proc/self/fd/9"),
        json!(link),
        json!(second),
        json!(pipe),
        json!(out),
        json!("/dev/stderr"),
    ];
    for name in names {
        let mut config = lab.config();
        config["log_file"] = name.clone();
        // A pipe, and a file. Descriptor 9 is standard output as well.
        for verb in ["ADD", "DEL"] {
            let mut command = Command::new("sh");
            lab.environment(&mut command, verb, &container);
            command.args(["-c", &format!("exec 9>&1; exec {}", crate::PLUGIN)]);
            let ran = Ran::from(started(command, config.to_string().as_bytes()));
            assert_eq!(ran.code, 0, "{name}: {ran:?}");
            check_result(verb, &ran.stdout, &name);
        }
        lab.folder.write("in", config.to_string());
        for verb in ["ADD", "DEL"] {
            let mut command = lab.command(verb, &container);
            command.stdin(std::fs::File::open(lab.path("in")).unwrap());
            command.stdout(std::fs::File::create(&out).unwrap()).stderr(Stdio::null());
            assert!(command.status().unwrap().success(), "{name}");
            check_result(verb, &lab.folder.read("out"), &name);
            assert_eq!(lab.folder.read("in"), config.to_string(), "{name}");
        }
    }
    assert!(link.is_symlink() && std::path::Path::new("/dev/stdout").exists());
}

#[track_caller]
fn check_result(verb: &str, output: &str, name: &Value) {
    if verb == "DEL" {
        assert_eq!(output, "", "{name}");
        return;
    }
    let result: Value =
        serde_json::from_str(output).unwrap_or_else(|error| panic!("{name}: {error}: {output}"));
    assert!(result["interfaces"].is_array(), "{name}: {result}");
}

/// A relative path is an error for every verb that uses it, and nothing is made.
#[test]
fn a_relative_path_is_an_error() {
    let folder = midoform_testutil::TestFolder::default();
    let config = json!({
        "cniVersion": "1.1.0", "name": "lab", "type": "midonet-cni", "host_uuid": HOST, "tenant": "acme",
        "state_dir": "state",
        "cni.dev/valid-attachments": [],
        "site": {"name": "lab", "midonet": {"url": "http://127.0.0.1:1/midonet-api", "version": 5, "managed": true}},
    });
    for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
        let mut command = Command::new(crate::PLUGIN);
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
        command.env("CNI_NETNS", "/nowhere").current_dir(folder.path());
        let error = Ran::from(started(command, config.to_string().as_bytes())).error(7);
        assert!(error.to_string().contains("absolute"), "{verb}: {error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
