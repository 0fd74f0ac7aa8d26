//! `midoform drift`: what is not as the spec wants it. It only reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::goal::Goal;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::DriftOptions;
use crate::drift_report::{Difference, differences_of};
use crate::error::{CommandError, Exit};
use crate::keystone_projects::{self, Missing};
use crate::project::Project;
use crate::report;
use crate::selection::Selection;
use crate::session::{Session, Target};
use crate::ui::Ui;

/// What one look found.
#[derive(Clone, Debug, Default, Serialize)]
struct Drift {
    site: String,
    drift: bool,
    /// How many objects of each tenant differ.
    tenants: BTreeMap<String, u64>,
    differences: Vec<Difference>,
    foreign: Vec<Foreign>,
}

/// Something that midoform did not make.
#[derive(Clone, Debug, Serialize)]
struct Foreign {
    near: String,
    what: String,
    id: String,
}

pub(crate) async fn run(ui: &Ui, options: &DriftOptions) -> Result<Exit, CommandError> {
    let project = Project::load(&options.spec).await?;
    let (project, _) =
        keystone_projects::look_up(ui, project, &options.api.login, &options.select, &Missing::Leave).await?;
    let (compiled, project) = project.compile(&options.spec)?;
    let target = Target::of(&compiled.site, &options.api, &project.sources.root);
    let selection = Selection::new(&compiled, &options.select)?;
    if target.is_untouched() && options.watch.is_none() {
        return tell(ui, options, &drift_of(&selection, &Observed::default()));
    }
    Session::with(target, compiled.dialect(), &options.api, async |session| match options.watch {
        None => tell(ui, options, &look(ui, session, &selection).await?),
        Some(seconds) => watch(ui, options, session, Duration::from_secs(seconds)).await,
    })
    .await
}

async fn look(ui: &Ui, session: &Session, selection: &Selection<'_>) -> Result<Drift, CommandError> {
    let observed = session.observe(ui, selection.scope(&selection.compiled.allocations)).await?;
    Ok(drift_of(selection, &observed))
}

/// Reads the spec as it is now, and looks.
async fn look_anew(ui: &Ui, options: &DriftOptions, session: &Session) -> Result<Drift, CommandError> {
    let (compiled, _) = Project::load(&options.spec).await?.compile(&options.spec)?;
    look(ui, session, &Selection::new(&compiled, &options.select)?).await
}

fn drift_of(selection: &Selection<'_>, observed: &Observed) -> Drift {
    let plan = selection.plan_from(observed);
    let differences = differences_of(&plan);
    let mut tenants: BTreeMap<String, u64> =
        selection.tenants.iter().map(|tenant| (tenant.clone(), 0)).collect();
    for difference in &differences {
        let tenant = difference.key.owner();
        *tenants.entry(tenant.to_owned()).or_default() += 1;
    }
    let foreign = observed.foreign.iter().map(|foreign| Foreign {
        near: foreign.near.to_string(),
        what: foreign.what.clone(),
        id: foreign.id.to_string(),
    });
    let drift = !differences.is_empty();
    Drift { site: plan.site, drift, tenants, differences, foreign: foreign.collect() }
}

fn tell(ui: &Ui, options: &DriftOptions, drift: &Drift) -> Result<Exit, CommandError> {
    if options.json {
        ui.data(|out| {
            serde_json::to_writer(&mut *out, drift)?;
            writeln!(out)
        })?;
    } else {
        ui.data(|out| {
            for difference in &drift.differences {
                let Difference { key, kind, is, what, source } = difference;
                write!(out, "{is:<9}{key}  {kind}: {what}")?;
                match source {
                    Some(source) => writeln!(out, "  ({source})")?,
                    None => writeln!(out)?,
                }
            }
            for foreign in &drift.foreign {
                writeln!(out, "foreign  {}  {} ({}): left as it is", foreign.near, foreign.what, foreign.id)?;
            }
            match drift.differences.len() {
                0 => writeln!(out, "No drift: the network is what the spec says."),
                1 => writeln!(out, "1 object is not what the spec says."),
                count => writeln!(out, "{count} objects are not what the spec says."),
            }
        })?;
    }
    Ok(if drift.drift { Exit::Drift } else { Exit::Done })
}

