//! The installer of the DaemonSet, for real but without Kubernetes; and the manifests, against Kubernetes' schemas.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use midoform_testutil::{TestFolder, root};
use serde_json::Value as Json;

const SITE: &str = "name = \"cluster\"\n";
const NETWORK: &str =
    "{\"cniVersion\": \"1.0.0\", \"name\": \"midonet\", \"plugins\": [{\"type\": \"midonet-cni\"}]}\n";
const CONFLIST: &str = "node/net.d/10-midonet.conflist";
const INSTALLED: [&str; 4] = ["node/bin/midonet-cni", "node/etc/site.toml", "node/etc/login.json", CONFLIST];

fn manifest() -> String {
    std::fs::read_to_string(root().join("packaging/kubernetes/midonet-cni.yaml")).unwrap()
}

/// A node: the folders of its pod and its own.
struct Node {
    folder: TestFolder,
}

impl Node {
    fn new() -> Node {
        let folder = TestFolder::default();
        folder.write("pod/midonet-cni", "#!/bin/sh\necho midonet-cni 1\n");
        folder.write("pod/site.toml", SITE);
        folder.write("pod/login.json", "{\"token\": \"t\"}");
        folder.write("pod/10-midonet.conflist", NETWORK);
        std::fs::create_dir_all(folder.path().join("node/net")).unwrap();
        Node { folder }
    }

    fn command(&self, verb: &str) -> Command {
        let script = root().join("packaging/kubernetes/install-plugin").display().to_string();
        let mut command = self.folder.command("sh", &[&script, verb]);
        for (variable, path) in [
            ("PLUGIN", "pod/midonet-cni"),
            ("SITE_FILE", "pod/site.toml"),
            ("NETWORK_FILE", "pod/10-midonet.conflist"),
            ("LOGIN_FILE", "pod/login.json"),
            ("PLUGIN_FOLDER", "node/bin"),
            ("NETWORK_FOLDER", "node/net.d"),
            ("SITE_FOLDER", "node/etc"),
            ("INTERFACES", "node/net"),
            ("READY_FILE", "pod/ready"),
        ] {
            command.env(variable, self.path(path));
        }
        command.env("SECONDS_BETWEEN", "0.1").stderr(Stdio::null());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn watch(&self) -> Child {
        let child = self.command("watch").spawn().unwrap();
        until("it is ready", || self.path("pod/ready").exists());
        child
    }

    fn missing(&self) -> Vec<&'static str> {
        INSTALLED.into_iter().filter(|name| !self.path(name).exists()).collect()
    }

