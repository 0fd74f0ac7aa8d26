//! Values with a grammar of their own: names, port lists, protocols, rule ends, egress.

use std::net::Ipv4Addr;

use toml::de::DeValue;

use super::table::{address_of, integer_of, wrong_type};
use super::{Reader, Table};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::{Dns, Egress, Endpoint, Gateway, Place, Protocol};
use crate::values::PortRange;

/// The longest name, in characters. MidoNet stores longer ones, but keys become file names and labels.
pub const LONGEST_NAME: usize = 63;

/// IP protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// What is wrong with a name, if anything.
pub fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if name.chars().count() > LONGEST_NAME {
        return Some(format!("is longer than {LONGEST_NAME} characters"));
    }
    let bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if let Some(character) = name.chars().find(|c| bad(*c)) {
        return Some(format!(
            "has the character {character:?}, which MidoNet or a file system would choke on"
        ));
    }
    let first_is_good = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    (!first_is_good).then(|| "does not begin with a letter or a digit".to_owned())
}

/// `dns = { nameservers = […], search = […] }`.
pub(crate) fn dns(reader: &mut Reader<'_>, parent: &mut Table<'_>) -> Option<Dns> {
    let mut table = parent.table(reader, "dns", "`dns`")?;
    let servers = table.strings(reader, "nameservers", false);
    let nameservers = servers.iter().filter_map(|text| address_of(reader, text)).collect();
    let search = table.strings(reader, "search", false);
    table.finish(reader);
    Some(Dns { nameservers, search })
}

/// `gateway = "first" | "last" | ADDRESS`.
pub(crate) fn gateway(reader: &mut Reader<'_>, parent: &mut Table<'_>) -> Option<Spanned<Gateway>> {
    let text = parent.string(reader, "gateway")?;
    let value = match text.value.as_str() {
        "first" => Gateway::First,
        "last" => Gateway::Last,
        _ => Gateway::Address(address_of(reader, &text)?.value),
    };
    Some(Spanned { value, span: text.span })
}

/// `egress = "snat" | "none" | { snat = ADDRESS or RANGE }`.
pub(crate) fn egress(reader: &mut Reader<'_>, parent: &mut Table<'_>) -> Option<Spanned<Egress>> {
    let value = parent.value("egress")?;
    let span = reader.span(value.span());
    let spanned = |value| Some(Spanned { value, span });
    match value.get_ref() {
        DeValue::String(word) if word == "snat" => spanned(Egress::SnatToLink),
        DeValue::String(word) if word == "none" => spanned(Egress::None),
        DeValue::Table(table) => {
            let mut table = Table::new(table, span, "`egress`");
            let text = table.string(reader, "snat");
            let range = table.required(reader, "snat", text);
            table.finish(reader);
            let (first, last) = address_range(reader, &range?)?;
            spanned(Egress::SnatTo(first, last))
        }
        _ => {
            let help = "write `\"snat\"`, `\"none\"` or `{ snat = \"203.0.113.8-203.0.113.11\" }`";
            let message = "`egress` says how pods reach the world, and this is no way that there is";
            reader.push(Diagnostic::error(Code::UnknownWord, span, message).help(help));
            None
        }
    }
}

/// `A` or `A-B`, the largest range being 256 addresses.
fn address_range(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (first, last) = text.value.split_once('-').unwrap_or((&text.value, &text.value));
    let part = |part: &str| Spanned { value: part.trim().to_owned(), span: text.span };
    let first = address_of(reader, &part(first))?.value;
    let last = address_of(reader, &part(last))?.value;
    let wide = u32::from(last).wrapping_sub(u32::from(first));
    if last < first || wide > 255 {
        let message = format!("`{}` is not a range of 1 to 256 addresses, lowest first", text.value);
        reader.push(Diagnostic::error(Code::BadRange, text.span, message));
        return None;
    }
    Some((first, last))
}

/// One type of ICMP with one of its codes; none: all of ICMP.
pub(crate) type Icmp = Option<(u8, Option<u8>)>;

