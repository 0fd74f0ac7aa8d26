//! A policy: `[policy]` of the site file, or a file of its own.

use toml::de::DeTable;

use super::{Reader, THE_FILE, tenant};
use crate::source::{Span, Spanned};
use crate::spec::grammar::key::Key;
use crate::spec::grammar::values::{Boolean, Listed};
use crate::spec::grammar::{Grammar, NamePatternKeys, PolicyFileKeys, PolicyKeys, Table};
use crate::spec::{NamePatterns, Policy};

/// Reads a policy file: the keys of `[policy]`, with or without that heading.
pub(super) fn read_file(reader: &mut Reader<'_>, file: &DeTable<'_>, span: Span) -> Policy {
    if !file.contains_key(PolicyFileKeys::KEYS.policy.name) {
        let table = Table::open(reader, file, span, THE_FILE);
        return read(reader, &table);
    }
    let file: Table<'_, PolicyFileKeys> = Table::open(reader, file, span, THE_FILE);
    let table = file.get(reader, |file| &file.policy);
    table.map(|table| read(reader, &table)).unwrap_or_default()
}

/// Reads the keys of a policy.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table<'_, PolicyKeys>) -> Policy {
    let limits = table.get(reader, |policy| &policy.limits);
    let names = table.get(reader, |policy| &policy.names);
    Policy {
        limits: limits.map(|table| tenant::limits(reader, &table)).unwrap_or_default(),
        allowed_public_ports: complete(table.get(reader, |policy| &policy.allowed_public_ports)),
        forbidden_public_ports: complete(table.get(reader, |policy| &policy.forbidden_public_ports)),
        allowed_public_addresses: complete(table.get(reader, |policy| &policy.allowed_public_addresses)),
        allowed_bridge_networks: complete(table.get(reader, |policy| &policy.allowed_bridge_networks)),
        allowed_profiles: complete(table.get(reader, |policy| &policy.allowed_profiles)),
        allowed_anti_spoof: complete(table.get(reader, |policy| &policy.allowed_anti_spoof)),
        required_labels: table
            .get(reader, |policy| &policy.required_labels)
            .map(|labels| labels.items)
            .unwrap_or_default(),
        label_values: table.get(reader, |policy| &policy.label_values).unwrap_or_default(),
        names: names.map(|table| patterns(reader, &table)).unwrap_or_default(),
        forbid_accept_from_anywhere: flag(reader, table, |policy| &policy.forbid_accept_from_anywhere),
        forbid_accept_to_anywhere: flag(reader, table, |policy| &policy.forbid_accept_to_anywhere),
        require_protect: table.get(reader, |policy| &policy.require_protect),
    }
}

/// Returns the values of a list if all of them fit. Otherwise the list is reported, and no violation follows from it.
fn complete<T>(list: Option<Listed<Spanned<T>>>) -> Option<Spanned<Vec<T>>> {
    list.and_then(Listed::complete)
}

/// Returns the position of a switch that is on.
fn flag(
    reader: &mut Reader<'_>,
    table: &Table<'_, PolicyKeys>,
    key: fn(&'static PolicyKeys) -> &'static Key<Boolean>,
) -> Option<Span> {
    let is_on = table.get(reader, key)?;
    is_on.then(|| table.span_of(reader, key))
}

fn patterns(reader: &mut Reader<'_>, table: &Table<'_, NamePatternKeys>) -> NamePatterns {
    NamePatterns {
        tenant: table.get(reader, |names| &names.tenant),
        bridge: table.get(reader, |names| &names.bridge),
        port: table.get(reader, |names| &names.port),
        rule: table.get(reader, |names| &names.rule),
        address_group: table.get(reader, |names| &names.address_group),
        port_group: table.get(reader, |names| &names.port_group),
    }
}
