//! `midoform plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use midoform_compiler::Compiled;
use midoform_compiler::midonet;
use midoform_compiler::midonet::lint;
use midoform_compiler::midonet::lower::provider_router;
use midoform_compiler::plan::Plan;
use midoform_compiler::plan::reachability::Reachability;
use midoform_compiler::topology::key::{Key, KeyPrefix, Namespace};
use midoform_compiler::topology::object::Reference;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::topology::{Entry, Topology, dependencies};
use midoform_packets::verify;
use midoform_reconcile::saved::{Pods, SavedPlan};
use midoform_render as render;
use midoform_render::html::ReviewPage;
use midoform_render::{Format, html};
use midoform_store::atomic_file::write_atomically;

use crate::args::{Api, PlanOptions, Select, Spec};
use crate::commands::pods;
use crate::commands::trace::behind_ports;
use crate::error::{CommandError, Exit};
use crate::project::{Project, Reach};
use crate::projects::{self, Missing};
use crate::report;
use crate::session::{Session, Target, View, block_on};
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui, options: &PlanOptions) -> Result<Exit, CommandError> {
    let reach = if options.offline { Reach::Files } else { Reach::Everything };
    let project = Project::load_under(&options.spec, &options.policy, reach)?;
    let (project, found) = match options.offline {
        true => (project, false),
        false => projects::look_up(ui, project, &options.api.login, &options.select, &Missing::Leave)?,
    };
    let (compiled, project) = project.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project);
    let target = Target::of(&compiled.site, &options.api, project.root());
    let shown_url = target.shown_url().to_owned();
    let url = match &target {
        Target::Url(url, _) => Some(url.clone()),
        Target::Embedded { .. } => None,
    };
    let work = Work::new(&compiled, &options.select)?;
    let observed = match &options.against {
        Some(other) => as_other_spec(options, other)?,
        None if options.offline || target.is_untouched() => Observed::default(),
        None => block_on(observe_once(ui, target, &options.api, &work))?,
    };
    let plan = work.plan(&observed);
    let tells = matches!(options.format(), Format::Text | Format::Json | Format::Markdown);
    let reachability = if tells || options.html.is_some() {
        work.reachability(&plan, &observed)
    } else {
        Reachability::default()
    };
    if let Some(path) = &options.out {
        projects::refuse_unwritten(&compiled, found)?;
        save(ui, path, &project, &work, &plan, &observed, url)?;
    }
    if let Some(path) = &options.html {
        let page = ReviewPage {
            plan: &plan,
            desired: &work.desired,
            before: &observed.topology,
            provider: &work.provider,
            reachability: Some(&reachability),
            foreign: &observed.foreign,
            attached: &observed.attached,
            base_url: &shown_url,
        };
        write_page(ui, path, &page)?;
    }
    show(ui, options, &plan, &work.desired, &observed, &shown_url, &reachability)?;
    let pending = plan.summary().changes() > 0;
    Ok(if pending && options.detailed_exitcode { Exit::ChangesPending } else { Exit::Done })
}

/// Saves the plan with what applying it will need.
fn save(
    ui: &Ui,
    path: &Path,
    project: &Project,
    work: &Work<'_>,
    plan: &Plan,
    observed: &Observed,
    url: Option<String>,
) -> Result<(), CommandError> {
    let mut saved = SavedPlan::new(
        plan.clone(),
        work.desired.clone(),
        observed.topology.clone(),
        work.tenants.clone(),
        work.provider.clone(),
    );
    saved.moves = work.compiled.moves.clone();
    saved.behind = behind_ports(&work.compiled.tenants);
    saved.url = url;
    saved.site_file = project.site_source().text().to_owned();
    if project.state.is_store() {
        let after = pods::publication(project, work.compiled, &work.tenants, &observed.ids);
        saved.pods = Some(Pods { before: project.state.published(&work.tenants)?, after });
    }
    saved.allocated_before = work.compiled.known.clone();
    saved.allocated_after = work.compiled.allocations.clone();
    saved.write(path)?;
    ui.say(&format!("saved as {}, SHA-256 {}", path.display(), saved.sha256));
    Ok(())
}

fn write_page(ui: &Ui, path: &Path, page: &ReviewPage<'_>) -> Result<(), CommandError> {
    write_atomically(path, |file| html::write(page, file))
        .map_err(|error| CommandError::file(path, error))?;
    ui.say(&format!("review page: {}", path.display()));
    Ok(())
}

