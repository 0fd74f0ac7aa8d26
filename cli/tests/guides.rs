//! Every block of commands in the documentation is run as it is written, in a folder that has what its chapter is about. The blocks of
//! tours are `book`'s. What can't be run where tests run is in [`NOT_RUN`], each with the reason.
//!
//! A block is known by its chapter and its beginning. One that nobody names here is an error, and so is a name without a block.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use midoform_testutil::{Ran, TestFolder, root};

use crate::book::{Block, blocks, chapters, read};
use crate::lab::Labs;
use crate::plugin_network::PluginNetwork;
use crate::served::Served;
use crate::{MIDOFORM, adopt, bind};

/// Blocks that are not run, by chapter and beginning, with the reason.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "sh scripts/test.sh", "it is the run that this test is a part of"),
    (
        "docs/lab.md",
        "mmdebstrap",
        "it unpacks another release of Debian, which scripts/install-test-tools.sh does the same way",
    ),
    (
        "docs/guides/static-ports.md",
        "systemctl",
        "it needs systemd; scripts/test-packages.sh checks the unit, and `bind::` runs its command",
    ),
    (
        "docs/adopt.md",
        "midoform adopt tenant1 --etcd-v2",
        "it needs an etcd with the API v2; `keys_are_read_from_a_live_etcd` runs the command on one where there is one",
    ),
];

/// A block that is run: its chapter, its beginning, and what runs it.
type Runs = (&'static str, &'static str, fn(&Block));

/// The blocks that are run.
const RUN: &[Runs] = &[
    ("README.md", "cargo build", the_first_command),
    ("README.md", "target/release/midoform lab up", a_laboratory),
    ("docs/lab.md", "midoform lab up", a_laboratory),
    ("docs/serve.md", "midoform serve", a_server),
    ("docs/serve.md", "curl", a_fault),
    ("docs/spec.md", "midoform validate", on_a_code_host),
    ("docs/guides/code-hosts.md", "midoform plan", a_reviewed_plan),
    ("docs/guides/code-hosts.md", "name: network", steps_of_a_pipeline),
    ("docs/guides/code-hosts.md", "plan:", steps_of_a_pipeline),
    ("docs/guides/code-hosts.md", "drift:", steps_of_a_pipeline),
    ("docs/guides/containers.md", "cargo build", containers_of_one_machine),
    ("docs/guides/containers.md", "ctr run", is_a_part_of_the_first_block),
    ("docs/guides/containers.md", "podman run", is_a_part_of_the_first_block),
    ("docs/guides/disaster.md", "midoform store --store store.db dump", a_disaster),
    ("docs/guides/disaster.md", "midoform store --store store.db load", is_run_with_the_dump),
    ("docs/guides/disaster.md", "midoform plan tenants", is_run_with_the_dump),
    ("docs/guides/go-plugin.md", "mkdir -p tenants", an_adoption),
    ("docs/guides/static-ports.md", "midoform bind", static_ports),
];

/// Returns the blocks of commands outside of tours, with their chapters.
fn blocks_of_commands() -> Vec<(String, Block)> {
    let mut found = Vec::new();
    for path in chapters() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let text = read(&path);
        let tour = text.find("<!-- tour -->").zip(text.find("<!-- end: tour -->"));
        let lines_before = |at: usize| text[..at].lines().count();
        let tour = tour.map(|(begin, end)| lines_before(begin)..lines_before(end));
        let is_of_commands = |block: &Block| ["sh", "yaml", "console"].contains(&block.0.as_str());
        let outside = |block: &Block| tour.as_ref().is_none_or(|lines| !lines.contains(&block.2));
        found.extend(
            blocks(&text)
                .into_iter()
                .filter(is_of_commands)
                .filter(outside)
                .map(|block| (name.clone(), block)),
        );
    }
    found
}

fn is_named(named: (&str, &str), (chapter, block): &(String, Block)) -> bool {
    named.0 == chapter && block.1.trim_start().starts_with(named.1)
}

/// Returns the block with this chapter and beginning.
fn block(chapter: &str, beginning: &str) -> Block {
    let found = blocks_of_commands().into_iter().find(|found| is_named((chapter, beginning), found));
    found.unwrap_or_else(|| panic!("{chapter} has no block that begins with `{beginning}`")).1
}

