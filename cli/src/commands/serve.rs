//! `midoform serve`.

use midoform_simulator as simulator;
use uuid::Uuid;

use crate::args::ServeOptions;
use crate::error::{CommandError, Exit};
use crate::session::block_on;
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui, options: ServeOptions) -> Result<Exit, CommandError> {
    let version: simulator::Version = options
        .version
        .parse()
        .map_err(|_| CommandError::Usage(format!("--version {}: 1.7, 5.0 or 5.8", options.version)))?;
    if options.auth != "none" {
        return Err(CommandError::Usage(format!("--auth {}: only none is there yet", options.auth)));
    }
    let hosts = options.host.iter().map(|host| host_of(host)).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = &options.state_dir {
        std::fs::create_dir_all(folder).map_err(|error| CommandError::file(folder, error))?;
    }
    let settings = simulator::Options {
        version,
        listen: options.listen,
        hosts,
        state_dir: options.state_dir,
        ..simulator::Options::default()
    };
    block_on(async {
        let server = simulator::start(settings).await;
        let server = server.map_err(|error| CommandError::Embedded(error.to_string()))?;
        ui.always_say(&format!("serving MidoNet {version} at {}", server.base_url()));
        let ended = tokio::signal::ctrl_c().await;
        server.shutdown().await;
        ended.map_err(|error| CommandError::Internal(format!("no signals: {error}")))?;
        Ok(Exit::Done)
    })
}

fn host_of(text: &str) -> Result<(Uuid, String), CommandError> {
    let parsed =
        text.split_once('=').and_then(|(id, name)| Some((Uuid::try_parse(id).ok()?, name.to_owned())));
    parsed.ok_or_else(|| {
        CommandError::Usage(format!("--host {text}: write it as ID=NAME, the id being a UUID"))
    })
}
