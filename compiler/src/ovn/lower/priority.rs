//! The priorities of ACLs and policies. The highest one that matches decides.
//!
//! A rule of the spec has the priority of its place in the spec, below the start of its band. So its rows are alike in all switches.

/// The most rules that a tenant may have: each has a priority of its own in three bands.
pub const MOST_RULES: usize = 10_000;

/// Packets of the switch's router port: they are the router's matter.
pub(super) const ROUTER: i64 = 32767;
/// ARP packets that claim the gateway's address.
pub(super) const GATEWAY_ARP: i64 = 32766;
/// The EtherTypes that pass.
pub(super) const ETHERTYPES: i64 = 32765;
/// Connections to link addresses.
pub(super) const LINKS: i64 = 32764;
/// Routes that reject.
pub(super) const ROUTES: i64 = 32763;
/// The spec's stateless rules.
pub(super) const STATELESS: i64 = 32000;
/// The spec's rules about connections from the outside, where these are closed.
pub(super) const FROM_OUTSIDE: i64 = 21900;
/// Connections from the outside to exposed ports.
pub(super) const EXPOSED: i64 = 11802;
/// All other connections from the outside.
pub(super) const CLOSED: i64 = 11801;
/// The spec's stateful rules.
pub(super) const STATEFUL: i64 = 11800;
/// All other IPv4 packets.
pub(super) const ANSWERS: i64 = 2;
/// All other frames.
pub(super) const OTHERS: i64 = 1;

/// What the router itself answers.
pub(super) const ANSWERS_OF_ROUTER: i64 = 32767;
/// Packets from the outside with an inside source address.
pub(super) const UPLINK_SOURCE: i64 = 32766;
/// Packets from the outside that are not translated.
pub(super) const UNTRANSLATED: i64 = 32765;
/// Packets from the outside that would go back there.
pub(super) const UPLINK_RETURN: i64 = 32764;
/// Packets to the outside with a source that is not the tenant's.
pub(super) const FOREIGN_SOURCE: i64 = 32763;
/// What a peer may not reach, or be reached from.
pub(super) const PEERS: i64 = 100;

/// Returns the priority of the rule at a place in the spec, in the band that starts here.
pub(super) fn of_rule(band: i64, place: usize) -> i64 {
    band - i64::try_from(place).unwrap_or(i64::MAX).min(band)
}