/// A place and the ports there: `from` or `to` of a rule.
pub(crate) struct End {
    pub(crate) endpoint: Endpoint,
    /// TCP ports, UDP ports, where they were named.
    pub(crate) tcp: Option<Spanned<Vec<PortRange>>>,
    pub(crate) udp: Option<Spanned<Vec<PortRange>>>,
    pub(crate) icmp: Option<Spanned<Icmp>>,
    pub(crate) protocol: Option<Spanned<u8>>,
}

/// Reads `from = { … }` or `to = { … }`.
pub(crate) fn end(reader: &mut Reader<'_>, parent: &mut Table<'_>, key: &'static str) -> End {
    let what = if key == "from" { "`from`" } else { "`to`" };
    let nothing = End { endpoint: Endpoint::default(), tcp: None, udp: None, icmp: None, protocol: None };
    let Some(mut table) = parent.table(reader, key, what) else { return nothing };
    let endpoint = Endpoint { place: place(reader, &mut table) };
    let tcp = ports(reader, &mut table, "tcp");
    let udp = ports(reader, &mut table, "udp");
    let (icmp, protocol) = match key {
        "to" => (icmp(reader, &mut table), protocol(reader, &mut table)),
        _ => (None, None),
    };
    table.finish(reader);
    End { endpoint, tcp, udp, icmp, protocol }
}

/// The one place that an end names.
fn place(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Spanned<Place>> {
    let mut found: Vec<Spanned<Place>> = Vec::new();
    let mut named = |text: Option<Spanned<String>>, place: fn(String) -> Place| {
        found.extend(text.map(|text| Spanned { span: text.span, value: place(text.value) }));
    };
    named(table.string(reader, "bridge"), Place::Bridge);
    named(table.string(reader, "address_group"), Place::AddressGroup);
    named(table.string(reader, "port_group"), Place::PortGroup);
    named(table.string(reader, "peer"), Place::Peer);
    let cidr = table.network(reader, "cidr");
    found.extend(cidr.map(|cidr| Spanned { span: cidr.span, value: Place::Cidr(cidr.value) }));
    let span = table.span_of(reader, "world");
    match table.boolean(reader, "world") {
        Some(true) => found.push(Spanned { value: Place::World, span }),
        Some(false) => {
            let message = "`world` can only be true";
            reader.push(Diagnostic::error(Code::UnknownWord, span, message).help("leave it out"));
        }
        None => {}
    }
    if let [first, second, ..] = found.as_slice() {
        let message = "one end of a rule is one place";
        let diagnostic =
            Diagnostic::error(Code::TwoPlaces, second.span, message).also(first.span, "the other place");
        reader.push(diagnostic.help("write two rules, or an address group that holds both"));
    }
    found.into_iter().next()
}

/// `tcp = 80`, `"8000-8100"`, `[80, "8000-8100"]`, or `true` for all ports.
fn ports(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    key: &'static str,
) -> Option<Spanned<Vec<PortRange>>> {
    let value = table.value(key)?;
    let span = reader.span(value.span());
    let ranges = match value.get_ref() {
        DeValue::Boolean(true) => Vec::new(),
        DeValue::Array(items) if !items.is_empty() => {
            let read: Vec<_> = items.iter().map(|item| port_range(reader, key, item)).collect();
            read.into_iter().collect::<Option<Vec<_>>>()?
        }
        _ => vec![port_range(reader, key, value)?],
    };
    Some(Spanned { value: ranges, span })
}

/// One port or one range of ports.
pub(crate) fn port_range(
    reader: &mut Reader<'_>,
    key: &str,
    value: &toml::Spanned<DeValue<'_>>,
) -> Option<PortRange> {
    let span = reader.span(value.span());
    if let Some(number) = integer_of(value) {
        return port(reader, span, number).map(|port| PortRange { start: port, end: port });
    }
    let Some(text) = value.get_ref().as_str() else {
        wrong_type(reader, key, value, "a port, a range such as \"8000-8100\", a list of these, or true");
        return None;
    };
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (Ok(start), Ok(end)) = (start.trim().parse::<i64>(), end.trim().parse::<i64>()) else {
        let message = format!("`{text}` is not a port or a range of ports");
        reader.push(Diagnostic::error(Code::BadPort, span, message).help("write 8000 or \"8000-8100\""));
        return None;
    };
    let (start, end) = (port(reader, span, start)?, port(reader, span, end)?);
    if end < start {
        let message = format!("the range `{text}` ends before it begins");
        reader.push(Diagnostic::error(Code::BadPort, span, message).help(format!("write \"{end}-{start}\"")));
        return None;
    }
    Some(PortRange { start, end })
}

fn port(reader: &mut Reader<'_>, span: Span, number: i64) -> Option<u16> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        reader.push(Diagnostic::error(
            Code::BadPort,
            span,
            format!("{number} is not a port: they go from 1 to 65535"),
        ));
    }
    port
}

