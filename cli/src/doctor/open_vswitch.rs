//! This machine as a host of OVN: its own Open vSwitch database, its chassis, its tunnels, and ovn-controller.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use midoform_compiler::error_chain::in_one_line;
use midoform_compiler::spec::{OvnSettings, Site};
use midoform_ovsdb::{Remote, parse_remotes};
use midoform_reconcile::northbound::Northbound;
use midoform_reconcile::open_vswitch::{Host, OpenVswitch, USUAL};

use super::{Finding, machine, ovn};

const OPEN_VSWITCH: &str = "Open vSwitch";
const CHASSIS: &str = "chassis";
const TUNNELS: &str = "tunnels";
const CONTROLLER: &str = "ovn-controller";

/// The time limit of one request to a database of this machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Judges this machine, if it is a host of OVN: its database is there, or the plugin is installed. `northbound` is the site's, if it
/// can be used.
pub(crate) async fn examine(
    site: &Site,
    settings: &OvnSettings,
    northbound: Option<&Northbound>,
    has_plugin: bool,
) -> Vec<Finding> {
    let remote = settings.open_vswitch.as_ref().map_or(USUAL, |remote| remote.value.as_str());
    if !has_plugin && is_absent(remote) {
        let reason = format!("there is no {remote}: this machine is no host of OVN");
        return vec![Finding::skipped(OPEN_VSWITCH, reason)];
    }
    let read = async {
        let database = OpenVswitch::new(remote, LIMIT)?;
        let host = database.host().await?;
        Ok::<_, midoform_ovsdb::Error>((database, host))
    };
    let (database, host) = match read.await {
        Ok(both) => both,
        Err(error) => {
            let advice = ovn::no_connection(&error, "host's Open vSwitch");
            return vec![Finding::wrong(OPEN_VSWITCH, in_one_line(&error), advice)];
        }
    };
    if host.southbound.is_none() && !has_plugin {
        let reason = format!("{remote} has no `ovn-remote`: this machine is no host of OVN");
        return vec![Finding::skipped(OPEN_VSWITCH, reason)];
    }
    let mut findings = vec![switch(remote, &database, &host).await, chassis(site, &host)];
    if host.datapath.as_deref().is_some_and(|datapath| datapath != "netdev") {
        findings.push(machine::datapath());
    }
    findings.extend(tunnels(site, settings, &host).await);
    findings.push(controller(northbound, &database, &host).await);
    findings
}

/// Returns true if the remote is a socket that does not exist. One that can't be looked at is there.
fn is_absent(remote: &str) -> bool {
    match parse_remotes(remote).as_deref() {
        Ok([Remote::Unix(path)]) => is_missing(path),
        _ => false,
    }
}

fn is_missing(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// Judges ovs-vswitchd and the integration bridge.
async fn switch(remote: &str, database: &OpenVswitch, host: &Host) -> Finding {
    let Some(datapath) = &host.datapath else {
        return Finding::wrong(
            OPEN_VSWITCH,
            format!("{remote} has no integration bridge {}", host.bridge),
            "start ovn-controller on this host, which makes it",
        );
    };
    let datapath = if datapath == "netdev" { "in userspace" } else { "in the kernel" };
    match database.is_followed(LIMIT).await {
        Ok(true) => Finding::right(OPEN_VSWITCH, format!("{remote} has {}, {datapath}", host.bridge)),
        Ok(false) => Finding::wrong(
            OPEN_VSWITCH,
            format!("ovs-vswitchd has not followed {remote} for {} s", LIMIT.as_secs()),
            "start ovs-vswitchd, or look into its log",
        ),
        Err(error) => Finding::wrong(OPEN_VSWITCH, in_one_line(&error), "look into the log of ovsdb-server"),
    }
}

/// Judges who this host is to OVN.
fn chassis(site: &Site, host: &Host) -> Finding {
    let set = |key: &str, value: &str| format!("ovs-vsctl set open_vswitch . external_ids:{key}={value}");
    let Some(name) = &host.chassis else {
        return Finding::wrong(CHASSIS, "this host has no `system-id`", set("system-id", "NAME"));
    };
    let Some(southbound) = &host.southbound else {
        return Finding::wrong(
            CHASSIS,
            format!("host `{name}` has no `ovn-remote`"),
            set("ovn-remote", "tcp:ADDRESS:6642"),
        );
    };
    let is_gateway =
        site.ovn.iter().flat_map(|settings| &settings.gateway_chassis).any(|gateway| gateway.value == *name);
    let role = if is_gateway { ", a gateway of the site" } else { "" };
    Finding::right(CHASSIS, format!("this host is `{name}`{role}; its southbound database is {southbound}"))
}

/// Judges the ends of the tunnels: their type, and for each address that this machine has it, with the MTU that the site promises.
async fn tunnels(site: &Site, settings: &OvnSettings, host: &Host) -> Vec<Finding> {
    let (Some(types), Some(addresses)) = (&host.encapsulation, &host.tunnel_addresses) else {
        let lacking = if host.encapsulation.is_none() { "ovn-encap-type" } else { "ovn-encap-ip" };
        let advice = format!(
            "ovs-vsctl set open_vswitch . external_ids:ovn-encap-type={} external_ids:ovn-encap-ip=ADDRESS",
            settings.encapsulation.name()
        );
        return vec![Finding::wrong(TUNNELS, format!("this host has no `{lacking}`"), advice)];
    };
    let wanted = settings.encapsulation.name();
    let mut findings = Vec::new();
    if !types.split(',').any(|one| one.trim() == wanted) {
        findings.push(Finding::doubtful(
            TUNNELS,
            format!("this host's tunnels are {types}, and the site says {wanted}"),
            format!("correct `external_ids:ovn-encap-type`, or write `encapsulation = \"{}\"`", types.trim()),
        ));
    }
    for address in addresses.split(',').map(str::trim) {
        findings.push(match address.parse::<Ipv4Addr>() {
            Ok(address) => machine::tunnel_end(TUNNELS, "this host's `ovn-encap-ip`", address, site).await,
            Err(_) => Finding::skipped(TUNNELS, format!("`{address}` is no IPv4 address")),
        });
    }
    findings
}

/// Judges ovn-controller: whether this host has made the flows of what the northbound database says now.
async fn controller(northbound: Option<&Northbound>, database: &OpenVswitch, host: &Host) -> Finding {
    let Some(northbound) = northbound else {
        return Finding::skipped(
            CONTROLLER,
            "the northbound database can't be used, so nothing can be followed",
        );
    };
    let wanted = match northbound.number().await {
        Ok(wanted) => wanted,
        Err(error) => return Finding::skipped(CONTROLLER, in_one_line(&error)),
    };
    let advice =
        "start ovn-controller; its log says whether it reaches the southbound database (`ovn-remote`)";
    if host.datapath.is_none() {
        return Finding::wrong(CONTROLLER, "it has not made the integration bridge", advice);
    }
    let end = tokio::time::Instant::now() + ovn::PATIENCE;
    loop {
        match database.host().await {
            Err(error) => return Finding::skipped(CONTROLLER, in_one_line(&error)),
            Ok(host) if host.followed.is_some_and(|number| number >= wanted) => {
                return Finding::right(CONTROLLER, "is connected, and this host has its flows");
            }
            Ok(host) if tokio::time::Instant::now() >= end => {
                let behind = match host.followed {
                    Some(number) => format!("is at {number} of the northbound database's {wanted}"),
                    None => "has never followed the northbound database".to_owned(),
                };
                return Finding::wrong(CONTROLLER, behind, advice);
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
