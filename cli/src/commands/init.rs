//! `midoform init`: writes a first site file and a first tenant file, from a few answers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use midoform_compiler::source::Source;
use midoform_compiler::spec::parse::name_problem;
use midoform_compiler::spec::schema;
use midoform_compiler::spec::url::base_url;
use midoform_compiler::{Allocated, Input, compile};
use midoform_render::single_quoted;
use midoform_store::atomic_file::write_atomically;
use serde::Serialize;
use uuid::Uuid;

use crate::args::InitOptions;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// The folder of the JSON Schemas, beside the site file. Editors find them by the first line of each file.
const SCHEMAS: &str = "schema";

/// The files that were written, and what to do next.
#[derive(Serialize)]
struct Report<'a> {
    files: Vec<String>,
    next: &'a [String],
}

/// What forwards the packets.
enum Network {
    /// The API inside midoform.
    Embedded { version: u8 },
    /// MidoNet, by the URL of its API.
    MidoNet { url: String, version: u8 },
    /// OVN, by the servers of its northbound database.
    Ovn { northbound: Vec<String>, gateway_chassis: String },
}

/// The forms of a server of OVN's northbound database.
const NORTHBOUND: [&str; 3] = ["unix:", "tcp:", "ssl:"];

/// The answers to all questions.
struct Answers {
    site: String,
    network: Network,
    /// The provider router; none if midoform makes it.
    provider_router: Option<Uuid>,
    tenant: String,
}

pub(crate) async fn run(ui: &Ui, options: &InitOptions) -> Result<Exit, CommandError> {
    let folder = &options.folder;
    let answers = Answers::of(ui, options).await?;
    let tenant_file = format!("{}.toml", answers.tenant);
    let site_text = site_file(&answers);
    let tenant_text = tenant_file_text(&answers.tenant);
    check(&site_text, &tenant_file, &tenant_text)?;
    let schemas = folder.join(SCHEMAS);
    let files = [
        (folder.join("site.toml"), site_text),
        (folder.join(tenant_file), tenant_text),
        (schemas.join("site.json"), pretty(&schema::site())?),
        (schemas.join("tenant.json"), pretty(&schema::tenant())?),
    ];
    refuse_existing(&files)?;
    std::fs::create_dir_all(&schemas).map_err(|error| CommandError::file(&schemas, error))?;
    for (path, text) in &files {
        let written = write_atomically(path, |file| file.write_all(text.as_bytes()));
        written.map_err(|error| CommandError::file(path, error))?;
    }
    report(ui, options, &answers, &files)
}

impl Answers {
    /// Takes the options, and asks for what they leave open if there is a terminal. Otherwise the defaults hold.
    async fn of(ui: &Ui, options: &InitOptions) -> Result<Answers, CommandError> {
        let asks = !options.yes && ui.can_ask();
        let standard = name_of(&options.folder);
        let site = answer(ui, asks, &options.site_name, "The site's name", &standard).await?;
        let site = checked("--site-name", site)?;
        let network = Network::of(ui, options, asks).await?;
        let provider_router = match (&options.provider_router, &network) {
            (Some(id), _) => Some(*id),
            (None, Network::MidoNet { .. } | Network::Ovn { .. }) if asks => {
                let question = "The id of the router that leads outside (nothing: midoform makes one)";
                let id = ui.ask(question, "").await?;
                if id.is_empty() { None } else { Some(uuid(&id)?) }
            }
            _ => None,
        };
        let tenant = answer(ui, asks, &options.tenant, "The first tenant's name", "acme").await?;
        Ok(Answers { site, network, provider_router, tenant: checked("--tenant", tenant)? })
    }
}

