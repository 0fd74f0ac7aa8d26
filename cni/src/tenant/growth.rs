//! Bridges that are added to a tenant because those of its spec are full.

use std::collections::BTreeMap;

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::source::SourceId;
use midoform_compiler::spec::parse;
use midoform_store::ready::Ready;

use super::peers::TenantAndPeers;
use crate::protocol::error::{CniError, Code, Result};

/// Returns the bridges that were added to a tenant: of each the full bridge beside which it was added.
pub(super) fn added_bridges(ready: &Ready) -> BTreeMap<String, String> {
    let added =
        ready.bridges.iter().filter_map(|bridge| Some((bridge.name.clone(), bridge.grown_from.clone()?)));
    added.collect()
}

/// Returns the name of the bridge that is added beside a full one.
pub(super) fn next_name(ready: &Ready, full: &str) -> String {
    let is_used = |name: &str| ready.bridges.iter().any(|bridge| bridge.name == name);
    let mut names = (2..).map(|number: u32| format!("{full}-{number}"));
    names.find(|name| !is_used(name)).unwrap_or_default()
}

/// Notes added bridges in the allocations, from which the compiler takes them.
pub(super) fn note_added_bridges(
    allocations: &mut Allocations,
    tenant: &str,
    added: &BTreeMap<String, String>,
) {
    let allocated = allocations.tenants.entry(tenant.into()).or_default();
    allocated.grown.extend(added.iter().map(|(name, full)| (name.clone(), full.clone())));
}

/// Fails if the tenant may not get another bridge: its spec limits their number, or a new spec was pushed and not applied.
/// Such a spec may no longer describe what the pods are attached to.
pub(super) fn check_may_grow(specs: &TenantAndPeers, full: &Ready) -> Result<()> {
    let tenant = &specs.tenant;
    if specs.is_pushed && specs.own.sha256 != full.spec {
        let message =
            format!("all bridges of tenant `{tenant}` are full, and its new spec is not applied yet");
        return Err(CniError::new(Code::NoAddress, message).hint("run `midoform apply`"));
    }
    let spec = parse::tenant(&specs.source(), SourceId(0), &mut Diagnostics::default());
    let limit = spec.and_then(|spec| spec.quotas.bridges).map(|limit| limit.value);
    let count = full.bridges.len();
    match limit.filter(|limit| count as u64 >= u64::from(*limit)) {
        None => Ok(()),
        Some(limit) => {
            let message = format!(
                "all {count} bridges of tenant `{tenant}` are full, and its limit is {limit} bridges"
            );
            Err(CniError::new(Code::NoAddress, message)
                .hint("raise `quotas.bridges` in its spec, then run `midoform apply`"))
        }
    }
}
