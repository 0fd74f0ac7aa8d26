//! Authentication: users from a file, users of Keystone, tokens that expire.

use std::collections::BTreeMap;
use std::time::Duration;

use midoform_simulator::{
    Auth, KeystoneOptions, KeystoneSettings, KeystoneVersion, Options, Server, User, Users, Version, start,
    start_keystone,
};
use reqwest::Response;
use serde_json::Value as Json;

fn users() -> Users {
    let user = |name: &str, password: &str, tenant: &str, role: &str| User {
        name: name.to_owned(),
        password: password.to_owned(),
        tenants: BTreeMap::from([(tenant.to_owned(), vec![role.to_owned()])]),
    };
    Users {
        admin_token: None,
        users: vec![user("admin", "secret", "admin", "admin"), user("alice", "wonder", "alice", "member")],
    }
}

async fn serve(version: Version, auth: Auth) -> Server {
    start(Options { version, auth, ..Options::default() }).await.unwrap()
}

async fn login(server: &Server, name: &str, password: &str, project: Option<&str>) -> Response {
    let request =
        crate::client().post(format!("{}/login", server.base_url())).basic_auth(name, Some(password));
    let request = match project {
        Some(project) => request.header("X-Auth-Project", project),
        None => request,
    };
    request.send().await.unwrap()
}

async fn get(server: &Server, path: &str, token: Option<&str>) -> Response {
    let mut request = crate::client().get(format!("{}{path}", server.base_url()));
    if let Some(token) = token {
        request = request.header("X-Auth-Token", token);
    }
    request.send().await.unwrap()
}

async fn key(answer: Response) -> String {
    assert_eq!(answer.status().as_u16(), 200);
    answer.json::<Json>().await.unwrap()["key"].as_str().unwrap().to_owned()
}

async fn message(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    (status, answer.json::<Json>().await.unwrap()["message"].as_str().unwrap_or("null").to_owned())
}

/// Checks the behaviour that all providers with users have in common.
pub(crate) async fn tokens_are_required(version: Version, auth: Auth) {
    let server = serve(version, auth).await;
    let refused = get(&server, "/routers", None).await;
    assert_eq!(message(refused).await, (401, "No token was passed in.".to_owned()));
    let refused = get(&server, "/routers", Some("foreign")).await;
    assert!(refused.headers().contains_key("www-authenticate"));
    assert_eq!(message(refused).await, (401, "Authentication error".to_owned()));

    let wrong = login(&server, "admin", "wrong", Some("admin")).await;
    assert!(wrong.headers().contains_key("www-authenticate"));
    assert_eq!(wrong.status().as_u16(), 401);
    assert_eq!(login(&server, "admin", "secret", Some("nothing")).await.status().as_u16(), 401);

    let answer = login(&server, "admin", "secret", Some("admin")).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let body: Json = answer.json().await.unwrap();
    let token = body["key"].as_str().unwrap();
    assert!(cookie.starts_with(&format!("sessionId={token}; Expires=")), "{cookie}");
    assert!(body["expires"].as_str().unwrap().ends_with(" UTC"), "{body}");
    assert_eq!(get(&server, "/routers", Some(token)).await.status().as_u16(), 200);

    let member = key(login(&server, "alice", "wonder", Some("alice")).await).await;
    let status = if version == Version::V1_7 { 403 } else { 401 };
    assert_eq!(message(get(&server, "/routers", Some(&member)).await).await, (status, "null".to_owned()));
    server.shutdown().await;
}

fn basic(lifetime: Duration) -> Auth {
    Auth::Basic { users: users(), lifetime }
}

#[tokio::test]
async fn users_of_a_file() {
    for version in Version::ALL {
        tokens_are_required(version, basic(Duration::from_secs(60))).await;
    }
}

#[tokio::test]
async fn users_of_keystone_in_both_of_its_versions() {
    for (version, keystone_version) in [
        (Version::V1_7, KeystoneVersion::V2),
        (Version::V5_0, KeystoneVersion::V2),
        (Version::V5_8, KeystoneVersion::V3),
    ] {
        let keystone = start_keystone(keystone_options(Duration::from_secs(3600))).await.unwrap();
        tokens_are_required(version, settings(keystone.url(), keystone_version)).await;
        keystone.shutdown().await;
    }
}

fn keystone_options(lifetime: Duration) -> KeystoneOptions {
    let listen = "127.0.0.1:0".parse().unwrap();
    KeystoneOptions { listen, users: users(), lifetime, state_dir: None }
}