#[test]
fn every_block_of_commands_is_run_or_has_a_reason() {
    let all = blocks_of_commands();
    let names: Vec<(&str, &str)> = RUN
        .iter()
        .map(|(chapter, beginning, _)| (*chapter, *beginning))
        .chain(NOT_RUN.iter().map(|(chapter, beginning, _)| (*chapter, *beginning)))
        .collect();
    for found in &all {
        let count = names.iter().filter(|name| is_named(**name, found)).count();
        assert_eq!(count, 1, "{}:{}: {} places say how it is run", found.0, found.1.2, count);
    }
    for name in names {
        assert!(all.iter().any(|found| is_named(name, found)), "{} has no block `{}`", name.0, name.1);
    }
}

#[test]
fn what_is_not_run_has_a_reason() {
    let reasons: Vec<String> = NOT_RUN
        .iter()
        .map(|(chapter, beginning, reason)| format!("{chapter} `{beginning}`: {reason}"))
        .collect();
    println!("SKIPPED: {} blocks of the documentation: {}", reasons.len(), reasons.join("; "));
}

/// Makes a test of each line of [`RUN`] whose block is not a part of another one's.
macro_rules! tests {
    ($($name:ident: $chapter:literal, $beginning:literal;)+) => {
        $(
            #[test]
            fn $name() {
                let find = |(chapter, beginning, _): &&Runs| {
                    (*chapter, *beginning) == ($chapter, $beginning)
                };
                let (.., run) = RUN.iter().find(find).unwrap();
                run(&block($chapter, $beginning));
            }
        )+
    };
}

tests! {
    readme_first_command: "README.md", "cargo build";
    readme_laboratory: "README.md", "target/release/midoform lab up";
    lab_chapter: "docs/lab.md", "midoform lab up";
    serve_chapter: "docs/serve.md", "midoform serve";
    serve_chapter_fault: "docs/serve.md", "curl";
    spec_chapter: "docs/spec.md", "midoform validate";
    code_hosts_reviewed_plan: "docs/guides/code-hosts.md", "midoform plan";
    code_hosts_github: "docs/guides/code-hosts.md", "name: network";
    code_hosts_gitlab: "docs/guides/code-hosts.md", "plan:";
    code_hosts_drift: "docs/guides/code-hosts.md", "drift:";
    containers_on_one_machine: "docs/guides/containers.md", "cargo build";
    containers_ctr: "docs/guides/containers.md", "ctr run";
    containers_podman: "docs/guides/containers.md", "podman run";
    disaster_guide: "docs/guides/disaster.md", "midoform store --store store.db dump";
    disaster_guide_load: "docs/guides/disaster.md", "midoform store --store store.db load";
    disaster_guide_plan: "docs/guides/disaster.md", "midoform plan tenants";
    go_plugin_guide: "docs/guides/go-plugin.md", "mkdir -p tenants";
    static_ports_guide: "docs/guides/static-ports.md", "midoform bind";
}

/// Runs a text as a shell does, with `midoform` in the path.
fn shell(folder: &TestFolder, text: &str) -> Ran {
    Ran::from(shell_command(folder, text).output().unwrap())
}

fn shell_command(folder: &TestFolder, text: &str) -> Command {
    let programs = Path::new(MIDOFORM).parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-e", "-c", text]).current_dir(folder.path());
    command.env("PATH", format!("{programs}:{path}:/usr/sbin:/sbin")).env("HOME", folder.path());
    command
}

/// Runs a text that has to succeed, and returns what it printed.
#[track_caller]
fn succeeds(folder: &TestFolder, text: &str) -> String {
    let ran = shell(folder, text);
    assert_eq!(ran.code, 0, "{text}\n{}{}", ran.stdout, ran.stderr);
    ran.stdout + &ran.stderr
}

/// Returns the text of a block in which the programs of the release build are those of the path.
fn without_build(text: &str) -> String {
    text.replace("target/release/", "").replace("cargo build --release --locked --workspace && ", "")
}

