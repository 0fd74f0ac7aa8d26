//! The content of a policy.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::{AntiSpoof, Profile, Quotas};
use crate::source::{Span, Spanned};
use crate::values::PortRange;

/// `[policy]`, or a policy file: the rules that every tenant has to keep to. A key that is absent allows everything.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The largest number of each kind in one tenant.
    pub limits: Quotas,
    /// The only public ports that may be exposed.
    pub allowed_public_ports: Option<Spanned<Vec<PortRange>>>,
    /// Public ports that may not be exposed.
    pub forbidden_public_ports: Option<Spanned<Vec<PortRange>>>,
    /// The only addresses that may be exposed, or that source NAT may translate to.
    pub allowed_public_addresses: Option<Spanned<Vec<Ipv4Net>>>,
    /// The only networks that a pinned bridge may lie in.
    pub allowed_bridge_networks: Option<Spanned<Vec<Ipv4Net>>>,
    /// The only profiles.
    pub allowed_profiles: Option<Spanned<Vec<Profile>>>,
    /// The only checks of source addresses.
    pub allowed_anti_spoof: Option<Spanned<Vec<AntiSpoof>>>,
    /// Labels that a tenant has to have.
    pub required_labels: Vec<Spanned<String>>,
    /// Patterns of the values of labels, by label.
    pub label_values: BTreeMap<String, Pattern>,
    /// Patterns of names.
    pub names: NamePatterns,
    /// No rule accepts from everywhere.
    pub forbid_accept_from_anywhere: Option<Span>,
    /// No rule accepts to everywhere.
    pub forbid_accept_to_anywhere: Option<Span>,
    /// Tenants with these labels have to be protected; without labels: all.
    pub require_protect: Option<Spanned<BTreeMap<String, String>>>,
}

/// Patterns of the names of each kind.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the struct's comment says it all")]
pub struct NamePatterns {
    pub tenant: Option<Pattern>,
    pub bridge: Option<Pattern>,
    pub port: Option<Pattern>,
    pub rule: Option<Pattern>,
    pub address_group: Option<Pattern>,
    pub port_group: Option<Pattern>,
}

/// A regular expression that a whole text has to match.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it was written.
    pub text: Spanned<String>,
    /// The compiled pattern, with anchors at both ends.
    pub regex: regex_lite::Regex,
}
