//! The network configuration that a runtime sends on standard input. `docs/cni.md` describes every key.

mod legacy;
mod runtime;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;
use midoform_compiler::diagnostic::{Diagnostics, Severity, report};
use midoform_compiler::source::{LARGEST_FILE, Source, SourceId, Unreadable};
use midoform_compiler::spec::{Profile, Site, parse};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::{Endpoint, Variables, container_problem};
use crate::protocol::result::{CniResult, Dns};
use crate::protocol::version::Version;

pub(crate) use runtime::{PortMapping, RuntimeConfig};

/// Where the MidoNet agent says which host this is, where the configuration does not.
const HOST_ID_FILES: [&str; 2] = ["/etc/midolman/host_uuid.properties", "/etc/midonet_host_id.properties"];

/// Where things are kept, where the configuration names no other place.
const STATE_FOLDER: &str = "/var/lib/midonet-cni";

/// The MTU of pods, where neither the configuration, the spec nor the site names one: that of an Ethernet of 1500
/// less what a tunnel takes, as in the Go plugin.
pub(crate) const DEFAULT_MTU: u16 = 1454;

/// The network configuration, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) version: Version,
    /// The network's name.
    pub(crate) name: String,
    /// The site file, or the same in JSON.
    pub(crate) site_source: Source,
    pub(crate) site: Site,
    /// The host's id, where the configuration names it.
    host: Option<Uuid>,
    /// The tenant of pods that come without one.
    pub(crate) tenant: Option<String>,
    /// The profile of tenants without a spec.
    pub(crate) profile: Option<Profile>,
    /// The network of the first bridge of tenants without a spec.
    pub(crate) first_bridge: Option<Ipv4Net>,
    /// The bridge that pods go on, where it is not any with room.
    pub(crate) bridge: Option<String>,
    pub(crate) mtu: Option<u16>,
    /// Routes besides the default route.
    pub(crate) routes: Vec<ExtraRoute>,
    /// An interface that is there already is renamed (`eth0` to `eth1`), whoever made it.
    pub(crate) renames: bool,
    pub(crate) login: Login,
    /// How etcd is logged in to.
    pub(crate) etcd_login: Login,
    pub(crate) store: Option<PathBuf>,
    /// Where the journal, the token and the embedded store are.
    pub(crate) state_folder: PathBuf,
    pub(crate) log: LogSettings,
    pub(crate) timeouts: Timeouts,
    pub(crate) runtime: RuntimeConfig,
    /// Name resolution, where the tenant has none.
    pub(crate) dns: Dns,
    /// The result of the plugin before this one.
    pub(crate) previous: Option<CniResult>,
    /// GC: what the runtime still has.
    pub(crate) valid: Option<Vec<Endpoint>>,
    pub(crate) gc_disabled: bool,
    /// What is obsolete or unknown.
    pub(crate) warnings: Vec<String>,
}

/// A route besides the default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtraRoute {
    pub(crate) dst: Ipv4Net,
    /// The bridge's gateway where absent.
    #[serde(default)]
    pub(crate) gw: Option<std::net::Ipv4Addr>,
}

/// How the API is logged in to.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    #[serde(default)]
    pub(crate) username: Option<String>,
    #[serde(default)]
    pub(crate) password: Option<String>,
    #[serde(default)]
    pub(crate) project: Option<String>,
    #[serde(default)]
    pub(crate) token: Option<String>,
}

/// Secrets are not shown.
impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct LogSettings {
    /// Standard error where absent.
    pub(crate) file: Option<PathBuf>,
    pub(crate) level: Option<String>,
}

/// How long things may take. All below what runtimes wait, so that an end is this plugin's own, and clean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// One call of the API or the store.
    pub(crate) call: Duration,
    /// ADD, before it is taken back.
    pub(crate) add: Duration,
    /// Every other verb.
    pub(crate) other: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Timeouts { call: seconds(3), add: seconds(20), other: seconds(8) }
    }
}

