//! The binding of static ports on a host of an OVN site: what the specs want there, and what Open vSwitch has.

pub(crate) mod links;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use midoform_compiler::Compiled;
use midoform_compiler::names::TenantName;
use midoform_compiler::ovn::names;
use midoform_compiler::spec::Site;
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::{Engine, MacAddress};
use midoform_reconcile::open_vswitch::{self, Decision, Host, Interface, OpenVswitch, Plug, PlugError};
use serde::Serialize;

use crate::error::{CommandError, Exit};
use links::Indexes;

/// The static ports that the specs want on one host.
pub(crate) struct Wanted {
    pub(crate) site: String,
    pub(crate) host: String,
    ports: Vec<StaticPort>,
    /// The tenants that have a spec; none: the interfaces of all tenants are looked at.
    covered: Option<BTreeSet<TenantName>>,
}

struct StaticPort {
    key: Key,
    name: String,
    interface: String,
    mac: MacAddress,
}

/// The state of a static port on its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "reason")]
pub(crate) enum State {
    /// OVN has installed it.
    Bound,
    /// The host has no such interface yet.
    NoInterface,
    /// The interface is plugged in, and OVN has not installed the port yet.
    NotInstalled,
    /// A dry run would plug it in, or would name its port.
    WouldBind,
    /// Somebody else has the interface, or Open vSwitch can't use it.
    Refused(String),
}

/// A static port, and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Port {
    pub(crate) port: Key,
    pub(crate) interface: String,
    #[serde(flatten)]
    pub(crate) state: State,
}

/// What a run found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) site: String,
    pub(crate) host: String,
    pub(crate) ports: Vec<Port>,
    /// The interfaces that were taken out of Open vSwitch, or that a dry run would take out.
    pub(crate) removed: Vec<String>,
}

impl Report {
    /// Returns true if something is left that may become bound by itself.
    pub(crate) fn is_pending(&self) -> bool {
        self.ports.iter().any(|port| port.state == State::NotInstalled)
    }

    /// Returns the command's result.
    pub(crate) fn exit(&self) -> Exit {
        match () {
            () if self.ports.iter().any(|port| matches!(port.state, State::Refused(_))) => Exit::Conflict,
            () if self.is_pending() => Exit::Unreachable,
            () => Exit::Done,
        }
    }
}

/// Returns the address of a host's Open vSwitch database: the command line's, or else the site file's, or else the usual one.
///
/// # Errors
/// When the site's engine binds static ports itself.
pub(crate) fn address_of<'a>(site: &'a Site, named: Option<&'a str>) -> Result<&'a str, CommandError> {
    let Some(ovn) = site.ovn.as_ref().filter(|_| site.engine == Engine::Ovn) else {
        let message = "the site's engine is MidoNet, where `midoform apply` binds static ports: there is nothing to do on the host";
        return Err(CommandError::Usage(message.to_owned()));
    };
    let of_site = ovn.open_vswitch.as_ref().map(|address| address.value.as_str());
    Ok(named.or(of_site).unwrap_or(open_vswitch::USUAL))
}

/// Returns the name of this host at the site: the one that the command line names, or else the one whose chassis this is.
///
/// # Errors
/// When the site has no such host, or the named one has another chassis.
pub(crate) fn host_of<'a>(
    site: &'a Site,
    named: Option<&str>,
    facts: &Host,
) -> Result<&'a str, CommandError> {
    let chassis_of = |host: &'a midoform_compiler::spec::Host| -> &'a str {
        &host.chassis.as_ref().unwrap_or(&host.name).value
    };
    let here = facts.chassis.as_deref();
    let found = site.hosts.iter().find(|host| match named {
        Some(named) => host.name.value == named,
        None => Some(chassis_of(host)) == here,
    });
    let Some(host) = found else {
        let known: Vec<&str> = site.hosts.iter().map(|host| &*host.name.value).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let what = match (named, here) {
            (Some(named), _) => format!("the site has no host `{named}`"),
            (None, Some(chassis)) => {
                format!("no [[host]] of the site has this host's chassis, `{chassis}` (its `system-id`)")
            }
            (None, None) => "this host's Open vSwitch has no `system-id`".to_owned(),
        };
        let message =
            format!("{what}: name the host with --host, or write a [[host]]. The site's hosts: {known}");
        return Err(CommandError::Usage(message));
    };
    if let Some(here) = here.filter(|here| *here != chassis_of(host)) {
        let message = format!(
            "the host `{}` of the site has the chassis `{}`, and this host's is `{here}`: its ports would never be bound here",
            host.name,
            chassis_of(host)
        );
        return Err(CommandError::Conflict(message));
    }
    Ok(&host.name.value)
}

