//! Posted objects are read back as they were, except for the fields that a server fills in. All recordings are checked.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::*;

const VERSIONS: [&str; 3] = ["v1.7", "v5.0", "v5.8"];

/// One recorded exchange.
struct Exchange {
    method: String,
    path: String,
    body: Value,
    status: u64,
    answer: Value,
    /// The id in `Location`, or else the one that was offered.
    id: Option<String>,
}

/// Returns the recorded exchanges of a version.
fn exchanges(version: &str) -> Vec<Exchange> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../simulator/recordings");
    let mut files: Vec<_> = std::fs::read_dir(format!("{folder}/{version}"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        // Names of one file mean nothing in another.
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file).unwrap();
        let recording: Value = serde_json::from_str(&with_ids(&text, &name)).unwrap();
        for exchange in recording["exchanges"].as_array().unwrap() {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let location = response["location"].as_str().and_then(|location| location.rsplit('/').next());
            found.push(Exchange {
                method: text(&request["method"]),
                path: text(&request["path"]),
                body: request["body"].clone(),
                status: response["status"].as_u64().unwrap(),
                answer: response["body"].clone(),
                id: location.or(request["body"]["id"].as_str()).map(str::to_owned),
            });
        }
    }
    found
}

/// Puts a UUID in the place of each name of one.
fn with_ids(text: &str, file: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let (name, after) = behind.split_once('}').unwrap();
        result.push_str(before);
        match name.starts_with("id:") || name.starts_with("server:") {
            true => result.push_str(
                &Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{file}/{name}").as_bytes()).to_string(),
            ),
            false => result.push_str(name),
        }
        rest = after;
    }
    result + rest
}

