//! Port mappings of a pod. An `[[expose]]` of the tenant's spec forwards the host's port, so the pod needs the address that
//! the `[[expose]]` leads to.

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{Expose, parse};
use midoform_store::ipam::Ask;
use midoform_store::tenants;

use crate::backend::Backend;
use crate::config::PortMapping;
use crate::protocol::error::{CniError, Code, Result};

/// Sets the address and the bridge that the run's port mappings need.
pub(crate) async fn serve(backend: &mut Backend<'_>, tenant: &str, ask: &mut Ask) -> Result<()> {
    let config = backend.config;
    let wanted: Vec<&PortMapping> =
        config.runtime.port_mappings.iter().filter(|mapping| mapping.host_port != 0).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let store = backend.store().await?;
    let pushed = tenants::sources(&store, tenant).await?.tenant;
    let source = pushed.map(|pushed| Source::new(pushed.file, pushed.text));
    let own = source.and_then(|source| parse::tenant(&source, SourceId(0), &mut Diagnostics::default()));
    let exposes = own.map(|own| own.exposes).unwrap_or_default();
    for mapping in wanted {
        let Some(expose) = exposes.iter().find(|expose| serves(expose, mapping)) else {
            let PortMapping { host_port, container_port, protocol, .. } = mapping;
            let message = format!(
                "tenant `{tenant}` has no [[expose]] from port {host_port} to a pod's {protocol} port {container_port}"
            );
            return Err(CniError::new(Code::InvalidConfiguration, message)
                .hint("add one to its spec and push it, or leave the capability to the plugin `portmap`"));
        };
        let address = expose.address.as_ref().map(|at| at.value);
        let bridge = expose.bridge.as_ref().map(|name| name.value.clone());
        if let Some(other) = ask.address.filter(|other| Some(*other) != address) {
            let needed = address.map(|address| address.to_string()).unwrap_or_default();
            let message = format!("the pod needs two addresses, {other} and {needed}, but it can have one");
            return Err(CniError::new(Code::AddressRefused, message)
                .hint("its port mappings, or a requested address, lead to different addresses"));
        }
        (ask.address, ask.bridge) = (address, bridge.or_else(|| ask.bridge.take()));
    }
    Ok(())
}

/// Returns true if an `[[expose]]` forwards the mapping's port to a fixed address.
fn serves(expose: &Expose, mapping: &PortMapping) -> bool {
    let protocol = match mapping.protocol.to_ascii_lowercase().as_str() {
        "udp" => 17,
        "tcp" | "" => 6,
        _ => return false,
    };
    let any = matches!(mapping.host_address.as_str(), "" | "0.0.0.0");
    let at = any || mapping.host_address.parse() == Ok(expose.public.value);
    let (from, to) = (expose.public_port == mapping.host_port, expose.target_port == mapping.container_port);
    at && from && to && expose.protocol == protocol && expose.address.is_some()
}
