//! Fault injection: each kind of fault has its documented effect, and no other.

use std::time::{Duration, Instant};

use midoform_simulator::{Auth, Options, Server, Version, start};
use serde_json::{Value as Json, json};

async fn serve(faults: bool) -> Server {
    start(Options { faults, inspect: true, ..Options::default() }).await.unwrap()
}

/// Returns the server's address without the API's base.
fn root(server: &Server) -> String {
    format!("http://{}", server.address())
}

async fn set(server: &Server, fault: Json) {
    let answer = crate::client().post(format!("{}/_faults", root(server))).json(&fault).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201, "{fault}");
}

/// Tries to create a router; returns the status, or none without a response.
async fn make(server: &Server, name: &str) -> Option<u16> {
    let request = crate::client()
        .post(format!("{}/routers", server.base_url()))
        .header("Content-Type", "application/json")
        .header("X-Auth-Token", "t")
        .body(json!({ "name": name, "tenantId": "t" }).to_string());
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

async fn names(server: &Server) -> Vec<String> {
    let list = format!("{}/routers", server.base_url());
    let list = crate::client().get(list).header("Accept", "application/json").send().await.unwrap();
    let list: Vec<Json> = list.json().await.unwrap();
    list.iter().map(|router| router["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn without_the_flag_faults_can_not_be_set() {
    let server = serve(false).await;
    for path in ["/_faults", "/_faults/1"] {
        let answer = crate::client().get(format!("{}{path}", root(&server))).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 404);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn faults_strike_before_or_after_the_commit() {
    for (fault, status, made) in [
        ("unavailable-before", Some(503), false),
        ("unavailable-after", Some(503), true),
        ("reset-before", None, false),
        ("reset-after", None, true),
        ("internal-error", Some(500), false),
    ] {
        let server = serve(true).await;
        set(&server, json!({ "fault": fault, "method": "POST", "path": "/routers" })).await;
        assert_eq!(make(&server, "first").await, status, "{fault}");
        assert_eq!(names(&server).await.len(), usize::from(made), "{fault}");
        assert_eq!(make(&server, "second").await, Some(201), "{fault} strikes once");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn an_internal_error_has_the_real_server_s_words() {
    for (version, words) in [
        (Version::V1_7, "An internal server error has occurred, please try again."),
        (Version::V5_0, "<pre>    java.lang.NullPointerException</pre>"),
        (Version::V5_8, "Powered by Jetty://"),
    ] {
        let server = start(Options { version, faults: true, ..Options::default() }).await.unwrap();
        set(&server, json!({ "fault": "internal-error" })).await;
        let answer = crate::client().get(format!("{}/routers", server.base_url())).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 500);
        let text = answer.text().await.unwrap();
        assert!(text.contains(words), "{text}");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_fault_strikes_the_nth_match_of_a_pattern() {
    let server = serve(true).await;
    set(
        &server,
        json!({ "fault": "unavailable-before", "method": "POST", "path": "/**", "nth": 2, "times": 2 }),
    )
    .await;
    let mut statuses = Vec::new();
    for name in ["a", "b", "c", "d"] {
        statuses.push(make(&server, name).await);
    }
    assert_eq!(statuses, [Some(201), Some(503), Some(503), Some(201)]);
    let all: Vec<Json> =
        crate::client().get(format!("{}/_faults", root(&server))).send().await.unwrap().json().await.unwrap();
    assert_eq!((&all[0]["matched"], &all[0]["struck"]), (&json!(4), &json!(2)));
    server.shutdown().await;
}

#[tokio::test]
async fn a_delay_delays_the_response() {
    let server = serve(true).await;
    set(&server, json!({ "fault": "delay", "milliseconds": 300 })).await;
    let started = Instant::now();
    assert_eq!(make(&server, "slow").await, Some(201));
    assert!(started.elapsed() >= Duration::from_millis(300));
    server.shutdown().await;
}

#[tokio::test]
async fn bodies_stall_and_are_cut_short() {
    let server = serve(true).await;
    for name in ["a", "b", "c"] {
        make(&server, name).await;
    }
    let list = format!("{}/routers", server.base_url());
    set(&server, json!({ "fault": "truncated-body", "method": "GET" })).await;
    let answer = crate::client().get(&list).header("Accept", "application/json").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert!(answer.bytes().await.is_err(), "half a body is no body");

    set(&server, json!({ "fault": "stalled-body", "method": "GET" })).await;
    let mut answer = crate::client().get(&list).header("Accept", "application/json").send().await.unwrap();
    let mut got = Vec::new();
    let stalled = loop {
        match tokio::time::timeout(Duration::from_millis(300), answer.chunk()).await {
            Ok(Ok(Some(chunk))) => got.extend_from_slice(&chunk),
            Ok(other) => panic!("the body ended: {other:?}"),
            Err(_) => break true,
        }
    };
    assert!(stalled && got.starts_with(b"[{"));
    assert_eq!(names(&server).await.len(), 3);
    drop(answer);

    set(&server, json!({ "fault": "truncated-body", "method": "POST" })).await;
    let request = crate::client()
        .post(&list)
        .header("Content-Type", "application/json")
        .body(json!({ "name": "d", "tenantId": "t" }).to_string());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    assert!(answer.bytes().await.is_err());
    assert_eq!(names(&server).await.len(), 4, "it was made all the same");
    server.shutdown().await;
}

#[tokio::test]
async fn a_fault_can_invalidate_a_token() {
    let auth = Auth::default();
    let server =
        start(Options { version: Version::V1_7, faults: true, auth, ..Options::default() }).await.unwrap();
    set(&server, json!({ "fault": "token-dies", "nth": 2 })).await;
    let mut statuses = Vec::new();
    for token in ["mine", "mine", "mine", "another"] {
        let request =
            crate::client().get(format!("{}/routers", server.base_url())).header("X-Auth-Token", token);
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 401, 401, 200]);
    server.shutdown().await;
}

#[tokio::test]
async fn invalid_faults_are_refused_and_faults_are_cleared() {
    let server = serve(true).await;
    let client = crate::client();
    let url = format!("{}/_faults", root(&server));
    for bad in [
        "",
        "{",
        "[]",
        r#"{"fault": "explode"}"#,
        r#"{"fault": "delay", "nth": 0}"#,
        r#"{"fault": "delay", "x": 1}"#,
    ] {
        let answer = client.post(&url).body(bad).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{bad}");
        assert!(answer.json::<Json>().await.unwrap()["error"].is_string());
    }
    set(&server, json!({ "fault": "unavailable-before", "times": 0 })).await;
    set(&server, json!({ "fault": "reset-before", "times": 0 })).await;
    assert_eq!(make(&server, "a").await, Some(503), "the first fault that strikes is the one");
    assert_eq!(client.delete(format!("{url}/1")).send().await.unwrap().status().as_u16(), 204);
    assert_eq!(client.delete(format!("{url}/1")).send().await.unwrap().status().as_u16(), 404);
    assert_eq!(make(&server, "a").await, None);
    assert_eq!(client.delete(&url).send().await.unwrap().status().as_u16(), 204);
    assert_eq!(make(&server, "a").await, Some(201));
    server.shutdown().await;
}
