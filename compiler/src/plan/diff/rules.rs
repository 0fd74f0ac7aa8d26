//! The order of rules in a chain: which ones have to move, and where new ones are inserted.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Action, Step};
use crate::topology::Entry;
use crate::topology::key::Key;
use crate::topology::key::view::{KeyView, TenantKey};
use crate::topology::kinds::{Kind, Object, Reference};
use crate::topology::observed::Observed;

/// Returns the rules that have to move: all but a longest run that is in the wanted order already. `rules` are in
/// their observed order, each with its wanted position.
pub(super) fn out_of_order<'k>(rules: &[(&'k Key, u32)]) -> Vec<&'k Key> {
    // Patience sorting: `tails[n]` is the rule that ends the best increasing run of n + 1 rules.
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(rules.len());
    let position = |at: usize| rules.get(at).map(|(_, position)| *position).unwrap_or_default();
    for at in 0..rules.len() {
        let length = tails.partition_point(|tail| position(*tail) < position(at));
        before.push(length.checked_sub(1).and_then(|last| tails.get(last)).copied());
        match tails.get_mut(length) {
            Some(tail) => *tail = at,
            None => tails.push(at),
        }
    }
    let mut stays = vec![false; rules.len()];
    let mut next = tails.last().copied();
    while let Some(at) = next {
        if let Some(stays) = stays.get_mut(at) {
            *stays = true;
        }
        next = before.get(at).copied().flatten();
    }
    rules.iter().zip(stays).filter(|(_, stays)| !stays).map(|((key, _), _)| *key).collect()
}

/// The chains as they are while the plan is executed. They determine the position of the next rule.
pub(super) struct Positions {
    chains: BTreeMap<Key, Chain>,
}

#[derive(Default)]
struct Chain {
    /// The rules that were observed. Foreign rules have no key.
    observed: Vec<Option<Key>>,
    /// The number of these up to and including the last one that is kept and has been passed.
    passed: usize,
    /// The number of rules that the plan has put in so far. All stand before the observed rules that are not passed.
    made: usize,
}

impl Positions {
    /// Makes the chains as observed, without the rules that are deleted first.
    pub(super) fn new(observed: &Observed, deleted_first: &[&Entry]) -> Self {
        let mut chains = BTreeMap::new();
        let gone: BTreeSet<&Key> = deleted_first.iter().map(|entry| &entry.key).collect();
        for (chain, order) in &observed.rules {
            let stays = |key: &Option<Key>| key.as_ref().is_none_or(|key| !gone.contains(key));
            let observed = order.iter().map(|rule| rule.key.clone()).filter(stays).collect();
            chains.insert(chain.clone(), Chain { observed, ..Chain::default() });
        }
        Positions { chains }
    }

    /// Returns the position of this entry's rule (1 is the first), and moves on. Returns 0 if the entry is not a rule. Call
    /// it for a chain's rules in their wanted order. A rule that is replaced stays until all others are created.
    pub(super) fn take(&mut self, entry: &Entry, kept: bool) -> u32 {
        let Object::Rule(rule) = &entry.object else { return 0 };
        let Some(chain) = rule.chain.key() else { return rule.position };
        let chain = self.chains.entry(chain.clone()).or_default();
        // Kept rules come in their observed order, so each is looked for behind the last one.
        let is_own = |key: &Option<Key>| key.as_ref() == Some(&entry.key);
        let skipped = if kept { chain.observed.iter().skip(chain.passed).position(is_own) } else { None };
        match skipped {
            Some(skipped) => chain.passed += skipped + 1,
            None => chain.made += 1,
        }
        u32::try_from(chain.passed + chain.made).unwrap_or(u32::MAX)
    }
}

/// The waits that steps need besides those for their own references, when steps are executed at the same time.
#[derive(Default)]
pub(super) struct Waiting {
    /// By chain: the last step that changes it. Positions count all rules, so these steps are executed one by one.
    last_of_chain: BTreeMap<Key, Key>,
    /// By tenant and chain: the last rule that is created. A rule of another chain may replace a rule that is deleted, so
    /// no rule is deleted before all are created.
    made: BTreeMap<String, BTreeMap<Key, Key>>,
    /// By tenant: links and bindings that are deleted first, because a new one may need the same port or interface.
    gone: BTreeMap<String, Vec<(Kind, Key)>>,
}

impl Waiting {
    /// Notes a deletion.
    pub(super) fn deleted(&mut self, entry: &Entry, step: &mut Step) {
        self.in_chain(entry, step);
        if step.kind == Kind::Rule {
            step.needs
                .extend(self.made.get(entry.key.owner()).into_iter().flat_map(BTreeMap::values).cloned());
        }
        if step.kind.is_exclusive() {
            self.gone.entry(entry.key.owner().to_owned()).or_default().push((step.kind, entry.key.clone()));
        }
    }

    /// Makes a step wait for what has to be done before it.
    pub(super) fn made(&mut self, entry: &Entry, step: &mut Step) {
        if step.action == Action::Keep {
            return;
        }
        self.in_chain(entry, step);
        if let Object::Rule(rule) = &entry.object
            && let Some(chain) = rule.chain.key()
        {
            let made = self.made.entry(entry.key.owner().to_owned()).or_default();
            made.insert(chain.clone(), entry.key.clone());
        }
        if let Object::PortLink(link) = &entry.object {
            // Nothing may pass a router before its rules are created.
            let ends = [&link.port, &link.peer].into_iter().filter_map(Reference::key).map(Key::owner);
            for tenant in ends.collect::<BTreeSet<_>>() {
                let made = self.made.get(tenant).into_iter().flatten();
                let last = made.filter(|(chain, _)| is_of_router(chain));
                step.needs.extend(last.map(|(_, rule)| rule.clone()));
            }
        }
        if step.kind.is_exclusive() {
            let gone = self.gone.get(entry.key.owner()).into_iter().flatten();
            step.needs.extend(gone.filter(|(kind, _)| *kind == step.kind).map(|(_, key)| key.clone()));
        }
    }

    fn in_chain(&mut self, entry: &Entry, step: &mut Step) {
        let Object::Rule(rule) = &entry.object else { return };
        let Some(chain) = rule.chain.key() else { return };
        step.needs.extend(self.last_of_chain.insert(chain.clone(), entry.key.clone()));
    }
}

/// Returns true for a chain that a tenant's router uses.
fn is_of_router(chain: &Key) -> bool {
    matches!(chain.view(), KeyView::Tenant(_, TenantKey::Chain(chain)) if chain.is_of_router())
}
