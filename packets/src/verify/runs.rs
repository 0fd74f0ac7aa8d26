//! Runs of rules: those that follow each other in a chain and decide alike. Their order makes no difference, so they are
//! matched as one set.

use std::collections::BTreeMap;

use super::chains::Decided;
use super::header::{self, Fragments, Protocols, Range};
use super::index::{ChainIndex, Position};
use super::packet_set::Fields;
use super::path::Path;
use super::walk::Walker;
use crate::semantics::world::{Rule, RuleKind};

/// Rules that decide alike about a path.
pub(super) struct Run<'r> {
    first: &'r Rule,
    place: usize,
    /// The place behind the last of them.
    pub(super) end: usize,
    /// The packets that they match, as they were sent.
    boxes: BTreeMap<(Protocols, Fragments), Vec<[Range; 4]>>,
}

impl Walker<'_> {
    /// Returns the run of rules that decide like the rule at this place; none if it has to be matched by itself, or if a
    /// path notes its rules.
    pub(super) fn run<'r>(
        &self,
        (rules, index): (&'r [Rule], &ChainIndex),
        path: &Path,
        place: usize,
        position: Position,
    ) -> Option<Run<'r>> {
        let is_run = !self.keeps_rules && path.frame.has_addresses();
        let first = rules.get(place).filter(|_| is_run)?;
        let mut run = Run { first, place, end: place, boxes: BTreeMap::new() };
        let now = path.now();
        let mut next = Some(place);
        while let Some((place, rule)) = next.and_then(|place| Some((place, rules.get(place)?))) {
            if !decides_by_header(rule) || !self.is_alike(first, rule) || !self.may_put(1) {
                break;
            }
            if self.position_matches(rule, path, position) {
                let Some(fields) = fields(path, index.wanted(place)) else { break };
                let policy = rule.fragments();
                let kind = (protocols(rule), Fragments::that(|fragment| fragment.fits(policy)));
                if run.boxes.is_empty() {
                    (run.first, run.place) = (rule, place);
                }
                run.boxes.entry(kind).or_default().push(fields);
            }
            run.end = place + 1;
            next = index.next(run.end, position, &now);
        }
        (run.end > place).then_some(run)
    }

    /// Returns true if two rules decide alike: they may be named for each other.
    fn is_alike(&self, one: &Rule, other: &Rule) -> bool {
        let drops = matches!(one.kind, RuleKind::Drop | RuleKind::Reject);
        one.kind == other.kind
            && (!drops || self.stateless.contains(&one.id) == self.stateless.contains(&other.id))
    }

    /// Applies the rules of a run to a path, and returns the packets that none of them matches.
    pub(super) fn apply_run(
        &self,
        run: &Run<'_>,
        path: Path,
        position: Position,
        decided: &mut Decided,
    ) -> Vec<Path> {
        let (matched, mut others) = self.split_by_run(run, path);
        let rule = (run.first, run.place);
        others.extend(matched.into_iter().flat_map(|path| self.apply(rule, path, position, decided)));
        others
    }

    /// Splits the packets of a path: those that a rule of a run matches, and the others.
    fn split_by_run(&self, run: &Run<'_>, path: Path) -> (Vec<Path>, Vec<Path>) {
        let mut matched = Vec::new();
        let mut left = vec![path];
        for ((protocols, fragments), boxes) in &run.boxes {
            let mut others = Vec::new();
            for path in left {
                let (seen, unseen) = path.split_fragments(*fragments);
                others.extend(unseen);
                let (inside, outside) = seen.map_or((None, None), |path| path.split_protocols(*protocols));
                others.extend(outside);
                let Some(path) = inside else { continue };
                let (fits, fails) = self.split_by_boxes(boxes, path);
                matched.extend(fits);
                others.extend(fails);
            }
            left = others;
        }
        (matched, left)
    }

    fn split_by_boxes(&self, boxes: &[[Range; 4]], path: Path) -> (Vec<Path>, Vec<Path>) {
        let around = boxes.iter().copied().reduce(header::around).unwrap_or([Range::ADDRESSES; 4]);
        let (inside, outside) = path.split_set(self.sets, Fields::of_boxes(self.sets, boxes), around);
        (inside.into_iter().collect(), outside.into_iter().collect())
    }
}

/// Returns true if a rule decides about the packets whose headers it matches, and about no others.
fn decides_by_header(rule: &Rule) -> bool {
    use RuleKind::{Accept, Drop, Reject, Return};
    let is_about_flows = rule.match_forward_flow || rule.match_return_flow;
    matches!(rule.kind, Accept | Drop | Reject | Return) && !rule.cond_invert && !is_about_flows
}

/// Returns the protocols that a rule matches.
pub(super) fn protocols(rule: &Rule) -> Protocols {
    let own = rule.nw_proto.map_or(Protocols::ALL, |protocol| Protocols::of(&[protocol]));
    match rule.nw_proto.is_some() && rule.inv_nw_proto {
        true => Protocols::ALL.without(own),
        false => own,
    }
}

/// Returns the box of packets, as they were sent, whose fields are now in these ranges. None if it is not one box, or if
/// a field was translated.
fn fields(path: &Path, wanted: &[(usize, Vec<Range>)]) -> Option<[Range; 4]> {
    let mut fields = [Range::ADDRESSES, Range::ADDRESSES, Range::PORTS, Range::PORTS];
    for (field, ranges) in wanted {
        let ([range], Some(own)) = (ranges.as_slice(), fields.get_mut(path.variable(*field))) else {
            return None;
        };
        *own = own.common(*range)?;
    }
    Some(fields)
}
