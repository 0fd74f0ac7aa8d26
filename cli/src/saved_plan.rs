//! A saved plan with its site and its allocations, to be applied exactly, or to be undone.

use std::io::Read;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{Site, parse};
use midoform_reconcile::goal::Goal as _;
use midoform_reconcile::recorder::{Bookkeeping, Publish};
use midoform_reconcile::saved::SavedPlan;
use midoform_store::input_file;

use crate::allocation_state::{AllocationState, Guard};
use crate::args::{Api, ApplyOptions};
use crate::cut_pods::KnownPods;
use crate::error::{CommandError, Exit};
use crate::execution::Run;
use crate::goals::EndOfPlan;
use crate::provider_conflicts;
use crate::session::{Identity, Session, Target};
use crate::ui::Ui;

/// The number of bytes in which a saved plan begins, after white space.
const BEGINNING: u64 = 4096;

/// A saved plan with its site, its allocations and its API.
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
        if saved.url.is_some() && api.state_dir.is_some() {
            let message = "--state-dir: the plan is for the API at a URL, not for the embedded one";
            return Err(CommandError::Usage(message.to_owned()));
        }
        let is_other = |url: &String| {
            saved.url.as_ref().is_none_or(|own| own.trim_end_matches('/') != url.trim_end_matches('/'))
        };
        if let Some(url) = api.api.as_ref().filter(|url| is_other(url)) {
            let own = saved.url.as_deref().unwrap_or("the embedded API");
            let message = format!("--api {url}: the plan is for {own}, and a saved plan is applied as it is");
            return Err(CommandError::Usage(message));
        }
        // Relative paths of the site file start at the plan's folder, or at the named site file's.
        let folder = folder_of(path, site_file)?;
        let source = Source::new("site.toml", saved.site_file.as_str());
        let site = parse::site(&source, SourceId(0), &mut Diagnostics::default());
        let site = site.ok_or_else(|| {
            CommandError::Usage("the site file in the plan is damaged: plan again".to_owned())
        })?;
        let state = AllocationState::of(Some(&site), &folder, lock)?;
        let target = match (&api.api, &saved.url) {
            (Some(url), _) | (None, Some(url)) => {
                Target::at(url, &site, saved.plan.engine, Identity::OfTheLogin, api, &folder)?
            }
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
        let known = self.state.known().await?.allocations(&mut Diagnostics::default());
        known.ok_or_else(|| {
            CommandError::Conflict("the lock file can't be read: `midoform lock` shows the reason".to_owned())
        })
    }
}

/// Applies the plan in a file, exactly as it is.
pub(crate) async fn apply(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    refuse_what_is_decided(options)?;
    let (path, site_file, lock) =
        (&options.spec.path, options.spec.site.as_deref(), options.spec.lock.as_ref());
    let opened = Opened::read(path, site_file, lock, &options.api)?;
    let locked = async |guard: &Guard| apply_locked(ui, options, &opened, guard).await;
    let patience = options.consent.patience();
    opened.state.with_lock(&opened.saved.tenants, "midoform apply", patience, locked).await
}

/// Refuses the options that decided about the plan when it was made.
fn refuse_what_is_decided(options: &ApplyOptions) -> Result<(), CommandError> {
    let ApplyOptions { spec, policy, select, .. } = options;
    let decided = [
        ("--target", !select.target.is_empty()),
        ("--exclude", !select.exclude.is_empty()),
        ("--locked", spec.locked),
        ("--api-version", spec.api_version.is_some()),
        ("--engine", spec.engine.is_some()),
        ("--remove-foreign", options.remove_foreign),
        ("--move-links", options.move_links),
    ];
    let named = decided.into_iter().filter(|(_, is_named)| *is_named).map(|(option, _)| option).next();
    let message = match named {
        _ if !policy.files.is_empty() => {
            "--policy: a saved plan was checked against policies when it was made: use --policy with `plan`".to_owned()
        }
        Some(option) => format!("{option}: a saved plan is applied as it is: use {option} with `plan`"),
        None if options.prune => {
            "--prune: a saved plan is applied as it is, and no saved plan deletes whole tenants: use --prune with the spec"
                .to_owned()
        }
        None => return Ok(()),
    };
    Err(CommandError::Usage(message))
}