/// Returns every object that was posted to such a path and read afterwards, by itself or in a list: the posted form
/// and the read form.
fn posted_and_read(version: &str, collection: &str) -> Vec<(Value, Value)> {
    let mut posted: BTreeMap<String, Value> = BTreeMap::new();
    let mut found = Vec::new();
    // 1.7 makes two of what is posted twice.
    let mut seen = std::collections::BTreeSet::new();
    for Exchange { method, path, body, status, answer, id } in exchanges(version) {
        let is_collection = path.split('?').next().unwrap().ends_with(&format!("/{collection}"));
        match method.as_str() {
            "POST" if status == 201 && is_collection => {
                let Some(id) = id else { continue };
                match seen.insert(id.clone()) {
                    true => drop(posted.insert(id, with_id(body))),
                    false => drop(posted.remove(&id)),
                }
            }
            // An object that is changed later is no longer as it was posted.
            "PUT" => drop(posted.remove(path.rsplit('/').next().unwrap())),
            "GET" if status == 200 => {
                let objects = answer.as_array().cloned().unwrap_or_else(|| vec![answer]);
                for object in objects {
                    if let Some(body) = object["id"].as_str().and_then(|id| posted.get(id)) {
                        found.push((body.clone(), object));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Adds an id. Posted bodies need none, but the types that read them do.
fn with_id(mut body: Value) -> Value {
    if body["id"].is_null() {
        body["id"] = Uuid::nil().to_string().into();
    }
    body
}

fn reference(id: Uuid) -> Reference {
    Reference::External(id)
}

/// Returns a place in the list of one parent, for every object.
fn listed() -> Listed<'static> {
    Listed { parent: Some(reference(Uuid::nil())), position: 1, resolve: &reference }
}

fn json<J: serde::de::DeserializeOwned>(value: &Value) -> J {
    J::deserialize(value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

#[test]
fn a_rule_is_read_as_it_was_posted() {
    for version in VERSIONS {
        let mut seen = 0;
        for (posted, read) in posted_and_read(version, "rules") {
            let (posted_rule, read_rule): (RuleJson, RuleJson) = (json(&posted), json(&read));
            // Types that midoform has no word for are none of its business.
            let Some(action) = read_rule.action(&reference) else { continue };
            let condition = |rule: &RuleJson| rule.condition(&reference).canonical(&action);
            assert_eq!(condition(&posted_rule), condition(&read_rule), "{version}: {posted} {read}");
            assert_eq!(posted_rule.action(&reference).as_ref(), Some(&action), "{version}: {posted} {read}");
            let rule = |json: &RuleJson| Rule::read(json, &listed()).unwrap();
            assert!(rule(&posted_rule).says_the_same_as(&rule(&read_rule)), "{version}: {posted} {read}");
            seen += 1;
        }
        assert!(seen > 50, "{version}: {seen} rules were read");
    }
}

#[test]
fn a_route_is_read_as_it_was_posted() {
    for version in VERSIONS {
        let mut seen = 0;
        for (posted, read) in posted_and_read(version, "routes") {
            let route = |value: &Value| Route::read(&json(value), &listed()).unwrap();
            assert_eq!(route(&posted), route(&read), "{version}: {posted} {read}");
            seen += 1;
        }
        assert!(seen > 20, "{version}: {seen} routes were read");
    }
}

#[test]
fn a_port_is_read_as_it_was_posted() {
    for version in VERSIONS {
        let mut seen = 0;
        for (posted, read) in posted_and_read(version, "ports") {
            let content = |value: &Value| {
                let network = |key: &str| value[key].as_str().map(str::to_owned);
                let length = value["networkLength"].as_i64().and_then(|length| u8::try_from(length).ok());
                let found = super::json::network(network("networkAddress").as_deref(), length.unwrap_or(0));
                (value["portAddress"].as_str().map(str::to_owned), found.map(|found| found.trunc()))
            };
            let (address, network) = content(&posted);
            let address: Option<Ipv4Addr> = address.and_then(|address| address.parse().ok());
            // 5.8 makes the network of the address where the address is not in it.
            let inside = address.zip(network).is_some_and(|(address, network)| network.contains(&address));
            if read["type"] == "Router" && inside {
                let port = PortJson::deserialize(&read).unwrap();
                let trimmed = port.network().map(|network| network.trunc());
                assert_eq!(
                    content(&posted),
                    (port.port_address.clone(), trimmed),
                    "{version}: {posted} {read}"
                );
                seen += 1;
            }
        }
        assert!(seen > 20, "{version}: {seen} router ports were read");
    }
}

/// 05-router-port: a port brings a route of its own along.
#[test]
fn routes_of_the_server_s_own_are_known_for_what_they_are() {
    for version in VERSIONS {
        let mut posted: Vec<String> = Vec::new();
        // 1.7 makes two of what is posted twice, and one name stands for both.
        let mut addresses: BTreeMap<Uuid, Vec<Ipv4Addr>> = BTreeMap::new();
        let (mut automatic, mut own) = (0, 0);
        for Exchange { method, path, body, status, answer, id } in exchanges(version) {
            if method == "POST" && status == 201 {
                posted.extend(id.clone());
                if let (true, Some(id)) = (path.ends_with("/ports"), id) {
                    let address = body["portAddress"].as_str().and_then(|text| text.parse::<Ipv4Addr>().ok());
                    addresses.entry(id.parse().unwrap()).or_default().extend(address);
                }
            }
            if method != "GET" || status != 200 || !path.ends_with("/routes") {
                continue;
            }
            // Some recordings have no bodies.
            for value in answer.as_array().into_iter().flatten() {
                let route = RouteJson::deserialize(value).unwrap();
                let known = route.next_hop_port.and_then(|port| addresses.get(&port));
                let is_automatic = route.is_automatic(None)
                    || known.into_iter().flatten().any(|address| route.is_automatic(Some(*address)));
                match posted.iter().any(|id| value["id"] == id.as_str()) {
                    true => own += usize::from(!is_automatic),
                    false => {
                        assert!(is_automatic, "{version}: {value}");
                        automatic += 1;
                    }
                }
            }
        }
        assert!(automatic > 5 && own > 5, "{version}: {automatic} automatic routes, {own} others");
    }
}
