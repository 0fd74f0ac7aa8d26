//! Static ports: the interfaces of a host that specs name, plugged in when they appear.
//!
//! An interface that somebody else put into the integration bridge, as the tap of a virtual machine, is used as it is if no logical
//! switch port is named there: midoform names the port, and takes nothing but the name away again.

use std::collections::BTreeSet;

use midoform_ovsdb::{Condition, Mutation, Mutator, Operation, Row, Transaction, Value};

use super::database::{OpenVswitch, raise};
use super::interface::{GIVEN, Interface, ReadBy};
use super::plug::{MARKS, Plug, PlugError, TRIES};

/// What binding does with an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it is plugged in as it should be.
    Keep,
    /// Nothing yet: the host has no such interface.
    Wait,
    /// It is plugged in.
    Plug,
    /// It is in the integration bridge already, and gets the name of the logical switch port.
    Name,
    /// Nothing: somebody else uses it, in these words.
    Refuse(String),
}

/// Decides about the interface of a static port, from what the host has: the interface in Open vSwitch (`found`), and whether the kernel
/// has one of this name.
pub fn decide(plug: &Plug<'_>, bridge: &str, found: Option<&Interface>, exists: bool) -> Decision {
    let Some(found) = found else {
        return if exists { Decision::Plug } else { Decision::Wait };
    };
    if plug.is_done(found, bridge) {
        return Decision::Keep;
    }
    match (found.key_in(plug.site), &found.mark) {
        (Some(key), _) if !key.is_static_port() => Decision::Refuse(format!("the pod of {key} has it")),
        (Some(_), _) if !found.is_given => Decision::Plug,
        (None, Some((site, key))) => Decision::Refuse(format!("the site {site} plugged it for {key}")),
        _ if found.bridges != [bridge] => {
            Decision::Refuse(format!("it is in the bridge {}, not in {bridge}", found.bridges.join(", ")))
        }
        (None, None) if found.port_name.is_some() => {
            let name = found.port_name.as_deref().unwrap_or_default();
            Decision::Refuse(format!("somebody else plugged it for the port {name}"))
        }
        _ => Decision::Name,
    }
}

/// Returns the interfaces that a site plugged for static ports which `plugs` do not have there: the spec has another interface for
/// them, another host, or no such port. Only those of tenants are returned for which `is_covered` is true.
pub fn left_over<'i>(
    found: &'i [Interface],
    site: &str,
    plugs: &[Plug<'_>],
    is_covered: impl Fn(&str) -> bool,
) -> Vec<&'i Interface> {
    let wanted: BTreeSet<&str> = plugs.iter().map(|plug| plug.interface).collect();
    let is_left = |interface: &&Interface| {
        interface.key_in(site).is_some_and(|key| key.is_static_port() && is_covered(key.owner()))
            && !wanted.contains(interface.name.as_str())
    };
    found.iter().filter(is_left).collect()
}

impl OpenVswitch {
    /// Reads the interfaces of these plugs, and all others that the site has plugged.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn interfaces_of(&self, site: &str, plugs: &[Plug<'_>]) -> Result<Vec<Interface>, PlugError> {
        let names: Vec<String> = plugs.iter().map(|plug| plug.interface.to_owned()).collect();
        let mut found = self.interfaces(ReadBy::Site(site)).await?;
        let others = self.interfaces(ReadBy::Name(&names)).await?;
        found.extend(others.into_iter().filter(|other| other.key_in(site).is_none()));
        Ok(found)
    }

    /// Names the logical switch port of an interface that somebody else has put into the integration bridge. Nothing that somebody else
    /// has written there is changed.
    ///
    /// # Errors
    /// When the database can't be used, or somebody else changes the interface.
    pub async fn name(&self, bridge: &str, plug: &Plug<'_>) -> Result<(), PlugError> {
        let names = [plug.interface.to_owned()];
        for _ in 0..TRIES {
            let found = self.interfaces(ReadBy::Name(&names)).await?;
            let Some(found) = found.first() else { break };
            match decide(plug, bridge, Some(found), true) {
                Decision::Keep => return Ok(()),
                Decision::Name => {}
                _ => return Err(PlugError::Foreign { interface: plug.interface.to_owned() }),
            }
            let as_found = Row::default().with("external_ids", found.ids.clone());
            let is_it = || [Condition::uuid(found.id)];
            let given = (GIVEN, "true".to_owned());
            let marks = Value::map(plug.marks().chain([given]));
            let transaction = Transaction::new()
                .with(Operation::expect("Interface", found.id, as_found))
                .with(Operation::mutate(
                    "Interface",
                    is_it(),
                    [Mutation::new("external_ids", Mutator::Delete, Value::set(MARKS))],
                ))
                .with(Operation::mutate(
                    "Interface",
                    is_it(),
                    [Mutation::new("external_ids", Mutator::Insert, marks)],
                ))
                .with(raise());
            match self.client.transact(&transaction).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_outcome_unknown() || error.is_timed_out_wait() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PlugError::Contended { interface: plug.interface.to_owned() })
    }
}
