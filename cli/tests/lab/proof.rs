//! The proof with packets: what OVN does with real packets is what midoform's trace says.
//!
//! Every place of a laboratory pings and connects to every other one, to the world and to exposed ports, the world connects to all of
//! them, and places send with sources that are not theirs. Each packet is traced as well, through the rows of the laboratory's spec and
//! pods. Where both differ, the test fails.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use midoform_compiler::network::Tenant;
use midoform_compiler::ovn::lower::lower;
use midoform_compiler::ovn::lower::pod::{self, Pod, PortSecurity};
use midoform_compiler::source::{Locations, Source};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::ethertype;
use midoform_compiler::{Allocated, Compiled, Input, compile};
use midoform_lab::probe::{self, Answer, Probe, Protocol, Seen, Station};
use midoform_lab::{Lab, Place, Seat};
use midoform_packets::trace::{self, Ending, Endpoint, HeldAddresses, Surroundings, trace};
use uuid::Uuid;

use super::{Labs, example, random_specs};

/// An address of the world.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);
/// The time in which answers come: a lost first packet of a TCP connection is repeated after a second.
const LIMIT: Duration = Duration::from_millis(2500);
/// The number of probes of a run: each has sockets of its own.
const AT_A_TIME: usize = 600;
/// The number of probes of a run with those that were lost in another one.
const AGAIN_AT_A_TIME: usize = 40;

/// What the trace says of a packet.
#[derive(Debug, PartialEq, Eq)]
struct Prediction {
    /// The name of the station at which it arrives.
    arrives: Option<String>,
    /// True if the sender gets a reply.
    is_answered: bool,
}

/// A laboratory, with the rows of its spec and of its pods.
struct Proof {
    lab: Lab,
    compiled: Compiled,
    rows: Topology,
    around: Surroundings,
    stations: Vec<Station>,
}

impl Proof {
    fn of(labs: &Labs, name: &str) -> Proof {
        let lab = Lab::open(labs.folder(name)).unwrap().unwrap();
        let (compiled, rows) = compiled(&lab.folder.spec());
        let site = &compiled.site.name.value;
        let pods = lab.description.places.iter().filter(|place| place.port.is_none());
        let pods = pods.flat_map(|place| row_of(site, &compiled.tenants, place).entries().to_vec());
        let rows = Topology::new(rows.entries().iter().cloned().chain(pods).collect());
        let behind = |tenant: &Tenant| {
            let ports = tenant.ports.iter();
            let key =
                |port: &midoform_compiler::network::Port| Key::tenant(&tenant.name).port(&port.name).device();
            ports.map(|port| (key(port), (port.address, port.mac))).collect::<Vec<_>>()
        };
        let around = Surroundings {
            static_ports: compiled.tenants.iter().flat_map(behind).collect(),
            // The rows have the ports of all pods.
            held: Some(HeldAddresses::default()),
            ..Surroundings::default()
        };
        let place = |place: &Place| Station {
            namespace: Seat::Place(place).namespace(&lab.folder),
            address: Some(place.address),
        };
        let world = Station { namespace: Seat::World.namespace(&lab.folder), address: None };
        let stations = lab.description.places.iter().map(place).chain([world]).collect();
        Proof { lab, compiled, rows, around, stations }
    }

    fn places(&self) -> &[Place] {
        &self.lab.description.places
    }

    fn tenant(&self, place: &Place) -> &Tenant {
        self.compiled.tenants.iter().find(|tenant| tenant.name == *place.tenant).unwrap()
    }

    fn endpoint(&self, station: usize, address: Ipv4Addr) -> Endpoint {
        let Some(place) = self.places().get(station) else { return Endpoint::World(address) };
        match &place.port {
            Some(port) => {
                let mac = self.tenant(place).ports.iter().find(|own| *own.name == **port).unwrap().mac;
                Endpoint::Port(Key::tenant(&place.tenant).port(port).device(), place.address, mac)
            }
            None => Endpoint::Pod(Key::tenant(&place.tenant).bridge(&place.bridge).device(), place.address),
        }
    }

