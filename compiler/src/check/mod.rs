//! Rules about a network that resolving alone does not see: addresses, sharing between tenants, policy.

mod addresses;
mod between;
mod limits;
mod policy;

use crate::diag::Diagnostics;
use crate::network::Tenant;
use crate::spec;

/// Checks everything. Findings go to the diagnostics; nothing is changed.
pub fn check(site: &spec::Site, specs: &[spec::Tenant], tenants: &[Tenant], diagnostics: &mut Diagnostics) {
    for spec in specs {
        limits::check(spec, diagnostics);
    }
    for tenant in tenants {
        addresses::check(site, tenant, diagnostics);
        policy::check(tenant, diagnostics);
    }
    between::check(site, specs, tenants, diagnostics);
}
