//! Refuses a plan before its first call, if the network lacks what its calls need.

use midoform_compiler::Compiled;
use midoform_compiler::plan::Plan;
use midoform_compiler::source::Locations;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::values::Engine;
use midoform_reconcile::preflight;

use crate::error::CommandError;
use crate::project::Project;
use crate::session::Session;

/// Looks for everything that the plan needs from the network. The error names all that is missing, with the lines of the spec.
pub(crate) async fn check(
    session: &Session,
    plan: (&Plan, &Topology),
    observed: &Observed,
) -> Result<(), CommandError> {
    // What rows need is in the northbound database itself: a host is known there once its chassis has registered.
    let Some(client) = session.connection.midonet() else { return Ok(()) };
    let missing = preflight::check(client, plan, observed).await?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(CommandError::Missing(preflight::in_lines(&missing)))
}

/// Adds the site file's line to an error about the provider router.
pub(crate) fn at_line(error: CommandError, compiled: &Compiled, project: &Project) -> CommandError {
    let CommandError::NoProviderRouter(unsound) = &error else { return error };
    let site = &compiled.site;
    let span = match (site.engine, &site.midonet, &site.ovn) {
        (Engine::Ovn, _, Some(ovn)) => ovn.provider_router.as_ref().map(|router| router.span),
        (_, Some(midonet), _) => midonet.provider_router.as_ref().map(|router| router.span),
        _ => None,
    };
    let locations = Locations::new(std::iter::once(&project.sources.site));
    match span.and_then(|span| locations.provenance(span)) {
        Some(place) => CommandError::Conflict(format!("{place}: {unsound}")),
        None => error,
    }
}
