//! The lock file. People don't write it, so it has no schema and no table in the documentation.

use super::key::{key, required, table};
use super::values::{
    Address, Boolean, Inline, Integer, List, Map, Raw, Text, WithDefault, integer, list, map, or, text,
};

table! {
    /// The allocations of a site.
    LockKeys {
        version: Integer<i64> = required(integer(0, 2_147_483_647), "The version of the file's format."),
        tenant: Map<Inline<LockTenantKeys>> = key(map(Inline::called("a tenant of the lock file")), "Allocations by tenant."),
        peer: Map<Inline<LockPeerKeys>> = key(map(Inline::called("a peer of the lock file")), "Allocations by pair of peers."),
        kept: Raw = key(Raw, "What else a store keeps in the file."),
    }
}

table! {
    /// The allocations of a tenant.
    LockTenantKeys {
        applied: WithDefault<Boolean> = key(or(Boolean, false), "The tenant was applied."),
        protect: WithDefault<Boolean> = key(or(Boolean, false), "The tenant can't be destroyed."),
        tenant_id: Text = key(text(), "Its Keystone project."),
        project_made: WithDefault<Boolean> = key(or(Boolean, false), "midoform made that project."),
        link: Inline<LockLinkKeys> = key(Inline::NEW, "The addresses of its link."),
        ports: List<Text> = key(list(text()), "Its static ports."),
        bridge: Map<Raw> = key(map(Raw), "The networks of its bridges."),
        grown: Map<Raw> = key(map(Raw), "The bridges that were added for full ones."),
        id: Map<Raw> = key(map(Raw), "The ids of its objects, by key."),
        making: List<Text> = key(list(text()), "Objects that a call may have made."),
    }
}

table! {
    /// The allocations of a pair of peers.
    LockPeerKeys {
        link: Inline<LockLinkKeys> = key(Inline::NEW, "The addresses of their link."),
    }
}

table! {
    /// The addresses of a link.
    LockLinkKeys {
        provider: Address = key(Address, "The address of one end."),
        tenant: Address = key(Address, "The address of the other end."),
    }
}