async fn apply_locked(
    ui: &Ui,
    options: &ApplyOptions,
    opened: &Opened,
    guard: &Guard,
) -> Result<Exit, CommandError> {
    let saved = &opened.saved;
    if opened.current().await?.of_tenants(&saved.tenants) != saved.allocated_before.of_tenants(&saved.tenants)
    {
        let shown = opened.state.shown();
        let message = format!("{shown} has changed since the plan was made: plan again");
        return Err(CommandError::Conflict(message));
    }
    Session::with(opened.target.clone(), saved.plan.engine, &options.api, async |session| {
        let run = Run {
            ui,
            session,
            consent: &options.consent,
            expect: options.expect.as_deref(),
            saved_sha256: Some(&opened.saved.sha256),
            pods: KnownPods::of(&opened.state),
            cuts_pods: options.cut_pods,
            batches: options.batches(),
        };
        reconcile(run, opened, guard).await
    })
    .await
}

/// Executes the plan if the network has not changed since it was made, and somebody agrees.
async fn reconcile(run: Run<'_>, opened: &Opened, guard: &Guard) -> Result<Exit, CommandError> {
    let saved = &opened.saved;
    let goal = EndOfPlan::after(saved);
    let planned = run.session.look(run.ui, &goal, &saved.allocated_after).await?;
    let Some(planned) = planned.as_reviewed(saved.plan.clone())? else {
        let message = "the network has changed since the plan was made: plan again".to_owned();
        return Err(CommandError::Conflict(message));
    };
    provider_conflicts::refuse(goal.desired(), planned.observed(), &saved.provider, &opened.site)?;
    if !run.agreed(&planned).await? {
        return Ok(Exit::Done);
    }
    let was_protected =
        |tenant: &TenantName| saved.allocated_after.tenants.get(tenant).is_some_and(|entry| entry.protect);
    let applied = saved.tenants.iter().map(|tenant| (tenant.clone(), was_protected(tenant)));
    let publish = saved.pods.as_ref().map(|pods| -> Box<Publish<'_>> { Box::new(|_| pods.after.clone()) });
    let books = Bookkeeping {
        applied: applied.collect(),
        publish,
        ..Bookkeeping::of(saved.tenants.clone(), saved.extent.clone())
    };
    let mut recorder = guard.recorder(&opened.site, saved.allocated_after.clone(), books).await?;
    let finished = run.execute(planned, guard, &mut recorder).await?;
    run.conclude(&saved.plan.site, finished).await
}

/// Returns true for a file or a pipe with a saved plan, which is JSON; a spec is a folder or TOML.
pub(crate) fn is_saved_plan(path: &Path) -> bool {
    let read = || -> std::io::Result<bool> {
        let found = std::fs::metadata(path)?.file_type();
        if !found.is_file() && !found.is_fifo() {
            return Ok(false);
        }
        let mut beginning = Vec::new();
        input_file::open(path)?.take(BEGINNING).read_to_end(&mut beginning)?;
        let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&beginning);
        Ok(text.trim_ascii_start().starts_with(b"{"))
    };
    read().unwrap_or(false)
}

/// Returns the folder that relative paths start at: that of the named site file, or else that of the plan. A plan that comes from a
/// pipe has none: there they start at the current folder.
fn folder_of(path: &Path, site_file: Option<&Path>) -> Result<PathBuf, CommandError> {
    let parent = |path: &Path| path.parent().map(Path::to_path_buf).unwrap_or_default();
    if let Some(site_file) = site_file {
        return match std::fs::metadata(site_file) {
            Ok(found) if found.is_dir() => Err(CommandError::Usage(format!(
                "--site {}: this is a folder; name the site file in it",
                site_file.display()
            ))),
            Ok(_) => Ok(parent(site_file)),
            Err(error) => Err(CommandError::file(site_file, error)),
        };
    }
    let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    Ok(match path.starts_with("/dev") || path.starts_with("/proc") {
        _ if !is_file => PathBuf::new(),
        // Standard input may be a file.
        true => path.canonicalize().map(|file| parent(&file)).unwrap_or_default(),
        false => parent(path),
    })
}
