//! Writes a spec for a tenant that exists already, and binds its ids to the spec's keys: for `midoform adopt` and
//! `midoform import`.
//!
//! It goes through the reconcile loop with a goal that keeps every object ([`Adoption`]): the loop sends reads only, and
//! its recorder binds the ids. The tenant file is written after that: the objects of a spec without their ids would be
//! created a second time. The tenant counts as applied once the file is there.

mod adoption;
mod choose;
mod report;

pub(crate) use choose::{Chosen, adopted, imported};

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use midoform_adopt::Survey;
use midoform_compiler::Compiled;
use midoform_compiler::topology::key::Key;
use midoform_reconcile::client::Client;
use midoform_reconcile::event::Event;
use midoform_reconcile::execute::Control;
use midoform_reconcile::planned::Planned;
use midoform_reconcile::reconciliation::Options;
use midoform_reconcile::recorder::{Bookkeeping, Extent};
use midoform_store::atomic_file::write_atomically;
use uuid::Uuid;

use crate::allocation_state::Guard;
use crate::args::{Into, Spec};
use crate::drift_report::{Difference, differences_of};
use crate::error::{CommandError, Exit};
use crate::execution::{stopped, watch};
use crate::progress::Progress;
use crate::project::Project;
use crate::report::diagnostics;
use crate::session::{Session, Target};
use crate::ui::Ui;
use adoption::{Adoption, Drafted};
use report::{Adopted, file_text};

/// The differences between the two commands.
pub(crate) struct Manner<'a> {
    /// The command, for those who wait for its lock.
    pub(crate) command: &'static str,
    pub(crate) into: &'a Into,
    pub(crate) out: Option<&'a PathBuf>,
    /// True to bind the ids, false to write the spec only.
    pub(crate) bind: bool,
    /// True to write nothing when the next apply would change something.
    pub(crate) strict: bool,
    /// True to end with an exit code of its own when the next apply would change something.
    pub(crate) pending: bool,
}

/// Chooses a router of the network.
pub(crate) type Choose<'a> = dyn Fn(&Survey) -> Result<Chosen, CommandError> + 'a;

/// Takes over the tenant of a chosen router.
pub(crate) async fn take_over(
    ui: &Ui,
    manner: &Manner<'_>,
    choose: &Choose<'_>,
) -> Result<Exit, CommandError> {
    let into = manner.into;
    let spec = Spec {
        path: into.folder.clone(),
        site: into.site.clone(),
        lock: into.lock.clone(),
        api_version: into.api_version.clone(),
        engine: None,
        locked: false,
    };
    let (before, project) = Project::load_any(&spec).await?.compile(&spec)?;
    let target = Target::of(&before.site, &into.api, &project.sources.root)?;
    Session::with(target, before.engine(), &into.api, async |session| {
        let (survey, chosen) = survey(ui, session, (choose, !manner.strict)).await?;
        let path = path_of(manner, &chosen.tenant);
        refuse_known(&before, &chosen.tenant, &path, into.dry_run)?;
        let drafted = Drafted::of(&survey, chosen, &before, path)?;
        let takeover = Takeover { ui, manner, spec: &spec, session, drafted: &drafted };
        if into.dry_run || !manner.bind {
            return takeover.run(None).await;
        }
        let tenants = [drafted.chosen.tenant.as_str().into()].into();
        let patience = Duration::from_secs(into.lock_timeout);
        let locked = async |guard: &Guard| takeover.run(Some(guard)).await;
        project.state.with_lock(&tenants, manner.command, patience, locked).await
    })
    .await
}

fn path_of(manner: &Manner<'_>, tenant: &str) -> PathBuf {
    manner.out.cloned().unwrap_or_else(|| manner.into.folder.join(format!("{tenant}.toml")))
}

