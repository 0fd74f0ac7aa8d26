//! `midoform drift`: reports the differences between the network and the spec. It only reads.

use std::collections::BTreeMap;
use std::time::Duration;

use midoform_compiler::error_chain;
use midoform_compiler::names::TenantName;
use midoform_compiler::printable::printable;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::goal::Goal;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::DriftOptions;
use crate::drift_metrics::DriftMetrics;
use crate::drift_report::{Difference, ForeignObject, differences_of};
use crate::error::{CommandError, Exit};
use crate::keystone_projects::{self, Missing};
use crate::project::Project;
use crate::provider_conflicts;
use crate::report;
use crate::selection::Selection;
use crate::session::{Session, Target};
use crate::ui::Ui;

/// The result of one comparison.
#[derive(Clone, Debug, Default, Serialize)]
struct Drift {
    site: String,
    drift: bool,
    /// The number of objects that differ, by tenant.
    tenants: BTreeMap<TenantName, u64>,
    differences: Vec<Difference>,
    foreign: Vec<ForeignObject>,
    /// The links and public addresses that others use as well on the provider router.
    used_twice: Vec<UsedTwice>,
}

/// An address that somebody else uses as well on the provider router.
#[derive(Clone, Debug, Serialize)]
struct UsedTwice {
    key: Key,
    what: String,
}

pub(crate) async fn run(ui: &Ui, options: &DriftOptions) -> Result<Exit, CommandError> {
    let project = Project::load(&options.spec).await?;
    let (project, _) =
        keystone_projects::look_up(ui, project, &options.api.login, &options.select, &Missing::Leave).await?;
    let (compiled, project) = project.compile(&options.spec)?;
    let target = Target::of(&compiled.site, &options.api, &project.sources.root)?;
    let selection = Selection::new(&compiled, &options.select)?;
    if target.is_untouched() && options.watch.is_none() {
        return print(ui, options, &drift_of(&selection, &Observed::default()));
    }
    Session::with(target, compiled.engine(), &options.api, async |session| match options.watch {
        None => print(ui, options, &look(ui, session, &selection).await?),
        Some(seconds) => watch(ui, options, session, Duration::from_secs(seconds)).await,
    })
    .await
}

/// Observes the network, and compares it with the selection.
async fn look(ui: &Ui, session: &Session, selection: &Selection<'_>) -> Result<Drift, CommandError> {
    let observed = session.observe(ui, selection.scope(&selection.compiled.allocations)).await?;
    Ok(drift_of(selection, &observed))
}

/// Reads the spec as it is now, and compares.
async fn look_anew(ui: &Ui, options: &DriftOptions, session: &Session) -> Result<Drift, CommandError> {
    let (compiled, _) = Project::load(&options.spec).await?.compile(&options.spec)?;
    look(ui, session, &Selection::new(&compiled, &options.select)?).await
}

fn drift_of(selection: &Selection<'_>, observed: &Observed) -> Drift {
    let plan = selection.plan_from(observed);
    let differences = differences_of(&plan, &observed.topology);
    let mut tenants: BTreeMap<TenantName, u64> =
        selection.tenants.iter().map(|tenant| (tenant.clone(), 0)).collect();
    for difference in &differences {
        let tenant = difference.key.owner();
        *tenants.entry(tenant.into()).or_default() += 1;
    }
    let foreign = selection.foreign(observed).into_iter();
    let foreign: Vec<ForeignObject> = foreign.map(|one| ForeignObject::of(one, selection.compiled)).collect();
    for object in foreign.iter().filter(|object| object.drift) {
        *tenants.entry(object.near.owner().into()).or_default() += 1;
    }
    let used_twice = provider_conflicts::standing(selection, observed).into_iter();
    let used_twice: Vec<UsedTwice> =
        used_twice.map(|one| UsedTwice { key: one.key, what: one.what }).collect();
    for one in &used_twice {
        *tenants.entry(one.key.owner().into()).or_default() += 1;
    }
    let drift =
        !differences.is_empty() || !used_twice.is_empty() || foreign.iter().any(|object| object.drift);
    Drift { site: plan.site, drift, tenants, differences, foreign, used_twice }
}

