//! Evaluates the rules of chains for sets of packets. This code is independent of the interpreter, which its results
//! are compared against.

use uuid::Uuid;

use super::header::{DESTINATION, DESTINATION_PORT, Fragments, Protocols, Range, SOURCE, SOURCE_PORT};
use super::index::Position;
use super::path::{Binding, Flow, Path, Side};
use super::sets::Sets;
use super::walk::{ChainOutcome, Walker};
use crate::semantics::world::{MacMask, Rule, RuleKind, Target};
use crate::semantics::{Frame, is_echo_type, tracks};
use midoform_compiler::topology::kinds::FlowAction;
use midoform_compiler::values::{MacAddress, ethertype};

/// The packets about which a rule decided, each with the rule's place.
#[derive(Default)]
pub(super) struct Decided {
    passed: Vec<(usize, Path)>,
    dropped: Vec<(usize, (Path, Uuid))>,
    through: Vec<(usize, Path)>,
}

impl Decided {
    /// Adds what passed and what was dropped, in the order of the rules, and returns what leaves the chain undecided.
    fn add_to(self, sets: &Sets, outcome: &mut ChainOutcome) -> Vec<Path> {
        outcome.passed.extend(in_order(Path::merged(sets, self.passed)));
        outcome.dropped.extend(in_order(self.dropped));
        in_order(Path::merged(sets, self.through)).collect()
    }
}

fn in_order<T>(mut items: Vec<(usize, T)>) -> impl Iterator<Item = T> {
    items.sort_by_key(|(place, _)| *place);
    items.into_iter().map(|(_, item)| item)
}

