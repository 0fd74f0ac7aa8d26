//! `midoform plan`: shows the changes of an apply.

use std::collections::BTreeMap;
use std::path::Path;

use midoform_compiler::Compiled;
use midoform_compiler::network::provider_use::Neighbours;
use midoform_compiler::ovn::lower::pod::BridgeSecurity;
use midoform_compiler::plan::Plan;
use midoform_compiler::plan::cut::CutPort;
use midoform_compiler::plan::reachability::Reachability;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Namespace;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::values::Engine;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::northbound::Northbound;
use midoform_reconcile::planned::check_provider;
use midoform_reconcile::saved::{Pods, SavedPlan};
use midoform_render as render;
use midoform_render::html::ReviewPage;
use midoform_render::{Format, html};
use midoform_store::atomic_file::write_atomically;
use midoform_store::input_file;

use crate::args::{Api, PlanOptions, Spec};
use crate::cut_pods::KnownPods;
use crate::error::{CommandError, Exit};
use crate::keystone_projects::{self, Missing};
use crate::preflight;
use crate::project::{Project, Reach};
use crate::provider_conflicts;
use crate::publication;
use crate::report;
use crate::selection::Selection;
use crate::session::{Session, Target, read_early};
use crate::static_ports::endpoints_of;
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &PlanOptions) -> Result<Exit, CommandError> {
    let reach = if options.offline { Reach::Files } else { Reach::Everything };
    let project = Project::load_under(&options.spec, &options.policy, reach).await?;
    refuse_outputs(options, &project)?;
    let (project, found) = match options.offline {
        true => (project, false),
        false => {
            keystone_projects::look_up(ui, project, &options.api.login, &options.select, &Missing::Leave)
                .await?
        }
    };
    let Looked { compiled, project, observed, plan } = look(ui, options, project).await?;
    report::diagnostics(ui, &compiled.warnings, &project.sources);
    let target = Target::of(&compiled.site, &options.api, &project.sources.root)?;
    let shown_url = target.shown_url().to_owned();
    let url = match &target {
        Target::Url(url, ..) => Some(url.clone()),
        Target::Northbound(servers) => Some(servers.remotes.clone()),
        Target::Embedded { .. } => None,
    };
    let selection = select(options, &compiled)?;
    let pods = match options.offline || options.against.is_some() {
        true => KnownPods::none(),
        false => KnownPods::of(&project.state),
    };
    let cut_pods = pods.cut_off(&plan, &selection.desired, &observed).await;
    let shows_reachability = matches!(options.format(), Format::Text | Format::Json | Format::Markdown);
    let reachability = if shows_reachability || options.html.is_some() {
        selection.reachability(&plan, &observed)
    } else {
        Reachability::default()
    };
    let used_twice = provider_conflicts::standing(&selection, &observed);
    provider_conflicts::warn(ui, &used_twice);
    let used_twice: Vec<String> = used_twice.into_iter().map(|one| one.what).collect();
    let mut saved_sha256 = None;
    if let Some(path) = &options.out {
        keystone_projects::refuse_unwritten(&compiled, found)?;
        saved_sha256 = Some(save(ui, path, &project, &selection, &plan, &observed, url).await?);
    }
    let shown = Shown {
        plan: &plan,
        desired: &selection.desired,
        observed: &observed,
        base_url: &shown_url,
        reachability: &reachability,
        saved_sha256: saved_sha256.as_deref(),
        cut_pods: &cut_pods,
        used_twice: &used_twice,
    };
    if let Some(path) = &options.html {
        write_page(ui, path, &selection.provider, &shown)?;
    }
    show(ui, options, &shown)?;
    let pending = plan.summary().changes() > 0;
    Ok(if pending && options.detailed_exitcode { Exit::ChangesPending } else { Exit::Done })
}

/// Refuses outputs that would replace a file of the project, or each other.
fn refuse_outputs(options: &PlanOptions, project: &Project) -> Result<(), CommandError> {
    for (option, path) in [("--out", &options.out), ("--html", &options.html)] {
        path.as_deref().map_or(Ok(()), |path| project.refuse_as_output(option, path))?;
    }
    match (&options.out, &options.html) {
        (Some(out), Some(html)) if out == html => {
            Err(CommandError::Usage("--out and --html name one file".to_owned()))
        }
        _ => Ok(()),
    }
}

fn select<'a>(options: &PlanOptions, compiled: &'a Compiled) -> Result<Selection<'a>, CommandError> {
    let mut selection = Selection::new(compiled, &options.select)?;
    selection.removes_foreign = options.remove_foreign;
    Ok(selection)
}

/// A compiled project, and the network that its plan starts from.
struct Looked {
    compiled: Compiled,
    project: Project,
    observed: Observed,
    plan: Plan,
}

