//! `midoform attachments`: what `midonet-cni` has attached, and where.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use midoform_applier::claims::pods::{Attachment, Pods};
use midoform_applier::store::SharedStore;
use midoform_applier::store::embedded::Embedded;
use midoform_applier::store::etcd::{self, Etcd};
use midoform_compiler::diag::Diagnostics;
use midoform_compiler::parse;
use midoform_compiler::source::{Source, SourceId};

use crate::args::AttachmentsOptions;
use crate::error::{CommandError, Exit};
use crate::session::block_on;
use crate::ui::Ui;

/// Where the plugin keeps its store, where its configuration names no other place.
pub(crate) const STORE: &str = "/var/lib/midonet-cni/store.db";

pub(crate) fn run(ui: &Ui, options: &AttachmentsOptions) -> Result<Exit, CommandError> {
    let mut found = block_on(read(options))?;
    found.retain(|one| {
        let named = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
        let container = options.container.as_deref().is_none_or(|prefix| is_meant(one, prefix));
        named(&options.tenant, &one.tenant) && named(&options.host, &one.host.to_string()) && container
    });
    found.sort_by(|a, b| (&a.tenant, a.address, &a.owner).cmp(&(&b.tenant, b.address, &b.owner)));
    if let (Some(container), true) = (&options.container, found.is_empty()) {
        return Err(CommandError::Usage(format!(
            "no container whose id or pod begins with `{container}` is attached; `midoform attachments` lists them"
        )));
    }
    if options.json {
        ui.json(&found)?;
    } else if options.container.is_some() {
        inspect(ui, &found)?;
    } else {
        list(ui, &found)?;
    }
    Ok(Exit::Done)
}

/// A container is named by the beginning of its id, or by its pod.
fn is_meant(attachment: &Attachment, named: &str) -> bool {
    attachment.owner.container.starts_with(named) || attachment.pod.as_deref() == Some(named)
}

async fn read(options: &AttachmentsOptions) -> Result<Vec<Attachment>, CommandError> {
    let failed = |error: midoform_applier::store::StoreError| CommandError::Embedded(error.to_string());
    let store: SharedStore = match etcd_of(options)? {
        Some(settings) => Arc::new(Etcd::open(settings).await.map_err(failed)?),
        None => Arc::new(Embedded::open(existing(&options.store)?).map_err(failed)?),
    };
    let held = Pods::new(store).all(None).await.map_err(failed)?;
    Ok(held.into_iter().map(|held| held.record).collect())
}

/// Looking makes no store.
fn existing(path: &Path) -> Result<&Path, CommandError> {
    match path.exists() {
        true => Ok(path),
        false => Err(CommandError::Usage(format!(
            "there is no store {}; --store names another, --site a site whose etcd it is",
            path.display()
        ))),
    }
}

/// The etcd of the site file, where one is named.
fn etcd_of(options: &AttachmentsOptions) -> Result<Option<etcd::Settings>, CommandError> {
    let Some(path) = &options.site else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| CommandError::file(path, error))?;
    let source = Source::new(path.display().to_string(), text);
    let site = parse::site(&source, SourceId(0), &mut Diagnostics::default());
    let wrong = |what: &str| CommandError::Usage(format!("{}: {what}", path.display()));
    let site = site.ok_or_else(|| wrong("this is no site file; `midoform validate` says what is wrong"))?;
    let etcd = site.etcd.ok_or_else(|| wrong("it names no etcd; --store names a file"))?;
    let login = std::env::var("ETCD_USERNAME").ok().zip(std::env::var("ETCD_PASSWORD").ok());
    Ok(Some(etcd::Settings {
        endpoints: etcd.endpoints.into_iter().map(|endpoint| endpoint.value).collect(),
        login,
        prefix: Etcd::prefix_of(&site.name.value),
        timeout: Duration::from_secs(10),
    }))
}

fn list(ui: &Ui, found: &[Attachment]) -> Result<(), CommandError> {
    let short = |text: &str| text.get(..12).unwrap_or(text).to_owned();
    let row = |one: &Attachment| {
        let pod = one.pod.clone().unwrap_or_else(|| "-".to_owned());
        let (container, host) = (short(&one.owner.container), short(&one.host.to_string()));
        [
            one.tenant.clone(),
            pod,
            container,
            one.owner.interface.clone(),
            one.address.to_string(),
            one.bridge.clone(),
            host,
        ]
    };
    let head = ["TENANT", "POD", "CONTAINER", "INTERFACE", "ADDRESS", "BRIDGE", "HOST"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(found.iter().map(row)).collect();
    let mut widths = [0; 7];
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    ui.data(|out| {
        for row in &rows {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    })
}

fn inspect(ui: &Ui, found: &[Attachment]) -> Result<(), CommandError> {
    ui.data(|out| {
        for one in found {
            let mac = one.mac.to_string();
            let port = one.port.map(|port| port.to_string()).unwrap_or_else(|| "not known yet".to_owned());
            let address = format!("{}/{} by {}", one.address, one.cidr.prefix_len(), one.gateway);
            writeln!(out, "{}", one.owner.container)?;
            for (name, value) in [
                ("tenant", one.tenant.as_str()),
                ("pod", one.pod.as_deref().unwrap_or("-")),
                ("network", &one.owner.network),
                ("interface", &one.owner.interface),
                ("address", &address),
                ("mac", &mac),
                ("bridge", &format!("{} ({})", one.bridge, one.bridge_id)),
                ("port", &port),
                ("host", &one.host.to_string()),
                ("host interface", &one.host_interface),
            ] {
                writeln!(out, "  {name:<16}{value}")?;
            }
        }
        Ok(())
    })
}
