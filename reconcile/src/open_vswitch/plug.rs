//! Plugs interfaces into the integration bridge, takes them out, and waits until OVN has installed their ports.

use std::time::Duration;

use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::row::{KEY_OF_ROW, SITE_OF_ROW};
use midoform_compiler::values::MacAddress;
use midoform_ovsdb::{
    Atom, Condition, Error, Function, MonitorRequest, Mutation, Mutator, Operation, Row, Transaction, Until,
    Value,
};

use super::database::{DATABASE, OpenVswitch, raise};
use super::interface::{COLUMNS, GIVEN, INDEX, Interface, ReadBy};

/// The entries of `external_ids` that a site may have in an interface.
pub(super) const MARKS: [&str; 6] = ["iface-id", "attached-mac", SITE_OF_ROW, KEY_OF_ROW, GIVEN, INDEX];

/// The number of tries of a change that somebody else gets ahead of.
pub(super) const TRIES: u32 = 4;

/// The time that ovs-vswitchd gets to see that an interface was taken out.
const SEEN: Duration = Duration::from_secs(2);

/// An interface of the host that is plugged in for a logical switch port.
#[derive(Clone, Copy, Debug)]
pub struct Plug<'a> {
    /// The name of the host's interface.
    pub interface: &'a str,
    /// The name of the logical switch port.
    pub port_name: &'a str,
    /// The kernel's index of the interface, where the datapath loses an interface that is deleted and made again: the userspace one does.
    pub index: Option<u32>,
    /// The MAC address behind the interface.
    pub mac: MacAddress,
    /// The site's name.
    pub site: &'a str,
    /// The port's key.
    pub key: &'a Key,
}

/// The failure of a plug.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// The database can't be used.
    #[error("the host's {DATABASE} database")]
    Database(#[from] Error),
    /// The integration bridge does not exist.
    #[error("the integration bridge {bridge} does not exist: is ovn-controller running on this host?")]
    NoBridge {
        /// Its name.
        bridge: String,
    },
    /// Somebody else has an interface of this name in Open vSwitch.
    #[error("{interface} is in Open vSwitch already, and somebody else plugged it")]
    Foreign {
        /// The interface.
        interface: String,
    },
    /// ovs-vswitchd can't use the interface.
    #[error("Open vSwitch can't use {interface}: {error}")]
    Refused {
        /// The interface.
        interface: String,
        /// What ovs-vswitchd says.
        error: String,
    },
    /// Somebody else changes the interface all the time, or took it out.
    #[error("somebody else changes {interface} in Open vSwitch at the same time")]
    Contended {
        /// The interface.
        interface: String,
    },
    /// The port's flows were not there in time.
    #[error("{} {interface} within {:.0} s", if *.is_taken { "ovn-controller did not bind the port of" } else { "ovs-vswitchd did not take" }, .waited.as_secs_f64())]
    NotInstalled {
        /// The interface.
        interface: String,
        /// True if ovs-vswitchd has taken it.
        is_taken: bool,
        /// The time.
        waited: Duration,
    },
}

impl Plug<'_> {
    pub(super) fn marks(&self) -> impl Iterator<Item = (&'static str, String)> {
        let index = self.index.map(|index| (INDEX, index.to_string()));
        let marks = [
            ("iface-id", self.port_name.to_owned()),
            ("attached-mac", self.mac.to_string()),
            (SITE_OF_ROW, self.site.to_owned()),
            (KEY_OF_ROW, self.key.to_string()),
        ];
        marks.into_iter().chain(index)
    }

    /// Returns true if an interface is plugged in as this says.
    pub fn is_done(&self, found: &Interface, bridge: &str) -> bool {
        found.name == self.interface
            && found.port_name.as_deref() == Some(self.port_name)
            && found.mac.as_deref() == Some(&self.mac.to_string())
            && found.key_in(self.site) == Some(self.key)
            && found.bridges == [bridge]
            && (self.index.is_none() || self.index == found.index)
    }

    fn operations(&self, bridge: &str) -> Vec<Operation> {
        let named = |name: &str| Row::default().with("name", name);
        let interface = named(self.interface).with("external_ids", Value::map(self.marks()));
        let port = named(self.interface).with("interfaces", Atom::NamedUuid("interface".to_owned()));
        let member = Value::set([Atom::NamedUuid("port".to_owned())]);
        let is_bridge = || vec![Condition::equal("name", bridge)];
        vec![
            Operation::Wait {
                timeout: Some(0),
                table: "Bridge".to_owned(),
                conditions: is_bridge(),
                columns: vec!["name".to_owned()],
                until: Until::Equal,
                rows: vec![named(bridge)],
            },
            Operation::insert_named("Interface", "interface", interface),
            Operation::insert_named("Port", "port", port),
            Operation::mutate("Bridge", is_bridge(), vec![Mutation::new("ports", Mutator::Insert, member)]),
            raise(),
        ]
    }
}

