//! The lock file (`midoform.lock`): [`Allocations`] as TOML that a reviewer can read and Git can merge.
//!
//! The content is the serde form of the allocations. The layout is this module's: a table for each tenant, sorted by
//! name, and the names of tables in the singular. Adding or removing a tenant changes only its own lines.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::ValueDeserializer;
use toml_edit::{Array, DocumentMut, Item, Table, Value};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::names::{PeerPair, TenantName};
use crate::network::allocation::{Allocations, LinkAddresses, TenantAllocation};
use crate::source::{Source, SourceId, Span};
use crate::spec::grammar::lock::LockKeys;
use crate::spec::grammar::{self, Reader, TomlValue};
use crate::spec::parse;

/// The version that this program writes.
const VERSION: i64 = 1;

const HEAD: &str = "\
# The addresses that midoform gave out. `midoform apply` writes this file: keep it in version control,
# and after a merge run `midoform validate`.
";

/// The tables of a tenant: the name of the field, and of the table in the file.
const TABLES: [(&str, &str); 3] = [("bridges", "bridge"), ("grown", "grown"), ("ids", "id")];

/// The content of a lock file.
#[derive(Clone, Debug, Default)]
pub struct LockFile {
    /// The allocations.
    pub allocations: Allocations,
    /// The other keys of a store whose values are kept in this file. The compiler does not use them.
    pub kept: BTreeMap<String, String>,
    /// The position of each tenant's table in the file, by the tenant's name.
    pub positions: BTreeMap<TenantName, Span>,
}

/// The link of a pair of peers.
#[derive(Deserialize)]
struct Peering {
    link: LinkAddresses,
}

/// Reads a lock file. A merge that left the lines of both sides in place is accepted; conflict marks are an error.
pub fn parse(source: &Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<LockFile> {
    if let Some(at) = conflict_mark(source.text()) {
        let span = Span { source: id, start: at, end: at + 7 };
        let message = "the lock file has the marks of a merge conflict";
        let help = "keep the lines of both sides, remove the marks, and run `midoform lock --repair`";
        diagnostics.push(Diagnostic::error(Code::LockConflict, span, message).help(help));
        return None;
    }
    let text = source.text();
    let is_readable = source.content.as_ref().is_ok_and(|bytes| std::str::from_utf8(bytes).is_ok());
    if is_readable && text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#')) {
        let span = Span { source: id, start: 0, end: 0 };
        let message = "the lock file is empty: the addresses that were allocated are lost";
        let help =
            "take it from version control again; remove it only if nothing of this site was ever applied";
        diagnostics.push(Diagnostic::error(Code::LockVersion, span, message).help(help));
        return None;
    }
    parse::document(source, id, diagnostics, |reader, file| read(reader, &file, text))
}

fn conflict_mark(text: &str) -> Option<u32> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>") {
            return u32::try_from(at).ok();
        }
        at += line.len();
    }
    None
}

fn read(reader: &mut Reader<'_>, file: &grammar::Table<'_, LockKeys>, text: &str) -> Option<LockFile> {
    let version = file.get(reader, |lock| &lock.version)?;
    if version.value != VERSION {
        let message = format!(
            "this lock file has version {}, and this midoform knows version {VERSION}",
            version.value
        );
        reader.push(Diagnostic::error(Code::LockVersion, version.span, message).help("use a newer midoform"));
        return None;
    }
    let tenants = file.get(reader, |lock| &lock.tenant);
    let mut positions = BTreeMap::new();
    for (name, value) in tenants.and_then(|value| value.get_ref().as_table()).into_iter().flatten() {
        positions.insert(TenantName::from(name.get_ref().as_ref()), reader.span(value.span()));
    }
    let mut tenants: BTreeMap<TenantName, TenantAllocation> = deserialize(reader, text, tenants);
    for network in tenants.values_mut().flat_map(|tenant| tenant.bridges.values_mut()) {
        *network = network.trunc();
    }
    let peers = file.get(reader, |lock| &lock.peer);
    let peers: BTreeMap<PeerPair, Peering> = deserialize(reader, text, peers);
    let peers = peers.into_iter().map(|(pair, peering)| (pair, peering.link)).collect();
    let generations = file.get(reader, |lock| &lock.generation);
    let generations = deserialize(reader, text, generations);
    let zone_hosts = file.get(reader, |lock| &lock.tunnel_zone_host);
    let zone_hosts = deserialize(reader, text, zone_hosts);
    let kept = file.get(reader, |lock| &lock.kept);
    let kept = deserialize(reader, text, kept);
    Some(LockFile { allocations: Allocations { tenants, peers, generations, zone_hosts }, kept, positions })
}

