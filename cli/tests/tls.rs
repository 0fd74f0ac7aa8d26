//! TLS between midoform and a server: what is wrong with a certificate or a scheme, in words.

use std::time::{Duration, Instant};

use midoform_testutil::TestFolder;

use crate::MIDOFORM;
use crate::served::Served;

/// Makes `cert.pem` and `key.pem` for this machine. Returns false if openssl is not installed.
fn make_certificate(folder: &TestFolder, constraints: &str) -> bool {
    let arguments =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
    let name = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let more = ["-subj", "/CN=localhost", "-addext", name, "-addext", constraints];
    let files = ["-keyout", "key.pem", "-out", "cert.pem"];
    let made = folder.command("openssl", &[&arguments[..], &more, &files].concat()).output();
    let is_made = made.is_ok_and(|made| made.status.success());
    if !is_made {
        println!("SKIPPED: openssl, which makes a certificate for the test, is not installed");
    }
    is_made
}

/// Expects that a plan for this URL fails at once, with these words.
fn expect(folder: &TestFolder, url: &str, more: &str, words: &str) {
    folder.write("site.toml", format!("name = \"s\"\n[midonet]\nurl = \"{url}\"\n{more}managed = true\n"));
    folder.write("t.toml", "name = \"t\"\n[[bridge]]\nname = \"b\"\ncidr = \"10.1.0.0/24\"\n");
    let started = Instant::now();
    let ran = folder.run(MIDOFORM, &["plan", "."]).expect_code(4);
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    assert!(started.elapsed() < Duration::from_secs(4), "nothing is tried again");
}

#[test]
fn the_wrong_scheme_is_named() {
    let folder = TestFolder::default();
    let plain = Served::start(&folder, &[]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let url = format!("https://{}/midonet-api", plain.address);
    expect(&folder, &url, "", "does not speak TLS at this port: is the URL one with `http://`?");
    if !make_certificate(&folder, "basicConstraints=critical,CA:FALSE") {
        return;
    }
    let secure = Served::start(&folder, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).unwrap();
    let url = format!("http://{}/midonet-api", secure.address);
    expect(&folder, &url, "", "does not speak HTTP at this port: is the URL one with `https://`?");
}

#[test]
fn a_ca_that_is_the_servers_own_certificate_is_explained() {
    let folder = TestFolder::default();
    if !make_certificate(&folder, "basicConstraints=critical,CA:TRUE") {
        return;
    }
    let served = Served::start(&folder, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).unwrap();
    let url = format!("https://{}/midonet-api", served.address);
    expect(&folder, &url, "ca = \"cert.pem\"\n", "marked as a CA's (`CA:TRUE`)");
}
