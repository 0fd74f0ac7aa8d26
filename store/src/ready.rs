//! A tenant that is ready for pods: one value with everything that its pods need.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::names::TenantName;
use midoform_compiler::spec::AntiSpoof;
use midoform_compiler::topology::key::view::ChainKey;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::values::MacAddress;
use midoform_compiler::{Compiled, network};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::record::Record;

/// A tenant that pods can be attached to. Written after its plan was executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The tenant's name.
    pub tenant: TenantName,
    /// MidoNet's `tenantId`.
    pub tenant_id: String,
    /// SHA-256 of the text of the applied spec. If the spec in the store is another one, it has to be applied first.
    pub spec: String,
    /// The bridges in the order of the spec; then those that were added because one was full.
    pub bridges: Vec<ReadyBridge>,
    /// The static ports: their addresses are not for pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ReadyPort>,
    /// The MTU of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// The name servers of pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<Ipv4Addr>,
    /// The search domains of pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// True if each port accepts only its own source address and MAC (`anti_spoof = "port"`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub port_anti_spoof: bool,
    /// The checks of source addresses; none: an earlier midoform wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_spoof: Option<AntiSpoof>,
    /// The id of the chain that drops frames with a VLAN tag, for the ports of pods; none: these frames pass, or an
    /// earlier midoform wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untagged: Option<Uuid>,
}

/// A bridge that pods can be attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyBridge {
    /// Its name.
    pub name: String,
    /// The id of its bridge in MidoNet, or of its switch in OVN.
    pub id: Uuid,
    /// Its network.
    pub cidr: Ipv4Net,
    /// Its gateway's address.
    pub gateway: Ipv4Addr,
    /// The full bridge of the spec that this one was added for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grown_from: Option<String>,
    /// Addresses that a pod gets only on request: the spec exposes a port of theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<Ipv4Addr>,
    /// The networks that the spec routes through it, each with its next hop. OVN's port security has to know them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routed: Vec<(Ipv4Net, Ipv4Addr)>,
}

/// A static port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyPort {
    /// Its name.
    pub name: String,
    /// The address behind it.
    pub address: Ipv4Addr,
    /// The MAC address behind it; none in a store that an earlier midoform wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
}

impl Record for Ready {
    const VERSION: u64 = 1;
}

impl Ready {
    /// Returns a compiled tenant as it is after its plan was executed; none if there is no such tenant. `spec` is the
    /// SHA-256 of its spec's text, `ids` are those that don't follow from the keys.
    pub fn of(compiled: &Compiled, tenant: &str, spec: &str, ids: &BTreeMap<Key, Uuid>) -> Option<Ready> {
        let network = compiled.tenants.iter().find(|one| *one.name == *tenant)?;
        let own = compiled.specs.iter().find(|spec| spec.name.value == *tenant)?;
        let namespace = Namespace::of_site(&compiled.site.name.value);
        let generations = compiled.allocations.generations();
        let by_key = |key: &Key| namespace.id_of_generation(key, generations.current(key));
        let id_of = |key: &Key| ids.get(key).copied().unwrap_or_else(|| by_key(key));
        let untagged = Key::tenant(tenant).chain(ChainKey::Untagged);
        let bridge = |(at, bridge): (network::BridgeIndex, &network::Bridge)| {
            let key = Key::tenant(tenant).bridge(&bridge.name).device();
            let exposes =
                network.exposes.iter().filter(|expose| expose.bridge == at).map(|expose| expose.address);
            ReadyBridge {
                name: bridge.name.to_string(),
                id: id_of(&key),
                cidr: bridge.cidr,
                gateway: bridge.gateway,
                grown_from: bridge.grown_from.as_deref().map(str::to_owned),
                set_aside: exposes.collect::<BTreeSet<_>>().into_iter().collect(),
                routed: network.routed_through(at),
            }
        };
        let port = |port: &network::Port| ReadyPort {
            name: port.name.to_string(),
            address: port.address,
            mac: Some(port.mac),
        };
        let defaults = &compiled.site.defaults;
        let dns = own.dns.as_ref().or(defaults.dns.as_ref()).cloned().unwrap_or_default();
        Some(Ready {
            tenant: tenant.into(),
            tenant_id: network.tenant_id.to_string(),
            spec: spec.to_owned(),
            bridges: network.indexed_bridges().map(bridge).collect(),
            ports: network.ports.iter().map(port).collect(),
            mtu: own.mtu.as_ref().or(defaults.mtu.as_ref()).map(|mtu| mtu.value),
            nameservers: dns.nameservers.iter().map(|server| server.value).collect(),
            search: dns.search.iter().map(|domain| domain.value.clone()).collect(),
            port_anti_spoof: network.anti_spoof == AntiSpoof::Port,
            anti_spoof: Some(network.anti_spoof),
            untagged: compiled.topology.get(untagged.as_str()).map(|_| id_of(&untagged)),
        })
    }

    /// Returns the static port of a bridge that has this MAC address.
    pub fn port_with_mac(&self, bridge: &ReadyBridge, mac: MacAddress) -> Option<&ReadyPort> {
        self.ports.iter().find(|port| port.mac == Some(mac) && bridge.cidr.contains(&port.address))
    }

    /// Returns the bridges for a pod that requests this bridge, or none: then the first of the spec. They include the
    /// bridges that were added because it was full.
    pub fn bridges_for(&self, asked: Option<&str>) -> Vec<&ReadyBridge> {
        let first = self.bridges.first().map(|bridge| bridge.name.as_str());
        let Some(wanted) = asked.or(first) else { return Vec::new() };
        let of =
            |bridge: &&ReadyBridge| bridge.name == wanted || bridge.grown_from.as_deref() == Some(wanted);
        self.bridges.iter().filter(of).collect()
    }
}

impl ReadyBridge {
    /// Returns true if a pod can have this address: not the network's own, its broadcast address, or the gateway's.
    pub fn is_usable(&self, address: Ipv4Addr) -> bool {
        self.cidr.contains(&address)
            && address != self.gateway
            && (self.cidr.prefix_len() >= 31
                || (address != self.cidr.network() && address != self.cidr.broadcast()))
    }

    /// Returns the number of addresses for pods and static ports.
    pub fn capacity(&self) -> u64 {
        let all = 1u64 << (32 - self.cidr.prefix_len());
        let own = if self.cidr.prefix_len() >= 31 { 0 } else { 2 };
        all - own - u64::from(self.cidr.contains(&self.gateway))
    }
}
