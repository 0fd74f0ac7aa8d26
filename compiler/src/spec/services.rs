//! The part of a site that says where the store and the API are. Whoever only deletes needs nothing else: a wrong pool or policy
//! must not keep tenants or containers for ever.

use crate::source::Source;

/// The tables and keys of a site that are about its name, the store and the logins.
const OF_SERVICES: [&str; 4] = ["name", "etcd", "store", "keystone"];

/// Returns a site file with what is said of the store and the API, and nothing else; of `[midonet]` only these keys. Without a
/// provider router in them, the site manages its own. Returns none if the text is no TOML, or has no `[midonet]`.
pub fn services_of(site: &Source, of_midonet: &[&str]) -> Option<Source> {
    let text = std::str::from_utf8(site.content.as_ref().ok()?).ok()?;
    let whole: toml::Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    let mut services = part(&whole, &OF_SERVICES);
    let mut midonet = part(whole.get("midonet")?.as_table()?, of_midonet);
    if !midonet.contains_key("provider_router") {
        midonet.insert("managed".to_owned(), true.into());
    }
    services.insert("midonet".to_owned(), midonet.into());
    Some(Source::new(site.name.clone(), toml::to_string(&services).ok()?))
}

fn part(table: &toml::Table, keys: &[&str]) -> toml::Table {
    let wanted = table.iter().filter(|(key, _)| keys.contains(&key.as_str()));
    wanted.map(|(key, value)| (key.clone(), value.clone())).collect()
}
