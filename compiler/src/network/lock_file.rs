//! The lock file (`midoform.lock`): allocations as TOML that a reviewer can read and Git can merge.
//!
//! One table for each tenant, sorted by name; adding or removing a tenant changes only its own lines.

use std::collections::BTreeMap;
use std::fmt::Write;

use ipnet::Ipv4Net;
use uuid::Uuid;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::network::address_ranges::Claims;
use crate::network::allocation::{Allocations, LinkAddresses, TenantAllocation};
use crate::source::{Source, SourceId, Span};
use crate::spec;
use crate::spec::grammar::lock::{LockKeys, LockLinkKeys, LockTenantKeys};
use crate::spec::grammar::{Reader, Table};
use crate::spec::parse;
use crate::topology::key::Key;

/// The version that this program writes.
const VERSION: i64 = 1;

const HEAD: &str = "\
# The addresses that midoform gave out. `midoform apply` writes this file: keep it in version control,
# and after a merge run `midoform validate`.
version = 1
";

/// Reads a lock file. A merge that left both sides in place reads well; one with conflict marks is an error.
pub fn parse(source: &Source, id: SourceId, diagnostics: &mut Diagnostics) -> Option<Allocations> {
    if let Some(at) = conflict_mark(source.text()) {
        let span = Span { source: id, start: at, end: at + 7 };
        let message = "the lock file has the marks of a merge conflict";
        let help = "keep the lines of both sides, take the marks out, and run `midoform lock --repair`";
        diagnostics.push(Diagnostic::error(Code::LockConflict, span, message).help(help));
        return None;
    }
    parse::document(source, id, diagnostics, read)
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

fn read(reader: &mut Reader<'_>, file: Table<'_, LockKeys>) -> Option<Allocations> {
    let version = file.get(reader, |lock| &lock.version)?;
    if version.value != VERSION {
        let message = format!(
            "this lock file has version {}, and this midoform knows version {VERSION}",
            version.value
        );
        reader.push(Diagnostic::error(Code::LockVersion, version.span, message).help("use a newer midoform"));
        return None;
    }
    let mut allocations = Allocations::default();
    for (name, table) in file.get(reader, |lock| &lock.tenant).unwrap_or_default() {
        let entry = tenant(reader, &table);
        allocations.tenants.insert(name, entry);
    }
    for (pair, table) in file.get(reader, |lock| &lock.peer).unwrap_or_default() {
        let link = table.get(reader, |peer| &peer.link).and_then(|table| link(reader, &table));
        allocations.peers.extend(link.map(|link| (pair, link)));
    }
    // The compiler does not use the other keys of a store (`kept`).
    Some(allocations)
}

fn tenant(reader: &mut Reader<'_>, table: &Table<'_, LockTenantKeys>) -> TenantAllocation {
    let mut entry = TenantAllocation { span: table.span, ..TenantAllocation::default() };
    entry.applied = table.get_or_default(reader, |tenant| &tenant.applied);
    entry.protect = table.get_or_default(reader, |tenant| &tenant.protect);
    entry.tenant_id = table.get(reader, |tenant| &tenant.tenant_id).map(|id| id.value);
    entry.project_made = table.get_or_default(reader, |tenant| &tenant.project_made);
    entry.link = table.get(reader, |tenant| &tenant.link).and_then(|table| link(reader, &table));
    let ports = table.get(reader, |tenant| &tenant.ports).unwrap_or_default();
    entry.ports = ports.into_iter().map(|port| port.value).collect();
    for (name, value) in table.get(reader, |tenant| &tenant.bridge).unwrap_or_default() {
        let text = value.get_ref().as_str().unwrap_or_default();
        match text.parse::<Ipv4Net>() {
            Ok(network) => drop(entry.bridges.insert(name, network.trunc())),
            Err(_) => reader.push(broken(reader.span(value.span()), text, "network")),
        }
    }
    for (name, value) in table.get(reader, |tenant| &tenant.grown).unwrap_or_default() {
        match value.get_ref().as_str() {
            Some(from) => drop(entry.grown.insert(name, from.to_owned())),
            None => reader.push(broken(reader.span(value.span()), "grown", "bridge's name")),
        }
    }
    for (key, value) in table.get(reader, |tenant| &tenant.id).unwrap_or_default() {
        let text = value.get_ref().as_str().unwrap_or_default();
        match Uuid::try_parse(text) {
            Ok(id) => drop(entry.ids.insert(Key::from(key.as_str()), id)),
            Err(_) => reader.push(broken(reader.span(value.span()), text, "UUID")),
        }
    }
    for text in table.get(reader, |tenant| &tenant.making).unwrap_or_default() {
        let parsed = text.value.split_once(' ');
        match parsed.and_then(|(key, object)| Some((Key::from(key), serde_json::from_str(object).ok()?))) {
            Some(making) => entry.making.push(making),
            None => reader.push(broken(text.span, &text.value, "key with an object")),
        }
    }
    entry
}

fn broken(span: Span, text: &str, what: &str) -> Diagnostic {
    let message = format!("the lock file is damaged: `{text}` is not a {what}");
    Diagnostic::error(Code::LockDamaged, span, message).help("take the file from version control again")
}

fn link(reader: &mut Reader<'_>, table: &Table<'_, LockLinkKeys>) -> Option<LinkAddresses> {
    let provider = table.get(reader, |link| &link.provider);
    let tenant = table.get(reader, |link| &link.tenant);
    Some(LinkAddresses { provider: provider?.value, tenant: tenant?.value })
}

/// The lock file's text: sorted, and the same for the same allocations.
pub fn to_toml(allocations: &Allocations) -> String {
    let mut text = String::from(HEAD);
    for (name, tenant) in &allocations.tenants {
        write_tenant(&mut text, &quoted(name), tenant);
    }
    for (pair, link) in &allocations.peers {
        let _ = write!(text, "\n[peer.{}]\n{}", quoted(pair), link_line(link));
    }
    text
}

fn link_line(link: &LinkAddresses) -> String {
    format!("link = {{ provider = \"{}\", tenant = \"{}\" }}\n", link.provider, link.tenant)
}

fn write_tenant(text: &mut String, name: &str, tenant: &TenantAllocation) {
    let _ = write!(text, "\n[tenant.{name}]\napplied = {}\n", tenant.applied);
    if tenant.protect {
        text.push_str("protect = true\n");
    }
    if let Some(id) = &tenant.tenant_id {
        let _ = writeln!(text, "tenant_id = {}", toml::Value::from(id.as_str()));
    }
    if tenant.project_made {
        text.push_str("project_made = true\n");
    }
    if let Some(link) = &tenant.link {
        text.push_str(&link_line(link));
    }
    if !tenant.ports.is_empty() {
        let ports: Vec<String> = tenant.ports.iter().map(|port| format!("\"{port}\"")).collect();
        let _ = writeln!(text, "ports = [{}]", ports.join(", "));
    }
    if !tenant.making.is_empty() {
        text.push_str("making = [\n");
        for (key, object) in &tenant.making {
            let object = serde_json::to_string(object).unwrap_or_default();
            let _ = writeln!(text, "  {},", toml::Value::from(format!("{key} {object}")));
        }
        text.push_str("]\n");
    }
    if !tenant.bridges.is_empty() {
        let _ = writeln!(text, "[tenant.{name}.bridge]");
        for (bridge, network) in &tenant.bridges {
            let _ = writeln!(text, "{} = \"{network}\"", quoted(bridge));
        }
    }
    if !tenant.grown.is_empty() {
        let _ = writeln!(text, "[tenant.{name}.grown]");
        for (bridge, from) in &tenant.grown {
            let _ = writeln!(text, "{} = {}", quoted(bridge), toml::Value::from(from.as_str()));
        }
    }
    if !tenant.ids.is_empty() {
        let _ = writeln!(text, "[tenant.{name}.id]");
        for (key, id) in &tenant.ids {
            let _ = writeln!(text, "\"{key}\" = \"{id}\"");
        }
    }
}

/// A TOML key: bare where it can be.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { key.to_owned() } else { format!("\"{key}\"") }
}

