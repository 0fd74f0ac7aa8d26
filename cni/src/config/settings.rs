//! The checked network configuration.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;
use midoform_compiler::source::Source;
use midoform_compiler::spec::{Profile, Site, parse};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::login::Login;
use super::runtime::RuntimeConfig;
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::{Endpoint, Request, network_of};
use crate::protocol::result::{CniResult, Dns};
use crate::protocol::version::Version;

/// The files in which the MidoNet agent keeps the host's id.
const HOST_ID_FILES: [&str; 2] = ["/etc/midolman/host_uuid.properties", "/etc/midonet_host_id.properties"];

/// The state folder, if the configuration names no other.
pub(crate) const STATE_FOLDER: &str = "/var/lib/midonet-cni";

/// The checked network configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// The version of CNI.
    pub(crate) version: Version,
    /// The network's name.
    pub(crate) name: String,
    /// The site file, or the same in JSON.
    pub(crate) site_source: Source,
    pub(crate) site: Site,
    /// The host's id, if the configuration names it.
    pub(crate) host_uuid: Option<Uuid>,
    /// The address of the host's own Open vSwitch database, if the configuration names it.
    pub(crate) open_vswitch: Option<String>,
    /// The tenant of pods that come without one.
    pub(crate) tenant: Option<String>,
    /// The profile of tenants without a spec.
    pub(crate) profile: Option<Profile>,
    /// The network of the first bridge of tenants without a spec.
    pub(crate) first_bridge: Option<Ipv4Net>,
    /// The bridge of the pods. Without it, any bridge that has a free address.
    pub(crate) bridge: Option<String>,
    /// The MTU of pods, if the configuration names it.
    pub(super) mtu: Option<u16>,
    /// Routes besides the default route.
    pub(crate) routes: Vec<ExtraRoute>,
    /// True if an existing interface is renamed (`eth0` to `eth1`), whoever made it.
    pub(super) renames: bool,
    /// The login to the API.
    pub(crate) login: Login,
    /// The login to etcd.
    pub(crate) etcd_login: Login,
    /// The file of the embedded store.
    pub(crate) store: Option<PathBuf>,
    /// The folder of the journal, the token and the embedded store.
    pub(crate) state_folder: PathBuf,
    pub(crate) log: LogSettings,
    pub(crate) timeouts: Timeouts,
    /// The parameters of this run.
    pub(crate) runtime: RuntimeConfig,
    /// Name resolution, for tenants without their own.
    pub(crate) dns: Dns,
    /// `prevResult`: the result of the previous plugin.
    pub(crate) previous: Option<CniResult>,
    /// GC: the endpoints that the runtime still has.
    pub(crate) valid_attachments: Option<Vec<Endpoint>>,
    /// True if GC does nothing.
    pub(crate) gc_disabled: bool,
    /// Obsolete and unknown keys, for the log.
    pub(crate) warnings: Vec<String>,
}

/// A route besides the default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtraRoute {
    #[serde(deserialize_with = "network")]
    pub(crate) dst: Ipv4Net,
    /// The next hop. Without it, the bridge's gateway.
    #[serde(default)]
    pub(crate) gw: Option<Ipv4Addr>,
}

fn network<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Ipv4Net, D::Error> {
    let text = String::deserialize(deserializer)?;
    network_of(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not a network")))
}

/// The log's file and level.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSettings {
    /// The log file. Without it, standard error.
    pub(crate) file: Option<PathBuf>,
    pub(crate) level: Option<String>,
}

/// Time limits. All are shorter than those of the runtimes, so that the plugin itself ends a run and cleans up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// The limit of one call of the API or the store.
    pub(crate) call: Duration,
    /// The limit of ADD, without the rollback.
    pub(crate) add: Duration,
    /// The limit of every other verb.
    pub(crate) other: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Timeouts { call: seconds(3), add: seconds(20), other: seconds(8) }
    }
}

impl Config {
    /// Returns the host's id that the MidoNet agent keeps in a file.
    pub(crate) fn host_of_agent(&self) -> Result<Uuid> {
        let mut tried = Vec::new();
        for path in HOST_ID_FILES {
            match host_id_in(Path::new(path)) {
                Ok(host) => return Ok(host),
                Err(problem) => tried.push(format!("{path}: {problem}")),
            }
        }
        Err(CniError::configuration("host_uuid", "is missing, and no file of the MidoNet agent has it")
            .hint(tried.join("; ")))
    }

    /// Returns the tenant of a pod: its Kubernetes namespace, otherwise `args.cni.tenant`, otherwise the configured tenant.
    pub(crate) fn tenant_of(&self, request: &Request) -> Result<String> {
        let named = [&request.arguments.pod_namespace, &self.runtime.tenant, &self.tenant];
        let Some(name) = named.into_iter().flatten().next() else {
            return Err(CniError::configuration(
                "tenant",
                "is missing, and neither K8S_POD_NAMESPACE nor args.cni.tenant names a tenant",
            ));
        };
        match parse::name_problem(name) {
            None => Ok(name.clone()),
            Some(problem) => {
                Err(CniError::new(Code::InvalidEnvironment, format!("the tenant `{name}` {problem}")))
            }
        }
    }

    /// Returns the MTU of a pod. `tenant` is the MTU of its tenant's spec or of the site. If nothing names one, it is the
    /// MTU that fits the tunnels between the hosts.
    pub(crate) fn mtu_of(&self, tenant: Option<u16>) -> u16 {
        self.mtu.or(tenant).unwrap_or_else(|| self.site.default_mtu())
    }

    /// Returns true if an existing interface of the requested name may be renamed: the configuration allows it, or a
    /// previous plugin of the chain made the interface.
    pub(crate) fn may_rename(&self, endpoint: &Endpoint) -> bool {
        let mut inside = self
            .previous
            .iter()
            .flat_map(|previous| &previous.interfaces)
            .filter(|interface| !interface.sandbox.is_empty());
        self.renames || inside.any(|interface| interface.name == endpoint.interface)
    }
}

/// Reads `host_uuid=…` in a file of the agent.
fn host_id_in(path: &Path) -> std::result::Result<Uuid, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "host_uuid").then(|| value.trim().to_owned())
    });
    let value = line.ok_or("the file has no line host_uuid=…")?;
    Uuid::try_parse(&value).map_err(|_| format!("`{value}` is not a UUID"))
}
