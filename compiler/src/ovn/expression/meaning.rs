//! The packets that an expression selects, in a form that can be computed with: sets are replaced by what is in them, predicates by
//! what they stand for, negations are moved to the comparisons, and each comparison of a field also demands what the field needs
//! (`tcp.dst != 80` is about TCP packets only). ovn-controller does the same before it makes flows of an expression
//! (`expr_annotate` in OVN's `lib/expr.c`; the fields are those of `lib/logical-fields.c`).

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::node::{Constant, Constants, Expression, Field, Node, Relation};
use crate::values::ethertype;

/// The contents of the sets that an expression may refer to.
pub trait Contents {
    /// Returns the addresses of an address set; for a port group NAME those of its ports are called `NAME_ip4`.
    fn addresses(&self, set: &str) -> Vec<Ipv4Net>;

    /// Returns the names of the ports of a port group.
    fn ports(&self, group: &str) -> BTreeSet<String>;
}

/// A condition of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Every packet meets it, or none does.
    Constant(bool),
    /// All of these have to be met.
    All(Vec<Condition>),
    /// One of these has to be met.
    Any(Vec<Condition>),
    /// A number of the packet.
    Number(NumberTest),
    /// A port of the packet's way.
    Port(PortTest),
    /// The port is bound on the host that has the packet, or it is not.
    Resident {
        /// The name of the port.
        port: String,
        /// False: the port is not bound there.
        holds: bool,
    },
}

/// A condition of some bits of a field: the field, shifted to the right and masked, is in a range. A packet without the field does
/// not get here: a condition that it does not meet stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumberTest {
    /// The field.
    pub field: PacketField,
    /// The number of the lowest bit.
    pub shift: u16,
    /// The bits that count, behind the shift.
    pub mask: u128,
    /// The lowest number.
    pub low: u128,
    /// The highest number.
    pub high: u128,
    /// False: the number must not be in the range.
    pub holds: bool,
}

impl NumberTest {
    /// Returns true if a field's value meets the condition.
    pub fn is_met_by(&self, value: u128) -> bool {
        let number = value.checked_shr(u32::from(self.shift)).unwrap_or_default() & self.mask;
        (self.low..=self.high).contains(&number) == self.holds
    }
}

/// A condition of the port by which a packet enters or leaves a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortTest {
    /// True for the port by which it enters.
    pub is_input: bool,
    /// The names of the ports.
    pub names: BTreeSet<String>,
    /// False: it must be none of these.
    pub holds: bool,
}

/// A field of a packet, or of what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PacketField {
    /// The MAC address of the sender.
    EthernetSource,
    /// The MAC address of the receiver.
    EthernetDestination,
    /// The EtherType; behind a VLAN tag, if there is one.
    EtherType,
    /// The tag control information of a VLAN tag, with bit 12 set; 0 without a tag.
    VlanTag,
    /// The IPv4 address of the sender.
    Ipv4Source,
    /// The IPv4 address of the receiver.
    Ipv4Destination,
    /// The IP protocol.
    Protocol,
    /// The time to live.
    Ttl,
    /// The kind of fragment: bit 0 is set for all fragments, bit 1 for all but the first.
    Fragment,
    /// The source port of TCP, UDP or SCTP.
    SourcePort,
    /// The destination port of TCP, UDP or SCTP.
    DestinationPort,
    /// The type of an ICMP message.
    IcmpType,
    /// The code of an ICMP message.
    IcmpCode,
    /// The operation of ARP.
    ArpOperation,
    /// ARP's address of the sender.
    ArpSource,
    /// ARP's address of the target.
    ArpTarget,
    /// ARP's MAC address of the sender.
    ArpSourceMac,
    /// ARP's MAC address of the target.
    ArpTargetMac,
    /// The state of the connection: the bits of [`connection_state`]; 0 for a packet that is not tracked.
    ConnectionState,
    /// Another field, by its name.
    Other(&'static str),
}

/// The bits of [`PacketField::ConnectionState`].
pub mod connection_state {
    /// The packet opens a connection.
    pub const NEW: u128 = 1;
    /// The connection is open.
    pub const ESTABLISHED: u128 = 1 << 1;
    /// The packet is an ICMP error about a connection.
    pub const RELATED: u128 = 1 << 2;
    /// The packet goes in the direction of the replies.
    pub const REPLY: u128 = 1 << 3;
    /// The packet fits no connection, and can't open one.
    pub const INVALID: u128 = 1 << 4;
    /// The packet has been through connection tracking.
    pub const TRACKED: u128 = 1 << 5;
    /// Its source was translated.
    pub const SOURCE_TRANSLATED: u128 = 1 << 6;
    /// Its destination was translated.
    pub const DESTINATION_TRANSLATED: u128 = 1 << 7;
}