/// Two owners of one address: what a merge of two branches can leave.
struct Clash {
    /// The tenant that has to move, and the one that stays.
    tenant: String,
    keeps: String,
    what: String,
    part: Part,
}

enum Part {
    Link,
    Peer(String),
    Bridge(String),
}

/// Finds what two owners hold. Of two, the one that was applied stays; else the lesser name.
fn clashes(allocations: &Allocations, shared: bool) -> Vec<Clash> {
    let mut order: Vec<(&String, &TenantAllocation)> = allocations.tenants.iter().collect();
    order.sort_by_key(|(name, tenant)| (!tenant.applied, *name));
    let mut found = Vec::new();
    let mut links: Claims<&str> = Claims::default();
    let mut bridges: Claims<&str> = Claims::default();
    for (name, tenant) in order {
        if let Some(link) = &tenant.link
            && let Err(keeps) = claim_link(&mut links, link, name)
        {
            let (keeps, what) = (keeps.to_owned(), format!("the link addresses {}", show(link)));
            found.push(Clash { tenant: name.clone(), keeps, what, part: Part::Link });
        }
        let mut own: Claims<&str> = Claims::default();
        let taken = if shared { &mut own } else { &mut bridges };
        for (bridge, network) in &tenant.bridges {
            if let Err(keeps) = taken.claim_network(*network, name.as_str()) {
                let (keeps, what) =
                    ((*keeps).to_owned(), format!("the network {network} of bridge `{bridge}`"));
                found.push(Clash { tenant: name.clone(), keeps, what, part: Part::Bridge(bridge.clone()) });
            }
        }
    }
    for (pair, link) in &allocations.peers {
        if let Err(keeps) = claim_link(&mut links, link, pair) {
            let (keeps, what) = (keeps.to_owned(), format!("the peer link addresses {}", show(link)));
            found.push(Clash { tenant: pair.clone(), keeps, what, part: Part::Peer(pair.clone()) });
        }
    }
    found
}

