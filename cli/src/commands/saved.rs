//! Saved plans: applied exactly, and undone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::midonet;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{Site, parse};
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::saved::{Pods, SavedPlan};

use crate::args::{Api, ApplyOptions, Consent, UndoOptions};
use crate::commands::apply::mark_applied;
use crate::commands::carry_out::{Batches, Finished, Job};
use crate::commands::pods;
use crate::error::{CommandError, Exit};
use crate::session::{Identity, Session, Target, View, block_on};
use crate::state::{Guard, State};
use crate::ui::Ui;

/// A saved plan with what it is used with.
struct Opened {
    saved: SavedPlan,
    site: Site,
    state: State,
    guard: Guard,
    target: Target,
    /// What the lock file says now.
    current: Allocations,
}

impl Opened {
    fn new(
        path: &Path,
        by: &str,
        site_file: Option<&Path>,
        lock: Option<&PathBuf>,
        api: &Api,
        consent: &Consent,
    ) -> Result<Opened, CommandError> {
        let saved = SavedPlan::read(path)?;
        // Relative paths of the site file are from the plan's folder on, or from the site file's where it is named.
        let beside = site_file.unwrap_or(path);
        let folder = beside.parent().map(Path::to_path_buf).unwrap_or_default();
        let source = Source::new("site.toml", saved.site_file.as_str());
        let site = parse::site(&source, SourceId(0), &mut Diagnostics::default());
        let site = site
            .ok_or_else(|| CommandError::Usage("the plan's site file is damaged: plan again".to_owned()))?;
        let state = State::of(Some(&site), &folder, lock)?;
        let guard = state.acquire(&saved.tenants, by, consent.patience())?;
        let current = state.known()?.allocations(&mut Diagnostics::default()).ok_or_else(|| {
            CommandError::Conflict("the lock file can't be read: `midoform lock` says why".to_owned())
        })?;
        let target = match (&api.api, &saved.url) {
            (Some(url), _) | (None, Some(url)) => Target::Url(url.clone(), Identity::OfTheLogin),
            (None, None) => {
                let beside = match state.lock_file() {
                    None => folder.join(".midoform"),
                    Some(file) => file.path().with_file_name(".midoform"),
                };
                Target::Embedded { folder: api.state_dir.clone().unwrap_or(beside), hosts: Vec::new() }
            }
        };
        Ok(Opened { saved, site, state, guard, target, current })
    }

    /// Where an observation looks, knowing these ids.
    fn view<'a>(&'a self, known: &'a Allocations) -> View<'a> {
        View {
            site: &self.saved.plan.site,
            dialect: self.saved.dialect(),
            desired: &self.saved.desired,
            known,
            tenants: &self.saved.tenants,
            provider: &self.saved.provider,
            moves: &self.saved.moves,
        }
    }
}

/// Applies exactly the plan in a file.
pub(crate) fn apply(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    let (path, site_file, lock) =
        (&options.spec.path, options.spec.site.as_deref(), options.spec.lock.as_ref());
    let opened = Opened::new(path, "midoform apply", site_file, lock, &options.api, &options.consent)?;
    let saved = &opened.saved;
    let own = |all: &Allocations| all.of_tenants(&saved.tenants);
    if own(&opened.current) != own(&saved.allocated_before) {
        let shown = opened.state.shown();
        let message = format!("{shown} is not what it was when the plan was made: plan again");
        return Err(CommandError::Conflict(message));
    }
    let mut allocations = saved.allocated_after.clone();
    let finished = block_on(async {
        let session = Session::open(opened.target.clone(), saved.dialect(), &options.api).await?;
        let result = async {
            let view = opened.view(&allocations);
            let observed = session.observe(ui, view.scope()).await?;
            if observed.fingerprint() != saved.plan.base {
                let message = "the network has moved since the plan was made: plan again".to_owned();
                return Err(CommandError::Conflict(message));
            }
            let job = Job {
                ui,
                session: &session,
                consent: &options.consent,
                view,
                goal: &saved.desired,
                observed: &observed,
                plan: &saved.plan,
                expect: options.expect.as_deref(),
                batches: options
                    .batch
                    .map(|tenants| Batches { tenants, pause_on_drift: options.pause_on_drift }),
            };
            let Some(agreed) = job.agreed()? else { return Ok(None) };
            let mut before = allocations.clone();
            midonet::note_what_is_made(&mut before, &saved.plan, &saved.desired);
            opened.state.write(&opened.guard, &opened.site, &before).await?;
            let again = |observed: &Observed| {
                midonet::plan(&saved.plan.site, saved.dialect(), &saved.desired, observed)
            };
            job.carry_out(agreed, &again).await.map(Some)
        };
        let result = result.await;
        session.close().await;
        result
    })?;
    let Some(finished) = finished else { return Ok(Exit::Done) };
    mark_applied(&mut allocations, &saved.plan.site, &saved.tenants, &saved.desired, &finished);
    block_on(async {
        opened.state.write(&opened.guard, &opened.site, &allocations).await?;
        match &saved.pods {
            Some(found) if finished.is_whole() => pods::let_in(&opened.guard, &found.after).await,
            _ => Ok(()),
        }
    })?;
    finished.exit(ui, &options.consent, &saved.plan)
}

