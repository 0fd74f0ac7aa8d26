//! Chooses the router that is taken over, and the name of its tenant.

use midoform_adopt::{PluginTenant, Pod, ROUTER_SUFFIX, SeenRouter, Survey, legal_name};
use midoform_compiler::spec::parse::name_problem;
use midoform_compiler::topology::key::SITE;
use uuid::Uuid;

use crate::args::ImportOptions;
use crate::error::CommandError;

/// A router that is taken over, with the name of its tenant.
pub(crate) struct Chosen {
    pub(super) router: Uuid,
    pub(super) tenant: String,
    /// The pods in the Go plugin's keys.
    pub(super) pods: Vec<Pod>,
    /// Remarks about the choice, for people.
    pub(super) notes: Vec<String>,
}

/// Chooses the router of the Go plugin's tenant.
pub(crate) fn adopted(
    survey: &Survey,
    wanted: &str,
    router: Option<Uuid>,
    plugin: Option<&PluginTenant>,
) -> Result<Chosen, CommandError> {
    let routers = survey.routers();
    let by_id = |id: Uuid| routers.iter().find(|router| router.id == id);
    let mut notes = Vec::new();
    let named = |router: &&SeenRouter| {
        let tenant = router.name.strip_suffix(ROUTER_SUFFIX);
        tenant == Some(wanted) || (tenant.is_some() && router.tenant_id == wanted)
    };
    let written = plugin.and_then(|plugin| plugin.router);
    let chosen = match (router, written.and_then(by_id)) {
        (Some(id), _) => {
            by_id(id).ok_or_else(|| CommandError::Usage(format!("--router {id}: there is no such router")))?
        }
        (None, Some(router)) => router,
        (None, None) => {
            if let Some(id) = written {
                notes.push(format!("the plugin's keys name the router {id}, which is not there"));
            }
            let candidates: Vec<&SeenRouter> = routers.iter().filter(named).collect();
            let missing = format!("there is no router `{wanted}{ROUTER_SUFFIX}`");
            only_one(survey, &candidates, "--router ID", missing, &routers)?
        }
    };
    let tenant = chosen.name.strip_suffix(ROUTER_SUFFIX).unwrap_or(wanted);
    let pods = plugin.map(|plugin| plugin.pods.clone()).unwrap_or_default();
    Ok(Chosen { router: chosen.id, tenant: checked_name(tenant)?, pods, notes })
}

/// Chooses the router with this name or id.
pub(crate) fn imported(survey: &Survey, options: &ImportOptions) -> Result<Chosen, CommandError> {
    let routers = survey.routers();
    let id = Uuid::try_parse(&options.router).ok();
    let is_it = |router: &&SeenRouter| Some(router.id) == id || router.name == options.router;
    let candidates: Vec<&SeenRouter> = routers.iter().filter(is_it).collect();
    let missing = format!("there is no router `{}`", options.router);
    let chosen = only_one(survey, &candidates, "its id", missing, &routers)?;
    let tenant = match &options.name {
        Some(name) => checked_name(name)?,
        None => legal_name(chosen.name.strip_suffix(ROUTER_SUFFIX).unwrap_or(&chosen.name)),
    };
    Ok(Chosen { router: chosen.id, tenant: checked_name(&tenant)?, pods: Vec::new(), notes: Vec::new() })
}

/// Returns the one candidate; of several with one name, the one that is linked.
fn only_one<'a>(
    survey: &Survey,
    candidates: &[&'a SeenRouter],
    how: &str,
    missing: String,
    routers: &[SeenRouter],
) -> Result<&'a SeenRouter, CommandError> {
    let linked: Vec<&SeenRouter> =
        candidates.iter().copied().filter(|router| survey.links_of(router.id) > 0).collect();
    match (candidates, linked.as_slice()) {
        ([], _) => {
            let some: Vec<String> =
                routers.iter().take(10).map(|router| format!("`{}`", router.name)).collect();
            let more = if routers.len() > 10 { " …" } else { "" };
            let there = if some.is_empty() { "no router at all".to_owned() } else { some.join(", ") + more };
            Err(CommandError::Usage(format!("{missing}; there is {there}")))
        }
        ([one], _) | (_, [one]) => Ok(one),
        _ => {
            let ids: Vec<String> = candidates.iter().map(|router| router.id.to_string()).collect();
            let message = format!("several routers have that name: {}; choose one by {how}", ids.join(", "));
            Err(CommandError::Conflict(message))
        }
    }
}

fn checked_name(name: &str) -> Result<String, CommandError> {
    let problem = match name == SITE {
        true => Some("is the name of the site's own objects".to_owned()),
        false => name_problem(name),
    };
    match problem {
        None => Ok(name.to_owned()),
        Some(problem) => {
            let help = "`midoform import ROUTER --name NAME` takes the router under another name";
            Err(CommandError::Usage(format!("`{name}` can't be a tenant's name: it {problem}; {help}")))
        }
    }
}
