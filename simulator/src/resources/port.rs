//! Ports of routers and bridges (03-bridge, 05-router-port).

use super::PREFIX;
use crate::schema::{
    Check, DefaultValue, Kind, Row, ValueType, flag, link, link_on, number, other, reference, text,
    unsupported_reference, unsupported_references, uuid, uuids,
};
use crate::version::Versions;

/// The types of ports.
pub(crate) const TYPES: &[&str] = &[BRIDGE, ROUTER];
/// The type of a bridge's port.
pub(crate) const BRIDGE: &str = "Bridge";
/// The type of a router's port.
pub(crate) const ROUTER: &str = "Router";

const V1: Versions = Versions::V1;
const V5: Versions = Versions::V5;
const V5_8: Versions = Versions::V5_8;
const ON_BRIDGE: &[&str] = &[BRIDGE];
const ON_ROUTER: &[&str] = &[ROUTER];
/// The constraints on the addresses of a router's port (05-router-port, step 6).
const ADDRESS: &[(Versions, Check)] = &[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::Address)];

pub(crate) const TABLE: &[Row] = &[
    text("type").row(),
    uuid("id").row(),
    flag("adminStateUp", true).row(),
    reference("inboundFilterId", Kind::Chain).row(),
    reference("outboundFilterId", Kind::Chain).row(),
    number("tunnelKey", 0).on(V5).by_server().row(),
    uuid("vifId").row(),
    uuid("hostId").row(),
    text("interfaceName").row(),
    uuid("peerId").row(),
    // 1.7 has a port's groups in the port's record too (README, 17).
    uuids("portGroupIds").on(V1).hidden().row(),
    unsupported_references("inboundMirrorIds", "Mirror").on(V5).row(),
    unsupported_references("outboundMirrorIds", "Mirror").on(V5).row(),
    unsupported_references("postInFilterMirrorIds", "Mirror").on(V5_8).row(),
    unsupported_references("preOutFilterMirrorIds", "Mirror").on(V5_8).row(),
    uuids("insertionIds").on(V5).by_server().row(),
    unsupported_reference("qosPolicyId", "QosPolicy").on(V5_8).row(),
    flag("active", false).on(V5).by_server().row(),
    text("networkAddress").of(ON_ROUTER).checked(ADDRESS).row(),
    number("networkLength", 0).of(ON_ROUTER).checked(PREFIX).row(),
    text("portAddress").of(ON_ROUTER).checked(ADDRESS).row(),
    text("portMac").of(ON_ROUTER).row(),
    // The fields of a router's port that 1.7 shows on a bridge's port as well (03-bridge, step 7).
    text("networkAddress").of(ON_BRIDGE).on(V1).by_server().row(),
    number("networkLength", -1).of(ON_BRIDGE).on(V1).by_server().row(),
    text("portAddress").of(ON_BRIDGE).on(V1).by_server().row(),
    text("portMac").of(ON_BRIDGE).on(V1).by_server().row(),
    other("portSubnet", ValueType::Any, DefaultValue::EmptyList).of(ON_ROUTER).on(V5_8).by_server().row(),
    optional("rtrPortVni"),
    other("offRampVxlan", ValueType::Any, DefaultValue::Null).of(ON_ROUTER).on(V5_8).by_server().row(),
    uuid("serviceContainerId").of(ON_ROUTER).on(V5_8).by_server().row(),
    text("bgpStatus").of(ON_ROUTER).on(V5).by_server().row(),
    number("vlanId", 0).of(ON_BRIDGE).on(V5).row(),
    other("vlanId", ValueType::OptionalNumber, DefaultValue::Null).of(ON_BRIDGE).on(V1).row(),
    number("vlanId", -1).of(ON_ROUTER).on(V1).by_server().row(),
    uuid("deviceId").by_server().row(),
    link_on("device", "/routers/{deviceId}", Versions::ALL, ON_ROUTER),
    link_on("device", "/bridges/{deviceId}", Versions::ALL, ON_BRIDGE),
    link_on("serviceContainer", "/service_containers/{serviceContainerId}", V5_8, ON_ROUTER),
    link_on("peeringTable", "/routers/{deviceId}/ports/{id}/peering_table", V5_8, ON_ROUTER),
    link_on("bgps", "/ports/{id}/bgps", V1, ON_ROUTER),
    link_on("bgps", "/ports/{portMac}/bgps", V1, ON_BRIDGE),
    link("inboundFilter", "/chains/{inboundFilterId}"),
    link("outboundFilter", "/chains/{outboundFilterId}"),
    link("peer", "/ports/{peerId}"),
    link("hostInterfacePort", "/hosts/{hostId}/ports/{id}"),
    link("uri", "/ports/{id}"),
    link("portGroups", "/ports/{id}/port_groups"),
    link("link", "/ports/{id}/link"),
    link("host", "/hosts/{hostId}"),
];

const fn optional(name: &'static str) -> Row {
    other(name, ValueType::OptionalNumber, DefaultValue::Null).of(ON_ROUTER).on(V5_8).row()
}
