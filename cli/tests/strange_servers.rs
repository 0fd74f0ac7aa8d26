//! Servers that are no MidoNet API, or not the right one: nothing is believed, nothing is written, nothing is released.

use midoform_compiler::midonet::dialect::Dialect;
use midoform_testutil::TestFolder;
use midoform_testutil::front::{Arrived, Front, Reaction, response};
use midoform_testutil::http::Connection;
use serde_json::Value as Json;

use crate::MIDOFORM;
use crate::served::Served;

const TENANT: &str = "name = \"t\"\n[[bridge]]\nname = \"b\"\ncidr = \"10.1.0.0/24\"\n";
const HTML: &str = "<html><body>Welcome\u{1b}]0;title\u{7}\nto the portal</body></html>";
const BOTH: [(Dialect, &str); 2] = [(Dialect::V1, "1.7"), (Dialect::V5, "5.8")];

/// A project with an API, and a front through which it is called.
struct Lab {
    folder: TestFolder,
    served: Served,
    front: Front,
}

impl Lab {
    fn new((dialect, version): (Dialect, &str)) -> Lab {
        let folder = TestFolder::default();
        let served = Served::with_node(&folder, dialect, version);
        let front = Front::start(served.address);
        let site = folder.read("site.toml").replace(&served.url(), &front.url());
        folder.write("site.toml", site);
        folder.write("t.toml", TENANT);
        Lab { folder, served, front }
    }

    /// Returns the files of the project that a command could write.
    fn files(&self) -> Vec<(String, String)> {
        let names = ["midoform.lock", "t.toml", "site.toml", "out.toml", "plan.json"];
        let there = names.into_iter().filter(|name| self.folder.path().join(name).exists());
        there.map(|name| (name.to_owned(), self.folder.read(name))).collect()
    }

    fn run(&self, arguments: &[&str]) -> midoform_testutil::Ran {
        self.folder.run(MIDOFORM, arguments)
    }

    /// Runs each command, and expects that it fails with words of the response, and that nothing is written.
    fn expect_refused(&self, name: &str, said: &[&str]) {
        let before = self.files();
        for command in [
            ["plan", "."].as_slice(),
            &["apply", ".", "--yes"],
            &["destroy", ".", "--yes"],
            &["drift", "."],
            &["adopt", "someone", "--force"],
            &["import", "someone"],
        ] {
            self.front.take_arrived();
            let ran = self.run(command);
            let all = format!("{name}: {command:?}: {}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
            assert_eq!(ran.code, 7, "{all}");
            for words in said.iter().chain(&[self.front.url().as_str()]) {
                assert!(ran.stderr.contains(words), "{words:?} in {all}");
            }
            assert!(!ran.stderr.contains('\u{1b}') && !ran.stdout.contains('\u{1b}'), "{all}");
            assert_eq!(self.files(), before, "{all}");
            let writes: Vec<Arrived> = self.front.take_arrived();
            let writes = writes.iter().filter(|arrived| arrived.method != "GET").count();
            assert_eq!(writes, 0, "{all}");
        }
    }
}

/// Returns true for the requests that the API's root answers.
fn is_root(arrived: &Arrived) -> bool {
    arrived.path == "/midonet-api/"
}

fn accepted(arrived: &Arrived) -> String {
    let accept = arrived.head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("accept").then(|| value.to_owned())
    });
    accept.unwrap_or_default()
}

