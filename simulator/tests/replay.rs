//! Plays the recordings of real MidoNet servers against the embedded API: every response has to be the same.
//!
//! The recordings' form is described in `recordings/README.md`. Only values that a server generates may differ: ids,
//! MAC addresses, tunnel keys, the addresses of Java objects in messages, and the order of lists other than a chain's
//! rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use midoform_simulator::{Options, Version, start};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// The host that the recordings expect to be registered.
const HOST: Uuid = Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555);
/// The second host that the recordings in `two-hosts` expect to be registered.
const SECOND_HOST: Uuid = Uuid::from_u128(0x2222_2222_3333_4444_5555_6666_6666_6666);

#[tokio::test]
async fn v1_7_answers_as_recorded() {
    replay(Version::V1_7, "v1.7", &[HOST], (30, 1513)).await;
    replay(Version::V1_7, "two-hosts/v1.7", &[HOST, SECOND_HOST], (1, 41)).await;
}

#[tokio::test]
async fn v5_0_answers_as_recorded() {
    replay(Version::V5_0, "v5.0", &[HOST], (30, 1513)).await;
    replay(Version::V5_0, "two-hosts/v5.0", &[HOST, SECOND_HOST], (1, 41)).await;
}

#[tokio::test]
async fn v5_8_answers_as_recorded() {
    replay(Version::V5_8, "v5.8", &[HOST], (30, 1513)).await;
    replay(Version::V5_8, "two-hosts/v5.8", &[HOST, SECOND_HOST], (1, 41)).await;
}

/// A changed recording has to be noticed, or the tests above could not fail.
#[tokio::test]
async fn a_changed_recording_fails_the_replay() {
    let server = serve(Version::V5_8, &[HOST]).await;
    let mut recording = read(&recordings("v5.8").join("02-router.json"));
    recording.exchanges[1]["response"]["body"]["name"] = Json::from("another");
    let differences = play(server.base_url(), &recording).await.differences;
    assert_eq!(differences.len(), 1, "{differences:#?}");
    server.shutdown().await;
}

async fn serve(version: Version, hosts: &[Uuid]) -> midoform_simulator::Server {
    let hosts = hosts.iter().zip(1..).map(|(host, number)| (*host, format!("node{number}"))).collect();
    start(Options { version, hosts, ..Options::default() }).await.unwrap()
}

fn recordings(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings").join(version)
}

/// A recording, with the bodies of its requests as they were sent, because messages have columns in them.
struct Recording {
    exchanges: Vec<Json>,
    bodies: Vec<Option<String>>,
}

#[derive(serde::Deserialize)]
struct Exchanges {
    exchanges: Vec<Exchange>,
}

#[derive(serde::Deserialize)]
struct Exchange {
    request: Request,
}

#[derive(serde::Deserialize)]
struct Request {
    body: Option<Box<serde_json::value::RawValue>>,
}

fn read(file: &Path) -> Recording {
    let text = std::fs::read_to_string(file).unwrap();
    let whole: Json = serde_json::from_str(&text).unwrap();
    let sent: Exchanges = serde_json::from_str(&text).unwrap();
    let bodies = sent
        .exchanges
        .iter()
        .map(|exchange| exchange.request.body.as_ref().map(|body| sent_form(body.get())));
    Recording { exchanges: whole["exchanges"].as_array().unwrap().clone(), bodies: bodies.collect() }
}

/// Returns JSON on one line, with a space after each comma and colon.
fn sent_form(indented: &str) -> String {
    let mut out = String::new();
    let (mut within, mut escaped) = (false, false);
    for letter in indented.chars() {
        if within || !letter.is_ascii_whitespace() {
            out.push(letter);
        }
        if !within && matches!(letter, ',' | ':') {
            out.push(' ');
        }
        if letter == '"' && !escaped {
            within = !within;
        }
        escaped = within && letter == '\\' && !escaped;
    }
    out
}

