//! Plays the same requests against a real Keystone and against the embedded one: the responses have to be the same.
//!
//! Keystone 30 speaks v3; Keystone 12 was the last with v2.0, and needs Python 3.6. `scripts/test.sh` installs both from
//! PyPI into virtual environments under `target/keystone`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use midoform_simulator::{
    KeystoneOptions, KeystoneServer, KeystoneVersion, User, Users, Version, start_keystone,
};
use midoform_testutil::keystone::RealKeystone;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value as Json, json};

const BOOTSTRAP: &str = "Bootstrap project for initializing the cloud.";

#[tokio::test]
async fn v3_responds_as_keystone_30() {
    let Some(real) = RealKeystone::v3() else { return };
    add_alice(&real.url).await;
    compare(&real.url, "v3.json").await;
    let auth = crate::auth::settings(&real.url, KeystoneVersion::V3);
    crate::auth::tokens_are_required(Version::V5_8, auth).await;
}

#[tokio::test]
async fn v2_responds_as_keystone_12() {
    let Some(real) = RealKeystone::v2() else { return };
    real.bootstrap(&[
        ["--bootstrap-username", "alice"],
        ["--bootstrap-password", "wonder"],
        ["--bootstrap-project-name", "alice"],
        ["--bootstrap-role-name", "member"],
    ]);
    compare(&real.url, "v2.json").await;
    let auth = crate::auth::settings(&real.url, KeystoneVersion::V2);
    crate::auth::tokens_are_required(Version::V1_7, auth).await;
}

#[tokio::test]
async fn tokens_expire_and_the_admin_token_does_not() {
    let mut users = users();
    users.admin_token = Some("for ever".to_owned());
    let server = embedded(users, Duration::from_secs(1)).await;
    let client = crate::client();
    let login = json!({ "auth": {
        "passwordCredentials": { "username": "admin", "password": "secret" }, "tenantName": "admin",
    }});
    let tokens = format!("{}/v2.0/tokens", server.url());
    let answer: Json = client.post(&tokens).json(&login).send().await.unwrap().json().await.unwrap();
    let token = answer.pointer("/access/token/id").unwrap().as_str().unwrap().to_owned();
    let tenants = |token: String| {
        let request = client.get(format!("{}/v2.0/tenants", server.url())).header("X-Auth-Token", token);
        async { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(tenants(token.clone()).await, 200);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(tenants(token.clone()).await, 401);
    assert_eq!(tenants("for ever".to_owned()).await, 200);
    let about = client.get(format!("{tokens}/{token}")).header("X-Auth-Token", "for ever");
    assert_eq!(about.send().await.unwrap().status().as_u16(), 404);
    server.shutdown().await;
}

fn users() -> Users {
    let user = |name: &str, password: &str, role: &str| User {
        name: name.to_owned(),
        password: password.to_owned(),
        tenants: BTreeMap::from([(name.to_owned(), vec![role.to_owned()])]),
    };
    Users {
        admin_token: None,
        users: vec![user("admin", "secret", "admin"), user("alice", "wonder", "member")],
    }
}

async fn embedded(users: Users, lifetime: Duration) -> KeystoneServer {
    let listen = "127.0.0.1:0".parse().unwrap();
    start_keystone(KeystoneOptions { listen, users, lifetime, state_dir: None }).await.unwrap()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystone").join(name)
}

/// Creates a user without the role `admin`, which bootstrapping can't do in v3.
async fn add_alice(url: &str) {
    let client = crate::client();
    let domain = json!({ "id": "default" });
    let login = json!({ "auth": {
        "identity": { "methods": ["password"], "password": {
            "user": { "name": "admin", "domain": domain, "password": "secret" },
        }},
        "scope": { "project": { "name": "admin", "domain": domain } },
    }});
    let answer = client.post(format!("{url}/v3/auth/tokens")).json(&login).send().await.unwrap();
    let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
    let send = |method: Method, path: String, body: Json| {
        let mut request = client.request(method, format!("{url}{path}")).header("X-Auth-Token", &token);
        if !body.is_null() {
            request = request.json(&body);
        }
        async {
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.json::<Json>().await.unwrap_or_default()
        }
    };
    let text = |json: &Json, place: &str| json.pointer(place).unwrap().as_str().unwrap().to_owned();
    let project = json!({ "project": { "name": "alice", "description": BOOTSTRAP } });
    let project = text(&send(Method::POST, "/v3/projects".to_owned(), project).await, "/project/id");
    let user = json!({ "user": { "name": "alice", "password": "wonder" } });
    let user = text(&send(Method::POST, "/v3/users".to_owned(), user).await, "/user/id");
    let roles = send(Method::GET, "/v3/roles?name=member".to_owned(), Json::Null).await;
    let role = text(&roles, "/roles/0/id");
    send(Method::PUT, format!("/v3/projects/{project}/users/{user}/roles/{role}"), Json::Null).await;
}

/// Plays a script against both, and compares every response.
async fn compare(real: &str, script: &str) {
    let server = embedded(users(), Duration::from_secs(3600)).await;
    let steps: Vec<Json> = serde_json::from_slice(&std::fs::read(data(script)).unwrap()).unwrap();
    let (theirs, ours) = (play(real, &steps).await, play(server.url(), &steps).await);
    let differences: Vec<String> = steps
        .iter()
        .zip(theirs.iter().zip(&ours))
        .enumerate()
        .filter(|(_, (_, (theirs, ours)))| theirs != ours)
        .map(|(index, (step, (theirs, ours)))| {
            format!("step {index} {} {}\n  real: {theirs}\n  here: {ours}", step["method"], step["path"])
        })
        .collect();
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), steps.len(), differences.join("\n"));
    server.shutdown().await;
}

