//! Looks, before the first call, for what a plan's calls need from the network: registered hosts that are in a tunnel zone, free
//! interfaces, a free name for the tunnel zone, and free addresses in it. Each is an error of the server in the middle of an apply otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::plan::{Action, Plan, Step};
use midoform_compiler::source::Provenance;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::{HostInterfacePort, Object, TunnelZone, TunnelZoneHost};
use midoform_compiler::topology::observed::Observed;
use serde::Deserialize;
use uuid::Uuid;

use crate::client::{Client, ClientError};
use crate::lists;
use crate::observe::{Parents, read_children};

/// Something that a plan needs and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The line of the spec that needs it.
    pub source: Option<Provenance>,
    /// The object that needs it.
    pub key: Key,
    /// A description, and what to do.
    pub what: String,
}

/// Returns everything that a plan needs and that is not there. Hosts are read only if the plan needs some.
///
/// # Errors
/// Returns an error if a read fails.
pub async fn check(
    client: &Client,
    (plan, desired): (&Plan, &Topology),
    observed: &Observed,
) -> Result<Vec<Missing>, ClientError> {
    let mut check = Check {
        namespace: Namespace::of_site(&plan.site),
        plan,
        desired,
        observed,
        hosts: BTreeSet::new(),
        members: BTreeMap::new(),
    };
    let made: Vec<(&Step, &Object)> = check.made().collect();
    let needs_hosts = made
        .iter()
        .any(|(_, object)| matches!(object, Object::TunnelZoneHost(_) | Object::HostInterfacePort(_)));
    if needs_hosts {
        check.hosts = hosts(client).await?;
        check.members = check.members_after(client).await?;
    }
    let missing = made.into_iter().filter_map(|(step, object)| {
        let what = check.missing(&step.key, object)?;
        Some(Missing { source: step.source.clone(), key: step.key.clone(), what })
    });
    Ok(missing.collect())
}

struct Check<'a> {
    namespace: Namespace,
    plan: &'a Plan,
    desired: &'a Topology,
    observed: &'a Observed,
    /// The registered hosts.
    hosts: BTreeSet<Uuid>,
    /// The hosts that are in tunnel zones after the plan, by zone, with their addresses.
    members: BTreeMap<Uuid, Vec<(Uuid, Option<Ipv4Addr>)>>,
}

