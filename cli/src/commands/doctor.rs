//! `midoform doctor`: looks at the configuration, the store, the API and this machine, and says what is wrong.

use midoform_compiler::Compiled;
use midoform_compiler::error_chain::in_one_line;
use midoform_compiler::printable::printable;
use serde::Serialize;

use crate::args::DoctorOptions;
use crate::doctor::{Finding, Verdict, files, machine, open_vswitch, ovn, plugin, services};
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::session::{Session, Target, credentials_file};
use crate::ui::Ui;

/// The report for machines.
#[derive(Serialize)]
struct Report<'a> {
    healthy: bool,
    findings: &'a [Finding],
}

pub(crate) async fn run(ui: &Ui, options: &DoctorOptions) -> Result<Exit, CommandError> {
    let mut findings = project(options).await?;
    findings.extend(machine::kernel());
    findings.extend(plugin::examine(&options.cni_plugins, &options.cni_configuration).await);
    let healthy = !findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
    if options.json {
        ui.json(&Report { healthy, findings: &findings })?;
    } else {
        ui.data(|out| findings.iter().try_for_each(|finding| line(out, finding)))?;
    }
    Ok(if healthy { Exit::Done } else { Exit::Unhealthy })
}

/// Examines the project, its store, its API, and its hosts.
async fn project(options: &DoctorOptions) -> Result<Vec<Finding>, CommandError> {
    let shown = options.spec.path.display().to_string();
    let loaded = match Project::load(&options.spec).await {
        Ok(project) => project.compile(&options.spec),
        Err(error) => Err(error),
    };
    let (compiled, project) = match loaded {
        Ok(both) => both,
        Err(CommandError::Spec(found, _)) => return Ok(vec![files::wrong_specs(&found, &shown)]),
        Err(error) => {
            let advice = "`midoform init` writes a first site; --site names a site file elsewhere";
            return Ok(vec![Finding::wrong("configuration", in_one_line(&error), advice)]);
        }
    };
    let mut findings = vec![files::specs(&compiled, &shown)];
    findings.extend(project.state.lock_file().map(|file| files::replaced(file.path())));
    let credentials = credentials_file(&options.api.login);
    findings.extend(credentials.iter().filter_map(|path| files::private(path, "the credentials file")));
    findings.push(services::store(&project.state).await);
    let target = Target::of(&compiled.site, &options.api, &project.sources.root)?;
    findings.extend(files::state_folder(&target));
    match &target {
        Target::Embedded { .. } => {
            findings.push(Finding::skipped(
                "API",
                "the site uses the one inside midoform, which starts on demand",
            ));
        }
        Target::Northbound(_) => findings.extend(examine_ovn(options, &compiled, &target).await),
        Target::Url(url, ..) => {
            let examined = async |session: &Session| Ok(services::api(session.midonet()?, url).await);
            let api = Session::with(target.clone(), compiled.engine(), &options.api, examined).await;
            findings.extend(api.unwrap_or_else(|error| vec![services::no_api(&error)]));
        }
    }
    findings.push(machine::interfaces(&compiled.site).await);
    Ok(findings)
}

/// Examines OVN's northbound database, and this machine as a host of OVN.
async fn examine_ovn(options: &DoctorOptions, compiled: &Compiled, target: &Target) -> Vec<Finding> {
    let examined = async |session: &Session| {
        let northbound = session.connection.northbound().cloned();
        let found = match &northbound {
            Some(northbound) => ovn::examine(northbound).await,
            None => Vec::new(),
        };
        Ok((found, northbound))
    };
    let examined = Session::with(target.clone(), compiled.engine(), &options.api, examined).await;
    let (mut findings, northbound) =
        examined.unwrap_or_else(|error| (vec![ovn::no_northbound(&error)], None));
    if let Some(settings) = &compiled.site.ovn {
        let has_plugin = options.cni_plugins.join(plugin::NAME).exists();
        findings
            .extend(open_vswitch::examine(&compiled.site, settings, northbound.as_ref(), has_plugin).await);
    }
    findings
}

fn line(out: &mut dyn std::io::Write, finding: &Finding) -> std::io::Result<()> {
    let Finding { about, verdict, found, advice } = finding;
    writeln!(out, "{} {about:<18} {}", verdict.sign(), printable(found))?;
    match advice {
        Some(advice) => writeln!(out, "  {:<18} {}", "", printable(advice)),
        None => Ok(()),
    }
}