async fn play(base: &str, steps: &[Json]) -> Vec<Json> {
    let _ = crate::client();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut answers = Vec::new();
    for step in steps {
        let text = |field: &str| step[field].as_str();
        let fill = |template: &str| {
            names.iter().fold(template.to_owned(), |filled, (name, value)| {
                filled.replace(&format!("${{{name}}}"), value)
            })
        };
        let method: Method = text("method").unwrap().parse().unwrap();
        let mut request = client.request(method, format!("{base}{}", fill(text("path").unwrap())));
        if let Some(token) = text("token") {
            request = request.header("X-Auth-Token", names.get(token).map_or(token, String::as_str));
        }
        if let Some(subject) = text("subject") {
            request = request.header("X-Subject-Token", fill(subject));
        }
        let body = match (&step["body"], text("raw")) {
            (Json::Null, raw) => raw.map(str::to_owned),
            (body, _) => Some(fill(&body.to_string())),
        };
        if let Some(body) = body {
            request = request.header("Content-Type", text("type").unwrap_or("application/json")).body(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        let body: Json = serde_json::from_str(&body).unwrap_or(Json::from(body));
        for (name, place) in step["save"].as_object().into_iter().flatten() {
            let place = place.as_str().unwrap();
            let saved = match place.strip_prefix("header:") {
                Some(header) => headers.get(header).map(|value| value.to_str().unwrap().to_owned()),
                None => body.pointer(place).and_then(Json::as_str).map(str::to_owned),
            };
            names.insert(name.clone(), saved.unwrap_or_else(|| panic!("{step} saves nothing from {body}")));
        }
        answers.push(settled_answer(base, status, &headers, &body, text("only") == Some("status")));
    }
    answers
}

/// Returns a response without the values that each server generates.
fn settled_answer(base: &str, status: u16, headers: &HeaderMap, body: &Json, only_status: bool) -> Json {
    let header = |name: &str| headers.get(name).map(|value| settled_text(value.to_str().unwrap(), base));
    if only_status {
        return json!({ "status": status });
    }
    let mut allow: Vec<String> = header("allow").unwrap_or_default().split(", ").map(str::to_owned).collect();
    allow.sort();
    json!({
        "status": status,
        "type": header("content-type"),
        "vary": header("vary"),
        "authenticate": header("www-authenticate"),
        "has a subject": headers.contains_key("x-subject-token"),
        "allow": allow,
        "body": settled(body, base),
    })
}

fn settled(json: &Json, base: &str) -> Json {
    match json {
        Json::String(text) => Json::from(settled_text(text, base)),
        Json::Array(list) => {
            let mut list: Vec<Json> = list.iter().map(|entry| settled(entry, base)).collect();
            list.sort_by_key(Json::to_string);
            Json::from(list)
        }
        Json::Object(map) => {
            let entries = map.iter().map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("audit_ids", Json::Array(ids)) => json!(vec!["AUDIT"; ids.len()]),
                    // The URL of the server itself, which is configured in the real one.
                    ("url" | "publicURL" | "internalURL" | "adminURL", _) => json!("URL"),
                    (_, value) => settled(value, base),
                };
                (name.clone(), value)
            });
            Json::Object(entries.collect())
        }
        other => other.clone(),
    }
}

/// Replaces ids, tokens and times in a text.
fn settled_text(text: &str, base: &str) -> String {
    let text = text.replace(base, "BASE");
    if text.starts_with("gAAAA") {
        return "TOKEN".to_owned();
    }
    let time = text.len() == 27 && text.ends_with('Z') && text.starts_with("20");
    if time {
        return "TIME".to_owned();
    }
    let is_hex = |piece: &str| piece.len() == 32 && piece.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut out = String::new();
    let mut piece = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_alphanumeric() {
            piece.push(letter);
            continue;
        }
        out.push_str(if is_hex(&piece) { "ID" } else { &piece });
        piece.clear();
        out.push(letter);
    }
    // The newline that ended the last piece.
    out.pop();
    out
}