    /// Returns the ports that are worth a packet: those of rules and exposed ports, and one that nobody names.
    fn ports(&self) -> BTreeSet<u16> {
        const MOST: usize = 6;
        let rules = self
            .compiled
            .tenants
            .iter()
            .flat_map(|tenant| tenant.rules.iter().flat_map(|rule| &rule.protocols));
        let of_rules = rules.filter(|protocol| [6, 17].contains(&protocol.number));
        let of_rules = of_rules.filter_map(|protocol| Some(protocol.destination?.start));
        let targets = self.lab.description.targets.iter().map(|target| target.port);
        let named: BTreeSet<u16> = of_rules.chain(targets).collect();
        named.into_iter().take(MOST).chain([9]).collect()
    }

    /// Returns the probes between all ends.
    fn probes(&self) -> Vec<Probe> {
        let world = self.stations.len() - 1;
        let ports = self.ports();
        let protocols: Vec<Protocol> = [Protocol::Icmp]
            .into_iter()
            .chain(ports.iter().flat_map(|port| [Protocol::Tcp(*port), Protocol::Udp(*port)]))
            .collect();
        let source = |from: usize| self.stations[from].address.unwrap_or(OUTSIDE);
        let mut probes = Vec::new();
        for from in 0..self.stations.len() {
            for to in (0..self.stations.len()).filter(|to| *to != from) {
                let to = self.stations[to].address.unwrap_or(OUTSIDE);
                // Another tenant may have the same address. What goes to a host's own address does not leave the host.
                if to == source(from) {
                    continue;
                }
                let all = protocols.iter();
                probes.extend(all.map(|protocol| Probe {
                    from,
                    source: source(from),
                    to,
                    protocol: *protocol,
                }));
            }
            for target in &self.lab.description.targets {
                let port = |port| if target.tcp { Protocol::Tcp(port) } else { Protocol::Udp(port) };
                for protocol in [port(target.public), port(target.public + 1)] {
                    probes.push(Probe { from, source: source(from), to: target.address, protocol });
                }
            }
            if from == world {
                continue;
            }
            // A source of the same bridge, of another tenant or bridge, of the gateway, of the world.
            let gateway = self.places()[from].gateway;
            let others = self.places().iter().map(|place| place.address).take(4);
            let spoofed: BTreeSet<Ipv4Addr> = others.chain([gateway, OUTSIDE]).collect();
            for source in spoofed.into_iter().filter(|source| Some(*source) != self.stations[from].address) {
                for to in self
                    .stations
                    .iter()
                    .map(|station| station.address.unwrap_or(Ipv4Addr::new(9, 9, 9, 9)))
                    .take(4)
                {
                    if to != source && Some(to) != self.stations[from].address {
                        probes.push(Probe { from, source, to, protocol: Protocol::Udp(9) });
                    }
                }
            }
        }
        let unique: BTreeMap<_, Probe> = probes
            .into_iter()
            .map(|probe| ((probe.from, probe.source, probe.to, probe.protocol), probe))
            .collect();
        unique.into_values().collect()
    }

    fn predict(&self, probe: &Probe) -> Prediction {
        let carried = match probe.protocol {
            Protocol::Icmp => (1, 8, 0),
            Protocol::Tcp(port) => (6, 40_000, port),
            Protocol::Udp(port) => (17, 40_000, port),
        };
        let asked = trace::Probe {
            from: self.endpoint(probe.from, probe.source),
            to: Endpoint::World(probe.to),
            source: Some(probe.source),
            carried,
            ethertype: ethertype::IPV4,
            vlan: None,
        };
        let report = trace(&self.rows, &self.around, &asked).unwrap();
        let arrives = match &report.ending {
            Ending::Delivered { at } => at.first().cloned(),
            _ => None,
        };
        let is_answered = report.reply.is_some_and(|reply| reply.ending.is_delivered());
        Prediction { arrives, is_answered }
    }

