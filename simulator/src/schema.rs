//! The description of a kind of resource: a table of fields and links (see [`crate::resources`]).
//!
//! The table states for each field whether a client can set it, its default, its constraints, and the versions and
//! types (of a rule or a port) that have it. Deserialising, serialising and storing are the same code for every kind.

use crate::version::{Version, Versions};

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Router,
    Bridge,
    Port,
    Route,
    Chain,
    Rule,
    Host,
    TunnelZone,
    TunnelZoneHost,
    PortGroup,
    PortGroupPort,
    IpAddrGroup,
    IpAddrGroupAddr,
    LoadBalancer,
    BgpPeer,
    BgpNetwork,
    /// A BGP session of a port, as 1.7 has it.
    Bgp,
    DhcpSubnet,
    DhcpSubnet6,
    /// A table of a deleted router or bridge, which the API does not show.
    DeviceTable,
    HostInterfacePort,
}

impl Kind {
    /// All kinds that the API shows.
    pub(crate) const ALL: [Kind; 20] = [
        Kind::Router,
        Kind::Bridge,
        Kind::Port,
        Kind::Route,
        Kind::Chain,
        Kind::Rule,
        Kind::Host,
        Kind::TunnelZone,
        Kind::TunnelZoneHost,
        Kind::PortGroup,
        Kind::PortGroupPort,
        Kind::IpAddrGroup,
        Kind::IpAddrGroupAddr,
        Kind::LoadBalancer,
        Kind::BgpPeer,
        Kind::BgpNetwork,
        Kind::Bgp,
        Kind::DhcpSubnet,
        Kind::DhcpSubnet6,
        Kind::HostInterfacePort,
    ];

    /// Returns the versions that have the kind.
    pub(crate) const fn versions(self) -> Versions {
        match self {
            Kind::BgpPeer | Kind::BgpNetwork => Versions::V5,
            Kind::Bgp => Versions::V1,
            _ => Versions::ALL,
        }
    }

    /// Returns the name of the kind in the messages of 5.x (03-bridge, step 13: a bridge is a "Network").
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Kind::Router => "Router",
            Kind::Bridge => "Network",
            Kind::Port => "Port",
            Kind::Route => "Route",
            Kind::Chain => "Chain",
            Kind::Rule => "Rule",
            Kind::Host => "Host",
            Kind::TunnelZone => "TunnelZone",
            Kind::TunnelZoneHost => "TunnelZoneHost",
            Kind::PortGroup => "PortGroup",
            Kind::PortGroupPort => "PortGroupPort",
            Kind::IpAddrGroup => "IPAddrGroup",
            Kind::IpAddrGroupAddr => "IpAddrGroupAddr",
            Kind::LoadBalancer => "LoadBalancer",
            Kind::BgpPeer => "BgpPeer",
            Kind::BgpNetwork => "BgpNetwork",
            Kind::Bgp => "Bgp",
            Kind::DhcpSubnet => "Dhcp",
            Kind::DhcpSubnet6 => "DhcpV6",
            Kind::DeviceTable => "DeviceTable",
            Kind::HostInterfacePort => "HostInterfacePort",
        }
    }

    /// Returns the name of the kind's Java model class, which errors about bad bodies show (10-bad-input, steps 2 and
    /// 6).
    pub(crate) const fn model(self) -> &'static str {
        match self {
            Kind::Bridge => "Bridge",
            Kind::IpAddrGroup => "IpAddrGroup",
            Kind::DhcpSubnet => "DhcpSubnet",
            Kind::DhcpSubnet6 => "DhcpSubnet6",
            other => other.class(),
        }
    }

    /// Returns the path segment of the collection.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Kind::Router => "routers",
            Kind::Bridge => "bridges",
            Kind::Port | Kind::PortGroupPort | Kind::HostInterfacePort => "ports",
            Kind::Route => "routes",
            Kind::Chain => "chains",
            Kind::Rule => "rules",
            Kind::Host | Kind::TunnelZoneHost => "hosts",
            Kind::TunnelZone => "tunnel_zones",
            Kind::PortGroup => "port_groups",
            Kind::IpAddrGroup => "ip_addr_groups",
            Kind::IpAddrGroupAddr => "ip_addrs",
            Kind::LoadBalancer => "load_balancers",
            Kind::BgpPeer => "bgp_peers",
            Kind::BgpNetwork => "bgp_networks",
            Kind::Bgp => "bgps",
            Kind::DhcpSubnet => "dhcp",
            Kind::DhcpSubnet6 => "dhcpV6",
            Kind::DeviceTable => "device_tables",
        }
    }

    /// Returns true if a 1.x server keeps the id that the client sends (README, 1; "Ports, routes, rules, BGPs ignore the
    /// offered id").
    pub(crate) const fn keeps_id_on_1x(self) -> bool {
        !matches!(self, Kind::Port | Kind::Route | Kind::Rule | Kind::Bgp)
    }
}

/// The JSON type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    Uuid,
    Text,
    Flag,
    /// A primitive number: null means 0.
    Number,
    /// A number of which only the lowest byte is kept; null means 0.
    Byte,
    /// A number that may be null.
    OptionalNumber,
    /// `{"start": 1, "end": 2}`.
    Range,
    Uuids,
    /// A list of `{"addressFrom", "addressTo", "portFrom", "portTo"}`.
    NatTargets,
    /// One of a fixed set of words, named by the Java enumeration that 5.x has for it.
    Word(&'static str, &'static [&'static str]),
    /// Any JSON, kept as it is.
    Any,
}

/// The value that is shown for a field that was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefaultValue {
    Null,
    Flag(bool),
    Number(i64),
    EmptyList,
    EmptyMap,
}

