//! Policies.

use super::key::{key, table};
use super::values::{
    Boolean, Integer, Map, Network, OneOrList, PatternValue, PortOrRange, ProtectValue, SubTable, Text,
    Words, integer, map, one_or_list, text, words,
};
use crate::spec::{AntiSpoof, Profile};

/// The form of a limit.
const LIMIT: Integer<u32> = integer(0, 1_000_000);

table! {
    /// The largest number of each kind in a tenant.
    Limits {
        bridges: Integer<u32> = key(LIMIT, "Bridges."),
        ports: Integer<u32> = key(LIMIT, "Static ports."),
        routes: Integer<u32> = key(LIMIT, "Routes."),
        rules: Integer<u32> = key(LIMIT, "Rules."),
        exposes: Integer<u32> = key(LIMIT, "Exposed ports."),
        peers: Integer<u32> = key(LIMIT, "Peers."),
    }
}

table! {
    /// A policy file that has the heading `[policy]`.
    PolicyFileKeys {
        policy: SubTable<PolicyKeys> = key(SubTable::SECTION, "The rules that every tenant has to keep to."),
    }
}

table! {
    /// The rules that every tenant has to keep to. What is absent allows everything.
    PolicyKeys {
        limits: SubTable<Limits> = key(SubTable::INLINE, "The largest number of each kind in one tenant."),
        allowed_public_ports: OneOrList<PortOrRange> = key(one_or_list(PortOrRange), "The only ports that `[[expose]]` may have."),
        forbidden_public_ports: OneOrList<PortOrRange> = key(one_or_list(PortOrRange), "Ports that `[[expose]]` may not have."),
        allowed_public_addresses: OneOrList<Network> = key(one_or_list(Network),
            "The only addresses that `[[expose]]` and `egress = { snat }` may have."),
        allowed_bridge_networks: OneOrList<Network> = key(one_or_list(Network),
            "The networks that the `cidr` of every bridge has to lie in."),
        allowed_profiles: OneOrList<Words<Profile>> = key(one_or_list(words()), "The only profiles, also as a default."),
        allowed_anti_spoof: OneOrList<Words<AntiSpoof>> = key(one_or_list(words()), "The only values of `anti_spoof`, also as a default."),
        required_labels: OneOrList<Text> = key(one_or_list(text()), "Labels that a tenant has to have."),
        label_values: Map<PatternValue> = key(map(PatternValue), "For a label, the pattern that its whole value has to match."),
        names: SubTable<NamePatternKeys> = key(SubTable::INLINE, "For a kind, the pattern that whole names have to match."),
        forbid_accept_from_anywhere: Boolean = key(Boolean,
            "No rule accepts from `world`, from 0.0.0.0/0, or from a group that holds all addresses; with `rainbond` also without a selector in `from`."),
        forbid_accept_to_anywhere: Boolean = key(Boolean,
            "No rule accepts to `world`, to 0.0.0.0/0, to a group that holds all addresses, or without a selector in `to`."),
        require_protect: ProtectValue = key(ProtectValue, "All tenants, or those with these labels, have `protect = true`."),
    }
}

table! {
    /// Patterns of names.
    NamePatternKeys {
        tenant: PatternValue = key(PatternValue, "Tenants."),
        bridge: PatternValue = key(PatternValue, "Bridges."),
        port: PatternValue = key(PatternValue, "Static ports."),
        rule: PatternValue = key(PatternValue, "Rules."),
        address_group: PatternValue = key(PatternValue, "Address groups."),
        port_group: PatternValue = key(PatternValue, "Port groups."),
    }
}
