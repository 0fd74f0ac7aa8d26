//! Real runtimes start containers on the plugin: `cnitool`, `ctr`, containerd over CRI, podman with its CNI backend.
//!
//! Each has folders of its own. The small scripts beside this file make an image, speak CRI without crictl, and set
//! the folders of `ctr`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::PLUGIN;
use crate::lab::{Container, DIALECTS, Lab, Ran, skipped_without, skipped_without_root};

/// Returns the path of a program that scripts/test.sh installs below `target`, or the name of the system's program.
fn tool(below_target: &str, name: &str) -> String {
    let own = midoform_testutil::root().join("target").join(below_target);
    if own.exists() { own.display().to_string() } else { name.to_owned() }
}

fn script(name: &str) -> PathBuf {
    midoform_testutil::root().join("cni/tests/runtimes").join(name)
}

/// A lab with the folders that runtimes need.
struct Setup {
    lab: Lab,
    /// A list with the plugin alone.
    list: Value,
}

impl Setup {
    fn new() -> Setup {
        Setup::of(Lab::new(DIALECTS[1]))
    }

    fn of(lab: Lab) -> Setup {
        let mut plugin = lab.config();
        let plugin = plugin.as_object_mut().unwrap();
        plugin.remove("cniVersion");
        plugin.remove("name");
        let list = json!({"cniVersion": "1.0.0", "name": "lab", "plugins": [plugin]});
        for folder in ["cni/net.d", "bin", "podnet", "logs", "rootfs/bin"] {
            std::fs::create_dir_all(lab.path(folder)).unwrap();
        }
        std::fs::copy(PLUGIN, lab.path("bin/midonet-cni")).unwrap();
        for plugin in ["loopback", "firewall", "tuning", "portmap"] {
            let _ = std::os::unix::fs::symlink(
                format!("/usr/lib/cni/{plugin}"),
                lab.path(&format!("bin/{plugin}")),
            );
        }
        for folder in ["dev", "proc", "sys", "etc", "tmp"] {
            std::fs::create_dir_all(lab.path("rootfs").join(folder)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        if let Some(busybox) = busybox {
            std::fs::copy(busybox, lab.path("rootfs/bin/busybox")).unwrap();
            for name in ["sh", "ip", "sleep"] {
                std::os::unix::fs::symlink("busybox", lab.path("rootfs/bin").join(name)).unwrap();
            }
        }
        let setup = Setup { lab, list };
        setup.write_list("cni/net.d/10-lab.conflist");
        setup
    }

    fn write_list(&self, path: &str) {
        self.lab.folder.write(path, self.list.to_string());
    }

    /// Writes a file from beside the tests into the lab, with the lab's folders in it.
    fn fill(&self, name: &str) -> PathBuf {
        let folder = self.lab.folder.path().display().to_string();
        let text = std::fs::read_to_string(script(name)).unwrap();
        self.lab
            .folder
            .write(name, text.replace("@DIR@", &folder).replace("@BIN@", &format!("{folder}/bin")));
        self.lab.path(name)
    }
}

#[track_caller]
fn output(command: &mut Command) -> Ran {
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 0, "{command:?}\n{}\n{}", ran.stdout, ran.stderr);
    ran
}

#[test]
fn cnitool() {
    let cnitool = tool("cni-tools/cnitool", "cnitool");
    if skipped_without_root() || skipped_without(&[&cnitool]) {
        return;
    }
    let (setup, container) = (Setup::of(Lab::without_agent(DIALECTS[1])), Container::new());
    let mut setup = setup;
    setup.list["cniVersion"] = json!("1.1.0");
    setup.write_list("cni/net.d/10-lab.conflist");
    let run = |verb: &str, namespace: &str| {
        let mut command = Command::new(&cnitool);
        command.args([verb, "lab", namespace]).env("CNI_PATH", setup.lab.path("bin"));
        command.env("NETCONFPATH", setup.lab.path("cni/net.d"));
        Ran::from(command.output().unwrap())
    };
    let added = run("add", &container.path()).ok();
    assert!(added["ips"][0]["address"].is_string(), "{added}");
    let good = |ran: Ran| assert_eq!(ran.code, 0, "{ran:?}");
    good(run("check", &container.path()));
    let status = run("status", "/var/run/netns/none");
    assert!(status.code != 0 && status.stderr.contains("agent"), "{status:?}");
    good(run("del", &container.path()));
    setup.lab.expect_nothing_left(&[&container]);
    drop(run("add", &container.path()).ok());
    // cnitool names no valid attachments: libcni removes those in its cache by DEL, and the plugin removes none.
    let gc = run("gc", "/var/run/netns/none");
    assert!(gc.code != 0 && gc.stderr.contains("valid-attachments"), "{gc:?}");
    setup.lab.expect_nothing_left(&[&container]);
}

/// containerd, with folders of its own. It is stopped when this is dropped.
struct Containerd {
    process: Child,
    socket: String,
}

impl Containerd {
    fn start(setup: &Setup) -> Containerd {
        let config = setup.fill("containerd.toml");
        let log = std::fs::File::create(setup.lab.path("containerd.log")).unwrap();
        let process = Command::new("containerd")
            .args(["-c", &config.display().to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let socket = setup.lab.path("containerd.sock").display().to_string();
        let containerd = Containerd { process, socket };
        let end = Instant::now() + Duration::from_secs(60);
        while !containerd.ctr(&["version"]).output().unwrap().status.success() {
            assert!(Instant::now() < end, "containerd does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        containerd
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.args(["-a", &self.socket]).args(arguments);
        command
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[test]
fn ctr_run() {
    if skipped_without_root() || skipped_without(&["containerd", "ctr", "runc", "/bin/busybox", "unshare"]) {
        return;
    }
    let setup = Setup::new();
    let containerd = Containerd::start(&setup);
    let rootfs = setup.lab.path("rootfs").display().to_string();
    let mut command = Command::new("bash");
    command.arg(script("ctrcni.sh")).arg(setup.lab.path("cni/net.d")).arg(setup.lab.path("bin"));
    command.args(["ctr", "-a", &containerd.socket, "run", "--rm", "--cni", "--rootfs", &rootfs]);
    command.args([&crate::lab::unique("c"), "/bin/ip", "address"]).env("CRT", setup.lab.path("scratch"));
    let ran = output(&mut command);
    assert!(ran.stdout.contains("eth0") && ran.stdout.contains("inet 192.168."), "{ran:?}");
    setup.lab.expect_nothing_left(&[]);
}

#[test]
fn containerd_over_cri() {
    let python = tool("cri/bin/python", "/nowhere/python-with-grpcio");
    if skipped_without_root() || skipped_without(&["containerd", "ctr", "runc", "/bin/busybox", &python]) {
        return;
    }
    let setup = Setup::new();
    let containerd = Containerd::start(&setup);
    let image = setup.lab.path("pause.tar");
    let mut make = Command::new("python3");
    make.arg(script("mkimg.py")).arg(setup.lab.path("rootfs")).arg("localhost/pause:1").arg(&image);
    drop(output(make.args(["/bin/sleep", "1000000"])));
    drop(output(containerd.ctr(&["-n", "k8s.io", "images", "import", "--no-unpack"]).arg(&image)));
    let cri = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.arg(script("cri.py")).arg(&containerd.socket).args(arguments);
        command.env("CRI_LOGS", setup.lab.path("logs"));
        output(&mut command).stdout.trim().to_owned()
    };
    let name = crate::lab::unique("pod");
    let (one, other) = (cri(&["run", &format!("{name}a"), "ns1"]), cri(&["run", &format!("{name}b"), "ns2"]));
    for (id, tenant) in [(&one, "ns1"), (&other, "ns2")] {
        let store = setup.lab.store();
        let mut attachments =
            store.iter().filter(|(key, _)| key.contains(id.as_str())).map(|(_, value)| value);
        let attachment = attachments.next().unwrap();
        assert_eq!(attachment["tenant"], tenant, "the Kubernetes namespace is the tenant");
        let status = cri(&["status", id]);
        assert!(status.contains(attachment["address"].as_str().unwrap()), "{status}");
    }
    assert_eq!(setup.lab.bound_ports().len(), 2);
    for id in [&one, &other] {
        cri(&["stop", id]);
        cri(&["rm", id]);
    }
    setup.lab.expect_nothing_left(&[]);
}

#[test]
fn podman_run() {
    if skipped_without_root() || skipped_without(&["podman", "runc", "/bin/busybox"]) {
        return;
    }
    let setup = Setup::new();
    setup.write_list("podnet/lab.conflist");
    let mut second = setup.list.clone();
    second["name"] = json!("second");
    setup.lab.folder.write("podnet/second.conflist", second.to_string());
    let config = setup.fill("containers.conf");
    let run = |networks: &str| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(setup.lab.path("root")).arg("--runroot").arg(setup.lab.path("runroot"));
        command.arg("--tmpdir").arg(setup.lab.path("tmp")).args(["--storage-driver", "vfs", "run", "--rm"]);
        command.args(["--network", networks]);
        command.arg("--rootfs").arg(setup.lab.path("rootfs")).args(["/bin/ip", "address"]);
        output(command.env("CONTAINERS_CONF", &config)).stdout
    };
    let shown = run("lab");
    assert!(shown.contains("eth0") && shown.contains("inet 192.168."), "{shown}");
    setup.lab.expect_nothing_left(&[]);
    let shown = run("lab,second");
    assert!(shown.contains("eth1") && shown.matches("inet 192.168.").count() == 2, "{shown}");
    setup.lab.expect_nothing_left(&[]);
}
