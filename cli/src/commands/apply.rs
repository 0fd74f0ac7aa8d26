//! `midoform apply`.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use midoform_compiler::midonet;
use midoform_compiler::network::allocation::{Allocations, TenantAllocation};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::view::{KeyView, PortKey, TenantKey};
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::observed::Observed;

use crate::args::{ApplyOptions, Select};
use crate::commands::carry_out::{Batches, Finished, Job};
use crate::commands::destroy::{attached, refuse_protected};
use crate::commands::plan::Work;
use crate::commands::{pods, saved};
use crate::error::{CommandError, Exit};
use crate::project::{Project, Reach};
use crate::projects::{self, Missing};
use crate::report;
use crate::session::{Session, Target, block_on};
use crate::state::Guard;
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    if is_saved_plan(&options.spec.path) {
        if !options.policy.files.is_empty() {
            let message =
                "--policy: a saved plan was held against policies when it was made: name them there";
            return Err(CommandError::Usage(message.to_owned()));
        }
        return saved::apply(ui, options);
    }
    let load = || Project::load_under(&options.spec, &options.policy, Reach::Everything);
    let mut project = load()?;
    let guard = match options.consent.dry_run {
        true => None,
        false => Some(project.acquire("midoform apply", options.consent.patience(), |_| options.prune)?),
    };
    if guard.is_some() {
        // Read again under the guard: another apply may have written since.
        project = load()?;
    }
    let missing = Missing::under(guard.as_ref(), options.consent.yes);
    let (project, _) = projects::look_up(ui, project, &options.api.login, &options.select, &missing)?;
    let (compiled, project) = project.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project);
    let target = Target::of(&compiled.site, &options.api, project.root());
    let mut work = Work::new(&compiled, &options.select)?;
    let abandoned = if options.prune { Work::abandoned(&compiled) } else { BTreeSet::new() };
    refuse_protected(&compiled, &abandoned)?;
    work.tenants.extend(abandoned.iter().cloned());
    let applied =
        Applied { ui, options, work: &work, project: &project, guard: guard.as_ref(), abandoned: &abandoned };
    block_on(async {
        let session = Session::open(target, compiled.dialect(), &options.api).await?;
        let result = applied.carry_out(&session).await;
        session.close().await;
        result
    })
}

/// An apply whose spec was read.
struct Applied<'a> {
    ui: &'a Ui,
    options: &'a ApplyOptions,
    work: &'a Work<'a>,
    project: &'a Project,
    guard: Option<&'a Guard>,
    /// The tenants that go because their file is gone.
    abandoned: &'a BTreeSet<String>,
}

impl Applied<'_> {
    /// Observes, plans, and does what somebody agreed to.
    async fn carry_out(&self, session: &Session) -> Result<Exit, CommandError> {
        let Applied { ui, options, work, .. } = *self;
        let observed = session.observe(ui, work.view(&work.desired).scope()).await?;
        refuse_attached(&observed, self.abandoned)?;
        let plan = work.plan(&observed);
        let job = Job {
            ui,
            session,
            consent: &options.consent,
            view: work.view(&work.desired),
            goal: &work.desired,
            observed: &observed,
            plan: &plan,
            expect: options.expect.as_deref(),
            batches: options.batch.map(|tenants| Batches { tenants, pause_on_drift: options.pause_on_drift }),
        };
        let Some(agreed) = job.agreed()? else { return Ok(Exit::Done) };
        let guard = self.guard.ok_or_else(|| CommandError::Internal("no lock is held".to_owned()))?;
        let (state, site) = (&self.project.state, &work.compiled.site);
        let mut allocations = work.compiled.allocations.clone();
        midonet::note_what_is_made(&mut allocations, &plan, &work.desired);
        state.write(guard, site, &allocations).await?;
        if state.is_store() {
            guard.retire(self.abandoned, false).await?;
        }
        let finished = job.carry_out(agreed, &|observed| work.plan(observed)).await?;
        record(&mut allocations, work, &finished);
        if finished.is_whole() {
            give_back(&mut allocations, self.abandoned);
        }
        state.write(guard, site, &allocations).await?;
        if state.is_store() && finished.is_whole() {
            pods::let_in(
                guard,
                &pods::publication(self.project, work.compiled, &work.tenants, &finished.ids),
            )
            .await?;
            pods::forget(guard, self.abandoned).await?;
        }
        finished.exit(ui, &options.consent, &plan)
    }
}

/// What is attached to a tenant that goes because its file is gone would be cut off.
fn refuse_attached(observed: &Observed, gone: &BTreeSet<String>) -> Result<(), CommandError> {
    let Some(attached) = attached(observed, |tenant| gone.contains(tenant)) else { return Ok(()) };
    let message = format!(
        "still attached: {attached}; `midoform destroy --target TENANT --force` takes down a tenant all the same"
    );
    Err(CommandError::Conflict(message))
}

/// Gives back what tenants were given that are no longer there.
pub(crate) fn give_back(allocations: &mut Allocations, gone: &BTreeSet<String>) {
    allocations.tenants.retain(|name, _| !gone.contains(name));
    allocations.peers.retain(|pair, _| !pair.split('/').any(|name| gone.contains(name)));
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

/// Writes down what was applied: that it was, which static ports there are, and the ids of the server's
/// choosing.
fn record(allocations: &mut Allocations, work: &Work<'_>, finished: &Finished) {
    mark_applied(allocations, &work.compiled.site.name.value, &work.tenants, &work.desired, finished);
    for tenant in &work.compiled.tenants {
        if let (true, Some(entry)) =
            (work.tenants.contains(&*tenant.name), allocations.tenants.get_mut(&*tenant.name))
        {
            entry.protect = tenant.protect;
        }
    }
}

pub(crate) fn mark_applied(
    allocations: &mut Allocations,
    site: &str,
    tenants: &BTreeSet<String>,
    desired: &Topology,
    finished: &Finished,
) {
    // An id that follows from the key needs no remembering.
    let namespace = Namespace::of_site(site);
    let chosen = finished.ids.iter().filter(|(key, id)| namespace.other_id(key) != **id);
    for tenant in tenants {
        if let Some(entry) = allocations.tenants.get_mut(tenant) {
            entry.applied = true;
            if finished.is_whole() {
                entry.making.clear();
            }
            entry.ports.clear();
            entry.ids.clear();
        }
    }
    fn entry_of<'a>(
        allocations: &'a mut Allocations,
        tenants: &BTreeSet<String>,
        key: &Key,
    ) -> Option<&'a mut TenantAllocation> {
        allocations.tenants.get_mut(key.owner()).filter(|_| tenants.contains(key.owner()))
    }
    for entry in desired.entries() {
        if let KeyView::Tenant(_, TenantKey::Port(name, PortKey::Device)) = entry.key.view()
            && let Some(known) = entry_of(allocations, tenants, &entry.key)
        {
            known.ports.push(name.to_owned());
        }
    }
    for (key, id) in chosen {
        if let Some(known) = entry_of(allocations, tenants, key) {
            known.ids.insert(key.clone(), *id);
        }
    }
}

/// No choice: everything.
pub(crate) fn everything() -> Select {
    Select { target: Vec::new(), exclude: Vec::new() }
}
