//! The part of a site that says where the store and the API are. Whoever only deletes needs nothing else: a wrong pool or policy
//! must not keep tenants or containers for ever.

use crate::source::Source;

/// The tables and keys of a site that are about its name, the store and the logins.
const OF_SERVICES: [&str; 4] = ["name", "etcd", "store", "keystone"];

/// The keys of `[ovn]` that say where its databases are.
const OF_OVN: [&str; 6] =
    ["northbound", "ca", "certificate", "private_key", "open_vswitch", "gateway_chassis"];

/// Returns a site file with what is said of the store and the engines, and nothing else; of `[midonet]` only these keys. Without a
/// provider router in them, the site manages its own. Returns none if the text is no TOML, or has no engine.
pub fn services_of(site: &Source, of_midonet: &[&str]) -> Option<Source> {
    let text = std::str::from_utf8(site.content.as_ref().ok()?).ok()?;
    let whole: toml::Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    let mut services = part(&whole, &OF_SERVICES);
    for (name, keys) in [("midonet", of_midonet), ("ovn", &OF_OVN)] {
        let Some(engine) = whole.get(name) else { continue };
        let mut engine = part(engine.as_table()?, keys);
        if !engine.contains_key("provider_router") {
            engine.insert("managed".to_owned(), true.into());
        }
        services.insert(name.to_owned(), engine.into());
    }
    if !services.contains_key("midonet") && !services.contains_key("ovn") {
        return None;
    }
    Some(Source::new(site.name.clone(), toml::to_string(&services).ok()?))
}

fn part(table: &toml::Table, keys: &[&str]) -> toml::Table {
    let wanted = table.iter().filter(|(key, _)| keys.contains(&key.as_str()));
    wanted.map(|(key, value)| (key.clone(), value.clone())).collect()
}
