//! `midonet-cni`: connects a container to its tenant's network on MidoNet, as the Container Network Interface asks.
//!
//! A runtime starts it with a verb and its parameters in the environment and the network configuration on standard
//! input; exactly one JSON document goes to standard output. There is one file for each verb.
//!
//! The protocol is written by hand. The one library that is kept, `rscni-plugin` (0.5), speaks 0.3.0 to 1.1.0: it lacks
//! 0.1.0 and 0.2.0, which the Go plugin's deployments use.

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

use config::Config;
use protocol::error::{CniError, Code, Result};
use protocol::request::{Request, Verb};

/// The largest network configuration that is read: GC's may name thousands of containers.
const LARGEST: u64 = 32 * 1024 * 1024;

const ABOUT: &str = "\
midonet-cni connects a container to its tenant's network on MidoNet. It is a CNI plugin: a container runtime starts it,
with CNI_COMMAND and its companions in the environment and the network configuration on standard input.
CNI versions 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0; verbs ADD, DEL, CHECK, GC, STATUS and VERSION.

  midonet-cni --version    prints the version
  midonet-cni --help       prints this

Configuration, error codes and how to move from the Go plugin: docs/cni.md.
";

fn main() -> ExitCode {
    if let Some(argument) = std::env::args().nth(1) {
        return match argument.as_str() {
            "--version" | "-V" => print(&format!("midonet-cni {}\n", env!("CARGO_PKG_VERSION"))),
            "--help" | "-h" => print(ABOUT),
            other => {
                complain(&format!("midonet-cni knows no argument `{other}`; --help and --version exist\n"));
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
    let version = input
        .as_deref()
        .map_or_else(|_| protocol::version::Version::NEWEST.as_str().to_owned(), config::version_of);
    // Where something panics, the place goes to the log and a document to the runtime.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a defect of midonet-cni")));
    let run = std::panic::AssertUnwindSafe(|| run(&command, input));
    let result =
        std::panic::catch_unwind(run).unwrap_or_else(|_| Err(CniError::internal("midonet-cni broke off")));
    match result {
        Ok(document) => print(&document),
        Err(error) => {
            // Where standard output is closed there is nobody to tell.
            let _ = print(&(error.document(&version) + "\n"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a verb; answers what goes to standard output.
fn run(command: &str, input: Result<String>) -> Result<String> {
    let verb = Verb::parse(command)?;
    if verb == Verb::Version {
        return Ok(protocol::version::document(&input.unwrap_or_default()) + "\n");
    }
    let variables = |name: &str| std::env::var(name).ok();
    let config = Config::parse(&input?, &variables)?;
    logging::start(&config.log);
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    config.version.check_verb(verb)?;
    let request = match verb {
        Verb::Add | Verb::Check => Some(Request::read(&variables, true)?),
        Verb::Del => Some(Request::read(&variables, false)?),
        Verb::Gc | Verb::Status | Verb::Version => None,
    };
    let _span = request.as_ref().map(|request| {
        let (container, interface) = (&request.endpoint.container, &request.endpoint.interface);
        let tenant = tenant::of_pod(&config, request).unwrap_or_default();
        tracing::error_span!("cni", verb = command, container, interface, tenant).entered()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CniError::new(Code::Io, format!("no event loop: {error}")))?;
    let done = |()| String::new();
    let result = match (verb, &request) {
        (Verb::Add, Some(request)) => {
            let added = runtime.block_on(verbs::add::add(&config, request));
            added.and_then(|result| Ok(result.document(config.version)? + "\n"))
        }
        (Verb::Del, Some(request)) => runtime.block_on(verbs::del::del(&config, request)).map(done),
        (Verb::Check, Some(request)) => runtime.block_on(verbs::check::check(&config, request)).map(done),
        (Verb::Gc, _) => runtime.block_on(verbs::gc::gc(&config)).map(done),
        (Verb::Status, _) => runtime.block_on(verbs::status::status(&config)).map(done),
        _ => Err(CniError::internal("a verb without its parameters")),
    };
    // What is still under way is not waited for.
    runtime.shutdown_background();
    result
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text);
    match read {
        Err(error) => {
            Err(CniError::new(Code::Decoding, "standard input can't be read").details(error.to_string()))
        }
        Ok(_) if text.len() as u64 > LARGEST => {
            Err(CniError::new(Code::Decoding, "the network configuration is larger than 32 MB"))
        }
        Ok(_) => Ok(text),
    }
}

/// Writes to standard output, whole: nothing else of midonet-cni does.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // Who closed standard error does not want to know.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