impl Network {
    async fn of(ui: &Ui, options: &InitOptions, asks: bool) -> Result<Network, CommandError> {
        let place = match &options.api {
            Some(place) => place.clone(),
            None if asks => {
                let question = "The URL of the MidoNet API, or OVN's northbound database, unix:… or ssl:… (nothing: the \
                                API inside midoform, to try it)";
                ui.ask(question, "").await?
            }
            None => String::new(),
        };
        if NORTHBOUND.iter().any(|form| place.starts_with(form)) {
            if options.midonet_version.is_some() {
                return Err(CommandError::Usage(
                    "--midonet-version is for MidoNet, and --api names OVN".to_owned(),
                ));
            }
            let question = "The chassis that traffic to the outside passes";
            let gateway_chassis = answer(ui, asks, &options.gateway_chassis, question, "gw1").await?;
            let northbound = place.split(',').map(|server| server.trim().to_owned()).collect();
            return Ok(Network::Ovn { northbound, gateway_chassis });
        }
        if options.gateway_chassis.is_some() {
            let words =
                "--gateway-chassis is for OVN: --api names no northbound database (unix:…, tcp:…, ssl:…)";
            return Err(CommandError::Usage(words.to_owned()));
        }
        if place.is_empty() {
            return Ok(Network::Embedded { version: options.midonet_version.unwrap_or(5) });
        }
        base_url(&place)
            .map_err(|problem| CommandError::Usage(format!("the API's URL {problem}: {}", problem.help())))?;
        let version = match options.midonet_version {
            Some(version) => version,
            None if asks => number(&ui.ask("The dialect: 1 for MidoNet 1.x, 5 for 5.x", "5").await?)?,
            None => 5,
        };
        Ok(Network::MidoNet { url: place, version })
    }

    /// Returns the table of the site file.
    fn table(&self) -> String {
        let text = |value: &str| toml::Value::from(value).to_string();
        let dialect = |version| format!("version = {version} # the dialect: 1 for MidoNet 1.x, 5 for 5.x\n");
        match self {
            Network::Embedded { version } => format!(
                "[midonet]\nembedded = true # the API inside midoform, with its state in .midoform; later: url = \
                 \"http://…/midonet-api\"\n{}",
                dialect(*version)
            ),
            Network::MidoNet { url, version } => {
                format!("[midonet]\nurl = {}\n{}", text(url), dialect(*version))
            }
            Network::Ovn { northbound, gateway_chassis } => ovn_table(northbound, gateway_chassis),
        }
    }
}

/// Returns the table of OVN.
fn ovn_table(northbound: &[String], gateway_chassis: &str) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    let (servers, hint) = match northbound {
        [server] => (text(server), " # a cluster: a list of its servers"),
        servers => {
            (format!("[{}]", servers.iter().map(|server| text(server)).collect::<Vec<_>>().join(", ")), "")
        }
    };
    let ca = match northbound.iter().any(|server| server.starts_with("ssl:")) {
        true => {
            "ca = \"cacert.pem\" # the certificates that sign the servers'; its own: certificate, private_key\n"
        }
        false => "",
    };
    format!(
        "[ovn]\nnorthbound = {servers}{hint}\n{ca}gateway_chassis = {} # traffic to the outside passes it\n",
        text(gateway_chassis)
    )
}

/// Returns an option's value, or else the answer to a question, or else the default.
async fn answer(
    ui: &Ui,
    asks: bool,
    option: &Option<String>,
    question: &str,
    standard: &str,
) -> Result<String, CommandError> {
    match option {
        Some(value) => Ok(value.clone()),
        None if asks => ui.ask(question, standard).await,
        None => Ok(standard.to_owned()),
    }
}

fn checked(option: &str, name: String) -> Result<String, CommandError> {
    match name_problem(&name) {
        None => Ok(name),
        Some(problem) => Err(CommandError::Usage(format!("{option} {name}: the name {problem}"))),
    }
}

fn number(text: &str) -> Result<u8, CommandError> {
    let wrong = || CommandError::Usage(format!("`{text}` is no dialect: 1 and 5 exist"));
    text.parse().ok().filter(|version| [1, 5].contains(version)).ok_or_else(wrong)
}

fn uuid(text: &str) -> Result<Uuid, CommandError> {
    Uuid::try_parse(text).map_err(|_| CommandError::Usage(format!("`{text}` is no UUID")))
}

/// Returns the name of a folder, if a site can have it.
fn name_of(folder: &Path) -> String {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let name = whole.components().next_back().map(|last| last.as_os_str().to_string_lossy().into_owned());
    name.filter(|name| name_problem(name).is_none()).unwrap_or_else(|| "my-site".to_owned())
}

