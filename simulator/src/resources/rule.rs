//! Rules of every type, with every condition (04-chain-rule, 09-nat-rules).

use super::PREFIX;
use crate::object::RANK;
use crate::schema::{
    Check, DefaultValue, Field, Row, ValueType, flag, link, number, optional_number, other, text, uuid, uuids,
};
use crate::version::Versions;

/// The types of rules that a client can create.
pub(crate) const TYPES: &[&str] =
    &["accept", "dnat", "drop", "jump", "reject", "return", "rev_dnat", "rev_snat", "snat"];
/// The list of types in the message of 5.x about an unknown type (04-chain-rule, step 13).
pub(crate) const KNOWN: &str =
    "Rule, accept, dnat, drop, jump, l2_transform, reject, return, rev_dnat, rev_snat, snat, trace";
/// The types of rules that do NAT.
pub(crate) const NAT: &[&str] = &["dnat", "snat", "rev_dnat", "rev_snat"];
/// The types of NAT rules with targets: SNAT and DNAT, without the reverse ones.
pub(crate) const FORWARD_NAT: &[&str] = &["dnat", "snat"];

const V1: Versions = Versions::V1;
const V5: Versions = Versions::V5;
const V5_8: Versions = Versions::V5_8;
const JUMP: &[&str] = &["jump"];

const ADDRESS: &[(Versions, Check)] = &[(Versions::ALL, Check::Address)];
// 1.7 checks MAC addresses later, and accepts any port range (not recorded; MidoNet's declarations).
const MAC: &[(Versions, Check)] = &[(V5, Check::Mac)];
const MAC_MASK: &[(Versions, Check)] = &[(V5, Check::MacMask)];
const PORTS: &[(Versions, Check)] = &[(V5, Check::PortRange)];
const DL_TYPE: &[(Versions, Check)] =
    &[(Versions::ALL, Check::AtLeast(0x0600)), (Versions::ALL, Check::AtMost(0xFFFF))];
const POLICIES: &[&str] = &["any", "nonheader", "header", "unfragmented"];
/// The actions of a NAT rule after the translation.
pub(crate) const FLOW_ACTIONS: &[&str] = &["accept", "continue", "return"];
/// The constraints on the flow action (09-nat-rules, steps 13 and 14). On another value 1.7 crashes, and 5.x shows its
/// pattern (not recorded).
const FLOW_ACTION: &[(Versions, Check)] =
    &[(Versions::ALL, Check::NotNull), (V5, Check::Pattern(FLOW_ACTIONS))];
const TARGETS: &[(Versions, Check)] =
    &[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::ListLength(1))];

const fn range(name: &'static str) -> Field {
    other(name, ValueType::Range, DefaultValue::Null).checked(PORTS)
}

pub(crate) const TABLE: &[Row] = &[
    text("type").row(),
    text("nwDstAddress").checked(ADDRESS).row(),
    number("nwDstLength", 0).checked(PREFIX).row(),
    text("nwSrcAddress").checked(ADDRESS).row(),
    number("nwSrcLength", 0).checked(PREFIX).row(),
    flag("condInvert", false).row(),
    flag("matchForwardFlow", false).row(),
    flag("matchReturnFlow", false).row(),
    uuids("inPorts").row(),
    flag("invInPorts", false).row(),
    uuids("outPorts").row(),
    flag("invOutPorts", false).row(),
    uuid("portGroup").row(),
    flag("invPortGroup", false).row(),
    uuid("inPortGroup").on(V5_8).row(),
    flag("invInPortGroup", false).on(V5_8).row(),
    uuid("outPortGroup").on(V5_8).row(),
    flag("invOutPortGroup", false).on(V5_8).row(),
    uuid("ipAddrGroupSrc").row(),
    flag("invIpAddrGroupSrc", false).row(),
    uuid("ipAddrGroupDst").row(),
    flag("invIpAddrGroupDst", false).row(),
    uuid("traversedDevice").on(V5).row(),
    flag("invTraversedDevice", false).on(V5).row(),
    flag("noVlan", false).on(V5).row(),
    optional_number("vlan").on(V5).row(),
    optional_number("dlType").checked(DL_TYPE).row(),
    flag("invDlType", false).row(),
    text("dlSrc").checked(MAC).row(),
    text("dlSrcMask").checked(MAC_MASK).row(),
    flag("invDlSrc", false).row(),
    text("dlDst").checked(MAC).row(),
    text("dlDstMask").checked(MAC_MASK).row(),
    flag("invDlDst", false).row(),
    other("nwTos", ValueType::Byte, DefaultValue::Number(0)).on(V1).row(),
    optional_number("nwTos").on(V5).row(),
    flag("invNwTos", false).row(),
    other("nwProto", ValueType::Byte, DefaultValue::Number(0)).on(V1).row(),
    optional_number("nwProto").on(V5).row(),
    flag("invNwProto", false).row(),
    flag("invNwSrc", false).row(),
    flag("invNwDst", false).row(),
    flag("matchNwDstRewritten", false).on(V5_8).row(),
    text("fragmentPolicy").on(V1).row(),
    other("fragmentPolicy", ValueType::Word(FRAGMENT_POLICY, POLICIES), DefaultValue::Null).on(V5).row(),
    range("tpSrc").row(),
    range("tpDst").row(),
    flag("invTpSrc", false).row(),
    flag("invTpDst", false).row(),
    text("icmpDataSrcIpAddress").on(V5_8).checked(ADDRESS).row(),
    number("icmpDataSrcIpLength", 0).on(V5_8).checked(PREFIX).row(),
    flag("invIcmpDataSrcIp", false).on(V5_8).row(),
    text("icmpDataDstIpAddress").on(V5_8).checked(ADDRESS).row(),
    number("icmpDataDstIpLength", 0).on(V5_8).checked(PREFIX).row(),
    flag("invIcmpDataDstIp", false).on(V5_8).row(),
    uuid("id").row(),
    uuid("chainId").by_server().row(),
    text("meterName").on(V5).row(),
    number("position", 1).checked(&[(Versions::ALL, Check::AtLeast(1))]).row(),
    other("properties", ValueType::Any, DefaultValue::EmptyMap).on(V1).row(),
    text("flowAction").of(NAT).checked(FLOW_ACTION).row(),
    other("natTargets", ValueType::NatTargets, DefaultValue::EmptyList)
        .of(FORWARD_NAT)
        .checked(TARGETS)
        .row(),
    // The getters of the Java class that 1.7 shows as fields (09-nat-rules, step 7).
    Row::Upper { name: "andValidateFragmentPolicy", of: "fragmentPolicy", versions: V1, types: FORWARD_NAT },
    Row::Upper { name: "natFlowAction", of: "flowAction", versions: V1, types: NAT },
    text("jumpChainName").of(JUMP).row(),
    uuid("jumpChainId").of(JUMP).checked(&[(V5, Check::NotNull)]).row(),
    link("uri", "/rules/{id}"),
    other(RANK, ValueType::Number, DefaultValue::Null).hidden().row(),
];

/// The Java enumeration of fragment policies.
pub(crate) const FRAGMENT_POLICY: &str = "Condition$FragmentPolicy";
