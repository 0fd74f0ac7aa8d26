//! Batches of tenants: a few are changed at a time.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::plan::Plan;
use midoform_compiler::topology::key::{Key, SITE};

/// The settings of batches.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// The number of tenants in a batch.
    pub tenants: u32,
    /// True if a difference that is seen after a batch ends the run.
    pub pause_on_drift: bool,
}

/// The batch that each tenant is in.
pub(crate) struct BatchOrder {
    by_tenant: BTreeMap<String, usize>,
    pub(crate) count: usize,
}

impl BatchOrder {
    /// Puts the tenants that a plan changes into batches, by name; the site's own objects are in the first.
    pub(crate) fn of(plan: &Plan, tenants: u32) -> Self {
        let changed: BTreeSet<&str> = plan.changes().map(|step| step.key.owner()).collect();
        let changed: Vec<&str> = changed.into_iter().filter(|tenant| *tenant != SITE).collect();
        let size = usize::try_from(tenants).unwrap_or(usize::MAX).max(1);
        let numbered = (0..).zip(changed.chunks(size));
        let by_tenant = numbered
            .flat_map(|(batch, tenants)| tenants.iter().map(move |tenant| ((*tenant).to_owned(), batch)));
        BatchOrder { by_tenant: by_tenant.collect(), count: changed.len().div_ceil(size).max(1) }
    }

    /// Returns the steps of the batches up to this one. A step that needs one of a later batch belongs to that.
    pub(crate) fn up_to(&self, batch: usize, plan: &Plan) -> Plan {
        let last = self.count - 1;
        let of_tenant = |key: &Key| match key.owner() {
            SITE => 0,
            tenant => self.by_tenant.get(tenant).copied().unwrap_or(last),
        };
        let mut batches: BTreeMap<&Key, usize> = BTreeMap::new();
        let mut steps = Vec::new();
        for step in &plan.steps {
            let needed = step.needs.iter().filter_map(|key| batches.get(key)).copied().max();
            let own = needed.unwrap_or(0).max(of_tenant(&step.key));
            let latest = batches.entry(&step.key).or_insert(own);
            *latest = own.max(*latest);
            if *latest <= batch {
                steps.push(step.clone());
            }
        }
        Plan { steps, ..plan.clone() }
    }
}
