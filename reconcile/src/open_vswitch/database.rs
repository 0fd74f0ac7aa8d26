//! The connection to a host's database, and the facts of the host that it has.

use std::time::Duration;

use midoform_ovsdb::{Client, Error, Mutation, Mutator, Operation, Row, Settings, Transaction};

/// The database's name.
pub const DATABASE: &str = "Open_vSwitch";

/// The usual address of a host's database.
pub const USUAL: &str = "unix:/var/run/openvswitch/db.sock";

/// The integration bridge, if the database names no other.
const INTEGRATION_BRIDGE: &str = "br-int";

/// A connection to a host's database. It connects when it is first used. Clones share it.
#[derive(Clone, Debug)]
pub struct OpenVswitch {
    pub(super) client: Client,
    remote: String,
}

/// The facts of a host that plugs depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The name of its OVN chassis: `external_ids:system-id`.
    pub chassis: Option<String>,
    /// The servers of the southbound database: `external_ids:ovn-remote`.
    pub southbound: Option<String>,
    /// The types of its tunnels, separated by commas: `external_ids:ovn-encap-type`.
    pub encapsulation: Option<String>,
    /// The addresses of its tunnels, separated by commas: `external_ids:ovn-encap-ip`.
    pub tunnel_addresses: Option<String>,
    /// The name of the integration bridge: `external_ids:ovn-bridge`.
    pub bridge: String,
    /// The integration bridge's type of datapath: empty for the kernel's, `netdev` in userspace; none: there is no such bridge.
    pub datapath: Option<String>,
    /// True if the userspace datapath segments and sums for the interfaces: `other_config:userspace-tso-enable`.
    pub offloads: bool,
    /// The last `nb_cfg` of the northbound database that ovn-controller has made the flows of: `external_ids:ovn-nb-cfg` of the
    /// integration bridge.
    pub followed: Option<i64>,
    /// The number of the last change of the configuration, and the number of the last one that ovs-vswitchd has made.
    pub configured: (i64, i64),
}

impl Host {
    /// Returns true if the integration bridge has the userspace datapath.
    pub fn is_userspace(&self) -> bool {
        self.datapath.as_deref() == Some("netdev")
    }

    /// Returns true if the datapath passes frames on as they are: then interfaces have to send complete checksums.
    pub fn needs_checksums(&self) -> bool {
        self.is_userspace() && !self.offloads
    }
}

impl OpenVswitch {
    /// Returns a connection to the database at `unix:PATH` or `tcp:HOST:PORT`.
    ///
    /// # Errors
    /// When the address is wrong.
    pub fn new(remote: &str, timeout: Duration) -> Result<OpenVswitch, Error> {
        let settings = Settings { timeout, ..Settings::parse(remote, DATABASE)? };
        Ok(OpenVswitch { client: Client::new(settings)?, remote: remote.to_owned() })
    }

    /// Returns the same connection with another time limit of a request.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> OpenVswitch {
        OpenVswitch { client: self.client.with_timeout(timeout), remote: self.remote.clone() }
    }

    /// Returns the address, for people.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// Reads the facts of the host.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn host(&self) -> Result<Host, Error> {
        let columns = ["external_ids", "other_config", "next_cfg", "cur_cfg"];
        let read = Transaction::new()
            .with(Operation::select_columns("Open_vSwitch", [], &columns))
            .with(Operation::select_columns("Bridge", [], &["name", "datapath_type", "external_ids"]));
        let found = self.client.read(&read).await?;
        Ok(host_of(found.rows(0).first(), found.rows(1)))
    }

    /// Waits until ovs-vswitchd has made the whole configuration, as `ovs-vsctl` does. Returns false if it has not in time: it does not
    /// run, or is stuck.
    ///
    /// # Errors
    /// When the database can't be used.
    pub async fn is_followed(&self, limit: Duration) -> Result<bool, Error> {
        let read = || Operation::select_columns("Open_vSwitch", [], &["next_cfg", "cur_cfg"]);
        let raised = self.client.transact(&Transaction::new().with(raise()).with(read())).await?;
        let wanted = number(raised.rows(1).first(), "next_cfg");
        let end = tokio::time::Instant::now() + limit;
        loop {
            let found = self.client.read(&Transaction::new().with(read())).await?;
            if number(found.rows(0).first(), "cur_cfg") >= wanted {
                return Ok(true);
            }
            if tokio::time::Instant::now() >= end {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Returns the operation that tells ovs-vswitchd of a change; it says by `cur_cfg` that it has made it.
pub(super) fn raise() -> Operation {
    Operation::mutate("Open_vSwitch", [], [Mutation::new("next_cfg", Mutator::Add, 1)])
}

fn number(row: Option<&Row>, column: &str) -> i64 {
    row.and_then(|row| row.get(column)?.as_integer()).unwrap_or(0)
}

fn host_of(table: Option<&Row>, bridges: &[Row]) -> Host {
    let text = |column: &str, key: &str| {
        let found = table.and_then(|row| row.get(column)?.get(key));
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let bridge = text("external_ids", "ovn-bridge").unwrap_or_else(|| INTEGRATION_BRIDGE.to_owned());
    let is_named = |row: &&Row| row.get("name").and_then(|name| name.as_str()) == Some(&bridge);
    let found = bridges.iter().find(is_named);
    let datapath = found.map(|row| row.get("datapath_type").and_then(|kind| kind.as_str()).unwrap_or(""));
    let followed = found.and_then(|row| row.get("external_ids")?.get("ovn-nb-cfg")?.parse().ok());
    Host {
        chassis: text("external_ids", "system-id"),
        southbound: text("external_ids", "ovn-remote"),
        encapsulation: text("external_ids", "ovn-encap-type"),
        tunnel_addresses: text("external_ids", "ovn-encap-ip"),
        datapath: datapath.map(str::to_owned),
        bridge,
        followed,
        offloads: text("other_config", "userspace-tso-enable").as_deref() == Some("true"),
        configured: (number(table, "next_cfg"), number(table, "cur_cfg")),
    }
}
