//! Writes a spec from what is there, and binds its ids to the spec's keys: for `midoform adopt` and `midoform import`.
//!
//! Nothing is changed in the network. The lock file is written before the spec: a spec whose ids nobody remembers
//! would be made a second time.

mod choose;

pub(crate) use choose::{adopted, imported};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use midoform_adopt::{Attached, Leftover, Pod, SpecDraft, Survey};
use midoform_compiler::Compiled;
use midoform_compiler::midonet;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::lower::provider_router;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::topology::key::{Key, Namespace, SITE};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::client::Client;
use midoform_reconcile::event::Event;
use midoform_reconcile::observe::Scope;
use midoform_store::atomic_file::write_atomically;
use serde::Serialize;
use uuid::Uuid;

use crate::allocation_state::Guard;
use crate::args::{Into, Spec};
use crate::drift_report::{Difference, differences_of};
use crate::error::{CommandError, Exit};
use crate::progress::Progress;
use crate::project::Project;
use crate::report;
use crate::session::{Session, Target};
use crate::ui::Ui;

/// What was taken over.
#[derive(Serialize)]
struct Report<'a> {
    tenant: &'a str,
    router: Uuid,
    /// The tenant file.
    file: String,
    written: bool,
    /// How many objects the spec speaks of.
    objects: usize,
    /// The ids that were bound, by key.
    ids: &'a BTreeMap<Key, Uuid>,
    attached: &'a [Attached],
    #[serde(skip_serializing_if = "<[Pod]>::is_empty")]
    pods: &'a [Pod],
    /// What the next apply would change.
    differences: &'a [Difference],
    leftovers: &'a [Leftover],
    unsaid: &'a [String],
}

/// A router that is to be taken over, as a tenant of this name.
pub(crate) struct Chosen {
    router: Uuid,
    tenant: String,
    /// What the Go plugin wrote down about it.
    pods: Vec<Pod>,
    notes: Vec<String>,
}

/// What was found out, and may be written down.
struct Found {
    chosen: Chosen,
    draft: SpecDraft,
    compiled: Compiled,
    project: Project,
    observed: Observed,
    differences: Vec<Difference>,
}

/// How the two commands differ.
pub(crate) struct Manner<'a> {
    pub(crate) into: &'a Into,
    pub(crate) out: Option<&'a PathBuf>,
    pub(crate) bind: bool,
    /// Whether differences are a reason not to write.
    pub(crate) strict: bool,
    /// Whether differences are told by the exit code.
    pub(crate) pending: bool,
}

pub(crate) async fn take_over(
    ui: &Ui,
    manner: &Manner<'_>,
    choose: &dyn Fn(&Survey) -> Result<Chosen, CommandError>,
) -> Result<Exit, CommandError> {
    let into = manner.into;
    let spec = Spec {
        path: into.folder.clone(),
        site: into.site.clone(),
        lock: into.lock.clone(),
        api_version: into.api_version.clone(),
        locked: false,
    };
    let found = find_out(ui, manner, &spec, choose).await?;
    if into.dry_run || !manner.bind {
        return write_down(ui, manner, &found, None).await;
    }
    let tenants = BTreeSet::from([found.chosen.tenant.clone()]);
    let patience = Duration::from_secs(into.lock_timeout);
    let locked = async |guard: &Guard| write_down(ui, manner, &found, Some(guard)).await;
    found.project.state.with_lock(&tenants, "midoform adopt", patience, locked).await
}

/// Writes the lock file and the spec, and says so.
async fn write_down(
    ui: &Ui,
    manner: &Manner<'_>,
    found: &Found,
    guard: Option<&Guard>,
) -> Result<Exit, CommandError> {
    let (tenant, path) = (&found.chosen.tenant, path_of(manner, &found.chosen.tenant));
    let (state, site) = (&found.project.state, &found.compiled.site);
    let text = with_comments(found, manner.bind);
    let mut allocations = found.compiled.allocations.clone();
    bind(&mut allocations, found);
    let refused = manner.strict && !found.differences.is_empty();
    let write = !manner.into.dry_run && !refused;
    if write {
        // Without its spec an applied tenant would be one to be pruned.
        set_applied(&mut allocations, tenant, false);
        if let Some(guard) = guard {
            state.write(guard, site, &allocations).await?;
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| CommandError::file(folder, error))?;
        }
        write_atomically(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|error| CommandError::file(&path, error))?;
        set_applied(&mut allocations, tenant, true);
        if let Some(guard) = guard {
            state.write(guard, site, &allocations).await?;
        }
    }
    let ids = allocations.tenants.get(tenant).map(|entry| entry.ids.clone()).unwrap_or_default();
    tell(ui, manner, found, &ids, &path, &text, write)?;
    if refused {
        let message = format!(
            "`{tenant}` is not quite what its spec would be, and nothing was written: the next apply would change {} \
             objects; --force adopts it all the same",
            found.differences.len()
        );
        return Err(CommandError::Conflict(message));
    }
    let pending = manner.pending && !found.differences.is_empty();
    Ok(if pending { Exit::ChangesPending } else { Exit::Done })
}

