//! The conditions of rows as sets of headers.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::verify::header::{
    DESTINATION, DESTINATION_PORT, Protocols, Range, SOURCE, SOURCE_PORT, common, rest, united,
};
use crate::verify::path::{Path, Tracking};
use crate::verify::sets::{Set, Sets};
use midoform_compiler::ovn::expression::meaning::{
    Condition, NumberTest, PacketField, PortTest, connection_state,
};
use midoform_compiler::values::MacAddress;

/// The most ranges that the bits of a test may be.
const MOST_RANGES: u32 = 4096;

/// The number of SCTP: the sets have no ports of it.
const SCTP: u8 = 132;

/// A condition that sets can be computed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Constant(bool),
    All(Vec<Match>),
    Any(Vec<Match>),
    /// A field of the header is in one of these sorted, disjoint ranges.
    Field(usize, Vec<Range>),
    Protocol(Protocols),
    Port {
        is_input: bool,
        ports: BTreeSet<Uuid>,
        holds: bool,
    },
    /// A number that is the same for all packets of a path.
    Known(Known, NumberTest),
}

/// A number that is the same for all packets of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    SourceMac,
    DestinationMac,
    EtherType,
    Tag,
    Connection,
    /// Only whole packets are sent.
    Fragment,
}

/// The ports that a packet passes: none where a port is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Between {
    pub(crate) input: Uuid,
    pub(crate) output: Option<Uuid>,
}

/// A variable whose value decides about a condition in another way for some of its numbers: the path has to be split by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undecided {
    pub(crate) variable: usize,
    pub(crate) ranges: Vec<Range>,
}

impl Match {
    /// Reads a condition. `port` returns the port with a name.
    ///
    /// # Errors
    /// Returns what the sets can't say.
    pub(crate) fn of(condition: &Condition, port: &dyn Fn(&str) -> Option<Uuid>) -> Result<Match, String> {
        let of_parts = |parts: &[Condition]| {
            parts.iter().map(|part| Match::of(part, port)).collect::<Result<Vec<Match>, String>>()
        };
        Ok(match condition {
            Condition::Constant(holds) => Match::Constant(*holds),
            Condition::All(parts) => Match::all(of_parts(parts)?)?,
            Condition::Any(parts) => Match::any(of_parts(parts)?),
            Condition::Number(test) => of_number(*test)?,
            Condition::Port(PortTest { is_input, names, holds }) => {
                let ports = names.iter().filter_map(|name| port(name)).collect();
                Match::Port { is_input: *is_input, ports, holds: *holds }
            }
            Condition::Resident { .. } => return Err("`is_chassis_resident`".to_owned()),
        })
    }

    /// Joins conditions that all have to hold; those on one field become one.
    fn all(parts: Vec<Match>) -> Result<Match, String> {
        let flat = parts.into_iter().flat_map(|part| match part {
            Match::All(inner) => inner,
            Match::Constant(true) => Vec::new(),
            other => vec![other],
        });
        let mut found: Vec<Match> = Vec::new();
        for part in flat {
            let same = found.iter_mut().find_map(|known| match (known, &part) {
                (Match::Field(field, own), Match::Field(other, ranges)) if field == other => {
                    Some((own, ranges))
                }
                _ => None,
            });
            match same {
                Some((own, ranges)) => *own = common(own, ranges),
                None => found.push(part),
            }
        }
        let names_sctp =
            |part: &Match| matches!(part, Match::Protocol(own) if *own == Protocols::of(&[SCTP]));
        let names_port =
            |part: &Match| matches!(part, Match::Field(SOURCE_PORT | DESTINATION_PORT, _) | Match::Any(_));
        if found.iter().any(names_sctp) && found.iter().any(names_port) {
            return Err("ports of SCTP".to_owned());
        }
        Ok(match found.len() {
            1 => found.pop().unwrap_or(Match::Constant(true)),
            _ => Match::All(found),
        })
    }

    /// Joins conditions of which one has to hold; those on one field become one.
    fn any(parts: Vec<Match>) -> Match {
        let flat = parts.into_iter().flat_map(|part| match part {
            Match::Any(inner) => inner,
            Match::Constant(false) => Vec::new(),
            other => vec![other],
        });
        let mut fields: [Vec<Range>; 4] = Default::default();
        let mut found: Vec<Match> = Vec::new();
        for part in flat {
            match part {
                Match::Field(field, ranges) => {
                    if let Some(own) = fields.get_mut(field) {
                        own.extend(ranges);
                    }
                }
                other => found.push(other),
            }
        }
        let of_fields = fields.into_iter().enumerate().filter(|(_, ranges)| !ranges.is_empty());
        found.extend(of_fields.map(|(field, ranges)| Match::Field(field, united(ranges))));
        match found.len() {
            1 => found.pop().unwrap_or(Match::Constant(false)),
            _ => Match::Any(found),
        }
    }

