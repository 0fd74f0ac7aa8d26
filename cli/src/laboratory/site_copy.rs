//! The laboratory's copy of a site file: the same names, pools and defaults, with the laboratory's own OVN.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::spec::Site;
use midoform_lab::{World, host_name};
use toml::{Table, Value};
use uuid::Uuid;

use crate::error::CommandError;

/// The header of Geneve, the larger of the two encapsulations of OVN.
const GENEVE: u16 = 58;
/// The name of the network outside, if the site names none.
const NETWORK: &str = "world";
/// Networks for the outside: the ones for documentation, and others that nobody routes.
const OUTSIDE: [&str; 6] = [
    "198.51.100.0/24",
    "192.0.2.0/24",
    "203.0.113.0/24",
    "198.18.0.0/24",
    "100.127.255.0/24",
    "192.88.99.0/24",
];

/// What the copy is made for.
pub(crate) struct Purpose<'a> {
    /// The site, as its own file says.
    pub(crate) site: &'a Site,
    /// The remote of the laboratory's northbound database.
    pub(crate) northbound: &'a str,
    /// The number of hosts.
    pub(crate) hosts: u8,
    /// The ids of all hosts that static ports are on.
    pub(crate) port_hosts: &'a BTreeSet<Uuid>,
    /// The tenants' files, and other networks that the tenants have.
    pub(crate) tenants: &'a [Table],
    pub(crate) networks: &'a [Ipv4Net],
}

/// A copy of a site file.
pub(crate) struct SiteCopy {
    /// Its text.
    pub(crate) text: String,
    /// The network outside.
    pub(crate) world: World,
    /// The encapsulation of the tunnels.
    pub(crate) encapsulation: String,
    /// The MTU of the network between the hosts.
    pub(crate) underlay_mtu: u16,
    /// The number of the laboratory's host for each host of the site.
    pub(crate) hosts: Vec<(Uuid, u8)>,
}

/// Makes the copy.
///
/// # Errors
/// When the text is no TOML, or no network is left for the outside.
pub(crate) fn make(text: &str, purpose: &Purpose<'_>) -> Result<SiteCopy, CommandError> {
    let unreadable =
        |error: toml::de::Error| CommandError::Internal(format!("the site file is no TOML: {error}"));
    let mut table: Table = text.parse().map_err(unreadable)?;
    for services in ["store", "etcd", "keystone"] {
        table.remove(services);
    }
    let had_midonet = table.contains_key("midonet");
    if let Some(Value::Table(midonet)) = table.get_mut("midonet") {
        let version = midonet.get("version").cloned();
        *midonet = Table::new();
        midonet.insert("embedded".to_owned(), true.into());
        midonet.insert("managed".to_owned(), true.into());
        midonet.extend(version.map(|version| ("version".to_owned(), version)));
    }
    let underlay_mtu = underlay(&mut table, purpose.site, had_midonet);
    let hosts = hosts(&mut table, purpose);
    let (world, encapsulation) = ovn(&mut table, purpose)?;
    let table = toml::to_string(&table).map_err(|error| CommandError::Internal(error.to_string()))?;
    let text = format!(
        "# The laboratory's copy of the site file: its own OVN, and no store besides midoform.lock.\n{table}"
    );
    Ok(SiteCopy { text, world, encapsulation, underlay_mtu, hosts })
}

/// Writes the MTUs: pods have the one that they have on the site, and the laboratory's network between the hosts has room for it.
fn underlay(table: &mut Table, site: &Site, had_midonet: bool) -> u16 {
    let given = site.underlay_mtu.value;
    if !had_midonet {
        return given;
    }
    let underlay = given.saturating_add(GENEVE);
    table.insert("underlay_mtu".to_owned(), i64::from(underlay).into());
    let defaults = table.entry("defaults").or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(defaults) = defaults {
        defaults.entry("mtu").or_insert_with(|| i64::from(site.default_mtu()).into());
    }
    underlay
}

