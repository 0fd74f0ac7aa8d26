//! The site file.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::constraint::{Constraint, Count};
use super::default::{WithDefault, or};
use super::key::{key, required, table};
use super::policy::PolicyKeys;
use super::tenant::{ANTI_SPOOF, DnsKeys, ETHERTYPES, MTU, MTU_OF_PODS, PROFILE};
use super::values::{
    Address, Boolean, EthertypeValue, GatewayValue, Integer, List, Name, Number, OneOrList, SizedNetwork,
    SubTable, Tables, Text, UuidText, Words, integer, list, one_or_list, tables, text, words,
};
use crate::diagnostic::Code;
use crate::spec::{AntiSpoof, Profile};
use crate::values::{Encapsulation, OvnEncapsulation};

table! {
    /// The settings that serve every tenant of a site.
    SiteKeys {
        name: Name = required(Name, "The site's name: the namespace of all ids. A site with another name shares nothing with this one."),
        midonet: SubTable<MidonetKeys> = key(SubTable::SECTION, "The connection to MidoNet. A site has `[midonet]` or `[ovn]`, or both while it moves."),
        ovn: SubTable<OvnKeys> = key(SubTable::SECTION, "The connection to Open Virtual Network: `docs/engines.md`."),
        pools: SubTable<PoolsKeys> = key(SubTable::SECTION, "The networks that midoform allocates from."),
        etcd: SubTable<EtcdKeys> = key(SubTable::SECTION,
            "The store in a cluster. User and password come from `MIDOFORM_ETCD_USERNAME` and `MIDOFORM_ETCD_PASSWORD`."),
        store: SubTable<StoreKeys> = key(SubTable::SECTION,
            "The store on one machine. With neither `[etcd]` nor `[store]` the lock file is the store."),
        keystone: SubTable<KeystoneKeys> = key(SubTable::SECTION, "The Keystone that has the tenants' projects: `docs/login.md`."),
        underlay_mtu: WithDefault<Integer<u16>> = key(or(integer(626, 65535), 1500),
            "The MTU of the network between the hosts, which carries the tunnels."),
        defaults: SubTable<DefaultsKeys> = key(SubTable::SECTION, "The values for tenants that have none of their own."),
        host: Tables<HostKeys> = key(tables(), "Hosts that static ports may name."),
        tunnel_zone: SubTable<TunnelZoneKeys> = key(SubTable::SECTION,
            "A tunnel zone that midoform creates for these hosts. Leave it out if the hosts are in a tunnel zone \
             already: MidoNet binds ports only on hosts in a tunnel zone."),
        policy: SubTable<PolicyKeys> = key(SubTable::SECTION, "The rules that every tenant has to keep to."),
    }
    constraints {
        Constraint {
            count: Count::AtLeastOne,
            sets: &[&[<SiteKeys as super::Grammar>::KEYS.midonet.name], &[<SiteKeys as super::Grammar>::KEYS.ovn.name]],
            code: Code::MissingKey,
            message: "the site file needs [midonet] or [ovn]",
            help: "add `[midonet]` with `url = \"http://HOST:8181/midonet-api\"` and `managed = true`",
        },
        Constraint {
            count: Count::AtMostOne,
            sets: &[&[<SiteKeys as super::Grammar>::KEYS.etcd.name], &[<SiteKeys as super::Grammar>::KEYS.store.name]],
            code: Code::TwoStores,
            message: "a site has one store: [etcd] or [store]",
            help: "remove one of them",
        },
    }
}

table! {
    /// The connection to MidoNet.
    MidonetKeys {
        url: Text = key(Text::like(SERVER_URL),
            "The API's base URL, without a login, a query or a fragment. Required, unless `embedded = true`."),
        ca: Text = key(text(), "The file with the certificates that sign the API's (PEM); the system's where absent."),
        embedded: WithDefault<Boolean> = key(or(Boolean, false),
            "Use the MidoNet API inside midoform, with its state in `.midoform` beside the site file."),
        version: WithDefault<Number> = key(or(VERSION, 5), "The dialect: 1 for MidoNet 1.x, 5 for MidoNet 5.x."),
        provider_router: UuidText = key(UuidText, "The id of the router that leads outside."),
        managed: WithDefault<Boolean> = key(or(Boolean, false),
            "midoform creates the provider router. It has to be true if there is no `provider_router`."),
    }
}

table! {
    /// The connection to OVN.
    OvnKeys {
        northbound: OneOrList<Text> = required(one_or_list(text()),
            "The servers of the northbound database: `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`.")
            .example("\"unix:/var/run/ovn/ovnnb_db.sock\""),
        ca: Text = key(text(), "The file with the CA certificates that sign the servers' certificates (PEM). `ssl:` needs it."),
        certificate: Text = key(text(), "The file with the client's own certificate (PEM)."),
        private_key: Text = key(text(), "The file with its private key (PEM)."),
        provider_router: Text = key(text(), "The name or the UUID of the router that leads outside, which somebody else made."),
        managed: WithDefault<Boolean> = key(or(Boolean, false),
            "midoform creates the provider router. It has to be true if there is no `provider_router`."),
        gateway_chassis: OneOrList<Text> = required(one_or_list(text()),
            "The chassis that traffic between the tenants and the outside passes, by name. The first one that is alive is used.")
            .example("[\"gateway1\"]"),
        encapsulation: WithDefault<Words<OvnEncapsulation>> = key(or(words(), OvnEncapsulation::Geneve),
            "The encapsulation of the tunnels between the chassis, which decides about the MTU inside pods."),
        open_vswitch: Text = key(text(),
            "The host's own Open vSwitch database, on the hosts of pods and static ports; `unix:/var/run/openvswitch/db.sock` where absent."),
        localnet: SubTable<LocalnetKeys> = key(SubTable::INLINE,
            "The network outside of a managed provider router. Without it, the router leads nowhere."),
    }
    constraints {
        Constraint {
            count: Count::Together,
            sets: &[&[<OvnKeys as super::Grammar>::KEYS.certificate.name, <OvnKeys as super::Grammar>::KEYS.private_key.name]],
            code: Code::MissingKey,
            message: "[ovn] `certificate` and `private_key` belong together",
            help: "name the files of both, or of neither",
        },
    }
}

