//! Remotes as they are written.

use midoform_ovsdb::{Client, Error, Remote, Settings, parse_remotes};

#[test]
fn remotes_are_shown_as_they_are_written() {
    let text =
        "unix:/run/ovn/ovnnb_db.sock,tcp:10.0.0.1:6641,ssl:[fe80::1%eth0]:6641,ssl:db.example.org:6641";
    let remotes = parse_remotes(text).unwrap();
    let shown: Vec<String> = remotes.iter().map(Remote::to_string).collect();
    assert_eq!(shown.join(","), text);
    assert_eq!(parse_remotes(" tcp:[::1]:1 , unix:a:b").unwrap().len(), 2);
}

#[test]
fn wrong_remotes_are_refused_with_the_reason() {
    for (text, reason) in [
        ("", "it has no method"),
        ("tcp:a:1,", "it has no method"),
        ("10.0.0.1:6641", "its method is unknown"),
        ("http:a:1", "its method is unknown"),
        ("ptcp:6641", "a client can't listen"),
        ("unix:", "the path is missing"),
        ("tcp:host", "the port is missing"),
        ("tcp:host:", "the port is no number"),
        ("tcp:host:0", "the port is no number"),
        ("tcp:host:+1", "the port is no number"),
        ("tcp:host:65536", "the port is no number"),
        ("tcp::1", "the host is missing"),
        ("tcp:ho st:1", "the host is missing or has blanks"),
        ("tcp:fe80::1:6641", "an IPv6 address has to be in brackets"),
        ("tcp:[fe80::1:6641", "a bracket is not closed"),
        ("tcp:[10.0.0.1]:6641", "the brackets hold no IPv6 address"),
    ] {
        let error = parse_remotes(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn settings_that_can_not_work_are_refused_before_anything_is_sent() {
    assert!(matches!(Client::new(Settings::new(Vec::new(), "x")), Err(Error::NoRemote)));
    let error = Client::new(Settings::parse("ssl:127.0.0.1:1", "x").unwrap()).unwrap_err();
    assert!(matches!(error, Error::NoTls { .. }), "{error}");
}
