//! Each exit code, and that standard output stays data.

use midoform_testutil::{SITE, TestFolder};

use crate::MIDOFORM;

fn seed() -> TestFolder {
    let folder = TestFolder::default();
    folder.copy_example("seed");
    folder
}

#[test]
fn done_is_0() {
    let _ = seed().run(MIDOFORM, &["validate", "."]).expect_code(0);
    let _ = seed().run(MIDOFORM, &["--help"]).expect_code(0);
    let _ = seed().run(MIDOFORM, &["--version"]).expect_code(0);
}

#[test]
fn pending_changes_are_2_with_the_option() {
    let _ = seed().run(MIDOFORM, &["plan", "."]).expect_code(0);
    let _ = seed().run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(2);
}

#[test]
fn a_bad_spec_is_3() {
    let folder = TestFolder::with_tenants(&[("acme.toml", "nam = \"acme\"\n")]);
    for command in
        [&["validate", "."][..], &["plan", "."], &["apply", ".", "--yes"], &["show", "."], &["graph", "."]]
    {
        let ran = folder.run(MIDOFORM, command).expect_code(3);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn an_unreachable_api_is_4() {
    for command in ["plan", "show"] {
        let ran =
            seed().run(MIDOFORM, &[command, ".", "--api", "http://127.0.0.1:9/midonet-api"]).expect_code(4);
        assert!(ran.stderr.contains("can't be reached") && ran.stderr.contains("help:"), "{}", ran.stderr);
    }
    let _ = seed()
        .run(MIDOFORM, &["plan", ".", "--offline", "--api", "http://127.0.0.1:9/midonet-api"])
        .expect_code(0);
}

/// Starts a server that answers every request with one status. Returns its address.
fn answering(status: &'static str) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(40) {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body = "{\"message\":\"the server's own words\",\"code\":1}";
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    format!("http://{address}/midonet-api")
}

#[test]
fn a_refused_login_is_5() {
    let url = answering("401 Unauthorized");
    let ran = seed().run(MIDOFORM, &["plan", ".", "--api", &url]).expect_code(5);
    assert!(
        ran.stderr.contains("the server's own words") && ran.stderr.contains("MIDONET_TOKEN"),
        "{}",
        ran.stderr
    );
    let folder = seed();
    let mut command = folder.command(MIDOFORM, &["plan", ".", "--api", &url]);
    let output =
        command.env("MIDONET_USERNAME", "me").env("MIDONET_PASSWORD", "s3cr3t-word").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cr3t-word"));
}

#[test]
fn a_server_that_fails_is_7() {
    let url = answering("400 Bad Request");
    let ran = seed().run(MIDOFORM, &["plan", ".", "--api", &url]).expect_code(7);
    assert!(ran.stderr.contains("the server's own words"), "{}", ran.stderr);
}

#[test]
fn a_conflict_is_6() {
    let _ = seed().run(MIDOFORM, &["apply", ".", "--yes", "--expect", "1234"]).expect_code(6);
    let _ = seed().run(MIDOFORM, &["plan", ".", "--locked"]).expect_code(6);
}

#[test]
fn wrong_usage_is_64() {
    for arguments in
        [&["nonsense"][..], &["plan", "--no-such-option"], &["plan", ".", "--format", "pdf"], &[]]
    {
        let _ = seed().run(MIDOFORM, arguments).expect_code(64);
    }
    let empty = TestFolder::default();
    let _ = empty.run(MIDOFORM, &["plan", "."]).expect_code(64);
    empty.write("site.toml", SITE);
    let ran = empty.run(MIDOFORM, &["plan", "."]).expect_code(64);
    assert!(ran.stderr.contains("no tenant file"), "{}", ran.stderr);
    let ran = seed().run(MIDOFORM, &["apply", "."]).expect_code(64);
    assert!(ran.stderr.contains("--yes"), "nobody at the terminal agrees: {}", ran.stderr);
}

#[test]
fn a_missing_file_is_74() {
    let ran = seed().run(MIDOFORM, &["plan", "no/such/folder"]).expect_code(74);
    assert!(ran.stderr.contains("no/such/folder"), "{}", ran.stderr);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = seed();
    let script = format!("{MIDOFORM} plan . --format json | head -c 1 > /dev/null; {MIDOFORM} plan . | true");
    let _ = folder.run("sh", &["-c", &script]).expect_code(0);
}

#[test]
fn every_result_can_be_json() {
    let folder = seed();
    let commands = [
        &["validate", ".", "--json"][..],
        &["plan", ".", "--json"],
        &["apply", ".", "--yes", "--json"],
        &["apply", ".", "--yes", "--json"],
        &["show", ".", "--json"],
        &["explain", "tenant1/router", ".", "--json"],
        &["lock", ".", "--json"],
        &["schema"],
        &["schema", "site"],
        &["destroy", ".", "--yes", "--json"],
    ];
    for arguments in commands {
        let ran = folder.run(MIDOFORM, arguments).expect_code(0);
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&ran.stdout);
        assert!(parsed.is_ok(), "{arguments:?}: {}", ran.stdout);
    }
}

/// Starts an API that has no objects, accepts everything, and is slow to create objects.
fn slow_api() -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(200) {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut part = [0; 4096];
                // A small request comes in one piece; what follows its head is of no interest here.
                let read = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..read]);
                let is_post = request.starts_with(b"POST");
                if is_post {
                    std::thread::sleep(std::time::Duration::from_millis(300));
                }
                let (status, body) = if is_post { ("201 Created", "") } else { ("200 OK", "[]") };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            });
        }
    });
    format!("http://{address}/midonet-api")
}

#[test]
fn an_interrupted_run_ends_its_calls_and_is_130() {
    let url = slow_api();
    let folder = seed();
    let mut command = folder.command(MIDOFORM, &["apply", ".", "--yes", "--parallel", "2", "--api", &url]);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(900));
    let _ = folder.run("sh", &["-c", &format!("kill -INT {}", child.id())]).expect_code(0);
    let ran = midoform_testutil::Ran::from(child.wait_with_output().unwrap()).expect_code(130);
    assert!(
        ran.stderr.contains("interrupted") && ran.stderr.contains("of 17 changes were made"),
        "{}",
        ran.stderr
    );
}