impl<'a> Check<'a> {
    /// Returns the objects that the plan creates, with their steps.
    fn made(&self) -> impl Iterator<Item = (&'a Step, &'a Object)> + use<'a> {
        let desired = self.desired;
        let made = self.plan.changes().filter(|step| matches!(step.action, Action::Create | Action::Replace));
        made.filter_map(move |step| Some((step, &desired.get(step.key.as_str())?.object)))
    }

    /// Reads the hosts of all tunnel zones, without those that the plan takes out, and adds those that it brings in.
    async fn members_after(
        &self,
        client: &Client,
    ) -> Result<BTreeMap<Uuid, Vec<(Uuid, Option<Ipv4Addr>)>>, ClientError> {
        let zones = self.observed.zones.keys().copied().collect();
        let parents = Parents { zones, ..Parents::default() };
        let found = read_children(client, client.dialect(), &parents, &|_| ()).await?;
        let own_zone = self.own_zone();
        let deleted = self.plan.changes().filter(|step| step.action != Action::Create);
        let leaving: BTreeSet<Uuid> = deleted
            .filter_map(|step| match &self.observed.topology.get(step.key.as_str())?.object {
                Object::TunnelZoneHost(member) => Some(member.host),
                _ => None,
            })
            .collect();
        let mut members: BTreeMap<Uuid, Vec<(Uuid, Option<Ipv4Addr>)>> = BTreeMap::new();
        for (zone, hosts) in found.zone_hosts {
            let stays = |host: Uuid| zone != own_zone || !leaving.contains(&host);
            let hosts = hosts.iter().filter(|member| stays(member.host_id));
            let address = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
            members
                .entry(zone)
                .or_default()
                .extend(hosts.map(|member| (member.host_id, address(&member.ip_address))));
        }
        let made = self.made().filter_map(|(_, object)| match object {
            Object::TunnelZoneHost(member) => Some((member.host, Some(member.address))),
            _ => None,
        });
        members.entry(own_zone).or_default().extend(made);
        Ok(members)
    }

    /// Returns the id of the site's tunnel zone.
    fn own_zone(&self) -> Uuid {
        self.observed.id_of(self.namespace, &Key::site().tunnel_zone())
    }

    fn missing(&self, key: &Key, object: &Object) -> Option<String> {
        match object {
            Object::TunnelZone(zone) => self.taken_zone(key, zone),
            Object::TunnelZoneHost(member) => {
                self.unknown_host(member.host).or_else(|| self.taken_address(member))
            }
            Object::HostInterfacePort(binding) => self
                .unknown_host(binding.host)
                .or_else(|| self.host_without_zone(binding.host))
                .or_else(|| self.taken_interface(binding)),
            _ => None,
        }
    }

    fn unknown_host(&self, host: Uuid) -> Option<String> {
        (!self.hosts.contains(&host)).then(|| {
            format!(
                "host {host} is not registered at the API: start MidoNet's agent on it, or correct its `id` in the site file"
            )
        })
    }

    fn host_without_zone(&self, host: Uuid) -> Option<String> {
        let is_in_zone = self.members.values().flatten().any(|(member, _)| *member == host);
        (!is_in_zone).then(|| {
            format!("host {host} is in no tunnel zone: give it a `tunnel_address` in the site file, or add it to a zone")
        })
    }

    /// Two hosts of a zone can't have one address (two-hosts, 20).
    fn taken_address(&self, wanted: &TunnelZoneHost) -> Option<String> {
        let is_other = |(host, address): &&(Uuid, Option<Ipv4Addr>)| {
            *host != wanted.host && *address == Some(wanted.address)
        };
        let (host, _) = self.members.get(&self.own_zone())?.iter().find(is_other)?;
        let own = self.observed.topology.memberships().get(host).map(|key| key.short_name());
        let (who, advice) = match own {
            Some(name) => (
                format!("host {host} ({name}), which midoform put into the zone"),
                "an apply without --target and --exclude takes that host out",
            ),
            None => (
                format!("host {host}, which midoform did not put into the zone"),
                "choose another address, or take that host out of the zone",
            ),
        };
        Some(format!("the tunnel address {} is taken by {who}: {advice}", wanted.address))
    }

    fn taken_zone(&self, key: &Key, zone: &TunnelZone) -> Option<String> {
        let own = self.observed.topology.get(key.as_str()).map(|_| self.observed.id_of(self.namespace, key));
        let other = self.observed.zones.iter().find(|(id, name)| **name == zone.name && Some(**id) != own);
        other.map(|(id, name)| {
            format!(
                "the name `{name}` is taken by the tunnel zone {id}, which is not this site's: choose another name, or delete \
                 that zone"
            )
        })
    }

    fn taken_interface(&self, binding: &HostInterfacePort) -> Option<String> {
        let HostInterfacePort { host, interface, port } = binding;
        let holder = *self.observed.bound.get(&(*host, interface.clone()))?;
        let own = port.key().filter(|key| self.observed.topology.get(key.as_str()).is_some());
        let own = own.map(|key| self.observed.id_of(self.namespace, key));
        if own == Some(holder) || self.is_released(binding) {
            return None;
        }
        let own = self.observed.topology.entries().iter().find(|entry| {
            matches!(&entry.object, Object::BridgePort(_))
                && self.observed.id_of(self.namespace, &entry.key) == holder
        });
        let (name, advice) = match own {
            Some(entry) => (
                format!(" ({})", entry.key),
                "choose another interface, or change that port in the same apply, without --target and --exclude",
            ),
            None => (String::new(), "choose another interface, or unbind that port"),
        };
        Some(format!("interface {interface} of host {host} is bound to port {holder}{name}: {advice}"))
    }

    /// Returns true if the plan takes the interface from the port that has it.
    fn is_released(&self, binding: &HostInterfacePort) -> bool {
        let holder = self.observed.topology.entries().iter().find(|entry| match &entry.object {
            Object::HostInterfacePort(other) => {
                (other.host, &other.interface) == (binding.host, &binding.interface)
            }
            _ => false,
        });
        holder.is_some_and(|holder| {
            let mut steps = self.plan.changes().filter(|step| step.key == holder.key);
            steps.any(|step| matches!(step.action, Action::Delete | Action::Replace))
        })
    }
}

/// A host, as the API lists it.
#[derive(Deserialize)]
struct Host {
    id: Uuid,
}

/// Reads the ids of the registered hosts (13-host-binding).
async fn hosts(client: &Client) -> Result<BTreeSet<Uuid>, ClientError> {
    let accept = match client.dialect() {
        Dialect::V1 => "application/vnd.org.midonet.collection.Host-v2+json",
        Dialect::V5 => "application/vnd.org.midonet.collection.Host-v3+json",
    };
    let answer = client.get("/hosts", accept).await?;
    let hosts: Vec<Host> = lists::read(&answer.body).map_err(|error| answer.unreadable(&error))?;
    Ok(hosts.into_iter().map(|host| host.id).collect())
}

/// Returns what is missing in lines, each with the line of the spec, and each once.
pub fn in_lines(missing: &[Missing]) -> Vec<String> {
    let mut by_line: BTreeMap<(Option<String>, &str), &Key> = BTreeMap::new();
    for one in missing {
        let source = one.source.as_ref().map(ToString::to_string);
        by_line.entry((source, one.what.as_str())).or_insert(&one.key);
    }
    let lines = by_line.into_iter().map(|((source, what), key)| match source {
        Some(source) => format!("{source}: {key}: {what}"),
        None => format!("{key}: {what}"),
    });
    lines.collect()
}
