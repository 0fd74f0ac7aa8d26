//! The store that a site names.

use std::path::Path;
use std::time::Duration;

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{Site, parse};
use midoform_store::open;
use midoform_store::open::{Location, OpenOptions};

fn site(store: &str) -> Site {
    let text = format!("name = \"s\"\n[midonet]\nembedded = true\n{store}");
    parse::site(&Source::new("site.toml", text), SourceId(0), &mut Diagnostics::default()).unwrap()
}

#[test]
fn a_site_says_where_its_store_is() {
    let around = OpenOptions { folder: "/srv/site".into(), ..OpenOptions::default() };
    let place = |store: &str| open::location_of(&site(store), &around);
    assert!(matches!(place(""), Location::LockFile));
    let Location::Embedded(path) = place("[store]\npath = \"a/b.db\"") else { panic!("a file") };
    assert_eq!(path, Path::new("/srv/site/a/b.db"));
    let etcd = "[etcd]\nendpoints = \"https://a:2379\"\nca = \"ca.pem\"\ncert = \"/c.pem\"\nkey = \"k.pem\"\ntimeout = 9";
    let Location::Etcd(settings, tls) = place(etcd) else { panic!("etcd") };
    assert_eq!((settings.prefix.as_str(), settings.timeout), ("/midoform/s/", Duration::from_secs(9)));
    assert_eq!(tls.ca.unwrap(), Path::new("/srv/site/ca.pem"));
    assert_eq!(tls.identity.unwrap(), ("/c.pem".into(), "/srv/site/k.pem".into()));
}

#[test]
fn half_a_login_is_none() {
    let set = |names: &'static [&'static str]| {
        open::login(&move |name| names.contains(&name).then(|| "x".to_owned()))
    };
    let (user, password) = ("MIDOFORM_ETCD_USERNAME", "MIDOFORM_ETCD_PASSWORD");
    assert_eq!(set(&[]).unwrap(), None);
    assert_eq!(set(&["MIDOFORM_ETCD_USERNAME", "MIDOFORM_ETCD_PASSWORD"]).unwrap().unwrap().0, "x");
    let wrong = set(&["MIDOFORM_ETCD_PASSWORD"]).unwrap_err().to_string();
    assert!(wrong.contains(&format!("{password} is set, and {user} is not")), "{wrong}");
}