/// What would be observed of a network that is what another spec says.
fn as_other_spec(options: &PlanOptions, path: &Path) -> Result<Observed, CommandError> {
    let spec =
        Spec { path: path.to_path_buf(), site: None, lock: None, locked: false, ..options.spec.clone() };
    let (other, _) = Project::load(&spec)?.compile(&spec)?;
    Ok(Observed::of_topology(&other.topology, Namespace::of_site(&other.site.name.value)))
}

async fn observe_once(ui: &Ui, target: Target, api: &Api, work: &Work<'_>) -> Result<Observed, CommandError> {
    let session = Session::open(target, work.compiled.dialect(), api).await?;
    let observed = session.observe(ui, work.view(&work.desired).scope()).await;
    session.close().await;
    observed
}

fn show(
    ui: &Ui,
    options: &PlanOptions,
    plan: &Plan,
    desired: &Topology,
    observed: &Observed,
    base_url: &str,
    reachability: &Reachability,
) -> Result<(), CommandError> {
    let templates = match &options.templates {
        Some(folder) => read_templates(folder)?,
        None => BTreeMap::new(),
    };
    let plan_file = options.out.as_ref().map(|path| path.display().to_string());
    let settings = render::Options {
        colour: ui.colour_out() && options.format() == Format::Text,
        templates: &templates,
        base_url,
        plan_file: plan_file.as_deref(),
        foreign: &observed.foreign,
        verbose: options.verbose,
        reachability: Some(reachability),
    };
    let mut failure = None;
    ui.data(|out| match render::render(plan, desired, options.format(), &settings, out) {
        Err(render::RenderError::Write(error)) => Err(error),
        Err(other) => {
            failure = Some(other);
            Ok(())
        }
        Ok(()) => Ok(()),
    })?;
    match failure {
        Some(error) => Err(CommandError::Usage(error.to_string())),
        None => Ok(()),
    }
}

fn read_templates(folder: &Path) -> Result<BTreeMap<String, String>, CommandError> {
    let failed = |error| CommandError::file(folder, error);
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "hbs") {
            let text = std::fs::read_to_string(&path).map_err(|error| CommandError::file(&path, error))?;
            found.insert(name, text);
        }
    }
    Ok(found)
}

/// What is to be done for a compiled project: the part of it that was chosen.
pub(crate) struct Work<'a> {
    pub(crate) compiled: &'a Compiled,
    /// The chosen part of the topology.
    pub(crate) desired: Topology,
    /// The tenants in it.
    pub(crate) tenants: BTreeSet<String>,
    pub(crate) provider: Reference,
    /// Whether single objects were chosen: then nothing is taken away.
    partial: bool,
    /// What is left as it is.
    excluded: Vec<String>,
}

impl<'a> Work<'a> {
    /// All of it, or what `--target` names.
    pub(crate) fn new(compiled: &'a Compiled, select: &Select) -> Result<Self, CommandError> {
        let all: BTreeSet<String> = compiled.tenants.iter().map(|tenant| tenant.name.to_string()).collect();
        let provider = provider_router(&compiled.site);
        let flags = select.target.iter().map(|key| ("--target", key));
        for (flag, key) in flags.chain(select.exclude.iter().map(|key| ("--exclude", key))) {
            let prefix = KeyPrefix::new(key.as_str());
            let known = compiled.topology.entries().iter().any(|entry| entry.key.is_within(&prefix));
            if !known {
                let message =
                    format!("{flag} {key}: there is no such object; `midoform plan` shows the keys");
                return Err(CommandError::Usage(message));
            }
        }
        let excluded = select.exclude.clone();
        let included = compiled.topology.filtered(|entry| !is_below_any(&entry.key, &excluded));
        if select.target.is_empty() {
            let tenants = all.into_iter().filter(|tenant| !excluded.contains(tenant)).collect();
            return Ok(Work { compiled, desired: included, tenants, provider, partial: false, excluded });
        }
        let desired = with_dependencies(&included, &select.target);
        let partial = select.target.iter().any(|target| !all.contains(target));
        let mut tenants: BTreeSet<String> =
            desired.entries().iter().map(|entry| entry.key.owner().to_owned()).collect();
        tenants.remove(midoform_compiler::topology::key::SITE);
        Ok(Work { compiled, desired, tenants, provider, partial, excluded })
    }

    /// Where an observation looks.
    pub(crate) fn view<'b>(&'b self, desired: &'b Topology) -> View<'b> {
        View {
            site: &self.compiled.site.name.value,
            dialect: self.compiled.dialect(),
            desired,
            known: &self.compiled.allocations,
            tenants: &self.tenants,
            provider: &self.provider,
            moves: &self.compiled.moves,
        }
    }