impl Expression {
    /// Returns what the expression means, with these contents of sets.
    pub fn meaning(&self, contents: &dyn Contents) -> Condition {
        of_node(&self.0, true, contents)
    }
}

/// Returns the meaning of a node, or of its opposite.
fn of_node(node: &Node, holds: bool, contents: &dyn Contents) -> Condition {
    let all = |parts: &[Node]| parts.iter().map(|part| of_node(part, holds, contents)).collect();
    match node {
        Node::Boolean(value) => Condition::Constant(*value == holds),
        Node::Test(field) => of_field(field, Bits { mask: u128::MAX, low: 0, high: 0 }, !holds),
        Node::Compare(field, relation, constants) => comparison(field, *relation, constants, holds, contents),
        Node::Between(low, first, field, second, high) => {
            between([low, high], [*first, *second], field, holds)
        }
        Node::ChassisResident(port) => Condition::Resident { port: port.clone(), holds },
        // The opposite of "all" is "one of the opposites".
        Node::And(parts) if holds => Condition::All(all(parts)),
        Node::Or(parts) if !holds => Condition::All(all(parts)),
        Node::And(parts) | Node::Or(parts) => Condition::Any(all(parts)),
        Node::Not(inner) => of_node(inner, !holds, contents),
    }
}

/// A range of some bits of a field.
#[derive(Clone, Copy)]
struct Bits {
    /// The bits that count, of those that the field has.
    mask: u128,
    low: u128,
    high: u128,
}

fn comparison(
    field: &Field,
    relation: Relation,
    constants: &Constants,
    holds: bool,
    contents: &dyn Contents,
) -> Condition {
    if field.symbol.width == 0 {
        let names = constants.all().iter().flat_map(|constant| match constant {
            Constant::Text(name) => BTreeSet::from([name.clone()]),
            Constant::PortGroup(group) => contents.ports(group),
            Constant::Integer(_) | Constant::AddressSet(_) => BTreeSet::new(),
        });
        return Condition::Port(PortTest {
            is_input: field.symbol.name == "inport",
            names: names.collect(),
            holds: (relation == Relation::Equal) == holds,
        });
    }
    let mut values: Vec<(u128, Option<u128>)> = Vec::new();
    for constant in constants.all() {
        match constant {
            // ovn-controller leaves out what does not fit into the bits of a field.
            Constant::Integer(integer) => values.push((integer.value & mask_of(field.width()), integer.mask)),
            Constant::AddressSet(set) => values.extend(contents.addresses(set).into_iter().map(|network| {
                let mask = u128::from(u32::from(network.netmask()));
                (u128::from(u32::from(network.network())), Some(mask))
            })),
            Constant::Text(_) | Constant::PortGroup(_) => {}
        }
    }
    if !relation.is_equality() {
        let value = values.first().map_or(0, |(value, _)| *value);
        return range(field, [Some((relation, value)), None], holds);
    }
    let is_equal = (relation == Relation::Equal) == holds;
    let tests = values
        .into_iter()
        .map(|(value, mask)| {
            let mask = mask.unwrap_or(u128::MAX);
            let value = value & mask;
            of_field(field, Bits { mask, low: value, high: value }, is_equal)
        })
        .collect();
    // "None of these" is "not the first, and not the second, …".
    if is_equal { one_of(tests) } else { all_of(tests) }
}

fn between(ends: [&Constant; 2], relations: [Relation; 2], field: &Field, holds: bool) -> Condition {
    let number = |constant: &Constant| match constant {
        Constant::Integer(integer) => integer.value,
        Constant::Text(_) | Constant::AddressSet(_) | Constant::PortGroup(_) => 0,
    };
    let [first, second] = relations;
    let [low, high] = ends;
    range(field, [Some((first.turned(), number(low))), Some((second, number(high)))], holds)
}

/// Returns the condition that a field has these relations to numbers.
fn range(field: &Field, limits: [Option<(Relation, u128)>; 2], holds: bool) -> Condition {
    let mask = mask_of(field.width());
    let (mut low, mut high, mut is_empty) = (0, mask, false);
    for (relation, value) in limits.into_iter().flatten() {
        match relation {
            Relation::Less if value == 0 => is_empty = true,
            Relation::Less => high = high.min(value - 1),
            Relation::LessOrEqual => high = high.min(value),
            Relation::Greater if value >= mask => is_empty = true,
            Relation::Greater => low = low.max(value + 1),
            Relation::GreaterOrEqual => low = low.max(value),
            Relation::Equal | Relation::NotEqual => {}
        }
    }
    match is_empty || low > high {
        // Still only packets that have the field.
        true => of_field(field, Bits { mask: 0, low: 1, high: 1 }, holds),
        false => of_field(field, Bits { mask: u128::MAX, low, high }, holds),
    }
}

