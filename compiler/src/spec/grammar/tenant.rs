//! The tenant file.

use super::constraint::{Constraint, Count};
use super::default::{WithDefault, or};
use super::key::{key, required, table};
use super::policy::Limits;
use super::values::{
    Address, Boolean, EgressValue, EthertypeValue, GatewayValue, IcmpValue, Integer, Interface, List, Mac,
    Map, Name, Named, Network, OnlyTrue, Ports, ProtocolValue, PublicEnd, SizedNetwork, SubTable, Tables,
    Text, Words, integer, list, map, tables, text, words,
};
use crate::diagnostic::Code;
use crate::spec::{Action, AntiSpoof, Egress, Profile, RouteEnd};

/// The form of a key that both the site's defaults and a tenant have.
pub(super) const MTU: Integer<u16> = integer(576, 65535);
/// The description of a key that both the site's defaults and a tenant have.
pub(super) const MTU_OF_PODS: &str = "The MTU inside pods. The default, and the most, is `underlay_mtu` less the header of the tunnels: \
    46 bytes for GRE, 50 for VXLAN. If midoform makes no tunnel zone, the default is that of VXLAN, and the most that of GRE.";
/// The description of a key that both the site's defaults and a tenant have.
pub(super) const PROFILE: &str = "The layout: `strict` (the default) closes what `rainbond`, the layout of the Go plugin, leaves open: `docs/layout.md`.";
/// The description of a key that both the site's defaults and a tenant have.
pub(super) const ANTI_SPOOF: &str = "The checks of source addresses. `bridge`: a bridge accepts only source addresses of its own network \
    (the default of `strict`), and no ARP packet that claims to be the gateway. `port`: in addition, each port accepts only its own \
    address and MAC, in ARP as well. `none`: no checks.";

/// The description of a key that both the site's defaults and a tenant have.
pub(super) const ETHERTYPES: &str = "The EtherTypes that pass a bridge of a `strict` tenant besides IPv4 and ARP. The spec's rules, and the \
    checks of source addresses, are about IPv4 and ARP only. `\"vlan\"`: frames with a VLAN tag, which no rule sees.";

const BRIDGE: Named = Named("the name of a bridge");
const PORT: Named = Named("the name of a `[[port]]`");

table! {
    /// A tenant: a router of its own behind the provider router, with bridges, rules, and what it shows of itself.
    TenantKeys {
        name: Name = required(Name, "Its name: the first segment of the keys of all its objects."),
        tenant_id: Text = key(Text::like("^[!-~]{1,64}$"),
            "MidoNet's `tenantId` (a Keystone project id). If it is absent: the project that the lock file has, or else the name."),
        profile: Words<Profile> = key(words(), PROFILE),
        labels: Map<Text> = key(map(text()), "Labels, for people and policies."),
        protect: WithDefault<Boolean> = key(or(Boolean, false), "The tenant can't be destroyed. The lock file remembers it."),
        mtu: Integer<u16> = key(MTU, MTU_OF_PODS),
        dns: SubTable<DnsKeys> = key(SubTable::INLINE, "Name resolution inside pods."),
        quotas: SubTable<Limits> = key(SubTable::INLINE, "Limits of the tenant."),
        link: SubTable<LinkKeys> = key(SubTable::INLINE, "The addresses of the link to the provider router, pinned."),
        anti_spoof: Words<AntiSpoof> = key(words(), ANTI_SPOOF),
        ethertypes: List<EthertypeValue> = key(list(EthertypeValue), ETHERTYPES),
        egress: WithDefault<EgressValue> = key(or(EgressValue, Egress::SnatToLink),
            "The NAT of traffic to the world. `\"snat\"`: source NAT to the link address. A table: source NAT to its addresses. \
             `\"none\"`: no NAT, so the world needs routes to the tenant's networks."),
        bridge: Tables<BridgeKeys> = key(tables(), "Bridges."),
        port: Tables<PortKeys> = key(tables(), "Ports that exist before anything is attached to them."),
        route: Tables<RouteKeys> = key(tables(), "Routes."),
        rule: Tables<RuleKeys> = key(tables(), "Rules. The first that matches decides."),
        address_group: Tables<AddressGroupKeys> = key(tables(), "Groups of addresses, for rules."),
        port_group: Tables<PortGroupKeys> = key(tables(), "Groups of static ports; each is a MidoNet port group."),
        expose: Tables<ExposeKeys> = key(tables(), "Public ports that lead to pods."),
        peer: Tables<PeerKeys> = key(tables(), "Tenants that this one may talk to; both sides name each other."),
        moved: Tables<MovedKeys> = key(tables(), "Renamed objects. An apply keeps them, and does not create them again."),
        assert: Tables<AssertKeys> = key(tables(), "Assertions that have to hold, whatever the rules are. `validate` checks them: `docs/verify.md`."),
    }
}