impl Walker<'_> {
    /// Evaluates a chain, if there is one.
    pub(crate) fn evaluate(&self, chain: Option<Uuid>, mut path: Path, position: Position) -> ChainOutcome {
        let mut outcome = ChainOutcome::default();
        let Some(chain) = chain else {
            outcome.passed.push(path);
            return outcome;
        };
        path.visited.clear();
        let through = self.evaluate_rules(chain, path, position, &mut outcome);
        outcome.passed.extend(through);
        outcome
    }

    /// Returns the packets that were neither dropped nor accepted: they continue after the jump. The outcomes come in the
    /// order of the rules that decided.
    fn evaluate_rules(
        &self,
        chain: Uuid,
        mut path: Path,
        position: Position,
        outcome: &mut ChainOutcome,
    ) -> Vec<Path> {
        path.visited.push(chain);
        let rules = self.world.chains.get(&chain).map(Vec::as_slice).unwrap_or_default();
        let Some(index) = self.index.chain(chain) else { return vec![path] };
        let mut decided = Decided::default();
        let mut left = Vec::new();
        let mut waiting = vec![(path, 0)];
        while let Some((path, from)) = waiting.pop() {
            // The index is about addresses, which not every frame has.
            let next = match path.frame.has_addresses() {
                true => index.next(from, position, &path.now()),
                false => Some(from),
            };
            let Some((place, rule)) = next.and_then(|place| Some((place, rules.get(place)?))) else {
                left.push(path);
                continue;
            };
            if !self.may_put(1) {
                return Vec::new();
            }
            if let Some(run) = self.run((rules, index), &path, place, position) {
                let end = run.end;
                let next = self.apply_run(&run, path, position, &mut decided);
                waiting.extend(next.into_iter().rev().map(|path| (path, end)));
                continue;
            }
            let (matched, mut next) = self.split((rule, index.wanted(place)), path, position);
            for mut path in matched {
                if self.keeps_rules {
                    path.rules.push(rule.id);
                }
                next.extend(self.apply((rule, place), path, position, &mut decided));
            }
            waiting.extend(next.into_iter().rev().map(|path| (path, place + 1)));
        }
        let last = rules.len();
        decided.through.extend(left.into_iter().map(|path| (last, path)));
        decided.add_to(self.sets, outcome)
    }

    /// Applies a rule to packets that it matches, and returns those that the next rule is evaluated for.
    pub(super) fn apply(
        &self,
        (rule, place): (&Rule, usize),
        path: Path,
        position: Position,
        decided: &mut Decided,
    ) -> Vec<Path> {
        match rule.kind {
            RuleKind::Accept => decided.passed.push((place, path)),
            RuleKind::Drop | RuleKind::Reject => decided.dropped.push((place, (path, rule.id))),
            RuleKind::Return => decided.through.push((place, path)),
            RuleKind::Jump => match rule.jump_chain_id.filter(|jump| !path.visited.contains(jump)) {
                Some(jump) => {
                    let mut inner = ChainOutcome::default();
                    let through = self.evaluate_rules(jump, path, position, &mut inner);
                    decided.passed.extend(inner.passed.into_iter().map(|path| (place, path)));
                    decided.dropped.extend(inner.dropped.into_iter().map(|dropped| (place, dropped)));
                    return through;
                }
                None => return vec![path],
            },
            RuleKind::Other => return vec![path],
            _ => {
                let mut next = Vec::new();
                for (path, done) in self.translate(rule, path, position.device) {
                    match rule.flow_action.filter(|_| done) {
                        Some(FlowAction::Accept) => decided.passed.push((place, path)),
                        Some(FlowAction::Return) => decided.through.push((place, path)),
                        _ => next.push(path),
                    }
                }
                return next;
            }
        }
        Vec::new()
    }

    /// Splits the packets of a path: those that a rule matches, and the others.
    pub(crate) fn split(
        &self,
        (rule, wanted): (&Rule, &[(usize, Vec<Range>)]),
        path: Path,
        position: Position,
    ) -> (Vec<Path>, Vec<Path>) {
        let policy = rule.fragments();
        let (seen, unseen) = path.split_fragments(Fragments::that(|fragment| fragment.fits(policy)));
        let Some(path) = seen else { return (Vec::new(), unseen.into_iter().collect()) };
        let (fitting, mut others) = flow_fits(rule, path);
        if !self.may_make(fitting.len() + others.len() + usize::from(unseen.is_some())) {
            return (Vec::new(), Vec::new());
        }
        let (current, failed): (Vec<Path>, Vec<Path>) =
            fitting.into_iter().partition(|path| self.position_matches(rule, path, position));
        others.extend(failed);
        let mut matched = self.narrow(current, &mut others, |path| self.split_fields(wanted, path));
        if let Some(protocol) = rule.nw_proto {
            let wanted = Protocols::of(&[protocol]);
            let wanted = if rule.inv_nw_proto { Protocols::ALL.without(wanted) } else { wanted };
            matched = self.narrow(matched, &mut others, |path| {
                let (inside, outside) = path.split_protocols(wanted);
                (inside.into_iter().collect(), outside.into_iter().collect())
            });
        }
        if rule.cond_invert {
            std::mem::swap(&mut matched, &mut others);
        }
        others.extend(unseen);
        (matched, others)
    }

    /// Splits the packets of a path: those whose fields are all in these ranges, and the others.
    fn split_fields(&self, wanted: &[(usize, Vec<Range>)], path: Path) -> (Vec<Path>, Vec<Path>) {
        let is_address = |field: usize| [SOURCE, DESTINATION].contains(&field);
        let has_addresses = path.frame.has_addresses();
        let asked = wanted.iter().filter(|(field, _)| has_addresses || !is_address(*field));
        let (mut sent, mut others) = (Vec::new(), Vec::new());
        let mut matched = vec![path];
        for (field, ranges) in asked {
            let variable = matched.first().map(|path| path.variable(*field)).unwrap_or_default();
            match variable < matched.first().map_or(0, |path| path.header.len()) {
                // All of these are one set: what is left is one set as well.
                true => sent.push((variable, ranges.as_slice())),
                false => {
                    matched =
                        self.narrow(matched, &mut others, |path| path.split_by(self.sets, variable, ranges));
                }
            }
        }
        let matched = self.narrow(matched, &mut others, |path| path.split_by_all(self.sets, &sent));
        (matched, others)
    }

    fn narrow(
        &self,
        paths: Vec<Path>,
        others: &mut Vec<Path>,
        split: impl Fn(Path) -> (Vec<Path>, Vec<Path>),
    ) -> Vec<Path> {
        let mut inside = Vec::new();
        for path in paths {
            let (fits, fails) = split(path);
            if !self.may_make(fits.len() + fails.len()) {
                return Vec::new();
            }
            inside.extend(fits);
            others.extend(fails);
        }
        inside
    }

    /// Matches the conditions that have one result for all packets of a path.
    pub(super) fn position_matches(&self, rule: &Rule, path: &Path, position: Position) -> bool {
        let among = |ports: &[Uuid], port: Option<Uuid>, inverted: bool| {
            ports.is_empty() || inverted != port.is_some_and(|port| ports.contains(&port))
        };
        let grouped = |group: Option<Uuid>, port: Option<Uuid>, inverted: bool| {
            let Some(group) = group else { return true };
            let members = self.world.port_groups.get(&group);
            let inside = port.zip(members).is_some_and(|(port, members)| members.contains(&port));
            inverted != inside
        };
        let in_port = Some(position.in_port);
        let passed = |device: Uuid| rule.inv_traversed_device != path.traversed.contains(&device);
        among(&rule.in_ports, in_port, rule.inv_in_ports)
            && among(&rule.out_ports, position.out_port, rule.inv_out_ports)
            && grouped(rule.port_group, Some(path.ingress), rule.inv_port_group)
            && grouped(rule.in_port_group, in_port, rule.inv_in_port_group)
            && grouped(rule.out_port_group, position.out_port, rule.inv_out_port_group)
            && rule.traversed_device.is_none_or(passed)
            && (path.rewritten || !rule.match_nw_dst_rewritten)
            && mac_fits(rule.dl_src, rule.dl_src_mask, rule.inv_dl_src, path.source_mac)
            && mac_fits(rule.dl_dst, rule.dl_dst_mask, rule.inv_dl_dst, path.destination_mac)
            && frame_fits(rule, path.frame)
            && rule.nw_tos.is_none_or(|tos| rule.inv_nw_tos != (tos == 0))
            && (rule.inv_icmp_data_src_ip || rule.icmp_data_src_ip_address.is_none())
            && (rule.inv_icmp_data_dst_ip || rule.icmp_data_dst_ip_address.is_none())
    }

    /// Applies NAT or reverse NAT; false for packets that were not translated.
    fn translate(&self, rule: &Rule, path: Path, device: Uuid) -> Vec<(Path, bool)> {
        if path.frame.ethertype != ethertype::IPV4 {
            return vec![(path, false)];
        }
        let mut done = Vec::new();
        let (with_ports, other) = path.split_protocols(Protocols::of(&[6, 17]));
        let mut translated: Vec<(Path, bool)> = with_ports.into_iter().map(|path| (path, false)).collect();
        if let Some(other) = other {
            let (icmp, rest) = other.split_protocols(Protocols::of(&[1]));
            done.extend(rest.map(|path| (path, false)));
            let types: Vec<Range> =
                (0..=255).filter(|kind| is_echo_type(*kind)).map(|kind| Range::one(kind.into())).collect();
            if let Some(icmp) = icmp {
                let (echo, rest) = icmp.split_many(self.sets, SOURCE_PORT, &types);
                done.extend(rest.into_iter().map(|path| (path, false)));
                translated.extend(echo.into_iter().map(|path| (path, true)));
            }
        }
        if !self.may_make(done.len() + translated.len()) {
            return Vec::new();
        }
        for (path, echo) in translated {
            match rule.kind {
                RuleKind::Snat => self.forward(rule, path, device, Side::Source, echo, &mut done),
                RuleKind::Dnat => self.forward(rule, path, device, Side::Destination, echo, &mut done),
                RuleKind::RevSnat => self.reverse(path, device, Side::Source, echo, &mut done),
                RuleKind::RevDnat => self.reverse(path, device, Side::Destination, echo, &mut done),
                _ => done.push((path, false)),
            }
        }
        done
    }

    /// Applies NAT: a flow keeps its translation, or gets one of the targets.
    fn forward(
        &self,
        rule: &Rule,
        path: Path,
        device: Uuid,
        side: Side,
        echo: bool,
        done: &mut Vec<(Path, bool)>,
    ) {
        let Some(targets) = rule.nat_targets.as_ref().filter(|targets| !targets.is_empty()) else {
            done.push((path, false));
            return;
        };
        let keeps = |known: Binding| (known.key, (side, known.address, known.port));
        let left = self.known(path, (device, side), echo, keeps, done);
        let choices =
            if self.first_choice { targets.get(..1).unwrap_or_default() } else { targets.as_slice() };
        for path in left {
            if !self.may_make(choices.len()) {
                return;
            }
            for target in choices {
                let mut path = path.clone();
                let key = path.header;
                let (address, port) = self.choices(target, echo);
                let (address, port) = (path.add(address), path.add(port));
                path.bindings.push(Binding { device, side, key, address, port });
                rewrite(&mut path, side, address, port, echo);
                done.push((path, true));
            }
        }
    }

    /// Applies reverse NAT to packets that are replies of a translation on this device.
    fn reverse(&self, path: Path, device: Uuid, side: Side, echo: bool, done: &mut Vec<(Path, bool)>) {
        let turns_back = |known: Binding| {
            let [source, destination, source_port, destination_port] = known.key;
            match side {
                Side::Source => (
                    [destination, known.address, destination_port, known.port],
                    (Side::Destination, source, source_port),
                ),
                Side::Destination => (
                    [known.address, source, known.port, source_port],
                    (Side::Source, destination, destination_port),
                ),
            }
        };
        let left = self.known(path, (device, side), echo, turns_back, done);
        done.extend(left.into_iter().map(|path| (path, false)));
    }

    /// Applies earlier translations to packets, the latest first. `says` returns the header that a translation is for,
    /// and the side of it with the new address and port. Returns the packets that match none of them.
    fn known(
        &self,
        path: Path,
        (device, side): (Uuid, Side),
        echo: bool,
        says: impl Fn(Binding) -> ([usize; 4], (Side, usize, usize)),
        done: &mut Vec<(Path, bool)>,
    ) -> Vec<Path> {
        let made_here = |made: &&Binding| made.device == device && made.side == side;
        let made: Vec<Binding> = path.bindings.iter().rev().filter(made_here).copied().collect();
        let mut left = vec![path];
        for binding in made {
            let (header, (side, address, port)) = says(binding);
            let mut next = Vec::new();
            for path in left {
                let pairs = pairs(path.header, header, echo);
                let (equal, others) = path.split_equal(self.sets, &pairs);
                if !self.may_make(others.len() + usize::from(equal.is_some())) {
                    return Vec::new();
                }
                next.extend(others);
                if let Some(mut path) = equal {
                    rewrite(&mut path, side, address, port, echo);
                    done.push((path, true));
                }
            }
            left = next;
        }
        left
    }

    /// Returns the addresses and ports that NAT may choose.
    fn choices(&self, target: &Target, echo: bool) -> (Range, Range) {
        let first: u32 = target.address_from.into();
        let addresses = Range { first, last: u32::from(target.address_to).max(first) };
        let ports =
            Range { first: target.port_from.into(), last: target.port_to.max(target.port_from).into() };
        let ports = if echo { Range::one(0) } else { ports };
        match self.first_choice {
            true => (Range::one(addresses.first), Range::one(ports.first)),
            false => (addresses, ports),
        }
    }
}

