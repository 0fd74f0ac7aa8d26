//! Conflicts with what others use on the provider router.

use std::collections::BTreeSet;

use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::TenantAllocation;
use midoform_compiler::network::provider_use::{self, Neighbours, ProviderConflict, conflicts};
use midoform_compiler::spec::Site;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;

use crate::error::CommandError;
use crate::selection::Selection;
use crate::ui::Ui;

/// Returns what links of the selection have to keep out of the way of, if they have to get other addresses for it. `known` is
/// what the selection was compiled beside. A public address, a pinned link, and a link that was applied do not move: if
/// somebody else uses them, that is an error. With `moves_links`, links that exist and that somebody else uses as well move.
pub(crate) fn to_avoid(
    selection: &Selection<'_>,
    observed: &Observed,
    known: &Neighbours,
    moves_links: bool,
) -> Result<Option<Neighbours>, CommandError> {
    let compiled = selection.compiled;
    let found = conflicts(&selection.desired, observed, &selection.provider, &compiled.site.pools.links);
    let is_pinned =
        |tenant: &str| compiled.specs.iter().any(|spec| spec.name.value == tenant && spec.link.is_some());
    let is_first = *known == Neighbours::default();
    let may_move = |conflict: &ProviderConflict| {
        let tenant = conflict.key.owner();
        let is_applied = compiled.known.tenants.get(tenant).is_some_and(TenantAllocation::may_exist);
        conflict.is_link && !is_pinned(tenant) && (!is_applied || moves_links) && is_first
    };
    if !found.iter().all(may_move) {
        return Err(error_of(found.into_iter().filter(|conflict| !may_move(conflict))));
    }
    let standing = if moves_links && is_first { standing(selection, observed) } else { Vec::new() };
    let moved = found.iter().filter(|_| moves_links).chain(&standing).filter(|conflict| conflict.is_link);
    let moved = moved.map(|conflict| conflict.key.owner()).filter(|tenant| !is_pinned(tenant));
    let moved: BTreeSet<TenantName> = moved.map(TenantName::from).collect();
    match found.is_empty() && moved.is_empty() {
        true => Ok(None),
        false => Ok(Some(Neighbours { others: observed.provider.clone(), moved })),
    }
}

/// Returns the links and public addresses of the selection that exist and that somebody else uses as well.
pub(crate) fn standing(selection: &Selection<'_>, observed: &Observed) -> Vec<ProviderConflict> {
    provider_use::standing(&selection.desired, observed, &selection.provider)
}

/// Returns what an operator can do about addresses that two use.
fn way_out(found: &[ProviderConflict]) -> &'static str {
    match (found.iter().any(|one| one.is_link), found.iter().any(|one| !one.is_link)) {
        (true, false) => {
            "`midoform apply --move-links` of one of the two gives its link free addresses; a link that the spec names is \
             changed in the spec"
        }
        (false, _) => "one of the two has to choose another address in its spec, or be deleted",
        (true, true) => {
            "for a link, `midoform apply --move-links` of one of the two; for a public address, one of the two has to choose \
             another one in its spec, or be deleted"
        }
    }
}

/// Warns of addresses that two use.
pub(crate) fn warn(ui: &Ui, found: &[ProviderConflict]) {
    if !found.is_empty() {
        found.iter().for_each(|one| ui.notice(&format!("warning: {}", one.what)));
        ui.notice(&format!("help: {}", way_out(found)));
    }
}

/// Returns the error of a run that ended with addresses that two use.
pub(crate) fn used_twice(found: &[ProviderConflict]) -> Option<CommandError> {
    let words: Vec<&str> = found.iter().map(|one| one.what.as_str()).collect();
    (!found.is_empty()).then(|| CommandError::Conflict(format!("{}; {}", words.join("; "), way_out(found))))
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