    /// Calls `visit` with the protocols of each test, so that packets can be sent apart that conditions tell apart.
    pub(crate) fn each_protocols(&self, visit: &mut dyn FnMut(Protocols)) {
        match self {
            Match::All(parts) | Match::Any(parts) => {
                parts.iter().for_each(|part| part.each_protocols(visit));
            }
            Match::Protocol(protocols) => visit(*protocols),
            Match::Constant(_) | Match::Field(..) | Match::Port { .. } | Match::Known(..) => {}
        }
    }

    /// Calls `visit` with each port that the condition names.
    pub(crate) fn each_port(&self, visit: &mut dyn FnMut(Uuid)) {
        match self {
            Match::All(parts) | Match::Any(parts) => parts.iter().for_each(|part| part.each_port(visit)),
            Match::Port { ports, .. } => ports.iter().copied().for_each(visit),
            Match::Constant(_) | Match::Field(..) | Match::Protocol(_) | Match::Known(..) => {}
        }
    }

    /// Returns the headers of a path, as they were sent, that the condition selects.
    pub(crate) fn set(&self, sets: &Sets, path: &Path, between: Between) -> Result<Set, Undecided> {
        Ok(match self {
            Match::Constant(holds) => whole(*holds),
            Match::All(parts) => {
                // What is the same for all packets is known without a computation.
                let mut all = Set::ALL;
                for part in parts.iter().filter(|part| part.is_the_same_for_all()) {
                    if part.set(sets, path, between)?.is_none() {
                        return Ok(Set::NONE);
                    }
                }
                for part in parts.iter().filter(|part| !part.is_the_same_for_all()) {
                    all = sets.common(all, part.set(sets, path, between)?);
                    if all.is_none() {
                        break;
                    }
                }
                all
            }
            Match::Any(parts) => {
                let mut some = Vec::new();
                for part in parts {
                    let own = part.set(sets, path, between)?;
                    if own == Set::ALL {
                        return Ok(own);
                    }
                    some.push(own);
                }
                sets.united(some)
            }
            Match::Field(field, ranges) => return of_field(sets, path, *field, ranges),
            // Paths have packets of one kind only.
            Match::Protocol(protocols) => whole(!path.protocols.and(*protocols).is_empty()),
            Match::Port { is_input, ports, holds } => {
                let port = if *is_input { Some(between.input) } else { between.output };
                whole(port.is_some_and(|port| ports.contains(&port)) == *holds)
            }
            Match::Known(known, test) => whole(test.is_met_by(number(*known, path))),
        })
    }

    fn is_the_same_for_all(&self) -> bool {
        matches!(self, Match::Constant(_) | Match::Protocol(_) | Match::Port { .. } | Match::Known(..))
    }
}

fn whole(holds: bool) -> Set {
    if holds { Set::ALL } else { Set::NONE }
}

fn of_field(sets: &Sets, path: &Path, field: usize, ranges: &[Range]) -> Result<Set, Undecided> {
    let variable = path.variable(field);
    if variable < path.header.len() {
        return Ok(sets.ranges(variable, ranges));
    }
    let own = path.range(variable);
    match (common(&[own], ranges).as_slice(), rest(own, ranges).is_empty()) {
        ([], _) => Ok(Set::NONE),
        (_, true) => Ok(Set::ALL),
        _ => Err(Undecided { variable, ranges: ranges.to_vec() }),
    }
}

/// Returns a number that is the same for all packets of a path.
fn number(known: Known, path: &Path) -> u128 {
    match known {
        Known::SourceMac => bits(path.source_mac),
        Known::DestinationMac => bits(path.destination_mac),
        Known::EtherType => path.frame.ethertype.into(),
        Known::Tag => path.frame.vlan.map_or(0, |vlan| 0x1000 | u128::from(vlan)),
        Known::Connection => match path.tracking {
            Tracking::None => 0,
            Tracking::New => connection_state::TRACKED | connection_state::NEW,
            Tracking::Reply => {
                connection_state::TRACKED | connection_state::ESTABLISHED | connection_state::REPLY
            }
            Tracking::Invalid => connection_state::TRACKED | connection_state::INVALID,
        },
        Known::Fragment => 0,
    }
}

fn bits(mac: MacAddress) -> u128 {
    mac.0.into_iter().fold(0, |bits, octet| bits << 8 | u128::from(octet))
}

