//! Attaches an endpoint that has a claim: makes its veth pair, its port and its binding.

use std::cell::Cell;

use midoform_store::ipam::host_interface::new_host_interface;
use midoform_store::ipam::{Attachment, Ipam};
use midoform_store::ready::Ready;
use midoform_store::record::Held;

use super::engine::ports_of;
use super::ports::{Claim, Ports, port_id};
use super::veth::{Veth, VethState};
use super::{ANTI_SPOOF, REPEATED};
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
    pub(crate) veth: Veth,
    /// True if the run requests a MAC address.
    pub(crate) requests_mac: bool,
    /// The host's ends that the endpoint had before this run.
    pub(crate) left: Vec<String>,
    /// Set before the first change. From then on, a failure has to be rolled back.
    pub(crate) has_changes: &'a Cell<bool>,
}

impl Attach<'_> {
    /// Makes everything that the claim stands for. If everything is there already, nothing changes.
    pub(crate) async fn run(
        &mut self,
        backend: &mut Backend<'_>,
        claimed: &mut Claimed,
    ) -> Result<VethState> {
        let ports = ports_of(backend, &claimed.attachment.record).await?;
        let ports = &*ports;
        self.veth.sends_checksums = ports.needs_checksums();
        if !claimed.is_new
            && let Some(complete) = self.inspect_earlier(backend, ports, claimed).await?
        {
            return Ok(complete);
        }
        if claimed.is_new && self.requests_mac {
            ports.refuse_mac_of_router(&claimed.attachment.record).await?;
        }
        self.has_changes.set(true);
        if claimed.is_new {
            self.remove_unrecorded(ports, claimed).await?;
        }
        self.note_anti_spoof(claimed).await?;
        let attachment = claimed.attachment.record.clone();
        let claim = Claim { pods: self.pods, attachment: &mut claimed.attachment };
        let plugged = async {
            let state = self.create().await?;
            ports.plug(&attachment).await?;
            Ok::<_, CniError>(state)
        };
        let (plugged, attached) = tokio::join!(plugged, ports.attach(claim, &claimed.ready));
        // If both failed, the port's error says more.
        attached?;
        let state = plugged?;
        ports.settle(&claimed.attachment.record).await?;
        self.announce().await;
        Ok(state)
    }

    /// Looks at what an earlier ADD made. Returns its state if it is complete, or can be repaired in place. Otherwise
    /// port and pair are removed, and the claim gets other names, so that this run can start again.
    async fn inspect_earlier(
        &mut self,
        backend: &Backend<'_>,
        ports: &dyn Ports,
        claimed: &mut Claimed,
    ) -> Result<Option<VethState>> {
        let state = self.inspect().await?;
        let attachment = &claimed.attachment.record;
        let port = ports.check(attachment, &claimed.ready).await?;
        if port.is_bound && state.problems.is_empty() {
            ports.settle(attachment).await?;
            tracing::info!(step = "repeat", "an earlier ADD made everything already");
            return Ok(Some(state));
        }
        let problems =
            state.problems.iter().chain(&port.problems).map(String::as_str).collect::<Vec<_>>().join("; ");
        // The port is bound: what carries traffic is not removed.
        if port.is_bound && state.has_pair {
            tracing::info!(step = "repeat", problems, "the interface of an earlier ADD is repaired");
            let repaired = self.repair().await?;
            ports.settle(attachment).await?;
            return Ok(Some(repaired));
        }
        if port.is_bound && state.has_carrier {
            let message = format!("the interface of an earlier ADD is in use elsewhere: {problems}");
            return Err(CniError::new(Code::InvalidEnvironment, message).hint("detach it first (DEL)"));
        }
        tracing::info!(step = "repeat", problems, "an earlier ADD did not end: starting again");
        ports.detach(&claimed.attachment.record).await?;
        self.remove().await?;
        self.rename(backend, claimed).await?;
        Ok(None)
    }

    /// Removes what an ADD made that the store has no record of: the store is a new one. The names of its interfaces are in
    /// the claim first.
    async fn remove_unrecorded(&mut self, ports: &dyn Ports, claimed: &mut Claimed) -> Result<()> {
        let Some((first, others)) = self.left.split_first() else { return Ok(()) };
        let record = &mut claimed.attachment.record;
        record.earlier_interfaces.clone_from(&self.left);
        record.extra.insert(REPEATED.to_owned(), true.into());
        let mut unrecorded = Attachment {
            host_interface: first.clone(),
            earlier_interfaces: others.to_vec(),
            port: None,
            ..record.clone()
        };
        // Its port may have a chain.
        unrecorded.extra.insert(ANTI_SPOOF.to_owned(), true.into());
        self.save(&mut claimed.attachment).await?;
        ports.detach(&unrecorded).await?;
        self.remove().await
    }

    /// Gives the attachment another interface and another port, and writes them to the claim before they are made.
    async fn rename(&mut self, backend: &Backend<'_>, claimed: &mut Claimed) -> Result<()> {
        let record = &mut claimed.attachment.record;
        let name = new_host_interface(&record.owner);
        let earlier = std::mem::replace(&mut record.host_interface, name);
        record.earlier_interfaces.push(earlier);
        record.port = port_id(backend, &record.tenant, record.host, &record.owner, &record.host_interface);
        record.extra.insert(REPEATED.to_owned(), true.into());
        self.veth.host_interface.clone_from(&record.host_interface);
        self.save(&mut claimed.attachment).await
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
        Claim { pods: self.pods, attachment }.save().await
    }

    async fn create(&self) -> Result<VethState> {
        let veth = self.veth.clone();
        self.network.run_in_container(move |host, container| veth.create(host, container)).await
    }

    async fn repair(&self) -> Result<VethState> {
        let veth = self.veth.clone();
        self.network.run_in_container(move |host, container| veth.repair(host, container)).await
    }

    async fn remove(&self) -> Result<()> {
        let owner = self.veth.owner.clone();
        self.network.run_in_container(move |host, container| owner.remove(host, Some(container))).await
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