fn site_file(answers: &Answers) -> String {
    let mut text = format!(
        "#:schema {SCHEMAS}/site.json\n\n# The site: where the network is, and the addresses that its tenants may have. All keys: \
         docs/spec.md.\nname = \"{}\"\n\n{}",
        answers.site,
        answers.network.table()
    );
    // Writing into a string can't fail.
    let _ = match &answers.provider_router {
        Some(id) => writeln!(text, "provider_router = \"{id}\" # the router that leads outside"),
        None => writeln!(text, "managed = true # midoform makes the router that leads outside"),
    };
    text.push_str(
        "\n[pools]\nlinks = \"172.16.0.0/16\" # a /30 for each tenant\nbridges = \"192.168.0.0/16\" # a /24 for each bridge \
         without a network of its own\n",
    );
    text
}

fn tenant_file_text(tenant: &str) -> String {
    format!(
        "#:schema {SCHEMAS}/tenant.json\n\n# A tenant: a router of its own behind the provider router. All keys: docs/spec.md.\nname \
         = \"{tenant}\"\n\n[[bridge]]\nname = \"web\" # its network is allocated\n\n[[bridge]]\nname = \"db\"\n\n# The \
         first rule that matches a new connection decides. Replies pass.\n[[rule]]\nname = \"web-to-db\"\nfrom = {{ bridge = \
         \"web\" }}\nto = {{ bridge = \"db\", tcp = 5432 }}\naction = \"accept\"\n\n[[rule]]\nname = \
         \"nothing-else-to-db\"\nto = {{ bridge = \"db\" }}\naction = \"drop\"\n"
    )
}

/// Compiles the files before they are written: what is written is right.
fn check(site: &str, tenant_file: &str, tenant: &str) -> Result<(), CommandError> {
    let site = Source::new("site.toml", site);
    let tenants = [Source::new(tenant_file, tenant)];
    let input = Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants };
    let problem = |found: Vec<midoform_compiler::diagnostic::Diagnostic>| {
        let words: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
        CommandError::Usage(format!("these answers make no site: {}", words.join("; ")))
    };
    compile(input).map(drop).map_err(problem)
}

fn pretty(schema: &serde_json::Value) -> Result<String, CommandError> {
    let text = serde_json::to_string_pretty(schema);
    text.map(|text| text + "\n").map_err(|error| CommandError::Internal(error.to_string()))
}

/// Refuses to write over files. A site in a folder above would be another one's.
fn refuse_existing(files: &[(PathBuf, String)]) -> Result<(), CommandError> {
    let there: Vec<String> = files
        .iter()
        .filter(|(path, _)| std::fs::symlink_metadata(path).is_ok())
        .map(|(path, _)| path.display().to_string())
        .collect();
    match there.is_empty() {
        true => Ok(()),
        false => Err(CommandError::Conflict(format!(
            "{} exist{} already, and nothing was written: name another folder",
            there.join(", "),
            if there.len() == 1 { "s" } else { "" }
        ))),
    }
}

fn report(
    ui: &Ui,
    options: &InitOptions,
    answers: &Answers,
    files: &[(PathBuf, String)],
) -> Result<Exit, CommandError> {
    let shown = shown(&options.folder);
    let mut next = vec![format!("midoform validate {shown}")];
    if !matches!(answers.network, Network::Embedded { .. }) {
        next.push(format!("midoform doctor {shown}"));
    }
    next.push(format!("midoform plan {shown}"));
    next.push(format!("midoform apply {shown}"));
    if options.json {
        let files = files.iter().map(|(path, _)| path.display().to_string()).collect();
        ui.json(&Report { files, next: &next })?;
        return Ok(Exit::Done);
    }
    for (path, _) in files {
        ui.status(&format!("written: {}", path.display()));
    }
    ui.status("Next:");
    next.iter().for_each(|command| ui.status(&format!("  {command}")));
    Ok(Exit::Done)
}

/// Returns a path as a shell takes it.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) { text } else { single_quoted(&text) }
}