/// Puts every host of the site on one of the laboratory's hosts.
fn hosts(table: &mut Table, purpose: &Purpose<'_>) -> Vec<(Uuid, u8)> {
    let known: Vec<Uuid> = purpose.site.hosts.iter().map(|host| host.id.value).collect();
    let others = purpose.port_hosts.iter().filter(|id| !known.contains(id)).copied();
    let ids: Vec<Uuid> = known.iter().copied().chain(others).collect();
    let number = |at: usize| u8::try_from(at % usize::from(purpose.hosts)).unwrap_or(0) + 1;
    let Value::Array(entries) = table.entry("host").or_insert_with(|| Value::Array(Vec::new())) else {
        return Vec::new();
    };
    for id in ids.iter().skip(known.len()) {
        let keys = [("name", format!("host-{id}")), ("id", id.to_string())];
        entries.push(Value::Table(
            keys.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect(),
        ));
    }
    for (at, entry) in entries.iter_mut().enumerate() {
        if let Value::Table(entry) = entry {
            entry.insert("chassis".to_owned(), host_name(number(at)).into());
        }
    }
    if entries.is_empty() {
        table.remove("host");
    }
    ids.into_iter().enumerate().map(|(at, id)| (id, number(at))).collect()
}

/// Writes `[ovn]`: the site's encapsulation and network outside, if it has them, and the laboratory's servers.
fn ovn(table: &mut Table, purpose: &Purpose<'_>) -> Result<(World, String), CommandError> {
    let site = purpose.site.ovn.as_ref();
    let encapsulation = match table.get("ovn").and_then(|ovn| ovn.get("encapsulation")) {
        Some(Value::String(name)) => name.clone(),
        _ => "geneve".to_owned(),
    };
    let world = match site.and_then(|ovn| ovn.localnet.as_ref()) {
        Some(localnet) => World {
            network: localnet.network.value.clone(),
            provider: localnet.address.value,
            address: localnet.gateway.value,
            prefix: localnet.prefix,
            vlan: localnet.vlan.as_ref().map(|vlan| vlan.value),
        },
        None => {
            let network = outside(table, purpose)?;
            let at = |last: u32| Ipv4Addr::from(u32::from(network.network()) + last);
            World { network: NETWORK.to_owned(), provider: at(2), address: at(254), prefix: 24, vlan: None }
        }
    };
    let mut localnet = Table::new();
    localnet.insert("network".to_owned(), world.network.clone().into());
    localnet.insert("address".to_owned(), world.provider.to_string().into());
    localnet.insert("prefix".to_owned(), i64::from(world.prefix).into());
    localnet.insert("gateway".to_owned(), world.address.to_string().into());
    localnet.extend(world.vlan.map(|vlan| ("vlan".to_owned(), i64::from(vlan).into())));
    let mut ovn = Table::new();
    ovn.insert("northbound".to_owned(), vec![purpose.northbound.to_owned()].into());
    ovn.insert("managed".to_owned(), true.into());
    ovn.insert("gateway_chassis".to_owned(), vec![host_name(1)].into());
    ovn.insert("encapsulation".to_owned(), encapsulation.clone().into());
    ovn.insert("localnet".to_owned(), localnet.into());
    table.insert("ovn".to_owned(), ovn.into());
    Ok((world, encapsulation))
}

/// Returns a network that nothing in the spec names.
fn outside(site: &Table, purpose: &Purpose<'_>) -> Result<Ipv4Net, CommandError> {
    let mut named: Vec<Ipv4Net> = purpose.networks.to_vec();
    for table in purpose.tenants.iter().chain([site]) {
        table.values().for_each(|value| networks_in(value, &mut named));
    }
    let overlaps = |one: &Ipv4Net| named.iter().any(|other| one.contains(other) || other.contains(one));
    let free = OUTSIDE.iter().filter_map(|text| text.parse().ok()).find(|one| !overlaps(one));
    free.ok_or_else(|| {
        CommandError::Usage(format!(
            "the spec names all networks that the laboratory could have outside ({}): name another one with `[ovn]` \
             `localnet` in the site file",
            OUTSIDE.join(", ")
        ))
    })
}

/// Finds the addresses and networks in a value, but for those that stand for large parts of the Internet.
fn networks_in(value: &Value, found: &mut Vec<Ipv4Net>) {
    const LARGE: u8 = 8;
    match value {
        Value::String(text) => {
            for part in text.split(['-', ':', ',', ' ']) {
                let network =
                    part.parse::<Ipv4Net>().or_else(|_| part.parse::<Ipv4Addr>().map(Ipv4Net::from));
                found.extend(network.ok().filter(|network| network.prefix_len() >= LARGE));
            }
        }
        Value::Array(values) => values.iter().for_each(|value| networks_in(value, found)),
        Value::Table(table) => table.values().for_each(|value| networks_in(value, found)),
        _ => {}
    }
}