/// The keys of the specification, of libcni and of midonet-cni: others are told of.
const KEYS: &[&str] = &[
    "add_timeout",
    "args",
    "bridge",
    "capabilities",
    "cniVersion",
    "cniVersions",
    "disableCheck",
    "disableGC",
    "dns",
    "etcd_login",
    "etcd_login_file",
    "host_uuid",
    "ipMasq",
    "ipam",
    "loadOnlyInlinedPlugins",
    "log_file",
    "log_level",
    "login",
    "login_file",
    "mtu",
    "name",
    "prevResult",
    "profile",
    "rename_existing",
    "routes",
    "runtimeConfig",
    "site",
    "state_dir",
    "store",
    "tenant",
    "timeout",
    "type",
];

/// The version that the configuration asks for, as far as it can be seen: errors are told in its form as well.
pub(crate) fn version_of(text: &str) -> String {
    let value = serde_json::from_str::<Value>(text).ok();
    let named = value.as_ref().and_then(|value| value.get("cniVersion")).and_then(Value::as_str);
    named.filter(|named| Version::parse(named).is_ok()).unwrap_or(Version::NEWEST.as_str()).to_owned()
}

impl Config {
    /// Reads a network configuration.
    pub(crate) fn parse(text: &str, variables: Variables<'_>) -> Result<Config> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            CniError::new(Code::Decoding, "the network configuration on standard input is not JSON")
                .details(error.to_string())
        })?;
        let Value::Object(map) = value else {
            return Err(CniError::new(Code::Decoding, "the network configuration is not a JSON object"));
        };
        let keys = Keys { map: &map };
        let version = Version::parse(&keys.string("cniVersion")?.unwrap_or_default())?;
        let name = keys.string("name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| CniError::configuration("name", "is missing"))?;
        // The specification's rule for both.
        if let Some(problem) = container_problem(&name) {
            return Err(CniError::configuration("name", problem));
        }
        let mut config = match legacy::is_legacy(&map) {
            true => legacy::read(&keys, version, name)?,
            false => own(&keys, version, name)?,
        };
        config.runtime = runtime::read(&keys)?;
        if let Some(dns) = map.get("dns").filter(|dns| !dns.is_null()) {
            config.dns = keys.decode("dns", dns)?;
        }
        if let Some(previous) = map.get("prevResult").filter(|previous| !previous.is_null()) {
            match CniResult::parse(previous, version) {
                // A container that can't be removed because of what was said of it earlier would stay for good.
                Err(error) if variables("CNI_COMMAND").as_deref() == Some("DEL") => {
                    config.warnings.push(error.to_string());
                }
                other => config.previous = Some(other?),
            }
        }
        config.valid = valid_attachments(&map)?;
        config.gc_disabled = map.get("disableGC").is_some_and(|value| *value == Value::Bool(true));
        take_login_of_environment(&mut config.login, variables);
        Ok(config)
    }

    /// The host that this is: as configured, or as the MidoNet agent wrote it down.
    pub(crate) fn host(&self) -> Result<Uuid> {
        if let Some(host) = self.host {
            return Ok(host);
        }
        let mut tried = Vec::new();
        for path in HOST_ID_FILES {
            match host_of_file(Path::new(path)) {
                Ok(host) => return Ok(host),
                Err(problem) => tried.push(format!("{path}: {problem}")),
            }
        }
        Err(CniError::configuration("host_uuid", "is missing, and no file of the MidoNet agent says it")
            .details(tried.join("; ")))
    }
}

/// `host_uuid=…` in a file of the agent.
fn host_of_file(path: &Path) -> std::result::Result<Uuid, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "host_uuid").then(|| value.trim().to_owned())
    });
    let value = line.ok_or("there is no line host_uuid=…")?;
    Uuid::try_parse(&value).map_err(|_| format!("`{value}` is not a UUID"))
}

