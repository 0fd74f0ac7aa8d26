//! A policy: `[policy]` of the site file, or a file of its own.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use toml::de::DeValue;

use super::site::{ANTI_SPOOF, PROFILES};
use super::table::{network_of, text_of, wrong_type};
use super::tenant::quotas;
use super::values::port_range;
use super::{Reader, Table};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::{NamePatterns, Pattern, Policy};
use crate::values::PortRange;

/// A policy file has the keys of `[policy]`, with or without that heading.
pub(super) fn read_file(reader: &mut Reader<'_>, mut file: Table<'_>) -> Policy {
    if !file.has("policy") {
        return read(reader, file);
    }
    let table = file.table(reader, "policy", "[policy]");
    file.finish(reader);
    table.map(|table| read(reader, table)).unwrap_or_default()
}

pub(super) fn read(reader: &mut Reader<'_>, mut table: Table<'_>) -> Policy {
    let policy = Policy {
        limits: quotas(reader, &mut table, "limits", "`limits`"),
        allowed_public_ports: ports(reader, &mut table, "allowed_public_ports"),
        forbidden_public_ports: ports(reader, &mut table, "forbidden_public_ports"),
        allowed_public_addresses: networks(reader, &mut table, "allowed_public_addresses"),
        allowed_bridge_networks: networks(reader, &mut table, "allowed_bridge_networks"),
        allowed_profiles: words(reader, &mut table, "allowed_profiles", &PROFILES),
        allowed_anti_spoof: words(reader, &mut table, "allowed_anti_spoof", &ANTI_SPOOF),
        required_labels: table.strings(reader, "required_labels", true),
        label_values: label_values(reader, &mut table),
        names: names(reader, &mut table),
        forbid_accept_from_anywhere: flag(reader, &mut table, "forbid_accept_from_anywhere"),
        forbid_accept_to_anywhere: flag(reader, &mut table, "forbid_accept_to_anywhere"),
        require_protect: require_protect(reader, &mut table),
    };
    table.finish(reader);
    policy
}

/// One port or range, or a list of them. Nothing where one is no such thing: that is said, and no violation follows
/// from it.
fn ports(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    key: &'static str,
) -> Option<Spanned<Vec<PortRange>>> {
    let value = table.value(key)?;
    let span = reader.span(value.span());
    let value = match value.get_ref() {
        DeValue::Array(items) => {
            let read: Vec<_> = items.iter().map(|item| port_range(reader, key, item)).collect();
            read.into_iter().collect::<Option<Vec<_>>>()?
        }
        _ => vec![port_range(reader, key, value)?],
    };
    Some(Spanned { value, span })
}

fn networks(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    key: &'static str,
) -> Option<Spanned<Vec<Ipv4Net>>> {
    let texts = table.strings(reader, key, true);
    let span = table.has(key).then(|| table.span_of(reader, key))?;
    let read: Vec<_> = texts.iter().map(|text| network_of(reader, text)).collect();
    let networks = read.into_iter().map(|network| network.map(|network| network.value));
    Some(Spanned { value: networks.collect::<Option<Vec<_>>>()?, span })
}

/// Some of a few words.
fn words<T: Copy>(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
) -> Option<Spanned<Vec<T>>> {
    let texts = table.strings(reader, key, true);
    let span = table.has(key).then(|| table.span_of(reader, key))?;
    let mut value = Vec::new();
    for text in &texts {
        match words.iter().find(|(word, _)| *word == text.value) {
            Some((_, found)) => value.push(*found),
            None => {
                let listed: Vec<String> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
                let message = format!("`{key}` can't hold `\"{}\"`", text.value);
                let diagnostic = Diagnostic::error(Code::UnknownWord, text.span, message);
                reader.push(diagnostic.help(format!("it may hold {}", listed.join(", "))));
            }
        }
    }
    (value.len() == texts.len()).then_some(Spanned { value, span })
}

/// A switch: where it stands, if it is on.
fn flag(reader: &mut Reader<'_>, table: &mut Table<'_>, key: &'static str) -> Option<Span> {
    let on = table.boolean(reader, key)?;
    on.then(|| table.span_of(reader, key))
}

fn pattern(reader: &mut Reader<'_>, text: Spanned<String>) -> Option<Pattern> {
    match regex_lite::Regex::new(&format!("^(?:{})$", text.value)) {
        Ok(regex) => Some(Pattern { text, regex }),
        Err(error) => {
            let message = format!("`{}` is not a regular expression: {error}", text.value);
            let help = "write one such as \"[a-z][a-z0-9-]*\"; it is held against the whole text";
            reader.push(Diagnostic::error(Code::BadPattern, text.span, message).help(help));
            None
        }
    }
}

fn label_values(reader: &mut Reader<'_>, table: &mut Table<'_>) -> BTreeMap<String, Pattern> {
    let Some(inner) = table.table(reader, "label_values", "`label_values`") else { return BTreeMap::new() };
    let mut values = BTreeMap::new();
    for (label, value) in inner.pairs() {
        let found = text_of(reader, label, value).and_then(|text| pattern(reader, text));
        values.extend(found.map(|pattern| (label.to_owned(), pattern)));
    }
    values
}

fn names(reader: &mut Reader<'_>, table: &mut Table<'_>) -> NamePatterns {
    let Some(mut inner) = table.table(reader, "names", "`names`") else { return NamePatterns::default() };
    let mut read = |key| inner.string(reader, key).and_then(|text| pattern(reader, text));
    let names = NamePatterns {
        tenant: read("tenant"),
        bridge: read("bridge"),
        port: read("port"),
        rule: read("rule"),
        address_group: read("address_group"),
        port_group: read("port_group"),
    };
    inner.finish(reader);
    names
}

/// `true`: all tenants. A table of labels: those that have all of them.
fn require_protect(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
) -> Option<Spanned<BTreeMap<String, String>>> {
    let value = table.value("require_protect")?;
    let span = reader.span(value.span());
    match value.get_ref() {
        DeValue::Boolean(false) => None,
        DeValue::Boolean(true) => Some(Spanned { value: BTreeMap::new(), span }),
        DeValue::Table(labels) => {
            let inner = Table::new(labels, span, "`require_protect`");
            let labels = inner
                .pairs()
                .filter_map(|(label, value)| {
                    text_of(reader, label, value).map(|text| (label.to_owned(), text.value))
                })
                .collect();
            Some(Spanned { value: labels, span })
        }
        _ => {
            wrong_type(reader, "require_protect", value, "true, or a table of labels and their values");
            None
        }
    }
}
