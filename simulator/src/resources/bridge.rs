//! Bridges (03-bridge).

use uuid::Uuid;

use super::{NAME, REQUIRED_ON_1X};
use crate::integrity::delete_referring;
use crate::schema::{
    Kind, Row, flag, link, link_on, reference, text, unsupported_reference, unsupported_references, uuid,
    uuids,
};
use crate::state::Transaction;
use crate::version::{Version, Versions};

const V5: Versions = Versions::V5;

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    text("tenantId").checked(REQUIRED_ON_1X).row(),
    text("name").checked(NAME).row(),
    flag("adminStateUp", true).row(),
    reference("inboundFilterId", Kind::Chain).row(),
    reference("outboundFilterId", Kind::Chain).row(),
    uuids("vxLanPortIds").on(V5).by_server().row(),
    unsupported_references("inboundMirrorIds", "Mirror").on(V5).row(),
    unsupported_references("outboundMirrorIds", "Mirror").on(V5).row(),
    unsupported_reference("qosPolicyId", "QosPolicy").on(Versions::V5_8).row(),
    link("inboundFilter", "/chains/{inboundFilterId}"),
    link("outboundFilter", "/chains/{outboundFilterId}"),
    link("peerPorts", "/bridges/{id}/peer_ports"),
    link_on("vxLanPorts", "/bridges/{id}/vxlan_ports", V5, &[]),
    link("macTable", "/bridges/{id}/mac_table"),
    link("arpTable", "/bridges/{id}/arp_table"),
    link("dhcpSubnets", "/bridges/{id}/dhcp"),
    link("dhcpSubnet6s", "/bridges/{id}/dhcpV6"),
    link("vlanMacTableTemplate", "/bridges/{id}/vlans/{{vlanId}}/mac_table"),
    link("macPortTemplate", "/bridges/{id}/mac_table/{{macAddress}}_{{portId}}"),
    link("vlanMacPortTemplate", "/bridges/{id}/vlans/{{vlanId}}/mac_table/{{macAddress}}_{{portId}}"),
    link("uri", "/bridges/{id}"),
    link("ports", "/bridges/{id}/ports"),
];

/// Deletes what belongs to a bridge: its ports with their links and bindings (13-host-binding, step 26).
pub(crate) fn cascade(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "deviceId", Kind::Port);
}
