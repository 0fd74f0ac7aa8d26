//! TLS with client certificates.

use std::path::Path;
use std::time::Duration;

use midoform_ovsdb::{Client, ConnectionError, Error, ServerNames, Settings, Tls};

use crate::support::{DATABASE, runtime, secured, settings};

fn tls(folder: &Path) -> Tls {
    let file = |name: &str| folder.join(name);
    let identity = Some((file("client.pem"), file("client.key")));
    Tls { ca: file("ca.pem"), identity, names: ServerNames::Host }
}

fn secured_settings(remote: &str, tls: Tls) -> Settings {
    let mut settings = settings(remote);
    settings.tls = Some(tls);
    settings.timeout = Duration::from_secs(20);
    settings
}

async fn failure(settings: Settings) -> ConnectionError {
    match Client::new(settings).unwrap().connect().await.unwrap_err() {
        Error::Unreachable { mut attempts, .. } => attempts.remove(0).reason,
        other => panic!("{other}"),
    }
}

#[test]
fn a_server_and_a_client_know_each_other_by_their_certificates() {
    let Some(servers) = secured() else { return };
    let (folder, port) = (servers.folder(), servers.port(0));
    let remote = format!("ssl:127.0.0.1:{port}");
    runtime().block_on(async {
        let client = Client::new(secured_settings(&remote, tls(folder))).unwrap();
        assert_eq!(client.schema().await.unwrap().name, DATABASE);

        // Nobody is trusted but the CA of the settings, and it is tried once.
        let other = Tls { ca: folder.join("other.pem"), ..tls(folder) };
        let reason = failure(secured_settings(&remote, other.clone())).await;
        assert!(matches!(reason, ConnectionError::Certificate(_)), "{reason:?}");
        let reason = failure(secured_settings(&remote, Tls { names: ServerNames::Any, ..other })).await;
        assert!(matches!(reason, ConnectionError::Certificate(_)), "{reason:?}");

        // The server wants a certificate, and one of its CA.
        let none = Tls { identity: None, ..tls(folder) };
        let reason = failure(secured_settings(&remote, none)).await;
        assert!(matches!(reason, ConnectionError::Certificate(_)), "{reason:?}");
        let identity = Some((folder.join("other.pem"), folder.join("other.key")));
        let reason = failure(secured_settings(&remote, Tls { identity, ..tls(folder) })).await;
        assert!(matches!(reason, ConnectionError::Certificate(_)), "{reason:?}");
    });
}

#[test]
fn the_name_in_the_certificate_is_checked_unless_it_is_switched_off() {
    let Some(servers) = secured() else { return };
    let (folder, remote) = (servers.folder(), format!("ssl:localhost:{}", servers.port(0)));
    runtime().block_on(async {
        let reason = failure(secured_settings(&remote, tls(folder))).await;
        assert!(matches!(reason, ConnectionError::Certificate(_)), "{reason:?}");
        for names in [ServerNames::Any, ServerNames::Fixed("127.0.0.1".to_owned())] {
            let client = Client::new(secured_settings(&remote, Tls { names, ..tls(folder) })).unwrap();
            client.connect().await.unwrap();
        }
    });
}

#[test]
fn files_that_can_not_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    if !midoform_testutil::certificates::can_be_made() {
        println!("SKIPPED: openssl is not installed");
        return;
    }
    midoform_testutil::certificates::make(folder.path());
    std::fs::write(file("empty.pem"), "").unwrap();
    let good = tls(folder.path());
    let identity = |certificate: &str, key: &str| Some((file(certificate), file(key)));
    for (tls, name) in [
        (Tls { ca: file("none.pem"), ..good.clone() }, "none.pem: No such file"),
        (Tls { ca: file("empty.pem"), ..good.clone() }, "empty.pem: it holds no certificate"),
        (Tls { ca: file("ca.key"), ..good.clone() }, "ca.key: it holds no certificate"),
        (
            Tls { identity: identity("client.key", "client.key"), ..good.clone() },
            "client.key: it holds no cert",
        ),
        (
            Tls { identity: identity("client.pem", "client.pem"), ..good.clone() },
            "client.pem: it holds no private",
        ),
        (Tls { identity: identity("client.pem", "server.key"), ..good.clone() }, "server.key: "),
    ] {
        let error = Client::new(secured_settings("ssl:127.0.0.1:1", tls)).unwrap_err();
        assert!(crate::support::chain(&error).contains(name), "{}", crate::support::chain(&error));
    }
}