table! {
    /// The physical network that the managed provider router is connected to.
    LocalnetKeys {
        network: Text = required(text(), "Its name in `ovn-bridge-mappings` of the gateway chassis.").example("\"physnet1\""),
        address: Address = required(Address, "The provider router's address there."),
        prefix: Integer<u8> = required(integer(8, 30), "The prefix length of the network."),
        gateway: Address = required(Address, "The next hop to the world."),
        vlan: Integer<u16> = key(integer(1, 4094), "The VLAN of the network. If it is absent, frames have no tag."),
    }
}

/// A URL without a login, a query, a fragment or a space.
const SERVER_URL: &str = "^[Hh][Tt][Tt][Pp][Ss]?://[^@?#\\s]+$";

const VERSION: Number =
    Number { numbers: &[1, 5], code: Code::UnknownVersion, help: "1 is for MidoNet 1.x, 5 for MidoNet 5.x" };

table! {
    /// The networks that midoform allocates from.
    PoolsKeys {
        links: WithDefault<OneOrList<SizedNetwork>> = key(or(one_or_list(SizedNetwork), LINKS),
            "The networks for links: a /30 for each tenant and each pair of peers."),
        bridges: WithDefault<OneOrList<SizedNetwork>> = key(or(one_or_list(SizedNetwork), BRIDGES),
            "The networks for bridges without a `cidr`."),
        bridge_prefix: WithDefault<Integer<u8>> = key(or(integer(8, 29), 24), "The prefix length of such a bridge's network."),
        shared: WithDefault<Boolean> = key(or(Boolean, false), "Tenants may have the same bridge networks."),
    }
}

/// The Go plugin's default pools, widened for a site.
const LINKS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 16);
const BRIDGES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16);

table! {
    /// The store in a cluster.
    EtcdKeys {
        endpoints: OneOrList<Text> = required(one_or_list(text()), "The members' client URLs.")
            .example("[\"http://127.0.0.1:2379\"]"),
        ca: Text = key(text(), "The file with the CA certificates that sign the members' certificates (PEM). If it is absent: the system's CA certificates."),
        cert: Text = key(text(), "The file with the client's own certificate (PEM)."),
        key: Text = key(text(), "The file with its private key (PEM)."),
        timeout: Integer<u64> = key(integer(1, 600), "The time limit of one call, in seconds. The default is 5."),
    }
    constraints {
        Constraint {
            count: Count::Together,
            sets: &[&[<EtcdKeys as super::Grammar>::KEYS.cert.name, <EtcdKeys as super::Grammar>::KEYS.key.name]],
            code: Code::MissingKey,
            message: "[etcd] `cert` and `key` belong together",
            help: "name the certificate's file with `cert` and its private key's with `key`, or neither",
        },
    }
}

table! {
    /// The store on one machine: an embedded database.
    StoreKeys {
        path: Text = required(text(), "The file; a relative path starts at the site file's folder."),
    }
}

table! {
    /// The Keystone that has the tenants' projects: a tenant's `tenant_id` is its project's id.
    KeystoneKeys {
        url: Text = key(Text::like(SERVER_URL), "Its URL, without a version. The default is `OS_AUTH_URL`."),
        ca: Text = key(text(), "The file with the CA certificates for it (PEM). The default is the system's CAs."),
        version: Number = key(Number { numbers: &[2, 3], code: Code::OutOfRange, help: "2 is for Identity v2.0, 3 for v3" },
            "The version of the Identity API: 2 (v2.0) or 3 (the default)."),
        domain: Text = key(text(), "The domain of the projects, by name (version 3). The default is `Default`."),
        create: WithDefault<Boolean> = key(or(Boolean, false), "Create missing projects."),
    }
}

table! {
    /// The values for tenants that have none of their own.
    DefaultsKeys {
        profile: Words<Profile> = key(words(), PROFILE),
        anti_spoof: Words<AntiSpoof> = key(words(), ANTI_SPOOF),
        ethertypes: List<EthertypeValue> = key(list(EthertypeValue), ETHERTYPES),
        mtu: Integer<u16> = key(MTU, MTU_OF_PODS),
        dns: SubTable<DnsKeys> = key(SubTable::INLINE, "Name resolution inside pods."),
        gateway: GatewayValue = key(GatewayValue { may_be_an_address: false },
            "The gateway's address: the first or the last (the default) of a bridge's network."),
    }
}

table! {
    /// A host that static ports may be bound on.
    HostKeys {
        name: Name = required(Name, "The name that static ports use."),
        id: UuidText = required(UuidText, "The id that its MidoNet agent registered."),
        tunnel_address: Address = key(Address, "The address of its tunnels."),
        chassis: Text = key(text(), "The name of its OVN chassis (its `system-id`). The default is the host's name."),
    }
}

table! {
    /// The tunnel zone that midoform makes for the hosts.
    TunnelZoneKeys {
        name: Name = required(Name, "Its name."),
        encapsulation: WithDefault<Words<Encapsulation>> = key(or(words(), Encapsulation::Vxlan), "The tunnels' encapsulation.")
            .named("type"),
    }
}