fn mask_of(width: u16) -> u128 {
    1u128.checked_shl(u32::from(width)).map_or(u128::MAX, |bit| bit - 1)
}

/// Returns the condition that bits of a field are in a range or not, with all that the field needs.
fn of_field(field: &Field, bits: Bits, holds: bool) -> Condition {
    let symbol = field.symbol;
    let (shift, width) = (field.bits.map_or(0, |(low, _)| low), field.width());
    let mask = bits.mask & mask_of(width);
    if symbol.is_predicate {
        // A predicate is a bit: it is met or not.
        let is_met = bits.low & 1 == 1;
        return predicate(symbol.name, is_met == holds);
    }
    let (needs, packet_field, first) = place_of(symbol.name);
    let test = Condition::Number(NumberTest {
        field: packet_field,
        shift: first + shift,
        mask,
        low: bits.low,
        high: bits.high,
        holds,
    });
    all_of(needs.iter().map(|need| predicate(need, true)).chain([test]).collect())
}

/// Returns what a field needs, where it is, and the number of its lowest bit there.
fn place_of(name: &'static str) -> (&'static [&'static str], PacketField, u16) {
    use PacketField as P;
    match name {
        "eth.src" => (&[], P::EthernetSource, 0),
        "eth.dst" => (&[], P::EthernetDestination, 0),
        "eth.mcast" => (&[], P::EthernetDestination, 40),
        "eth.type" => (&[], P::EtherType, 0),
        "vlan.tci" => (&[], P::VlanTag, 0),
        "vlan.vid" => (&["vlan.present"], P::VlanTag, 0),
        "vlan.pcp" => (&["vlan.present"], P::VlanTag, 13),
        "ip.proto" => (&["ip"], P::Protocol, 0),
        "ip.ttl" => (&["ip"], P::Ttl, 0),
        "ip.frag" => (&["ip"], P::Fragment, 0),
        "ip4.src" => (&["ip4"], P::Ipv4Source, 0),
        "ip4.dst" => (&["ip4"], P::Ipv4Destination, 0),
        "icmp4.type" => (&["icmp4"], P::IcmpType, 0),
        "icmp4.code" => (&["icmp4"], P::IcmpCode, 0),
        "tcp.src" => (&["tcp"], P::SourcePort, 0),
        "tcp.dst" => (&["tcp"], P::DestinationPort, 0),
        "udp.src" => (&["udp"], P::SourcePort, 0),
        "udp.dst" => (&["udp"], P::DestinationPort, 0),
        "sctp.src" => (&["sctp"], P::SourcePort, 0),
        "sctp.dst" => (&["sctp"], P::DestinationPort, 0),
        "tcp.flags" => (&["tcp"], P::Other("tcp.flags"), 0),
        "arp.op" => (&["arp"], P::ArpOperation, 0),
        "arp.spa" => (&["arp"], P::ArpSource, 0),
        "arp.tpa" => (&["arp"], P::ArpTarget, 0),
        "arp.sha" => (&["arp"], P::ArpSourceMac, 0),
        "arp.tha" => (&["arp"], P::ArpTargetMac, 0),
        "ct_state" | "ct.trk" => (&[], P::ConnectionState, if name == "ct.trk" { 5 } else { 0 }),
        "ct.new" => (&["ct.trk"], P::ConnectionState, 0),
        "ct.est" => (&["ct.trk"], P::ConnectionState, 1),
        "ct.rel" => (&["ct.trk"], P::ConnectionState, 2),
        "ct.rpl" => (&["ct.trk"], P::ConnectionState, 3),
        "ct.inv" => (&["ct.trk"], P::ConnectionState, 4),
        "ct.snat" => (&["ct.trk"], P::ConnectionState, 6),
        "ct.dnat" => (&["ct.trk"], P::ConnectionState, 7),
        "ip.dscp" | "ip.ecn" => (&["ip"], P::Other(name), 0),
        "icmp6.type" | "icmp6.code" => (&["icmp6"], P::Other(name), 0),
        "ip6.src" | "ip6.dst" | "ip6.label" => (&["ip6"], P::Other(name), 0),
        "nd.target" => (&["nd"], P::Other(name), 0),
        "nd.sll" => (&["nd_ns"], P::Other(name), 0),
        "nd.tll" => (&["nd_na"], P::Other(name), 0),
        "ct_mark.blocked" => (&[], P::Other("ct_mark"), 0),
        "ct_mark.natted" => (&[], P::Other("ct_mark"), 1),
        other => (&[], P::Other(other), 0),
    }
}

/// Returns the condition that a predicate stands for, or its opposite.
fn predicate(name: &str, holds: bool) -> Condition {
    use PacketField as P;
    let number =
        |field, value: u128| NumberTest { field, shift: 0, mask: u128::MAX, low: value, high: value, holds };
    let is = |field, value: u128| Condition::Number(number(field, value));
    let of_bits =
        |field, shift, mask, value| Condition::Number(NumberTest { shift, mask, ..number(field, value) });
    let all = |parts: Vec<Condition>| if holds { all_of(parts) } else { one_of(parts) };
    let part = |name: &str| predicate(name, holds);
    let ethernet_type = |number: u16| is(P::EtherType, u128::from(number));
    let protocol = |number| all(vec![part("ip"), is(P::Protocol, number)]);
    match name {
        "ip4" => ethernet_type(ethertype::IPV4),
        "ip6" => ethernet_type(ethertype::IPV6),
        "arp" => ethernet_type(ethertype::ARP),
        "ip" if holds => one_of(vec![part("ip4"), part("ip6")]),
        "ip" => all_of(vec![part("ip4"), part("ip6")]),
        "tcp" => protocol(6),
        "udp" => protocol(17),
        "sctp" => protocol(132),
        "icmp4" => all(vec![part("ip4"), is(P::Protocol, 1)]),
        "icmp6" => all(vec![part("ip6"), is(P::Protocol, 58)]),
        "igmp" => all(vec![part("ip4"), is(P::Protocol, 2)]),
        "icmp" if holds => one_of(vec![part("icmp4"), part("icmp6")]),
        "icmp" => all_of(vec![part("icmp4"), part("icmp6")]),
        "vlan.present" => of_bits(P::VlanTag, 12, 1, 1),
        "eth.bcast" => is(P::EthernetDestination, mask_of(48)),
        "eth.mcastv6" => of_bits(P::EthernetDestination, 32, 0xffff, 0x3333),
        "ip4.mcast" => all(vec![part("ip4"), of_bits(P::Ipv4Destination, 28, 0xf, 0xe)]),
        "ip4.src_mcast" => all(vec![part("ip4"), of_bits(P::Ipv4Source, 28, 0xf, 0xe)]),
        "ip.is_frag" => all(vec![part("ip"), of_bits(P::Fragment, 0, 1, 1)]),
        "ip.later_frag" => all(vec![part("ip"), of_bits(P::Fragment, 1, 1, 1)]),
        "ip.first_frag" => {
            let first = of_bits(P::Fragment, 0, 0b11, 0b01);
            all(vec![part("ip"), first])
        }
        "ct.trk" => of_bits(P::ConnectionState, 5, 1, 1),
        "nd" => all(vec![part("icmp6"), one_of_types(&[135, 136], holds)]),
        "nd_ns" => all(vec![part("icmp6"), one_of_types(&[135], holds)]),
        "nd_na" => all(vec![part("icmp6"), one_of_types(&[136], holds)]),
        "ip6.mcast" => {
            let multicast = of_bits(P::Other("ip6.dst"), 120, 0xff, 0xff);
            all(vec![part("ip6"), multicast])
        }
        // The list of symbols has no other.
        _ => Condition::Constant(false),
    }
}

/// Returns the condition that an ICMPv6 message has one of these types, or none of them.
fn one_of_types(types: &[u128], holds: bool) -> Condition {
    let tests = types.iter().map(|kind| {
        Condition::Number(NumberTest {
            field: PacketField::Other("icmp6.type"),
            shift: 0,
            mask: 0xff,
            low: *kind,
            high: *kind,
            holds,
        })
    });
    if holds { one_of(tests.collect()) } else { all_of(tests.collect()) }
}

fn all_of(parts: Vec<Condition>) -> Condition {
    single(parts).unwrap_or_else(Condition::All)
}

fn one_of(parts: Vec<Condition>) -> Condition {
    single(parts).unwrap_or_else(Condition::Any)
}

/// Returns the only part, or all of them if they are not one.
fn single(mut parts: Vec<Condition>) -> Result<Condition, Vec<Condition>> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => Ok(only),
        (_, last) => {
            parts.extend(last);
            Err(parts)
        }
    }
}
