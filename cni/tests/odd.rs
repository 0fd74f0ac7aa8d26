//! Unusual situations that the plugin must handle: odd input, two networks that meet, races, a full disk.

use std::process::Command;

use serde_json::{Value, json};

use crate::lab::{Container, DIALECTS, HOST, Lab, Ran, run, skipped_without_root, started};

/// A name can be a part of keys and labels. A name that the specification does not allow is refused, and the error
/// names the key.
#[test]
fn names_and_addresses_that_nothing_can_have_are_refused() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    for name in ["a/b", "-a", "a b", &"n".repeat(257)] {
        let mut config = lab.config();
        config["name"] = json!(name);
        let error = lab.run("ADD", &container, &config).error(7);
        assert!(error["msg"].as_str().unwrap().contains("`name`"), "{error}");
    }
    for mac in ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00"] {
        let mut command = lab.command("ADD", &container);
        command.env("CNI_ARGS", format!("MAC={mac}"));
        run(command, &lab.config()).error(4);
        let mut config = lab.config();
        config["runtimeConfig"] = json!({"mac": mac});
        lab.run("ADD", &container, &config).error(7);
    }
    assert!(lab.store().is_empty(), "nothing was touched");
    let mut long = lab.config();
    long["name"] = json!("n".repeat(100));
    long["tenant"] = json!("t".repeat(63));
    lab.run("ADD", &container, &long).ok();
    lab.run("CHECK", &container, &long).ok();
    lab.run("DEL", &container, &long).ok();
    lab.expect_nothing_left(&[&container]);
}

/// A result of an earlier plugin that is large, or makes no sense.
#[test]
fn a_previous_result_may_be_huge_and_is_no_reason_to_keep_a_container() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    let mut config = lab.config();
    let interfaces: Vec<Value> =
        (0..20_000).map(|at| json!({"name": format!("x{at}"), "sandbox": "/s"})).collect();
    let ips: Vec<Value> = (0..20_000)
        .map(|at| json!({"address": format!("10.{}.{}.1/24", at / 250, at % 250), "interface": at}))
        .collect();
    config["prevResult"] = json!({"cniVersion": "1.1.0", "interfaces": interfaces, "ips": ips});
    let result = lab.run("ADD", &container, &config).ok();
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 20_002);
    assert_eq!(result["ips"][20_000]["interface"], 20_001);
    lab.run("DEL", &container, &config).ok();
    for nonsense in
        [json!({"ips": "no"}), json!({"ips": [{"address": "10.0.0.1/24", "interface": 99}]}), json!(7)]
    {
        config.as_object_mut().unwrap().remove("prevResult");
        lab.run("ADD", &container, &config).ok();
        config["prevResult"] = nonsense;
        lab.run("ADD", &container, &config).error(6);
        lab.run("DEL", &container, &config).ok();
        lab.expect_nothing_left(&[&container]);
    }
}

/// The same interface of the same container through another network is refused, and the first one keeps working.
#[test]
fn two_networks_do_not_take_each_other_s_interfaces() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, container, other) = (Lab::new(dialect), Container::new(), Container::new());
        let mut second = lab.config();
        second["name"] = json!("second");
        lab.add(&container);
        lab.run("ADD", &container, &second).error(4);
        lab.run("CHECK", &container, &lab.config()).ok();
        let ran = lab.run("DEL", &container, &second);
        assert_ne!(ran.code, 0, "{ran:?}");
        lab.run("CHECK", &container, &lab.config()).ok();
        // Two configurations with one name in two files are one network.
        lab.run("ADD", &other, &lab.config()).ok();
        lab.del(&other);
        lab.del(&container);
        lab.expect_nothing_left(&[&container, &other]);
    }
}

/// A store is lost, by hand or in a power failure. The objects of a container that the API still has are no obstacle.
#[test]
fn a_port_that_the_store_knows_nothing_of_goes() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    let forget = || {
        for file in ["store.db", "store.db-wal", "store.db-shm"] {
            let _ = std::fs::remove_file(lab.path("state").join(file));
        }
    };
    lab.add(&container);
    forget();
    lab.add(&container);
    lab.run("CHECK", &container, &lab.config()).ok();
    assert_eq!((lab.bound_ports().len(), lab.stray_ports().len()), (1, 0));
    forget();
    lab.del(&container);
    lab.expect_nothing_left(&[&container]);
}