/// Compiles, and observes; once more, if links have to keep out of the way of what others use on the provider router.
async fn look(ui: &Ui, options: &PlanOptions, mut project: Project) -> Result<Looked, CommandError> {
    let mut neighbours = Neighbours::default();
    let is_live = !options.offline && options.against.is_none();
    let mut early = is_live.then(|| read_early(&project, &options.spec, &options.api)).flatten();
    loop {
        let (compiled, compiled_project) = project.compile_beside(&options.spec, &neighbours)?;
        let target = Target::of(&compiled.site, &options.api, &compiled_project.sources.root)?;
        let selection = select(options, &compiled)?;
        let planned = |observed: Observed| (selection.plan_from(&observed), observed);
        let (plan, observed) = match &options.against {
            Some(other) => planned(as_other_spec(options, other).await?),
            None if options.offline || target.is_untouched() => planned(Observed::default()),
            None => {
                let looked = plan_live(ui, target, &options.api, early.take(), &selection).await;
                looked.map_err(|error| preflight::at_line(error, &compiled, &compiled_project))?
            }
        };
        selection.refuse_deleted_foreign(&plan, &observed)?;
        project = compiled_project;
        match provider_conflicts::to_avoid(&selection, &observed, &neighbours, options.move_links)? {
            Some(found) => neighbours = found,
            None => return Ok(Looked { compiled, project, observed, plan }),
        }
    }
}

/// What is shown of a plan.
struct Shown<'a> {
    plan: &'a Plan,
    desired: &'a Topology,
    observed: &'a Observed,
    base_url: &'a str,
    reachability: &'a Reachability,
    saved_sha256: Option<&'a str>,
    cut_pods: &'a [CutPort],
    used_twice: &'a [String],
}

/// Saves the plan, with everything that an apply of it needs. Returns the SHA-256 of the saved plan.
async fn save(
    ui: &Ui,
    path: &Path,
    project: &Project,
    selection: &Selection<'_>,
    plan: &Plan,
    observed: &Observed,
    url: Option<String>,
) -> Result<String, CommandError> {
    let mut saved = SavedPlan::new(
        plan.clone(),
        selection.desired.clone(),
        selection.part_of(&observed.topology),
        selection.tenants.clone(),
        selection.provider.clone(),
    );
    saved.extent = selection.extent();
    saved.removes_foreign = selection.removes_foreign;
    saved.moves = selection.compiled.moves.clone();
    saved.behind = endpoints_of(&selection.compiled.tenants);
    if selection.compiled.engine() == Engine::Ovn {
        saved.pod_security = BridgeSecurity::of_tenants(&selection.compiled.tenants);
    }
    saved.url = url;
    saved.site_file = project.sources.site.text().to_owned();
    if project.state.is_store() {
        let whole = selection.whole_tenants();
        let after = publication::publication(project, selection.compiled, &whole, &observed.ids);
        saved.pods = Some(Pods { before: project.state.published(&whole).await?, after });
    }
    saved.allocated_before = selection.compiled.known.clone();
    saved.allocated_after = selection.compiled.allocations.clone();
    saved.write(path)?;
    ui.status(&format!("saved as {}, SHA-256 {}", path.display(), saved.sha256));
    Ok(saved.sha256)
}

fn write_page(ui: &Ui, path: &Path, provider: &Reference, shown: &Shown<'_>) -> Result<(), CommandError> {
    let page = ReviewPage {
        plan: shown.plan,
        desired: shown.desired,
        before: &shown.observed.topology,
        provider,
        reachability: Some(shown.reachability),
        foreign: &shown.observed.foreign,
        attached: &shown.observed.attached,
        cut_pods: shown.cut_pods,
        base_url: shown.base_url,
        saved_sha256: shown.saved_sha256,
    };
    write_atomically(path, |file| html::write(&page, file))
        .map_err(|error| CommandError::file(path, error))?;
    ui.status(&format!("review page: {}", path.display()));
    Ok(())
}

/// Returns the observation of a network that matches another spec.
async fn as_other_spec(options: &PlanOptions, path: &Path) -> Result<Observed, CommandError> {
    let spec =
        Spec { path: path.to_path_buf(), site: None, lock: None, locked: false, ..options.spec.clone() };
    let (other, _) = Project::load(&spec).await?.compile(&spec)?;
    Ok(Observed::of_topology(&other.topology, Namespace::of_site(&other.site.name.value)))
}

/// Observes the network, and looks for what the plan needs from it.
async fn plan_live(
    ui: &Ui,
    target: Target,
    api: &Api,
    early: Option<Northbound>,
    selection: &Selection<'_>,
) -> Result<(Plan, Observed), CommandError> {
    let scope = selection.scope(&selection.compiled.allocations);
    Session::with_early(target, selection.compiled.engine(), api, early, async |session| {
        let observed = session.observe(ui, scope).await?;
        check_provider(&selection.provider, &observed)?;
        let plan = selection.plan_from(&observed);
        preflight::check(session, (&plan, &selection.desired), &observed).await?;
        Ok((plan, observed))
    })
    .await
}

fn show(ui: &Ui, options: &PlanOptions, shown: &Shown<'_>) -> Result<(), CommandError> {
    let Shown { plan, desired, .. } = *shown;
    let templates = match &options.templates {
        Some(folder) => read_templates(folder)?,
        None => BTreeMap::new(),
    };
    let plan_file = options.out.as_ref().map(|path| path.display().to_string());
    let settings = render::Options {
        colour: ui.colour_out() && options.format() == Format::Text,
        before: Some(&shown.observed.topology),
        templates: &templates,
        base_url: shown.base_url,
        plan_file: plan_file.as_deref(),
        foreign: &shown.observed.foreign,
        verbose: options.verbose,
        reachability: Some(shown.reachability),
        saved_sha256: shown.saved_sha256,
        cut_pods: shown.cut_pods,
        used_twice: shown.used_twice,
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
            let text = input_file::read_to_string(&path).map_err(|error| CommandError::file(&path, error))?;
            found.insert(name, text);
        }
    }
    Ok(found)
}
