//! Interfaces as a host's database has them.

use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::row::{KEY_OF_ROW, SITE_OF_ROW};
use midoform_ovsdb::{Condition, Error, Function, Operation, Row, Transaction, Value};
use uuid::Uuid;

use super::database::OpenVswitch;

/// The columns of an interface that are read.
pub(super) const COLUMNS: [&str; 5] = ["_uuid", "name", "external_ids", "ofport", "error"];

/// The mark of an interface whose port somebody else made.
pub(super) const GIVEN: &str = "midoform-given";

/// The mark of the kernel's index of an interface, as it was when it was plugged in.
pub(super) const INDEX: &str = "midoform-ifindex";

/// An interface of Open vSwitch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The row's uuid.
    pub id: Uuid,
    /// Its name, which is the name of the host's interface.
    pub name: String,
    /// The name of its logical switch port: `external_ids:iface-id`.
    pub port_name: Option<String>,
    /// The MAC address behind it: `external_ids:attached-mac`.
    pub mac: Option<String>,
    /// The site that plugged it, and the key of its port; none: somebody else did.
    pub mark: Option<(String, Key)>,
    /// Its number in the bridge; none: ovs-vswitchd has not taken it yet. Negative: it can't.
    pub number: Option<i64>,
    /// The reason why ovs-vswitchd can't use it.
    pub error: Option<String>,
    /// True if the flows of its port are there: `external_ids:ovn-installed`.
    pub is_installed: bool,
    /// The bridges that have it, by name.
    pub bridges: Vec<String>,
    /// True if somebody else made its port, and the site only named the logical switch port.
    pub is_given: bool,
    /// The kernel's index of the interface when it was plugged in, where that was written down.
    pub index: Option<u32>,
    /// All of `external_ids`.
    pub(super) ids: Value,
    /// The rows of table Port that have it.
    pub(super) ports: Vec<Uuid>,
}

/// The interfaces that are read.
#[derive(Clone, Debug)]
pub enum ReadBy<'a> {
    /// All.
    All,
    /// Those with these names.
    Name(&'a [String]),
    /// Those that this site plugged.
    Site(&'a str),
}

impl Interface {
    /// Returns the key of the port that a site plugged the interface for; none if another one did, or somebody else.
    pub fn key_in(&self, site: &str) -> Option<&Key> {
        self.mark.as_ref().filter(|(of, _)| of == site).map(|(_, key)| key)
    }

    pub(super) fn read(row: &Row) -> Option<Interface> {
        let ids = row.get("external_ids");
        let id = |name: &str| ids.and_then(|ids| ids.get(name)).map(str::to_owned);
        let error = row.get("error").and_then(Value::as_str);
        Some(Interface {
            id: row.uuid()?,
            name: row.get("name")?.as_str()?.to_owned(),
            port_name: id("iface-id"),
            mac: id("attached-mac"),
            mark: id(SITE_OF_ROW).zip(id(KEY_OF_ROW)).map(|(site, key)| (site, Key::new(key))),
            number: row.get("ofport").and_then(Value::as_integer),
            error: error.filter(|error| !error.is_empty()).map(str::to_owned),
            is_installed: id("ovn-installed").as_deref() == Some("true"),
            bridges: Vec::new(),
            is_given: id(GIVEN).is_some(),
            index: id(INDEX).and_then(|index| index.parse().ok()),
            ids: ids.cloned().unwrap_or_else(Value::empty_map),
            ports: Vec::new(),
        })
    }
}

impl OpenVswitch {
    /// Reads interfaces, with the bridges that they are in.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn interfaces(&self, by: ReadBy<'_>) -> Result<Vec<Interface>, Error> {
        let conditions: Vec<Vec<Condition>> = match by {
            ReadBy::All => vec![Vec::new()],
            ReadBy::Name(names) => {
                names.iter().map(|name| vec![Condition::equal("name", name.as_str())]).collect()
            }
            ReadBy::Site(site) => {
                let mark = Value::map([(SITE_OF_ROW, site)]);
                vec![vec![Condition::new("external_ids", Function::Includes, mark)]]
            }
        };
        let mut read = Transaction::new()
            .with(Operation::select_columns("Port", [], &["_uuid", "interfaces"]))
            .with(Operation::select_columns("Bridge", [], &["name", "ports"]));
        for conditions in &conditions {
            read.push(Operation::select_columns("Interface", conditions.clone(), &COLUMNS));
        }
        let found = self.client.read(&read).await?;
        let rows = (0..conditions.len()).flat_map(|at| found.rows(2 + at));
        let mut interfaces: Vec<Interface> = rows.filter_map(Interface::read).collect();
        for interface in &mut interfaces {
            let has = |row: &&Row, column: &str, id: Uuid| {
                row.get(column).is_some_and(|ids| ids.uuids().any(|one| one == id))
            };
            let ports = found.rows(0).iter().filter(|row| has(row, "interfaces", interface.id));
            interface.ports = ports.filter_map(Row::uuid).collect();
            let holds = |row: &&Row| interface.ports.iter().any(|port| has(row, "ports", *port));
            let bridges = found.rows(1).iter().filter(holds);
            let names = bridges.filter_map(|row| Some(row.get("name")?.as_str()?.to_owned()));
            interface.bridges = names.collect();
        }
        Ok(interfaces)
    }
}
