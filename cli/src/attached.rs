//! Reasons not to delete a tenant: it is protected, or something is attached to its bridges.

use std::collections::BTreeSet;

use midoform_compiler::Compiled;
use midoform_compiler::names::TenantName;
use midoform_compiler::topology::observed::Observed;

use crate::error::CommandError;

/// Refuses tenants with `protect = true` in the spec or in the lock file.
pub(crate) fn refuse_protected(
    compiled: &Compiled,
    tenants: &BTreeSet<TenantName>,
) -> Result<(), CommandError> {
    let in_spec = |name: &str| compiled.specs.iter().any(|spec| *spec.name.value == *name && spec.protect);
    let in_lock = |name: &str| compiled.known.tenants.get(name).is_some_and(|tenant| tenant.protect);
    let protected: Vec<&TenantName> = tenants.iter().filter(|name| in_spec(name) || in_lock(name)).collect();
    if protected.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = protected.into_iter().map(TenantName::as_str).collect();
    let message = format!(
        "protected and not destroyed: {}; remove `protect = true`, apply, and then destroy",
        names.join(", ")
    );
    Err(CommandError::Conflict(message))
}

/// Returns a list of the objects that are attached to the bridges of these tenants and are not the spec's.
pub(crate) fn attached(observed: &Observed, of: impl Fn(&str) -> bool) -> Option<String> {
    let attached = observed.attached.iter().filter(|attached| of(attached.near.owner()));
    let words: Vec<String> =
        attached.map(|attached| format!("{} at {}", attached.what, attached.near)).collect();
    (!words.is_empty()).then(|| words.join(", "))
}