/// Reads the network, lets a router be chosen, and reads its surroundings. Chains of somebody else's hands may be used by others: to
/// know it, all chains are read (the second part of `choice`). The Go plugin's are its own.
async fn survey(
    ui: &Ui,
    session: &Session,
    choice: (&Choose<'_>, bool),
) -> Result<(Survey, Chosen), CommandError> {
    let progress = Progress::reading(ui);
    let surveyed = survey_of(session.midonet()?, choice, &|event| progress.event(&event)).await;
    progress.finish();
    surveyed
}

async fn survey_of(
    client: &Client,
    (choose, all_chains): (&Choose<'_>, bool),
    events: &(dyn Fn(Event) + Sync),
) -> Result<(Survey, Chosen), CommandError> {
    let dialect = client.dialect();
    let mut survey = Survey::read(client, dialect, events).await?;
    let chosen = choose(&survey)?;
    survey.read_around(client, dialect, (chosen.router, all_chains), events).await?;
    Ok((survey, chosen))
}

fn refuse_known(before: &Compiled, tenant: &str, path: &Path, dry_run: bool) -> Result<(), CommandError> {
    if before.tenants.iter().any(|known| *known.name == *tenant) {
        let message = format!("`{tenant}` has a spec already: `midoform plan` compares it with the network");
        return Err(CommandError::Conflict(message));
    }
    if path.exists() && !dry_run {
        let message = format!("{} exists already: name another file with --out", path.display());
        return Err(CommandError::Conflict(message));
    }
    Ok(())
}

/// A takeover whose spec is drafted.
struct Takeover<'a> {
    ui: &'a Ui,
    manner: &'a Manner<'a>,
    spec: &'a Spec,
    session: &'a Session,
    drafted: &'a Drafted,
}

impl Takeover<'_> {
    /// Compares the draft with the network, binds the ids, and writes the spec. Without a lock it binds nothing.
    async fn run(&self, guard: Option<&Guard>) -> Result<Exit, CommandError> {
        let Takeover { ui, manner, drafted, .. } = *self;
        let (tenant, path) = (&drafted.chosen.tenant, &drafted.path);
        // Read again under the lock: another run may have written since.
        let (before, mut project) = Project::load_any(self.spec).await?.compile(self.spec)?;
        refuse_known(&before, tenant, path, manner.into.dry_run)?;
        project.sources.add_tenant(path, &drafted.draft.spec);
        let (compiled, project) = project.compile(self.spec)?;
        diagnostics(ui, &compiled.warnings, &project.sources);
        let goal = Adoption::of(&compiled, drafted);
        let planned = self.session.look(ui, &goal, goal.known()).await?;
        let differences = differences_of(&goal.next_plan(planned.observed()), &planned.observed().topology);
        let observed = goal.own_of(planned.observed());
        let own = observed.ids.iter().filter(|(key, _)| key.owner() == tenant);
        let ids: BTreeMap<Key, Uuid> = own.map(|(key, id)| (key.clone(), *id)).collect();
        let text = file_text(drafted, &observed, manner.bind);
        let is_refused = manner.strict && !differences.is_empty();
        let is_written = !manner.into.dry_run && !is_refused;
        if is_written {
            match guard {
                Some(guard) => self.bind(guard, &compiled, &goal, planned, &text).await?,
                None => write_spec(path, &text)?,
            }
        }
        let shown = project.state.shown();
        let adopted = Adopted {
            drafted,
            observed: &observed,
            differences: &differences,
            ids: &ids,
            text: &text,
            is_written,
            store: manner.bind.then_some(&shown),
        };
        adopted.report(ui, manner.into.json)?;
        if is_refused {
            return Err(refusal(tenant, &differences));
        }
        let is_pending = manner.pending && !differences.is_empty();
        Ok(if is_pending { Exit::ChangesPending } else { Exit::Done })
    }

    /// Lets the loop record the ids, writes the tenant file, and records that the tenant is applied.
    async fn bind(
        &self,
        guard: &Guard,
        compiled: &Compiled,
        goal: &Adoption<'_>,
        planned: Planned<'_, Adoption<'_>>,
        text: &str,
    ) -> Result<(), CommandError> {
        guard.begin();
        let books = Bookkeeping::of(goal.tenants().clone(), Extent::Whole);
        let mut recorder = guard.recorder(&compiled.site, goal.known().clone(), books).await?;
        let control = Control::default();
        let watching = watch(&control, None);
        let options = Options {
            parallel: 1,
            batches: None,
            takes_back: false,
            looks_again: false,
            conflicts_pass: false,
            events: &|_| {},
        };
        let finished = planned.execute(&self.session.connection, &mut recorder, &control, options).await;
        watching.abort();
        let finished = finished?;
        if let Some(error) = finished.record_error {
            return Err(error.into());
        }
        if let Some(stop) = finished.stopped.or(control.reason()) {
            return Err(stopped(stop, "no tenant file was written; run it again"));
        }
        write_spec(&self.drafted.path, text)?;
        let specs = compiled.tenants.iter().filter(|spec| goal.tenants().contains(&*spec.name));
        recorder.mark_applied(&specs.map(|spec| (spec.name.clone(), spec.protect)).collect()).await?;
        Ok(())
    }
}

/// Writes a tenant file, and the folders above it.
fn write_spec(path: &Path, text: &str) -> Result<(), CommandError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| CommandError::file(folder, error))?;
    }
    let written = write_atomically(path, |file| file.write_all(text.as_bytes()));
    written.map_err(|error| CommandError::file(path, error))
}

fn refusal(tenant: &str, differences: &[Difference]) -> CommandError {
    CommandError::Conflict(format!(
        "`{tenant}` differs from its spec, and nothing was written: the next apply would change {} objects; --force \
         adopts it anyway",
        differences.len()
    ))
}
