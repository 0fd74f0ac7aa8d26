//! `midoform store`: the store of pods' addresses and of pushed specs (`docs/store.md`).

use std::path::Path;

use midoform_compiler::printable::printable;
use midoform_reconcile::claimed_port::PortError;
use midoform_reconcile::orphaned_ports;
use midoform_reconcile::pod_rows::DeleteError;
use midoform_store::input_file;
use midoform_store::ipam::consistency::{Finding, Snapshot};
use midoform_store::ipam::ports::{PortDeletion, RepairError};
use midoform_store::ipam::{AddressRecord, Attachment, MacRecord, consistency};
use midoform_store::keys::KeyKind;
use midoform_store::locks::LockRecord;
use midoform_store::ready::Ready;
use midoform_store::record::{Record, decode, encode};
use midoform_store::tenants::PushedFile;
use midoform_store::{Commit, Entry, Range, SharedStore, StoreError, Transaction, allocation, read_one};
use serde::{Deserialize, Serialize};

use crate::args::{CheckOptions, StoreCommand, StoreOptions};
use crate::error::{CommandError, Exit};
use crate::session::{Session, Target};
use crate::store_choice::{open_store, site_of};
use crate::ui::Ui;

/// The version of a dump.
const DUMP: &str = "midoform-store/1";

/// The number of keys that are written at once.
const AT_ONCE: usize = 50;

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

pub(crate) async fn run(ui: &Ui, options: &StoreOptions) -> Result<Exit, CommandError> {
    let open = |make| open_store(&options.location, make);
    match &options.command {
        StoreCommand::Dump => dump(ui, &open(false)?).await,
        StoreCommand::Load { file } => load(ui, &open(true)?, file).await,
        StoreCommand::Check(asked) => check(ui, &open(false)?, asked).await,
        StoreCommand::Migrate => migrate(ui, &open(false)?).await,
    }
}

async fn dump(ui: &Ui, store: &SharedStore) -> Result<Exit, CommandError> {
    let found = read_one(&**store, Range::prefix("")).await?;
    // A key with a lease belongs to a running process.
    let lasting = found.into_iter().filter(|entry| entry.lease.is_none());
    let entries = lasting.map(|entry| Pair { key: entry.key, value: entry.value }).collect();
    ui.json(&Dump { format: DUMP.to_owned(), entries })?;
    Ok(Exit::Done)
}

async fn load(ui: &Ui, store: &SharedStore, file: &Path) -> Result<Exit, CommandError> {
    let text = input_file::read_to_string(file).map_err(|error| CommandError::file(file, error))?;
    let dump: Dump = serde_json::from_str(&text)
        .map_err(|error| CommandError::Usage(format!("{} is not a dump: {error}", file.display())))?;
    if dump.format != DUMP {
        let message =
            format!("{}: its format is {}, and this midoform knows {DUMP}", file.display(), dump.format);
        return Err(CommandError::Usage(message));
    }
    if !read_one(&**store, Range::prefix("").limit(1)).await?.is_empty() {
        let message = format!("{} is not empty: load a dump into an empty store", store.name());
        return Err(CommandError::Conflict(message));
    }
    for pairs in dump.entries.chunks(AT_ONCE) {
        let put = |transaction: Transaction, pair: &Pair| {
            transaction.when_absent(&pair.key).put(&pair.key, &*pair.value)
        };
        let transaction = pairs.iter().fold(Transaction::default(), put);
        if store.commit(&transaction).await? == Commit::Conflict {
            let message = "somebody else writes into the store: the rest was not loaded".to_owned();
            return Err(CommandError::Conflict(message));
        }
    }
    ui.status(&format!("{} keys loaded into {}", dump.entries.len(), store.name()));
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
                    (false, true) => "--repair repairs it",
                    (false, false) => "left: check it by hand",
                };
                let what = format!("{}  {}: {} ({then})", finding.code, finding.key, finding.what);
                writeln!(out, "{}", printable(&what))?;
            }
            Ok(())
        })?;
        let left = findings.iter().filter(|finding| !finding.repaired).count();
        ui.status(&format!("{}: {} findings, {left} of them left", store.name(), findings.len()));
    }
    Ok(if findings.iter().all(|finding| finding.repaired) { Exit::Done } else { Exit::Drift })
}

/// Compares the ports in the engine's network with the claims in the store.
async fn check_ports(
    store: &SharedStore,
    before: &Snapshot,
    path: &Path,
    options: &CheckOptions,
) -> Result<Vec<Finding>, CommandError> {
    let site = site_of(path)?;
    let name = site.name.value.clone();
    let folder = path.parent().unwrap_or(Path::new(""));
    let target = Target::of(&site, &options.api, folder)?;
    Session::with(target, site.engine, &options.api, async |session| {
        let bridges = before.bridges();
        let connection = &session.connection;
        let found = orphaned_ports::look(store, connection, &name, before, &bridges, options.repair).await;
        found.map_err(|error| match error {
            RepairError::Store(error) => error.into(),
            RepairError::Port(DeleteError::Client(error)) => error.into(),
            RepairError::Port(DeleteError::Unsound(error)) => error.into(),
            RepairError::Port(DeleteError::Port(PortError::Step(error))) => error.into(),
            RepairError::Port(DeleteError::Port(stopped)) => CommandError::Conflict(stopped.to_string()),
        })
    })
    .await
}

/// Returns the value in its newest format; none if it already is.
fn newest(store: &str, entry: &Entry) -> Result<Option<String>, StoreError> {
    fn again<T: Record>(store: &str, entry: &Entry) -> Result<Option<String>, StoreError> {
        let value = encode(&decode::<T>(store, entry)?.record);
        Ok((value != entry.value).then_some(value))
    }
    match KeyKind::of(&entry.key) {
        Some(KeyKind::Site | KeyKind::Spec(_)) => again::<PushedFile>(store, entry),
        Some(KeyKind::Ready(_)) => again::<Ready>(store, entry),
        Some(KeyKind::Address(..)) => again::<AddressRecord>(store, entry),
        Some(KeyKind::Mac(_)) => again::<MacRecord>(store, entry),
        Some(KeyKind::Attachment) => again::<Attachment>(store, entry),
        Some(KeyKind::Lock) => again::<LockRecord>(store, entry),
        Some(KeyKind::PortDeletion) => again::<PortDeletion>(store, entry),
        Some(KeyKind::Allocation(_)) => {
            let value = allocation::newest(store, entry)?;
            Ok(value.filter(|value| *value != entry.value))
        }
        // Its value is nothing but the version.
        Some(KeyKind::Freed { .. }) | None => Ok(None),
    }
}

async fn migrate(ui: &Ui, store: &SharedStore) -> Result<Exit, CommandError> {
    let found = read_one(&**store, Range::prefix("")).await?;
    let all = found.len();
    let mut written = 0;
    for entry in found.iter().filter(|entry| entry.lease.is_none()) {
        let Some(value) = newest(&store.name(), entry)? else { continue };
        let put = Transaction::default().when(&entry.key, entry.revision).put(&entry.key, value);
        // A value that changed meanwhile was written by this version, or the next run migrates it.
        written += usize::from(matches!(store.commit(&put).await?, Commit::Done(_)));
    }
    ui.status(&format!("{}: {written} of {all} values were rewritten", store.name()));
    Ok(Exit::Done)
}