    /// Returns the name of a station, as the trace names it.
    fn name(&self, station: usize) -> String {
        match self.places().get(station) {
            Some(_) => self.endpoint(station, OUTSIDE).shown(),
            None => "world".to_owned(),
        }
    }

    /// Compares all packets.
    fn compare(&self) -> Compared {
        let probes = self.probes();
        let mut compared = Compared { packets: probes.len(), ..Compared::default() };
        let mut silent = Vec::new();
        for some in probes.chunks(AT_A_TIME) {
            for (probe, seen) in some.iter().zip(self.run(some)) {
                match self.judge(probe, &seen) {
                    Some(wrong) if wrong.is_lost => silent.push(*probe),
                    wrong => compared.add(wrong),
                }
            }
        }
        // Many connections at once are too much for a busy machine, so what did not come is tried again alone. What came and should
        // not have is wrong at once.
        compared.again = silent.len();
        for some in silent.chunks(AGAIN_AT_A_TIME) {
            for (probe, seen) in some.iter().zip(self.run(some)) {
                compared.add(self.judge(probe, &seen));
            }
        }
        compared
    }

    fn run(&self, probes: &[Probe]) -> Vec<Seen> {
        let targets = self.lab.description.targets.iter();
        let targets = targets
            .map(|target| if target.tcp { Protocol::Tcp(target.port) } else { Protocol::Udp(target.port) });
        probe::run(&self.stations, probes, &targets.collect::<Vec<_>>(), LIMIT).unwrap()
    }

    /// Compares what was seen of a packet with the trace.
    fn judge(&self, probe: &Probe, seen: &Seen) -> Option<Wrong> {
        let predicted = self.predict(probe);
        let is_spoofed = self.stations[probe.from].address.is_some_and(|own| own != probe.source);
        let arrived = seen.arrived.map(|arrival| self.name(arrival.at));
        let is_answered = matches!(seen.answer, Answer::Reply(_));
        // The kernel answers pings, and nobody waits for the answer of a spoofed packet.
        let is_right = match probe.protocol {
            // What comes back to its sender: the world has one namespace for all addresses outside, and refuses it; and if a pod
            // connects to its own exposed port, its answer keeps its port or gets another one, as the version of OVN tracks it.
            _ if predicted.arrives.as_deref() == Some(&*self.name(probe.from)) => {
                arrived.is_none() || arrived == predicted.arrives
            }
            Protocol::Icmp => is_answered == predicted.is_answered,
            _ if is_spoofed => arrived == predicted.arrives,
            Protocol::Tcp(_) => {
                is_answered == predicted.is_answered && (!is_answered || arrived == predicted.arrives)
            }
            Protocol::Udp(_) => is_answered == predicted.is_answered && arrived == predicted.arrives,
        };
        if is_right {
            return None;
        }
        let is_lost = seen.answer == Answer::Silence && predicted.is_answered;
        let words = format!(
            "{} from {} as {} to {}: the trace says {predicted:?}, OVN did {arrived:?}, {:?}",
            probe.protocol,
            self.name(probe.from),
            probe.source,
            probe.to,
            seen.answer
        );
        Some(Wrong { is_lost, words })
    }
}

/// A packet that did not go where the trace says.
struct Wrong {
    /// True if it may only have been lost.
    is_lost: bool,
    words: String,
}

/// The result of a comparison.
#[derive(Debug, Default)]
struct Compared {
    packets: usize,
    /// The packets that were sent again.
    again: usize,
    wrong: Vec<String>,
}

impl Compared {
    fn add(&mut self, wrong: Option<Wrong>) {
        self.wrong.extend(wrong.map(|wrong| wrong.words));
    }

    fn shown(&self) -> String {
        format!("{} packets, {} of them again", self.packets, self.again)
    }

