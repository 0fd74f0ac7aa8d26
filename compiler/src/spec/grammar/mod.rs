//! The grammar of the language: one table of keys for each table of the TOML files.
//!
//! A key stands here once, with the form of its value, whether it is required, its default and its description. Three
//! things follow from it:
//!
//! - The reader ([`crate::spec::parse`]) asks a [`Table`] for a key by the key's field, so it can't read a key that is not
//!   in the grammar. The table reports keys that are missing or unknown, the form reports values that don't fit.
//! - The JSON Schema ([`schema`] and [`crate::spec::schema`]) is generated from the keys.
//! - The tables of keys in `docs/spec.md` are generated from the keys; a test fails when they are not current, and a run of it
//!   with `UPDATE_DOCS=1` rewrites them.
//!
//! To add a key, change three files: the key's table here (`tenant.rs`, `site.rs` or `policy.rs`), the type that holds what
//! was read (`spec/mod.rs`, `spec/site.rs` or `spec/policy.rs`), and the function that reads the table (`spec/parse`). A test
//! fails for a key that no function reads. A value with a form of its own has that form in `values/`. A new condition
//! of a rule also changes the stages that give it a meaning: `network/mod.rs` and `network/resolve.rs` (the resolved rule),
//! `network/check/policy.rs` (the rules that it shadows) and `midonet/lower/policy.rs` (its calls), and the verifier's own
//! reading of rules: `spec_rules.rs` and `shape.rs` in `packets/src/verify`.

mod constraint;
mod default;
pub(crate) mod key;
pub(crate) mod lock;
mod policy;
mod reader;
#[cfg(test)]
mod reference;
pub(crate) mod schema;
mod site;
mod table;
mod tenant;
pub(crate) mod values;

pub(crate) use default::{HasDefault, WithDefault};
pub(crate) use key::{Grammar, Key, KeyView, Shape, Value};
pub(crate) use policy::{Limits, NamePatternKeys, PolicyFileKeys, PolicyKeys};
pub(crate) use reader::{Reader, TomlValue, nearest};
pub(crate) use site::{
    DefaultsKeys, EtcdKeys, HostKeys, KeystoneKeys, LocalnetKeys, MidonetKeys, OvnKeys, PoolsKeys, SiteKeys,
    StoreKeys, TunnelZoneKeys,
};
pub(crate) use table::{Called, Table};
pub(crate) use tenant::{
    AddressGroupKeys, AssertKeys, BridgeKeys, DnsKeys, EndKeys, ExposeKeys, LinkKeys, MovedKeys, PeerKeys,
    PortGroupKeys, PortKeys, RouteKeys, RuleKeys, TenantKeys, ToKeys,
};
