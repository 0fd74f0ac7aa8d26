//! `midoform trace`: one packet, and its reply.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use midoform_compiler::ovn::lower::pod::BridgeSecurity;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::values::ethertype;
use midoform_packets::ovn::network::Fault;
use midoform_packets::semantics::{ARP_REPLY, ARP_REQUEST};
use midoform_packets::trace::{
    Endpoint, HeldAddresses, Probe, Surroundings, TraceError, TraceReport, mermaid, text, trace,
};
use midoform_reconcile::beyond;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::northbound::whole;
use midoform_reconcile::saved::SavedPlan;
use midoform_store::ipam::Ipam;
use uuid::Uuid;

use crate::allocation_state::AllocationState;
use crate::args::{PacketOptions, TraceOptions};
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::report;
use crate::saved_plan::is_saved_plan;
use crate::selection::{Selection, everything};
use crate::session::{Session, Target};
use crate::static_ports::{Endpoints, endpoints_of};
use crate::ui::Ui;

/// The address outside, if the user names none.
const ANY_OUTSIDE: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);

pub(crate) async fn run(ui: &Ui, options: &TraceOptions) -> Result<Exit, CommandError> {
    let report = if is_saved_plan(&options.spec.path) {
        if options.live {
            let message = "--live: a saved plan is not the network; name the spec of the plan";
            return Err(CommandError::Usage(message.to_owned()));
        }
        let (spec, api) = (&options.spec, &options.api);
        let unused = [
            ("--site", spec.site.is_some()),
            ("--lock", spec.lock.is_some()),
            ("--locked", spec.locked),
            ("--api-version", spec.api_version.is_some()),
            ("--engine", spec.engine.is_some()),
            ("--api", api.api.is_some()),
            ("--state-dir", api.state_dir.is_some()),
        ];
        if let Some((option, _)) = unused.into_iter().find(|(_, is_named)| *is_named) {
            let message = format!("{option}: a saved plan has everything that a trace needs");
            return Err(CommandError::Usage(message));
        }
        let SavedPlan { desired, behind, pod_security, .. } = SavedPlan::read(&options.spec.path)?;
        let around = Surroundings { static_ports: behind, security: pod_security, ..Surroundings::default() };
        traced(&desired, &around, &options.packet)?
    } else {
        let (compiled, project) = Project::load(&options.spec).await?.compile(&options.spec)?;
        report::diagnostics(ui, &compiled.warnings, &project.sources);
        let around = Surroundings {
            static_ports: endpoints_of(&compiled.tenants),
            security: BridgeSecurity::of_tenants(&compiled.tenants),
            ..Surroundings::default()
        };
        match options.live {
            false => traced(&compiled.topology, &around, &options.packet)?,
            true => {
                let target = Target::of(&compiled.site, &options.api, &project.sources.root)?;
                let selection = Selection::new(&compiled, &everything())?;
                let (topology, around) =
                    observe(ui, options, target, (&selection, &project.state), around).await?;
                traced(&topology, &around, &options.packet)?
            }
        }
    };
    match (options.json, options.format.as_str()) {
        (true, _) | (_, "json") => ui.json(&report)?,
        (_, "mermaid") => ui.data(|out| mermaid(&report, out))?,
        _ => ui.data(|out| text(&report, out))?,
    }
    Ok(Exit::Done)
}