table! {
    /// Name resolution inside pods.
    DnsKeys {
        nameservers: List<Address> = key(list(Address), "Name servers."),
        search: List<Text> = key(list(text()), "Search domains."),
    }
}

table! {
    /// The addresses of the link to the provider router, pinned.
    LinkKeys {
        provider: Address = required(Address, "The address of the provider router's port."),
        tenant: Address = required(Address, "The address of the tenant router's port."),
        prefix: Integer<u8> = key(integer(8, 30), "The prefix length of both ports' network. The default depends on the profile."),
    }
}

table! {
    /// A bridge.
    BridgeKeys {
        name: Name = required(Name, "Its name."),
        cidr: SizedNetwork = key(SizedNetwork, "Its network. If it is absent, midoform allocates one."),
        gateway: GatewayValue = key(GatewayValue { may_be_an_address: true },
            "The gateway's address: the first or the last (the default) of the network, or a certain address."),
    }
}

table! {
    /// A port for an interface of a host.
    PortKeys {
        name: Name = required(Name, "Its name."),
        bridge: Named = required(BRIDGE, "Its bridge."),
        host: Text = required(text(), "The host: its name in the site file, or its id."),
        interface: Interface = required(Interface, "The interface on that host."),
        mac: Mac = required(Mac, "The MAC address of the machine behind the port."),
        address: Address = required(Address, "The address of the machine behind the port."),
    }
}

table! {
    /// A route.
    RouteKeys {
        destination: SizedNetwork = required(SizedNetwork, "The destinations of the route."),
        via: Address = key(Address, "The next hop: an address in one of the tenant's bridges."),
        bridge: Named = key(BRIDGE, "The destinations are on this bridge."),
        kind: Words<RouteEnd> = key(words(), "The router drops the packets, silently or with an ICMP error.").named("type"),
        weight: WithDefault<Integer<u32>> = key(or(integer(0, 2_147_483_647), 100),
            "Of several routes with the same destination, the one with the lowest weight is used. The uplink's default route has 100."),
    }
    constraints {
        Constraint {
            count: Count::ExactlyOne,
            sets: &[
                &[<RouteKeys as super::Grammar>::KEYS.via.name],
                &[<RouteKeys as super::Grammar>::KEYS.bridge.name],
                &[<RouteKeys as super::Grammar>::KEYS.kind.name],
            ],
            code: Code::RouteTarget,
            message: "a [[route]] needs exactly one target",
            help: "write one of `via = ADDRESS`, `bridge = NAME`, `type = \"blackhole\"` and `type = \"reject\"`",
        },
    }
}

table! {
    /// The source of a connection. If it is absent: anywhere.
    EndKeys {
        bridge: Named = key(BRIDGE, "A bridge of the tenant."),
        address_group: Named = key(Named("the name of an `[[address_group]]`"), "An address group of the tenant."),
        port_group: Named = key(Named("the name of a `[[port_group]]`"), "A port group of the tenant."),
        peer: Named = key(Named("the name of a tenant"), "A peer of the tenant."),
        cidr: Network = key(Network, "Addresses."),
        world: OnlyTrue = key(OnlyTrue, "Everything behind the provider router."),
        tcp: Ports = key(Ports, "TCP ports at this end."),
        udp: Ports = key(Ports, "UDP ports at this end."),
    }
    constraints {
        ONE_SELECTOR,
    }
}

/// One end of a rule has at most one selector.
const ONE_SELECTOR: Constraint = Constraint {
    count: Count::AtMostOne,
    sets: &[
        &[<EndKeys as super::Grammar>::KEYS.bridge.name],
        &[<EndKeys as super::Grammar>::KEYS.address_group.name],
        &[<EndKeys as super::Grammar>::KEYS.port_group.name],
        &[<EndKeys as super::Grammar>::KEYS.peer.name],
        &[<EndKeys as super::Grammar>::KEYS.cidr.name],
        &[<EndKeys as super::Grammar>::KEYS.world.name],
    ],
    code: Code::TwoPlaces,
    message: "one end of a rule has more than one selector",
    help: "write two rules, or an address group that holds both",
};

table! {
    /// The destination and the protocol of a connection. If it is absent: anywhere.
    ToKeys {
        icmp: IcmpValue = key(IcmpValue, "ICMP. MidoNet 5.x can't match type 0 or code 0."),
        protocol: ProtocolValue = key(ProtocolValue, "An IP protocol."),
    }
    parts {
        end: EndKeys,
    }
    constraints {
        ONE_SELECTOR,
    }
}

