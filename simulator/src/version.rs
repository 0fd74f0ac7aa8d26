//! The MidoNet versions that are stood in for, and all that differs between them.
//!
//! Field by field differences are in the tables of [`crate::resources`], marked with [`Versions`]; every other
//! difference is a row of [`Traits`]. Nothing outside this file compares versions by name.

use std::fmt;
use std::str::FromStr;

/// A MidoNet version that the simulator can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// MidoNet 1.7 (release v2014.11).
    V1_7,
    /// MidoNet 5.0.2.
    V5_0,
    /// MidoNet 5.8.
    V5_8,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 3] = [Version::V1_7, Version::V5_0, Version::V5_8];

    /// What this version does differently from the others.
    pub(crate) const fn traits(self) -> &'static Traits {
        match self {
            Version::V1_7 => &V1_7,
            Version::V5_0 => &V5_0,
            Version::V5_8 => &V5_8,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1_7 => "1.7",
            Version::V5_0 => "5.0",
            Version::V5_8 => "5.8",
        })
    }
}

/// A version that the simulator does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no MidoNet version {0:?}: known are 1.7, 5.0 and 5.8")]
pub struct UnknownVersion(pub String);

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        match text {
            "1.7" => Ok(Version::V1_7),
            "5.0" | "5.0.2" => Ok(Version::V5_0),
            "5.8" => Ok(Version::V5_8),
            other => Err(UnknownVersion(other.to_owned())),
        }
    }
}

/// A set of versions, for the tables that say which version has a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions(u8);

impl Versions {
    pub(crate) const ALL: Versions = Versions(7);
    pub(crate) const V1: Versions = Versions(1);
    pub(crate) const V5: Versions = Versions(6);
    pub(crate) const V5_8: Versions = Versions(4);

    /// Whether the set holds `version`.
    pub(crate) const fn has(self, version: Version) -> bool {
        let bit = match version {
            Version::V1_7 => 1,
            Version::V5_0 => 2,
            Version::V5_8 => 4,
        };
        self.0 & bit != 0
    }
}

/// How a server finds out whether it can answer in the type that a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Negotiation {
    /// The whole `Accept` header is one media type, and a list of two is 406 (v5.8/16-lists, steps 15 and 16).
    Exact,
    /// The list is weighed, and the first type that the resource has is taken (v1.7/16-lists, steps 15 and 16).
    Weighed,
}

/// What one version does differently from the others.
#[derive(Debug)]
pub(crate) struct Traits {
    /// What the application root calls itself (01-login, step 2).
    pub(crate) application: &'static str,
    /// Whether it is of the 1.x family: ids of ports, routes and rules are the server's own (README, 1), wrong
    /// references are 500 (08-filters, step 4), errors carry `violations`.
    pub(crate) is_1x: bool,
    /// The status of "that is taken" answers: links and bindings (06-port-link, step 7; 13-host-binding, 3, 12, 14).
    pub(crate) conflict_status: u16,
    /// How `Accept` is read.
    pub(crate) negotiation: Negotiation,
    /// What a method that a generic resource lacks gets: a 405, or the crash page of 5.0 (04-chain-rule, step 18).
    pub(crate) lacking_method_crashes: bool,
    /// Whether adding an address to an address group fails with a crash page (14-groups, step 8).
    pub(crate) group_address_crashes: bool,
    /// How it says that there is no address group to hold an address, where it has words of its own (not recorded).
    pub(crate) no_address_group: Option<&'static str>,
    /// Whether an exception within a change becomes an error with its message, and no crash page (not recorded).
    pub(crate) catches_exceptions: bool,
    /// Whether a port group can be changed (not recorded; the README says so of 1.7).
    pub(crate) port_groups_change: bool,
    /// What the automatic route of a router port names as its gateway (05-router-port, step 4).
    pub(crate) local_route_gateway: Option<&'static str>,
    /// The type of that route.
    pub(crate) local_route_type: &'static str,
    /// Whether a router port's network is worked out from its address, whatever the client said (random1, step 91).
    pub(crate) network_of_address: bool,
    /// How it starts the message about a value that it can't store (09-nat-rules, step 15).
    pub(crate) cannot_handle: &'static str,
    /// The revision of the media type of tenants: 5.x answers 406 to revision 1 (15-tenants).
    pub(crate) tenant_revision: u8,
    /// The key of the mock token (01-login, step 0).
    pub(crate) mock_token: &'static str,
    /// How the charset of the login's answers is written.
    pub(crate) charset: &'static str,
    /// The value of a host's `alive`: no agent runs beside the recorded servers (13-host-binding, step 0).
    pub(crate) host_alive: bool,
}

const V1_7: Traits = Traits {
    application: "v1.7",
    is_1x: true,
    conflict_status: 400,
    negotiation: Negotiation::Weighed,
    lacking_method_crashes: false,
    group_address_crashes: false,
    no_address_group: Some("IP address group does not exist: "),
    catches_exceptions: false,
    port_groups_change: false,
    local_route_gateway: None,
    local_route_type: "Normal",
    network_of_address: false,
    cannot_handle: "Cannot handle resource",
    tenant_revision: 1,
    mock_token: "999888777666",
    charset: "UTF-8",
    host_alive: true,
};

const V5_0: Traits = Traits {
    application: "v5.0",
    is_1x: false,
    conflict_status: 400,
    negotiation: Negotiation::Exact,
    lacking_method_crashes: true,
    group_address_crashes: true,
    no_address_group: Some("IP addr group not found: "),
    catches_exceptions: false,
    port_groups_change: false,
    local_route_gateway: Some("255.255.255.255"),
    local_route_type: "Local",
    network_of_address: false,
    cannot_handle: "Can't handle resource",
    tenant_revision: 2,
    mock_token: "00000000",
    charset: "utf-8",
    host_alive: false,
};

const V5_8: Traits = Traits {
    conflict_status: 409,
    lacking_method_crashes: false,
    group_address_crashes: false,
    no_address_group: None,
    catches_exceptions: true,
    port_groups_change: true,
    local_route_gateway: None,
    network_of_address: true,
    cannot_handle: "Cannot handle resource",
    ..V5_0
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_written() {
        for version in Version::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert_eq!("5.0.2".parse(), Ok(Version::V5_0));
        assert!("6".parse::<Version>().is_err());
    }
}