/// A name, what the front does, and words of it that the error has.
type Strange = (&'static str, fn(&Arrived) -> Reaction, &'static [&'static str]);
/// The responses of what is no MidoNet API.
const STRANGE: [Strange; 11] = [
    ("404", |_| response("404 Not Found", "text/html", "", HTML), &["404", "text/html", "Welcome\\u{1b}]0"]),
    ("an empty 404", |_| response("404 Not Found", "", "", ""), &["404", "no content type", "no body"]),
    ("HTML", |_| response("200 OK", "text/html", "", HTML), &["200", "text/html", "\\nto the portal"]),
    (
        "a list for all",
        |_| response("200 OK", "application/json", "", "[]"),
        &["200", "application/json", "`[]`"],
    ),
    ("an object for all", |_| response("200 OK", "application/json", "", "{}"), &["200", "application/json"]),
    (
        "gzip",
        |arrived| response("200 OK", &accepted(arrived), "Content-Encoding: gzip\r\n", b"\x1f\x8b\x08\x00"),
        &["200", "gzip"],
    ),
    ("bytes", |arrived| response("200 OK", &accepted(arrived), "", b"\x1f\x8b\x08\x00"), &["200", "UTF-8"]),
    (
        "a byte order mark",
        |arrived| response("200 OK", &accepted(arrived), "", "\u{feff}[]"),
        &["200", "byte order mark"],
    ),
    ("an empty 204", |_| response("204 No Content", "", "", ""), &["204", "no body"]),
    (
        "the wrong form",
        |arrived| {
            let accept = accepted(arrived);
            let body = if accept.contains("collection") { "{}" } else { "[]" };
            response("200 OK", &accept, "", body)
        },
        &["200"],
    ),
    (
        "a half",
        |arrived| response("200 OK", &accepted(arrived), "", "[{\"id\": \"11111111-2222"),
        &["200", "11111111"],
    ),
];

/// All responses are wrong, or all but the root's.
#[test]
fn what_is_no_midonet_api_is_no_empty_network() {
    let lab = Lab::new(BOTH[1]);
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    let lock = lab.folder.read("midoform.lock");
    for (name, strange, said) in STRANGE {
        lab.front.set(strange);
        let words = if name == "a half" || name.contains("order mark") { &[] } else { said };
        lab.expect_refused(name, words);
        lab.front.set(move |arrived| if is_root(arrived) { Reaction::Pass } else { strange(arrived) });
        lab.expect_refused(&format!("{name}, but not the root"), said);
    }
    // The network and the allocations are as they were.
    lab.front.set(|_| Reaction::Pass);
    assert_eq!(lab.folder.read("midoform.lock"), lock);
    let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
    drop(lab.served);
}

#[test]
fn a_wrong_path_at_the_right_server_is_told() {
    for version in BOTH {
        let lab = Lab::new(version);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let lock = lab.folder.read("midoform.lock");
        for path in ["midonet-ap", "midonet-api/v1", "", "midonet-api/routers"] {
            let url = format!("http://{}/{path}", lab.front.address);
            for command in ["plan", "apply", "destroy"] {
                let yes: &[&str] = if command == "plan" { &[] } else { &["--yes"] };
                let ran = lab.run(&[&[command, ".", "--api", &url], yes].concat()).expect_code(7);
                assert!(ran.stderr.contains(&url) && ran.stderr.contains("MidoNet API"), "{}", ran.stderr);
            }
            assert_eq!(lab.folder.read("midoform.lock"), lock);
        }
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
    }
}

/// A token, and a login, stay at their server; no redirect is followed, whatever it is.
#[test]
fn redirects_are_refused() {
    let lab = Lab::new(BOTH[1]);
    let other = Front::start(lab.served.address);
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let to = format!("Location: http://me:hunter2@{}/midonet-api/x\r\n", other.address);
        let redirect = move |arrived: &Arrived| match is_root(arrived) {
            true => Reaction::Pass,
            false => response(status, "", &to, ""),
        };
        lab.front.set(redirect.clone());
        for command in ["plan", "apply", "destroy"] {
            let yes: &[&str] = if command == "plan" { &[] } else { &["--yes"] };
            let mut command = lab.folder.command(MIDOFORM, &[&[command, "."], yes].concat());
            let ran = midoform_testutil::Ran::from(command.env("MIDONET_TOKEN", "hunter3").output().unwrap());
            let ran = ran.expect_code(7);
            assert!(
                ran.stderr.contains(&format!("http://{}/midonet-api/x", other.address)),
                "{}",
                ran.stderr
            );
            assert!(!ran.stderr.contains("hunter"), "{}", ran.stderr);
        }
        // The reads pass, and the changes are redirected.
        lab.front
            .set(move |arrived| if arrived.method == "GET" { Reaction::Pass } else { redirect(arrived) });
        let ran = lab.run(&["apply", ".", "--yes"]).expect_code(7);
        assert!(!ran.stdout.contains("Done: 2") && ran.stderr.contains("redirects"), "{}", ran.stderr);
    }
    assert!(other.take_arrived().is_empty(), "nothing arrived at the other server");
}

/// A POST counts by its own response: 201 with the `Location` of its object.
#[test]
fn a_call_counts_by_its_own_response_alone() {
    type Response = (&'static str, fn() -> Reaction);
    let strange: [Response; 6] = [
        ("200", || response("200 OK", "text/html", "", HTML)),
        ("202", || response("202 Accepted", "", "", "")),
        ("an empty 204", || response("204 No Content", "", "", "")),
        ("201 without Location", || response("201 Created", "", "", "")),
        ("201 of another object", || {
            let to = "http://x/midonet-api/routers/11111111-2222-3333-4444-555555555555";
            response("201 Created", "", &format!("Location: {to}\r\n"), "")
        }),
        ("201 of no object", || response("201 Created", "", "Location: http://x/midonet-api/\r\n", "")),
    ];
    for version in BOTH {
        for (name, reaction) in strange {
            let lab = Lab::new(version);
            lab.front.set(move |arrived| if arrived.method == "POST" { reaction() } else { Reaction::Pass });
            let ran = lab.run(&["apply", ".", "--yes"]);
            assert_eq!(ran.code, 7, "{name}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains("expected 201"), "{name}: {}", ran.stderr);
            lab.front.set(|_| Reaction::Pass);
            let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(2);
            let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
            // A PUT or a DELETE that says something else was not made either.
            lab.front
                .set(move |arrived| if arrived.method == "DELETE" { reaction() } else { Reaction::Pass });
            if name != "an empty 204" {
                let _ = lab.run(&["destroy", ".", "--yes"]).expect_code(7);
                assert!(lab.folder.read("midoform.lock").contains("tenant.t"), "{name}");
            }
        }
    }
}

#[test]
fn a_body_without_an_end_is_not_read_to_its_end() {
    let lab = Lab::new(BOTH[1]);
    for (is_for_root, status) in [(true, "200 OK"), (false, "200 OK"), (false, "400 Bad Request")] {
        lab.front.set(move |arrived| match is_root(arrived) == is_for_root {
            true => {
                let kind = accepted(arrived);
                Reaction::Endless(format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n\r\n"))
            }
            false => Reaction::Pass,
        });
        let ran = lab.run(&["plan", "."]).expect_code(7);
        let words = if status.starts_with('2') { "at most" } else { "400" };
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn another_version_is_told_in_words() {
    for ((dialect, version), other) in [(BOTH[0], "5"), (BOTH[1], "1")] {
        let lab = Lab::new((dialect, version));
        for command in [["plan", "."].as_slice(), &["apply", ".", "--yes"], &["destroy", ".", "--yes"]] {
            let ran = lab.run(&[command, &["--api-version", other]].concat()).expect_code(7);
            let server = if version == "1.7" { "MidoNet v1.7" } else { "MidoNet v5.0" };
            assert!(
                ran.stderr.contains(server) && ran.stderr.contains("[midonet] version"),
                "{}",
                ran.stderr
            );
        }
        // A server that does not know one media type.
        lab.front.set(|arrived| match arrived.path.ends_with("/chains") {
            true => response("406 Not Acceptable", "", "", ""),
            false => Reaction::Pass,
        });
        let ran = lab.run(&["plan", "."]).expect_code(7);
        assert!(
            ran.stderr.contains("does not know application/vnd.org.midonet.collection.Chain"),
            "{}",
            ran.stderr
        );
    }
}

/// Returns the JSON of an object, as the API shows it.
fn object(lab: &Lab, path: &str, kind: &str) -> Json {
    let mut connection = Connection::open(lab.served.address).unwrap();
    let kind = format!("application/vnd.org.midonet.{kind}+json");
    let answer = connection.send("GET", &format!("/midonet-api{path}"), &kind, "").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// Changes fields of an object, as an operator with another client does.
fn change(lab: &Lab, path: &str, kind: &str, fields: &[(&str, Json)]) {
    let mut object = object(lab, path, kind);
    for (field, value) in fields {
        object[*field] = value.clone();
    }
    let mut connection = Connection::open(lab.served.address).unwrap();
    let kind = format!("application/vnd.org.midonet.{kind}+json");
    let path = format!("/midonet-api{path}");
    let answer = connection.send("PUT", &path, &kind, &object.to_string()).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.body);
}

/// Returns the path of the tenant's router, with the version of its media type.
fn router(lab: &Lab, version: &str) -> (String, &'static str) {
    let kind = if version == "1.7" { "Router-v2" } else { "Router-v3" };
    let list = object(lab, "/routers", &format!("collection.{kind}"));
    let is_own = |router: &&Json| router["name"].as_str().unwrap().starts_with("t ");
    let own = list.as_array().unwrap().iter().find(is_own).unwrap();
    (format!("/routers/{}", own["id"].as_str().unwrap()), kind)
}

/// An update changes its own fields: others are as they are when the plan is applied, and what the plan overwrites is what
/// it was when the plan was made.
#[test]
fn a_saved_plan_takes_back_nothing_that_it_does_not_show() {
    for (dialect, version) in BOTH {
        let lab = Lab::new((dialect, version));
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let (path, kind) = router(&lab, version);
        change(&lab, &path, kind, &[("name", "mine".into())]);
        let _ = lab.run(&["plan", ".", "--out", "plan.json"]).expect_code(0);
        let saved: Json = serde_json::from_str(&lab.folder.read("plan.json")).unwrap();
        let steps = saved["plan"]["steps"].as_array().unwrap();
        let update = steps.iter().find(|step| step["action"] == "update").unwrap();
        for call in [&update["calls"][0], &update["undo"][0]] {
            assert_eq!(call["merges"], true);
            let fields: Vec<&String> = call["body"].as_object().unwrap().keys().collect();
            assert_eq!(fields, ["id", "inboundFilterId", "name", "outboundFilterId", "tenantId"]);
        }
        let script = lab.run(&["plan", ".", "--format", "shell"]).expect_code(0).stdout;
        // 1.7 has no field of a router that midoform never writes.
        let others: &[(&str, Json)] = if version == "1.7" { &[] } else { &[("asNumber", 64512.into())] };
        change(&lab, &path, kind, others);
        lab.front.take_arrived();
        let _ = lab.run(&["apply", "plan.json", "--yes"]).expect_code(0);
        let puts = lab.front.take_arrived().iter().filter(|arrived| arrived.method == "PUT").count();
        assert_eq!(puts, 1);
        let now = object(&lab, &path, kind);
        assert_eq!(now["name"], "t default router");
        others.iter().for_each(|(field, value)| assert_eq!(now[field], *value));

        // The script of the same plan does the same. It says nothing of the admin state, and leaves it.
        if lab.folder.command("jq", &["--version"]).output().is_err() {
            println!("SKIPPED: jq, which the script needs, is not installed");
        } else {
            change(&lab, &path, kind, &[("name", "mine".into()), ("adminStateUp", false.into())]);
            lab.folder.write("apply.sh", script);
            let _ = lab.folder.run("dash", &["apply.sh"]).expect_code(0);
            let now = object(&lab, &path, kind);
            assert_eq!((&now["name"], &now["adminStateUp"]), (&"t default router".into(), &false.into()));
            others.iter().for_each(|(field, value)| assert_eq!(now[field], *value));
            let left = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(2);
            assert!(left.stdout.contains("(admin_state_up: false → true)"), "{}", left.stdout);
            let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        }
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);

        // A switched-off router is drift: the plan was made for another network.
        change(&lab, &path, kind, &[("name", "mine".into())]);
        let _ = lab.run(&["plan", ".", "--out", "plan.json"]).expect_code(0);
        change(&lab, &path, kind, &[("adminStateUp", false.into())]);
        let ran = lab.run(&["apply", "plan.json", "--yes"]).expect_code(6);
        assert!(ran.stderr.contains("the network has changed since the plan was made"), "{}", ran.stderr);
        assert_eq!(object(&lab, &path, kind)["adminStateUp"], false);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);

        // A field of the plan's own was changed meanwhile.
        change(&lab, &path, kind, &[("name", "mine".into())]);
        let _ = lab.run(&["plan", ".", "--out", "plan.json"]).expect_code(0);
        change(&lab, &path, kind, &[("name", "mine again".into())]);
        let ran = lab.run(&["apply", "plan.json", "--yes"]).expect_code(6);
        assert!(ran.stderr.contains("the network has changed since the plan was made"), "{}", ran.stderr);
        assert_eq!(object(&lab, &path, kind)["name"], "mine again");
    }
}

/// A server's certificate of a private CA: without `[midonet] ca` it is refused at once, with it everything works.
#[test]
fn a_private_ca_is_named_in_the_site_file() {
    let folder = TestFolder::default();
    let name = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let arguments =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
    let more = ["-subj", "/CN=localhost", "-addext", name, "-addext", "basicConstraints=critical,CA:FALSE"];
    let files = ["-keyout", "key.pem", "-out", "cert.pem"];
    let made = folder.command("openssl", &[&arguments[..], &more, &files].concat()).output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("SKIPPED: openssl, which makes a certificate for the test, is not installed");
        return;
    }
    let served = Served::start(&folder, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).unwrap();
    let site = |ca: &str| {
        format!(
            "name = \"s\"\n[midonet]\nurl = \"HTTPS://{}/midonet-api\"\n{ca}managed = true\n",
            served.address
        )
    };
    folder.write("t.toml", TENANT);
    folder.write("site.toml", site(""));
    let started = std::time::Instant::now();
    let ran = folder.run(MIDOFORM, &["plan", "."]).expect_code(4);
    assert!(ran.stderr.contains("certificate is not accepted"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`[midonet] ca`"), "{}", ran.stderr);
    assert!(started.elapsed() < std::time::Duration::from_secs(4), "nothing is tried again");
    folder.write("site.toml", site("ca = \"cert.pem\"\n"));
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    folder.write("site.toml", site("ca = \"nothing.pem\"\n"));
    let ran = folder.run(MIDOFORM, &["plan", "."]).expect_code(64);
    assert!(ran.stderr.contains("nothing.pem"), "{}", ran.stderr);
}

#[test]
fn a_url_holds_no_secret_and_no_query() {
    let lab = Lab::new(BOTH[1]);
    let site = lab.folder.read("site.toml");
    for (scheme, rest) in [
        ("http://me:hunter2@", "/midonet-api"),
        ("http://hunter2@", ""),
        ("http://me:hun/ter2@", "/midonet-api"),
        ("http://", "/midonet-api?token=hunter2"),
        ("http://", "/midonet-api#hunter2"),
        ("ftp://", "/hunter2"),
        ("admin:hunter2@", "/m"),
        ("http:\\\\\\\\admin:hunter2@", "/m"),
        ("", "/m?token=hunter2"),
        ("http://", "/../x?hunter2"),
    ] {
        let url = format!("{scheme}{}{rest}", lab.front.address);
        let part = if url.contains("hun/ter2") { "ter2" } else { "hunter2" };
        lab.folder.write("site.toml", &site);
        let in_command = lab.run(&["plan", ".", "--api", &url]).expect_code(64);
        lab.folder.write("site.toml", site.replace(&lab.front.url(), &url));
        for arguments in [
            ["validate", "."].as_slice(),
            &["plan", "."],
            &["plan", ".", "--offline"],
            &["plan", ".", "--format", "shell"],
        ] {
            let in_site = lab.run(arguments).expect_code(3);
            assert!(in_site.stderr.contains("bad-url"), "{}", in_site.stderr);
            if scheme != "ftp://" {
                assert!(
                    !format!("{}{}", in_site.stdout, in_site.stderr).contains(part),
                    "{}",
                    in_site.stderr
                );
            }
        }
        assert!(
            !format!("{}{}", in_command.stdout, in_command.stderr).contains(part),
            "{}",
            in_command.stderr
        );
        assert!(!lab.folder.path().join("midoform.lock").exists());
    }
    assert!(lab.front.take_arrived().is_empty());
    lab.folder.write("site.toml", site.replace("http://", "HTTP://"));
    let _ = lab.run(&["plan", "."]).expect_code(0);
    let _ = lab.run(&["plan", ".", "--api", &lab.front.url().replace("http", "HtTp")]).expect_code(0);
}

#[test]
fn a_url_of_keystone_holds_no_secret_and_no_query() {
    let lab = Lab::new(BOTH[1]);
    let site = lab.folder.read("site.toml");
    for url in ["me:hunter2@127.0.0.1:1", "http://me:hunter2@127.0.0.1:1", "http://127.0.0.1:1/v3?x=hunter2"]
    {
        lab.folder.write("site.toml", format!("{site}[keystone]\nurl = \"{url}\"\n"));
        let ran = lab.run(&["plan", "."]).expect_code(3);
        assert!(ran.stderr.contains("bad-url") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
        lab.folder.write("site.toml", format!("{site}[keystone]\nurl = \"http://127.0.0.1:1\"\n"));
        let mut command = lab.folder.command(MIDOFORM, &["plan", "."]);
        command.env("OS_AUTH_URL", url).env("OS_USERNAME", "u").env("OS_PASSWORD", "p");
        let ran = midoform_testutil::Ran::from(command.output().unwrap()).expect_code(64);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"), "{}", ran.stderr);
        let serve = ["serve", "--listen", "127.0.0.1:0", "--auth", "keystone", "--keystone-url", url];
        let mut command = lab.folder.command(MIDOFORM, &serve);
        command.env("OS_USERNAME", "u").env("OS_PASSWORD", "p").env("OS_PROJECT_NAME", "p");
        let ran = midoform_testutil::Ran::from(command.output().unwrap()).expect_code(64);
        assert!(ran.stderr.contains("--keystone-url") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    assert!(lab.front.take_arrived().is_empty());
}

/// Names that somebody set through the API, and the words of an error, draw nothing.
#[test]
fn what_a_server_says_is_text() {
    let lab = Lab::new(BOTH[1]);
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    let (path, kind) = router(&lab, "5.8");
    let name = "x\n  + router fake\u{1b}]0;title\u{7}\u{9b}2J\u{202e}";
    change(&lab, &path, kind, &[("name", name.into())]);
    let expect_text = |ran: midoform_testutil::Ran| {
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{all:?}");
        assert!(!all.lines().any(|line| line.trim_start().starts_with("+ router fake")), "{all}");
        all
    };
    for command in [
        ["plan", "."].as_slice(),
        &["plan", ".", "--verbose"],
        &["plan", ".", "--format", "markdown"],
        &["drift", "."],
        &["import", "nobody"],
        &["import", name],
    ] {
        let _ = expect_text(lab.run(command));
    }
    assert!(expect_text(lab.run(&["drift", "."])).contains("\\u{1b}]0;title"));
    for status in ["403 Forbidden", "400 Bad Request"] {
        lab.front.set(move |arrived| match is_root(arrived) {
            true => Reaction::Pass,
            false => {
                response(status, "text/plain", "", "no\n  + router fake\u{1b}]0;title\u{7}\u{9b}2J\u{202e}")
            }
        });
        assert!(expect_text(lab.run(&["plan", "."])).contains("no\\n  + router fake"));
    }
}

#[test]
fn an_unreachable_etcd_is_told_as_unreachable() {
    let lab = Lab::new(BOTH[1]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let ran = lab.run(&["adopt", "someone", "--etcd-v2", &url]).expect_code(4);
    assert!(ran.stderr.contains(&url), "{}", ran.stderr);
    let ran = lab.run(&["adopt", "someone", "--etcd-v2", "http://me:hunter2@127.0.0.1:1"]).expect_code(64);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    lab.front.set(|_| response("302 Found", "", "Location: http://elsewhere/\r\n", ""));
    let ran =
        lab.run(&["adopt", "someone", "--etcd-v2", &format!("http://{}", lab.front.address)]).expect_code(7);
    assert!(ran.stderr.contains("http://elsewhere/"), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn the_folder_of_the_embedded_api_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TestFolder::with_tenants(&[("t.toml", TENANT)]);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    let mode = || std::fs::metadata(folder.path().join(".midoform")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    // As an earlier version left it.
    std::fs::set_permissions(folder.path().join(".midoform"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    let _ = folder.run(MIDOFORM, &["plan", "."]).expect_code(0);
    assert_eq!(mode(), 0o700);
}

/// The right kind of server, but another one: it has nothing of the tenant that was applied.
#[test]
fn a_tenant_is_not_released_at_another_midonet() {
    for version in BOTH {
        let lab = Lab::new(version);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let files = lab.files();
        let other = Served::start(&lab.folder, &["--version", version.1])
            .unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let url = other.url();
        let refused = lab.run(&["destroy", ".", "--yes", "--api", &url]).expect_code(6);
        assert!(
            refused.stderr.contains("is this the right network?") && refused.stderr.contains(&url),
            "{}",
            refused.stderr
        );
        assert_eq!(lab.files(), files);
        let _ = lab.run(&["destroy", ".", "--yes", "--api", &url, "--force"]).expect_code(0);
        assert!(!lab.folder.read("midoform.lock").contains("tenant.t"));
    }
}

/// Something in between answers each DELETE, and passes none on.
#[test]
fn what_was_not_deleted_is_not_released() {
    for version in BOTH {
        let lab = Lab::new(version);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let nothing = |arrived: &Arrived| match arrived.method.as_str() {
            "DELETE" => response("204 No Content", "", "", ""),
            _ => Reaction::Pass,
        };
        lab.front.set(nothing);
        let failed = lab.run(&["destroy", ".", "--yes"]);
        assert_ne!(failed.code, 0, "{}{}", failed.stdout, failed.stderr);
        assert!(lab.folder.read("midoform.lock").contains("[tenant.t]"), "{}", failed.stderr);
        lab.front.set(|_| Reaction::Pass);
        let _ = lab.run(&["destroy", ".", "--yes"]).expect_code(0);
        assert!(!lab.folder.read("midoform.lock").contains("[tenant.t]"));
    }
}

/// A list of an existing object that is not found is no empty list.
#[test]
fn a_list_that_is_not_there_is_not_empty() {
    for version in BOTH {
        let lab = Lab::new(version);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        for list in ["/rules", "/routes"] {
            lab.front.set(move |arrived| match arrived.path.ends_with(list) && arrived.method == "GET" {
                true => response(
                    "404 Not Found",
                    "application/vnd.org.midonet.Error-v1+json",
                    "",
                    r#"{"message":"The requested resource was not found.","code":404}"#,
                ),
                false => Reaction::Pass,
            });
            let failed = lab.run(&["plan", "."]).expect_code(7);
            assert!(failed.stderr.contains(list), "{}", failed.stderr);
        }
    }
}

/// A reviewed plan is for one server.
#[test]
fn a_saved_plan_goes_to_no_other_server() {
    let lab = Lab::new(BOTH[1]);
    let other =
        Served::start(&lab.folder, &["--version", "5.8"]).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let url = other.url();
    let _ = lab.run(&["plan", ".", "--out", "plan.json"]).expect_code(0);
    for command in [["apply", "plan.json"], ["undo", "plan.json"]] {
        let refused = lab.run(&[&command[..], &["--yes", "--api", &url]].concat()).expect_code(64);
        assert!(refused.stderr.contains("a saved plan is applied as it is"), "{}", refused.stderr);
    }
    let same = format!("{}/", lab.front.url());
    let _ = lab.run(&["apply", "plan.json", "--yes", "--api", &same]).expect_code(0);
}

type Behaviour = fn(&Arrived) -> Reaction;

/// Runs the script of a plan, expects that it fails, and returns its error.
fn refused_script(lab: &Lab, name: &str) -> String {
    let ran = lab.folder.run("dash", &["apply.sh"]).expect_code(1);
    assert!(!ran.stdout.contains("changes were made"), "{name}: {}", ran.stdout);
    assert!(!ran.stderr.contains('\u{1b}'), "{name}: {}", ran.stderr);
    ran.stderr
}

/// The script of a plan makes no call before it has seen the API's root, and counts a call by its own response.
#[test]
fn the_script_of_a_plan_believes_midonet_alone() {
    for (dialect, version) in BOTH {
        let lab = Lab::new((dialect, version));
        let script = lab.run(&["plan", ".", "--format", "shell"]).expect_code(0).stdout;
        lab.folder.write("apply.sh", script);
        let refused = |name: &str| refused_script(&lab, name);
        for (name, rule, _) in STRANGE {
            lab.front.set(rule);
            lab.front.take_arrived();
            let said = refused(name);
            assert!(said.contains("the root of a MidoNet API"), "{name}: {said}");
            assert_eq!(lab.front.take_arrived().len(), 1, "{name}");
        }
        let posts: [(&str, Behaviour); 5] = [
            ("HTML", |_| response("200 OK", "text/html", "", HTML)),
            ("201 without a Location", |_| response("201 Created", "", "", "")),
            ("204", |_| response("204 No Content", "", "", "")),
            ("301", |_| response("301 Moved", "", "Location: http://127.0.0.1:1/x\r\n", "")),
            ("another object", |arrived| {
                let more =
                    format!("Location: http://h{}/00000000-0000-4000-8000-00000000000g\r\n", arrived.path);
                response("201 Created", "", &more, "")
            }),
        ];
        for (name, rule) in posts {
            lab.front
                .set(move |arrived| if arrived.method == "POST" { rule(arrived) } else { Reaction::Pass });
            lab.front.take_arrived();
            let said = refused(name);
            assert!(said.contains("expected is 201 with a Location"), "{name}: {said}");
            let sent = lab.front.take_arrived().iter().filter(|arrived| arrived.method == "POST").count();
            assert_eq!(sent, 1, "{name}");
        }
        // The other dialect's server.
        let other = if version == "1.7" { BOTH[1] } else { BOTH[0] };
        let folder = TestFolder::default();
        let server = Served::with_node(&folder, other.0, other.1);
        let mut command = lab.folder.command("dash", &["apply.sh"]);
        command.env("MIDONET_URL", format!("http://{}/midonet-api/", server.address));
        let ran = midoform_testutil::Ran::from(command.output().unwrap()).expect_code(1);
        assert!(ran.stderr.contains("--api-version"), "{}", ran.stderr);
    }
}

/// A deletion counts by MidoNet's own response.
#[test]
fn the_deletions_of_a_script_believe_midonet_alone() {
    for version in BOTH {
        let lab = Lab::new(version);
        let script = lab.run(&["plan", ".", "--format", "shell"]).expect_code(0).stdout;
        lab.folder.write("apply.sh", script);
        let _ = lab.folder.run("dash", &["apply.sh"]).expect_code(0);
        let _ = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
        let _ = lab.run(&["lock", "."]).expect_code(0);
        lab.folder.write("t.toml", "name = \"t\"\n");
        let script = lab.run(&["plan", ".", "--format", "shell"]).expect_code(0).stdout;
        lab.folder.write("apply.sh", script);
        const NOT_THERE: &str = "{\"message\":\"not here\",\"code\":403}";
        for rule in [
            (|_| response("404 Not Found", "text/html", "", HTML)) as Behaviour,
            |_| response("200 OK", "text/html", "", HTML),
            |_| response("404 Not Found", "application/vnd.org.midonet.error-v1+json", "", NOT_THERE),
            |_| response("404 Not Found", "", "", "gone"),
        ] {
            lab.front
                .set(move |arrived| if arrived.method == "DELETE" { rule(arrived) } else { Reaction::Pass });
            let said = refused_script(&lab, "a deletion");
            assert!(said.contains("DELETE"), "{said}");
        }
    }
}

/// Returns the text of the list at a path, as the API has it.
fn list_text(lab: &Lab, path: &str, kind: &str) -> String {
    object(lab, path, &format!("collection.{kind}")).to_string()
}

/// A list with an object twice, or with one of another parent: what it has too much would be deleted.
#[test]
fn a_list_has_each_object_once_and_only_its_own() {
    for (dialect, version) in BOTH {
        let lab = Lab::new((dialect, version));
        lab.folder.write("u.toml", "name = \"u\"\n[[bridge]]\nname = \"b\"\ncidr = \"10.2.0.0/24\"\n");
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        let router = if version == "1.7" { "Router-v2" } else { "Router-v3" };
        let routers = object(&lab, "/routers", &format!("collection.{router}"));
        let of = |tenant: &str| {
            let name = format!("{tenant} default router");
            let all = routers.as_array().unwrap().iter();
            all.clone().find(|one| one["name"] == name.as_str()).unwrap().clone()
        };
        let field = |tenant: &str, field: &str| of(tenant)[field].as_str().unwrap().to_owned();
        let chain = |tenant: &str| format!("/chains/{}/rules", field(tenant, "inboundFilterId"));
        let routes = |tenant: &str| format!("/routers/{}/routes", field(tenant, "id"));
        let port = if version == "1.7" { "Port-v2" } else { "Port-v3" };
        for (own, other, kind) in [
            (chain("t"), chain("u"), "Rule-v2"),
            (routes("t"), routes("u"), "Route-v1"),
            ("/ports".to_owned(), "/ports".to_owned(), port),
        ] {
            let items =
                |path: &str| -> Vec<Json> { serde_json::from_str(&list_text(&lab, path, kind)).unwrap() };
            let mut doubled = items(&own);
            doubled.push(doubled[0].clone());
            let mut mixed = items(&own);
            mixed.extend(items(&other).into_iter().next_back());
            for (list, words) in [(doubled, "is in it twice"), (mixed, "is in it")] {
                let (body, path) = (Json::from(list).to_string(), format!("/midonet-api{own}"));
                lab.front.set(move |arrived| match arrived.path == path {
                    true => response("200 OK", &accepted(arrived), "", &body),
                    false => Reaction::Pass,
                });
                lab.front.take_arrived();
                for command in
                    [&["plan", "."][..], &["apply", ".", "--yes"], &["apply", ".", "--yes", "--target", "t"]]
                {
                    let ran = lab.run(command).expect_code(7);
                    assert!(ran.stderr.contains(words), "{version} {own} {command:?}: {}", ran.stderr);
                }
                let writes = lab.front.take_arrived();
                assert!(writes.iter().all(|arrived| arrived.method == "GET"), "{version} {own}");
            }
        }
        lab.front.set(|_| Reaction::Pass);
        let plan = lab.run(&["plan", ".", "--detailed-exitcode"]).expect_code(0);
        assert!(plan.stdout.contains("No changes"), "{version}: {}", plan.stdout);
    }
}

/// A 404 without words is no proof that an object is gone: MidoNet says so only of a tunnel zone's host.
#[test]
fn a_404_without_words_deletes_nothing() {
    for (dialect, version) in BOTH {
        let lab = Lab::new((dialect, version));
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        lab.front.set(|arrived| match arrived.method == "DELETE" {
            true => response("404 Not Found", "", "", ""),
            false => Reaction::Pass,
        });
        let refused = lab.run(&["destroy", ".", "--yes"]).expect_code(7);
        assert!(refused.stderr.contains("404") && refused.stderr.contains("no body"), "{}", refused.stderr);
        lab.front.set(|_| Reaction::Pass);
        let _ = lab.run(&["destroy", ".", "--yes"]).expect_code(0);
    }
}

/// `drift --watch` ends at once when it is interrupted, also in the middle of a comparison with a slow server.
#[test]
fn an_interrupted_watch_ends_while_it_compares() {
    let lab = Lab::new(BOTH[1]);
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    let mut watching = std::process::Command::new(MIDOFORM)
        .args(["drift", ".", "--watch", "1"])
        .current_dir(lab.folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut output = std::io::BufReader::new(watching.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut first).unwrap();
    assert!(first.contains("No drift"), "{first}");
    // The next comparison takes longer than anybody waits.
    lab.front.take_arrived();
    lab.front.set(|_| {
        std::thread::sleep(std::time::Duration::from_secs(20));
        Reaction::Pass
    });
    let started = std::time::Instant::now();
    while lab.front.take_arrived().is_empty() && started.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let interrupted =
        std::process::Command::new("kill").args(["-INT", &watching.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let interrupted = std::time::Instant::now();
    let ended = loop {
        if let Some(status) = watching.try_wait().unwrap() {
            break status;
        }
        if interrupted.elapsed().as_secs() > 15 {
            watching.kill().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!(ended.code(), Some(0));
}
