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

/// Judges the module for veth pairs: it is built in, loaded, or can be loaded.
fn veth(release: &str) -> Finding {
    let modules = Path::new("/lib/modules").join(release);
    let names = |file: &str| {
        let text = std::fs::read_to_string(modules.join(file)).unwrap_or_default();
        text.lines().any(|line| line.contains("/veth.ko"))
    };
    if Path::new("/sys/module/veth").exists() || names("modules.builtin") {
        return Finding::right(KERNEL, "veth pairs are there");
    }
    if names("modules.dep") {
        return Finding::right(
            KERNEL,
            "veth pairs are there once the module `veth` is loaded, which happens on demand",
        );
    }
    match modules.join("modules.dep").exists() {
        true => Finding::wrong(KERNEL, "there is no module `veth`", "install the kernel's modules"),
        false => Finding::skipped(KERNEL, format!("veth: {} tells nothing of it", modules.display())),
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
    let wanted = site.underlay_mtu.value;
    match interface_of(address).await {
        Err(reason) => Finding::skipped(INTERFACES, format!("host `{name}` at {address}: {reason}")),
        Ok(interface) if interface.mtu < u32::from(wanted) => Finding::wrong(
            INTERFACES,
            format!(
                "{} of host `{name}` has the MTU {}, and the site's `underlay_mtu` is {wanted}",
                interface.name, interface.mtu
            ),
            format!(
                "raise it (`ip link set {} mtu {wanted}`), or write `underlay_mtu = {}`",
                interface.name, interface.mtu
            ),
        ),
        Ok(interface) => Finding::right(
            INTERFACES,
            format!("{} of host `{name}` has {address} and the MTU {}", interface.name, interface.mtu),
        ),
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

async fn interface_of(address: Ipv4Addr) -> Result<Interface, String> {
    let mut command = tokio::process::Command::new("ip");
    command.args(["-json", "-4", "address", "show", "to", &address.to_string()]);
    let ended = run(command, "").await.map_err(|reason| format!("`ip` can't be run: {reason}"))?;
    let found: Vec<serde_json::Value> = serde_json::from_str(&ended.output).unwrap_or_default();
    // Interfaces that don't have the address are empty objects.
    let mut named = found.into_iter().filter_map(|one| serde_json::from_value(one).ok());
    named.next().ok_or_else(|| "`ip` does not name its interface".to_owned())
}
