//! The parts that matches are built of. They are typed: a set that was not made, an empty set, or a comparison that OVN
//! refuses can't be written with them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::node::{Constant, Constants, Expression, Field, Integer, Node, Notation, Relation};
use super::symbols::{Symbol, symbol};
use crate::values::{MacAddress, PortRange};

/// The name of an address set that exists, as matches and its row have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressSetName(String);

impl AddressSetName {
    /// Returns the name of the address set of a row with this name.
    pub(in crate::ovn) fn of_row(name: String) -> Self {
        AddressSetName(name)
    }

    /// Returns the name of the address set that OVN itself makes of the addresses of a port group's ports.
    pub(in crate::ovn) fn of_port_group(name: &str) -> Self {
        AddressSetName(format!("{name}_ip4"))
    }
}

/// Addresses to compare with: at least one network, or an address set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Networks(Vec<Ipv4Net>),
    Set(AddressSetName),
}

impl Addresses {
    /// Returns these networks, none if there are none.
    pub fn networks(networks: impl IntoIterator<Item = Ipv4Net>) -> Option<Self> {
        let networks: Vec<Ipv4Net> = networks.into_iter().collect();
        (!networks.is_empty()).then_some(Addresses(Form::Networks(networks)))
    }

    /// Returns a single address.
    pub fn one(address: Ipv4Addr) -> Self {
        Addresses(Form::Networks(vec![address.into()]))
    }

    /// Returns the addresses of a set.
    pub fn set(name: AddressSetName) -> Self {
        Addresses(Form::Set(name))
    }

    fn constants(&self) -> Option<Constants> {
        match &self.0 {
            Form::Set(AddressSetName(name)) => Some(Constants::One(Constant::AddressSet(name.clone()))),
            Form::Networks(networks) => several(networks.iter().copied().map(network).collect()),
        }
    }
}

/// The end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The sender.
    Source,
    /// The receiver.
    Destination,
}