impl Wanted {
    /// Returns what the specs want on a host. With `everything`, interfaces of tenants without a spec are taken out as well.
    pub(crate) fn of(compiled: &Compiled, host: &str, everything: bool) -> Wanted {
        let site = &compiled.site.name.value;
        let id =
            compiled.site.hosts.iter().find(|known| known.name.value == host).map(|known| known.id.value);
        let mut ports = Vec::new();
        for tenant in &compiled.tenants {
            for port in tenant.ports.iter().filter(|port| Some(port.host) == id) {
                let key = Key::tenant(&tenant.name).port(&port.name).device();
                let name = names::name(site, &key);
                ports.push(StaticPort { key, name, interface: port.interface.clone(), mac: port.mac });
            }
        }
        let tenants = compiled.tenants.iter().map(|tenant| (&*tenant.name).into());
        let covered = (!everything).then(|| tenants.collect());
        Wanted { site: site.clone(), host: host.to_owned(), ports, covered }
    }

    /// Wants nothing on the host: every interface of a static port is taken out.
    pub(crate) fn nothing(self) -> Wanted {
        Wanted { ports: Vec::new(), covered: None, ..self }
    }

    /// Returns the names of the interfaces.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.ports.iter().map(|port| port.interface.as_str())
    }

    fn plug<'a>(&'a self, port: &'a StaticPort, index: Option<u32>) -> Plug<'a> {
        Plug {
            interface: &port.interface,
            index,
            port_name: &port.name,
            mac: port.mac,
            site: &self.site,
            key: &port.key,
        }
    }
}

/// A host, and the way in which its ports are bound.
pub(crate) struct Binder<'a> {
    pub(crate) open_vswitch: &'a OpenVswitch,
    /// The facts of the host.
    pub(crate) facts: &'a Host,
    /// Nothing is changed.
    pub(crate) is_dry: bool,
    /// The time to wait for OVN.
    pub(crate) patience: Duration,
}

impl Binder<'_> {
    /// Binds the ports whose interfaces are there (`links`), and takes out what is left over of the site's static ports.
    pub(crate) async fn bind(&self, wanted: &Wanted, links: &Indexes) -> Result<Report, PlugError> {
        let loses_interfaces = self.facts.is_userspace();
        let index = |name: &str| links.get(name).copied().filter(|_| loses_interfaces);
        let plugs: Vec<Plug<'_>> =
            wanted.ports.iter().map(|port| wanted.plug(port, index(&port.interface))).collect();
        let found = self.open_vswitch.interfaces_of(&wanted.site, &plugs).await?;
        let removed = self.remove_left(wanted, &plugs, &found).await?;
        let mut ports = Vec::with_capacity(plugs.len());
        for plug in &plugs {
            let known = found.iter().find(|known| known.name == plug.interface);
            let exists = links.contains_key(plug.interface);
            let state = match open_vswitch::decide(plug, &self.facts.bridge, known, exists) {
                Decision::Keep => State::NotInstalled,
                Decision::Wait => State::NoInterface,
                Decision::Refuse(reason) => State::Refused(reason),
                Decision::Plug | Decision::Name if self.is_dry => State::WouldBind,
                Decision::Plug => self.made(self.open_vswitch.plug(&self.facts.bridge, plug).await)?,
                Decision::Name => self.made(self.open_vswitch.name(&self.facts.bridge, plug).await)?,
            };
            let interface = plug.interface.to_owned();
            // The kernel may have lost an interface that Open vSwitch still has.
            let state = if state == State::NotInstalled && !exists { State::NoInterface } else { state };
            ports.push(Port { port: plug.key.clone(), interface, state });
        }
        self.wait(&mut ports).await?;
        Ok(Report { site: wanted.site.clone(), host: wanted.host.clone(), ports, removed })
    }

    /// Returns the state of an interface that was plugged in. What concerns one interface alone does not keep the others from being bound.
    fn made(&self, done: Result<(), PlugError>) -> Result<State, PlugError> {
        match done {
            Ok(()) => Ok(State::NotInstalled),
            Err(error @ (PlugError::Foreign { .. } | PlugError::Contended { .. })) => {
                Ok(State::Refused(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    async fn remove_left(
        &self,
        wanted: &Wanted,
        plugs: &[Plug<'_>],
        found: &[Interface],
    ) -> Result<Vec<String>, PlugError> {
        let is_covered =
            |tenant: &str| wanted.covered.as_ref().is_none_or(|covered| covered.contains(tenant));
        let left = open_vswitch::left_over(found, &wanted.site, plugs, is_covered);
        let names: Vec<String> = left.into_iter().map(|interface| interface.name.clone()).collect();
        match names.is_empty() || self.is_dry {
            true => Ok(names),
            false => self.open_vswitch.unplug(&wanted.site, &names).await,
        }
    }

    /// Waits until OVN has installed the ports that are plugged in.
    async fn wait(&self, ports: &mut [Port]) -> Result<(), PlugError> {
        let end = Instant::now() + self.patience;
        for port in ports.iter_mut().filter(|port| port.state == State::NotInstalled) {
            let left = end.saturating_duration_since(Instant::now());
            port.state = match self.open_vswitch.wait_until_installed(&port.interface, left).await {
                Ok(()) => State::Bound,
                Err(PlugError::NotInstalled { .. }) => State::NotInstalled,
                Err(error @ (PlugError::Refused { .. } | PlugError::Contended { .. })) => {
                    State::Refused(error.to_string())
                }
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}
