//! What OVN does with a packet, as a trace.

use super::network::TraceError;
use super::report::{Ending, EvaluatedRule, Hop, IcmpView, RowView, TraceReport, is_reply, view};
use super::rows::{Host, RowsNetwork};
use crate::ovn::network::Fault;
use crate::ovn::{self, ConnectionState, Device, End, State, Trace};
use crate::semantics::Packet;
use midoform_compiler::source::Provenance;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::row::Map;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Reference, Row};

/// The type and code of the ICMP error of an ACL that rejects: port unreachable.
const PORT_UNREACHABLE: (u8, u8) = (3, 3);
/// TCP's protocol number.
const TCP: u8 = 6;

impl RowsNetwork<'_> {
    /// Sends a packet and, if it arrives and has a reply, the reply.
    ///
    /// # Errors
    /// Returns the row that can't be read, if the packet or its reply comes to the switch or the router that has it.
    pub(crate) fn trace(&self, from: &Host, packet: Packet) -> Result<TraceReport, TraceError> {
        if let Some(next_hop) = self.unanswered(packet) {
            return Ok(self.report(
                self.name(from.port),
                packet,
                (&[], packet),
                Ending::Unanswered { next_hop },
            ));
        }
        let mut state = RowsNetwork::state();
        let trace = self.send(&mut state, from, (packet, false));
        self.check(&trace)?;
        if let Some(at) = trace.answered_by {
            return Ok(self.answered(from, packet, &trace, at));
        }
        let mut report = self.report_of(from, packet, &trace);
        if let End::Delivered(ports) = &trace.end
            && let Some(port) = ports.first()
        {
            let host = self.host_at(*port, &trace.packet);
            if let Some(reply) = self.reply_of(&host, &trace.packet) {
                report.reply = Some(Box::new(self.reply(&mut state, &host, (packet, reply))?));
            }
        }
        Ok(report)
    }

    /// Sends a reply to a packet.
    fn reply(
        &self,
        state: &mut State,
        host: &Host,
        (sent, reply): (Packet, Packet),
    ) -> Result<TraceReport, TraceError> {
        let back = self.send(state, host, (reply, true));
        self.check(&back)?;
        let report = self.report_of(host, reply, &back);
        let ending = reply_ending(report.ending, (&sent, &back.packet));
        Ok(TraceReport { ending, ..report })
    }

    /// Returns the trace of an echo request that a router has answered, and of its answer.
    fn answered(&self, from: &Host, packet: Packet, trace: &Trace, at: usize) -> TraceReport {
        let request = trace.hops.get(..=at).unwrap_or(&trace.hops);
        let last = request.last();
        let (router, arrived) =
            last.map_or_else(|| (String::new(), packet), |hop| (self.device(hop.device), hop.packet));
        let ending = Ending::Consumed { at: router.clone() };
        let mut report = self.report(self.name(from.port), packet, (request, arrived), ending);
        // What the router does with its own answer is in the hop at which it got the request.
        if let Some(hop) = report.hops.last_mut() {
            (hop.rules, hop.route, hop.out_ports, hop.tracked) = Default::default();
        }
        let reply = arrived.reply();
        let path = trace.hops.get(at..).unwrap_or_default();
        let ending = reply_ending(self.ending(trace), (&packet, &trace.packet));
        let mut reply = self.report(router, reply, (path, trace.packet), ending);
        if let Some(hop) = reply.hops.first_mut() {
            hop.packet = reply.packet.clone();
        }
        report.reply = Some(Box::new(reply));
        report
    }

    fn report_of(&self, from: &Host, packet: Packet, trace: &Trace) -> TraceReport {
        self.report(self.name(from.port), packet, (&trace.hops, trace.packet), self.ending(trace))
    }

    fn report(
        &self,
        from: String,
        packet: Packet,
        (hops, at_end): (&[ovn::Hop], Packet),
        ending: Ending,
    ) -> TraceReport {
        TraceReport {
            from,
            packet: view(&packet),
            hops: hops.iter().map(|hop| self.hop(hop)).collect(),
            ending,
            packet_at_end: view(&at_end),
            reply: None,
        }
    }

    fn hop(&self, hop: &ovn::Hop) -> Hop {
        let route = |key: &Key| match self.topology.get(key.as_str()) {
            Some(entry) => format!("{key} ({})", entry.object.describe()),
            None => "to the outside".to_owned(),
        };
        Hop {
            device: self.device(hop.device),
            in_port: self.name_of_port(&hop.in_port),
            packet: view(&hop.packet),
            tracked: hop.tracked.iter().map(|connection| word(*connection)).collect(),
            rules: hop.evaluated.iter().map(|evaluated| self.rule(evaluated)).collect(),
            route: hop.route.as_ref().map(route),
            out_ports: hop.out_ports.iter().map(|port| self.name_of_port(port)).collect(),
        }
    }

    fn rule(&self, evaluated: &ovn::Evaluated) -> EvaluatedRule {
        let entry = self.topology.get(evaluated.row.as_str());
        let row = entry.and_then(|entry| entry.object.row());
        EvaluatedRule {
            chain: row.map(list_of).unwrap_or_default(),
            rule: evaluated.row.clone(),
            what: row.map(what_of).unwrap_or_default(),
            matched: evaluated.matched,
            rewrites: evaluated.packet_after.as_ref().map(view),
            row: row.map(row_view),
            source: entry.and_then(|entry| entry.provenance.clone()),
        }
    }

    fn ending(&self, trace: &Trace) -> Ending {
        let at = trace.hops.last().map(|hop| self.device(hop.device)).unwrap_or_default();
        match &trace.end {
            End::Delivered(ports) => {
                Ending::Delivered { at: ports.iter().map(|port| self.name(*port)).collect() }
            }
            End::Dropped { row, why } => Ending::Dropped {
                at,
                why: (*why).to_owned(),
                rule: row.as_ref().map(ToString::to_string),
                source: row.as_ref().and_then(|row| self.source(row)),
            },
            End::Rejected(row) => {
                let (kind, code) = PORT_UNREACHABLE;
                let reset = trace.packet.protocol == TCP;
                let (source, destination) = (trace.packet.destination, trace.packet.source);
                Ending::Rejected {
                    at,
                    rule: Some(row.to_string()),
                    source: self.source(row),
                    icmp: (!reset).then_some(IcmpView { kind, code, source, destination }),
                    reset,
                }
            }
            End::Answered(_) => Ending::Consumed { at },
            End::WaitsForArp(next_hop) => Ending::Unanswered { next_hop: *next_hop },
        }
    }

    fn source(&self, row: &Key) -> Option<Provenance> {
        self.topology.get(row.as_str())?.provenance.clone()
    }

    /// Returns the name of a switch or a router.
    fn device(&self, device: Device) -> String {
        match self.row_of(device) {
            Some(Reference::Key(key)) => key.to_string(),
            Some(Reference::Named(name)) => format!("router {name}"),
            Some(Reference::External(id)) => format!("router {id}"),
            None => String::new(),
        }
    }

    fn row_of(&self, device: Device) -> Option<&Reference> {
        match device {
            Device::Switch(at) => self.network.switch(at).map(|switch| &switch.row),
            Device::Router(at) => self.network.router(at).map(|router| &router.row),
        }
    }

    /// Checks that the packet has come to no switch and no router with a row that can't be read: nobody knows what it does there.
    fn check(&self, trace: &Trace) -> Result<(), TraceError> {
        let faults = &self.network.faults;
        let here = faults.iter().find(|fault| {
            let devices = self.devices_of(&fault.key);
            trace.hops.iter().any(|hop| self.row_of(hop.device).is_some_and(|row| devices.contains(row)))
        });
        match here {
            Some(Fault { key, reason }) => {
                let what = self.topology.get(key.as_str()).and_then(|entry| entry.object.row());
                let table = what.map_or("row", |row| row.table.name());
                Err(TraceError::Unread { table, key: key.clone(), reason: reason.clone() })
            }
            None => Ok(()),
        }
    }

    /// Returns the switches and routers whose packets a row decides about.
    fn devices_of(&self, key: &Key) -> Vec<Reference> {
        let own = Reference::from(key);
        let Some(row) = self.topology.get(key.as_str()).and_then(|entry| entry.object.row()) else {
            return vec![own];
        };
        if row.table == Table::LoadBalancer {
            let users = self
                .topology
                .rows()
                .filter(|(_, other)| other.references_in("load_balancer").any(|used| *used == own));
            return users.map(|(key, _)| Reference::from(key)).collect();
        }
        match &row.holder {
            // Of a gateway chassis, the router of the port; of an ACL of a port group, the switches of the ports.
            Some(holder) if [Table::LogicalRouterPort, Table::PortGroup].contains(&holder.table) => {
                holder.row.key().map(|key| self.devices_of(key)).unwrap_or_default()
            }
            Some(holder) => vec![holder.row.clone()],
            None if row.table == Table::PortGroup => {
                let ports = row.references_in("ports").filter_map(Reference::key);
                ports.flat_map(|port| self.devices_of(port)).collect()
            }
            None => vec![own],
        }
    }
}