/// Reads the network as it is, with what midoform did not create.
async fn observe(
    ui: &Ui,
    options: &TraceOptions,
    target: Target,
    (selection, state): (&Selection<'_>, &AllocationState),
    around: Surroundings,
) -> Result<(Topology, Surroundings), CommandError> {
    if target.is_untouched() {
        let held = held_addresses(state, &Observed::default(), &around.static_ports).await?;
        return Ok((Topology::default(), Surroundings { held: Some(held), ..around }));
    }
    let scope = selection.scope(&selection.compiled.allocations);
    Session::with(target, selection.compiled.engine(), &options.api, async |session| {
        if let Some(northbound) = session.connection.northbound() {
            let whole = whole::read(northbound, scope).await?;
            let unread = whole.unread.into_iter().map(|(key, reason)| Fault { key, reason }).collect();
            // The rows of ports tell who has which address.
            let held = Some(HeldAddresses::default());
            return Ok((whole.topology, Surroundings { held, unread, ..around }));
        }
        let observed = session.observe(ui, scope).await?;
        let client = session.midonet()?;
        let beyond = beyond::read(client, client.dialect(), scope.site, &observed).await?;
        let held = Some(held_addresses(state, &observed, &around.static_ports).await?);
        let foreign = observed.with_foreign();
        let entries = foreign.entries().iter().chain(&beyond.entries).cloned().collect();
        let address_groups = beyond.address_groups;
        Ok((Topology::new(entries), Surroundings { held, address_groups, ..around }))
    })
    .await
}

/// Returns the addresses that somebody has: static ports that are bound, and pods whose port the API and the store have.
/// A port that the store does not know may have any address of its bridge.
async fn held_addresses(
    state: &AllocationState,
    observed: &Observed,
    behind: &Endpoints,
) -> Result<HeldAddresses, CommandError> {
    let mut held = HeldAddresses::default();
    for (key, (address, _)) in behind {
        if let Some(Object::BridgePort(port)) = observed.topology.get(key.as_str()).map(|entry| &entry.object)
            && observed.topology.get(key.binding().as_str()).is_some()
        {
            held.known.extend(port.bridge.key().map(|bridge| (bridge.clone(), *address)));
        }
    }
    let mut ports: BTreeMap<Uuid, &Key> =
        observed.attached.iter().map(|port| (port.id, &port.near)).collect();
    let store = if state.is_store() { state.open(false)? } else { None };
    if let Some(store) = store {
        for attachment in Ipam::new(store).all(None).await? {
            let port = attachment.record.port.and_then(|port| ports.remove(&port));
            held.known.extend(port.map(|bridge| (bridge.clone(), attachment.record.address)));
        }
    }
    held.unknown = ports.into_values().cloned().collect();
    Ok(held)
}

/// Sends the packet that the options describe.
fn traced(
    topology: &Topology,
    around: &Surroundings,
    options: &PacketOptions,
) -> Result<TraceReport, CommandError> {
    let behind = &around.static_ports;
    let from = endpoint("--from", &options.from, topology, behind)?;
    let to = match options.to.parse() {
        Ok(address) => Endpoint::World(address),
        Err(_) => endpoint("--to", &options.to, topology, behind)?,
    };
    let arp = options.arp.as_deref().map(|operation| match operation {
        "request" => ARP_REQUEST,
        _ => ARP_REPLY,
    });
    let carried = match (options.tcp, options.udp, arp.or(options.protocol)) {
        (Some(port), ..) => (6, options.source_port, port),
        (_, Some(port), _) => (17, options.source_port, port),
        (_, _, Some(number)) => (number, 0, 0),
        _ => (1, 8, 0),
    };
    let ethertype = match arp {
        Some(_) => ethertype::ARP,
        None => options.ethertype.unwrap_or(ethertype::IPV4),
    };
    let probe = Probe { from, to, source: options.source, carried, ethertype, vlan: options.vlan };
    trace(topology, around, &probe).map_err(|error| match error {
        TraceError::Unread { .. } => CommandError::Conflict(error.to_string()),
        TraceError::Unknown(_) | TraceError::NoProvider => CommandError::Usage(error.to_string()),
    })
}

/// Returns true for a bridge: MidoNet's, or a switch of OVN.
fn is_bridge(object: &Object) -> bool {
    match object {
        Object::Bridge(_) => true,
        Object::Row(row) => row.table == Table::LogicalSwitch,
        _ => false,
    }
}

/// Reads an endpoint: `TENANT/BRIDGE/ADDRESS`, `TENANT/PORT`, `world`, or `world/ADDRESS`.
fn endpoint(
    flag: &str,
    text: &str,
    topology: &Topology,
    behind: &Endpoints,
) -> Result<Endpoint, CommandError> {
    let parts: Vec<&str> = text.split('/').collect();
    let wrong = |why: String| {
        CommandError::Usage(format!(
            "{flag} {text}: {why}; write TENANT/BRIDGE/ADDRESS, TENANT/PORT for a static port, or world/ADDRESS"
        ))
    };
    let address = |text: &str| text.parse().map_err(|_| wrong(format!("`{text}` is not an IPv4 address")));
    match parts.as_slice() {
        ["world"] => Ok(Endpoint::World(ANY_OUTSIDE)),
        ["world", at] => Ok(Endpoint::World(address(at)?)),
        [tenant, bridge, at] => {
            let key = Key::tenant(tenant).bridge(bridge).device();
            let there = topology.get(key.as_str()).is_some_and(|entry| is_bridge(&entry.object));
            match there {
                true => Ok(Endpoint::Pod(key, address(at)?)),
                false => Err(wrong(format!("there is no bridge {tenant}/{bridge}"))),
            }
        }
        [tenant, port] => {
            let key = Key::tenant(tenant).port(port).device();
            match behind.get(&key) {
                Some((address, mac)) => Ok(Endpoint::Port(key, *address, *mac)),
                None => Err(wrong(format!("there is no static port {tenant}/{port} in the spec"))),
            }
        }
        _ => Err(wrong("this names no pod, static port or address".to_owned())),
    }
}