pub(crate) fn settings(url: &str, version: KeystoneVersion) -> Auth {
    Auth::Keystone(KeystoneSettings {
        url: url.to_owned(),
        version,
        username: "admin".to_owned(),
        password: "secret".to_owned(),
        project: "admin".to_owned(),
    })
}

#[tokio::test]
async fn tokens_expire() {
    let server = serve(Version::V5_8, basic(Duration::from_millis(300))).await;
    let token = key(login(&server, "admin", "secret", None).await).await;
    assert_eq!(get(&server, "/routers", Some(&token)).await.status().as_u16(), 200);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(get(&server, "/routers", Some(&token)).await.status().as_u16(), 401);
    server.shutdown().await;

    // Keystone's tokens count whole seconds. The server's own token has expired as well by then, and is renewed.
    let keystone = start_keystone(keystone_options(Duration::from_secs(2))).await.unwrap();
    let server = serve(Version::V5_8, settings(keystone.url(), KeystoneVersion::V3)).await;
    let token = key(login(&server, "admin", "secret", None).await).await;
    assert_eq!(get(&server, "/routers", Some(&token)).await.status().as_u16(), 200);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let refused = get(&server, "/routers", Some(&token)).await;
    assert_eq!(message(refused).await, (401, "Authentication error".to_owned()));
    let token = key(login(&server, "admin", "secret", None).await).await;
    assert_eq!(get(&server, "/routers", Some(&token)).await.status().as_u16(), 200);
    server.shutdown().await;
    keystone.shutdown().await;
}

#[tokio::test]
async fn without_keystone_every_token_is_refused() {
    let keystone = start_keystone(keystone_options(Duration::from_secs(60))).await.unwrap();
    let server = serve(Version::V5_8, settings(keystone.url(), KeystoneVersion::V3)).await;
    let token = key(login(&server, "admin", "secret", None).await).await;
    keystone.shutdown().await;
    let (status, why) = message(get(&server, "/routers", Some(&token)).await).await;
    assert_eq!(status, 401);
    assert!(why.contains("Connection to Keystone failed"), "{why}");
    assert_eq!(login(&server, "admin", "secret", None).await.status().as_u16(), 401);
    server.shutdown().await;
}

#[tokio::test]
async fn tenants_are_those_of_the_provider() {
    let keystone = start_keystone(keystone_options(Duration::from_secs(60))).await.unwrap();
    let server = serve(Version::V1_7, settings(keystone.url(), KeystoneVersion::V2)).await;
    let token = key(login(&server, "admin", "secret", None).await).await;
    let list: Vec<Json> = get(&server, "/tenants", Some(&token)).await.json().await.unwrap();
    let mut names: Vec<&str> = list.iter().map(|tenant| tenant["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["admin", "alice"]);
    let id = list[0]["id"].as_str().unwrap();
    let one: Json = get(&server, &format!("/tenants/{id}"), Some(&token)).await.json().await.unwrap();
    assert_eq!(one, list[0]);
    assert_eq!(get(&server, "/tenants/nothing", Some(&token)).await.status().as_u16(), 404);
    server.shutdown().await;
    keystone.shutdown().await;
}

#[tokio::test]
async fn the_mock_provider_accepts_any_token() {
    for version in Version::ALL {
        let server = serve(version, Auth::None).await;
        let token = key(login(&server, "anybody", "anything", None).await).await;
        for token in [None, Some("foreign"), Some(token.as_str())] {
            assert_eq!(get(&server, "/routers", token).await.status().as_u16(), 200);
        }
        server.shutdown().await;
    }
}

/// The file of `docs/serve.md`: the tenant in which the user is an administrator comes before tenants that sort first.
#[tokio::test]
async fn a_login_without_a_project_prefers_the_tenant_with_the_role_admin() {
    let text = "[[user]]\nname = \"admin\"\npassword = \"secret\"\ntenants = { admin = [\"admin\"], acme = [\"member\"] }\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.toml");
    std::fs::write(&file, text).unwrap();
    let users = Users::read(&file).unwrap();
    let server = serve(Version::V5_8, Auth::Basic { users, lifetime: Duration::from_secs(60) }).await;
    let token = key(login(&server, "admin", "secret", None).await).await;
    assert_eq!(get(&server, "/routers", Some(&token)).await.status().as_u16(), 200);
    let token = key(login(&server, "admin", "secret", Some("acme")).await).await;
    assert_eq!(get(&server, "/routers", Some(&token)).await.status().as_u16(), 401);
    server.shutdown().await;
}
