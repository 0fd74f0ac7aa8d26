//! `midoform destroy`: deletes tenants from the network.

use std::collections::BTreeSet;
use std::path::Path;

use midoform_compiler::Compiled;
use midoform_compiler::names::TenantName;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::keystone::Keystone;
use midoform_reconcile::recorder::{Bookkeeping, Extent, Publish, Recorder};
use midoform_store::publication::Publication;

use crate::allocation_state::Guard;
use crate::args::{Consent, DestroyOptions};
use crate::attached::refuse_protected;
use crate::cut_pods::KnownPods;
use crate::error::{CommandError, Exit};
use crate::execution::Run;
use crate::goals::Nothing;
use crate::keystone_projects;
use crate::project::Project;
use crate::selection::{Selection, everything};
use crate::session::{Identity, Session, Target, logins};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: DestroyOptions) -> Result<Exit, CommandError> {
    let options = &options.normalised();
    if options.site_objects && !options.target.is_empty() {
        let message = "--site: the site's objects serve every tenant; leave out --target";
        return Err(CommandError::Usage(message.to_owned()));
    }
    let project = Project::load_to_destroy(&options.spec).await?;
    // A destroy deletes everything on purpose: the share of deleted objects does not matter.
    // Addresses are released only if a second look finds that nothing is left.
    let consent = Consent { allow_mass_delete: true, verify: true, ..options.consent.clone() };
    let is_target = |name: &str| options.target.iter().any(|target| target == name);
    let locked = async |guard: &Guard| destroy(ui, options, &consent, guard).await;
    project.with_lock("midoform destroy", consent.patience(), is_target, locked).await
}

async fn destroy(
    ui: &Ui,
    options: &DestroyOptions,
    consent: &Consent,
    guard: &Guard,
) -> Result<Exit, CommandError> {
    let project = Project::load_to_destroy(&options.spec).await?;
    let (compiled, project) = project.compile_to_destroy(ui, &options.spec)?;
    let mut selection = Selection::new(&compiled, &everything())?;
    if compiled.tenants.is_empty() {
        // Of wrong specs, only the names are known.
        selection.select_tenants(compiled.specs.iter().map(|spec| spec.name.value.clone()).collect());
    }
    if !options.target.is_empty() {
        // Tenants without a file are known from their allocations.
        let is_known =
            |target: &str| selection.tenants.contains(target) || compiled.known.tenants.contains_key(target);
        if let Some(unknown) = options.target.iter().find(|target| !is_known(target)) {
            return Err(CommandError::Usage(format!("--target {unknown}: there is no such tenant")));
        }
        selection.select_tenants(options.target.iter().map(|target| target.as_str().into()).collect());
    }
    refuse_protected(&compiled, &selection.tenants)?;
    let target = Target::of(&compiled.site, &options.api, &project.sources.root)?;
    let destroyed = Destroyed { ui, options, consent, selection: &selection, project: &project, guard };
    Session::with(target, compiled.engine(), &options.api, async |session| destroyed.reconcile(session).await)
        .await
}

/// A destroy whose spec was read.
struct Destroyed<'a> {
    ui: &'a Ui,
    options: &'a DestroyOptions,
    consent: &'a Consent,
    selection: &'a Selection<'a>,
    project: &'a Project,
    guard: &'a Guard,
}