/// Returns the end of a reply: one that comes from another address than the packet was sent to is none.
fn reply_ending(ending: Ending, (sent, back): (&Packet, &Packet)) -> Ending {
    match ending {
        Ending::Delivered { at } if !is_reply(sent, back) => {
            Ending::NotAReply { at, source: back.source, expected: sent.destination }
        }
        other => other,
    }
}

fn word(connection: ConnectionState) -> &'static str {
    match connection {
        ConnectionState::New => "new",
        ConnectionState::Established => "established",
        ConnectionState::Reply => "reply",
        ConnectionState::Ended => "ended",
        ConnectionState::Invalid => "invalid",
    }
}

/// Returns the list that a row is in.
fn list_of(row: &Row) -> String {
    match row.table {
        Table::Acl => row.text_of("direction").unwrap_or_default().to_owned(),
        Table::LogicalRouterPolicy => "policies".to_owned(),
        Table::Nat => "nat".to_owned(),
        Table::LoadBalancer => "load_balancer".to_owned(),
        other => other.name().to_owned(),
    }
}

fn row_view(row: &Row) -> RowView {
    let text = |column| row.text_of(column).map(str::to_owned);
    RowView {
        table: row.table.name(),
        name: text("name"),
        priority: row.integer_of("priority"),
        condition: text("match"),
        action: text("action"),
    }
}

/// Describes a row in a few words.
fn what_of(row: &Row) -> String {
    let text = |column| row.text_of(column).unwrap_or_default();
    match row.table {
        Table::Acl | Table::LogicalRouterPolicy => format!(
            "{} {} {}: {}",
            row.table,
            row.integer_of("priority").unwrap_or(0),
            text("action"),
            text("match")
        ),
        Table::Nat => format!("NAT {} {} → {}", text("type"), text("logical_ip"), text("external_ip")),
        Table::LoadBalancer => {
            let vips = row.map_of("vips").into_iter().flat_map(Map::iter);
            let vips: Vec<String> = vips.map(|(public, targets)| format!("{public} → {targets}")).collect();
            format!("Load_Balancer {} {}", text("protocol"), vips.join(", "))
        }
        other => other.name().to_owned(),
    }
}