    /// The tenants that were applied once and that no file speaks of any more.
    pub(crate) fn abandoned(compiled: &Compiled) -> BTreeSet<String> {
        let has_spec = |name: &str| compiled.tenants.iter().any(|tenant| *tenant.name == *name);
        let known = compiled.known.tenants.iter().filter(|(name, entry)| entry.applied && !has_spec(name));
        known.map(|(name, _)| name.clone()).collect()
    }

    /// The network once the plan is done: what it makes and keeps, and what is there and is not its matter.
    pub(crate) fn after(&self, plan: &Plan, observed: &Observed) -> Topology {
        let planned: BTreeSet<&Key> = plan.steps.iter().map(|step| &step.key).collect();
        let left = observed.topology.entries().iter().filter(|entry| !planned.contains(&entry.key));
        let wanted = self.desired.entries().iter().filter(|entry| planned.contains(&entry.key));
        Topology::new(left.chain(wanted).cloned().collect())
    }

    /// What the plan opens and closes.
    pub(crate) fn reachability(&self, plan: &Plan, observed: &Observed) -> Reachability {
        if plan.changes().next().is_none() {
            return Reachability::default();
        }
        match observed.topology.is_empty() {
            true => verify::compare(&observed.topology, &self.desired),
            false => verify::compare(&observed.topology, &self.after(plan, observed)),
        }
    }

    /// The plan from what was observed. A choice of single objects deletes nothing.
    pub(crate) fn plan(&self, observed: &Observed) -> Plan {
        let site = &self.compiled.site.name.value;
        let dialect = self.compiled.dialect();
        if !self.partial && self.excluded.is_empty() {
            return midonet::plan(site, dialect, &self.desired, observed);
        }
        let desired = without_what_has_no_ground(&self.desired, observed, &self.compiled.topology);
        let mut chosen = observed.clone();
        chosen.topology = observed.topology.filtered(|entry| {
            let wanted = !self.partial || self.desired.get(entry.key.as_str()).is_some();
            wanted && !is_below_any(&entry.key, &self.excluded)
        });
        midonet::plan(site, dialect, &desired, &chosen)
    }
}

/// What stands on something that is excluded and is not there can't be made either.
fn without_what_has_no_ground(desired: &Topology, observed: &Observed, whole: &Topology) -> Topology {
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    let is_there =
        |key: &Key| desired.get(key.as_str()).is_some() || observed.topology.get(key.as_str()).is_some();
    for entry in whole.entries().iter().filter(|entry| !is_there(&entry.key)) {
        missing.insert(entry.key.as_str());
    }
    loop {
        let is_groundless =
            |entry: &&Entry| dependencies(&entry.object).iter().any(|key| missing.contains(key.as_str()));
        let groundless: Vec<&str> =
            desired.entries().iter().filter(is_groundless).map(|entry| entry.key.as_str()).collect();
        let before = missing.len();
        missing.extend(groundless);
        if missing.len() == before {
            return desired.filtered(|entry| !missing.contains(entry.key.as_str()));
        }
    }
}

fn is_below_any(key: &Key, chosen: &[String]) -> bool {
    chosen.iter().any(|chosen| key.is_within(&KeyPrefix::new(chosen.as_str())))
}

/// The chosen objects, what is below them, and what these stand on.
fn with_dependencies(topology: &Topology, targets: &[String]) -> Topology {
    let targets: Vec<KeyPrefix> = targets.iter().map(|target| KeyPrefix::new(target.as_str())).collect();
    let chosen =
        topology.entries().iter().filter(|entry| targets.iter().any(|target| entry.key.is_within(target)));
    let mut keys: BTreeSet<&str> = chosen.map(|entry| entry.key.as_str()).collect();
    let mut queue: Vec<&str> = keys.iter().copied().collect();
    while let Some(key) = queue.pop() {
        let Some(entry) = topology.get(key) else { continue };
        for dependency in dependencies(&entry.object) {
            if let Some(found) = topology.get(dependency.as_str())
                && keys.insert(found.key.as_str())
            {
                queue.push(found.key.as_str());
            }
        }
    }
    topology.filtered(|entry| keys.contains(entry.key.as_str()))
}

/// Holds a plan against what the API takes, before anything is sent.
pub(crate) fn check(plan: &Plan, observed: &Observed) -> Result<(), CommandError> {
    if plan.changes().next().is_none() {
        return Ok(());
    }
    match lint::check(plan, observed).first() {
        None => Ok(()),
        Some(finding) => Err(CommandError::Internal(format!(
            "the plan is not sound: {} ({}): {}",
            finding.step, finding.code, finding.message
        ))),
    }
}
