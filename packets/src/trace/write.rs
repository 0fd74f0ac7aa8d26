//! A trace as text, and as a sequence diagram.

use std::io::{self, Write};

use super::report::{Ending, EvaluatedRule, Hop, TraceReport};
use midoform_compiler::printable::printable;
use midoform_compiler::topology::key::view::{KeyView, TenantKey};

/// Returns the hops up to the first repeated one, and the number of the rest: for a packet in a loop one round is
/// enough for people.
fn one_round(report: &TraceReport) -> (&[Hop], usize) {
    let same = |one: &Hop, other: &Hop| {
        (&one.device, &one.in_port, &one.packet) == (&other.device, &other.in_port, &other.packet)
    };
    let hops = report.hops.as_slice();
    let again = (0..hops.len()).find(|at| {
        let (before, here) = hops.split_at(*at);
        here.first().is_some_and(|hop| before.iter().any(|earlier| same(earlier, hop)))
    });
    let (shown, left) = hops.split_at(again.unwrap_or(hops.len()));
    (shown, left.len())
}

/// Writes a trace as text.
///
/// # Errors
/// Returns the writer's error.
pub fn text(report: &TraceReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} from {}", report.packet, report.from)?;
    let (hops, left) = one_round(report);
    for hop in hops {
        writeln!(out, "\n  {}, in port {}", printable(&hop.device), printable(&hop.in_port))?;
        if !hop.tracked.is_empty() {
            writeln!(out, "    connection {}", hop.tracked.join(", then "))?;
        }
        let mut chain = "";
        for rule in &hop.rules {
            if rule.chain != chain {
                let kind = if rule.row.is_some() { "list" } else { "chain" };
                writeln!(out, "    {kind} {}", printable(&rule.chain))?;
                chain = &rule.chain;
            }
            write_rule(rule, out)?;
        }
        if let Some(route) = &hop.route {
            writeln!(out, "    route {}", printable(&route.to_string()))?;
        }
        if !hop.out_ports.is_empty() {
            writeln!(out, "    out port {}", printable(&hop.out_ports.join(" and ")))?;
        }
    }
    if left > 0 {
        writeln!(out, "\n  the packet is in a loop: {left} more devices, all as above")?;
    }
    writeln!(out, "\n{}", report.ending)?;
    if report.ending.is_delivered() && report.packet_at_end != report.packet {
        writeln!(out, "as {}", report.packet_at_end)?;
    }
    if let Some(reply) = &report.reply {
        writeln!(out, "\nThe reply:\n")?;
        text(reply, out)?;
    }
    Ok(())
}

fn write_rule(rule: &EvaluatedRule, out: &mut dyn Write) -> io::Result<()> {
    let name = match rule.rule.view() {
        KeyView::Tenant(_, TenantKey::Rule(_, name)) => name.to_string(),
        _ if rule.rule.is_foreign() => {
            let id = rule.rule.own_id().unwrap_or_default();
            format!("{id}, which is not midoform's")
        }
        _ => rule.rule.to_string(),
    };
    let mark = if rule.matched { "✓" } else { "·" };
    write!(out, "      {mark} {}: {}", printable(&name), printable(&rule.what))?;
    match (&rule.source, rule.matched) {
        (Some(source), true) => writeln!(out, " ({})", printable(&source.to_string()))?,
        _ => writeln!(out)?,
    }
    if let Some(packet) = &rule.rewrites {
        writeln!(out, "        becomes {packet}")?;
    }
    Ok(())
}

/// Writes a trace as a Mermaid sequence diagram: the devices, and the packet's header between them.
///
/// # Errors
/// Returns the writer's error.
pub fn mermaid(report: &TraceReport, out: &mut dyn Write) -> io::Result<()> {
    let mut names: Vec<&str> = Vec::new();
    let ways: Vec<&TraceReport> = std::iter::once(report).chain(report.reply.as_deref()).collect();
    for way in &ways {
        let devices = way.hops.iter().map(|hop| hop.device.as_str());
        let ends = match &way.ending {
            Ending::Delivered { at } => at.as_slice(),
            _ => &[],
        };
        for name in std::iter::once(way.from.as_str()).chain(devices).chain(ends.iter().map(String::as_str)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    writeln!(out, "sequenceDiagram")?;
    for (at, name) in names.iter().enumerate() {
        writeln!(out, "    participant p{at} as {}", quoted(name))?;
    }
    for way in ways {
        draw(way, &|name| format!("p{}", names.iter().position(|known| *known == name).unwrap_or(0)), out)?;
    }
    Ok(())
}

fn draw(report: &TraceReport, alias: &dyn Fn(&str) -> String, out: &mut dyn Write) -> io::Result<()> {
    let mut from = alias(&report.from);
    let (hops, left) = one_round(report);
    for hop in hops {
        let device = alias(&hop.device);
        writeln!(out, "    {from}->>{device}: {}", quoted(&hop.packet.to_string()))?;
        for rule in hop.rules.iter().filter(|rule| rule.matched) {
            writeln!(out, "    Note over {device}: {}", quoted(&format!("{} ({})", rule.rule, rule.what)))?;
        }
        from = device;
    }
    if left > 0 {
        writeln!(out, "    Note over {from}: the packet is in a loop: {left} more devices, all as above")?;
    }
    let seen = quoted(&report.packet_at_end.to_string());
    match &report.ending {
        Ending::Delivered { at } => {
            at.iter().try_for_each(|place| writeln!(out, "    {from}->>{}: {seen}", alias(place)))
        }
        other => writeln!(out, "    {from}-x{from}: {}", quoted(&other.to_string())),
    }
}

/// Replaces the characters that Mermaid would interpret.
fn quoted(text: &str) -> String {
    let safe = |character: char| match character {
        ';' | '#' | '"' => ' ',
        '>' | '<' => '|',
        other if other.is_control() => ' ',
        other => other,
    };
    text.chars().map(safe).collect()
}
