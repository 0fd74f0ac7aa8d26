//! Attaches an endpoint that has a claim: makes its veth pair, its port and its binding.

use std::cell::Cell;

use midoform_reconcile::client::Client;
use midoform_store::ipam::{Attachment, Ipam};
use midoform_store::ready::Ready;
use midoform_store::record::Held;

use super::midonet::{ANTI_SPOOF, Ports, REPEATED};
use super::veth::{Veth, VethState};
use crate::backend::Backend;
use crate::netlink::NetworkThread;
use crate::protocol::error::{CniError, Code, Result};

/// A claim of an address in the store.
pub(crate) struct Claimed {
    pub(crate) attachment: Held<Attachment>,
    pub(crate) ready: Ready,
    /// True if this run made the claim, false if an earlier one did.
    pub(crate) is_new: bool,
}

/// The attachment of one endpoint.
pub(crate) struct Attach<'a> {
    pub(crate) network: &'a NetworkThread,
    pub(crate) pods: &'a Ipam,
    pub(crate) veth: &'a Veth,
    /// Set before the first change. From then on, a failure has to be rolled back.
    pub(crate) has_changes: &'a Cell<bool>,
}

impl Attach<'_> {
    /// Makes everything that the claim stands for. If everything is there already, nothing changes.
    pub(crate) async fn run(&self, backend: &mut Backend<'_>, claimed: &mut Claimed) -> Result<VethState> {
        let client = backend.client().await?;
        let ports = Ports::of(backend);
        if !claimed.is_new
            && let Some(complete) = self.inspect_earlier(&client, ports, claimed).await?
        {
            return Ok(complete);
        }
        self.has_changes.set(true);
        self.note_anti_spoof(claimed).await?;
        let save = async |attachment: &mut Held<Attachment>| self.save(attachment).await;
        let (created, attached) = tokio::join!(
            self.create(),
            ports.attach(&client, &mut claimed.attachment, &claimed.ready, save),
        );
        // If both failed, the port's error says more.
        let port = attached?;
        let state = created?;
        tracing::debug!(step = "port", %port, "port and binding are made");
        self.announce().await;
        Ok(state)
    }

    /// Looks at what an earlier ADD made. Returns its state if it is complete. Otherwise the port is removed, so that this
    /// run can start again.
    async fn inspect_earlier(
        &self,
        client: &Client,
        ports: Ports<'_>,
        claimed: &mut Claimed,
    ) -> Result<Option<VethState>> {
        let state = self.inspect().await?;
        let mut problems = state.problems.clone();
        if problems.is_empty() {
            problems = ports.problems(client, &claimed.attachment.record).await?;
        }
        if problems.is_empty() {
            tracing::info!(step = "repeat", "an earlier ADD made everything already");
            return Ok(Some(state));
        }
        let problems = problems.join("; ");
        tracing::info!(step = "repeat", problems, "an earlier ADD did not end: starting again");
        claimed.attachment.record.extra.insert(REPEATED.to_owned(), true.into());
        self.save(&mut claimed.attachment).await?;
        ports.detach(client, &claimed.attachment.record).await?;
        Ok(None)
    }

    /// Records the anti-spoofing chain before it is made, since DEL has to know of it.
    async fn note_anti_spoof(&self, claimed: &mut Claimed) -> Result<()> {
        let extra = &mut claimed.attachment.record.extra;
        if claimed.ready.port_anti_spoof && !extra.contains_key(ANTI_SPOOF) {
            extra.insert(ANTI_SPOOF.to_owned(), true.into());
            self.save(&mut claimed.attachment).await?;
        }
        Ok(())
    }

    async fn save(&self, attachment: &mut Held<Attachment>) -> Result<()> {
        if self.pods.update(attachment).await? {
            return Ok(());
        }
        let message = "another run removed the attachment while this one made it";
        Err(CniError::new(Code::TryAgainLater, message))
    }

    async fn create(&self) -> Result<VethState> {
        let veth = self.veth.clone();
        self.network.run_in_container(move |host, container| veth.create(host, container)).await
    }

    async fn inspect(&self) -> Result<VethState> {
        let veth = self.veth.clone();
        self.network.run_in_container(move |host, container| veth.inspect(host, container)).await
    }

    /// Announces the address. A failure is only logged: neighbours that miss the announcement send an ARP request.
    async fn announce(&self) {
        let veth = self.veth.clone();
        let announced = self.network.run_in_container(move |_, container| veth.announce(container)).await;
        if let Err(error) = announced {
            tracing::warn!(step = "announce", error = error.in_full(), "the address could not be announced");
        }
    }
}
