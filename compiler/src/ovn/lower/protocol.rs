//! The protocols and ports of a rule.

use std::collections::BTreeMap;

use crate::ovn::expression::Expression;
use crate::ovn::expression::build::{End, Transport};
use crate::spec::Protocol;
use crate::values::PortRange;

/// The most protocols in one match. A rule with more has several rows.
const MOST_IN_A_MATCH: usize = 128;

/// Returns the matches of a rule's protocols; one that every packet meets, if the rule names none. Each has the end of its row's key,
/// which is empty if there is one match only.
pub(super) fn parts(protocols: &[Protocol]) -> Vec<(String, Expression)> {
    if protocols.len() <= MOST_IN_A_MATCH {
        let all = if protocols.is_empty() { Expression::everything() } else { one_of(protocols) };
        return vec![(String::new(), all)];
    }
    let parts = protocols.chunks(MOST_IN_A_MATCH).map(one_of);
    (1..).map(|number: usize| format!("/{number}")).zip(parts).collect()
}

fn one_of(protocols: &[Protocol]) -> Expression {
    let mut by_transport: BTreeMap<(u8, Option<PortRange>), Vec<Option<PortRange>>> = BTreeMap::new();
    let mut others = Vec::new();
    for protocol in protocols {
        match protocol.number {
            6 | 17 => {
                let key = (protocol.number, protocol.source);
                by_transport.entry(key).or_default().push(protocol.destination);
            }
            1 => others.push(icmp(protocol)),
            number => others.push(Expression::protocol(number)),
        }
    }
    let with_ports = by_transport.into_iter().map(|((number, source), destinations)| {
        let transport = if number == 6 { Transport::Tcp } else { Transport::Udp };
        let source = source.map(|range| Expression::transport(transport, End::Source, &[range]));
        let destinations: Option<Vec<PortRange>> = destinations.into_iter().collect();
        let destination =
            destinations.map(|ranges| Expression::transport(transport, End::Destination, &ranges));
        match (source, destination) {
            (None, None) => Expression::protocol(number),
            (source, destination) => Expression::all(source.into_iter().chain(destination)),
        }
    });
    Expression::any(with_ports.chain(others))
}

/// ICMP has its type where other protocols have source ports, and its code where they have destination ports.
fn icmp(protocol: &Protocol) -> Expression {
    let number = |range: Option<PortRange>| range.and_then(|range| u8::try_from(range.start).ok());
    match number(protocol.source) {
        Some(kind) => Expression::icmp(kind, number(protocol.destination)),
        None => Expression::protocol(1),
    }
}
