//! Conflicts with what others use on the provider router.

use midoform_compiler::network::allocation::TenantAllocation;
use midoform_compiler::network::provider_use::{ProviderConflict, conflicts};
use midoform_compiler::spec::Site;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::{Observed, ProviderUse};

use crate::error::CommandError;
use crate::selection::Selection;

/// Returns what others use on the provider router, if links of the selection have to get other addresses for it. `known` is
/// what the selection was compiled beside. A public address, a pinned link, and a link that was applied do not move: if
/// somebody else uses them, that is an error.
pub(crate) fn to_avoid(
    selection: &Selection<'_>,
    observed: &Observed,
    known: &ProviderUse,
) -> Result<Option<ProviderUse>, CommandError> {
    let compiled = selection.compiled;
    let found = conflicts(&selection.desired, observed, &selection.provider, &compiled.site.pools.links);
    let may_move = |conflict: &ProviderConflict| {
        let tenant = conflict.key.owner();
        let is_pinned = compiled.specs.iter().any(|spec| spec.name.value == tenant && spec.link.is_some());
        let is_applied = compiled.known.tenants.get(tenant).is_some_and(TenantAllocation::may_exist);
        conflict.is_link && !is_pinned && !is_applied && *known == ProviderUse::default()
    };
    match found.iter().all(may_move) {
        true if found.is_empty() => Ok(None),
        true => Ok(Some(observed.provider.clone())),
        false => Err(error_of(found.into_iter().filter(|conflict| !may_move(conflict)))),
    }
}

/// Refuses a saved plan that makes something on the provider router that somebody else uses now.
pub(crate) fn refuse(
    desired: &Topology,
    observed: &Observed,
    provider: &Reference,
    site: &Site,
) -> Result<(), CommandError> {
    let found = conflicts(desired, observed, provider, &site.pools.links);
    if found.is_empty() { Ok(()) } else { Err(error_of(found.into_iter())) }
}

fn error_of(found: impl Iterator<Item = ProviderConflict>) -> CommandError {
    let words: Vec<String> = found.map(|conflict| conflict.what).collect();
    CommandError::Conflict(format!("{}; choose another address, or delete the other one", words.join("; ")))
}
