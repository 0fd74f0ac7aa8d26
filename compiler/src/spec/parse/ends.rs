//! The ends of rules and assertions: selectors, ports and protocols.

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Spanned;
use crate::spec::grammar::values::{ICMP, Icmp, TCP, UDP};
use crate::spec::grammar::{EndKeys, Grammar, Reader, Table, ToKeys};
use crate::spec::{Endpoint, Protocol, Selector};
use crate::values::PortRange;

/// One end of a rule.
#[derive(Default)]
pub(super) struct End {
    pub(super) endpoint: Endpoint,
    /// TCP and UDP ports, if they are named.
    tcp: Option<Spanned<Vec<PortRange>>>,
    udp: Option<Spanned<Vec<PortRange>>>,
}

/// The end that packets go to, and their protocol.
#[derive(Default)]
pub(super) struct To {
    pub(super) end: End,
    icmp: Option<Spanned<Icmp>>,
    protocol: Option<Spanned<u8>>,
}

/// Reads `from`.
pub(super) fn from(reader: &mut Reader<'_>, table: Option<Table<'_, EndKeys>>) -> End {
    table.map(|table| end(reader, &table, |keys| keys)).unwrap_or_default()
}

/// Reads `to`.
pub(super) fn to(reader: &mut Reader<'_>, table: Option<Table<'_, ToKeys>>) -> To {
    let Some(table) = table else { return To::default() };
    let end = end(reader, &table, |keys| &keys.end);
    let icmp = table.get(reader, |to| &to.icmp);
    let protocol = table.get(reader, |to| &to.protocol);
    To { end, icmp, protocol }
}

fn end<T: Grammar>(
    reader: &mut Reader<'_>,
    table: &Table<'_, T>,
    keys: fn(&'static T) -> &'static EndKeys,
) -> End {
    let selector = selector(reader, table, keys);
    table.check_constraints(reader);
    let tcp = table.get(reader, |end| &keys(end).tcp);
    let udp = table.get(reader, |end| &keys(end).udp);
    End { endpoint: Endpoint { selector }, tcp, udp }
}

/// Reads every key that is a selector, and returns the first one.
fn selector<T: Grammar>(
    reader: &mut Reader<'_>,
    table: &Table<'_, T>,
    keys: fn(&'static T) -> &'static EndKeys,
) -> Option<Spanned<Selector>> {
    let named = |text: Option<Spanned<String>>, selector: fn(String) -> Selector| {
        text.map(|text| Spanned { span: text.span, value: selector(text.value) })
    };
    let selectors = [
        named(table.get(reader, |end| &keys(end).bridge), Selector::Bridge),
        named(table.get(reader, |end| &keys(end).address_group), Selector::AddressGroup),
        named(table.get(reader, |end| &keys(end).port_group), Selector::PortGroup),
        named(table.get(reader, |end| &keys(end).peer), |name| Selector::Peer(name.into())),
        table
            .get(reader, |end| &keys(end).cidr)
            .map(|cidr| Spanned { span: cidr.span, value: Selector::Cidr(cidr.value) }),
        table.get(reader, |end| &keys(end).world).map(|span| Spanned { value: Selector::World, span }),
    ];
    selectors.into_iter().flatten().next()
}

/// Returns the protocols of a rule's packets, from both of its ends. If none is named, the rule is for all protocols.
pub(super) fn protocols(reader: &mut Reader<'_>, from: &End, to: &To) -> Vec<Protocol> {
    let keys = EndKeys::keys();
    let mut found = Vec::new();
    for (number, name, source, destination) in
        [(TCP, keys.tcp.name, &from.tcp, &to.end.tcp), (UDP, keys.udp.name, &from.udp, &to.end.udp)]
    {
        if source.is_none() && destination.is_none() {
            continue;
        }
        if let (Some(source), None) = (source, destination)
            && to.names_a_protocol()
        {
            let message = format!("`from` names {name} ports and `to` another protocol");
            let help = format!("add `{name} = true` to `to`, or write two rules");
            reader.push(Diagnostic::error(Code::TwoProtocols, source.span, message).help(help));
            continue;
        }
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

impl To {
    fn names_a_protocol(&self) -> bool {
        self.end.tcp.is_some() || self.end.udp.is_some() || self.icmp.is_some() || self.protocol.is_some()
    }
}

/// Returns each range of ports, or one entry without a range for all ports.
fn choices(ports: &Option<Spanned<Vec<PortRange>>>) -> Vec<Option<PortRange>> {
    match ports {
        Some(ranges) if !ranges.value.is_empty() => ranges.value.iter().copied().map(Some).collect(),
        _ => vec![None],
    }
}
