//! Connection tracking and translation. Each port of a switch has a zone, and each router one for each side of the header.

use uuid::Uuid;

use super::network::Balancer;
use super::walk::Walker;
use crate::verify::chains::{pairs, rewrite};
use crate::verify::header::{DESTINATION, DESTINATION_PORT, Protocols, Range, SOURCE_PORT};
use crate::verify::path::{Binding, Path, Side, Tracking};
use midoform_compiler::values::ethertype;

/// The types of ICMP messages that begin a connection: echo, timestamp, information and address mask requests. Other messages
/// without a connection are invalid.
pub(crate) const REQUESTS: [u32; 4] = [8, 13, 15, 17];

/// A table of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) id: Uuid,
    pub(super) side: Side,
}

impl Zone {
    /// Returns the zone of a switch's port.
    pub(super) fn of_port(port: Uuid) -> Zone {
        Zone { id: port, side: Side::Destination }
    }
}

fn is_icmp(path: &Path) -> bool {
    path.protocols == Protocols::of(&[1])
}

/// Returns true for packets whose ports a translation may change.
fn has_ports(path: &Path) -> bool {
    path.protocols == Protocols::of(&[6]) || path.protocols == Protocols::of(&[17])
}

impl Walker<'_> {
    /// Looks packets up in a zone. Replies of a connection there are translated back.
    pub(super) fn track(&self, mut path: Path, zone: Zone) -> Vec<Path> {
        // Of other frames than IPv4 no connection is tracked here.
        if path.frame.ethertype != ethertype::IPV4 {
            path.tracking = Tracking::None;
            return vec![path];
        }
        let made_here = |made: &&Binding| made.device == zone.id && made.side == zone.side;
        let made: Vec<Binding> = path.bindings.iter().rev().filter(made_here).copied().collect();
        let (mut done, mut left) = (Vec::new(), vec![path]);
        for binding in made {
            let [source, destination, source_port, destination_port] = binding.key;
            let (header, (side, address, port)) = match zone.side {
                Side::Source => (
                    [destination, binding.address, destination_port, binding.port],
                    (Side::Destination, source, source_port),
                ),
                Side::Destination => (
                    [binding.address, source, binding.port, source_port],
                    (Side::Source, destination, destination_port),
                ),
            };
            let mut next = Vec::new();
            for path in left {
                let pairs = pairs(path.header, header, !has_ports(&path));
                let (equal, others) = path.split_equal(self.sets, &pairs);
                next.extend(others);
                if let Some(mut path) = equal {
                    let keeps_ports = !has_ports(&path);
                    rewrite(&mut path, side, address, port, keeps_ports);
                    path.tracking = Tracking::Reply;
                    done.push(path);
                }
            }
            left = next;
        }
        for path in left {
            done.extend(self.begun(path));
        }
        self.may_go_on(done.len());
        done
    }

    /// Tells packets that begin a connection from those that can't.
    fn begun(&self, path: Path) -> Vec<Path> {
        let as_tracked = |mut path: Path, tracking| {
            path.tracking = tracking;
            path
        };
        if !is_icmp(&path) {
            return vec![as_tracked(path, Tracking::New)];
        }
        let types: Vec<Range> = REQUESTS.iter().map(|kind| Range::one(*kind)).collect();
        let (requests, others) = path.split_many(self.sets, SOURCE_PORT, &types);
        let requests = requests.into_iter().map(|path| as_tracked(path, Tracking::New));
        requests.chain(others.into_iter().map(|path| as_tracked(path, Tracking::Invalid))).collect()
    }

    /// Notes the connection of packets that begin one, if the zone does not know it already.
    pub(super) fn commit(path: &mut Path, zone: Zone) {
        let header = path.header;
        let [_, address, _, port] = header;
        let is_known = |known: &Binding| {
            known.device == zone.id
                && known.side == zone.side
                && (known.key == header || (known.address, known.port) == (address, port))
        };
        if path.tracking == Tracking::New && !path.bindings.iter().any(is_known) {
            let (device, side) = (zone.id, zone.side);
            path.bindings.push(Binding { device, side, key: header, address, port });
        }
    }

    /// Translates the destinations of new connections to public addresses; returns these packets, and the others.
    pub(super) fn balance(&self, balancers: &[Balancer], path: Path, zone: Zone) -> (Vec<Path>, Vec<Path>) {
        let (mut done, mut left) = (Vec::new(), vec![path]);
        for balancer in balancers {
            let mut next = Vec::new();
            for path in left {
                let is_asked = path.tracking == Tracking::New
                    && path.protocols == Protocols::of(&[balancer.protocol])
                    && path.frame.ethertype == ethertype::IPV4;
                if !is_asked {
                    next.push(path);
                    continue;
                }
                let (address, port) = balancer.public;
                let wanted =
                    [(DESTINATION, Range::address(address)), (DESTINATION_PORT, Range::one(port.into()))];
                let mut asked = vec![path];
                for (field, range) in wanted {
                    let mut fits = Vec::new();
                    for path in asked {
                        let (inside, outside) = path.split(self.sets, field, range);
                        fits.extend(inside);
                        next.extend(outside);
                    }
                    asked = fits;
                }
                for path in asked {
                    done.extend(balancer.targets.iter().map(|(address, port)| {
                        let target = (Range::address(*address), Range::one((*port).into()));
                        translated(path.clone(), zone, target)
                    }));
                }
            }
            left = next;
        }
        self.may_go_on(done.len() + left.len());
        (done, left)
    }
}

/// Translates packets, and notes the connection.
pub(super) fn translated(mut path: Path, zone: Zone, (address, port): (Range, Range)) -> Path {
    let key = path.header;
    let address = path.add(address);
    let keeps_port = !has_ports(&path);
    let port = match keeps_port {
        false => path.add(port),
        true => key[if zone.side == Side::Source { SOURCE_PORT } else { DESTINATION_PORT }],
    };
    path.bindings.push(Binding { device: zone.id, side: zone.side, key, address, port });
    rewrite(&mut path, zone.side, address, port, keeps_port);
    path
}
