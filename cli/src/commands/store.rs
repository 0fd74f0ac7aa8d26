//! `midoform store` and `midoform push`: the store of pods' addresses and of pushed specs (`docs/store.md`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::Site;
use midoform_reconcile::orphaned_ports;
use midoform_reconcile::orphaned_ports::PortsError;
use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::etcd::Etcd;
use midoform_store::ipam::consistency::{Finding, Snapshot};
use midoform_store::ipam::ports::{PortDeletion, RepairError};
use midoform_store::ipam::{AddressRecord, Attachment, consistency};
use midoform_store::locks::LockRecord;
use midoform_store::open::OpenOptions;
use midoform_store::ready::Ready;
use midoform_store::record::{Record, decode, encode};
use midoform_store::tenants::PushedFile;
use midoform_store::{
    Commit, Entry, Range, SharedStore, StoreError, Transaction, allocation, keys, open, read_one,
};
use serde::{Deserialize, Serialize};

use crate::args::{Api, Spec};
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::session::{Session, Target, block_on};
use crate::ui::Ui;

/// The version of a dump.
const DUMP: &str = "midoform-store/1";

/// How many keys are written at once.
const AT_ONCE: usize = 50;

/// Which store.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// The file of an embedded store.
    #[arg(long, value_name = "FILE", default_value = crate::commands::attachments::STORE)]
    pub(crate) store: PathBuf,
    /// The site file that names an etcd, which is used instead; MIDOFORM_ETCD_USERNAME and MIDOFORM_ETCD_PASSWORD
    /// log in.
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd_of: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct StoreOptions {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Print everything in the store as JSON.
    Dump,
    /// Put a dump into an empty store.
    Load {
        /// What `store dump` printed.
        file: PathBuf,
    },
    /// Say what a crash left behind.
    Check(CheckOptions),
    /// Write all values in the newest form.
    Migrate,
}

#[derive(Args)]
struct CheckOptions {
    /// Put right what nobody can still be using.
    #[arg(long)]
    repair: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Look at the pods' ports in MidoNet too: the site file that says where its API is.
    #[arg(long, value_name = "FILE")]
    midonet_of: Option<PathBuf>,
    #[command(flatten)]
    api: Api,
}

#[derive(Args)]
pub(crate) struct PushOptions {
    #[command(flatten)]
    spec: Spec,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize, Deserialize)]
struct Dump {
    format: String,
    entries: Vec<Pair>,
}

#[derive(Serialize, Deserialize)]
struct Pair {
    key: String,
    value: String,
}

pub(crate) fn site_of(path: &Path) -> Result<Site, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|error| CommandError::file(path, error))?;
    let source = Source::new(path.display().to_string(), text);
    let site = midoform_compiler::spec::parse::site(&source, SourceId(0), &mut Diagnostics::default());
    site.ok_or_else(|| {
        let path = path.display();
        CommandError::Usage(format!("{path} is no site file; `midoform validate` says what is wrong"))
    })
}

async fn open(place: &Place, make: bool) -> Result<SharedStore, CommandError> {
    let Some(path) = &place.etcd_of else {
        if !make && !place.store.exists() {
            let path = place.store.display();
            return Err(CommandError::Usage(format!("there is no store {path}; --store names another")));
        }
        return Ok(Arc::new(Embedded::open(&place.store)?));
    };
    let site = site_of(path)?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let login = open::login(&|name| std::env::var(name).ok())?;
    let around = OpenOptions { folder, login, timeout: None };
    let open::Location::Etcd(settings, tls) = open::location_of(&site, &around) else {
        let message = format!("{} names no etcd (`[etcd] endpoints`)", path.display());
        return Err(CommandError::Usage(message));
    };
    Ok(Arc::new(Etcd::open_tls(settings, &tls)?))
}

pub(crate) fn run(ui: &Ui, options: &StoreOptions) -> Result<Exit, CommandError> {
    block_on(async {
        match &options.command {
            StoreCommand::Dump => dump(ui, &open(&options.place, false).await?).await,
            StoreCommand::Load { file } => load(ui, &open(&options.place, true).await?, file).await,
            StoreCommand::Check(asked) => check(ui, &open(&options.place, false).await?, asked).await,
            StoreCommand::Migrate => migrate(ui, &open(&options.place, false).await?).await,
        }
    })
}

async fn dump(ui: &Ui, store: &SharedStore) -> Result<Exit, CommandError> {
    let found = read_one(&**store, Range::prefix("")).await?;
    // What goes with a lease is a process's that runs now.
    let lasting = found.into_iter().filter(|entry| entry.lease.is_none());
    let entries = lasting.map(|entry| Pair { key: entry.key, value: entry.value }).collect();
    ui.json(&Dump { format: DUMP.to_owned(), entries })?;
    Ok(Exit::Done)
}

async fn load(ui: &Ui, store: &SharedStore, file: &Path) -> Result<Exit, CommandError> {
    let text = std::fs::read_to_string(file).map_err(|error| CommandError::file(file, error))?;
    let dump: Dump = serde_json::from_str(&text)
        .map_err(|error| CommandError::Usage(format!("{} is no dump: {error}", file.display())))?;
    if dump.format != DUMP {
        let message =
            format!("{}: its format is {}, and this midoform knows {DUMP}", file.display(), dump.format);
        return Err(CommandError::Usage(message));
    }
    if !read_one(&**store, Range::prefix("").limit(1)).await?.is_empty() {
        let message = format!("{} is not empty: a dump is loaded into an empty one", store.name());
        return Err(CommandError::Conflict(message));
    }
    for pairs in dump.entries.chunks(AT_ONCE) {
        let put = |transaction: Transaction, pair: &Pair| {
            transaction.when_absent(&pair.key).put(&pair.key, &*pair.value)
        };
        let transaction = pairs.iter().fold(Transaction::default(), put);
        if store.commit(&transaction).await? == Commit::Conflict {
            let message = "somebody else writes into the store: nothing more was loaded".to_owned();
            return Err(CommandError::Conflict(message));
        }
    }
    ui.say(&format!("{} keys loaded into {}", dump.entries.len(), store.name()));
    Ok(Exit::Done)
}

