//! Which store a site names, and a real etcd over TLS.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use midoform_applier::store::open::{self, Around, Place};
use midoform_applier::store::{Commit, SharedStore, Transaction, get};
use midoform_compiler::diag::Diagnostics;
use midoform_compiler::parse;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::Site;

fn site(store: &str) -> Site {
    let text = format!("name = \"s\"\n[midonet]\nembedded = true\n{store}");
    parse::site(&Source::new("site.toml", text), SourceId(0), &mut Diagnostics::default()).unwrap()
}

#[test]
fn a_site_says_where_its_store_is() {
    let around = Around { folder: "/srv/site".into(), ..Around::default() };
    let place = |store: &str| open::place_of(&site(store), &around);
    assert!(matches!(place(""), Place::LockFile));
    let Place::Embedded(path) = place("[store]\npath = \"a/b.db\"") else { panic!("a file") };
    assert_eq!(path, Path::new("/srv/site/a/b.db"));
    let etcd = "[etcd]\nendpoints = \"https://a:2379\"\nca = \"ca.pem\"\ncert = \"/c.pem\"\nkey = \"k.pem\"\ntimeout = 9";
    let Place::Etcd(settings, tls) = place(etcd) else { panic!("etcd") };
    assert_eq!((settings.prefix.as_str(), settings.timeout), ("/midoform/s/", Duration::from_secs(9)));
    assert_eq!(tls.ca.unwrap(), Path::new("/srv/site/ca.pem"));
    assert_eq!(tls.identity.unwrap(), ("/c.pem".into(), "/srv/site/k.pem".into()));
}

#[test]
fn half_a_login_is_none() {
    let set = |given: &'static [&'static str]| {
        open::login(&move |name| given.contains(&name).then(|| "x".to_owned()))
    };
    let (user, password) = ("MIDOFORM_ETCD_USERNAME", "MIDOFORM_ETCD_PASSWORD");
    assert_eq!(set(&[]).unwrap(), None);
    assert_eq!(set(&["MIDOFORM_ETCD_USERNAME", "MIDOFORM_ETCD_PASSWORD"]).unwrap().unwrap().0, "x");
    let wrong = set(&["MIDOFORM_ETCD_PASSWORD"]).unwrap_err().to_string();
    assert!(wrong.contains(&format!("{password} is set, and {user} is not")), "{wrong}");
}

/// Ended at the end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A certificate for 127.0.0.1 that vouches for itself; false where there is no openssl.
fn certificate(folder: &Path, name: &str) -> bool {
    let file = |ending: &str| folder.join(format!("{name}.{ending}"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]);
    command.arg("-keyout").arg(file("key")).arg("-out").arg(file("pem"));
    let ran = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_over_tls_is_believed_with_its_certificate_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (certificate(folder.path(), "own"), certificate(folder.path(), "other"));
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (client, peer) = (format!("https://{}", free()), format!("http://{}", free()));
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(folder.path().join("data")).args(["--name", "m", "--log-level", "error"]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("m={peer}")]);
    command.arg("--cert-file").arg(folder.path().join("own.pem"));
    command.arg("--key-file").arg(folder.path().join("own.key"));
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let (true, true, Ok(server)) = (own, other, started) else {
        println!("SKIPPED: etcd (etcd-server) or openssl is not installed");
        return;
    };
    let _server = Server(server);
    let open = |ca: &str| -> SharedStore {
        let site = site(&format!("[etcd]\nendpoints = \"{client}\"\n{ca}"));
        open::open(&site, &Around { folder: folder.path().into(), ..Around::default() }).unwrap().unwrap()
    };
    let store = open("ca = \"own.pem\"");
    let put = Transaction::default().put("site", "1");
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match store.commit(&put).await {
            Ok(done) => break assert!(matches!(done, Commit::Done(_))),
            Err(error) => assert!(error.is_passing() && Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(get(&*store, "site").await.unwrap().unwrap().value, "1");
    // Neither another's certificate nor the system's vouch for it.
    for ca in ["ca = \"other.pem\"", ""] {
        assert!(get(&*open(ca), "site").await.is_err(), "{ca}");
    }
}