/// Splits packets by a rule's flow conditions. The evaluation starts tracking.
fn flow_fits(rule: &Rule, path: Path) -> (Vec<Path>, Vec<Path>) {
    if !rule.match_forward_flow && !rule.match_return_flow {
        return (vec![path], Vec::new());
    }
    // Only IPv4 is tracked: any other frame counts as one that begins a connection.
    if path.frame.ethertype != ethertype::IPV4 {
        return if rule.match_return_flow { (Vec::new(), vec![path]) } else { (vec![path], Vec::new()) };
    }
    let tracked: Vec<u8> = (0..=255).filter(|number| tracks(*number)).collect();
    let (tracked, untracked) = path.split_protocols(Protocols::of(&tracked));
    let (mut fits, mut fails) = (Vec::new(), Vec::new());
    for (path, forward) in [(tracked, None), (untracked, Some(true))] {
        let Some(mut path) = path else { continue };
        path.tracked |= forward.is_none();
        let forward = forward.unwrap_or(path.flow == Flow::Forward);
        let passes = (forward || !rule.match_forward_flow) && !(forward && rule.match_return_flow);
        if passes { fits.push(path) } else { fails.push(path) }
    }
    (fits, fails)
}

/// Matches the conditions on EtherType and tag. A frame without addresses meets a condition on addresses only if that is
/// inverted.
fn frame_fits(rule: &Rule, frame: Frame) -> bool {
    let by_addresses = [
        (rule.nw_src_address.is_some(), rule.inv_nw_src),
        (rule.nw_dst_address.is_some(), rule.inv_nw_dst),
        (rule.ip_addr_group_src.is_some(), rule.inv_ip_addr_group_src),
        (rule.ip_addr_group_dst.is_some(), rule.inv_ip_addr_group_dst),
    ];
    rule.dl_type.is_none_or(|kind| rule.inv_dl_type != (kind == u32::from(frame.ethertype)))
        && rule.vlan.filter(|vlan| *vlan != 0).is_none_or(|vlan| frame.vlan == Some(vlan))
        && !(rule.no_vlan && frame.vlan.is_some())
        && (frame.has_addresses() || by_addresses.iter().all(|(is_set, inverted)| !is_set || *inverted))
}

fn mac_fits(wanted: Option<MacAddress>, mask: Option<MacMask>, inverted: bool, own: MacAddress) -> bool {
    let bits = |mac: [u8; 6]| mac.into_iter().fold(0_u64, |bits, octet| bits << 8 | u64::from(octet));
    let mask = mask.map_or(u64::MAX, |mask| bits(mask.0));
    wanted.is_none_or(|wanted| inverted != (bits(wanted.0) & mask == bits(own.0) & mask))
}

/// Returns the variables that have to be equal for two headers to be of one flow. An echo's identifier is always the
/// same.
pub(super) fn pairs(one: [usize; 4], other: [usize; 4], echo: bool) -> Vec<(usize, usize)> {
    one.into_iter().zip(other).take(if echo { 2 } else { 4 }).collect()
}

pub(super) fn rewrite(path: &mut Path, side: Side, address: usize, port: usize, echo: bool) {
    let (address_field, port_field) = match side {
        Side::Source => (SOURCE, SOURCE_PORT),
        Side::Destination => (DESTINATION, DESTINATION_PORT),
    };
    path.rewritten |= side == Side::Destination;
    path.set(address_field, address);
    if !echo {
        path.set(port_field, port);
    }
}