/// Replays all recordings of a folder. `size` is the number of files and of exchanges in it.
async fn replay(version: Version, folder: &str, hosts: &[Uuid], size: (usize, usize)) {
    let server = serve(version, hosts).await;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(recordings(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut count = 0;
    let mut differences = Vec::new();
    for file in &files {
        let played = play(server.base_url(), &read(file)).await;
        count += played.count;
        let name = file.file_name().unwrap().to_string_lossy();
        differences.extend(played.differences.into_iter().map(|difference| format!("{name} {difference}")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!((files.len(), count), size, "recordings are missing");
    server.shutdown().await;
}

struct Played {
    count: usize,
    differences: Vec<String>,
}

async fn play(base: &str, recording: &Recording) -> Played {
    let client = crate::client();
    let mut names = Names::new();
    let mut differences = Vec::new();
    for (step, (exchange, body)) in recording.exchanges.iter().zip(&recording.bodies).enumerate() {
        let (request, wanted) = (&exchange["request"], &exchange["response"]);
        let got = call(&client, base, exchange, body.as_deref(), &mut names).await;
        let text = |field: &str| request[field].as_str().unwrap_or_default();
        let ordered = text("path").ends_with("/rules");
        let status_only = text("only") == "status";
        for field in ["status", "content_type", "location", "body"] {
            let settle = |answer: &Json| settled(&answer[field], ordered);
            if (field == "body" && status_only) || settle(wanted) == settle(&got) {
                continue;
            }
            differences.push(format!(
                "step {step} {} {}: {field}\n  real: {}\n  here: {}",
                text("method"),
                text("path"),
                settle(wanted),
                settle(&got)
            ));
        }
    }
    Played { count: recording.exchanges.len(), differences }
}

/// Sends one request, and returns the response in the form of the recordings.
async fn call(
    client: &reqwest::Client,
    base: &str,
    exchange: &Json,
    body: Option<&str>,
    names: &mut Names,
) -> Json {
    let request = &exchange["request"];
    let text = |field: &str| request[field].as_str();
    let method: Method = text("method").unwrap().parse().unwrap();
    let url = format!("{base}{}", names.fill(text("path").unwrap()));
    let body = body.or(text("raw")).map(|body| names.fill(body));
    let mut headers = HeaderMap::new();
    for (field, header) in [("type", CONTENT_TYPE), ("accept", ACCEPT)] {
        if let Some(value) = exchange["media"][field].as_str() {
            headers.insert(header, value.parse().unwrap());
        }
    }
    match text("auth").unwrap_or("token") {
        "token" => drop(headers.insert("x-auth-token", "token".parse().unwrap())),
        "none" => {}
        auth => match auth.split_once(':').unwrap() {
            ("basic", credentials) => {
                headers.insert(AUTHORIZATION, basic(credentials).parse().unwrap());
            }
            (_, token) => drop(headers.insert("x-auth-token", token.parse().unwrap())),
        },
    }
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        headers.insert(name, names.fill(value.as_str().unwrap()).parse().unwrap());
    }
    let mut builder = client.request(method.clone(), url).headers(headers);
    if let Some(body) = body {
        builder = builder.body(body);
    }
    let answer = builder.send().await.unwrap();
    let status = answer.status().as_u16();
    let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (content_type, location) = (header(CONTENT_TYPE), header(LOCATION));
    let text = String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap();
    if method == Method::POST && status == 201 {
        names.bind(&request["body"], location.as_deref());
    }
    let unfilled = names.unfill(&text, base);
    let body = if unfilled.is_empty() {
        Json::Null
    } else {
        serde_json::from_str(&unfilled).unwrap_or(Json::from(unfilled))
    };
    serde_json::json!({
        "status": status,
        "content_type": content_type,
        "location": location.map(|location| names.unfill(&location, base)),
        "body": body,
    })
}

fn basic(credentials: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

/// The names for ids in a recording.
struct Names {
    run: String,
    /// The ids that the server generated, by name.
    bound: BTreeMap<String, String>,
    /// The names by id.
    back: BTreeMap<String, String>,
}

impl Names {
    fn new() -> Names {
        let mut run = Uuid::new_v4().simple().to_string();
        run.truncate(8);
        Names { run, bound: BTreeMap::new(), back: BTreeMap::new() }
    }

    fn id(&mut self, name: &str) -> String {
        if let Some(bound) = self.bound.get(name) {
            return bound.clone();
        }
        let id = Uuid::new_v5(&HOST, format!("{}/{name}", self.run).as_bytes()).to_string();
        self.back.insert(id.clone(), format!("${{id:{name}}}"));
        id
    }

    /// Replaces names by ids.
    fn fill(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let end = start + rest[start..].find('}').unwrap();
            out.push_str(&rest[..start]);
            match &rest[start + 2..end] {
                "run" => out.push_str(&self.run),
                other => out.push_str(&self.id(other.strip_prefix("id:").unwrap())),
            }
            rest = &rest[end + 1..];
        }
        out + rest
    }

    /// Notes the id that the server generated instead of the client's: the name stands for it from here on.
    fn bind(&mut self, body: &Json, location: Option<&str>) {
        let name = body["id"].as_str().and_then(|id| id.strip_prefix("${id:")?.strip_suffix('}'));
        let chosen = location.and_then(|location| location.get(location.len().checked_sub(36)?..));
        let (Some(name), Some(chosen)) = (name, chosen) else { return };
        if Uuid::try_parse(chosen).is_ok() && self.id(name) != chosen && !self.bound.contains_key(name) {
            self.bound.insert(name.to_owned(), chosen.to_owned());
            self.back.insert(chosen.to_owned(), format!("${{id:{name}}}"));
        }
    }

    /// Replaces ids by names.
    fn unfill(&self, text: &str, base: &str) -> String {
        let mut out = text.replace(base, "${base}");
        for (id, name) in &self.back {
            out = out.replace(id, name);
        }
        out.replace(&self.run, "${run}")
    }
}

/// Returns a response without a list's order and the values that a server generates.
fn settled(json: &Json, ordered: bool) -> Json {
    match json {
        Json::Array(list) => {
            let list: Vec<Json> = list.iter().map(|entry| settled(entry, ordered)).collect();
            if ordered {
                Json::from(list)
            } else {
                // Sorting keeps duplicates, so their number is compared as well.
                let sorted: BTreeSet<(String, usize)> =
                    list.iter().enumerate().map(|(index, entry)| (entry.to_string(), index)).collect();
                sorted.into_iter().map(|(_, index)| list[index].clone()).collect()
            }
        }
        Json::Object(map) => map
            .iter()
            .map(|(name, value)| {
                let was_sent = value.as_str().is_some_and(|text| text.contains("02:00:00"));
                let unset = value.is_null() || *value == 0;
                let value = match name.as_str() {
                    "tunnelKey" | "portMac" if !was_sent && !unset => Json::from("${made up}"),
                    _ => settled(value, ordered),
                };
                (name.clone(), value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Json::String(text) => Json::from(anonymous(text)),
        other => other.clone(),
    }
}

/// Replaces the ids that a server generated and the addresses of Java objects in a text.
fn anonymous(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let id = rest.get(..36).filter(|id| Uuid::try_parse(id).is_ok());
        let recorded = rest.strip_prefix("${server:").and_then(|after| Some(after.find('}')? + 10));
        let address = rest.strip_prefix('@').map(|after| {
            after.bytes().take(8).take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count()
        });
        let skipped = match (id, recorded, address) {
            (Some(_), ..) => {
                out.push_str("${server}");
                36
            }
            (_, Some(length), _) => {
                out.push_str("${server}");
                length
            }
            (.., Some(digits)) if digits >= 5 => {
                out.push('@');
                digits + 1
            }
            _ => {
                out.push(letter);
                letter.len_utf8()
            }
        };
        rest = &rest[skipped..];
    }
    out
}