/// Reads midonet-cni's own configuration.
fn own(keys: &Keys<'_>, version: Version, name: String) -> Result<Config> {
    let site_source = site_source(keys)?;
    let site = site_of(&site_source)?;
    let mut warnings = Vec::new();
    for key in keys.map.keys().filter(|key| !key.contains('/') && !KEYS.contains(&key.as_str())) {
        warnings.push(format!("the network configuration's `{key}` means nothing to midonet-cni"));
    }
    let login = login_of(keys, "login", "login_file")?;
    let etcd_login = login_of(keys, "etcd_login", "etcd_login_file")?;
    let seconds =
        |key: &str| -> Result<Option<Duration>> { Ok(keys.number(key, 1..=3600)?.map(Duration::from_secs)) };
    let usual = Timeouts::default();
    let profile = match keys.string("profile")?.as_deref() {
        None => None,
        Some("rainbond") => Some(Profile::Rainbond),
        Some("strict") => Some(Profile::Strict),
        Some(_) => return Err(CniError::configuration("profile", "has to be `rainbond` or `strict`")),
    };
    Ok(Config {
        version,
        name,
        site_source,
        site,
        host: keys.uuid("host_uuid")?,
        tenant: keys.string("tenant")?,
        profile,
        first_bridge: None,
        bridge: keys.string("bridge")?,
        mtu: keys.mtu()?,
        routes: match keys.map.get("routes") {
            Some(value) => keys.decode("routes", value)?,
            None => Vec::new(),
        },
        renames: keys.boolean("rename_existing")?.unwrap_or(false),
        login,
        etcd_login,
        store: keys.path("store")?,
        state_folder: keys.path("state_dir")?.unwrap_or_else(|| STATE_FOLDER.into()),
        log: LogSettings { file: keys.path("log_file")?, level: keys.string("log_level")? },
        timeouts: Timeouts {
            call: seconds("timeout")?.unwrap_or(usual.call),
            add: seconds("add_timeout")?.unwrap_or(usual.add),
            other: usual.other,
        },
        runtime: RuntimeConfig::default(),
        dns: Dns::default(),
        previous: None,
        valid: None,
        gc_disabled: false,
        warnings,
    })
}

/// The site file, or its content as JSON.
fn site_source(keys: &Keys<'_>) -> Result<Source> {
    match keys.map.get("site") {
        None => Err(CniError::configuration("site", "is missing")
            .details("the path of the site file, or its content")),
        Some(Value::String(path)) => Ok(read_site(Path::new(path))),
        Some(Value::Object(inline)) => {
            let text = toml::to_string(inline)
                .map_err(|error| CniError::configuration("site", format!("can't be read: {error}")))?;
            Ok(Source::new("site", text))
        }
        Some(_) => Err(CniError::configuration("site", "has to be a path or an object")),
    }
}

fn read_site(path: &Path) -> Source {
    let name = path.display().to_string();
    let size = std::fs::metadata(path).map(|metadata| metadata.len());
    let content = match size {
        Ok(size) if size > LARGEST_FILE => Err(Unreadable::TooLarge(size)),
        _ => std::fs::read(path).map_err(|error| Unreadable::Failed(error.to_string())),
    };
    Source { name: name.into(), content }
}

/// Parses a site, and says everything that is wrong with it.
pub(crate) fn site_of(source: &Source) -> Result<Site> {
    let mut diagnostics = Diagnostics::default();
    let site = parse::site(source, SourceId(0), &mut diagnostics);
    let failed = diagnostics.has_errors();
    let found = diagnostics.into_sorted();
    let site = match site {
        Some(site) if !failed => site,
        _ => {
            let sources = [source];
            return Err(CniError::configuration("site", "is wrong").details(in_words(&found, &sources)));
        }
    };
    if site.midonet.url.is_none() {
        let problem = "says `embedded = true`, and a plugin that ends can't serve an API";
        return Err(
            CniError::configuration("site", problem).details("run `midoform serve`, and name its `url`")
        );
    }
    Ok(site)
}

/// Errors of a spec, in one line each.
pub(crate) fn in_words(found: &[midoform_compiler::diagnostic::Diagnostic], sources: &[&Source]) -> String {
    let lines = report(found, sources).into_iter().filter(|finding| finding.severity == Severity::Error);
    let lines: Vec<String> = lines
        .map(|finding| {
            let place = finding.places.first().map(|place| format!("{}:{}: ", place.file, place.line));
            format!("{}{}", place.unwrap_or_default(), finding.message)
        })
        .collect();
    lines.join("; ")
}

