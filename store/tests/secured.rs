//! etcd with TLS and a login: the accepted ones, and the errors of the others.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use midoform_store::backends::etcd::{Etcd, Settings, Tls};
use midoform_store::{Commit, SharedStore, StoreError, Transaction, get};
use midoform_testutil::etcd::Cluster;

const TIMEOUT: Duration = Duration::from_secs(4);

fn settings(cluster: &Cluster, login: Option<(&str, &str)>) -> Settings {
    let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
    Settings { endpoints: cluster.endpoints(), login, prefix: "/midoform/s/".to_owned(), timeout: TIMEOUT }
}

fn open(cluster: &Cluster, ca: Option<&str>, identity: Option<&str>) -> SharedStore {
    let file = |name: String| cluster.folder().join(name);
    let tls = Tls {
        ca: ca.map(|name| file(format!("{name}.pem"))),
        identity: identity.map(|name| (file(format!("{name}.pem")), file(format!("{name}.key")))),
    };
    Arc::new(Etcd::open_tls(settings(cluster, None), &tls).unwrap())
}

async fn put(store: &SharedStore) -> Result<(), StoreError> {
    let done = store.commit(&Transaction::default().put("site", "1")).await?;
    assert!(matches!(done, Commit::Done(_)));
    Ok(())
}

/// Calls once the server is up.
async fn put_patiently(store: &SharedStore) {
    let end = Instant::now() + Duration::from_secs(60);
    while let Err(error) = put(store).await {
        assert!(error.is_passing() && Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Checks that access is refused within the time of one call, and that the error gives no reason to try again.
async fn refused(store: &SharedStore) -> String {
    let started = Instant::now();
    let read = get(&**store, "site").await.unwrap_err();
    assert!(started.elapsed() < TIMEOUT + Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(!read.is_passing(), "{read:?}");
    let written = put(store).await.unwrap_err();
    assert!(!written.is_passing(), "{written:?}");
    read.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_vouches_for_the_members() {
    let Some(cluster) = Cluster::start_tls("") else {
        println!("SKIPPED: etcd (etcd-server) or openssl is not installed");
        return;
    };
    let store = open(&cluster, Some("ca"), None);
    put_patiently(&store).await;
    assert_eq!(get(&*store, "site").await.unwrap().unwrap().value, "1");
    // Neither another CA nor those of the system signed it.
    for ca in [Some("other"), None] {
        let told = refused(&open(&cluster, ca, None)).await;
        assert!(told.contains("certificate"), "{told}");
    }
    let missing = Etcd::open_tls(
        settings(&cluster, None),
        &Tls { ca: Some(cluster.folder().join("nowhere.pem")), identity: None },
    );
    assert!(missing.unwrap_err().to_string().contains("nowhere.pem: No such file"));
    let key = Some(cluster.folder().join("ca.key"));
    let no_certificate = Etcd::open_tls(settings(&cluster, None), &Tls { ca: key, identity: None });
    let told = no_certificate.unwrap_err().to_string();
    assert!(told.contains("ca.key holds no certificate as PEM"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_may_want_a_certificate_too() {
    let Some(cluster) = Cluster::start_tls("--client-cert-auth --trusted-ca-file FOLDER/ca.pem") else {
        println!("SKIPPED: etcd (etcd-server) or openssl is not installed");
        return;
    };
    put_patiently(&open(&cluster, Some("ca"), Some("client"))).await;
    for identity in [None, Some("other")] {
        // The reason may or may not arrive before the connection is closed.
        let started = Instant::now();
        let told = put(&open(&cluster, Some("ca"), identity)).await.unwrap_err();
        assert!(started.elapsed() < TIMEOUT + Duration::from_secs(2), "{:?}", started.elapsed());
        assert!(told.to_string().contains("certificate"), "{identity:?}: {told}");
    }
}

/// Requires a login: root, and a user who may do everything below the site's prefix.
fn enable_login(cluster: &Cluster) {
    for line in [
        "user add root:secret",
        "user grant-role root root",
        "role add site",
        "role grant-permission site --prefix=true readwrite /midoform/s/",
        "user add midoform:word",
        "user grant-role midoform site",
        "auth enable",
    ] {
        cluster.control(&line.split(' ').collect::<Vec<_>>());
    }
}

async fn log_in(cluster: &Cluster, user: &str, password: &str) -> SharedStore {
    Arc::new(Etcd::open(settings(cluster, Some((user, password)))).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_needed_where_etcd_wants_one() {
    let Some(cluster) = Cluster::start(1) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    enable_login(&cluster);
    let store = log_in(&cluster, "midoform", "word").await;
    put(&store).await.unwrap();
    assert_eq!(get(&*store, "site").await.unwrap().unwrap().value, "1");
    let lease = store.grant(Duration::from_secs(30)).await.unwrap();
    assert!(store.keep_alive(lease).await.unwrap());
    store.revoke(lease).await.unwrap();
    let told = refused(&log_in(&cluster, "midoform", "wrong").await).await;
    assert!(told.contains("refuses") && told.contains("invalid user ID or password"), "{told}");
    let told = refused(&crate::etcd::store_at(cluster.endpoints(), "/midoform/s/", TIMEOUT).await).await;
    assert!(told.contains("refuses") && told.contains("user name is empty"), "{told}");
    // The prefix of another site is refused.
    let other =
        Settings { prefix: "/midoform/t/".to_owned(), ..settings(&cluster, Some(("midoform", "word"))) };
    let other: SharedStore = Arc::new(Etcd::open(other).await.unwrap());
    let told = refused(&other).await;
    assert!(told.contains("permission denied"), "{told}");
    // A restarted member has lost all tokens.
    cluster.kill(0);
    cluster.run(0);
    put_patiently(&store).await;
    assert_eq!(get(&*store, "site").await.unwrap().unwrap().value, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_is_renewed() {
    let keys = |folder: &Path| {
        let run = |arguments: &[&str]| {
            let ran = Command::new("openssl").args(arguments).current_dir(folder).output();
            assert!(ran.unwrap().status.success(), "{arguments:?}");
        };
        run(&["genrsa", "-out", "jwt.key", "2048"]);
        run(&["rsa", "-in", "jwt.key", "-pubout", "-out", "jwt.pub"]);
    };
    let token = "--auth-token jwt,pub-key=FOLDER/jwt.pub,priv-key=FOLDER/jwt.key,sign-method=RS256,ttl=1s";
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIPPED: openssl is not installed");
        return;
    }
    let Some(cluster) = Cluster::start_with(1, token, keys) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    enable_login(&cluster);
    let store = log_in(&cluster, "midoform", "word").await;
    for _ in 0..3 {
        put(&store).await.unwrap();
        let lease = store.grant(Duration::from_secs(30)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2100)).await;
        assert!(store.keep_alive(lease).await.unwrap());
        assert_eq!(get(&*store, "site").await.unwrap().unwrap().value, "1");
        tokio::time::sleep(Duration::from_millis(2100)).await;
    }
}