/// Copies the examples of the repository.
fn with_examples() -> TestFolder {
    let folder = TestFolder::default();
    let copied =
        Command::new("cp").arg("-R").arg(root().join("examples")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    folder
}

/// Makes a site beside the folder `tenants`, as the guides have it: with a database as its store, and a policy.
fn with_tenants() -> TestFolder {
    let folder = TestFolder::default();
    succeeds(
        &folder,
        "midoform init . --site-name lab --tenant acme --yes && mkdir tenants && mv acme.toml tenants/",
    );
    let site = folder.read("site.toml") + "\n[store]\npath = \"store.db\"\n";
    folder.write("site.toml", site);
    folder.write("policy.toml", "[limits]\nbridges = 10\n");
    folder
}

/// The build itself is that of this test.
fn the_first_command(block: &Block) {
    let folder = with_examples();
    assert!(
        block.1.lines().count() == 1 && block.1.starts_with("cargo build --release --locked --workspace && ")
    );
    let ran = succeeds(&folder, &without_build(&block.1));
    assert!(ran.contains("tenant1") && ran.contains("changes were made"), "{ran}");
}

fn a_laboratory(block: &Block) {
    let Some(labs) = Labs::with_sound_datapath() else { return };
    let folder = with_examples();
    let mut command = shell_command(&folder, &without_build(&block.1));
    let own = labs.command(&[]);
    for (name, value) in own.get_envs() {
        if let (Some("XDG_STATE_HOME" | "MIDOFORM_OVN_ROOT"), Some(value)) = (name.to_str(), value) {
            command.env(name, value);
        }
    }
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}\n{}{}", block.1, ran.stdout, ran.stderr);
}

/// Runs the server of a block on a free port, until `work` is done.
fn serving(folder: &TestFolder, text: &str, work: impl FnOnce(&str)) {
    let arguments: Vec<&str> = text.split_whitespace().skip(2).collect();
    let at = arguments.iter().position(|word| *word == "--listen").unwrap();
    let others = [&arguments[..at], &arguments[at + 2..]].concat();
    let served = Served::start(folder, &others).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    work(&served.address.to_string());
}

fn a_server(block: &Block) {
    let folder = TestFolder::default();
    serving(&folder, &block.1, |address| {
        let ran = succeeds(&folder, &format!("curl -sf http://{address}/midonet-api/hosts"));
        assert!(ran.contains("node1"), "{ran}");
    });
    assert!(folder.path().join("state").is_dir());
}

fn a_fault(block: &Block) {
    let folder = TestFolder::default();
    serving(&folder, "midoform serve --listen x --version 5.8 --faults", |address| {
        let text = block.1.replace("127.0.0.1:8181", address).replace("curl ", "curl -sf ");
        succeeds(&folder, &text);
        let faults = succeeds(&folder, &format!("curl -sf http://{address}/_faults"));
        assert!(faults.contains("reset-after"), "{faults}");
    });
}

fn on_a_code_host(block: &Block) {
    let folder = with_tenants();
    succeeds(&folder, "mv tenants network");
    succeeds(&folder, &block.1);
    assert!(folder.read("quality.json").starts_with('['));
}

fn a_reviewed_plan(block: &Block) {
    let folder = with_tenants();
    // What the reviewers see.
    succeeds(&folder, "midoform plan tenants --out reviewed.json");
    let plan: serde_json::Value = serde_json::from_str(&folder.read("reviewed.json")).unwrap();
    succeeds(&folder, &format!("HASH={}\n{}", plan["sha256"].as_str().unwrap(), block.1));
    succeeds(&folder, "midoform plan tenants --detailed-exitcode");
}

/// Runs the commands of a pipeline one after another, but for those of the code host itself.
fn steps_of_a_pipeline(block: &Block) {
    let folder = with_tenants();
    if block.1.starts_with("drift:") {
        succeeds(&folder, "midoform apply tenants --yes");
    }
    let step = |line: &str| {
        let line = line.trim();
        let step = line.strip_prefix("- run: ").or_else(|| line.strip_prefix("- "))?;
        Some(step.to_owned())
    };
    let steps: Vec<String> = block.1.lines().filter_map(step).collect();
    let (own, others): (Vec<String>, Vec<String>) =
        steps.into_iter().partition(|step| step.starts_with("midoform "));
    assert!(!own.is_empty());
    for other in others {
        let is_of_the_host = ["gh ", "uses:", "if:"].iter().any(|known| other.starts_with(known));
        assert!(is_of_the_host, "{other}");
    }
    for step in own {
        succeeds(&folder, &step);
    }
    for file in ["plan.md", "quality.json", "review.html"] {
        if block.1.contains(file) {
            assert!(!folder.read(file).is_empty(), "{file}");
        }
    }
    is_yaml(block);
}