    /// Returns the files that a killed run may leave beside a place.
    fn unfinished(&self) -> Vec<PathBuf> {
        let entries = ["node/bin", "node/etc", "node/net.d"]
            .map(|folder| std::fs::read_dir(self.path(folder)).unwrap());
        let names = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
        names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
    }
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends a pod as kubelet does.
fn terminate(mut child: Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_pod_of_the_daemon_set_installs_and_takes_away() {
    let node = Node::new();
    let child = node.watch();
    assert_eq!((node.missing(), node.unfinished()), (vec![], vec![]));
    let mode = |name| std::fs::metadata(node.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(INSTALLED.map(mode), [0o755, 0o644, 0o600, 0o644]);
    // A changed ConfigMap is taken over, and a file that somebody deleted comes back.
    node.folder.write("pod/site.toml", "name = \"other\"\n");
    until("the site is current", || node.folder.read("node/etc/site.toml").contains("other"));
    std::fs::remove_file(node.path(CONFLIST)).unwrap();
    until("the network is back", || node.path(CONFLIST).exists());
    terminate(child);
    assert_eq!(node.missing(), INSTALLED);
}

/// A reader sees the old file or the new one: never none, and never a part.
#[test]
fn a_file_is_replaced_whole() {
    let node = Node::new();
    let child = node.watch();
    let texts = [SITE.repeat(20_000), "name = \"other\"\n".repeat(20_000)];
    for turn in 0..6 {
        let text = &texts[turn % 2];
        // As kubelet does with a ConfigMap: by a rename.
        node.folder.write("pod/next", text);
        std::fs::rename(node.path("pod/next"), node.path("pod/site.toml")).unwrap();
        until("the site is current", || {
            let seen = node.folder.read("node/etc/site.toml");
            assert!(seen == SITE || texts.contains(&seen), "{} bytes", seen.len());
            seen == *text
        });
    }
    terminate(child);
}

/// The DEL of an attached container needs the plugin and its configuration.
#[test]
fn all_stays_while_a_container_is_attached() {
    let node = Node::new();
    node.folder.write("node/net/vifabc/ifalias", "midonet/container/eth0\n");
    terminate(node.watch());
    assert_eq!(node.missing(), Vec::<&str>::new());
    std::fs::remove_dir_all(node.path("node/net/vifabc")).unwrap();
    assert!(node.command("remove").status().unwrap().success());
    assert_eq!(node.missing(), INSTALLED);
    assert!(node.command("remove").status().unwrap().success());
}

#[test]
fn the_network_comes_last_and_only_behind_its_plugin() {
    let node = Node::new();
    std::fs::remove_file(node.path("pod/midonet-cni")).unwrap();
    assert!(!node.command("install").status().unwrap().success());
    assert_eq!(node.missing(), INSTALLED);
    let mut child = node.command("watch").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!node.path("pod/ready").exists(), "nothing is installed");
    // It appears: the pod goes on by itself.
    node.folder.write("pod/midonet-cni", "#!/bin/sh\n");
    until("it is ready", || node.path("pod/ready").exists());
    assert_eq!(node.missing(), Vec::<&str>::new());
    child.kill().unwrap();
    child.wait().unwrap();
    // A killed pod leaves everything, and the next one goes on.
    node.folder.write("node/net.d/.10-midonet.conflist.new", "{");
    node.folder.write("pod/10-midonet.conflist", NETWORK.replace("1.0.0", "1.1.0"));
    let child = node.watch();
    until("the network is current", || node.folder.read(CONFLIST).contains("1.1.0"));
    assert_eq!(node.unfinished(), Vec::<PathBuf>::new());
    terminate(child);
}

/// Returns an indented block of the manifest: the file of this name in a ConfigMap or a Secret.
fn block(name: &str) -> String {
    let text = manifest();
    let begin = text.find(&format!("  {name}: |\n")).unwrap();
    let lines = text[begin..].lines().skip(1).take_while(|line| line.starts_with("    ") || line.is_empty());
    lines.map(|line| line.strip_prefix("    ").unwrap_or(line).to_owned() + "\n").collect()
}

#[test]
fn the_manifests_hold_correct_files() {
    let network: Json = serde_json::from_str(&block("10-midonet.conflist")).unwrap();
    let types: Vec<&str> =
        network["plugins"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["ptp", "midonet-cni"]);
    drop(serde_json::from_str::<Json>(&block("login.json")).unwrap());
    let site: toml::Table = block("site.toml").parse().unwrap();
    assert!(site["etcd"]["endpoints"].is_array());
    // What the DaemonSet mounts is what the installer takes by default.
    let script = std::fs::read_to_string(root().join("packaging/kubernetes/install-plugin")).unwrap();
    for line in manifest().lines().filter_map(|line| line.trim().strip_prefix("mountPath: ")) {
        assert!(script.contains(line), "{line}");
    }
}

#[test]
fn the_manifests_follow_the_schemas() {
    let own = root().join("target/kubernetes-validate/bin/kubernetes-validate");
    let program = if own.exists() { own } else { PathBuf::from("kubernetes-validate") };
    let run = |text: &str| {
        let folder = TestFolder::default();
        folder.write("manifest.yaml", text);
        let mut command = Command::new(&program);
        command.args(["--strict", "--no-warn"]).arg(folder.path().join("manifest.yaml")).output()
    };
    let Ok(good) = run(&manifest()) else {
        println!("SKIPPED: not installed: kubernetes-validate (scripts/test.sh installs it)");
        return;
    };
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    for (right, wrong) in
        [("hostNetwork:", "hostNetworks:"), ("mountPath:", "mountsPath:"), ("type: RollingUpdate", "type: 5")]
    {
        assert!(!run(&manifest().replace(right, wrong)).unwrap().status.success(), "{wrong}");
    }
}