/// Takes back what a plan did: the network becomes what it was before.
pub(crate) fn undo(ui: &Ui, options: &UndoOptions) -> Result<Exit, CommandError> {
    // Whoever undoes a plan means all of it.
    let consent = Consent { allow_mass_delete: true, ..options.consent.clone() };
    let (path, lock) = (&options.plan, options.lock.as_ref());
    let opened = Opened::new(path, "midoform undo", options.site.as_deref(), lock, &options.api, &consent)?;
    let saved = &opened.saved;
    let (site, dialect) = (&saved.plan.site, saved.dialect());
    let done = block_on(async {
        let session = Session::open(opened.target.clone(), dialect, &options.api).await?;
        let result = async {
            let view = opened.view(&opened.current);
            let observed = session.observe(ui, view.scope()).await?;
            let moved = midonet::plan(site, dialect, &saved.desired, &observed).summary().changes();
            if moved > 0 && !options.force {
                let message = format!(
                    "the network is not what this plan left: {moved} objects differ, which undoing it would overwrite; \
                     --force does so"
                );
                return Err(CommandError::Conflict(message));
            }
            let back = |observed: &Observed| midonet::plan(site, dialect, &saved.before, observed);
            let plan = back(&observed);
            let job = Job {
                ui,
                session: &session,
                consent: &consent,
                view,
                goal: &saved.before,
                observed: &observed,
                plan: &plan,
                expect: None,
                batches: None,
            };
            let Some(agreed) = job.agreed()? else { return Ok(None) };
            if let Some(found) = &saved.pods {
                opened.guard.retire(&made_by(found), options.force).await?;
            }
            Ok(Some((job.carry_out(agreed, &back).await?, plan)))
        };
        let result = result.await;
        session.close().await;
        result
    })?;
    let Some((finished, plan)) = done else { return Ok(Exit::Done) };
    if finished.is_whole() {
        let mut allocations = opened.current.clone();
        restore(&mut allocations, &saved.allocated_before, saved, &finished);
        block_on(async {
            opened.state.write(&opened.guard, &opened.site, &allocations).await?;
            match &saved.pods {
                Some(found) => pods::let_in(&opened.guard, &found.before).await,
                None => Ok(()),
            }
        })?;
    }
    finished.exit(ui, &consent, &plan)
}

/// The tenants that weren't ready for pods before the plan, and go.
fn made_by(found: &Pods) -> BTreeSet<String> {
    let before = |tenant: &String| found.before.tenants.get(tenant).is_some_and(|one| one.ready.is_some());
    found.after.tenants.keys().filter(|tenant| !before(tenant)).cloned().collect()
}

/// The plan's tenants get back what they had; the others keep what they have now.
fn restore(now: &mut Allocations, before: &Allocations, saved: &SavedPlan, finished: &Finished) {
    for tenant in &saved.tenants {
        match before.tenants.get(tenant) {
            None => drop(now.tenants.remove(tenant)),
            Some(entry) => drop(now.tenants.insert(tenant.clone(), entry.clone())),
        }
    }
    mark_applied(now, &saved.plan.site, &saved.tenants, &saved.before, finished);
    for (tenant, entry) in &before.tenants {
        if let (true, Some(known)) = (saved.tenants.contains(tenant), now.tenants.get_mut(tenant)) {
            known.applied = entry.applied;
        }
    }
    now.peers.retain(|pair, _| {
        before.peers.contains_key(pair) || !pair.split('/').any(|name| saved.tenants.contains(name))
    });
    now.peers.extend(before.peers.iter().map(|(pair, link)| (pair.clone(), *link)));
}
