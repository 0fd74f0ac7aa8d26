//! The policies about packets from the outside.

use super::{Lowering, keys, priority};
use crate::ovn::expression::Expression;
use crate::ovn::expression::build::{Addresses, End, Way};
use crate::ovn::networks::AddressSpace;
use crate::source::Span;
use crate::spec::Egress;
use crate::topology::kinds::Row;
use crate::topology::kinds::row::schema::Table;

pub(super) fn lower(lowering: &mut Lowering<'_>) {
    answers(lowering);
    // Without source NAT, switches know by addresses alone what comes from the world.
    if lowering.checks_sources() || (lowering.strict() && lowering.tenant.egress == Egress::None) {
        inside_sources(lowering);
    }
    if lowering.strict() {
        match lowering.tenant.egress {
            Egress::None => peer_sources(lowering),
            Egress::SnatToLink | Egress::SnatTo(..) => untranslated(lowering),
        }
    }
    let tenant = lowering.tenant;
    if !tenant.exposes.is_empty() || matches!(tenant.egress, Egress::SnatTo(..)) {
        returning(lowering);
    }
    if !lowering.checks_sources() && tenant.egress != Egress::None {
        foreign_sources(lowering);
    }
}

/// Drops what would leave with a source that source NAT does not know, where nothing else checks sources. What the router itself answers
/// has the link's address, or a gateway's.
fn foreign_sources(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    let link: AddressSpace = [tenant.link.near.into()].into_iter().collect();
    let own = lowering.spaces.inside.with(&link);
    // The flows of several unequal networks would be as many as their bits, multiplied.
    let Some(others) = lowering.addresses("foreign", &own.complement(), tenant.span) else { return };
    let out = Expression::port(Way::Out, [lowering.name(&lowering.uplink)]);
    let expression = Expression::all([out, Expression::address(End::Source, &others)]);
    lowering.policy("foreign-source", priority::FOREIGN_SOURCE, "drop", &expression, tenant.span);
}

/// Lets a router answer pings to the addresses of its gateways: those of peers, and in `rainbond` those from outside. No other packet has
/// such an address as its source: OVN drops it before the policies.
fn answers(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    let peers = tenant.peers.iter().map(|peer| lowering.name(&lowering.keys.peer(&peer.name).port()));
    let uplink = (!lowering.strict()).then(|| lowering.name(&lowering.uplink));
    let ports: Vec<String> = peers.chain(uplink).collect();
    let gateways: AddressSpace = tenant.bridges.iter().map(|bridge| bridge.gateway.into()).collect();
    let Some(gateways) = lowering.addresses("gateways", &gateways, tenant.span).filter(|_| !ports.is_empty())
    else {
        return;
    };
    let expression =
        Expression::all([Expression::port(Way::In, ports), Expression::address(End::Source, &gateways)]);
    lowering.policy("answers", priority::ANSWERS_OF_ROUTER, "allow", &expression, tenant.span);
}

/// Drops what comes from outside for a public address and is not translated: the provider router has a route to the address, so the
/// packet would go back and forth between both routers. What the router itself answers may go back.
fn returning(lowering: &mut Lowering<'_>) {
    let back = Expression::port(Way::Out, [lowering.name(&lowering.uplink)]);
    let not_own = Expression::other_address(End::Source, &Addresses::one(lowering.tenant.link.near));
    let expression = Expression::all([from_uplink(lowering), back, not_own]);
    lowering.policy("uplink-return", priority::UPLINK_RETURN, "drop", &expression, lowering.tenant.span);
}

fn from_uplink(lowering: &Lowering<'_>) -> Expression {
    Expression::port(Way::In, [lowering.name(&lowering.uplink)])
}

/// Drops packets from outside that have an address of a bridge or a peer as their source: rules tell places by addresses. A peer
/// without source NAT comes from outside with its own addresses, when it uses an exposed port.
fn inside_sources(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    let translated = tenant.peers.iter().filter(|peer| {
        let other = lowering.engine.tenants.get(peer.name.as_str());
        other.is_some_and(|other| other.egress != Egress::None)
    });
    let peers: AddressSpace = translated.flat_map(|peer| peer.networks.iter().copied()).collect();
    let sources = match peers.is_empty() {
        true => lowering.inside(),
        false => {
            let spoofed = lowering.spaces.inside.with(&peers);
            lowering.addresses("spoofed", &spoofed, tenant.span)
        }
    };
    let Some(sources) = sources else { return };
    let expression = Expression::all([from_uplink(lowering), Expression::address(End::Source, &sources)]);
    lowering.policy("uplink-source", priority::UPLINK_SOURCE, "drop", &expression, tenant.span);
}

/// Drops what comes from outside with a source in the network of a peer without source NAT, but for its connections to exposed ports,
/// which have been tracked when they come here: all others of the peer come by the link between both.
fn peer_sources(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    let untranslated = tenant.peers.iter().filter(|peer| {
        let other = lowering.engine.tenants.get(peer.name.as_str());
        other.is_some_and(|other| other.egress == Egress::None)
    });
    let peers: AddressSpace = untranslated.flat_map(|peer| peer.networks.iter().copied()).collect();
    if peers.is_empty() {
        return;
    }
    let Some(peers) = lowering.addresses("untranslated-peers", &peers, tenant.span) else { return };
    let Some(inside) = lowering.inside() else { return };
    let sources = Expression::address(End::Source, &peers);
    let to_inside = Expression::address(End::Destination, &inside);
    let expression = Expression::all([from_uplink(lowering), sources, to_inside, Expression::untracked()]);
    lowering.policy("uplink-peer", priority::UNTRANSLATED, "drop", &expression, tenant.span);
}

/// Drops what comes from outside to a pod's own address: connections from outside only open to exposed ports, and the replies to a
/// pod's connections go to the translated address. Both have been tracked when they come here.
fn untranslated(lowering: &mut Lowering<'_>) {
    let Some(inside) = lowering.inside() else { return };
    let to_inside = Expression::address(End::Destination, &inside);
    let expression = Expression::all([from_uplink(lowering), to_inside, Expression::untracked()]);
    lowering.policy("untranslated", priority::UNTRANSLATED, "drop", &expression, lowering.tenant.span);
}

impl Lowering<'_> {
    /// Adds a policy of the tenant's router.
    pub(super) fn policy(
        &mut self,
        name: &str,
        priority: i64,
        action: &str,
        expression: &Expression,
        span: Span,
    ) {
        let row = Row::new(Table::LogicalRouterPolicy)
            .integer("priority", priority)
            .text("match", expression.to_string())
            .text("action", action);
        self.add_to(self.in_router("policies"), keys::policy(&self.router, name), row, span);
    }
}
