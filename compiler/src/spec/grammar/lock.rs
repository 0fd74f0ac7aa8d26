//! The lock file. People don't write it, so it has no schema and no table in the documentation.

use super::key::{key, required, table};
use super::values::{Integer, Raw, integer};

table! {
    /// The allocations of a site. The serde form of the allocations says what the values hold.
    LockKeys {
        version: Integer<i64> = required(integer(0, 2_147_483_647), "The version of the file's format."),
        tenant: Raw = key(Raw, "Allocations by tenant."),
        peer: Raw = key(Raw, "Allocations by pair of peers."),
        generation: Raw = key(Raw, "The last generation of ids of each tenant, and of the site's objects."),
        tunnel_zone_host: Raw = key(Raw, "The hosts that midoform put into the tunnel zone, by id."),
        kept: Raw = key(Raw, "The other keys of a store that keeps its values in the file."),
    }
}
