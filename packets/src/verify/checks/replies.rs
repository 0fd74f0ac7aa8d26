//! Checks that replies come back.

use uuid::Uuid;

use super::GroupCheck;
use crate::verify::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Protocols, Range, SOURCE, SOURCE_PORT, overlapping,
};
use crate::verify::model::Segment;
use crate::verify::path::Path;
use crate::verify::walk::{End, Outcome, TooMany};
use midoform_compiler::topology::key::view::{ChainKey, KeyView, RuleKey, TenantKey};
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
    ) -> Result<Option<Headers>, TooMany> {
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
    ) -> Result<Option<Headers>, TooMany> {
        let walker = self.model.walker();
        for path in answered(outcome, &to.pods, destinations) {
            for back in walker.follow(path.reply(port, own, next))? {
                // A reply from another address than the one that was asked is none.
                let home = matches!(&back.end, End::Delivered(ports) if ports.contains(&to.pod))
                    && back.path.is_from_the_asked();
                let meant = match &back.end {
                    End::Dropped { rule: Some(rule), .. } => self.is_stateless(*rule),
                    _ => false,
                };
                if !home && !meant {
                    return Ok(Some(back.path.sent()));
                }
            }
        }
        Ok(None)
    }

    fn is_stateless(&self, rule: Uuid) -> bool {
        let key = self.model.entry(rule).map(|entry| entry.key.view());
        matches!(
            key,
            Some(KeyView::Tenant(
                _,
                TenantKey::Rule(ChainKey::Stateless, _) | TenantKey::Rule(_, RuleKey::Inside { .. })
            ))
        )
    }
}

/// Returns the packets that have replies: whole TCP and UDP packets, and echo requests, between these addresses.
fn answered(outcome: &Outcome, sources: &[Range], destinations: &[Range]) -> Vec<Path> {
    let (whole, _) = outcome.path.clone().split_fragments(Fragments::WHOLE);
    let Some(whole) = whole else { return Vec::new() };
    let (ports, other) = whole.split_protocols(Protocols::of(&[6, 17]));
    let icmp = other.and_then(|other| other.split_protocols(Protocols::of(&[1])).0);
    let requests = icmp.and_then(|icmp| icmp.split_variable(SOURCE_PORT, Range::one(8)).0);
    let echo = requests.and_then(|echo| echo.split_variable(DESTINATION_PORT, Range::one(0)).0);
    let all = ports.into_iter().chain(echo);
    // The first variables are the packet as it was sent.
    let from = all.flat_map(|path| each(path, SOURCE, sources));
    from.flat_map(|path| each(path, DESTINATION, destinations)).collect()
}

fn each(path: Path, variable: usize, ranges: &[Range]) -> Vec<Path> {
    let ranges = overlapping(ranges, path.range(variable));
    ranges.iter().filter_map(|range| path.clone().split_variable(variable, *range).0).collect()
}