fn path_of(manner: &Manner<'_>, tenant: &str) -> PathBuf {
    manner.out.cloned().unwrap_or_else(|| manner.into.folder.join(format!("{tenant}.toml")))
}

/// Reads the network, paints the router, compiles the painting, and compares.
async fn find_out(
    ui: &Ui,
    manner: &Manner<'_>,
    spec: &Spec,
    choose: &dyn Fn(&Survey) -> Result<Chosen, CommandError>,
) -> Result<Found, CommandError> {
    let (before, project) = Project::load_any(spec).await?.compile(spec)?;
    let (dialect, provider) = (before.dialect(), provider_router(&before.site));
    let namespace = Namespace::of_site(&before.site.name.value);
    let provider_id = match &provider {
        Reference::External(id) => *id,
        Reference::Key(key) => namespace.id(key),
    };
    let api = &manner.into.api;
    let target = Target::of(&before.site, api, &project.sources.root);
    let survey = async |session: &Session| {
        let progress = Progress::reading(ui);
        let survey = survey_of(&session.client, dialect, choose, &|event| progress.event(&event)).await;
        progress.finish();
        survey
    };
    let (survey, chosen) = Session::with(target, dialect, api, survey).await?;
    let path = path_of(manner, &chosen.tenant);
    refuse_known(&before, &chosen.tenant, &path, manner.into.dry_run)?;
    let gone = || CommandError::Conflict(format!("the router {} went away meanwhile", chosen.router));
    let mut draft = survey.spec_draft(chosen.router, &chosen.tenant, Some(provider_id)).ok_or_else(gone)?;
    draft.unsupported.extend(chosen.notes.iter().cloned());
    draft.unsupported.extend(pods_without_ports(&chosen, &draft));
    let mut project = project;
    project.sources.add_tenant(&path, &draft.spec);
    let (compiled, project) = project.compile(spec)?;
    report::diagnostics(ui, &compiled.warnings, &project.sources);
    let (observed, differences) = compare(&survey, &compiled, &chosen.tenant, &draft, &provider);
    Ok(Found { chosen, draft, compiled, project, observed, differences })
}

/// Reads the network, and then what is around the chosen router.
async fn survey_of(
    client: &Client,
    dialect: Dialect,
    choose: &dyn Fn(&Survey) -> Result<Chosen, CommandError>,
    events: &(dyn Fn(Event) + Sync),
) -> Result<(Survey, Chosen), CommandError> {
    let mut survey = Survey::read(client, dialect, events).await?;
    let chosen = choose(&survey)?;
    survey.read_around(client, dialect, chosen.router, events).await?;
    Ok((survey, chosen))
}

fn refuse_known(before: &Compiled, tenant: &str, path: &Path, dry_run: bool) -> Result<(), CommandError> {
    if before.tenants.iter().any(|known| *known.name == *tenant) {
        let message = format!("`{tenant}` has a spec already: `midoform plan` compares it with the network");
        return Err(CommandError::Conflict(message));
    }
    if path.exists() && !dry_run {
        return Err(CommandError::Conflict(format!(
            "{} is there already: name another file with --out",
            path.display()
        )));
    }
    Ok(())
}

/// What the spec becomes, held against what is there.
fn compare(
    survey: &Survey,
    compiled: &Compiled,
    tenant: &str,
    draft: &SpecDraft,
    provider: &Reference,
) -> (Observed, Vec<Difference>) {
    let mut known = compiled.allocations.clone();
    known.tenants.entry(tenant.to_owned()).or_default().ids = draft.ids.clone();
    let desired = compiled.topology.filtered(|entry| [tenant, SITE].contains(&entry.key.owner()));
    let site = &compiled.site.name.value;
    let mut observed = survey.recognise(Scope {
        site,
        dialect: compiled.dialect(),
        desired: &desired,
        known: &known,
        tenants: &BTreeSet::from([tenant.to_owned()]),
        provider,
        moves: &compiled.moves,
        adopting: true,
    });
    observed.topology = observed.topology.filtered(|entry| entry.key.owner() == tenant);
    let desired = desired.filtered(|entry| entry.key.owner() == tenant);
    let plan = midonet::plan(site, compiled.dialect(), &desired, &observed);
    let differences = differences_of(&plan);
    (observed, differences)
}