/// One store for two sites: the error says so.
#[test]
fn another_site_s_store_is_told_of() {
    if skipped_without_root() {
        return;
    }
    let (lab, other, container) = (Lab::new(DIALECTS[1]), Lab::new(DIALECTS[1]), Container::new());
    let first = Container::new();
    lab.add(&first);
    let mut config = other.config();
    config["state_dir"] = lab.config()["state_dir"].clone();
    let error = other.run("ADD", &container, &config).error(101);
    assert!(error.to_string().contains("another site's"), "{error}");
    lab.del(&first);
    lab.expect_nothing_left(&[&first, &container]);
}

/// ADD and DEL of one container run at once, many times. Either order is correct, and a last DEL leaves nothing.
#[test]
fn add_races_del_of_the_same_container() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, container) = (Lab::new(dialect), Container::new());
        let start = |verb: &str| lab.start(verb, &container, &lab.config());
        for _ in 0..10 {
            let children: Vec<_> = ["ADD", "DEL", "ADD", "DEL"].into_iter().map(start).collect();
            for child in children {
                let _ = Ran::from(child).ok();
            }
        }
        lab.add(&container);
        lab.run("CHECK", &container, &lab.config()).ok();
        lab.del(&container);
        lab.expect_nothing_left(&[&container]);
    }
}

/// A MAC address that another pod or a static port of the bridge has is refused, and the error names the holder.
#[test]
fn a_mac_address_belongs_to_one_pod_of_a_bridge() {
    if skipped_without_root() {
        return;
    }
    for lab in Lab::each() {
        let (one, other) = (Container::new(), Container::new());
        lab.push(
            "acme",
            "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/24\"\n[[port]]\nname = \"vm\"\n\
             bridge = \"web\"\nhost = \"node0\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:09\"\naddress = \"10.20.0.9\"\n",
        );
        let with_mac = |container: &Container, mac: &str| {
            let mut config = lab.config();
            config["runtimeConfig"] = json!({"mac": mac});
            lab.run("ADD", container, &config)
        };
        let error = with_mac(&one, "02:00:00:00:00:09").error(103);
        assert!(error.to_string().contains("the static port `vm`"), "{error}");
        with_mac(&one, "02:00:00:00:00:07").ok();
        let error = with_mac(&other, "02-00-00-00-00-07").error(103);
        assert!(error.to_string().contains(&one.id), "{error}");
        assert_eq!(other.interfaces(), Vec::<String>::new());
        assert_eq!(lab.held_addresses(), 2, "one pod's and the static port's");
        lab.del(&one);
        let result = with_mac(&other, "02:00:00:00:00:07").ok();
        assert_eq!(result["interfaces"][1]["mac"], "02:00:00:00:00:07");
        lab.del(&other);
        assert_eq!(lab.held_addresses(), 1);
    }
}