/// Checks a text with the YAML parser of `kubernetes-validate`, where it is installed.
fn is_yaml(block: &Block) {
    let python = root().join("target/kubernetes-validate/bin/python");
    let check = "import sys, yaml; sys.exit(0 if isinstance(yaml.safe_load(sys.argv[1]), dict) else 1)";
    if python.exists() {
        let checked = Command::new(python).args(["-c", check, &block.1]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

fn a_disaster(_: &Block) {
    let folder = with_tenants();
    let text = |beginning| block("docs/guides/disaster.md", beginning).1;
    succeeds(&folder, "midoform apply tenants --yes");
    succeeds(&folder, &text("midoform store --store store.db dump"));
    // The store is lost.
    std::fs::remove_file(folder.path().join("store.db")).unwrap();
    succeeds(&folder, &text("midoform store --store store.db load"));
    succeeds(&folder, "midoform plan tenants --detailed-exitcode");
    // The network is lost.
    std::fs::remove_dir_all(folder.path().join(".midoform")).unwrap();
    succeeds(&folder, &text("midoform plan tenants"));
    succeeds(&folder, "midoform plan tenants --detailed-exitcode");
}

/// `a_disaster` runs it, after the block before it.
fn is_run_with_the_dump(block: &Block) {
    assert!(block.1.lines().all(|line| line.starts_with("midoform ")), "{}", block.1);
}

fn an_adoption(block: &Block) {
    let folder = TestFolder::default();
    let served = adopt::serve(&folder, "5.8");
    let mut network = PluginNetwork::new(&served, "5.8");
    network.tenant(adopt::BLUE);
    adopt::write_site(&folder, &served, "5", &network.provider);
    succeeds(&folder, &block.1.replace("acme", "blue"));
    assert!(folder.read("tenants/blue.toml").contains("name = \"blue\""));
}

/// The commands of these blocks are lines of the chapter's first block, which is run.
fn is_a_part_of_the_first_block(block: &Block) {
    let whole = self::block("docs/guides/containers.md", "cargo build").1.replace('"', "");
    for line in block.1.replace('"', "").lines() {
        assert!(whole.contains(line), "{line}");
    }
}

fn containers_of_one_machine(block: &Block) {
    let needed = ["containerd", "ctr", "runc", "podman", "busybox", "unshare", "ip"];
    let missing: BTreeSet<&str> = needed
        .into_iter()
        .filter(|program| shell(&TestFolder::default(), &format!("command -v {program}")).code != 0)
        .collect();
    let plugin = Path::new(MIDOFORM).with_file_name("midonet-cni");
    let reason = match () {
        () if !rustix::process::geteuid().is_root() => "root is needed".to_owned(),
        () if !missing.is_empty() => format!("not installed: {missing:?}"),
        () if !Path::new("/usr/lib/cni/loopback").exists() => {
            "containernetworking-plugins is not installed".to_owned()
        }
        () if !plugin.exists() => "midonet-cni is not built".to_owned(),
        () => String::new(),
    };
    if !reason.is_empty() {
        println!("SKIPPED: the containers of docs/guides/containers.md: {reason}");
        return;
    }
    let folder = TestFolder::default();
    folder.write("block.sh", in_a_machine_of_its_own(&block.1));
    let mut command = shell_command(
        &folder,
        "exec unshare --mount --net --pid --mount-proc --fork --kill-child --propagation private sh -e block.sh",
    );
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.matches("inet 192.168.").count() >= 2, "{}{}", ran.stdout, ran.stderr);
}

/// Returns the block for namespaces in which the folders of the machine that it writes to are empty.
fn in_a_machine_of_its_own(text: &str) -> String {
    let programs = Path::new(MIDOFORM).parent().unwrap().display().to_string();
    let empty = "for folder in /opt /etc/cni /var/lib /run; do mkdir -p $folder; mount -t tmpfs tmpfs $folder; done\n\
                 ip link set lo up\nulimit -n 1024\n";
    let text =
        text.replace("cargo build --release --locked --workspace\n", "").replace("target/release", &programs);
    format!("{empty}{text}")
}

/// A host with one of two interfaces: the output is the guide's.
fn static_ports(block: &Block) {
    let Some(world) = bind::world() else { return };
    world.apply();
    world.add_interface("tap1");
    let mut shell = world.host.command("sh");
    let programs = Path::new(MIDOFORM).parent().unwrap().display().to_string();
    shell.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()));
    let ran =
        Ran::from(shell.args(["-e", "-c", &block.1]).current_dir(world.host.folder.path()).output().unwrap());
    let guide = read(&root().join("docs/guides/static-ports.md"));
    let shown = blocks(&guide).into_iter().find(|block| block.0 == "text").unwrap();
    assert_eq!((ran.code, ran.stdout.trim_end()), (0, shown.1.trim_end()), "{}", ran.stderr);
}
