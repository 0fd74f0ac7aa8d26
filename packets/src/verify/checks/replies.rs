//! Checks that replies come back.

use uuid::Uuid;

use super::GroupCheck;
use crate::verify::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Protocols, Range, SOURCE, SOURCE_PORT,
};
use crate::verify::packet_set::PacketSet;
use crate::verify::path::Path;
use crate::verify::segment::Segment;
use crate::verify::sets::Sets;
use crate::verify::walk::{End, Outcome, TooMany};
use midoform_compiler::values::MacAddress;

impl GroupCheck<'_> {
    /// Returns packets to these destinations that arrived and whose replies are lost, unless a stateless rule of the spec
    /// drops the replies. A pod replies to a pod of its own bridge directly, and to all others by its gateway.
    pub(super) fn lost_reply(
        &self,
        outcome: &Outcome,
        from: &Segment,
        at: &Segment,
        destinations: &[Range],
    ) -> Result<Option<PacketSet>, TooMany> {
        let is_near = from.key == at.key && outcome.path.header[SOURCE] == SOURCE;
        let (port, own, next) = match (is_near, at.gateways.first()) {
            (true, _) => (at.neighbour, at.neighbour_mac, from.pod_mac),
            (false, Some((_, gateway))) => (at.pod, at.pod_mac, *gateway),
            (false, None) => return Ok(None),
        };
        self.lost(outcome, (port, own, next), from, destinations)
    }

    /// Does the same for packets from a segment's pods to these destinations. The reply starts at a port, with its own
    /// MAC address and the one that it is sent to.
    pub(super) fn lost(
        &self,
        outcome: &Outcome,
        (port, own, next): (Uuid, MacAddress, MacAddress),
        to: &Segment,
        destinations: &[Range],
    ) -> Result<Option<PacketSet>, TooMany> {
        for path in answered(&self.model.sets, outcome, &to.pods, destinations) {
            for back in self.model.follow(path.reply(port, own, next))? {
                // A reply from another address than the one that was asked is none.
                let home = matches!(&back.end, End::Delivered(ports) if ports.contains(&to.pod))
                    && back.path.is_from_the_asked();
                let meant = match &back.end {
                    End::Dropped { rule: Some(rule), .. } => self.model.stateless.contains(rule),
                    _ => false,
                };
                if !home && !meant {
                    return Ok(Some(back.path.sent()));
                }
            }
        }
        Ok(None)
    }
}

/// Returns the packets that have replies: whole TCP and UDP packets, and echo requests, between these addresses.
fn answered(sets: &Sets, outcome: &Outcome, sources: &[Range], destinations: &[Range]) -> Vec<Path> {
    let (whole, _) = outcome.path.clone().split_fragments(Fragments::WHOLE);
    let Some(whole) = whole else { return Vec::new() };
    let (ports, other) = whole.split_protocols(Protocols::of(&[6, 17]));
    let icmp = other.and_then(|other| other.split_protocols(Protocols::of(&[1])).0);
    let requests = icmp.and_then(|icmp| icmp.split_variable(sets, SOURCE_PORT, Range::one(8)).0);
    let echo = requests.and_then(|echo| echo.split_variable(sets, DESTINATION_PORT, Range::one(0)).0);
    let all = ports.into_iter().chain(echo);
    // The first variables are the packet as it was sent.
    let from = all.flat_map(|path| path.split_by(sets, SOURCE, sources).0);
    from.flat_map(|path| path.split_by(sets, DESTINATION, destinations).0).collect()
}
