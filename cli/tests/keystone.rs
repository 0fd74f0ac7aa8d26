//! Projects from Keystone, tokens of Keystone's for MidoNet, and secrets that are seen nowhere.

use std::collections::BTreeSet;

use midoform_testutil::http::Connection;
use midoform_testutil::keystone::RealKeystone;
use midoform_testutil::{Ran, TestFolder};
use serde_json::{Value as Json, json};

use crate::MIDOFORM;
use crate::served::Served;

const USERS: &str = "[[user]]\nname = \"root\"\npassword = \"opensesame-1\"\ntenants = { admin = [\"admin\"] }\n\
                     [[user]]\nname = \"plain\"\npassword = \"opensesame-2\"\ntenants = { acme = [\"member\"] }\n";
const SITE: &str = "name = \"k\"\n[midonet]\nurl = \"URL\"\nversion = DIALECT\nmanaged = true\n[keystone]\nurl = \"KEYSTONE\"\n\
                    version = IDENTITY\n";
const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";
const BETA: &str = "name = \"beta\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.2.0.0/24\"\n";
const SECRETS: [&str; 2] = ["opensesame-1", "opensesame-2"];

/// A MidoNet that asks a Keystone, and a project that uses both.
struct Lab {
    folder: TestFolder,
    served: Served,
    keystone: String,
    identity: &'static str,
}

impl Lab {
    fn new(version: &str, identity: &'static str, create: bool) -> Lab {
        Lab::with(version, identity, create, &[])
    }

    fn with(version: &str, identity: &'static str, create: bool, more: &[&str]) -> Lab {
        let server = TestFolder::default();
        server.write("users.toml", USERS);
        let keystone = ["--auth", "keystone", "--keystone-version", identity, "--users", "users.toml"];
        let all = [
            &["--version", version, "--inspect", "--keystone-listen", "127.0.0.1:0"],
            keystone.as_slice(),
            more,
        ];
        let served = Served::start(&server, &all.concat()).unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let said = served.said.lines().find_map(|line| line.strip_prefix("serving Keystone at ")).unwrap();
        let keystone = said.trim().to_owned();
        let folder = TestFolder::default();
        let lab = Lab { folder, served, keystone, identity };
        lab.write_site(create);
        lab.folder.write("acme.toml", ACME);
        lab.folder.write("beta.toml", BETA);
        lab
    }

    fn write_site(&self, create: bool) {
        let dialect = if self.served.said.contains("MidoNet 1.7") { "1" } else { "5" };
        let site = SITE.replace("URL", &self.served.url()).replace("DIALECT", dialect);
        let site = site.replace("KEYSTONE", &self.keystone).replace("IDENTITY", self.identity);
        self.folder.write("site.toml", if create { site + "create = true\n" } else { site });
    }

    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.folder.command(MIDOFORM, arguments);
        command.envs(variables.iter().copied());
        Ran::from(command.output().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(
            arguments,
            &[("OS_USERNAME", "root"), ("OS_PASSWORD", "opensesame-1"), ("OS_PROJECT_NAME", "admin")],
        )
    }

