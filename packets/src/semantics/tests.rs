//! All recorded worlds, packet by packet.

use std::path::Path;

use serde_json::Value;

use super::*;

struct Recorded {
    world: World,
    names: Vec<String>,
    stations: Vec<Station>,
    packets: Vec<Value>,
}

fn read(path: &Path) -> Recorded {
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut world = World::default();
    for object in recorded["objects"].as_array().unwrap() {
        let path = object["path"].as_str().unwrap();
        match object.get("put") {
            Some(fields) => world.put(path, fields).unwrap(),
            None => world.call(path, &object["body"]).unwrap(),
        }
    }
    let stations = recorded["stations"].as_array().unwrap();
    let text = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
    Recorded {
        world,
        names: stations.iter().map(|station| text(station, "name")).collect(),
        stations: stations
            .iter()
            .map(|station| Station {
                port: text(station, "port").parse().unwrap(),
                address: text(station, "ip").parse().unwrap(),
                mac: text(station, "mac").parse().unwrap(),
            })
            .collect(),
        packets: recorded["packets"].as_array().unwrap().clone(),
    }
}

fn packet(recorded: &Value, mac: MacAddress) -> Packet {
    let number = |field: &str| u16::try_from(recorded[field].as_u64().unwrap_or(0)).unwrap();
    let (protocol, source_port, destination_port) = match recorded["proto"].as_str().unwrap() {
        "tcp" => (6, number("sport"), number("dport")),
        "udp" => (17, number("sport"), number("dport")),
        "icmp" => (1, 8, 0),
        "icmp-reply" => (1, 0, 0),
        other => panic!("protocol {other}"),
    };
    Packet {
        ethertype: 0x0800,
        vlan: None,
        source: recorded["src"].as_str().unwrap().parse().unwrap(),
        destination: recorded["dst"].as_str().unwrap().parse().unwrap(),
        protocol,
        source_port,
        destination_port,
        source_mac: mac,
        destination_mac: recorded["to_mac"].as_str().unwrap().parse().unwrap(),
        ttl: 64,
        fragment: Fragment::Whole,
    }
}

/// Replays a recorded world. Returns the number of packets, and the differences in words.
#[allow(clippy::too_many_lines, reason = "one comparison, field by field")]
fn play(path: &Path) -> (usize, Vec<String>) {
    let recorded = read(path);
    let mut state = State::default();
    let mut differences = Vec::new();
    for (at, expected) in recorded.packets.iter().enumerate() {
        let from = recorded.names.iter().position(|name| expected["from"] == **name).unwrap();
        let station = &recorded.stations[from];
        let trace = simulate(
            &recorded.world,
            &mut state,
            &recorded.stations,
            station.port,
            packet(expected, station.mac),
        );
        let name_of = |port: &uuid::Uuid| {
            let at = recorded.stations.iter().position(|station| station.port == *port);
            at.map_or("?".to_owned(), |at| recorded.names[at].clone())
        };
        let mut got = match &trace.verdict {
            Verdict::Delivered(ports) => {
                let mut names: Vec<String> = ports.iter().map(name_of).collect();
                names.sort();
                format!("delivered {names:?}")
            }
            Verdict::Dropped { .. } | Verdict::Rejected { .. } => "dropped".to_owned(),
            Verdict::Consumed(_) => "consumed".to_owned(),
            Verdict::WaitsForArp(_) => "waits for ARP".to_owned(),
        };
        let mut wanted = expected["verdict"].as_str().unwrap().to_owned();
        if wanted == "delivered" {
            let mut names: Vec<String> = expected["out"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap().to_owned())
                .collect();
            names.sort();
            wanted = format!("delivered {names:?}");
            let seen = &expected["as"];
            wanted += &format!(
                " {} {} {} {} {}",
                seen["src"], seen["dst"], seen["sport"], seen["dport"], seen["ttl"]
            );
            let p = trace.packet;
            got += &format!(
                " \"{}\" \"{}\" {} {} {}",
                p.source, p.destination, p.source_port, p.destination_port, p.ttl
            );
        }
        if got != wanted {
            differences.push(format!(
                "{} packet {at} ({}) from {} {}:{} to {}:{} {}: recorded {wanted}, here {got} ({:?})",
                path.display(),
                expected["why"],
                expected["from"],
                expected["src"],
                expected["sport"],
                expected["dst"],
                expected["dport"],
                expected["proto"],
                trace.verdict,
            ));
        }
    }
    (recorded.packets.len(), differences)
}

#[test]
fn every_recorded_packet_ends_as_it_did_in_midonet() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/midonet-packets");
    let mut files: Vec<_> = [folder.clone(), folder.join("random")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 31, "the recordings are there");
    let mut packets = 0;
    let mut differences = Vec::new();
    for file in &files {
        let (count, found) = play(file);
        packets += count;
        differences.extend(found);
    }
    let shown: Vec<&str> = differences.iter().take(40).map(String::as_str).collect();
    assert!(
        differences.is_empty(),
        "{} of {packets} packets differ:\n{}",
        differences.len(),
        shown.join("\n")
    );
}
