//! A server with helpers for requests, for the behaviour that no recording shows.

use midoform_simulator::{Options, Server, Version, start};
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// The host that the server knows.
pub(crate) const HOST: Uuid = Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555);
/// The id of no object.
pub(crate) const GHOST: &str = "99999999-9999-4999-8999-999999999999";
/// The versions with the second dialect.
pub(crate) const V5: [Version; 2] = [Version::V5_0, Version::V5_8];
/// The message about a failure inside 1.7.
pub(crate) const INTERNAL: &str = "An internal server error has occurred, please try again.";

/// A server with helpers for requests.
pub(crate) struct Session {
    pub(crate) server: Server,
    pub(crate) version: Version,
    pub(crate) client: reqwest::Client,
}

/// A status and the body: null without one, a page as a string.
pub(crate) type Response = (u16, Json);

impl Session {
    pub(crate) async fn with(version: Version) -> Session {
        let hosts = vec![(HOST, "node1".to_owned())];
        let server = start(Options { version, hosts, ..Options::default() }).await.unwrap();
        Session { server, version, client: crate::client() }
    }

    fn media(&self, kind: &str) -> String {
        if kind.contains('/') {
            return kind.to_owned();
        }
        let (infix, kind) = kind.strip_prefix('[').map_or(("", kind), |kind| ("collection.", kind));
        let first = self.version == Version::V1_7;
        let revision = match (kind, first) {
            ("Router", true) | ("Port" | "Rule" | "Host", true) | ("Rule", false) => 2,
            ("Router" | "Port" | "Host", false) => 3,
            ("Bridge", false) => 4,
            ("DhcpSubnet", _) => 2,
            _ => 1,
        };
        format!("application/vnd.org.midonet.{infix}{kind}-v{revision}+json")
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        header: &str,
        kind: &str,
        body: String,
    ) -> (Response, String) {
        let url = format!("{}{path}", self.server.base_url());
        let request = self.client.request(method.parse().unwrap(), url).body(body);
        let request = if kind.is_empty() { request } else { request.header(header, self.media(kind)) };
        let answer = request.send().await.unwrap();
        let place = answer.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let body = match text.as_str() {
            "" => Json::Null,
            text => serde_json::from_str(text).unwrap_or(Json::from(text)),
        };
        ((status, body), place.unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str, kind: &str) -> Response {
        self.send("GET", path, "Accept", kind, String::new()).await.0
    }

    pub(crate) async fn post(&self, path: &str, kind: &str, body: Json) -> Response {
        self.send("POST", path, "Content-Type", kind, body.to_string()).await.0
    }

    pub(crate) async fn put(&self, path: &str, kind: &str, body: Json) -> Response {
        self.send("PUT", path, "Content-Type", kind, body.to_string()).await.0
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, "", "", String::new()).await.0
    }

    /// Creates an object, and returns its id.
    pub(crate) async fn make(&self, path: &str, kind: &str, body: Json) -> String {
        let (response, place) = self.send("POST", path, "Content-Type", kind, body.to_string()).await;
        assert_eq!(response.0, 201, "{}: {path} {body}: {}", self.version, response.1);
        place.rsplit('/').next().unwrap().to_owned()
    }

    pub(crate) async fn named(&self, path: &str, kind: &str) -> String {
        self.make(path, kind, json!({ "name": "n", "tenantId": "t" })).await
    }

    #[track_caller]
    pub(crate) fn responds(&self, response: &Response, status: u16, message: &str) {
        assert_eq!(response.0, status, "{}: {}", self.version, response.1);
        assert_eq!(response.1["message"], message, "{}: {}", self.version, response.1);
    }

    #[track_caller]
    pub(crate) fn violates(&self, response: &Response, found: &[(&str, &str)]) {
        let found: Vec<Json> = found
            .iter()
            .map(|(property, message)| json!({ "property": property, "message": message }))
            .collect();
        assert_eq!(
            (response.0, &response.1["violations"]),
            (400, &Json::from(found)),
            "{}: {}",
            self.version,
            response.1
        );
    }
}
