//! The tenants' projects in Keystone: finds them, and creates them if the site file allows it. Their ids are recorded, so
//! that a plan is the same for everybody, with or without access to Keystone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use midoform_compiler::Compiled;
use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::resolve;
use midoform_compiler::source::SourceId;
use midoform_compiler::spec::parse;
use midoform_compiler::topology::key::KeyPrefix;
use midoform_reconcile::keystone::Keystone;
use midoform_reconcile::keystone::Project as KeystoneProject;
use tokio::task::JoinSet;

use crate::allocation_state::Guard;
use crate::args::{Login, Select};
use crate::error::CommandError;
use crate::project::Project;
use crate::session::{Identity, logins};
use crate::ui::Ui;

/// The number of calls that are made at the same time.
const PARALLEL: usize = 8;
/// The time limit of a call to Keystone, in seconds.
const TIMEOUT: u64 = 30;

/// The treatment of missing projects.
pub(crate) enum Missing<'a> {
    /// They stay missing.
    Leave,
    /// They are created if the site file allows it, and recorded under this guard.
    Make { yes: bool, guard: &'a Guard },
}

impl<'a> Missing<'a> {
    /// Creates missing projects if there is a guard.
    pub(crate) fn under(guard: Option<&'a Guard>, yes: bool) -> Self {
        guard.map_or(Missing::Leave, |guard| Missing::Make { yes, guard })
    }
}

/// Looks up the projects of the tenants that have a `tenant_id` neither in the spec nor in the lock file. Also returns
/// true if it found any.
pub(crate) async fn look_up(
    ui: &Ui,
    mut project: Project,
    login: &Login,
    select: &Select,
    missing: &Missing<'_>,
) -> Result<(Project, bool), CommandError> {
    // The compilation reports what is wrong in the files.
    let mut unreported = Diagnostics::default();
    let Some(site) = parse::site(&project.sources.site, SourceId(0), &mut unreported) else {
        return Ok((project, false));
    };
    if site.keystone.is_none() {
        return Ok((project, false));
    }
    let Some(mut known) = project.sources.known.allocations(&mut unreported) else {
        return Ok((project, false));
    };
    let names = names_to_look_up(&project, &known, select);
    if names.is_empty() {
        return Ok((project, false));
    }
    let Some(keystone) = Identity::of(&site).keystone(logins(login)?, TIMEOUT)? else {
        return match missing {
            Missing::Leave => Ok((project, false)),
            Missing::Make { .. } => Err(no_login(&names)),
        };
    };
    let keystone = Arc::new(match missing {
        Missing::Leave => keystone,
        Missing::Make { guard, .. } => keystone.under(guard.lock().tenure()),
    });
    let found = find(&keystone, &names).await?;
    let absent: Vec<TenantName> = names.into_iter().filter(|name| !found.contains_key(name)).collect();
    let mut projects: Vec<(TenantName, KeystoneProject, bool)> =
        found.into_iter().map(|(name, project)| (name, project, false)).collect();
    let mut failure = None;
    if let (false, Missing::Make { yes, guard }) = (absent.is_empty(), missing) {
        let create = site.keystone.as_ref().is_some_and(|keystone| keystone.create);
        agree(ui, &absent, create, *yes).await?;
        guard.begin();
        let (made, error) = make(&keystone, &absent).await;
        failure = error;
        for (name, project, made) in &made {
            let how = if *made { "created" } else { "found" };
            ui.status(&format!("{how} the Keystone project `{name}` ({})", project.id));
        }
        projects.extend(made);
    }
    let changed = !projects.is_empty();
    for (name, found, made) in projects {
        let entry = known.tenants.entry(name).or_default();
        (entry.tenant_id, entry.project_made) = (Some(found.id), made);
    }
    if changed {
        if let Missing::Make { guard, .. } = missing {
            project.state.write(guard, &site, &known).await?;
        }
        project.sources.known.replace(known);
    }
    // What was created is recorded, whatever failed after it.
    match failure {
        Some(error) => Err(error),
        None => Ok((project, changed)),
    }
}

fn names_to_look_up(project: &Project, known: &Allocations, select: &Select) -> Vec<TenantName> {
    let mut unreported = Diagnostics::default();
    let is_chosen = |name: &str| {
        let of_it = |key: &String| KeyPrefix::new(key.as_str()).owner() == name;
        (select.target.is_empty() || select.target.iter().any(of_it))
            && !select.exclude.iter().any(|key| key == name)
    };
    let specs = project
        .sources
        .tenants
        .iter()
        .filter_map(|source| parse::tenant(source, SourceId(2), &mut unreported));
    let open = specs.filter(|spec| spec.tenant_id.is_none()).map(|spec| spec.name.value);
    let is_known =
        |name: &TenantName| known.tenants.get(name).is_some_and(|tenant| tenant.tenant_id.is_some());
    let mut names: Vec<TenantName> = open.filter(|name| is_chosen(name) && !is_known(name)).collect();
    names.sort();
    names.dedup();
    names
}

