//! The fields and the predicates that an expression may name, as ovn-controller knows them (OVN 23.03 and later).

/// The comparisons that a field allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Equality only, and not its opposite: the switch can't match single bits of the field.
    Nominal,
    /// Equality and its opposite.
    Boolean,
    /// Equality, order, and single bits.
    Ordinal,
}

/// A field, a part of a field with a name of its own, or a predicate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) name: &'static str,
    /// The number of bits; 0 for a text.
    pub(super) width: u16,
    pub(super) level: Level,
    /// True if it stands for an expression.
    pub(super) is_predicate: bool,
}

/// Returns the symbol with this name.
pub(super) fn symbol(name: &str) -> Option<&'static Symbol> {
    SYMBOLS.binary_search_by(|symbol| symbol.name.cmp(name)).ok().and_then(|at| SYMBOLS.get(at))
}

const fn bits(name: &'static str, width: u16) -> Symbol {
    Symbol { name, width, level: Level::Ordinal, is_predicate: false }
}

const fn nominal(name: &'static str, width: u16) -> Symbol {
    Symbol { name, width, level: Level::Nominal, is_predicate: false }
}

const fn predicate(name: &'static str, level: Level) -> Symbol {
    Symbol { name, width: 1, level, is_predicate: true }
}

/// Every symbol, sorted by name. Registers are left out: they are northd's own.
pub(super) const SYMBOLS: &[Symbol] = &[
    predicate("arp", Level::Nominal),
    nominal("arp.op", 16),
    bits("arp.sha", 48),
    bits("arp.spa", 32),
    bits("arp.tha", 48),
    bits("arp.tpa", 32),
    bits("ct.dnat", 1),
    bits("ct.est", 1),
    bits("ct.inv", 1),
    bits("ct.new", 1),
    bits("ct.rel", 1),
    bits("ct.rpl", 1),
    bits("ct.snat", 1),
    bits("ct.trk", 1),
    bits("ct_label", 128),
    bits("ct_mark", 32),
    bits("ct_mark.blocked", 1),
    bits("ct_mark.natted", 1),
    bits("ct_state", 32),
    predicate("eth.bcast", Level::Boolean),
    bits("eth.dst", 48),
    bits("eth.mcast", 1),
    predicate("eth.mcastv6", Level::Boolean),
    bits("eth.src", 48),
    nominal("eth.type", 16),
    predicate("icmp", Level::Nominal),
    predicate("icmp4", Level::Nominal),
    nominal("icmp4.code", 8),
    nominal("icmp4.type", 8),
    predicate("icmp6", Level::Nominal),
    nominal("icmp6.code", 8),
    nominal("icmp6.type", 8),
    predicate("igmp", Level::Nominal),
    nominal("inport", 0),
    predicate("ip", Level::Nominal),
    nominal("ip.dscp", 6),
    nominal("ip.ecn", 2),
    predicate("ip.first_frag", Level::Boolean),
    bits("ip.frag", 2),
    predicate("ip.is_frag", Level::Boolean),
    predicate("ip.later_frag", Level::Boolean),
    nominal("ip.proto", 8),
    nominal("ip.ttl", 8),
    predicate("ip4", Level::Nominal),
    bits("ip4.dst", 32),
    predicate("ip4.mcast", Level::Boolean),
    bits("ip4.src", 32),
    predicate("ip4.src_mcast", Level::Boolean),
    predicate("ip6", Level::Nominal),
    bits("ip6.dst", 128),
    bits("ip6.label", 20),
    predicate("ip6.mcast", Level::Boolean),
    bits("ip6.src", 128),
    predicate("nd", Level::Nominal),
    bits("nd.sll", 48),
    bits("nd.target", 128),
    bits("nd.tll", 48),
    predicate("nd_na", Level::Nominal),
    predicate("nd_ns", Level::Nominal),
    nominal("outport", 0),
    bits("pkt.mark", 32),
    predicate("sctp", Level::Nominal),
    bits("sctp.dst", 16),
    bits("sctp.src", 16),
    predicate("tcp", Level::Nominal),
    bits("tcp.dst", 16),
    bits("tcp.flags", 12),
    bits("tcp.src", 16),
    predicate("udp", Level::Nominal),
    bits("udp.dst", 16),
    bits("udp.src", 16),
    bits("vlan.pcp", 3),
    predicate("vlan.present", Level::Boolean),
    bits("vlan.tci", 16),
    bits("vlan.vid", 12),
];