/// Writes the ids into what was given out: from now on these objects are midoform's.
fn bind(allocations: &mut Allocations, found: &Found) {
    let tenant = &found.chosen.tenant;
    let entry = allocations.tenants.entry(tenant.clone()).or_default();
    let own = found.observed.ids.iter().filter(|(key, _)| key.owner() == tenant);
    entry.ids = own.map(|(key, id)| (key.clone(), *id)).collect();
    let spec = found.compiled.specs.iter().find(|spec| spec.name.value == *tenant);
    entry.ports = spec.into_iter().flat_map(|spec| &spec.ports).map(|port| port.name.value.clone()).collect();
}

fn set_applied(allocations: &mut Allocations, tenant: &str, applied: bool) {
    if let Some(entry) = allocations.tenants.get_mut(tenant) {
        entry.applied = applied;
    }
}

/// Pods that the plugin wrote down and whose ports are gone, and ports that it did not write down.
fn pods_without_ports(chosen: &Chosen, draft: &SpecDraft) -> Vec<String> {
    let bound: BTreeSet<Uuid> = draft.attached.iter().map(|attached| attached.port).collect();
    let lost = chosen.pods.iter().filter(|pod| !pod.port.is_some_and(|port| bound.contains(&port)));
    let lost = lost.map(|pod| {
        let address = pod.address.as_deref().unwrap_or("an unknown address");
        format!("the plugin's keys give {address} to the container {}, which is not attached", pod.container)
    });
    let known: BTreeSet<Uuid> = chosen.pods.iter().filter_map(|pod| pod.port).collect();
    let unknown =
        draft.attached.iter().filter(|attached| !known.is_empty() && !known.contains(&attached.port));
    let unknown = unknown.map(|attached| {
        format!(
            "{} of host {} is attached, and the plugin's keys don't know it",
            attached.interface, attached.host
        )
    });
    lost.chain(unknown).collect()
}

/// The spec's text, with what it does not say as comments behind.
fn with_comments(found: &Found, bound: bool) -> String {
    let draft = &found.draft;
    let mut text = format!("# Written from the router {}, as it was found.\n", found.chosen.router);
    if !bound {
        text.push_str("# Its objects are not bound: an apply would make others beside them.\n");
    }
    text.push_str(&draft.spec);
    let mut comments: Vec<String> = draft.unsupported.clone();
    let foreign = found.observed.foreign.iter();
    comments.extend(foreign.map(|foreign| format!("{} at {} ({})", foreign.what, foreign.near, foreign.id)));
    if !comments.is_empty() {
        text.push_str("\n# There besides, and not said here:\n");
        for comment in comments {
            let line: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(text, "# - {line}");
        }
    }
    text
}

fn tell(
    ui: &Ui,
    manner: &Manner<'_>,
    found: &Found,
    ids: &BTreeMap<Key, Uuid>,
    path: &Path,
    text: &str,
    written: bool,
) -> Result<(), CommandError> {
    let Found { chosen, draft, observed, differences, .. } = found;
    let objects = observed.topology.len();
    let file = path.display().to_string();
    if manner.into.json {
        let foreign = observed.foreign.iter().map(|foreign| format!("{} at {}", foreign.what, foreign.near));
        let unsaid: Vec<String> = draft.unsupported.iter().cloned().chain(foreign).collect();
        ui.json(&Report {
            tenant: &chosen.tenant,
            router: chosen.router,
            file: file.clone(),
            written,
            objects,
            ids,
            attached: &draft.attached,
            pods: &chosen.pods,
            differences,
            leftovers: &draft.leftovers,
            unsaid: &unsaid,
        })?;
        return Ok(());
    }
    if !written {
        ui.data(|out| out.write_all(text.as_bytes()))?;
    }
    let tenant = &chosen.tenant;
    let attached = draft.attached.len();
    ui.say(&format!(
        "{tenant}: router {}, {objects} objects that the spec speaks of, {attached} attached ports, which stay as they \
         are",
        chosen.router
    ));
    for leftover in &draft.leftovers {
        ui.say(&format!("left over, not taken: {} ({})", leftover.what, leftover.id));
    }
    for unsaid in &draft.unsupported {
        ui.say(&format!("not in the spec: {unsaid}"));
    }
    for foreign in &observed.foreign {
        ui.say(&format!(
            "not in the spec, left as it is: {} at {} ({})",
            foreign.what, foreign.near, foreign.id
        ));
    }
    for Difference { key, kind, is, what, .. } in differences {
        ui.always_say(&format!("differs: {key} ({kind}) is {is}: {what}"));
    }
    if written {
        let lock = found.project.state.shown();
        ui.say(&match manner.bind {
            true => format!("written: {lock}, {file}"),
            false => format!("written: {file}; nothing was bound"),
        });
    }
    if differences.is_empty() {
        ui.say("The next plan is empty: the network is what the spec says.");
    }
    Ok(())
}
