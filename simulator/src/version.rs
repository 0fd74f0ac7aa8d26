//! The MidoNet versions, and the differences between them.
//!
//! Differences of fields are in the tables of [`crate::resources`], marked with [`Versions`]; every other difference is
//! a field of [`Traits`]. Nothing outside this file compares versions by name.

use std::fmt;
use std::str::FromStr;

/// A MidoNet version that the simulator can answer as.
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

    /// Returns the differences of this version.
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

/// The error for a version that the simulator does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown MidoNet version {0:?}; use 1.7, 5.0 or 5.8")]
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

/// A set of versions, for the tables of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions(u8);

impl Versions {
    pub(crate) const ALL: Versions = Versions(7);
    pub(crate) const V1: Versions = Versions(1);
    pub(crate) const V5: Versions = Versions(6);
    pub(crate) const V5_8: Versions = Versions(4);

    /// Returns true if the set contains `version`.
    pub(crate) const fn has(self, version: Version) -> bool {
        let bit = match version {
            Version::V1_7 => 1,
            Version::V5_0 => 2,
            Version::V5_8 => 4,
        };
        self.0 & bit != 0
    }
}

/// The way in which a server reads the `Accept` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Negotiation {
    /// The whole `Accept` header is one media type, and a list of two is 406 (v5.8/16-lists, steps 15 and 16).
    Exact,
    /// The header is a list with weights, and the best type that the resource has is used (v1.7/16-lists, steps 15 and
    /// 16).
    Weighed,
}

/// The fate of the load balancer of a router that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttachedLoadBalancer {
    /// It stays, without a router.
    Stays,
    /// It is deleted with the router.
    Deleted,
    /// The router can't be deleted.
    KeepsRouter,
}

/// The differences of one version from the others.
#[derive(Debug)]
pub(crate) struct Traits {
    /// The version that the application root states (01-login, step 2).
    pub(crate) application: &'static str,
    /// True for 1.x: the server generates the ids of ports, routes and rules (README, 1), references to missing objects
    /// are 500 (08-filters, step 4), errors carry `violations`, and a port's record is read and written without a check
    /// (README, 17).
    pub(crate) is_1x: bool,
    /// The status for a conflict with a link or a binding (06-port-link, step 7; 13-host-binding, 3, 12, 14).
    pub(crate) conflict_status: u16,
    /// The way in which `Accept` is read.
    pub(crate) negotiation: Negotiation,
    /// True if a method that a generic resource lacks gets the crash page of 5.0, and not a 405 (04-chain-rule, step
    /// 18).
    pub(crate) lacking_method_crashes: bool,
    /// True if adding an address to an address group ends with a crash page (14-groups, step 8).
    pub(crate) group_address_crashes: bool,
    /// The message about a missing address group when an address is added, if it is not the usual one (not recorded).
    pub(crate) no_address_group: Option<&'static str>,
    /// True if the tables of a deleted router or bridge stay, so that its id can't be used again (17-id-again, steps 5, 12
    /// and 40).
    pub(crate) keeps_device_tables: bool,
    /// True if an exception during a change becomes an error with its message, and not a crash page (not recorded).
    pub(crate) catches_exceptions: bool,
    /// True if a port group can be changed (not recorded; the README says that it can't on 1.7).
    pub(crate) port_groups_change: bool,
    /// The fate of the load balancer of a router that is deleted (not recorded).
    pub(crate) attached_load_balancer: AttachedLoadBalancer,
    /// True if a bridge has one DHCP subnet for each network, and a router one BGP peer for each address and AS number (not
    /// recorded).
    pub(crate) refuses_duplicates: bool,
    /// The gateway of the route that the server adds for a router's port (05-router-port, step 4).
    pub(crate) local_route_gateway: Option<&'static str>,
    /// The type of that route.
    pub(crate) local_route_type: &'static str,
    /// True if the network of a router's port is computed from its address and length, not taken from the body
    /// (random1, step 91).
    pub(crate) network_of_address: bool,
    /// The start of the message about a value that can't be stored (09-nat-rules, step 15).
    pub(crate) cannot_handle: &'static str,
    /// The revision of the media type of tenants: 5.x responds to revision 1 with 406 (15-tenants).
    pub(crate) tenant_revision: u8,
    /// The key of the mock token (01-login, step 0).
    pub(crate) mock_token: &'static str,
    /// The charset in the media type of login responses.
    pub(crate) charset: &'static str,
    /// The value of a host's `alive`; no agent ran beside the recorded servers (13-host-binding, step 0).
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
    keeps_device_tables: false,
    catches_exceptions: false,
    port_groups_change: false,
    attached_load_balancer: AttachedLoadBalancer::Stays,
    refuses_duplicates: true,
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
    keeps_device_tables: true,
    catches_exceptions: false,
    port_groups_change: false,
    attached_load_balancer: AttachedLoadBalancer::Deleted,
    refuses_duplicates: false,
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
    keeps_device_tables: false,
    catches_exceptions: true,
    port_groups_change: true,
    attached_load_balancer: AttachedLoadBalancer::KeepsRouter,
    refuses_duplicates: true,
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
