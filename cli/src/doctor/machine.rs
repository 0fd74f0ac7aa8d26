//! This machine: its kernel, and the interface that carries the tunnels.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use midoform_compiler::spec::Site;
use serde::Deserialize;

use super::{Finding, run};

const KERNEL: &str = "kernel";
const INTERFACES: &str = "interfaces";

/// What `midonet-cni` needs of a kernel: a file that shows it, and its name.
const NEEDED: [(&str, &str); 2] =
    [("/proc/self/ns/net", "network namespaces"), ("/proc/sys/net/ipv4/conf", "IPv4")];

/// Judges the kernel. `midonet-cni` makes veth pairs in network namespaces.
pub(crate) fn kernel() -> Vec<Finding> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, what)| *what).collect();
    let kernel = match missing.is_empty() {
        true => Finding::right(KERNEL, format!("Linux {release}, with network namespaces")),
        false => Finding::wrong(
            KERNEL,
            format!("Linux {release} has no {}", missing.join(" and no ")),
            "midonet-cni needs a kernel with them; midoform alone does not",
        ),
    };
    vec![kernel, veth(&release)]
}

/// Judges the module for veth pairs.
fn veth(release: &str) -> Finding {
    match module("veth", release) {
        Module::There => Finding::right(KERNEL, "veth pairs are there"),
        Module::OnDemand => Finding::right(
            KERNEL,
            "veth pairs are there once the module `veth` is loaded, which happens on demand",
        ),
        Module::Missing => {
            Finding::wrong(KERNEL, "there is no module `veth`", "install the kernel's modules")
        }
        Module::Unknown(reason) => Finding::skipped(KERNEL, format!("veth: {reason}")),
    }
}

/// Judges the module that is Open vSwitch's datapath in the kernel.
pub(super) fn datapath() -> Finding {
    const NAME: &str = "openvswitch";
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    match module(NAME, &release) {
        Module::There | Module::OnDemand => Finding::right(KERNEL, "the module `openvswitch` is there"),
        Module::Missing => Finding::wrong(
            KERNEL,
            "there is no module `openvswitch`, and the integration bridge is in the kernel",
            "install the kernel's modules, or let the integration bridge have `datapath_type=netdev` (docs/lab.md)",
        ),
        Module::Unknown(reason) => Finding::skipped(KERNEL, format!("{NAME}: {reason}")),
    }
}

/// Where a module of the kernel is.
enum Module {
    /// Built in, or loaded.
    There,
    /// It is loaded when it is needed.
    OnDemand,
    /// It can't be loaded.
    Missing,
    /// Nothing tells.
    Unknown(String),
}

fn module(name: &str, release: &str) -> Module {
    let modules = Path::new("/lib/modules").join(release);
    let file = format!("/{name}.ko");
    let names = |list: &str| {
        let text = std::fs::read_to_string(modules.join(list)).unwrap_or_default();
        text.lines().any(|line| line.contains(&file))
    };
    if Path::new("/sys/module").join(name).exists() || names("modules.builtin") {
        return Module::There;
    }
    if names("modules.dep") {
        return Module::OnDemand;
    }
    match modules.join("modules.dep").exists() {
        true => Module::Missing,
        false => Module::Unknown(format!("{} tells nothing of it", modules.display())),
    }
}

/// Judges the interface with this machine's tunnel address, if the site names this machine as a host.
pub(crate) async fn interfaces(site: &Site) -> Finding {
    let addresses = site.hosts.iter().filter_map(|host| {
        let address = host.tunnel_address.as_ref()?.value;
        is_local(address).then_some((host.name.value.as_str(), address))
    });
    let Some((name, address)) = addresses.into_iter().next() else {
        return Finding::skipped(INTERFACES, "no host of the site has its tunnel address on this machine");
    };
    tunnel_end(INTERFACES, &format!("host `{name}`"), address, site).await
}

/// Judges the interface with an address that tunnels end at. `whose` says whose address it is.
pub(super) async fn tunnel_end(about: &'static str, whose: &str, address: Ipv4Addr, site: &Site) -> Finding {
    let wanted = site.underlay_mtu.value;
    match interface_of(address).await {
        Err(reason) => Finding::skipped(about, format!("{whose} at {address}: {reason}")),
        Ok(None) => Finding::wrong(
            about,
            format!("{whose} is {address}, which no interface of this machine has"),
            "correct the address, or give it to the interface that carries the tunnels",
        ),
        Ok(Some(Interface { name, mtu })) if mtu < u32::from(wanted) => Finding::wrong(
            about,
            format!("{name} of {whose} has the MTU {mtu}, and the site's `underlay_mtu` is {wanted}"),
            format!("raise it (`ip link set {name} mtu {wanted}`), or write `underlay_mtu = {mtu}`"),
        ),
        Ok(Some(Interface { name, mtu })) => {
            Finding::right(about, format!("{name} of {whose} has {address} and the MTU {mtu}"))
        }
    }
}

/// Returns true if an address is one of this machine's: only then a socket can have it.
fn is_local(address: Ipv4Addr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// An interface, as `ip -json` shows it.
#[derive(Deserialize)]
struct Interface {
    #[serde(rename = "ifname")]
    name: String,
    mtu: u32,
}

/// Returns the interface that has an address; none if no interface has it.
async fn interface_of(address: Ipv4Addr) -> Result<Option<Interface>, String> {
    let mut command = tokio::process::Command::new("ip");
    command.args(["-json", "-4", "address", "show", "to", &address.to_string()]);
    let ended = run(command, "").await.map_err(|reason| format!("`ip` can't be run: {reason}"))?;
    let found: Vec<serde_json::Value> = serde_json::from_str(&ended.output)
        .map_err(|_| "`ip` does not tell its interface as JSON".to_owned())?;
    // Interfaces that don't have the address are empty objects.
    Ok(found.into_iter().find_map(|one| serde_json::from_value(one).ok()))
}
