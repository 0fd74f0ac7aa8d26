//! What differs between the engines, as `docs/engines.md` lists it, and which packets each difference is about.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use midoform_compiler::network::{Expose, Tenant};
use midoform_compiler::spec::{AntiSpoof, Egress, Profile};
use midoform_packets::trace::{Ending, TraceReport};

use super::network::{GRE, Sent};

/// A difference between the engines.
pub(super) struct Difference {
    /// The first column of its line in `docs/engines.md`.
    pub(super) subject: &'static str,
    /// Returns true if it explains what the engines do with a packet.
    pub(super) explains: fn(&Case<'_>) -> bool,
}

/// Every difference. The first one that explains a case is the one that is counted.
pub(super) const DIFFERENCES: &[Difference] = &[
    Difference { subject: "a pod that connects to its own exposed port", explains: is_own_exposed_port },
    Difference { subject: "a port that is exposed, from a pod of the tenant", explains: sees_true_source },
    Difference { subject: "the ends of a rule", explains: has_foreign_source },
    Difference {
        subject: "a source that is not the tenant's, with `anti_spoof = \"none\"`",
        explains: leaves_untranslated,
    },
    Difference { subject: "`anti_spoof = \"port\"`", explains: is_checked_at_the_port },
    Difference { subject: "`egress` with a range of addresses", explains: has_another_of_the_range },
    Difference { subject: "packets that source NAT can't translate", explains: is_translated_without_ports },
    Difference { subject: "`stateful = false`, drop", explains: loses_the_reply_of_an_exposed_port },
    Difference { subject: "a router's own addresses", explains: is_answered_by_a_router },
    Difference {
        subject: "an exposed port, from a pod of a peer with `egress = \"none\"`",
        explains: is_exposed_to_a_peer_without_nat,
    },
];

/// GRE to the outside, which OVN translates. MidoNet drops it in `strict`, and lets it leave as it is in `rainbond`.
fn is_translated_without_ports(case: &Case<'_>) -> bool {
    let [midonet, ovn] = case.arrivals();
    let Some(ovn) = ovn.filter(|_| case.sent.probe.carried.0 == GRE) else { return false };
    let is_translated =
        case.from().is_some_and(|from| public_range(from).is_some_and(|own| own.contains(&ovn.1)));
    let untranslated = midonet.is_none_or(|own| own.1 == case.sent.source() && own.0 == ovn.0);
    is_translated && untranslated
}

/// The reply of an exposed port, which a stateless rule drops on OVN.
fn loses_the_reply_of_an_exposed_port(case: &Case<'_>) -> bool {
    let [midonet, ovn] = case.arrivals();
    let Some((tenant, _)) = case.exposed() else { return false };
    let reply = case.ovn.reply.as_ref().and_then(|reply| rule_of(&reply.ending));
    let by_rule = reply.is_some_and(|rule| rule.starts_with(&format!("{}/router/policy/rule/", tenant.name)));
    midonet == ovn && verdict(case.midonet).is_answered && by_rule
}

/// A ping to an address of a router that answers on OVN only, in `strict`.
fn is_answered_by_a_router(case: &Case<'_>) -> bool {
    let to = case.sent.destination();
    let has =
        |tenant: &&Tenant| tenant.link.near == to || tenant.bridges.iter().any(|bridge| bridge.gateway == to);
    let is_strict = case.tenants.iter().filter(has).any(|tenant| tenant.profile == Profile::Strict);
    let is_answered = verdict(case.ovn).is_answered && matches!(case.ovn.ending, Ending::Consumed { .. });
    is_strict && case.sent.probe.carried.0 == 1 && is_answered && !verdict(case.midonet).is_answered
}

/// An exposed port of a peer, from a pod that has no source NAT: the reply takes the link between the peers, which translates nothing on
/// OVN.
fn is_exposed_to_a_peer_without_nat(case: &Case<'_>) -> bool {
    let (Some((tenant, _)), Some(from)) = (case.exposed(), case.from()) else { return false };
    let are_peers = tenant.peers.iter().any(|peer| *peer.name == *from.name);
    let [midonet, ovn] = case.arrivals();
    let answered = [case.midonet, case.ovn].map(|report| verdict(report).is_answered);
    are_peers && from.egress == Egress::None && midonet == ovn && answered == [true, false]
}

/// Returns the addresses that a tenant's connections to the world get.
fn public_range(tenant: &Tenant) -> Option<RangeInclusive<Ipv4Addr>> {
    match tenant.egress {
        Egress::SnatToLink => Some(tenant.link.near..=tenant.link.near),
        Egress::SnatTo(first, last) => Some(first..=last),
        Egress::None => None,
    }
}

/// Returns the rule, or the row, that drops or rejects a packet.
fn rule_of(ending: &Ending) -> Option<&str> {
    match ending {
        Ending::Dropped { rule, .. } | Ending::Rejected { rule, .. } => rule.as_deref(),
        _ => None,
    }
}

/// A pod that sends to a public address and port behind which it is itself.
fn is_own_exposed_port(case: &Case<'_>) -> bool {
    case.exposed().is_some_and(|(tenant, expose)| {
        case.from().is_some_and(|from| from.name == tenant.name)
            && expose.address == case.sent.probe.from.address()
    })
}

/// A pod that sends to an exposed port of a pod on its bridge: only its source there differs, which is the router's on MidoNet.
fn sees_true_source(case: &Case<'_>) -> bool {
    let [midonet, ovn] = case.arrivals();
    let (Some(midonet), Some(ovn)) = (midonet, ovn) else { return false };
    let Some((tenant, _)) = case.exposed() else { return false };
    let is_alike = (&midonet.0, midonet.2) == (&ovn.0, ovn.2) && case.is_answered_alike();
    is_alike && case.is_from(tenant) && midonet.1 == tenant.link.near && ovn.1 == case.sent.source()
}

/// A source that is not the sender's own, which OVN drops by port security or by `uplink-source`.
fn has_foreign_source(case: &Case<'_>) -> bool {
    let by_policy = case.ovn_drop().is_some_and(|rule| rule.ends_with("/router/policy/uplink-source"));
    let [_, ovn] = case.arrivals();
    ovn.is_none() && by_policy
}

/// A source that is not the tenant's, which leaves translated on MidoNet. OVN drops it.
fn leaves_untranslated(case: &Case<'_>) -> bool {
    let by_policy = case.ovn_drop().is_some_and(|rule| rule.ends_with("/router/policy/foreign-source"));
    by_policy && case.sent.is_spoofed()
}

/// A source of another host of the bridge, which only MidoNet's static ports check. OVN checks it at each port.
fn is_checked_at_the_port(case: &Case<'_>) -> bool {
    let is_port = case.from().is_some_and(|from| from.anti_spoof == AntiSpoof::Port);
    let at_port = matches!(&case.ovn.ending, Ending::Dropped { rule: None, why, .. } if why.starts_with("port security"));
    let is_near = case
        .from()
        .is_some_and(|from| from.bridges.iter().any(|bridge| bridge.cidr.contains(&case.sent.source())));
    is_port && at_port && is_near && case.sent.is_spoofed() && case.ovn.hops.len() == 1
}

/// A connection to the world whose source became another address of the range.
fn has_another_of_the_range(case: &Case<'_>) -> bool {
    let [midonet, ovn] = case.arrivals();
    let (Some(midonet), Some(ovn)) = (midonet, ovn) else { return false };
    let range = case.from().and_then(public_range);
    let is_of_range = |address: Ipv4Addr| range.as_ref().is_some_and(|range| range.contains(&address));
    let is_alike = (&midonet.0, midonet.2) == (&ovn.0, ovn.2) && case.is_answered_alike();
    is_alike && is_of_range(midonet.1) && is_of_range(ovn.1)
}

/// A packet, and what both engines do with it.
pub(super) struct Case<'a> {
    pub(super) tenants: &'a [Tenant],
    pub(super) sent: &'a Sent,
    pub(super) midonet: &'a TraceReport,
    pub(super) ovn: &'a TraceReport,
}

