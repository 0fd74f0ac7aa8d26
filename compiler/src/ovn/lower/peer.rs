//! Peers: a router's port on either side, routes to the chosen networks, and the policies that limit the traffic.

use super::router::on_link;
use super::{Lowering, priority, router_port, static_route};
use crate::network::Peer;
use crate::ovn::expression::Expression;
use crate::ovn::expression::build::{End, Way};
use crate::topology::key::Key;

pub(super) fn lower(lowering: &mut Lowering<'_>) {
    for peer in &lowering.tenant.peers {
        let keys = lowering.keys.peer(&peer.name);
        let port = keys.port();
        let name = lowering.name(&port);
        let far = lowering.name(&Key::tenant(&peer.name).peer(&lowering.tenant.name).port());
        let row = router_port(name.clone(), lowering.engine.mac(&port), on_link(peer.link, peer.link.near));
        lowering.add_to(lowering.in_router("ports"), port, row.text("peer", far), peer.span);
        for network in &peer.networks {
            let row = static_route(*network, peer.link.far, Some(name.clone()));
            lowering.add_to(lowering.in_router("static_routes"), keys.route(*network), row, peer.span);
        }
        limits(lowering, peer, &name);
    }
}

/// Adds the policies that let only the chosen bridges send to a peer, and be reached from one. Without them, packets of the other
/// bridges arrive. Replies come from the chosen bridges as well.
fn limits(lowering: &mut Lowering<'_>, peer: &Peer, port: &str) {
    let chosen = lowering.spaces.of_bridges(peer.own_bridges.iter().copied());
    // The flows of several unequal networks would be as many as their bits, multiplied.
    let is_short = chosen.networks().len() <= 2;
    let addresses = if is_short { chosen.clone() } else { chosen.complement() };
    let addresses = lowering.addresses(format_args!("peer/{}", peer.name), &addresses, peer.span);
    for (name, way, end) in [("sources", Way::Out, End::Source), ("destinations", Way::In, End::Destination)]
    {
        let by_port = Expression::port(way, [port.to_owned()]);
        let others = match &addresses {
            // Where nothing vouches for addresses, the port tells where a packet comes from.
            _ if end == End::Source && !lowering.checks_sources() => {
                let tenant = lowering.tenant;
                let others = tenant.indexed_bridges().map(|(at, _)| at);
                let others = others.filter(|at| !peer.own_bridges.contains(at));
                let others: Vec<String> = others
                    .filter_map(|at| Some(lowering.name(&lowering.gateway_port(at)?)))
                    .chain([lowering.name(&lowering.uplink)])
                    .collect();
                Expression::port(Way::In, others)
            }
            Some(chosen) if is_short => Expression::other_address(end, chosen),
            Some(others) => Expression::address(end, others),
            None => Expression::ip4(),
        };
        let name = format!("peer/{}/{name}", peer.name);
        let expression = Expression::all([by_port, others]);
        lowering.policy(&name, priority::PEERS, "drop", &expression, peer.span);
    }
}