    /// Returns the tenant ids of all devices.
    fn tenant_ids(&self) -> BTreeSet<String> {
        let body =
            Connection::open(self.served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap().body;
        let all: Json = serde_json::from_str(&body).unwrap();
        let kinds = ["Router", "Bridge", "Chain"];
        let devices =
            kinds.iter().flat_map(|kind| all["objects"][kind].as_array().cloned().unwrap_or_default());
        devices.map(|device| device["tenantId"].as_str().unwrap().to_owned()).collect()
    }
}

/// Returns the ids that the lock file says.
fn ids(lab: &Lab) -> BTreeSet<String> {
    let lock = lab.folder.read("midoform.lock");
    let ids = lock.lines().filter_map(|line| line.strip_prefix("tenant_id = \""));
    ids.map(|id| id.trim_end_matches('"').to_owned()).collect()
}

#[test]
fn tenants_get_the_ids_of_their_projects() {
    for (version, identity) in
        [("1.7", "2"), ("1.7", "3"), ("5.0", "2"), ("5.0", "3"), ("5.8", "2"), ("5.8", "3")]
    {
        let lab = Lab::new(version, identity, true);
        // Before anybody asked, it is said what is missing.
        let offline = lab.run(&["plan", ".", "--offline"]).expect_code(0);
        assert!(
            offline.stderr.contains("the Keystone project of `acme` is not known yet"),
            "{}",
            offline.stderr
        );
        let kept = lab.run(&["plan", ".", "--out", "plan.json"]).expect_code(6);
        assert!(kept.stderr.contains("midoform lock"), "{}", kept.stderr);
        let applied = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        // The user `plain` has a project `acme` already; `beta` is new.
        assert!(applied.stderr.contains("created the Keystone project `beta`"), "{}", applied.stderr);
        assert!(!applied.stderr.contains("created the Keystone project `acme`"), "{}", applied.stderr);
        let known = ids(&lab);
        assert!(known.len() == 2 && known.iter().all(|id| id.len() == 32), "{known:?}");
        let mut wanted = known.clone();
        wanted.insert("k".to_owned());
        assert_eq!(lab.tenant_ids(), wanted, "{version}");
        // Recorded ids need no Keystone, and are the same for everybody.
        let offline = lab.folder.run(MIDOFORM, &["plan", ".", "--offline"]).expect_code(0);
        assert!(!offline.stderr.contains("not known yet"), "{}", offline.stderr);
        let again = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        assert!(again.stdout.contains("No changes"), "{}", again.stdout);
        // A lost lock file: the projects are found by their names, and none is made.
        std::fs::remove_file(lab.folder.path().join("midoform.lock")).unwrap();
        let _ = lab.run(&["lock", "."]).expect_code(0);
        assert_eq!(ids(&lab), known);
        assert!(!lab.folder.read("midoform.lock").contains("project_made"));
    }
}

#[test]
fn projects_are_created_and_deleted_only_on_request() {
    let lab = Lab::new("5.8", "3", false);
    let refused = lab.run(&["apply", ".", "--yes"]).expect_code(6);
    assert!(
        refused.stderr.contains("no project called beta") && refused.stderr.contains("create = true"),
        "{}",
        refused.stderr
    );
    let one = lab.run(&["apply", ".", "--yes", "--target", "acme"]).expect_code(0);
    assert!(
        one.stderr.contains("changes were made") && !one.stderr.contains("no project called"),
        "{}",
        one.stderr
    );
    lab.write_site(true);
    let dry = lab.run(&["apply", ".", "--dry-run"]).expect_code(0);
    assert!(dry.stderr.contains("project of `beta` is not known yet"), "{}", dry.stderr);
    let unasked = lab.run(&["apply", "."]).expect_code(64);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    assert_eq!(ids(&lab).len(), 1, "nobody agreed");
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    let lock = lab.folder.read("midoform.lock");
    assert_eq!(lock.matches("project_made = true").count(), 1, "{lock}");
    let kept = lab.run(&["destroy", ".", "--yes", "--target", "acme"]).expect_code(0);
    assert!(!kept.stderr.contains("deleted the Keystone project"), "{}", kept.stderr);
    let deleted = lab.run(&["destroy", ".", "--yes", "--delete-project"]).expect_code(0);
    assert!(deleted.stderr.contains("deleted the Keystone project `beta`"), "{}", deleted.stderr);
    // `acme` was there before midoform, and stays.
    lab.write_site(false);
    let missing = lab.run(&["apply", ".", "--yes"]).expect_code(6);
    assert!(missing.stderr.contains("no project called beta:"), "{}", missing.stderr);
}

#[test]
fn the_id_in_the_spec_is_used() {
    let lab = Lab::new("5.8", "3", false);
    lab.folder
        .write("beta.toml", BETA.replace("name = \"beta\"\n", "name = \"beta\"\ntenant_id = \"feed\"\n"));
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    assert!(lab.tenant_ids().contains("feed"));
    assert_eq!(ids(&lab).len(), 1);
}

#[test]
fn every_login_works_and_no_secret_is_shown() {
    let lab = Lab::new("5.8", "3", true);
    let url = lab.keystone.as_str();
    let mut seen = Vec::new();
    let mut keep = |ran: Ran| {
        seen.push(format!("{}{}", ran.stdout, ran.stderr));
        ran.code
    };
    let env = |password: &'static str| {
        [("OS_USERNAME", "root"), ("OS_PASSWORD", password), ("OS_TENANT_NAME", "admin")]
    };
    let apply = ["apply", ".", "--yes", "--json"];
    assert_eq!(keep(lab.run_with(&apply, &env("opensesame-1"))), 0);
    // Wrong ones, half ones, ones for another Keystone.
    assert_eq!(keep(lab.run_with(&["plan", "."], &env("opensesame-2"))), 5);
    assert_eq!(keep(lab.run_with(&["plan", "."], &[("OS_PASSWORD", "opensesame-1")])), 64);
    let elsewhere = [env("opensesame-1").as_slice(), &[("OS_AUTH_URL", "http://127.0.0.1:1/v3")]].concat();
    assert_eq!(keep(lab.run_with(&["plan", "."], &elsewhere)), 6);
    let inside =
        [env("opensesame-1").as_slice(), &[("OS_AUTH_URL", "http://root:opensesame-1@127.0.0.1:1/v3")]]
            .concat();
    assert_eq!(keep(lab.run_with(&["plan", "."], &inside)), 64);
    // A token, as it is.
    let login = json!({ "auth": {
        "identity": { "methods": ["password"], "password": {
            "user": { "name": "root", "domain": { "id": "default" }, "password": "opensesame-1" } } },
        "scope": { "project": { "name": "admin", "domain": { "id": "default" } } },
    }});
    let token = token_of(url, &login);
    assert_eq!(keep(lab.run_with(&["plan", "."], &[("OS_TOKEN", &token)])), 0);
    assert_eq!(keep(lab.run_with(&["plan", "."], &[("MIDONET_TOKEN", &token)])), 0);
    assert_eq!(keep(lab.run_with(&["plan", "."], &[("OS_TOKEN", "gone-and-never-there")])), 5);
    // MidoNet's own login, with the same password.
    let own =
        [("MIDONET_USERNAME", "root"), ("MIDONET_PASSWORD", "opensesame-1"), ("MIDONET_PROJECT", "admin")];
    assert_eq!(keep(lab.run_with(&["plan", "."], &own)), 0);
    // A file.
    let file = format!(
        "[keystone]\nauth_url = \"{url}/v3\"\nusername = \"root\"\npassword = \"opensesame-1\"\nproject_name = \"admin\"\n"
    );
    let secret = TestFolder::default();
    secret.write("logins.toml", &file);
    let path = secret.path().join("logins.toml").display().to_string();
    let mode = |mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    assert_eq!(keep(lab.run_with(&["plan", ".", "--credentials", &path], &[])), 64);
    mode(0o600);
    assert_eq!(keep(lab.run_with(&["plan", ".", "--credentials", &path], &[])), 0);
    assert_eq!(keep(lab.run_with(&["plan", "."], &[("MIDONET_CREDENTIALS_FILE", &path)])), 0);
    secret.write("logins.toml", file.replace("password =", "pass word ="));
    assert_eq!(keep(lab.run_with(&["plan", ".", "--credentials", &path], &[])), 64);
    // Everything that was printed, and everything that was written.
    let written = std::fs::read_dir(lab.folder.path()).unwrap();
    seen.extend(written.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok()));
    assert!(seen.len() > 15);
    for text in &seen {
        for secret in SECRETS.iter().copied().chain([token.as_str(), "gone-and-never-there"]) {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

fn token_of(url: &str, login: &Json) -> String {
    let out = std::process::Command::new("curl")
        .args(["-s", "-D", "-", "-o", "/dev/null", "-H", "Content-Type: application/json", "-d"])
        .arg(login.to_string())
        .arg(format!("{url}/v3/auth/tokens"))
        .output()
        .unwrap();
    let head = String::from_utf8(out.stdout).unwrap();
    let token = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("x-subject-token").then(|| value.trim().to_owned())
    });
    token.unwrap_or_else(|| panic!("no token: {head}"))
}