/// What the last look found, for metrics.
#[derive(Default)]
struct Last {
    drift: Drift,
    looks: u64,
    failed: u64,
    at: u64,
}

/// Looks again and again; says something when what it finds is not what it found before.
async fn watch(
    ui: &Ui,
    options: &DriftOptions,
    session: &Session,
    every: Duration,
) -> Result<Exit, CommandError> {
    let mut ended = signal(SignalKind::terminate())
        .map_err(|error| CommandError::Internal(format!("no signals: {error}")))?;
    let last: Arc<Mutex<Last>> = Arc::default();
    let serving = match options.metrics {
        None => None,
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            let listener =
                listener.map_err(|error| CommandError::Usage(format!("--metrics {address}: {error}")))?;
            let address = listener.local_addr().unwrap_or(address);
            ui.always_say(&format!("serving metrics at http://{address}/metrics"));
            Some(tokio::spawn(serve_metrics(listener, Arc::clone(&last))))
        }
    };
    let mut told: Option<String> = None;
    let mut exit = Exit::Done;
    loop {
        let found = look_anew(ui, options, session).await;
        {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            last.looks += 1;
            last.at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            match &found {
                Ok(drift) => last.drift = drift.clone(),
                Err(_) => last.failed += 1,
            }
        }
        match found {
            // The same failure is told once.
            Err(error) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    report::command_error(ui, &error);
                    ui.always_say(&format!("looking again every {} s", every.as_secs()));
                    told = Some(text);
                }
            }
            Ok(drift) => {
                let text = serde_json::to_string(&drift).unwrap_or_default();
                if told.as_ref() != Some(&text) {
                    exit = tell(ui, options, &drift)?;
                    told = Some(text);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = tokio::signal::ctrl_c() => break,
            _ = ended.recv() => break,
        }
    }
    if let Some(serving) = serving {
        serving.abort();
    }
    Ok(exit)
}

/// Answers whoever asks, one request a connection.
async fn serve_metrics(listener: TcpListener, last: Arc<Mutex<Last>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let page = metrics(&last.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::spawn(async move {
            let exchange = async {
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let asked = request.get(..read).unwrap_or_default().starts_with(b"GET /metrics");
                let (status, body) = if asked { ("200 OK", page) } else { ("404 Not Found", String::new()) };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            };
            let _ = tokio::time::timeout(Duration::from_secs(5), exchange).await;
        });
    }
}

fn metrics(last: &Last) -> String {
    let mut page = String::new();
    let mut gauge = |name: &str, kind: &str, help: &str, lines: Vec<(String, u64)>| {
        // Writing into a string can't fail.
        let _ = writeln!(page, "# HELP midoform_{name} {help}\n# TYPE midoform_{name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(page, "midoform_{name}{labels} {value}");
        }
    };
    let count = |is: &str| {
        let count = last.drift.differences.iter().filter(|difference| difference.is == is).count();
        (format!("{{is=\"{is}\"}}"), count as u64)
    };
    let differing = ["missing", "changed", "unwanted"].map(count).to_vec();
    gauge("drift_objects", "gauge", "Objects that are not what the spec says", differing);
    let tenants =
        last.drift.tenants.iter().map(|(tenant, count)| (format!("{{tenant=\"{tenant}\"}}"), *count));
    let help = "Objects of a tenant that are not what its spec says";
    gauge("drift_tenant_objects", "gauge", help, tenants.collect());
    let foreign = vec![(String::new(), last.drift.foreign.len() as u64)];
    gauge("foreign_objects", "gauge", "Objects in a tenant's reach that midoform did not make", foreign);
    gauge("drift_looks_total", "counter", "How often it looked", vec![(String::new(), last.looks)]);
    gauge("drift_failures_total", "counter", "How often looking failed", vec![(String::new(), last.failed)]);
    gauge(
        "drift_last_look_seconds",
        "gauge",
        "When it looked last, in Unix time",
        vec![(String::new(), last.at)],
    );
    page
}