/// An ADD hangs. DELs of other containers do not wait for it, whatever the hashes of their names begin with.
#[test]
fn a_hanging_add_holds_up_no_other_container() {
    use sha2::{Digest as _, Sha256};
    if skipped_without_root() {
        return;
    }
    let (lab, first, hanging) = (Lab::new(DIALECTS[1]), Container::new(), Container::new());
    lab.add(&first);
    lab.fault(
        &json!({"fault": "delay", "milliseconds": 60_000, "path": "/bridges/*/ports", "method": "POST", "times": 0}),
    );
    let mut patient = lab.config();
    patient["timeout"] = json!(55);
    patient["add_timeout"] = json!(55);
    let mut add = lab.start("ADD", &hanging, &patient);
    let locks = lab.path("state/locks");
    while std::fs::read_dir(&locks).map_or(0, |files| files.count()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let hash = |container: &str| Sha256::digest(format!("{HOST}\0lab\0{container}\0eth0\0"))[0];
    let alike = (0..).map(|number| format!("other-{number}")).filter(|id| hash(id) == hash(&hanging.id));
    for id in alike.take(20) {
        let mut command = lab.command("DEL", &hanging);
        command.env("CNI_CONTAINERID", id).env_remove("CNI_NETNS");
        run(command, &lab.config()).ok();
    }
    lab.del(&first);
    assert!(add.try_wait().unwrap().is_none(), "it still hangs");
    add.kill().unwrap();
    let _ = Ran::from(add);
    lab.clear_faults();
    lab.del(&hanging);
    lab.expect_nothing_left(&[&first, &hanging]);
    assert_eq!(std::fs::read_dir(&locks).unwrap().count(), 0);
}

/// The folders that the plugin makes, and the files in them, are for its user alone.
#[test]
fn state_folders_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::with_login(DIALECTS[1]), Container::new());
    let mut config = lab.config();
    config["state_dir"] = json!(lab.path("above/state"));
    config["log_file"] = json!(lab.path("above/state/log/file"));
    config["login"] = json!({"username": "admin", "password": "geheim", "project": "admin"});
    let add = || {
        let mut command = Command::new("sh");
        lab.environment(&mut command, "ADD", &container);
        command.args(["-c", &format!("umask 0; exec {}", crate::PLUGIN)]);
        run(command, &config).ok();
    };
    add();
    lab.fault(&json!({"fault": "unavailable-before", "method": "DELETE", "path": "/**", "times": 0}));
    lab.run("DEL", &container, &config).ok();
    lab.clear_faults();
    for folder in ["above", "above/state", "above/state/log", "above/state/locks", "above/state/journal"] {
        let mode = std::fs::metadata(lab.path(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
    lab.run("DEL", &container, &config).ok();
}

/// A file system of a few pages, unmounted at the end.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: std::path::PathBuf, options: &str) -> SmallDisk {
        std::fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status();
        assert!(mounted.unwrap().success());
        SmallDisk(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// The disk is full before an ADD, or becomes full at any page of it. Earlier attachments can still be removed.
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let (lab, container) = (Lab::new(dialect), Container::new());
        let mut good = 0;
        for kilobytes in (4..=160).step_by(12) {
            let disk = SmallDisk::mount(lab.path("small"), &format!("size={kilobytes}k"));
            let mut config = lab.config();
            config["state_dir"] = json!(lab.path("small/state"));
            // A run does not wait to the end for the lock of a tenant that is being made.
            let ran = lab.run("ADD", &container, &config);
            match ran.code {
                0 => {
                    good += 1;
                    drop(ran.ok());
                }
                _ => {
                    let code = ran.error_code();
                    assert!([5, 11, 107].contains(&code), "{kilobytes} kB: {ran:?}");
                    assert!(ran.stdout.contains("No space left") || ran.stdout.contains("disk"), "{ran:?}");
                }
            }
            let deleted = lab.run("DEL", &container, &config);
            assert!(deleted.code == 0 || [11].contains(&deleted.error_code()), "{kilobytes} kB: {deleted:?}");
            assert_eq!(container.interfaces(), Vec::<String>::new());
            assert_eq!((lab.bound_ports().len(), lab.stray_ports().len()), (0, 0), "{kilobytes} kB");
            drop(disk);
        }
        assert!(good > 0, "there is room for one on the largest");
    }
}

/// A folder that can't be written, in each way.
#[test]
fn a_state_folder_that_can_t_be_written_is_named() {
    if skipped_without_root() {
        return;
    }
    let (lab, container) = (Lab::new(DIALECTS[1]), Container::new());
    let _disk = SmallDisk::mount(lab.path("fixed"), "ro");
    lab.folder.write("file", "");
    for folder in [lab.path("fixed/state"), "/proc/state".into(), lab.path("file/state")] {
        let mut config = lab.config();
        config["state_dir"] = json!(folder);
        let error = lab.run("ADD", &container, &config).error(5);
        assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
        let error = lab.run("DEL", &container, &config).error(11);
        assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
        lab.run("STATUS", &container, &config).error(50);
    }
    assert_eq!(container.interfaces(), Vec::<String>::new());
    assert_eq!(lab.bound_ports().len(), 0);
}

/// Standard input may contain anything.
#[test]
fn hostile_input_is_error_6_or_7() {
    let container = Container { id: "c1".to_owned(), namespace: "none".to_owned() };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let texts: [Vec<u8>; 6] = [
        Vec::new(),
        b"\xff\xfe{}".to_vec(),
        format!("{{\"cniVersion\": \"1.0.0\", \"name\": \"a\", \"x\": {deep}}}").into_bytes(),
        b"{\"cniVersion\": \"1.0.0\"".to_vec(),
        json!({"cniVersion": "1.0.0", "name": "a", "site": [], "host_uuid": HOST}).to_string().into_bytes(),
        vec![b' '; 33 * 1024 * 1024],
    ];
    for text in texts {
        for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
            let mut command = Command::new(crate::PLUGIN);
            command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", &container.id);
            command.env("CNI_NETNS", "/var/run/netns/none").env("CNI_IFNAME", "eth0");
            let ran = Ran::from(started(command, &text));
            assert!([6, 7].contains(&ran.error_code()), "{verb}: {ran:?}");
            assert!(!ran.stderr.contains("panic"), "{ran:?}");
        }
    }
    std::mem::forget(container);
}
