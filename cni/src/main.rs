//! `midonet-cni`: a CNI plugin that connects a container to its tenant's network on MidoNet.
//!
//! A runtime starts it with a verb and parameters in the environment, and the network configuration on standard input. The
//! plugin writes exactly one JSON document to standard output.
//!
//! The folders, from the top down; each uses only those below it:
//!
//! - `verbs`: ADD, DEL, CHECK, GC and STATUS;
//! - `tenant`: makes sure that the tenant exists and is linked with its peers;
//! - `endpoint`: one interface of a container: its veth pair and its port in MidoNet;
//! - `backend`: the store and the MidoNet API;
//! - `state`: the files of the state folder;
//! - `netlink`: the kernel's network namespaces;
//! - `config`: the network configuration;
//! - `protocol`: the request, the result and the errors of CNI.
//!
//! The protocol is our own code. The maintained library `rscni-plugin` (0.5) supports CNI 0.3.0 to 1.1.0, but deployments of
//! the Go plugin use 0.1.0 and 0.2.0.

mod backend;
mod config;
mod endpoint;
mod logging;
mod netlink;
mod protocol;
mod state;
mod tenant;
mod verbs;

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use protocol::error::{CniError, Code, Result};
use protocol::request::{Request, Verb};
use protocol::version;

/// The size limit of the network configuration, in bytes. GC's may name thousands of containers.
const LARGEST: u64 = 32 * 1024 * 1024;

const ABOUT: &str = "\
midonet-cni is a CNI plugin. It connects a container to its tenant's network on MidoNet. A container runtime starts it with
CNI_COMMAND and the other CNI variables in the environment, and with the network configuration on standard input.
It supports CNI 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0, with ADD, DEL, CHECK, GC, STATUS and VERSION.

  midonet-cni --version    prints the version
  midonet-cni --help       prints this

docs/cni.md describes the configuration, the error codes and the move from the Go plugin.
";

fn main() -> ExitCode {
    if let Some(argument) = std::env::args().nth(1) {
        return match argument.as_str() {
            "--version" | "-V" => print(&format!("midonet-cni {}\n", env!("CARGO_PKG_VERSION"))),
            "--help" | "-h" => print(ABOUT),
            other => {
                complain(&format!("midonet-cni: unknown argument `{other}`; try --help or --version\n"));
                ExitCode::from(64)
            }
        };
    }
    let command = std::env::var("CNI_COMMAND").unwrap_or_default();
    if command.is_empty() {
        complain(ABOUT);
        return ExitCode::SUCCESS;
    }
    let input = standard_input();
    let version =
        input.as_deref().map_or_else(|_| version::Version::NEWEST.as_str().to_owned(), config::version_of);
    // After a panic, the log has the place, and the runtime gets an error document.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "midonet-cni has a defect")));
    let run = std::panic::AssertUnwindSafe(|| run(&command, input));
    let result = std::panic::catch_unwind(run)
        .unwrap_or_else(|_| Err(CniError::internal("midonet-cni stopped because of a defect")));
    match result {
        Ok(document) => print(&document),
        Err(error) => {
            // If standard output is closed, nobody reads the error.
            let _ = print(&(error.document(&version) + "\n"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a verb, and returns the document for standard output.
fn run(command: &str, input: Result<String>) -> Result<String> {
    let verb = Verb::parse(command)?;
    if verb == Verb::Version {
        return Ok(version::document(&input.unwrap_or_default()) + "\n");
    }
    let variables = |name: &str| std::env::var(name).ok();
    let config = config::parse(&input?, verb, &variables)?;
    logging::start(&config.log);
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    config.version.check_verb(verb)?;
    let request = match verb {
        Verb::Add | Verb::Check => Some(Request::read(&variables)?),
        Verb::Del => Some(Request::read_for_del(&variables)?),
        Verb::Gc | Verb::Status | Verb::Version => None,
    };
    let _span = request.as_ref().map(|request| {
        let (container, interface) = (&request.endpoint.container, &request.endpoint.interface);
        let tenant = config.tenant_of(request).unwrap_or_default();
        tracing::error_span!("cni", verb = command, container, interface, tenant).entered()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        CniError::new(Code::Io, "the asynchronous runtime can't be started").caused_by(error)
    })?;
    let result = runtime.block_on(verbs::run(verb, request.as_ref(), &config));
    // Work that is still running is not waited for.
    runtime.shutdown_background();
    result
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text);
    match read {
        Err(error) => Err(CniError::new(Code::Decoding, "standard input can't be read").caused_by(error)),
        Ok(_) if text.len() as u64 > LARGEST => {
            Err(CniError::new(Code::Decoding, "the network configuration is larger than 32 MB"))
        }
        Ok(_) => Ok(text),
    }
}

/// Writes to standard output. Nothing else in midonet-cni does, so there is never more than one document.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // If standard error is closed, nobody reads the message.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
