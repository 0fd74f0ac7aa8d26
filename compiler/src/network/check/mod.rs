//! Rules about a network that resolving alone does not see: addresses, sharing between tenants, the tenants' own
//! rules (`policy`), and what the site asks of every tenant (`site_policy`).

mod addresses;
mod between;
mod limits;
mod policy;
mod site_policy;

use crate::diagnostic::Diagnostics;
use crate::network::Tenant;
use crate::spec;

/// Checks everything. Findings go to the diagnostics; nothing is changed.
pub fn check(
    site: &spec::Site,
    policies: &[&spec::Policy],
    specs: &[spec::Tenant],
    tenants: &[Tenant],
    diagnostics: &mut Diagnostics,
) {
    for spec in specs {
        limits::check(spec, diagnostics);
        policies.iter().for_each(|policy| site_policy::check(site, policy, spec, diagnostics));
    }
    for tenant in tenants {
        addresses::check(site, tenant, diagnostics);
        policy::check(site, tenant, diagnostics);
    }
    between::check(site, specs, tenants, diagnostics);
}
