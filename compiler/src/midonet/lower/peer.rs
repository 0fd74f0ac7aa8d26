//! Peers: a link between two tenants' routers, routes to the chosen networks, and the rules that limit the traffic on
//! either side.

use crate::midonet::lower::{ANYWHERE, Lowering, Rules};
use crate::topology::key::Key;
use crate::topology::key::view::RuleKey;
use crate::topology::kinds::{
    Condition, NextHop, Object, PortLink, Reference, Route, RouterPort, RuleAction,
};

pub(super) fn lower(lowering: &mut Lowering<'_>) {
    for peer in &lowering.tenant.peers {
        let keys = lowering.keys.peer(&peer.name);
        let port = keys.port();
        let router = Reference::from(&lowering.router);
        let object = RouterPort::new(router.clone(), peer.link.near, peer.link.network);
        lowering.add(port.clone(), Object::RouterPort(object), peer.span);
        if peer.owns_link {
            let far = Key::tenant(&peer.name).peer(&lowering.tenant.name).port();
            let link = PortLink { port: (&port).into(), peer: Reference::Key(far) };
            lowering.add(keys.link(), Object::PortLink(link), peer.span);
        }
        for network in &peer.networks {
            let route = Route {
                router: router.clone(),
                source: ANYWHERE,
                destination: *network,
                next_hop: NextHop::Port { port: (&port).into(), gateway: Some(peer.link.far) },
                weight: lowering.weight(),
            };
            lowering.add(keys.route(*network), Object::Route(route), peer.span);
        }
    }
}

/// Adds the rules that let only the chosen bridges send to a peer, and be reached from one. They match by port, because
/// a port can't be forged. Replies are accepted before these rules.
pub(super) fn outbound_rules(lowering: &mut Lowering<'_>, rules: &mut Rules<'_>) {
    for peer in &lowering.tenant.peers {
        let port = lowering.keys.peer(&peer.name).port();
        let chosen: Vec<Reference> =
            peer.own_bridges.iter().flat_map(|at| lowering.gateway_port(*at)).collect();
        let sources = Condition {
            out_ports: vec![(&port).into()],
            not_in_ports: !chosen.is_empty(),
            in_ports: chosen.clone(),
            ..Condition::default()
        };
        rules.add(lowering, RuleKey::PeerSources(&peer.name), sources, RuleAction::Drop, peer.span);
        let destinations = Condition {
            in_ports: vec![(&port).into()],
            not_out_ports: !chosen.is_empty(),
            out_ports: chosen,
            ..Condition::default()
        };
        rules.add(lowering, RuleKey::PeerDestinations(&peer.name), destinations, RuleAction::Drop, peer.span);
    }
}