/// `icmp = true` or `{ type = 8, code = 0 }`: the type and the code.
fn icmp(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Spanned<Icmp>> {
    let value = table.value("icmp")?;
    let span = reader.span(value.span());
    match value.get_ref() {
        DeValue::Boolean(true) => Some(Spanned { value: None, span }),
        DeValue::Table(inner) => {
            let mut inner = Table::new(inner, span, "`icmp`");
            let kind = inner.integer::<u8>(reader, "type", 0..=255);
            let kind = inner.required(reader, "type", kind);
            let code = inner.integer::<u8>(reader, "code", 0..=255);
            inner.finish(reader);
            Some(Spanned { value: Some((kind?.value, code.map(|code| code.value))), span })
        }
        _ => {
            wrong_type(reader, "icmp", value, "true or a table with `type` and `code`");
            None
        }
    }
}

/// `protocol = 47`, or a well-known name.
fn protocol(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Spanned<u8>> {
    let value = table.value("protocol")?;
    let span = reader.span(value.span());
    let names =
        [("icmp", ICMP), ("tcp", TCP), ("udp", UDP), ("gre", 47), ("esp", 50), ("ah", 51), ("sctp", 132)];
    let by_name = |text: &str| names.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let number = match value.get_ref() {
        DeValue::String(text) => by_name(text),
        // MidoNet 1.7 takes protocol 0 for "any", so it can't be asked for.
        _ => integer_of(value).and_then(|number| u8::try_from(number).ok()).filter(|number| *number > 0),
    };
    if number.is_none() {
        let message = "`protocol` has to be a number from 1 to 255, or the name of a protocol";
        let listed: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        reader.push(
            Diagnostic::error(Code::BadProtocol, span, message).help(format!("names: {}", listed.join(", "))),
        );
    }
    Some(Spanned { value: number?, span })
}

/// What a rule's packets carry, from both of its ends. Nothing named means everything.
pub(crate) fn protocols(reader: &mut Reader<'_>, from: &End, to: &End) -> Vec<Protocol> {
    let mut found = Vec::new();
    for (number, name, source, destination) in
        [(TCP, "tcp", &from.tcp, &to.tcp), (UDP, "udp", &from.udp, &to.udp)]
    {
        if source.is_none() && destination.is_none() {
            continue;
        }
        if let (Some(source), None) = (source, destination)
            && (to.tcp.is_some() || to.udp.is_some() || to.icmp.is_some() || to.protocol.is_some())
        {
            let message = format!("`from` names {name} ports and `to` another protocol");
            let help = format!("add `{name} = true` to `to`, or write two rules");
            reader.push(Diagnostic::error(Code::TwoProtocols, source.span, message).help(help));
            continue;
        }
        let choices = |ports: &Option<Spanned<Vec<PortRange>>>| match ports {
            Some(ranges) if !ranges.value.is_empty() => ranges.value.iter().copied().map(Some).collect(),
            _ => vec![None],
        };
        for source in choices(source) {
            found.extend(choices(destination).into_iter().map(|destination| Protocol {
                number,
                source,
                destination,
            }));
        }
    }
    if let Some(icmp) = &to.icmp {
        let range = |value: u8| PortRange { start: value.into(), end: value.into() };
        let source = icmp.value.map(|(kind, _)| range(kind));
        let destination = icmp.value.and_then(|(_, code)| code).map(range);
        found.push(Protocol { number: ICMP, source, destination });
    }
    let other = to.protocol.filter(|other| !found.iter().any(|known| known.number == other.value));
    found.extend(other.map(|number| Protocol { number: number.value, source: None, destination: None }));
    found
}