impl Destroyed<'_> {
    async fn reconcile(&self, session: &Session) -> Result<Exit, CommandError> {
        let Destroyed { ui, options, consent, selection, guard, .. } = *self;
        let (compiled, tenants) = (selection.compiled, &selection.tenants);
        let goal = Nothing::of(selection, options.force, options.site_objects);
        let run = Run {
            ui,
            session,
            consent,
            expect: None,
            saved_sha256: None,
            pods: KnownPods::of(&self.project.state),
            // What is attached is refused by the goal, without --force.
            cuts_pods: true,
            batches: None,
        };
        let projects = Projects::of(options, compiled, tenants, &self.project.sources.root, guard)?;
        let planned = session.look(ui, &goal, &compiled.known).await?;
        self.refuse_an_empty_network(planned.observed(), session)?;
        self.refuse_a_used_site(planned.observed())?;
        if !run.agreed(&planned).await? {
            return Ok(Exit::Done);
        }
        let known = compiled.known.clone();
        let mut recorder = guard.recorder(&compiled.site, known, self.books()).await?;
        let finished = run.execute(planned, guard, &mut recorder).await?;
        // Allocations are released last, when nothing uses the addresses and the recorded projects are deleted.
        let released = match finished.is_converged() {
            true => release(ui, projects, &mut recorder, tenants).await,
            false => Ok(()),
        };
        // The report comes first: what was deleted is deleted, whatever failed after it.
        let exit = run.conclude(&compiled.site.name.value, finished).await?;
        released.map(|()| exit)
    }

    /// Refuses to release the addresses of tenants that were applied and of which nothing exists: most likely this is another
    /// MidoNet. A destroy that was interrupted may have deleted everything.
    fn refuse_an_empty_network(&self, observed: &Observed, session: &Session) -> Result<(), CommandError> {
        let owners: BTreeSet<&str> =
            observed.topology.entries().iter().map(|entry| entry.key.owner()).collect();
        let is_missing = |tenant: &&TenantName| {
            let known = self.selection.compiled.known.tenants.get(*tenant);
            known.is_some_and(|known| known.applied && !known.unfinished) && !owners.contains(tenant.as_str())
        };
        match self.selection.tenants.iter().find(is_missing).filter(|_| !self.options.force) {
            None => Ok(()),
            Some(tenant) => Err(CommandError::Conflict(format!(
                "tenant `{tenant}` was applied, and nothing of it is at {}: is this the right network? If it was deleted by \
                 hand, --force releases its addresses",
                session.connection.address()
            ))),
        }
    }

    /// Refuses to delete the site's objects while others use them: tenants without a tenant file, ports on the provider router, hosts
    /// in the tunnel zone.
    fn refuse_a_used_site(&self, observed: &Observed) -> Result<(), CommandError> {
        let Destroyed { options, selection, .. } = *self;
        if !options.site_objects || options.force {
            return Ok(());
        }
        let abandoned = Selection::abandoned(selection.compiled);
        let tenants = abandoned.iter().map(|tenant| format!("tenant `{tenant}`, which has no tenant file"));
        let is_managed = matches!(selection.provider, Reference::Key(_));
        let ports = observed.provider.ports.iter().filter(|_| is_managed);
        let ports = ports.map(|port| format!("port {} of the provider router ({})", port.address, port.id));
        let zone = Key::site().tunnel_zone();
        let hosts = observed.foreign.iter().filter(|foreign| foreign.near == zone);
        let hosts = hosts.map(|host| format!("{} in the tunnel zone ({})", host.what, host.id));
        let users: Vec<String> = tenants.chain(ports).chain(hosts).collect();
        match users.is_empty() {
            true => Ok(()),
            false => Err(CommandError::Conflict(format!(
                "the site's objects are still used: {}; --force deletes them anyway",
                users.join(", ")
            ))),
        }
    }

    fn books(&self) -> Bookkeeping<'_> {
        let tenants = &self.selection.tenants;
        let is_store = self.project.state.is_store();
        // There is no publication of deleted tenants.
        let publish: Option<Box<Publish<'_>>> = match is_store {
            true => Some(Box::new(|_| Publication::default())),
            false => None,
        };
        Bookkeeping {
            retired: if is_store { tenants.clone() } else { BTreeSet::new() },
            cuts_pods: self.options.force,
            publish,
            ..Bookkeeping::of(tenants.clone(), Extent::Whole)
        }
    }
}

/// The Keystone projects that midoform created for the tenants, and the way to delete them.
struct Projects {
    made: Vec<(TenantName, String)>,
    /// None: the projects stay.
    keystone: Option<Keystone>,
}

impl Projects {
    /// Returns the projects. A missing login is an error before anything is deleted.
    fn of(
        options: &DestroyOptions,
        compiled: &Compiled,
        tenants: &BTreeSet<TenantName>,
        root: &Path,
        guard: &Guard,
    ) -> Result<Projects, CommandError> {
        let made = keystone_projects::made_for(tenants, compiled);
        if made.is_empty() || !options.delete_project {
            return Ok(Projects { made, keystone: None });
        }
        let logins = logins(&options.api.login)?;
        let keystone = Identity::of(&compiled.site, root).keystone(logins, options.api.timeout)?;
        match keystone {
            Some(keystone) => Ok(Projects { made, keystone: Some(keystone.under(guard.lock().tenure())) }),
            None => Err(CommandError::Usage(
                "--delete-project: there is no login for Keystone; nothing was deleted".to_owned(),
            )),
        }
    }
}

/// Deletes the projects, and then releases the allocations: before that, the store says which projects midoform created.
async fn release(
    ui: &Ui,
    projects: Projects,
    recorder: &mut Recorder<'_>,
    tenants: &BTreeSet<TenantName>,
) -> Result<(), CommandError> {
    match projects.keystone {
        Some(keystone) => {
            for (name, id) in projects.made {
                keystone.delete(&id).await?;
                ui.status(&format!("deleted the Keystone project `{name}` ({id})"));
            }
        }
        None if projects.made.is_empty() => {}
        None => {
            let names: Vec<&str> = projects.made.iter().map(|(name, _)| name.as_str()).collect();
            ui.status(&format!(
                "the Keystone projects of {} stay; --delete-project deletes them",
                names.join(", ")
            ));
        }
    }
    Ok(recorder.forget(tenants).await?)
}
