//! The endpoints beside the API: metrics and topology; and TLS.

use std::process::Command;
use std::sync::Arc;

use midoform_simulator::{Options, Server, StartError, Tls, Version, start, start_metrics};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use serde_json::{Value as Json, json};
use uuid::Uuid;

async fn post(server: &Server, version: Version, path: &str, body: Json) -> String {
    let request = crate::client()
        .post(format!("{}{path}", server.base_url()))
        .header("Content-Type", crate::body_type(version, path))
        .body(body.to_string());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201, "{path} {body}");
    answer.headers()["location"].to_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

async fn get(server: &Server, path: &str) -> (u16, String) {
    let answer = crate::client().get(format!("http://{}{path}", server.address())).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Makes a router and a bridge that are linked, with a chain.
async fn small_network(server: &Server, version: Version) {
    let chain = post(server, version, "/chains", json!({ "name": "in", "tenantId": "t" })).await;
    let router = post(
        server,
        version,
        "/routers",
        json!({ "name": "r \"1\"", "tenantId": "t", "inboundFilterId": chain }),
    )
    .await;
    let bridge = post(server, version, "/bridges", json!({ "name": "b", "tenantId": "t" })).await;
    let address = json!({ "type": "Router", "networkAddress": "10.0.0.0", "networkLength": 24, "portAddress": "10.0.0.1" });
    let there = post(server, version, &format!("/routers/{router}/ports"), address).await;
    let here = post(server, version, &format!("/bridges/{bridge}/ports"), json!({ "type": "Bridge" })).await;
    let link = crate::client()
        .post(format!("{}/ports/{here}/link", server.base_url()))
        .header("Content-Type", "application/json")
        .body(json!({ "peerId": there }).to_string());
    assert_eq!(link.send().await.unwrap().status().as_u16(), 201);
}

#[tokio::test]
async fn metrics_count_requests_and_objects() {
    let server = start(Options::default()).await.unwrap();
    small_network(&server, Version::V5_8).await;
    for path in ["/midonet-api/routers", "/midonet-api/routers", "/midonet-api/nowhere"] {
        get(&server, path).await;
    }
    let (status, page) = get(&server, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "midonet_api_requests_total{method=\"GET\",resource=\"routers\",status=\"200\"} 2",
        "midonet_api_requests_total{method=\"GET\",resource=\"other\",status=\"404\"} 1",
        "midonet_api_requests_total{method=\"POST\",resource=\"bridges\",status=\"201\"} 2",
        "midonet_api_objects{kind=\"Port\"} 2",
        "midonet_api_objects{kind=\"Route\"} 1",
        "midonet_api_requests_in_flight 1",
        "midonet_api_request_duration_seconds_count{method=\"POST\"} 6",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
    server.shutdown().await;
}

#[tokio::test]
async fn any_registry_can_be_served() {
    let mut registry = Registry::with_prefix("midoform");
    let looks: Counter = Counter::default();
    registry.register("drift_looks", "Comparisons of the spec with the network", looks.clone());
    let server = start_metrics("127.0.0.1:0".parse().unwrap(), Arc::new(registry)).await.unwrap();
    looks.inc();
    let answer = crate::client().get(server.url()).send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let page = answer.text().await.unwrap();
    assert!(page.contains("midoform_drift_looks_total 1\n"), "{page}");
    let elsewhere = server.url().replace("/metrics", "/");
    assert_eq!(crate::client().get(elsewhere).send().await.unwrap().status().as_u16(), 404);
    let posted = crate::client().post(server.url()).send().await.unwrap();
    assert_eq!((posted.status().as_u16(), posted.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    server.shutdown().await;
}

#[tokio::test]
async fn the_topology_is_served_if_inspect_is_on() {
    let hidden = start(Options::default()).await.unwrap();
    assert_eq!(get(&hidden, "/_topology").await.0, 404);
    hidden.shutdown().await;
    for version in Version::ALL {
        let hosts = vec![(Uuid::from_u128(1), "node1".to_owned())];
        let server = start(Options { version, hosts, inspect: true, ..Options::default() }).await.unwrap();
        small_network(&server, version).await;
        let (status, text) = get(&server, "/_topology").await;
        assert_eq!(status, 200);
        let all: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(all["version"], version.to_string());
        for (kind, count) in
            [("Router", 1), ("Network", 1), ("Port", 2), ("Route", 1), ("Chain", 1), ("Host", 1)]
        {
            assert_eq!(all["objects"][kind].as_array().unwrap().len(), count, "{kind}");
        }
        let (status, drawing) = get(&server, "/_topology?format=dot").await;
        assert_eq!(status, 200);
        assert!(drawing.starts_with("graph midonet {") && drawing.ends_with("}\n"));
        assert!(drawing.contains("label=\"Router r \\\"1\\\"\""), "{drawing}");
        assert_eq!(drawing.matches("style=bold").count(), 1, "a link is drawn once: {drawing}");
        assert_eq!(get(&server, "/_topology?format=png").await.0, 400);
        server.shutdown().await;
    }
}

#[tokio::test]
async fn the_api_is_served_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("SKIPPED: openssl, which makes a certificate for the test, is not installed");
        return;
    }
    let tls = Some(Tls { certificate: certificate.clone(), key: key.clone() });
    let server = start(Options { tls, ..Options::default() }).await.unwrap();
    assert!(server.base_url().starts_with("https://127.0.0.1:"));
    let _ = crate::client();
    let trusted = reqwest::Certificate::from_pem(&std::fs::read(&certificate).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]).build().unwrap();
    let root = client.get(server.base_url()).header("Accept", "application/json").send().await.unwrap();
    let root: Json = root.json().await.unwrap();
    assert_eq!(root["routers"], format!("{}/routers", server.base_url()));
    assert!(crate::client().get(server.base_url()).send().await.is_err(), "nobody else trusts it");
    let plain = server.base_url().replace("https", "http");
    assert!(crate::client().get(plain).send().await.is_err(), "nor does it speak without TLS");
    server.shutdown().await;

    for (certificate, key) in
        [(key.clone(), key.clone()), (certificate.clone(), certificate), ("/nowhere".into(), key)]
    {
        let tls = Some(Tls { certificate, key });
        let refused = start(Options { tls, ..Options::default() }).await;
        assert!(matches!(refused, Err(StartError::Tls(_))));
    }
}