table! {
    /// A rule about new connections.
    RuleKeys {
        name: Name = required(Name, "Its name."),
        from: SubTable<EndKeys> = key(SubTable::INLINE, "The source of a connection. If it is absent: anywhere."),
        to: SubTable<ToKeys> = key(SubTable::INLINE, "The destination and the protocol of a connection. If it is absent: anywhere."),
        action: Words<Action> = required(words(), "What happens to its packets."),
        stateful: WithDefault<Boolean> = key(or(Boolean, true),
            "Return traffic of accepted connections passes. Rules with `false` also match return traffic, and come before all others."),
    }
}

table! {
    /// A group of addresses.
    AddressGroupKeys {
        name: Name = required(Name, "Its name."),
        addresses: List<Network> = required(list(Network), "Addresses and networks."),
    }
}

table! {
    /// A group of static ports.
    PortGroupKeys {
        name: Name = required(Name, "Its name."),
        ports: List<Named> = required(list(PORT), "Its ports."),
        stateful: WithDefault<Boolean> = key(or(Boolean, false), "MidoNet shares flow state among the ports."),
    }
}

table! {
    /// A public port that leads to a pod.
    ExposeKeys {
        public: PublicEnd = required(PublicEnd, "The public address and port: `\"203.0.113.10:443\"`."),
        to: SubTable<ExposeTargetKeys> = required(SubTable::called("`to` of an [[expose]]"), "The pod."),
    }
}

table! {
    /// The pod: a bridge and an address on it, or a static port; and its TCP or UDP port.
    ExposeTargetKeys {
        bridge: Named = key(BRIDGE, "The pod's bridge."),
        address: Address = key(Address, "The pod's address."),
        port: Named = key(PORT, "The static port."),
        tcp: Integer<u16> = key(integer(1, 65535), "The pod's TCP port."),
        udp: Integer<u16> = key(integer(1, 65535), "The pod's UDP port."),
    }
    constraints {
        Constraint {
            count: Count::ExactlyOne,
            sets: &[
                &[
                    <ExposeTargetKeys as super::Grammar>::KEYS.bridge.name,
                    <ExposeTargetKeys as super::Grammar>::KEYS.address.name,
                ],
                &[<ExposeTargetKeys as super::Grammar>::KEYS.port.name],
            ],
            code: Code::ExposeTarget,
            message: "an [[expose]] needs exactly one pod",
            help: "write `to = { bridge = NAME, address = ADDRESS, tcp = PORT }` or `to = { port = NAME, tcp = PORT }`",
        },
        Constraint {
            count: Count::ExactlyOne,
            sets: &[
                &[<ExposeTargetKeys as super::Grammar>::KEYS.tcp.name],
                &[<ExposeTargetKeys as super::Grammar>::KEYS.udp.name],
            ],
            code: Code::ExposeProtocol,
            message: "an [[expose]] needs either `tcp` or `udp`",
            help: "write two [[expose]] for a port that serves both",
        },
    }
}

table! {
    /// A renamed object. After an apply, you can remove the table.
    MovedKeys {
        bridge: Text = key(text(), "The old name of a bridge."),
        rule: Text = key(text(), "The old name of a rule."),
        port: Text = key(text(), "The old name of a static port."),
        to: Name = required(Name, "The new name."),
    }
    constraints {
        Constraint {
            count: Count::ExactlyOne,
            sets: &[
                &[<MovedKeys as super::Grammar>::KEYS.bridge.name],
                &[<MovedKeys as super::Grammar>::KEYS.rule.name],
                &[<MovedKeys as super::Grammar>::KEYS.port.name],
            ],
            code: Code::MovedWhat,
            message: "a [[moved]] names one thing by its old name: `bridge`, `rule` or `port`",
            help: "write for example `bridge = \"old-name\"` and `to = \"new-name\"`",
        },
    }
}

table! {
    /// A peer.
    PeerKeys {
        tenant: Named = required(Named("the name of a tenant"), "The other tenant."),
        bridges: List<Named> = key(list(BRIDGE), "The tenant's own bridges that the peer may reach. If it is absent: all."),
    }
}

table! {
    /// An assertion about new connections.
    AssertKeys {
        from: SubTable<EndKeys> = required(SubTable::INLINE, "The source of the connections. A selector is required."),
        to: SubTable<ToKeys> = required(SubTable::INLINE, "The destination and the protocol of the connections. A selector is required."),
        allowed: Boolean = required(Boolean, "True: all of these connections have to pass. False: none may pass."),
    }
}
