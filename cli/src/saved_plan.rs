//! A saved plan with its site and its allocations: applied exactly, or used to undo what it did.

use std::io::Read;
use std::path::{Path, PathBuf};

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::lock_file;
use midoform_compiler::plan::diff;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{Site, parse};
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::saved::SavedPlan;

use crate::allocation_state::{AllocationState, Guard};
use crate::applied_state::mark_applied;
use crate::args::{Api, ApplyOptions};
use crate::error::{CommandError, Exit};
use crate::execution::{Batches, Finished, Job};
use crate::publication;
use crate::session::{Identity, Session, Target, View};
use crate::ui::Ui;

/// A saved plan with what it is used with.
pub(crate) struct Opened {
    pub(crate) saved: SavedPlan,
    pub(crate) site: Site,
    pub(crate) state: AllocationState,
    pub(crate) target: Target,
}

impl Opened {
    pub(crate) fn read(
        path: &Path,
        site_file: Option<&Path>,
        lock: Option<&PathBuf>,
        api: &Api,
    ) -> Result<Opened, CommandError> {
        let saved = SavedPlan::read(path)?;
        // Relative paths of the site file are from the plan's folder on, or from the site file's where it is named.
        let beside = site_file.unwrap_or(path);
        let folder = beside.parent().map(Path::to_path_buf).unwrap_or_default();
        let source = Source::new("site.toml", saved.site_file.as_str());
        let site = parse::site(&source, SourceId(0), &mut Diagnostics::default());
        let site = site
            .ok_or_else(|| CommandError::Usage("the plan's site file is damaged: plan again".to_owned()))?;
        let state = AllocationState::of(Some(&site), &folder, lock)?;
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
        Ok(Opened { saved, site, state, target })
    }

    /// Returns the allocations as they are now.
    pub(crate) async fn current(&self) -> Result<Allocations, CommandError> {
        match self.state.source().await? {
            Some(source) => parse_lock(source.text()),
            None => Ok(Allocations::default()),
        }
    }

    /// Returns what an observation looks for, knowing these ids.
    pub(crate) fn view<'a>(&'a self, known: &'a Allocations) -> View<'a> {
        View {
            site: &self.saved.plan.site,
            dialect: self.saved.plan.dialect,
            desired: &self.saved.desired,
            known,
            tenants: &self.saved.tenants,
            provider: &self.saved.provider,
            moves: &self.saved.moves,
        }
    }
}

/// Applies exactly the plan in a file.
pub(crate) async fn apply(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    let (path, site_file, lock) =
        (&options.spec.path, options.spec.site.as_deref(), options.spec.lock.as_ref());
    let opened = Opened::read(path, site_file, lock, &options.api)?;
    let locked = async |guard: &Guard| apply_locked(ui, options, &opened, guard).await;
    let patience = options.consent.patience();
    opened.state.with_lock(&opened.saved.tenants, "midoform apply", patience, locked).await
}

async fn apply_locked(
    ui: &Ui,
    options: &ApplyOptions,
    opened: &Opened,
    guard: &Guard,
) -> Result<Exit, CommandError> {
    let saved = &opened.saved;
    let before = parse_lock(&saved.lock_before)?;
    let own = |all: &Allocations| lock_file::to_toml(&all.of_tenants(&saved.tenants));
    if own(&opened.current().await?) != own(&before) {
        let shown = opened.state.shown();
        let message = format!("{shown} is not what it was when the plan was made: plan again");
        return Err(CommandError::Conflict(message));
    }
    let mut allocations = parse_lock(&saved.lock_after)?;
    let finished = Session::with(opened.target.clone(), saved.plan.dialect, &options.api, async |session| {
        carry_out(ui, options, opened, guard, &allocations, session).await
    });
    let Some(finished) = finished.await? else { return Ok(Exit::Done) };
    mark_applied(&mut allocations, &saved.plan.site, &saved.tenants, &saved.desired, &finished);
    opened.state.write(guard, &opened.site, &allocations).await?;
    if let (Some(pods), true) = (&saved.pods, finished.is_whole()) {
        publication::let_in(guard, &pods.after).await?;
    }
    finished.exit(ui, &options.consent, &saved.plan)
}

/// Executes the plan if the network is what it was when the plan was made, and somebody agrees.
async fn carry_out(
    ui: &Ui,
    options: &ApplyOptions,
    opened: &Opened,
    guard: &Guard,
    allocations: &Allocations,
    session: &Session,
) -> Result<Option<Finished>, CommandError> {
    let saved = &opened.saved;
    let view = opened.view(allocations);
    let observed = session.observe(ui, view.scope()).await?;
    if observed.fingerprint() != saved.plan.base {
        let message = "the network has moved since the plan was made: plan again".to_owned();
        return Err(CommandError::Conflict(message));
    }
    let job = Job {
        ui,
        session,
        consent: &options.consent,
        view,
        goal: &saved.desired,
        observed: &observed,
        plan: &saved.plan,
        expect: options.expect.as_deref(),
        batches: options.batch.map(|tenants| Batches { tenants, pause_on_drift: options.pause_on_drift }),
    };
    let Some(agreed) = job.agreed().await? else { return Ok(None) };
    let mut before = allocations.clone();
    before.note_what_is_made(&saved.plan, &saved.desired);
    opened.state.write(guard, &opened.site, &before).await?;
    let again =
        |observed: &Observed| diff::plan(&saved.plan.site, saved.plan.dialect, &saved.desired, observed);
    job.carry_out(agreed, &again).await.map(Some)
}

pub(crate) fn parse_lock(text: &str) -> Result<Allocations, CommandError> {
    let mut diagnostics = Diagnostics::default();
    let source = Source::new("midoform.lock", text);
    let parsed = lock_file::parse(&source, SourceId(0), &mut diagnostics);
    parsed.ok_or_else(|| {
        CommandError::Conflict("the lock file can't be read: `midoform lock` says why".to_owned())
    })
}

/// A saved plan is JSON; a spec is a folder or TOML.
pub(crate) fn is_saved_plan(path: &Path) -> bool {
    let mut first = [0; 1];
    let mut read = || -> std::io::Result<bool> {
        let mut file = std::fs::File::open(path)?;
        Ok(file.metadata()?.is_file() && file.read(&mut first)? == 1 && first == *b"{")
    };
    read().unwrap_or(false)
}