/// Reads a part of the file. Reports what is wrong with it, and keys that this midoform does not know.
fn deserialize<T: DeserializeOwned + Default>(
    reader: &mut Reader<'_>,
    text: &str,
    value: Option<&TomlValue<'_>>,
) -> T {
    let Some(value) = value else { return T::default() };
    let deserializer = ValueDeserializer::from(value.clone());
    let mut unknown = Vec::new();
    let read = serde_ignored::deserialize(deserializer, |path| unknown.push(keys_of(&path)));
    for keys in unknown {
        let key = keys.last().map_or("", String::as_str);
        let span = reader.span(position_of(value, &keys).unwrap_or_else(|| value.span()));
        let message = format!("the lock file has a key that this midoform does not know: `{key}`");
        let help = "use a newer midoform, or take the file from version control again";
        reader.push(Diagnostic::error(Code::UnknownKey, span, message).help(help));
    }
    read.unwrap_or_else(|error| {
        let range = error.span().unwrap_or_else(|| value.span());
        let span = reader.span(range.clone());
        let shown = text.get(range).filter(|shown| shown.len() <= 60 && !shown.contains('\n'));
        let shown = shown.map(|shown| format!("`{}`: ", shown.trim_matches('"'))).unwrap_or_default();
        let message = format!("the lock file is damaged: {shown}{}", error.message());
        let help = "take the file from version control again";
        reader.push(Diagnostic::error(Code::LockDamaged, span, message).help(help));
        T::default()
    })
}

/// Returns the keys that lead to a part of a table, the outermost first.
fn keys_of(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    let (parent, key) = match path {
        Path::Root => return Vec::new(),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Seq { parent, index } => (parent, Some(index.to_string())),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            (parent, None)
        }
    };
    keys_of(parent).into_iter().chain(key).collect()
}

/// Returns the position of the last of these keys.
fn position_of(value: &TomlValue<'_>, keys: &[String]) -> Option<std::ops::Range<usize>> {
    let (first, rest) = keys.split_first()?;
    let (key, value) = value.get_ref().as_table()?.iter().find(|(key, _)| key.get_ref() == first)?;
    if rest.is_empty() { Some(key.span()) } else { position_of(value, rest) }
}

/// Returns the lock file's text: sorted, and the same for the same allocations.
///
/// # Errors
/// When a value has no form in TOML; allocations have no such value.
pub fn to_toml(allocations: &Allocations) -> Result<String, toml_edit::ser::Error> {
    let mut tenants = Table::new();
    tenants.set_implicit(true);
    for (name, tenant) in &allocations.tenants {
        tenants.insert(name, Item::Table(tenant_table(tenant)?));
    }
    let mut peers = Table::new();
    peers.set_implicit(true);
    for (pair, link) in &allocations.peers {
        let mut table = Table::new();
        table.insert("link", Item::Value(link_value(link)?));
        peers.insert(&pair.to_string(), Item::Table(table));
    }
    let mut document = DocumentMut::new();
    document.insert("version", VERSION.into());
    if !allocations.generations.is_empty() {
        let mut generations = Table::new();
        for (key, generation) in &allocations.generations {
            generations.insert(key.as_str(), i64::from(*generation).into());
        }
        document.insert("generation", Item::Table(generations));
    }
    if !allocations.zone_hosts.is_empty() {
        let mut hosts = Table::new();
        for (id, name) in &allocations.zone_hosts {
            hosts.insert(&id.to_string(), name.as_str().into());
        }
        document.insert("tunnel_zone_host", Item::Table(hosts));
    }
    document.insert("tenant", Item::Table(tenants));
    document.insert("peer", Item::Table(peers));
    Ok(format!("{HEAD}{document}"))
}

fn link_value(link: &LinkAddresses) -> Result<Value, toml_edit::ser::Error> {
    serde::Serialize::serialize(link, toml_edit::ser::ValueSerializer::new())
}

fn tenant_table(tenant: &TenantAllocation) -> Result<Table, toml_edit::ser::Error> {
    let mut table = toml_edit::ser::to_document(tenant)?.into_table();
    if let Some(making) = table.get_mut("making") {
        *making = Item::Value(Value::Array(making_lines(tenant)));
    }
    for (field, name) in TABLES {
        if let Some((_, Item::Value(Value::InlineTable(inner)))) = table.remove_entry(field) {
            let mut inner = inner.into_table();
            // No empty line before it.
            inner.decor_mut().set_prefix("");
            table.insert(name, Item::Table(inner));
        }
    }
    Ok(table)
}

/// Returns the objects of [`TenantAllocation::making`], each on a line of its own as key and JSON.
fn making_lines(tenant: &TenantAllocation) -> Array {
    let mut lines = Array::new();
    for (key, object) in &tenant.making {
        let object = serde_json::to_string(object).unwrap_or_default();
        lines.push_formatted(Value::from(format!("{key} {object}")).decorated("\n  ", ""));
    }
    lines.set_trailing_comma(true);
    lines.set_trailing("\n");
    lines
}

/// Returns the names of the tenants whose allocations differ.
pub fn changed_tenants(before: &Allocations, after: &Allocations) -> Vec<TenantName> {
    let names: std::collections::BTreeSet<&TenantName> =
        before.tenants.keys().chain(after.tenants.keys()).collect();
    let changed = names.into_iter().filter(|name| before.tenants.get(*name) != after.tenants.get(*name));
    changed.cloned().collect()
}
