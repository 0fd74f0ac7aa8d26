//! The keys of midonet-cni's own configuration.

use std::time::Duration;

use midoform_compiler::spec::{Profile, Site};

use super::keys::Keys;
use super::known_keys;
use super::login::Login;
use super::runtime::RuntimeConfig;
use super::settings::{Config, ExtraRoute, LogSettings, STATE_FOLDER, Timeouts};
use super::site;
use crate::protocol::error::{CniError, Result};
use crate::protocol::result::Dns;
use crate::protocol::version::Version;

/// Reads midonet-cni's own configuration.
pub(super) fn read(keys: &Keys<'_>, version: Version, name: String) -> Result<Config> {
    let (site_source, site) = site::parse_for(keys, site::read(keys)?, keys.nonempty("engine")?.as_deref())?;
    let mtu = keys.unless_detaching(mtu(keys, &site))?;
    let unknown = keys.map.keys().filter(|key| !key.contains('/') && !known_keys::contains(key));
    let warnings = unknown
        .map(|key| format!("the network configuration has the key `{key}`, which midonet-cni does not know"))
        .collect();
    Ok(Config {
        version,
        name,
        site_source,
        site,
        host_uuid: keys.uuid("host_uuid")?,
        open_vswitch: open_vswitch(keys)?,
        tenant: keys.unless_detaching(keys.string("tenant"))?,
        profile: keys.unless_detaching(profile(keys))?,
        first_bridge: None,
        bridge: keys.unless_detaching(keys.string("bridge"))?,
        mtu,
        routes: keys.unless_detaching(routes(keys))?,
        renames: keys.unless_detaching(keys.boolean("rename_existing"))?.unwrap_or(false),
        login: keys.unless_detaching(Login::read(keys, "login", "login_file"))?,
        etcd_login: keys.unless_detaching(Login::read(keys, "etcd_login", "etcd_login_file"))?,
        store: keys.path("store")?,
        state_folder: keys.path("state_dir")?.unwrap_or_else(|| STATE_FOLDER.into()),
        log: LogSettings {
            file: keys.unless_detaching(keys.path("log_file"))?,
            level: keys.unless_detaching(keys.string("log_level"))?,
        },
        timeouts: timeouts(keys)?,
        runtime: RuntimeConfig::default(),
        dns: Dns::default(),
        previous: None,
        valid_attachments: None,
        gc_disabled: false,
        warnings,
    })
}

/// Reads the address of the host's own Open vSwitch database.
fn open_vswitch(keys: &Keys<'_>) -> Result<Option<String>> {
    let Some(address) = keys.nonempty("open_vswitch")? else { return Ok(None) };
    if address.starts_with("unix:/") || address.starts_with("tcp:") {
        return Ok(Some(address));
    }
    let problem =
        format!("is `{address}`, which is not `unix:PATH` with an absolute path, or `tcp:HOST:PORT`");
    Err(CniError::configuration("open_vswitch", problem))
}

fn routes(keys: &Keys<'_>) -> Result<Vec<ExtraRoute>> {
    let value = keys.map.get("routes").filter(|value| !value.is_null());
    value.map_or(Ok(Vec::new()), |value| keys.decode("routes", value))
}

/// Reads the MTU of pods. The tunnels between the hosts have to carry it.
fn mtu(keys: &Keys<'_>, site: &Site) -> Result<Option<u16>> {
    let mtu = keys.mtu()?;
    let largest = site.largest_mtu();
    match mtu.filter(|mtu| *mtu > largest) {
        None => Ok(mtu),
        Some(mtu) => {
            let problem = format!("is {mtu}, and the tunnels between the hosts carry {largest} at most");
            let hint = "name the MTU of the hosts' network with the site's `underlay_mtu`";
            Err(CniError::configuration("mtu", problem).hint(hint))
        }
    }
}

fn profile(keys: &Keys<'_>) -> Result<Option<Profile>> {
    match keys.string("profile")?.as_deref() {
        None => Ok(None),
        Some("rainbond") => Ok(Some(Profile::Rainbond)),
        Some("strict") => Ok(Some(Profile::Strict)),
        Some(_) => Err(CniError::configuration("profile", "must be `rainbond` or `strict`")),
    }
}

fn timeouts(keys: &Keys<'_>) -> Result<Timeouts> {
    let seconds = |key: &str| -> Result<Option<Duration>> {
        Ok(keys.unless_detaching(keys.number(key, 1..=3600))?.map(Duration::from_secs))
    };
    let usual = Timeouts::default();
    Ok(Timeouts {
        call: seconds("timeout")?.unwrap_or(usual.call),
        add: seconds("add_timeout")?.unwrap_or(usual.add),
        other: usual.other,
    })
}
