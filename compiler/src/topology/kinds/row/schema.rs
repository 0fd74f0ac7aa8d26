//! The part of OVN's northbound schema that midoform uses: one table of tables. A test compares it with the schema of an
//! installed OVN.
//!
//! Only these columns are compared and written. The others of a row are left as they are.

use crate::topology::kinds::Kind;

/// The key of `external_ids` that has a row's key.
pub const KEY_OF_ROW: &str = "midoform";

/// The key of `external_ids` that has the name of a row's site.
pub const SITE_OF_ROW: &str = "midoform-site";

/// A table of the northbound database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is named as its table")]
pub enum Table {
    AddressSet,
    LoadBalancer,
    LogicalRouter,
    LogicalSwitch,
    LogicalRouterPort,
    GatewayChassis,
    LogicalSwitchPort,
    PortGroup,
    LogicalRouterStaticRoute,
    LogicalRouterPolicy,
    Nat,
    Acl,
}

/// The columns of a table, and the columns of other tables that hold its rows.
#[derive(Debug)]
pub struct TableSchema {
    /// The table.
    pub table: Table,
    /// Its name in the database.
    pub name: &'static str,
    /// The columns that midoform writes, sorted by name.
    pub columns: &'static [ColumnSchema],
    /// The columns that hold its rows: a row that none of them holds vanishes. Empty for a table whose rows stand alone.
    pub held_by: &'static [(Table, &'static str)],
    /// The column whose values are different in all rows of the table.
    pub unique: Option<&'static str>,
}

/// A column.
#[derive(Debug)]
pub struct ColumnSchema {
    /// Its name.
    pub name: &'static str,
    /// The values that it may have.
    pub kind: ColumnKind,
    /// What of its value belongs to midoform.
    pub share: Share,
}

/// The values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A text.
    Text,
    /// A text of up to so many characters, or none.
    OptionalText(Option<usize>),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or none.
    OptionalWord(&'static [&'static str]),
    /// An integer from the first to the second.
    Integer(i64, i64),
    /// An integer from the first to the second, or none.
    OptionalInteger(i64, i64),
    /// A set of texts.
    Texts,
    /// A set of at least one text.
    SomeTexts,
    /// A map from text to text.
    Map,
    /// A set of references to rows of a table.
    References(Table),
}

/// The part of a column's value that belongs to midoform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of it.
    Whole,
    /// Of a map, these keys; of a set of references, those to midoform's own rows. Others may add theirs.
    Members(&'static [&'static str]),
}

const fn whole(name: &'static str, kind: ColumnKind) -> ColumnSchema {
    ColumnSchema { name, kind, share: Share::Whole }
}