    fn problems(&self) -> String {
        format!("{} of {} packets:\n{}", self.wrong.len(), self.packets, self.wrong.join("\n"))
    }
}

/// Returns the row of a pod, as a laboratory makes it.
fn row_of(site: &str, tenants: &[Tenant], place: &Place) -> Topology {
    let tenant = tenants.iter().find(|tenant| tenant.name == *place.tenant).unwrap();
    let (at, _) = tenant.indexed_bridges().find(|(_, bridge)| *bridge.name == *place.bridge).unwrap();
    pod::lower(&Pod {
        site,
        tenant: &tenant.name,
        switch: Reference::Key(Key::tenant(&tenant.name).bridge(&place.bridge).device()),
        container: &format!("{}-{}", place.bridge, place.address),
        interface: "eth0",
        tag: None,
        host: Uuid::from_u128(1),
        chassis: None,
        mac: place.mac.parse().unwrap(),
        address: place.address,
        security: PortSecurity::of(tenant, at, place.address),
    })
}

/// Compiles the laboratory's copy of a spec to rows.
fn compiled(folder: &Path) -> (Compiled, Topology) {
    let read = |path: &Path| Source::new(path.display().to_string(), std::fs::read_to_string(path).unwrap());
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let is_tenant = |path: &&std::path::PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("site.toml")
    };
    let tenants: Vec<Source> = files.iter().filter(is_tenant).map(|path| read(path)).collect();
    let (site, lock) = (read(&folder.join("site.toml")), read(&folder.join("midoform.lock")));
    let input = Input { site: &site, allocated: Allocated::LockFile(&lock), tenants: &tenants };
    let compiled = compile(input).unwrap_or_else(|found| panic!("{found:#?}"));
    let locations = Locations::new(input.sources().into_iter());
    let rows = lower(&compiled.site, &compiled.tenants, &locations);
    (compiled, rows)
}

#[test]
fn packets_of_the_examples_go_where_the_trace_says() {
    let Some(labs) = Labs::with_sound_datapath() else { return };
    for (name, hosts) in [("seed", "1"), ("policy", "3"), ("shared-networks", "1")] {
        let _ = labs.run(&["up", &example(name), "--hosts", hosts]).expect_code(0);
        let compared = Proof::of(&labs, name).compare();
        println!("{name}: {}", compared.shown());
        assert!(compared.wrong.is_empty() && compared.packets > 20, "{}", compared.problems());
        let _ = labs.run(&["down", "--name", name]).expect_code(0);
    }
}

#[test]
fn packets_of_random_specs_go_where_the_trace_says() {
    let Some(labs) = Labs::with_sound_datapath() else { return };
    let number = |name: &str, usual: u64| {
        std::env::var(name)
            .ok()
            .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
    };
    // Hundreds: MIDOFORM_LAB_SPECS=300. Other ones: MIDOFORM_LAB_SEED=1000.
    let (wanted, first) = (number("MIDOFORM_LAB_SPECS", 3), number("MIDOFORM_LAB_SEED", 0));
    let (mut done, mut seed) = (0, first);
    let mut failures = Vec::new();
    while done < wanted {
        assert!(seed - first < 20 * wanted, "hardly any of the random specs is accepted");
        labs.spec.write("site.toml", random_specs::SITE);
        for (file, text) in random_specs::tenants(seed) {
            labs.spec.write(&file, text);
        }
        let hosts = if seed % 3 == 0 { "3" } else { "1" };
        let up = labs.run(&["up", ".", "--name", "random", "--hosts", hosts]);
        if up.code != 3 {
            let _ = up.expect_code(0);
            let compared = Proof::of(&labs, "random").compare();
            println!("seed {seed}: {}", compared.shown());
            if !compared.wrong.is_empty() {
                failures.push(format!("MIDOFORM_LAB_SEED={seed}: {}", compared.problems()));
            }
            done += 1;
        }
        let _ = labs.run(&["down", "--name", "random"]).expect_code(0);
        seed += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
