//! Routers (02-router, 08-filters).

use super::{NAME, REQUIRED_ON_1X};
use crate::schema::{Kind, Row, flag, link, link_on, number, reference, text, unsupported_references, uuid};
use crate::version::Versions;

const V5: Versions = Versions::V5;
const V5_8: Versions = Versions::V5_8;

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    text("tenantId").checked(REQUIRED_ON_1X).row(),
    text("name").checked(NAME).row(),
    flag("adminStateUp", true).row(),
    reference("inboundFilterId", Kind::Chain).row(),
    reference("outboundFilterId", Kind::Chain).row(),
    reference("loadBalancerId", Kind::LoadBalancer).row(),
    number("asNumber", 0).on(V5).row(),
    unsupported_references("inboundMirrorIds", "Mirror").on(V5).row(),
    unsupported_references("outboundMirrorIds", "Mirror").on(V5).row(),
    reference("localRedirectChainId", Kind::Chain).on(V5_8).row(),
    reference("forwardChainId", Kind::Chain).on(V5).row(),
    link("inboundFilter", "/chains/{inboundFilterId}"),
    link("outboundFilter", "/chains/{outboundFilterId}"),
    link("peerPorts", "/routers/{id}/peer_ports"),
    link("loadBalancer", "/load_balancers/{loadBalancerId}"),
    link_on("bgpNetworks", "/routers/{id}/bgp_networks", V5, &[]),
    link_on("localRedirectChain", "/chains/{localRedirectChainId}", V5_8, &[]),
    link_on("forwardChain", "/chains/{forwardChainId}", V5, &[]),
    link("uri", "/routers/{id}"),
    link("routes", "/routers/{id}/routes"),
    link("ports", "/routers/{id}/ports"),
    link_on("bgpPeers", "/routers/{id}/bgp_peers", V5, &[]),
];

/// The fields that the older representation of 1.7 omits (16-lists, step 22; 10-bad-input, step 13).
pub(crate) const NOT_IN_V1_FORM: &[&str] = &["loadBalancerId", "loadBalancer"];
