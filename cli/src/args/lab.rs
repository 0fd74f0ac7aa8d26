//! The options of the laboratory.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Policy;

#[derive(Args)]
pub(crate) struct LabOptions {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

#[derive(Subcommand)]
pub(crate) enum LabCommand {
    /// Make a network for a spec on this machine, on OVN: hosts, pods and a world outside, each in a network namespace.
    Up(LabUpOptions),
    /// Run a command in a place, in the world or on a host, and end with its exit code.
    Exec(LabExecOptions),
    /// Send pings, or try a connection, from one place to another, and tell what midoform's trace says.
    Ping(LabPingOptions),
    /// Trace a packet: midoform's trace, and what ovn-trace says.
    Trace(LabTraceOptions),
    /// Tell what runs, and which places there are.
    Status(LabStatusOptions),
    /// Delete the laboratory: its processes, namespaces and files.
    Down(LabDownOptions),
}

/// The laboratory.
#[derive(Args, Clone)]
pub(crate) struct LabName {
    /// The name of the laboratory. The default is the only one that there is.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Args)]
#[command(after_help = UP_HELP)]
pub(crate) struct LabUpOptions {
    /// A tenant file, or a folder of tenant files.
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// The site file, if it is neither beside the tenant files nor in the parent folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// The name of the laboratory. The default is the name of the spec's folder.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The number of hosts, with tunnels between them.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) hosts: u8,
    /// Add a pod to a bridge (repeatable): TENANT/BRIDGE, or TENANT/BRIDGE/ADDRESS.
    #[arg(long = "pod", value_name = "PLACE")]
    pub(crate) pods: Vec<String>,
    /// The number of places that each bridge has at least: static ports, pods that the spec names, and others. The default is 2,
    /// as long as there are not more than 64 places.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=200))]
    pub(crate) pods_per_bridge: Option<u16>,
    /// Where packets are forwarded. The default is the kernel if it has the module openvswitch, or else userspace.
    #[arg(long, value_enum, value_name = "WHERE")]
    pub(crate) datapath: Option<DatapathChoice>,
    /// A folder in which a distribution with OVN is unpacked, instead of the system's packages (or MIDOFORM_OVN_ROOT).
    #[arg(long, value_name = "ROOT")]
    pub(crate) programs: Option<PathBuf>,
}

const UP_HELP: &str = "\
The laboratory has its own copy of the spec, of the site file and of the allocations, in its own folder below
$XDG_STATE_HOME/midoform/labs or /var/lib/midoform/labs. The copy of the site file names the laboratory's own OVN: the
servers, the store and the Keystone of the spec's site are never called, and its lock file is not changed. No interface of
this machine is used. A second `up` with the same name goes on where a first one was stopped, and takes over what has
changed in the spec. `midoform lab down` deletes everything, also after a `kill -9`.";

/// Where packets are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatapathChoice {
    Kernel,
    Userspace,
}

#[derive(Args)]
pub(crate) struct LabExecOptions {
    #[command(flatten)]
    pub(crate) lab: LabName,
    /// TENANT/BRIDGE/ADDRESS, TENANT/PORT for a static port, `world`, or `hostN`.
    pub(crate) place: String,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Two ends and a protocol.
#[derive(Args, Clone)]
pub(crate) struct LabPacket {
    /// TENANT/BRIDGE/ADDRESS, TENANT/PORT for a static port, `world` or `world/ADDRESS`.
    pub(crate) from: String,
    /// The same, or an address.
    pub(crate) to: String,
    /// A TCP connection to this port.
    #[arg(long, value_name = "PORT", conflicts_with = "udp", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) tcp: Option<u16>,
    /// A UDP packet to this port.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) udp: Option<u16>,
}

#[derive(Args)]
pub(crate) struct LabPingOptions {
    #[command(flatten)]
    pub(crate) lab: LabName,
    #[command(flatten)]
    pub(crate) packet: LabPacket,
    /// The number of pings or connections.
    #[arg(long, short, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) count: u16,
    /// The number of seconds to wait for answers.
    #[arg(long, short = 'W', value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) wait: u64,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct LabTraceOptions {
    #[command(flatten)]
    pub(crate) lab: LabName,
    #[command(flatten)]
    pub(crate) packet: LabPacket,
}

#[derive(Args)]
pub(crate) struct LabStatusOptions {
    #[command(flatten)]
    pub(crate) lab: LabName,
    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct LabDownOptions {
    #[command(flatten)]
    pub(crate) lab: LabName,
    /// Delete all laboratories below the folder of laboratories.
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}
