//! `midoform adopt`: adopts tenants that the Go plugin created.

use std::time::Duration;

use midoform_adopt::{EtcdLogin, PluginState, Survey};
use midoform_store::input_file;

use crate::args::AdoptOptions;
use crate::error::{CommandError, Exit};
use crate::takeover::{Manner, adopted, take_over};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &AdoptOptions) -> Result<Exit, CommandError> {
    if options.tenants.len() > 1 && (options.router.is_some() || options.out.is_some()) {
        return Err(CommandError::Usage("--router and --out are for one tenant".to_owned()));
    }
    let plugin = plugin_state(options).await?;
    let manner = Manner {
        command: "midoform adopt",
        into: &options.into,
        out: options.out.as_ref(),
        bind: true,
        strict: !options.force,
        pending: false,
    };
    for tenant in &options.tenants {
        let known = plugin.as_ref().and_then(|plugin| plugin.tenant(tenant));
        if let (Some(plugin), None) = (&plugin, &known) {
            let all: Vec<&str> = plugin.tenants().into_iter().take(20).collect();
            let message =
                format!("the plugin's keys have no tenant `{tenant}`; they have: {}", all.join(", "));
            return Err(CommandError::Usage(message));
        }
        let choose = |survey: &Survey| adopted(survey, tenant, options.router, known.as_ref());
        let exit = take_over(ui, &manner, &choose).await?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    Ok(Exit::Done)
}

async fn plugin_state(options: &AdoptOptions) -> Result<Option<PluginState>, CommandError> {
    if let Some(path) = &options.export {
        let text = input_file::read_to_string(path).map_err(|error| CommandError::file(path, error))?;
        let state = PluginState::parse(&text);
        return state.map(Some).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())));
    }
    let Some(url) = &options.etcd_v2 else { return Ok(None) };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let login = variable("ETCD_USERNAME")
        .zip(variable("ETCD_PASSWORD"))
        .map(|(username, password)| EtcdLogin { username, password });
    let timeout = Duration::from_secs(options.into.api.timeout);
    Ok(Some(PluginState::read(url, login.as_ref(), timeout).await?))
}