/// Where a packet arrives: the places, its source there, and its destination's address and port.
type Arrival = (Vec<String>, Ipv4Addr, (Ipv4Addr, u16));

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    /// Where it arrives.
    arrives: Option<Arrival>,
    /// Where the reply arrives; none: there is none.
    answer: Option<Vec<String>>,
    /// True if that is the sender.
    is_answered: bool,
}

fn verdict(report: &TraceReport) -> Verdict {
    let answer = match report.reply.as_ref().map(|reply| &reply.ending) {
        Some(Ending::Delivered { at }) => Some(at.clone()),
        // MidoNet's interpreter does not follow what a router itself sends.
        None if matches!(report.ending, Ending::Consumed { .. }) => Some(vec![report.from.clone()]),
        _ => None,
    };
    let is_answered = answer.as_ref().is_some_and(|at| at.contains(&report.from));
    let arrives = match &report.ending {
        Ending::Delivered { at } => {
            let end = &report.packet_at_end;
            Some((at.clone(), end.source, (end.destination, end.destination_port)))
        }
        _ => None,
    };
    Verdict { arrives, answer, is_answered }
}

impl Case<'_> {
    pub(super) fn agrees(&self) -> bool {
        let [midonet, ovn] = [self.midonet, self.ovn].map(verdict);
        // Nobody waits for the answer to a spoofed packet.
        midonet.arrives == ovn.arrives && (self.sent.is_spoofed() || midonet.answer == ovn.answer)
    }

    /// Returns where the packet arrives: on MidoNet, and on OVN.
    fn arrivals(&self) -> [Option<Arrival>; 2] {
        [self.midonet, self.ovn].map(|report| verdict(report).arrives)
    }

    fn is_answered_alike(&self) -> bool {
        verdict(self.midonet).is_answered == verdict(self.ovn).is_answered
    }

    /// Returns the tenant of the sender; none: it is outside.
    fn from(&self) -> Option<&Tenant> {
        let (tenant, _) = self.sent.from.bridge?;
        self.tenants.get(tenant)
    }

    fn is_from(&self, tenant: &Tenant) -> bool {
        self.from().is_some_and(|from| from.name == tenant.name)
    }

    /// Returns the exposed port that the packet is for.
    fn exposed(&self) -> Option<(&Tenant, &Expose)> {
        let (protocol, _, port) = self.sent.probe.carried;
        let wanted = (protocol, self.sent.destination(), port);
        let all = self.tenants.iter().flat_map(|tenant| tenant.exposes.iter().map(move |own| (tenant, own)));
        all.into_iter().find(|(_, own)| (own.protocol, own.public, own.public_port) == wanted)
    }

    /// Returns the row that drops the packet on OVN.
    fn ovn_drop(&self) -> Option<&str> {
        rule_of(&self.ovn.ending)
    }

    pub(super) fn shown(&self) -> String {
        let one = |report: &TraceReport| {
            let mut out = Vec::new();
            midoform_packets::trace::text(report, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            // What did not match is no matter.
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('·')).collect();
            lines.join("\n")
        };
        format!(
            "{:?} source {}\nMidoNet: {:?}\n{}\nOVN: {:?}\n{}\n",
            self.sent.probe,
            self.sent.source(),
            verdict(self.midonet),
            one(self.midonet),
            verdict(self.ovn),
            one(self.ovn)
        )
    }
}