/// The end of a packet's way through a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The port by which the packet enters.
    In,
    /// The port by which the packet leaves. Only known after routing, and to ACLs in the direction `to-lport`.
    Out,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Expression {
    /// Returns the expression that every packet meets.
    pub fn everything() -> Expression {
        Expression(Node::Boolean(true))
    }

    /// Returns the expression that packets meet if they meet all of these; every packet, if there are none.
    pub fn all(parts: impl IntoIterator<Item = Expression>) -> Expression {
        let mut found = Vec::new();
        for Expression(node) in parts {
            match node {
                Node::Boolean(true) => {}
                Node::And(inner) => found.extend(inner),
                other => found.push(other),
            }
        }
        Expression(joined(found, Node::And, true))
    }

    /// Returns the expression that packets meet if they meet one of these; no packet, if there are none.
    pub fn any(parts: impl IntoIterator<Item = Expression>) -> Expression {
        let mut found = Vec::new();
        for Expression(node) in parts {
            match node {
                Node::Boolean(false) => {}
                Node::Or(inner) => found.extend(inner),
                other => found.push(other),
            }
        }
        Expression(joined(found, Node::Or, false))
    }

    /// Returns the expression of IPv4 packets.
    pub fn ip4() -> Expression {
        test("ip4", false)
    }

    /// Returns the expression of packets that connection tracking has not seen on their way to here.
    pub fn untracked() -> Expression {
        test("ct.trk", true)
    }

    /// Returns the expression of IPv4 packets with such an address.
    pub fn address(end: End, addresses: &Addresses) -> Expression {
        let field = if end == End::Source { "ip4.src" } else { "ip4.dst" };
        compared(field, Relation::Equal, addresses.constants())
    }

    /// Returns the expression of IPv4 packets with none of these addresses.
    pub fn other_address(end: End, addresses: &Addresses) -> Expression {
        let field = if end == End::Source { "ip4.src" } else { "ip4.dst" };
        compared(field, Relation::NotEqual, addresses.constants())
    }

    /// Returns the expression of frames with such a MAC address.
    pub fn mac(end: End, address: MacAddress) -> Expression {
        let field = if end == End::Source { "eth.src" } else { "eth.dst" };
        let value = address.0.iter().fold(0, |value, octet| value << 8 | u128::from(*octet));
        compared(field, Relation::Equal, several(vec![plain(value, Notation::Ethernet)]))
    }

    /// Returns the expression of frames of these EtherTypes.
    pub fn ethertypes(types: impl IntoIterator<Item = u16>) -> Expression {
        let types = types.into_iter().map(|number| plain(u128::from(number), Notation::Hexadecimal));
        compared("eth.type", Relation::Equal, several(types.collect()))
    }

    /// Returns the expression of ARP packets that claim an address.
    pub fn arp_claims(address: Ipv4Addr) -> Expression {
        compared("arp.spa", Relation::Equal, several(vec![network(address.into())]))
    }

    /// Returns the expression of packets that enter or leave by one of these ports; no packet, if there are none.
    pub fn port(way: Way, names: impl IntoIterator<Item = String>) -> Expression {
        let field = if way == Way::In { "inport" } else { "outport" };
        compared(field, Relation::Equal, several(names.into_iter().map(Constant::Text).collect()))
    }

    /// Returns the expression of packets of an IP protocol.
    pub fn protocol(number: u8) -> Expression {
        match number {
            1 => test("icmp4", false),
            6 => test("tcp", false),
            17 => test("udp", false),
            other => {
                let number = plain(u128::from(other), Notation::Decimal);
                compared("ip.proto", Relation::Equal, several(vec![number]))
            }
        }
    }

    /// Returns the expression of packets with such a port.
    pub fn transport(transport: Transport, end: End, ports: &[PortRange]) -> Expression {
        let field = match (transport, end) {
            (Transport::Tcp, End::Source) => "tcp.src",
            (Transport::Tcp, End::Destination) => "tcp.dst",
            (Transport::Udp, End::Source) => "udp.src",
            (Transport::Udp, End::Destination) => "udp.dst",
        };
        let number = |port: u16| plain(u128::from(port), Notation::Decimal);
        let (single, ranges): (Vec<&PortRange>, Vec<&PortRange>) =
            ports.iter().partition(|range| range.start == range.end);
        let single = several(single.into_iter().map(|range| number(range.start)).collect());
        let single = single.map(|ports| compared(field, Relation::Equal, Some(ports)));
        let ranges = ranges.into_iter().filter_map(|range| {
            let (low, high) = (number(range.start), number(range.end));
            let field = Field { symbol: symbol(field)?, bits: None };
            let (first, second) = (Relation::LessOrEqual, Relation::LessOrEqual);
            Some(Expression(Node::Between(low, first, field, second, high)))
        });
        Expression::any(single.into_iter().chain(ranges))
    }

    /// Returns the expression of ICMP packets of a type, and of a code if there is one.
    pub fn icmp(kind: u8, code: Option<u8>) -> Expression {
        let number = |number: u8| several(vec![plain(u128::from(number), Notation::Decimal)]);
        let kind = compared("icmp4.type", Relation::Equal, number(kind));
        let code = code.map(|code| compared("icmp4.code", Relation::Equal, number(code)));
        Expression::all([kind].into_iter().chain(code))
    }
}

/// Returns the parts with an operator between them; if there are none, the value that changes nothing.
fn joined(mut parts: Vec<Node>, operator: impl Fn(Vec<Node>) -> Node, neutral: bool) -> Node {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            operator(parts)
        }
        (_, None) => Node::Boolean(neutral),
    }
}

/// Returns the expression of a bit or a predicate.
fn test(name: &str, is_negated: bool) -> Expression {
    let node = symbol(name).map(|symbol| Node::Test(Field { symbol, bits: None }));
    let node = node.map(|node| if is_negated { Node::Not(Box::new(node)) } else { node });
    // The names stand in this file, and the tests use every function of it.
    Expression(node.unwrap_or(Node::Boolean(false)))
}

fn compared(name: &str, relation: Relation, constants: Option<Constants>) -> Expression {
    let field = symbol(name).map(|symbol: &'static Symbol| Field { symbol, bits: None });
    let node = field.zip(constants).map(|(field, constants)| Node::Compare(field, relation, constants));
    Expression(node.unwrap_or(Node::Boolean(false)))
}

/// Returns one constant as it is, and several as a set.
fn several(mut constants: Vec<Constant>) -> Option<Constants> {
    match constants.len() {
        0 | 1 => constants.pop().map(Constants::One),
        _ => Some(Constants::Set(constants)),
    }
}

fn plain(value: u128, notation: Notation) -> Constant {
    Constant::Integer(Integer { value, mask: None, notation })
}

/// Returns a network, and an address of its own without a mask.
fn network(network: Ipv4Net) -> Constant {
    let value = u128::from(u32::from(network.network()));
    let mask = (network.prefix_len() < 32).then(|| u128::from(u32::from(network.netmask())));
    Constant::Integer(Integer { value, mask, notation: Notation::Ipv4 })
}
