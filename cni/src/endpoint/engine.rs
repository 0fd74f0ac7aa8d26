//! Chooses the engine of an endpoint's port.

use midoform_compiler::values::Engine;
use midoform_store::ipam::Attachment;

use super::midonet::{self, MidonetPorts};
use super::ovn::OvnPorts;
use super::ports::{ENGINE, Ports};
use crate::backend::Backend;
use crate::protocol::error::Result;

/// Returns the ports of the site's engine.
pub(crate) async fn ports<'a>(backend: &mut Backend<'a>) -> Result<Box<dyn Ports + 'a>> {
    ports_in(backend, backend.engine()).await
}

/// Returns the ports of the engine that an attachment was made on. While a site moves, it has attachments of both.
pub(crate) async fn ports_of<'a>(
    backend: &mut Backend<'a>,
    attachment: &Attachment,
) -> Result<Box<dyn Ports + 'a>> {
    let recorded = attachment.extra.get(ENGINE).and_then(serde_json::Value::as_str);
    let is_on_ovn = recorded == Some(Engine::Ovn.name());
    let engine = match (backend.engine(), is_on_ovn) {
        (Engine::Ovn, false) => backend.midonet_engine().unwrap_or(Engine::Ovn),
        (_, true) => Engine::Ovn,
        (engine, false) => engine,
    };
    ports_in(backend, engine).await
}

async fn ports_in<'a>(backend: &mut Backend<'a>, engine: Engine) -> Result<Box<dyn Ports + 'a>> {
    Ok(match engine {
        Engine::Ovn => Box::new(OvnPorts::open(backend).await?),
        Engine::Midonet1 | Engine::Midonet5 => {
            let client = backend.client().await?;
            Box::new(MidonetPorts { ports: midonet::Ports::of(backend), host: backend.host, client })
        }
    })
}