/// Prints the differences.
fn print(ui: &Ui, options: &DriftOptions, drift: &Drift) -> Result<Exit, CommandError> {
    if options.json {
        ui.data(|out| {
            serde_json::to_writer(&mut *out, drift)?;
            writeln!(out)
        })?;
    } else {
        ui.data(|out| {
            for difference in &drift.differences {
                let Difference { key, kind, is, what, source } = difference;
                let source = source.as_ref().map(|source| format!("  ({source})")).unwrap_or_default();
                let line = format!("{is:<9}{key}  {kind}: {what}{source}");
                writeln!(out, "{}", printable(&line))?;
            }
            for foreign in &drift.foreign {
                writeln!(out, "{}", printable(&foreign.line()))?;
            }
            for UsedTwice { key, what } in &drift.used_twice {
                writeln!(out, "{}", printable(&format!("twice    {key}  {what}")))?;
            }
            match drift.differences.len() {
                0 if !drift.drift => writeln!(out, "No drift: the network matches the spec.")?,
                0 => {}
                1 => writeln!(out, "1 object differs from the spec.")?,
                count => writeln!(out, "{count} objects differ from the spec.")?,
            }
            match drift.used_twice.len() {
                0 => {}
                1 => writeln!(out, "1 address is used twice; `--move-links` of plan and apply moves links.")?,
                count => {
                    writeln!(out, "{count} addresses are used twice; `--move-links` of plan and apply moves links.")?;
                }
            }
            match drift.foreign.iter().filter(|object| object.drift).count() {
                0 => Ok(()),
                1 => writeln!(out, "1 foreign object changes what the network does; `--remove-foreign` of plan and apply deletes rules and routes, and takes filters off."),
                count => writeln!(out, "{count} foreign objects change what the network does; `--remove-foreign` of plan and apply deletes rules and routes, and takes filters off."),
            }
        })?;
    }
    Ok(if drift.drift { Exit::Drift } else { Exit::Done })
}

/// Compares again and again, and reports each result that differs from the one before.
async fn watch(
    ui: &Ui,
    options: &DriftOptions,
    session: &Session,
    every: Duration,
) -> Result<Exit, CommandError> {
    // Both are caught from here on, also while the network is compared.
    let caught = |kind| signal(kind).map_err(|error| CommandError::Internal(format!("no signals: {error}")));
    let (mut interrupted, mut terminated) =
        (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    let mut metrics = DriftMetrics::default();
    let server = match options.metrics {
        None => None,
        Some(address) => {
            let server = metrics.serve(address).await;
            let server = server.map_err(|source| CommandError::Metrics { address, source })?;
            ui.notice(&format!("serving metrics at {}", server.url()));
            Some(server)
        }
    };
    let mut reported: Option<String> = None;
    let mut exit = Exit::Done;
    loop {
        let looked = tokio::select! {
            looked = look_anew(ui, options, session) => looked,
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
        };
        match looked {
            Err(error) => {
                metrics.failed();
                let text = error_chain::in_one_line(&error);
                if reported.as_ref() != Some(&text) {
                    report::command_error(ui, &error);
                    ui.notice(&format!("comparing again every {} s", every.as_secs()));
                    reported = Some(text);
                }
            }
            Ok(drift) => {
                metrics.found(&drift.differences, &drift.tenants, drift.foreign.len());
                let text = serde_json::to_string(&drift).unwrap_or_default();
                if reported.as_ref() != Some(&text) {
                    exit = print(ui, options, &drift)?;
                    reported = Some(text);
                }
            }
        }
        if ui.is_unread() {
            exit = Exit::Done;
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
        }
    }
    if let Some(server) = server {
        server.shutdown().await;
    }
    Ok(exit)
}
