//! `midoform bind`: plugs the interfaces of static ports into Open vSwitch, on their host.

use std::time::{Duration, Instant};

use midoform_compiler::error_chain;
use midoform_compiler::printable::printable;
use midoform_reconcile::open_vswitch::{Host, OpenVswitch, PlugError};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::BindOptions;
use crate::binding::links::{Indexes, Links};
use crate::binding::{Binder, Report, State, Wanted, address_of, host_of};
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::report;
use crate::ui::Ui;

/// The time between two looks at ports that OVN has not installed yet.
const SOON: Duration = Duration::from_secs(1);

/// The time limit of a call of the host's database.
const LOCAL: Duration = Duration::from_secs(5);

pub(crate) async fn run(ui: &Ui, options: &BindOptions) -> Result<Exit, CommandError> {
    let mut links = Links::open()?;
    if let Some(seconds) = options.watch {
        return watch(ui, options, &mut links, Duration::from_secs(seconds)).await;
    }
    let here = Here::read(options).await?;
    let report = here.bind(options, &links.all().await?, Duration::from_secs(options.wait)).await?;
    print(ui, options, &report)?;
    Ok(report.exit())
}

/// The specs as they are now, and this host.
struct Here {
    wanted: Wanted,
    open_vswitch: OpenVswitch,
    facts: Host,
}

impl Here {
    async fn read(options: &BindOptions) -> Result<Here, CommandError> {
        let (compiled, _) = Project::load(&options.spec).await?.compile(&options.spec)?;
        let address = address_of(&compiled.site, options.open_vswitch.as_deref())?;
        let open_vswitch = OpenVswitch::new(address, LOCAL).map_err(PlugError::from)?;
        let facts = open_vswitch.host().await.map_err(PlugError::from)?;
        let host = host_of(&compiled.site, options.host.as_deref(), &facts)?;
        let wanted = Wanted::of(&compiled, host, options.prune);
        let wanted = if options.release { wanted.nothing() } else { wanted };
        if facts.datapath.is_none() && wanted.interfaces().next().is_some() {
            return Err(PlugError::NoBridge { bridge: facts.bridge }.into());
        }
        Ok(Here { wanted, open_vswitch, facts })
    }

    async fn bind(
        &self,
        options: &BindOptions,
        links: &Indexes,
        patience: Duration,
    ) -> Result<Report, CommandError> {
        let (open_vswitch, facts) = (&self.open_vswitch, &self.facts);
        let binder = Binder { open_vswitch, facts, is_dry: options.dry_run, patience };
        Ok(binder.bind(&self.wanted, links).await?)
    }
}

/// Binds again and again: when an interface appears, and regularly, with the specs as they are then.
async fn watch(
    ui: &Ui,
    options: &BindOptions,
    links: &mut Links,
    every: Duration,
) -> Result<Exit, CommandError> {
    let caught = |kind| signal(kind).map_err(|error| CommandError::Internal(format!("no signals: {error}")));
    let (mut interrupted, mut terminated) =
        (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    let mut watched = Watched { here: None, read_at: Instant::now(), reported: None };
    loop {
        let found = links.all().await?;
        let looked = tokio::select! {
            looked = watched.look(ui, options, &found, every) => looked?,
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
        };
        if ui.is_unread() {
            break;
        }
        let wanted =
            watched.here.iter().flat_map(|here| here.wanted.interfaces()).map(str::to_owned).collect();
        tokio::select! {
            () = tokio::time::sleep(looked) => {}
            () = links.appeared(&wanted, &found) => {}
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
        }
    }
    Ok(Exit::Done)
}

/// What a watch keeps from one look to the next.
struct Watched {
    here: Option<Here>,
    /// The time when the specs were read.
    read_at: Instant,
    /// What was printed last.
    reported: Option<Result<Report, String>>,
}

impl Watched {
    /// Looks once, prints what has changed, and returns the time until the next look.
    async fn look(
        &mut self,
        ui: &Ui,
        options: &BindOptions,
        found: &Indexes,
        every: Duration,
    ) -> Result<Duration, CommandError> {
        let looked = self.bind(options, found, every).await;
        let left = every.saturating_sub(self.read_at.elapsed()).max(Duration::from_millis(100));
        match looked {
            Ok(report) => {
                let pause = if report.is_pending() { left.min(SOON) } else { left };
                if self.reported.as_ref() != Some(&Ok(report.clone())) {
                    print(ui, options, &report)?;
                    self.reported = Some(Ok(report));
                }
                Ok(pause)
            }
            Err(error) => {
                // The specs and the host are read anew.
                self.here = None;
                let text = error_chain::in_one_line(&error);
                if self.reported.as_ref() != Some(&Err(text.clone())) {
                    report::command_error(ui, &error);
                    self.reported = Some(Err(text));
                }
                Ok(every)
            }
        }
    }

    async fn bind(
        &mut self,
        options: &BindOptions,
        found: &Indexes,
        every: Duration,
    ) -> Result<Report, CommandError> {
        let here = match self.here.take() {
            Some(here) if self.read_at.elapsed() < every => here,
            _ => {
                self.read_at = Instant::now();
                Here::read(options).await?
            }
        };
        let report = here.bind(options, found, Duration::ZERO).await;
        self.here = Some(here);
        report
    }
}

/// Prints what was found and done.
fn print(ui: &Ui, options: &BindOptions, report: &Report) -> Result<(), CommandError> {
    if options.json {
        return ui.data(|out| {
            serde_json::to_writer(&mut *out, report)?;
            writeln!(out)
        });
    }
    ui.data(|out| {
        for port in &report.ports {
            let state = match &port.state {
                State::Bound => "bound".to_owned(),
                State::NoInterface => "waits: the host has no such interface".to_owned(),
                State::NotInstalled => {
                    "plugged in, but OVN has not installed it: was the spec applied, and does ovn-controller run?".to_owned()
                }
                State::WouldBind => "would be bound".to_owned(),
                State::Refused(reason) => format!("refused: {reason}"),
            };
            writeln!(out, "{}", printable(&format!("{:<32} {:<15} {state}", port.port.as_str(), port.interface)))?;
        }
        let taken = if options.dry_run { "would be taken out" } else { "taken out" };
        for name in &report.removed {
            writeln!(out, "{}", printable(&format!("{:<32} {name:<15} {taken}", "")))?;
        }
        if report.ports.is_empty() && report.removed.is_empty() {
            let line = format!("The specs have no static port on the host {}.", report.host);
            writeln!(out, "{}", printable(&line))?;
        }
        Ok(())
    })
}