fn of_number(test: NumberTest) -> Result<Match, String> {
    let field = match test.field {
        PacketField::EthernetSource => return Ok(Match::Known(Known::SourceMac, test)),
        PacketField::EthernetDestination => return Ok(Match::Known(Known::DestinationMac, test)),
        PacketField::EtherType => return Ok(Match::Known(Known::EtherType, test)),
        PacketField::VlanTag => return Ok(Match::Known(Known::Tag, test)),
        PacketField::Fragment => return Ok(Match::Known(Known::Fragment, test)),
        PacketField::ConnectionState => {
            // Of a translation the sets know nothing here.
            let translated = connection_state::SOURCE_TRANSLATED | connection_state::DESTINATION_TRANSLATED;
            return match test.mask.checked_shl(test.shift.into()).unwrap_or_default() & translated {
                0 => Ok(Match::Known(Known::Connection, test)),
                _ => Err("`ct.snat` or `ct.dnat`".to_owned()),
            };
        }
        PacketField::Protocol => {
            let met = (0..=u8::MAX).filter(|number| test.is_met_by((*number).into()));
            return Ok(Match::Protocol(Protocols::of(&met.collect::<Vec<u8>>())));
        }
        PacketField::Ipv4Source | PacketField::ArpSource => SOURCE,
        PacketField::Ipv4Destination | PacketField::ArpTarget => DESTINATION,
        PacketField::SourcePort | PacketField::IcmpType => SOURCE_PORT,
        PacketField::DestinationPort | PacketField::IcmpCode => DESTINATION_PORT,
        PacketField::Ttl => return Err("the time to live".to_owned()),
        PacketField::ArpOperation | PacketField::ArpSourceMac | PacketField::ArpTargetMac => {
            return Err("ARP's operation or MAC addresses".to_owned());
        }
        PacketField::Other(name) => return Err(format!("`{name}`")),
    };
    let whole = match (test.field, field) {
        (PacketField::IcmpType | PacketField::IcmpCode, _) => Range { first: 0, last: 255 },
        (_, SOURCE | DESTINATION) => Range::ADDRESSES,
        _ => Range::PORTS,
    };
    let ranges = ranges(test, whole).ok_or_else(|| "bits that are no network and no range".to_owned())?;
    Ok(Match::Field(field, ranges))
}

/// Returns the numbers that meet a test, as sorted, disjoint ranges within the whole field; none if they are too many ranges.
fn ranges(test: NumberTest, whole: Range) -> Option<Vec<Range>> {
    let field = u128::from(whole.last);
    let mask = test.mask.checked_shl(test.shift.into()).unwrap_or_default() & field;
    // The bits above the lowest one that counts.
    let shift = u32::from(test.shift);
    let above = field & u128::MAX.checked_shl(mask.trailing_zeros()).unwrap_or_default();
    let met = if mask == 0 {
        // No bit counts: the number is 0.
        if test.low == 0 { vec![whole] } else { Vec::new() }
    } else if mask == above {
        let first = test.low.checked_shl(shift).filter(|first| *first <= field);
        let last = test.high.min(field).checked_shl(shift)? | (field & !above);
        let narrow = |value: u128| u32::try_from(value.min(field)).ok();
        match first {
            Some(first) => vec![Range { first: narrow(first)?, last: narrow(last)? }],
            None => Vec::new(),
        }
    } else if test.low == test.high {
        scattered(test.low.checked_shl(shift)?, mask, field)?
    } else {
        return None;
    };
    Some(if test.holds { met } else { rest(whole, &met) })
}

/// Returns the numbers of a field that have these bits where the mask has one.
fn scattered(value: u128, mask: u128, field: u128) -> Option<Vec<Range>> {
    if value & !mask != 0 {
        return Some(Vec::new());
    }
    let low = (1_u128 << mask.trailing_zeros()) - 1;
    let free: Vec<u32> = (0..field.count_ones()).filter(|bit| (mask | low) & 1 << bit == 0).collect();
    let count = 1_u32.checked_shl(u32::try_from(free.len()).ok()?).filter(|count| *count <= MOST_RANGES)?;
    let one = |number: u32| {
        let chosen = free.iter().enumerate().filter(|(at, _)| number & 1 << at != 0);
        let first = chosen.fold(value, |first, (_, bit)| first | 1 << bit);
        Some(Range { first: u32::try_from(first).ok()?, last: u32::try_from(first | low).ok()? })
    };
    Some(united((0..count).map(one).collect::<Option<Vec<Range>>>()?))
}