impl OpenVswitch {
    /// Plugs an interface into a bridge. What is plugged in as it should be stays; what the same site plugged in otherwise is replaced.
    ///
    /// # Errors
    /// When the database can't be used, there is no such bridge, or somebody else plugged the interface.
    pub async fn plug(&self, bridge: &str, plug: &Plug<'_>) -> Result<(), PlugError> {
        let names = [plug.interface.to_owned()];
        for try_ in 0..TRIES {
            // The name is new, as a rule: so it is looked at only if the first try finds something.
            if try_ > 0 {
                let found = self.interfaces(ReadBy::Name(&names)).await?;
                if found.iter().any(|found| plug.is_done(found, bridge)) {
                    return Ok(());
                }
                if found.iter().any(|found| found.key_in(plug.site).is_none()) {
                    return Err(PlugError::Foreign { interface: plug.interface.to_owned() });
                }
                if self.host().await?.datapath.is_none() {
                    return Err(PlugError::NoBridge { bridge: bridge.to_owned() });
                }
                if !found.is_empty() {
                    // ovs-vswitchd opens an interface anew only if it has seen it go.
                    self.unplug(plug.site, &names).await?;
                    self.is_followed(SEEN).await?;
                }
            }
            let named = [Condition::equal("name", plug.interface)];
            let mut transaction = Transaction::new().with(Operation::expect_none("Port", named));
            for operation in plug.operations(bridge) {
                transaction.push(operation);
            }
            match self.client.transact(&transaction).await {
                Ok(_) => return Ok(()),
                // It may be done, or somebody else got ahead: the next try looks.
                Err(error) if error.is_outcome_unknown() || error.is_timed_out_wait() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PlugError::Contended { interface: plug.interface.to_owned() })
    }

    /// Takes these interfaces out of Open vSwitch, if the site plugged them. What is not there is no error. Returns their names.
    ///
    /// # Errors
    /// When the database can't be used.
    pub async fn unplug(&self, site: &str, names: &[String]) -> Result<Vec<String>, PlugError> {
        for _ in 0..TRIES {
            let mut found = self.interfaces(ReadBy::Name(names)).await?;
            found.retain(|found| found.key_in(site).is_some());
            if found.is_empty() {
                return Ok(Vec::new());
            }
            let mut transaction = Transaction::new();
            for operation in removal(&found) {
                transaction.push(operation);
            }
            match self.client.transact(&transaction).await {
                Ok(_) => return Ok(found.into_iter().map(|found| found.name).collect()),
                Err(error) if error.is_outcome_unknown() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PlugError::Contended { interface: names.join(", ") })
    }

    /// Waits until OVN has installed the port of an interface.
    ///
    /// # Errors
    /// When it has not in time, ovs-vswitchd can't use the interface, or somebody took it out.
    pub async fn wait_until_installed(&self, interface: &str, limit: Duration) -> Result<(), PlugError> {
        let mut is_taken = false;
        let waited = tokio::time::timeout(limit, self.follow(interface, &mut is_taken)).await;
        waited.unwrap_or_else(|_| {
            Err(PlugError::NotInstalled { interface: interface.to_owned(), is_taken, waited: limit })
        })
    }

    /// Follows an interface until its port is installed. `is_taken` becomes true when ovs-vswitchd has taken the interface.
    async fn follow(&self, interface: &str, is_taken: &mut bool) -> Result<(), PlugError> {
        let columns: Vec<&str> = COLUMNS.into_iter().filter(|column| *column != "_uuid").collect();
        let of_interface = vec![Condition::equal("name", interface)];
        let request = MonitorRequest::default().with_conditions("Interface", &columns, of_interface);
        let mut monitor = self.client.monitor(request).await?;
        loop {
            let rows = monitor.contents().get("Interface").into_iter().flatten();
            let found = rows
                .filter_map(|(id, row)| Interface::read(&row.as_ref().clone().with("_uuid", *id)))
                .find(|found| found.name == interface);
            let Some(found) = found else {
                return Err(PlugError::Contended { interface: interface.to_owned() });
            };
            if found.is_installed {
                return Ok(());
            }
            if let Some(error) = found.error {
                return Err(PlugError::Refused { interface: interface.to_owned(), error });
            }
            *is_taken = found.number.is_some_and(|number| number > 0);
            monitor.next().await?;
        }
    }
}

/// Returns the operations that take interfaces out of their bridges: the database removes rows that nobody holds. Where somebody else
/// made the port, it stays, and loses the site's marks.
fn removal(found: &[Interface]) -> Vec<Operation> {
    let mut operations = Vec::new();
    for found in found {
        if found.is_given {
            let marks = Mutation::new("external_ids", Mutator::Delete, Value::set(MARKS));
            operations.push(Operation::mutate("Interface", [Condition::uuid(found.id)], [marks]));
            continue;
        }
        operations.extend(found.ports.iter().map(|port| {
            let holds = Condition::new("ports", Function::Includes, *port);
            Operation::mutate("Bridge", [holds], [Mutation::new("ports", Mutator::Delete, *port)])
        }));
    }
    if !operations.is_empty() {
        operations.push(raise());
    }
    operations
}
