//! The limits of one tenant file, and groups that it declares and does not use.

use std::collections::BTreeSet;

use super::{Counted, counted};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::Spanned;
use crate::spec::{Selector, Site, Tenant};
use crate::values::Engine;

/// MidoNet stores longer ids, but Keystone's project ids have 32 or 36 characters and its columns 64.
const LONGEST_TENANT_ID: usize = 64;

pub(super) fn check(site: &Site, tenant: &Tenant, diagnostics: &mut Diagnostics) {
    for Counted { key, limit, found } in counted(tenant, &tenant.quotas) {
        let Some(quota) = limit else { continue };
        let count = found.len();
        if count > quota.value as usize {
            let message = format!("`{}` has {count} {key}, and its quota is {quota}", tenant.name);
            let help = format!("remove some, or raise `quotas.{key}`");
            diagnostics.push(Diagnostic::error(Code::Quota, quota.span, message).help(help));
        }
    }
    if let Some(id) = &tenant.tenant_id {
        let bad = id.value.is_empty()
            || id.value.len() > LONGEST_TENANT_ID
            || id.value.chars().any(|c| !c.is_ascii_graphic());
        // README 18: it is 500, on every kind.
        let has_slash = site.engine == Engine::Midonet1 && id.value.contains('/');
        let message = match (bad, has_slash) {
            (true, _) => {
                Some(format!("`tenant_id` has to be 1 to {LONGEST_TENANT_ID} visible ASCII characters"))
            }
            (false, true) => Some("MidoNet 1.x takes no `tenant_id` with a slash".to_owned()),
            (false, false) => None,
        };
        let error = |message| Diagnostic::error(Code::BadTenantId, id.span, message);
        let error = message.map(|message| error(message).help("use the Keystone project's id"));
        error.into_iter().for_each(|error| diagnostics.push(error));
    }
    unused_groups(tenant, diagnostics);
}

fn unused_groups(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    for selector in tenant.rules.iter().flat_map(|rule| [&rule.from.selector, &rule.to.selector]).flatten() {
        match &selector.value {
            Selector::AddressGroup(name) => drop(used.insert(("address group", name))),
            Selector::PortGroup(name) => drop(used.insert(("port group", name))),
            _ => {}
        }
    }
    let mut unused = |what: &'static str, name: &Spanned<String>| {
        if !used.contains(&(what, name.value.as_str())) {
            let message = format!("the {what} `{name}` is not used by any rule");
            let help = "name it in a rule, or remove it";
            diagnostics.push(Diagnostic::warning(Code::UnusedGroup, name.span, message).help(help));
        }
    };
    for group in &tenant.address_groups {
        unused("address group", &group.name);
    }
    // A stateful port group is for MidoNet's flow state, and needs no rule.
    for group in tenant.port_groups.iter().filter(|group| !group.stateful) {
        unused("port group", &group.name);
    }
    for group in &tenant.address_groups {
        if group.addresses.is_empty() && group.is_sound {
            let message =
                format!("the address group `{}` is empty: rules that name it match nothing", group.name);
            diagnostics.push(
                Diagnostic::warning(Code::EmptyGroup, group.name.span, message).help("add addresses to it"),
            );
        }
    }
}