fn show(link: &LinkAddresses) -> String {
    format!("{} and {}", link.provider, link.tenant)
}

fn claim_link<'a>(links: &mut Claims<&'a str>, link: &LinkAddresses, owner: &'a str) -> Result<(), String> {
    // Each by itself: the two that the Go plugin gave a tenant may have others' between them.
    for address in [link.provider, link.tenant] {
        links.claim(address, address, owner).map_err(|keeps| (*keeps).to_owned())?;
    }
    Ok(())
}

/// Reports every address of the lock file that two owners hold, with the repair.
pub fn check(allocations: &Allocations, site: &spec::Site, diagnostics: &mut Diagnostics) {
    for clash in clashes(allocations, site.pools.shared) {
        let place = |name: &str| allocations.tenants.get(name).map(|tenant| tenant.span).unwrap_or_default();
        let message =
            format!("the lock file gives {} to `{}` and to `{}`", clash.what, clash.keeps, clash.tenant);
        let help = "two branches picked the same place: run `midoform lock --repair`, which moves what was never applied";
        let diagnostic =
            Diagnostic::error(Code::LockClash, place(&clash.tenant), message).here("this one came second");
        diagnostics.push(diagnostic.also(place(&clash.keeps), "the other").help(help));
    }
}

/// What a repair did, and what it could not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// What was taken back, to be given out anew, in words.
    pub moved: Vec<String>,
    /// Clashes between owners that are both applied, in words: somebody has to destroy one of them.
    pub stuck: Vec<String>,
}

/// Takes back what clashes from those that were never applied, so that the next allocation moves them.
pub fn repair(allocations: &mut Allocations, site: &spec::Site) -> Repair {
    let mut repair = Repair::default();
    for clash in clashes(allocations, site.pools.shared) {
        let words = format!("{} (of `{}`, clashing with `{}`)", clash.what, clash.tenant, clash.keeps);
        let entry = allocations.tenants.get_mut(&clash.tenant);
        match (clash.part, entry) {
            (Part::Peer(pair), _) => drop(allocations.peers.remove(&pair)),
            (_, Some(entry)) if entry.applied => {
                repair.stuck.push(words);
                continue;
            }
            (Part::Link, Some(entry)) => entry.link = None,
            (Part::Bridge(bridge), Some(entry)) => drop(entry.bridges.remove(&bridge)),
            (_, None) => continue,
        }
        repair.moved.push(words);
    }
    repair
}

/// Entries that stand in `before` and no longer, or differently, in `after`: by tenant.
pub fn changed_tenants(before: &Allocations, after: &Allocations) -> Vec<String> {
    let without_place =
        |tenant: &TenantAllocation| TenantAllocation { span: Span::default(), ..tenant.clone() };
    let all: BTreeMap<&String, ()> =
        before.tenants.keys().chain(after.tenants.keys()).map(|name| (name, ())).collect();
    let changed = all.into_keys().filter(|name| {
        before.tenants.get(*name).map(without_place) != after.tenants.get(*name).map(without_place)
    });
    changed.cloned().collect()
}