/// Several that make the same project at once come to one, whoever was first.
#[test]
fn a_project_is_created_once() {
    let lab = Lab::new("5.8", "3", true);
    let site = lab.folder.read("site.toml");
    let folders: Vec<TestFolder> = (0..6)
        .map(|_| {
            let folder = TestFolder::default();
            folder.write("site.toml", &site);
            for name in 0..8 {
                folder.write(&format!("t{name}.toml"), format!("name = \"t{name}\"\n"));
            }
            folder
        })
        .collect();
    let runs: Vec<_> = folders
        .iter()
        .map(|folder| {
            let mut command = folder.command(MIDOFORM, &["lock", "."]);
            command
                .env("OS_USERNAME", "root")
                .env("OS_PASSWORD", "opensesame-1")
                .env("OS_PROJECT_NAME", "admin");
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut made = 0;
    for run in runs {
        let ran = Ran::from(run.wait_with_output().unwrap()).expect_code(0);
        made += ran.stderr.matches("created the Keystone project").count();
    }
    assert_eq!(made, 8, "each by one of them");
    let written = |folder: &TestFolder| -> Vec<String> {
        let lock = folder.read("midoform.lock");
        lock.lines().filter(|line| line.starts_with("tenant_id")).map(str::to_owned).collect()
    };
    let first = written(&folders[0]);
    assert_eq!(first.len(), 8);
    assert!(folders.iter().all(|folder| written(folder) == first));
}

/// A token that ends in the middle of a run is renewed, by whichever login it came.
#[test]
fn expired_tokens_are_renewed() {
    let lab = Lab::with("5.8", "3", true, &["--faults"]);
    let fault = json!({ "fault": "token-dies", "method": "POST", "nth": 5 }).to_string();
    let mut connection = Connection::open(lab.served.address).unwrap();
    assert!(connection.send("POST", "/_faults", "application/json", &fault).unwrap().status < 300);
    let applied = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
    assert!(applied.stderr.contains("the network matches the spec"), "{}", applied.stderr);
    let struck = connection.send("GET", "/_faults", "*/*", "").unwrap().body;
    assert!(struck.contains("\"struck\":1") || struck.contains("\"struck\": 1"), "{struck}");
}

#[test]
fn real_keystones_know_the_projects() {
    let pairs = [(RealKeystone::v3(), "3"), (RealKeystone::v2(), "2")];
    for (real, identity) in pairs.into_iter().filter_map(|(real, identity)| Some((real?, identity))) {
        let folder = TestFolder::default();
        let site = format!(
            "name = \"k\"\n[midonet]\nembedded = true\nmanaged = true\n[keystone]\nurl = \"{}\"\nversion = {identity}\n\
             create = true\n",
            real.url
        );
        folder.write("site.toml", site);
        folder.write("acme.toml", ACME);
        folder.write("beta.toml", BETA);
        let run = |arguments: &[&str], variables: &[(&str, &str)]| {
            let mut command = folder.command(MIDOFORM, arguments);
            Ran::from(command.envs(variables.iter().copied()).output().unwrap())
        };
        let admin = [("OS_USERNAME", "admin"), ("OS_PASSWORD", "secret"), ("OS_PROJECT_NAME", "admin")];
        let made = run(&["apply", ".", "--yes"], &admin).expect_code(0);
        assert_eq!(made.stderr.matches("created the Keystone project").count(), 2, "{}", made.stderr);
        let lock = folder.read("midoform.lock");
        std::fs::remove_file(folder.path().join("midoform.lock")).unwrap();
        let found = run(&["lock", "."], &admin).expect_code(0);
        assert!(!found.stderr.contains("created"), "{}", found.stderr);
        let ids = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("tenant_id")).map(str::to_owned).collect()
        };
        assert_eq!(ids(&lock), ids(&folder.read("midoform.lock")));
        let wrong = [("OS_USERNAME", "admin"), ("OS_PASSWORD", "secrets"), ("OS_PROJECT_NAME", "admin")];
        folder.write("gamma.toml", BETA.replace("beta", "gamma").replace("10.2", "10.3"));
        let refused = run(&["lock", "."], &wrong).expect_code(5);
        assert!(!refused.stderr.contains("secrets"), "{}", refused.stderr);
        if identity == "3" {
            let (id, secret) = application_credential(&real.url);
            let credential = [
                ("OS_APPLICATION_CREDENTIAL_ID", id.as_str()),
                ("OS_APPLICATION_CREDENTIAL_SECRET", &secret),
            ];
            let made = run(&["lock", "."], &credential).expect_code(0);
            assert!(made.stderr.contains("created the Keystone project `gamma`"), "{}", made.stderr);
            let named = [
                ("OS_APPLICATION_CREDENTIAL_NAME", "robot"),
                ("OS_APPLICATION_CREDENTIAL_SECRET", &secret),
                ("OS_USERNAME", "admin"),
                ("OS_USER_DOMAIN_NAME", "Default"),
            ];
            folder.write("delta.toml", BETA.replace("beta", "delta").replace("10.2", "10.4"));
            let _ = run(&["lock", "."], &named).expect_code(0);
            assert!(!format!("{}{}", made.stderr, folder.read("midoform.lock")).contains(&secret));
        }
    }
}

/// Makes an application credential of the administrator's: its id and its secret.
fn application_credential(url: &str) -> (String, String) {
    let login = json!({ "auth": {
        "identity": { "methods": ["password"], "password": {
            "user": { "name": "admin", "domain": { "id": "default" }, "password": "secret" } } },
        "scope": { "project": { "name": "admin", "domain": { "id": "default" } } },
    }});
    let token = token_of(url, &login);
    let ask = |arguments: &[&str]| -> Json {
        let header = format!("X-Auth-Token: {token}");
        let mut command = std::process::Command::new("curl");
        command.args(["-s", "-H", &header, "-H", "Content-Type: application/json"]).args(arguments);
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let subject = format!("X-Subject-Token: {token}");
    let about = ask(&["-H", &subject, &format!("{url}/v3/auth/tokens")]);
    let user = about.pointer("/token/user/id").unwrap().as_str().unwrap().to_owned();
    let wanted =
        json!({ "application_credential": { "name": "robot", "secret": "opensesame-3" } }).to_string();
    let made = ask(&["-d", &wanted, &format!("{url}/v3/users/{user}/application_credentials")]);
    let id = made.pointer("/application_credential/id").unwrap().as_str().unwrap().to_owned();
    (id, "opensesame-3".to_owned())
}