async fn check(ui: &Ui, store: &SharedStore, options: &CheckOptions) -> Result<Exit, CommandError> {
    let before = consistency::read(store).await?;
    let mut findings = before.findings().to_vec();
    if options.repair {
        consistency::repair(store, &mut findings).await?;
    }
    if let Some(path) = &options.midonet_of {
        findings.extend(check_ports(store, &before, path, options).await?);
    }
    let json = options.json;
    if json {
        ui.json(&findings)?;
    } else {
        ui.data(|out| {
            for finding in &findings {
                let then = match (finding.repaired, finding.safe) {
                    (true, _) => "repaired",
                    (false, true) => "--repair puts it right",
                    (false, false) => "left: somebody has to look",
                };
                writeln!(out, "{}  {}: {} ({then})", finding.code, finding.key, finding.what)?;
            }
            Ok(())
        })?;
        let left = findings.iter().filter(|finding| !finding.repaired).count();
        ui.say(&format!("{}: {} findings, {left} of them left", store.name(), findings.len()));
    }
    Ok(if findings.iter().all(|finding| finding.repaired) { Exit::Done } else { Exit::Drift })
}

/// The ports that MidoNet has beside what is claimed.
async fn check_ports(
    store: &SharedStore,
    before: &Snapshot,
    path: &Path,
    options: &CheckOptions,
) -> Result<Vec<Finding>, CommandError> {
    let site = site_of(path)?;
    let name = site.name.value.clone();
    let dialect = Dialect::from_number(site.midonet.version.value).unwrap_or(Dialect::V5);
    let folder = path.parent().unwrap_or(Path::new(""));
    let session = Session::open(Target::of(&site, &options.api, folder), dialect, &options.api).await?;
    let result = async {
        let (site, bridges) = ((name.as_str(), dialect), before.bridges());
        let found =
            orphaned_ports::look(store, &session.client, site, before, &bridges, options.repair).await;
        found.map_err(|error| match error {
            RepairError::Store(error) => error.into(),
            RepairError::Port(PortsError::Client(error)) => error.into(),
            RepairError::Port(PortsError::Step(error)) => error.into(),
        })
    };
    let result = result.await;
    session.close().await;
    result
}

/// The value in its newest form.
fn newest(store: &str, entry: &Entry) -> Result<Option<String>, StoreError> {
    fn again<T: Record>(store: &str, entry: &Entry) -> Result<Option<String>, StoreError> {
        let value = encode(&decode::<T>(store, entry)?.record);
        Ok((value != entry.value).then_some(value))
    }
    let parts: Vec<&str> = entry.key.split('/').collect();
    match parts.as_slice() {
        ["site"] | ["spec", _] => again::<PushedFile>(store, entry),
        ["ready", _] => again::<Ready>(store, entry),
        ["pod", _, "address", _] => again::<AddressRecord>(store, entry),
        ["attachment", ..] => again::<Attachment>(store, entry),
        ["lock", _] => again::<LockRecord>(store, entry),
        ["reclaim", ..] => again::<PortDeletion>(store, entry),
        ["given", ..] => {
            let value = allocation::newest(store, entry)?;
            Ok(value.filter(|value| *value != entry.value))
        }
        _ => Ok(None),
    }
}

async fn migrate(ui: &Ui, store: &SharedStore) -> Result<Exit, CommandError> {
    let found = read_one(&**store, Range::prefix("")).await?;
    let all = found.len();
    let mut written = 0;
    for entry in found.iter().filter(|entry| entry.lease.is_none()) {
        let Some(value) = newest(&store.name(), entry)? else { continue };
        let put = Transaction::default().when(&entry.key, entry.revision).put(&entry.key, value);
        // What changed meanwhile was written by this version, or will be looked at by the next run.
        written += usize::from(matches!(store.commit(&put).await?, Commit::Done(_)));
    }
    ui.say(&format!("{}: {written} of {all} values were written anew", store.name()));
    Ok(Exit::Done)
}

/// `midoform push`: checks the specs, and puts them into the store for the plugin.
pub(crate) fn push(ui: &Ui, options: &PushOptions) -> Result<Exit, CommandError> {
    let (compiled, project) = Project::load(&options.spec)?.compile(&options.spec)?;
    let mut files: Vec<(String, &Source)> = vec![(keys::SITE.to_owned(), project.site_source())];
    let specs = project.files_of(&compiled.specs);
    files.extend(specs.map(|(spec, source)| (keys::spec(&spec.name.value), source)));
    block_on(async {
        let store = open(&options.place, true).await?;
        for some in files.chunks(AT_ONCE) {
            let put = |transaction: Transaction, (key, source): &(String, &Source)| {
                transaction.put(key, encode(&PushedFile::new(&source.name, source.text())))
            };
            let transaction = some.iter().fold(Transaction::default(), put);
            store.commit(&transaction).await?;
        }
        ui.say(&format!("{}: the site and {} tenants were pushed", store.name(), files.len() - 1));
        Ok(Exit::Done)
    })
}
