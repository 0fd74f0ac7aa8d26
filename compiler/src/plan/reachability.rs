//! The connections that a plan opens and closes, as data: the verifier finds them, and the renderers show them.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

use crate::names::TenantName;
use crate::source::Provenance;

/// One end of the connections that a change opens or closes. Ends order as their texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The pods of a bridge.
    Bridge {
        /// The tenant.
        tenant: TenantName,
        /// The bridge as people read it: `TENANT/BRIDGE`.
        name: String,
    },
    /// Everything behind the provider router.
    World,
}

impl ConnectionEnd {
    /// Returns the end as people read it: `TENANT/BRIDGE`, or `world`.
    pub fn as_str(&self) -> &str {
        match self {
            ConnectionEnd::Bridge { name, .. } => name,
            ConnectionEnd::World => "world",
        }
    }

    /// Returns the tenant; none for the world.
    pub fn tenant(&self) -> Option<&TenantName> {
        match self {
            ConnectionEnd::Bridge { tenant, .. } => Some(tenant),
            ConnectionEnd::World => None,
        }
    }
}

impl Ord for ConnectionEnd {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.as_str(), self.tenant()).cmp(&(other.as_str(), other.tenant()))
    }
}

impl PartialOrd for ConnectionEnd {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for ConnectionEnd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl std::fmt::Display for ConnectionEnd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The direction of a change of reachability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Now {
    /// The connection did not pass before, and passes now.
    Allowed,
    /// The connection passed before, and does not pass now.
    Denied,
}

/// Something that a change opens or closes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReachabilityChange {
    /// The state after the change.
    pub now: Now,
    /// The source.
    pub from: ConnectionEnd,
    /// The destination.
    pub to: ConnectionEnd,
    /// `any`, `tcp`, `udp`, `icmp`, or a number.
    pub protocol: String,
    /// Destination ports as they are when the packet is sent (for ICMP the types): `5432`, `80, 8000-8100`; empty: all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ports: String,
    /// Source addresses, if they are not all of the sender's own network.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sources: String,
    /// Destination addresses as they are when the packet is sent, if they are not all addresses of the receiver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destinations: String,
    /// The line of the spec that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Provenance>,
}

/// The effect of a plan on the connections that pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reachability {
    /// The connections that are opened, then those that are closed, each sorted by source, destination, and protocol.
    pub changes: Vec<ReachabilityChange>,
    /// Tenants that exist only after the change. `changes` has only the traffic between them and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_tenants: Vec<TenantName>,
    /// Tenants that exist only before the change. `changes` has none of their traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone_tenants: Vec<TenantName>,
    /// Tenants that have too many rules to compare. `changes` has none of their traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<TenantName>,
}

impl std::fmt::Display for ReachabilityChange {
    /// Writes a line such as `acme/web → acme/db tcp/5432: now allowed (acme.toml:12)`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.from)?;
        if !self.sources.is_empty() {
            write!(formatter, " ({})", self.sources)?;
        }
        write!(formatter, " → {}", self.to)?;
        if !self.destinations.is_empty() {
            write!(formatter, " ({})", self.destinations)?;
        }
        write!(formatter, " {}", self.protocol)?;
        if !self.ports.is_empty() {
            write!(formatter, "/{}", self.ports)?;
        }
        write!(
            formatter,
            ": now {}",
            match self.now {
                Now::Allowed => "allowed",
                Now::Denied => "denied",
            }
        )?;
        match &self.source {
            Some(source) => write!(formatter, " ({source})"),
            None => Ok(()),
        }
    }
}

impl Reachability {
    /// Returns true if nothing is opened or closed.
    pub fn is_empty(&self) -> bool {
        *self == Reachability::default()
    }
}
