//! The connections that a plan opens and closes, as data: the verifier finds them, and the renderers show them.

use serde::{Deserialize, Serialize};

use crate::source::Provenance;

/// The name of everything behind the provider's router.
pub const WORLD: &str = "world";

/// The direction of a change of reachability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Now {
    /// The connection did not pass before, and passes now.
    Allowed,
    /// The connection passed before, and does not pass now.
    Denied,
}

/// Something that a change opens or closes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReachabilityChange {
    /// The state after the change.
    pub now: Now,
    /// The source: `TENANT/BRIDGE`, or [`WORLD`].
    pub from: String,
    /// The destination: `TENANT/BRIDGE`, or [`WORLD`].
    pub to: String,
    /// `any`, `tcp`, `udp`, `icmp`, or a number.
    pub protocol: String,
    /// Destination ports as they are when the packet is sent (for ICMP the types): `5432`, `80, 8000-8100`; empty: all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ports: String,
    /// Source addresses, if they are not all of the sender's own network.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sources: String,
    /// Destination addresses as they are when the packet is sent, if they are not all addresses of the receiver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub destinations: String,
    /// The line of the spec that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Provenance>,
}

/// The effect of a plan on the connections that pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachability {
    /// The connections that are opened, then those that are closed, each sorted by source, destination, and protocol.
    pub changes: Vec<ReachabilityChange>,
    /// Tenants that exist only after the change. `changes` has only the traffic between them and others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_tenants: Vec<String>,
    /// Tenants that exist only before the change. `changes` has none of their traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone_tenants: Vec<String>,
    /// Tenants that have too many rules to compare. `changes` has none of their traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
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
