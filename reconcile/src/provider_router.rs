//! The look at the provider router after a run: two sites that apply at the same time can't see each other before.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use midoform_compiler::plan::{Action, Plan};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::{Object, PortJson, Reference, RouteJson};
use midoform_compiler::topology::observed::{OtherPort, OtherRoute, ProviderUse};
use uuid::Uuid;

use crate::client::{Client, ClientError};
use crate::observe::{Parents, read_children, read_ports};

/// Returns the keys of the ports and routes of a topology that are on the provider router.
pub(crate) fn keys_on<'t>(topology: &'t Topology, provider: &'t Reference) -> impl Iterator<Item = &'t Key> {
    let is_on = |object: &Object| match object {
        Object::RouterPort(port) => port.router == *provider,
        Object::Route(route) => route.router == *provider,
        Object::Row(row) => row.is_held_by(provider),
        _ => false,
    };
    topology.entries().iter().filter(move |entry| is_on(&entry.object)).map(|entry| &entry.key)
}

/// Returns true if a plan creates something on the provider router.
pub(crate) fn is_changed(plan: &Plan, desired: &Topology, provider: &Reference) -> bool {
    let created = plan.steps.iter().filter(|step| matches!(step.action, Action::Create | Action::Replace));
    let created: BTreeSet<&Key> = created.map(|step| &step.key).collect();
    keys_on(desired, provider).any(|key| created.contains(key))
}

/// Reads from MidoNet's API what others use on a provider router. `id_of` returns the ids of what `desired` has there.
pub(crate) async fn used_by_others(
    client: &Client,
    provider: &Reference,
    desired: &Topology,
    id_of: &(dyn Fn(&Key) -> Uuid + Sync),
) -> Result<ProviderUse, ClientError> {
    let router = match provider {
        Reference::External(id) => *id,
        Reference::Key(key) => id_of(key),
        // MidoNet's routers are named by their ids.
        Reference::Named(_) => return Ok(ProviderUse::default()),
    };
    let own: BTreeSet<Uuid> = keys_on(desired, provider).map(id_of).collect();
    let dialect = client.dialect();
    let parents = Parents { routers: BTreeSet::from([router]), ..Parents::default() };
    let (ports, children) =
        tokio::try_join!(read_ports(client, dialect), read_children(client, dialect, &parents, &|_| ()))?;
    let of_router = ports.iter().filter(|port| port.device_id == router && !own.contains(&port.id));
    let by_id = |id: Uuid| ports.iter().find(|port| port.id == id);
    let routes = children.routes.get(&router).into_iter().flatten().filter(|route| {
        let hangs_on_own = route.next_hop_port.is_some_and(|port| own.contains(&port));
        let port = route.next_hop_port.and_then(by_id);
        !own.contains(&route.id) && !hangs_on_own && !route.is_automatic(port.and_then(PortJson::address))
    });
    Ok(ProviderUse {
        ports: of_router.filter_map(|port| other_port(port, by_id)).collect(),
        routes: routes.filter_map(|route| other_route(route, by_id)).collect(),
    })
}

fn other_port<'p>(port: &PortJson, by_id: impl Fn(Uuid) -> Option<&'p PortJson>) -> Option<OtherPort> {
    let address = port.address()?;
    let network = port.network().unwrap_or_else(|| Ipv4Net::from(address));
    let peer = port.peer_id.and_then(by_id).and_then(PortJson::address);
    Some(OtherPort { id: port.id, address, network, peer })
}

fn other_route<'p>(route: &RouteJson, by_id: impl Fn(Uuid) -> Option<&'p PortJson>) -> Option<OtherRoute> {
    let port = route.next_hop_port.and_then(by_id);
    let leads_inside = port.is_some_and(|port| port.peer_id.is_some());
    Some(OtherRoute { id: route.id, destination: route.destination()?, leads_inside })
}