/// A login that stands in the configuration, or in a file.
fn login_of(keys: &Keys<'_>, inline: &str, file: &str) -> Result<Login> {
    match (keys.map.get(inline), keys.string(file)?) {
        (Some(_), Some(_)) => {
            Err(CniError::configuration(file, format!("and `{inline}` exclude each other")))
        }
        (Some(value), None) => keys.decode(inline, value),
        (None, Some(path)) => read_login(file, Path::new(&path)),
        (None, None) => Ok(Login::default()),
    }
}

fn read_login(key: &str, path: &Path) -> Result<Login> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        CniError::configuration(key, format!("({}) can't be read: {error}", path.display()))
    })?;
    // serde's words would quote what stands there.
    serde_json::from_str(&text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let problem = format!("({}) is not {{\"username\": …, \"password\": …}} ({place})", path.display());
        CniError::configuration(key, problem)
    })
}

fn take_login_of_environment(login: &mut Login, variables: Variables<'_>) {
    let variable = |name: &str| variables(name).filter(|value| !value.is_empty());
    if *login != Login::default() {
        return;
    }
    *login = Login {
        username: variable("MIDONET_USERNAME"),
        password: variable("MIDONET_PASSWORD"),
        project: variable("MIDONET_PROJECT"),
        token: variable("MIDONET_TOKEN"),
    };
}

/// What GC must keep. libcni sends it under two names, and an empty list as null; a missing one is not an empty one.
fn valid_attachments(map: &Map<String, Value>) -> Result<Option<Vec<Endpoint>>> {
    #[derive(Deserialize)]
    struct Attachment {
        #[serde(rename = "containerID")]
        container: String,
        ifname: String,
    }
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        let Some(value) = map.get(key) else { continue };
        let list: Option<Vec<Attachment>> = serde_json::from_value(value.clone())
            .map_err(|error| CniError::configuration(key, format!("can't be read: {error}")))?;
        let endpoints = list
            .unwrap_or_default()
            .into_iter()
            .map(|one| Endpoint { container: one.container, interface: one.ifname });
        return Ok(Some(endpoints.collect()));
    }
    Ok(None)
}

/// The keys of a configuration, with words for what is wrong.
pub(crate) struct Keys<'a> {
    pub(crate) map: &'a Map<String, Value>,
}

impl Keys<'_> {
    pub(crate) fn string(&self, key: &str) -> Result<Option<String>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(CniError::configuration(key, "has to be a string")),
        }
    }

    /// A string that says something.
    pub(crate) fn filled(&self, key: &str) -> Result<Option<String>> {
        Ok(self.string(key)?.filter(|text| !text.is_empty()))
    }

    pub(crate) fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        Ok(self.filled(key)?.map(PathBuf::from))
    }

    fn boolean(&self, key: &str) -> Result<Option<bool>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(CniError::configuration(key, "has to be true or false")),
        }
    }

    pub(crate) fn uuid(&self, key: &str) -> Result<Option<Uuid>> {
        let Some(text) = self.filled(key)? else { return Ok(None) };
        let wrong = || CniError::configuration(key, format!("is `{text}`, which is not a UUID"));
        Uuid::try_parse(&text).map(Some).map_err(|_| wrong())
    }

    pub(crate) fn number(&self, key: &str, bounds: std::ops::RangeInclusive<u64>) -> Result<Option<u64>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let found = value.as_u64().filter(|number| bounds.contains(number));
                let problem = format!("has to be a number from {} to {}", bounds.start(), bounds.end());
                found.map(Some).ok_or_else(|| CniError::configuration(key, problem))
            }
        }
    }

    pub(crate) fn mtu(&self) -> Result<Option<u16>> {
        // 0 is how other plugins say "the usual one".
        if self.map.get("mtu") == Some(&Value::from(0)) {
            return Ok(None);
        }
        Ok(self.number("mtu", 576..=65535)?.and_then(|mtu| u16::try_from(mtu).ok()))
    }

    pub(crate) fn decode<T: for<'a> Deserialize<'a>>(&self, key: &str, value: &Value) -> Result<T> {
        T::deserialize(value).map_err(|error| CniError::configuration(key, format!("can't be read: {error}")))
    }
}