fn no_login(names: &[TenantName]) -> CommandError {
    CommandError::Usage(format!(
        "the Keystone projects of {} are not known, and there is no login for Keystone: set OS_AUTH_URL, OS_USERNAME, \
         OS_PASSWORD and OS_PROJECT_NAME, or name a file with --credentials",
        shown(names)
    ))
}

fn shown(names: &[TenantName]) -> String {
    let some: Vec<&str> = names.iter().take(10).map(TenantName::as_str).collect();
    let more = if names.len() > 10 { format!(" and {} more", names.len() - 10) } else { String::new() };
    some.join(", ") + &more
}

/// Returns an error unless the site file allows to create projects and somebody agrees.
async fn agree(ui: &Ui, absent: &[TenantName], create: bool, yes: bool) -> Result<(), CommandError> {
    if !create {
        let message = format!(
            "Keystone has no project called {}: create it, or let midoform create it with `create = true` in [keystone]",
            shown(absent)
        );
        return Err(CommandError::Conflict(message));
    }
    let count = absent.len();
    if !yes && !ui.confirm(&format!("Create {count} projects in Keystone ({})?", shown(absent))).await? {
        return Err(CommandError::Interrupted("nothing was changed".to_owned()));
    }
    Ok(())
}

async fn find(
    keystone: &Arc<Keystone>,
    names: &[TenantName],
) -> Result<BTreeMap<TenantName, KeystoneProject>, CommandError> {
    let found = each(names, |name| {
        let keystone = Arc::clone(keystone);
        async move { Ok((keystone.find(&name).await?, name)) }
    });
    match found.await {
        (_, Some(error)) => Err(error),
        (found, None) => Ok(found.into_iter().filter_map(|(project, name)| Some((name, project?))).collect()),
    }
}

/// Creates projects, or finds those that somebody else has created meanwhile. Returns what was done, and the first failure.
async fn make(
    keystone: &Arc<Keystone>,
    names: &[TenantName],
) -> (Vec<(TenantName, KeystoneProject, bool)>, Option<CommandError>) {
    each(names, |name| {
        let keystone = Arc::clone(keystone);
        async move {
            let (project, made) = keystone.find_or_make(&name).await?;
            Ok((name, project, made))
        }
    })
    .await
}

/// Runs a task for each name, a few at a time. After the first failure no other task begins, and those under way end.
/// Returns the results, and that failure.
async fn each<T, F>(names: &[TenantName], task: impl Fn(TenantName) -> F) -> (Vec<T>, Option<CommandError>)
where
    T: Send + 'static,
    F: Future<Output = Result<T, CommandError>> + Send + 'static,
{
    let (mut tasks, mut done) = (JoinSet::new(), Vec::with_capacity(names.len()));
    let (mut waiting, mut failure) = (names.iter(), None);
    let mut names_of_tasks = BTreeMap::new();
    loop {
        while tasks.len() < PARALLEL && failure.is_none() {
            let Some(name) = waiting.next() else { break };
            let started = tasks.spawn(task(name.clone()));
            names_of_tasks.insert(started.id(), name);
        }
        let Some(ended) = tasks.join_next().await else { return (done, failure) };
        match ended {
            Ok(Ok(result)) => done.push(result),
            Ok(Err(error)) => drop(failure.get_or_insert(error)),
            Err(error) => {
                let name = names_of_tasks.get(&error.id()).map_or("?", |name| name.as_str());
                let message = format!("the calls to Keystone for the project `{name}` ended: {error}");
                failure.get_or_insert(CommandError::Internal(message));
            }
        }
    }
}

/// Returns an error if a plan depends on Keystone: a saved plan must not.
pub(crate) fn refuse_unwritten(compiled: &Compiled, found: bool) -> Result<(), CommandError> {
    let unknown = |tenant: &&midoform_compiler::network::Tenant| {
        *tenant.tenant_id == *resolve::unknown_project(&tenant.name)
    };
    if found || compiled.tenants.iter().any(|tenant| unknown(&tenant)) {
        let message = "the lock file does not have every tenant's Keystone project, so this plan can't be saved: \
                       `midoform lock` records them";
        return Err(CommandError::Conflict(message.to_owned()));
    }
    Ok(())
}

/// Returns the projects that midoform created for these tenants: name and id.
pub(crate) fn made_for(tenants: &BTreeSet<TenantName>, compiled: &Compiled) -> Vec<(TenantName, String)> {
    let made = tenants.iter().filter_map(|name| {
        let entry = compiled.known.tenants.get(name).filter(|entry| entry.project_made)?;
        Some((name.clone(), entry.tenant_id.clone()?))
    });
    made.collect()
}
