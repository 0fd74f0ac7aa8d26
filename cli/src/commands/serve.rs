//! `midoform serve`: serves the embedded API.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use midoform_simulator as simulator;
use simulator::{Auth, KeystoneOptions, KeystoneSettings, KeystoneVersion, Tls, Users};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use uuid::Uuid;

use crate::args::ServeOptions;
use crate::error::{CommandError, Exit};
use crate::session::checked;
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, mut options: ServeOptions) -> Result<Exit, CommandError> {
    if let Some(url) = &mut options.keystone_url {
        *url = checked("--keystone-url", url)?;
    }
    let version: simulator::Version = options
        .version
        .parse()
        .map_err(|_| CommandError::Usage(format!("--version {}: 1.7, 5.0 or 5.8", options.version)))?;
    let hosts = options.host.iter().map(|host| host_of(host)).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = &options.state_dir {
        midoform_store::private_folder::create(folder).map_err(|error| CommandError::file(folder, error))?;
    }
    for file in [&options.users, &options.tls_cert, &options.tls_key].into_iter().flatten() {
        refuse_pipe(file)?;
    }
    let users = options.users.as_deref().map(Users::read).transpose()?;
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls { certificate: certificate.clone(), key: key.clone() }),
        _ => None,
    };
    log_to_stderr(&options.log);
    let keystone = embedded_keystone(&options, users.clone()).await?;
    let auth = auth_of(&options, users, keystone.as_ref())?;
    let open_to_all = matches!(auth, Auth::None) && !options.listen.ip().is_loopback();
    let settings = simulator::Options {
        version,
        listen: options.listen,
        hosts,
        state_dir: options.state_dir,
        auth,
        faults: options.faults,
        inspect: options.inspect,
        agent: options.agent,
        tls,
    };
    // A reader of the line "serving" may end the server at once: so the signals are handled before it is printed.
    let mut signals =
        Signals::listen().map_err(|error| CommandError::Internal(format!("no signals: {error}")))?;
    let server = simulator::start(settings).await?;
    if open_to_all {
        ui.notice("warning: everybody who can reach this address is the administrator (--auth none)");
    }
    if let Some(keystone) = &keystone {
        ui.notice(&format!("serving Keystone at {}", keystone.url()));
    }
    ui.notice(&format!("serving MidoNet {version} at {}", server.base_url()));
    signals.wait().await;
    server.shutdown().await;
    if let Some(keystone) = keystone {
        keystone.shutdown().await;
    }
    Ok(Exit::Done)
}

/// Refuses a named pipe: without a writer, the server would wait for ever. A shell's `<(…)` has a writer.
fn refuse_pipe(path: &Path) -> Result<(), CommandError> {
    let metadata = std::fs::metadata(path).map_err(|error| CommandError::file(path, error))?;
    match metadata.file_type().is_fifo() && !path.starts_with("/dev/fd") && !path.starts_with("/proc") {
        true => Err(CommandError::file(path, std::io::Error::other("it is a named pipe: give a file"))),
        false => Ok(()),
    }
}

/// The signals that end the server: Ctrl-C, and a supervisor's SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts to listen to the signals.
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one of the signals.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn log_to_stderr(how: &str) {
    let only_requests = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("midoform_simulator::request", LevelFilter::INFO);
    let registry = tracing_subscriber::registry();
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A process that embeds this command has its own subscriber.
    let _ = match how {
        "json" => {
            let flat = format.json().flatten_event(true).with_current_span(false).with_span_list(false);
            registry.with(flat.with_filter(only_requests)).try_init()
        }
        "text" => registry.with(format.with_ansi(false).with_filter(only_requests)).try_init(),
        _ => registry.with(format.with_ansi(false).with_filter(LevelFilter::WARN)).try_init(),
    };
}

/// Starts the embedded Keystone, if one is needed.
async fn embedded_keystone(
    options: &ServeOptions,
    users: Option<Users>,
) -> Result<Option<simulator::KeystoneServer>, CommandError> {
    let needed = options.auth == "keystone" && options.keystone_url.is_none();
    let listen = match options.keystone_listen {
        Some(listen) => listen,
        None if needed => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        None => return Ok(None),
    };
    let users = users.ok_or_else(|| {
        CommandError::Usage(
            "the embedded Keystone needs --users FILE; use another Keystone with --keystone-url".to_owned(),
        )
    })?;
    let settings = KeystoneOptions {
        listen,
        users,
        lifetime: Duration::from_secs(options.token_seconds),
        state_dir: options.state_dir.clone(),
    };
    Ok(Some(simulator::start_keystone(settings).await?))
}

fn auth_of(
    options: &ServeOptions,
    users: Option<Users>,
    keystone: Option<&simulator::KeystoneServer>,
) -> Result<Auth, CommandError> {
    let version = if options.keystone_version == "2" { KeystoneVersion::V2 } else { KeystoneVersion::V3 };
    match (options.auth.as_str(), users, &options.keystone_url, keystone) {
        ("basic", Some(users), ..) => {
            Ok(Auth::Basic { users, lifetime: Duration::from_secs(options.token_seconds) })
        }
        ("basic", None, ..) => Err(CommandError::Usage("--auth basic needs --users FILE".to_owned())),
        ("keystone", _, Some(url), _) => {
            let variable = |name: &str| {
                std::env::var(name).map_err(|_| {
                    CommandError::Usage(format!(
                        "--keystone-url needs {name} of an administrator in the environment"
                    ))
                })
            };
            Ok(Auth::Keystone(KeystoneSettings {
                url: url.clone(),
                version,
                username: variable("OS_USERNAME")?,
                password: variable("OS_PASSWORD")?,
                project: variable("OS_PROJECT_NAME")?,
            }))
        }
        ("keystone", Some(users), None, Some(keystone)) => {
            let admin = users.users.iter().find_map(|user| {
                let tenant = user.tenants.iter().find(|(_, roles)| roles.iter().any(|role| role == "admin"));
                tenant.map(|(tenant, _)| (user, tenant))
            });
            let (user, tenant) = admin.ok_or_else(|| {
                CommandError::Usage(
                    "no user in the file has the role admin, which the API needs at Keystone".to_owned(),
                )
            })?;
            Ok(Auth::Keystone(KeystoneSettings {
                url: keystone.url().to_owned(),
                version,
                username: user.name.clone(),
                password: user.password.clone(),
                project: tenant.clone(),
            }))
        }
        _ => Ok(Auth::None),
    }
}

fn host_of(text: &str) -> Result<(Uuid, String), CommandError> {
    let parsed =
        text.split_once('=').and_then(|(id, name)| Some((Uuid::try_parse(id).ok()?, name.to_owned())));
    parsed.ok_or_else(|| CommandError::Usage(format!("--host {text}: write ID=NAME, with a UUID as the id")))
}