/// A map of which midoform has these keys alone.
const fn keys(name: &'static str, keys: &'static [&'static str]) -> ColumnSchema {
    ColumnSchema { name, kind: ColumnKind::Map, share: Share::Members(keys) }
}

/// A set of references of which midoform has those to its own rows alone.
const fn own(name: &'static str, to: Table) -> ColumnSchema {
    ColumnSchema { name, kind: ColumnKind::References(to), share: Share::Members(&[]) }
}

const EXTERNAL_IDS: ColumnSchema = keys("external_ids", &[KEY_OF_ROW, SITE_OF_ROW]);
const PRIORITY: ColumnSchema = whole("priority", ColumnKind::Integer(0, HIGHEST_PRIORITY));
const NAME: ColumnSchema = whole("name", ColumnKind::Text);

/// The highest priority of an ACL, a policy and a gateway chassis.
pub const HIGHEST_PRIORITY: i64 = 32767;

/// The longest name of an ACL.
pub const LONGEST_ACL_NAME: usize = 63;

/// Every table, in the order in which rows are made: what is referred to comes first.
pub const TABLES: &[TableSchema] = &[
    TableSchema {
        table: Table::AddressSet,
        name: "Address_Set",
        columns: &[whole("addresses", ColumnKind::Texts), EXTERNAL_IDS, NAME],
        held_by: &[],
        unique: Some("name"),
    },
    TableSchema {
        table: Table::LoadBalancer,
        name: "Load_Balancer",
        columns: &[
            EXTERNAL_IDS,
            NAME,
            whole("protocol", ColumnKind::OptionalWord(&["tcp", "udp", "sctp"])),
            whole("vips", ColumnKind::Map),
        ],
        held_by: &[],
        unique: None,
    },
    TableSchema {
        table: Table::LogicalRouter,
        name: "Logical_Router",
        columns: &[EXTERNAL_IDS, own("load_balancer", Table::LoadBalancer), NAME],
        held_by: &[],
        unique: None,
    },
    TableSchema {
        table: Table::LogicalSwitch,
        name: "Logical_Switch",
        columns: &[
            EXTERNAL_IDS,
            own("load_balancer", Table::LoadBalancer),
            NAME,
            keys("other_config", &["vlan-passthru"]),
        ],
        held_by: &[],
        unique: None,
    },
    TableSchema {
        table: Table::LogicalRouterPort,
        name: "Logical_Router_Port",
        columns: &[
            EXTERNAL_IDS,
            whole("mac", ColumnKind::Text),
            NAME,
            whole("networks", ColumnKind::SomeTexts),
            keys("options", &["gateway_mtu"]),
            whole("peer", ColumnKind::OptionalText(None)),
        ],
        held_by: &[(Table::LogicalRouter, "ports")],
        unique: Some("name"),
    },
    TableSchema {
        table: Table::GatewayChassis,
        name: "Gateway_Chassis",
        columns: &[whole("chassis_name", ColumnKind::Text), EXTERNAL_IDS, NAME, PRIORITY],
        held_by: &[(Table::LogicalRouterPort, "gateway_chassis")],
        unique: Some("name"),
    },
    TableSchema {
        table: Table::LogicalSwitchPort,
        name: "Logical_Switch_Port",
        columns: &[
            whole("addresses", ColumnKind::Texts),
            EXTERNAL_IDS,
            NAME,
            keys("options", &["network_name", "requested-chassis", "router-port"]),
            whole("port_security", ColumnKind::Texts),
            whole("tag", ColumnKind::OptionalInteger(1, 4095)),
            whole("type", ColumnKind::Text),
        ],
        held_by: &[(Table::LogicalSwitch, "ports")],
        unique: Some("name"),
    },
    TableSchema {
        table: Table::PortGroup,
        name: "Port_Group",
        columns: &[EXTERNAL_IDS, NAME, whole("ports", ColumnKind::References(Table::LogicalSwitchPort))],
        held_by: &[],
        unique: Some("name"),
    },
    TableSchema {
        table: Table::LogicalRouterStaticRoute,
        name: "Logical_Router_Static_Route",
        columns: &[
            EXTERNAL_IDS,
            whole("ip_prefix", ColumnKind::Text),
            whole("nexthop", ColumnKind::Text),
            whole("output_port", ColumnKind::OptionalText(None)),
        ],
        held_by: &[(Table::LogicalRouter, "static_routes")],
        unique: None,
    },
    TableSchema {
        table: Table::LogicalRouterPolicy,
        name: "Logical_Router_Policy",
        columns: &[
            whole("action", ColumnKind::Word(&["allow", "drop", "reroute"])),
            EXTERNAL_IDS,
            whole("match", ColumnKind::Text),
            PRIORITY,
        ],
        held_by: &[(Table::LogicalRouter, "policies")],
        unique: None,
    },
    TableSchema {
        table: Table::Nat,
        name: "NAT",
        columns: &[
            EXTERNAL_IDS,
            whole("external_ip", ColumnKind::Text),
            whole("logical_ip", ColumnKind::Text),
            whole("type", ColumnKind::Word(&["dnat", "snat", "dnat_and_snat"])),
        ],
        held_by: &[(Table::LogicalRouter, "nat")],
        unique: None,
    },
    TableSchema {
        table: Table::Acl,
        name: "ACL",
        columns: &[
            whole(
                "action",
                ColumnKind::Word(&["allow", "allow-related", "allow-stateless", "drop", "reject"]),
            ),
            whole("direction", ColumnKind::Word(&["from-lport", "to-lport"])),
            EXTERNAL_IDS,
            whole("match", ColumnKind::Text),
            whole("name", ColumnKind::OptionalText(Some(LONGEST_ACL_NAME))),
            keys("options", &["apply-after-lb"]),
            PRIORITY,
        ],
        held_by: &[(Table::LogicalSwitch, "acls"), (Table::PortGroup, "acls")],
        unique: None,
    },
];

impl Table {
    /// Returns the table's schema.
    pub fn schema(self) -> &'static TableSchema {
        // The variants stand in the order of the list; a test checks it.
        const FALLBACK: &TableSchema =
            &TableSchema { table: Table::Acl, name: "", columns: &[], held_by: &[], unique: None };
        TABLES.get(self as usize).unwrap_or(FALLBACK)
    }

    /// Returns the table's name in the database.
    pub fn name(self) -> &'static str {
        self.schema().name
    }

    /// Returns the columns that hold rows of other tables.
    pub fn holding(self) -> impl Iterator<Item = &'static str> {
        let places = TABLES.iter().flat_map(|schema| schema.held_by);
        places.filter(move |(holder, _)| *holder == self).map(|(_, column)| *column)
    }

    /// Returns the column with this name.
    pub fn column(self, name: &str) -> Option<&'static ColumnSchema> {
        self.schema().columns.iter().find(|column| column.name == name)
    }
}

/// For each table, the kind of its rows alone: what a reference to one of them may lead to.
const KINDS: [[Kind; 1]; TABLES.len()] = {
    let mut kinds = [[Kind::Row(Table::AddressSet)]; TABLES.len()];
    let mut at = 0;
    while at < TABLES.len() {
        kinds[at] = [Kind::Row(TABLES[at].table)];
        at += 1;
    }
    kinds
};

impl Table {
    /// Returns the table with this name in the database.
    pub fn named(name: &str) -> Option<Table> {
        TABLES.iter().find(|schema| schema.name == name).map(|schema| schema.table)
    }

    /// Returns the kind of its rows.
    pub(super) fn kinds(self) -> &'static [Kind] {
        static ALL: [[Kind; 1]; TABLES.len()] = KINDS;
        ALL.get(self as usize).map_or(&[], |kinds| kinds.as_slice())
    }
}

impl<'de> serde::Deserialize<'de> for Table {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("OVN has no table {name:?} that midoform uses"));
        Table::named(&name).ok_or_else(unknown)
    }
}

impl serde::Serialize for Table {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}
