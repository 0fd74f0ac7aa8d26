//! `midoform attachments`: the containers that `midonet-cni` has attached.

use std::path::Path;
use std::sync::Arc;

use midoform_compiler::printable::printable;
use midoform_store::SharedStore;
use midoform_store::backends::embedded::Embedded;
use midoform_store::ipam::{Attachment, Ipam};

use crate::args::AttachmentsOptions;
use crate::error::{CommandError, Exit};
use crate::store_choice::store_of;
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &AttachmentsOptions) -> Result<Exit, CommandError> {
    let mut found = read(options).await?;
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

/// Returns true if an attachment is the named one: by the beginning of its container's id, or by its pod.
fn is_meant(attachment: &Attachment, named: &str) -> bool {
    attachment.owner.container.starts_with(named) || attachment.pod.as_deref() == Some(named)
}

async fn read(options: &AttachmentsOptions) -> Result<Vec<Attachment>, CommandError> {
    let store = match &options.site {
        Some(path) => store_of(path)?,
        None => Some(Arc::new(Embedded::open(existing(&options.store)?)?) as SharedStore),
    };
    // Without a store, nothing is attached.
    let Some(store) = store else { return Ok(Vec::new()) };
    let held = Ipam::new(store).all(None).await?;
    Ok(held.into_iter().map(|held| held.record).collect())
}

/// Returns the path of a store that exists.
fn existing(path: &Path) -> Result<&Path, CommandError> {
    match path.exists() {
        true => Ok(path),
        false => Err(CommandError::Usage(format!(
            "there is no store {}; name another one with --store, or its site file with --site",
            path.display()
        ))),
    }
}

fn list(ui: &Ui, found: &[Attachment]) -> Result<(), CommandError> {
    let short = |text: &str| text.get(..12).unwrap_or(text).to_owned();
    let row = |one: &Attachment| {
        let pod = one.pod.clone().unwrap_or_else(|| "-".to_owned());
        let (container, host) = (short(&one.owner.container), short(&one.host.to_string()));
        [
            one.tenant.as_str(),
            &pod,
            &container,
            &one.owner.interface,
            &one.address.to_string(),
            &one.bridge,
            &host,
        ]
        .map(|cell| printable(cell).into_owned())
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
            writeln!(out, "{}", printable(&one.owner.container))?;
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
                writeln!(out, "  {name:<16}{}", printable(value))?;
            }
        }
        Ok(())
    })
}