/// The permission to set a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Clients set the field.
    Client,
    /// The server sets the field; the value in a body is ignored.
    Server,
    /// An internal field, which is neither shown nor read.
    Hidden,
}

/// A constraint on a value; [`crate::validation`] has the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    NotNull,
    AtLeast(i64),
    AtMost(i64),
    /// An IPv4 address, else "is an invalid IP format".
    Address,
    /// An IPv4 address, else the regular expression itself is shown (07-route, step 10).
    AddressPattern,
    /// An IPv4 address, else this message.
    Ipv4(&'static str),
    /// An IPv6 address, else this message.
    Ipv6(&'static str),
    Length(usize, usize),
    ListLength(usize),
    Mac,
    MacMask,
    /// A range with both ends in 1..=65535 and in order.
    PortRange,
    /// One of these words, else the regular expression itself is shown.
    Pattern(&'static [&'static str]),
    /// One of these words, else "Must be one of […]." (07-route, step 14 on 1.7).
    OneOf(&'static [&'static str]),
}

/// A field of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) value_type: ValueType,
    pub(crate) default: DefaultValue,
    pub(crate) versions: Versions,
    /// The types of the kind that have the field; empty: all.
    pub(crate) types: &'static [&'static str],
    pub(crate) access: Access,
    pub(crate) checks: &'static [(Versions, Check)],
    /// The kind that a UUID refers to, if the server checks the reference.
    pub(crate) refers: Option<Kind>,
    /// A kind that the simulator does not have: any id is a reference to a missing object.
    pub(crate) unsupported: Option<&'static str>,
}

/// A row of a kind's table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row {
    Field(Field),
    /// A URI with values of the object's fields; null if one of them is null.
    Link {
        name: &'static str,
        path: &'static str,
        versions: Versions,
        types: &'static [&'static str],
    },
    /// Another field's text in upper case, which 1.7 shows as well.
    Upper {
        name: &'static str,
        of: &'static str,
        versions: Versions,
        types: &'static [&'static str],
    },
}

const fn field(name: &'static str, value_type: ValueType, default: DefaultValue) -> Field {
    Field {
        name,
        value_type,
        default,
        versions: Versions::ALL,
        types: &[],
        access: Access::Client,
        checks: &[],
        refers: None,
        unsupported: None,
    }
}

/// Returns a field with a UUID, null unless set.
pub(crate) const fn uuid(name: &'static str) -> Field {
    field(name, ValueType::Uuid, DefaultValue::Null)
}

/// Returns a field with a reference to an object of `kind` that has to exist.
pub(crate) const fn reference(name: &'static str, kind: Kind) -> Field {
    let mut created = field(name, ValueType::Uuid, DefaultValue::Null);
    created.refers = Some(kind);
    created
}

/// Returns a field with a reference to an object of a kind that the simulator does not have.
pub(crate) const fn unsupported_reference(name: &'static str, class: &'static str) -> Field {
    let mut created = field(name, ValueType::Uuid, DefaultValue::Null);
    created.unsupported = Some(class);
    created
}

/// Returns a field with references to objects of a kind that the simulator does not have.
pub(crate) const fn unsupported_references(name: &'static str, class: &'static str) -> Field {
    let mut created = uuids(name);
    created.unsupported = Some(class);
    created
}

/// Returns a field with a string, null unless set.
pub(crate) const fn text(name: &'static str) -> Field {
    field(name, ValueType::Text, DefaultValue::Null)
}

/// Returns a field with a boolean.
pub(crate) const fn flag(name: &'static str, default: bool) -> Field {
    field(name, ValueType::Flag, DefaultValue::Flag(default))
}

/// Returns a field with a number that is never null.
pub(crate) const fn number(name: &'static str, default: i64) -> Field {
    field(name, ValueType::Number, DefaultValue::Number(default))
}

/// Returns a field with a number, null unless set.
pub(crate) const fn optional_number(name: &'static str) -> Field {
    field(name, ValueType::OptionalNumber, DefaultValue::Null)
}

/// Returns a field with a list of UUIDs.
pub(crate) const fn uuids(name: &'static str) -> Field {
    field(name, ValueType::Uuids, DefaultValue::EmptyList)
}

/// Returns a field of any other type.
pub(crate) const fn other(name: &'static str, value_type: ValueType, default: DefaultValue) -> Field {
    field(name, value_type, default)
}

impl Field {
    pub(crate) const fn on(mut self, versions: Versions) -> Field {
        self.versions = versions;
        self
    }

    pub(crate) const fn of(mut self, types: &'static [&'static str]) -> Field {
        self.types = types;
        self
    }

    pub(crate) const fn by_server(mut self) -> Field {
        self.access = Access::Server;
        self
    }

    pub(crate) const fn hidden(mut self) -> Field {
        self.access = Access::Hidden;
        self
    }

    pub(crate) const fn checked(mut self, checks: &'static [(Versions, Check)]) -> Field {
        self.checks = checks;
        self
    }

    pub(crate) const fn row(self) -> Row {
        Row::Field(self)
    }
}

/// Returns a row with a URI.
pub(crate) const fn link(name: &'static str, path: &'static str) -> Row {
    Row::Link { name, path, versions: Versions::ALL, types: &[] }
}

/// Returns a row with a URI that only some versions or types have.
pub(crate) const fn link_on(
    name: &'static str,
    path: &'static str,
    versions: Versions,
    types: &'static [&'static str],
) -> Row {
    Row::Link { name, path, versions, types }
}

/// Tells whether a row applies to this version and to an object of this type.
pub(crate) fn applies(versions: Versions, types: &[&str], version: Version, of: &str) -> bool {
    versions.has(version) && (types.is_empty() || types.contains(&of))
}
