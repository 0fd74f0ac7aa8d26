//! Hostile requests: the server responds, or closes the connection, and goes on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use midoform_simulator::{Options, Server, Version, start};
use proptest::prelude::*;
use reqwest::Method;

async fn serve(version: Version) -> Server {
    start(Options { version, inspect: true, ..Options::default() }).await.unwrap()
}

/// Checks that the server still responds.
async fn assert_alive(server: &Server) {
    let answer = crate::client().get(server.base_url()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

/// Sends bytes, and reads until the server closes the connection or sends nothing for a while.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    // The server may close the connection before it has read all of it.
    let _ = stream.write_all(bytes);
    let mut out = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        out.extend_from_slice(&buffer[..count]);
    }
    out
}

async fn status_of(server: &Server, bytes: Vec<u8>) -> Option<u16> {
    let address = server.address();
    let out = tokio::task::spawn_blocking(move || exchange(address, &bytes)).await.unwrap();
    String::from_utf8_lossy(&out).split_whitespace().nth(1)?.parse().ok()
}

fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /midonet-api{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_100_megabytes() {
    let server = serve(Version::V5_8).await;
    let answer = crate::client()
        .post(format!("{}/routers", server.base_url()))
        .header("Content-Type", "application/json")
        .body(vec![b' '; 100 << 20])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    assert_alive(&server).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_bad_utf8_and_broken_json() {
    for version in Version::ALL {
        let server = serve(version).await;
        let nested = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
        let deep = br#"{"a":"#.repeat(10_000);
        let in_a_field = [br#"{"name": "#.as_slice(), &nested, b"}"].concat();
        for body in [
            nested.as_slice(),
            &deep,
            &in_a_field,
            b"\xff\xfe{\"name\": \"\xc3\x28\"}",
            b"{\"name\": \"\xed\xa0\x80\"}",
            b"\0",
            b"{\"name\": 1e999999}",
        ] {
            let status = status_of(&server, post("/routers", "application/json", body)).await.unwrap();
            assert!((400..=500).contains(&status), "{version} {status}");
        }
        assert_alive(&server).await;
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers_and_long_lines() {
    let server = serve(Version::V5_8).await;
    let many: String = (0..5_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let long = "z".repeat(2 << 20);
    for request in [
        format!("GET /midonet-api/ HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("GET /midonet-api/ HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /midonet-api/{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        let status = status_of(&server, request.into_bytes()).await;
        // The server may close the connection without a response when it has not read the whole head.
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{status:?}");
    }
    assert_alive(&server).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_http() {
    let server = serve(Version::V5_8).await;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"POST /midonet-api/routers HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"POST /midonet-api/routers HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        b"POST /midonet-api/routers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"POST /midonet-api/routers HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        (0..=255).collect(),
    ] {
        let status = status_of(&server, bytes.clone()).await;
        assert!(status.is_none_or(|status| status >= 400), "{bytes:?} {status:?}");
    }
    assert_alive(&server).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_are_cut_off() {
    let server = serve(Version::V5_8).await;
    let address = server.address();
    let trickle = move |head: &'static [u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head).unwrap();
        let started = Instant::now();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut out = Vec::new();
        let mut buffer = [0; 1024];
        while started.elapsed() < Duration::from_secs(40) {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => out.extend_from_slice(&buffer[..count]),
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {
                    if stream.write_all(b"a").is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        (started.elapsed(), String::from_utf8_lossy(&out).into_owned())
    };
    let head =
        tokio::task::spawn_blocking(move || trickle(b"GET /midonet-api/ HTTP/1.1\r\nHost: x\r\nX-Slow: "));
    let body = tokio::task::spawn_blocking(move || {
        trickle(b"POST /midonet-api/routers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
    });
    let (took, _) = head.await.unwrap();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let (took, said) = body.await.unwrap();
    assert!(took < Duration::from_secs(30) && said.starts_with("HTTP/1.1 408"), "{took:?} {said}");
    assert_alive(&server).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_idle_connections_do_not_starve_the_others() {
    let server = serve(Version::V5_8).await;
    let idle: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    assert_alive(&server).await;
    drop(idle);
    server.shutdown().await;
}

/// Makes path segments, some that exist and some that do not.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "routers",
            "bridges",
            "ports",
            "routes",
            "chains",
            "rules",
            "hosts",
            "tunnel_zones",
            "port_groups",
            "ip_addr_groups",
            "ip_addrs",
            "versions",
            "link",
            "peer_ports",
            "tenants",
            "system_state",
            "login",
            "11111111-2222-3333-4444-555555555555",
            "4",
            "10.0.0.1",
            "",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9%._~-]{0,12}",
    ]
}

fn media_type() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("application/json".to_owned()),
        Just("*/*".to_owned()),
        "application/vnd\\.org\\.midonet\\.(collection\\.)?(Router|Port|Rule|Chain|Bridge|Route|PortLink)-v[1-5]\\+json",
        "[ -~]{0,30}",
    ]
}

/// Makes JSON with the fields that the API knows and values of any kind.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        "\"[ -~]{0,20}\"",
        Just("\"11111111-2222-3333-4444-555555555555\"".to_owned()),
        Just("\"10.0.0.1\"".to_owned()),
        Just("\"Router\"".to_owned()),
        Just("\"snat\"".to_owned()),
        Just("\"Normal\"".to_owned()),
    ];
    let field = prop::sample::select(vec![
        "id",
        "name",
        "tenantId",
        "type",
        "portAddress",
        "networkAddress",
        "networkLength",
        "position",
        "natTargets",
        "addressFrom",
        "portFrom",
        "flowAction",
        "tpDst",
        "start",
        "end",
        "inPorts",
        "nwProto",
        "dlType",
        "peerId",
        "hostId",
        "portId",
        "nextHopPort",
        "weight",
        "dstNetworkAddr",
        "fragmentPolicy",
        "x",
    ]);
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec((field.clone(), inner), 0..8).prop_map(|map| {
                let entries: Vec<String> =
                    map.into_iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Every request gets a response, and the server goes on. A panic would end the connection without a response.
    #[test]
    fn every_request_gets_a_response(
        requests in prop::collection::vec(
            (
                prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
                prop::collection::vec(segment(), 0..5),
                "(\\?[ -~&&[^#]]{0,20})?",
                media_type(),
                media_type(),
                prop_oneof![json(), "[ -~]{0,60}", json().prop_map(|text| text.chars().take(40).collect())],
            ),
            1..40,
        ),
        version in prop::sample::select(Version::ALL.to_vec()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = serve(version).await;
            let client = crate::client();
            for (method, segments, query, accept, kind, body) in requests {
                let url = format!("{}/{}{query}", server.base_url(), segments.join("/"));
                let Ok(url) = reqwest::Url::parse(&url) else { continue };
                let Ok(method) = method.parse::<Method>() else { continue };
                let request = client.request(method, url.clone()).body(body.clone());
                let (Ok(accept), Ok(kind)) = (accept.parse::<reqwest::header::HeaderValue>(), kind.parse::<reqwest::header::HeaderValue>()) else { continue };
                let answer = request.header("Accept", accept).header("Content-Type", kind).send().await;
                let answer = answer.unwrap_or_else(|why| panic!("{url} {body}: {why:?}"));
                assert!(answer.status().as_u16() != 503, "{url} {body}");
            }
            let all = client.get(format!("http://{}/_topology", server.address())).send().await.unwrap();
            let all: serde_json::Value = all.json().await.unwrap();
            assert!(all["objects"].is_object());
            server.shutdown().await;
        });
    }
}

/// A link in the place of the count file could lead to any other file of the user.
#[tokio::test]
async fn a_link_in_the_state_folder_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::symlink(&victim, state.join("simulator.count")).unwrap();
    let options = Options { state_dir: Some(state), ..Options::default() };
    let error = start(options).await.err().unwrap();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    assert!(text.contains("it is a link"), "{text}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}
