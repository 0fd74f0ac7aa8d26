//! A tenant's apply and the plugin's pods: what is attached stays, bound or on its way, whatever the apply does.

use midoform_compiler::midonet;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::lower::pod;
use midoform_compiler::midonet::lower::pod::Pod;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;
use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;
use uuid::Uuid;

use crate::MIDOFORM;
use crate::served::Served;

pub(crate) const HOST: &str = "11111111-2222-3333-4444-555555555555";

/// Makes the first so many objects of a pod, as the plugin does; the path of its port.
pub(crate) fn attach(served: &Served, dialect: Dialect, container: &str, steps: usize) -> String {
    let bridge = Namespace::of_site("test").id(&Key::from("acme/bridge/web"));
    let pod = Pod {
        tag: None,
        tenant: "acme",
        tenant_id: "acme",
        bridge: Reference::External(bridge),
        container,
        interface: "eth0",
        host: HOST.parse().unwrap(),
        host_interface: &format!("vif{container}"),
        untagged: None,
        tied_to: Some(("192.168.0.5".parse().unwrap(), "0a:58:c0:a8:00:05".parse().unwrap())),
    };
    let plan = midonet::plan("test", dialect, &pod::lower(&pod), &Observed::default());
    let mut connection = Connection::open(served.address).unwrap();
    let (mut port, mut made) = (String::new(), Vec::new());
    for step in plan.steps.iter().take(steps) {
        for call in step.http_calls() {
            let fill = |text: &str| {
                made.iter()
                    .fold(text.to_owned(), |text: String, (key, id): &(String, String)| text.replace(key, id))
            };
            let (path, body) = (fill(&call.path), fill(call.body.as_ref().unwrap().get()));
            let kind = call.content_type.as_deref().unwrap();
            let answer = connection.send("POST", &format!("/midonet-api{path}"), kind, &body).unwrap();
            assert_eq!(answer.status, 201, "{path}: {}", answer.body);
            let id = answer.location.rsplit('/').next().unwrap().to_owned();
            if step.key.as_str().ends_with("/port") {
                port = format!("/midonet-api/ports/{id}");
            }
            made.push((format!("${{{}}}", step.key), id));
        }
    }
    port
}

#[test]
fn an_apply_never_deletes_a_pod_s_port() {
    for (dialect, version) in [(Dialect::V1, "1.7"), (Dialect::V5, "5.8")] {
        let folder = TestFolder::default();
        let served = Served::with_node(&folder, dialect, version);
        let spec =
            "name = \"acme\"\nanti_spoof = \"port\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/24\"\n";
        folder.write("acme.toml", spec);
        let _ = folder.run(MIDOFORM, &["apply", "--yes", "."]).expect_code(0);
        let all = 6;
        // One is whole, one has no binding yet.
        let ports = [attach(&served, dialect, "c1", all), attach(&served, dialect, "c2", all - 1)];
        let there = |what: &str| {
            let mut connection = Connection::open(served.address).unwrap();
            for port in &ports {
                assert_eq!(connection.send("GET", port, "*/*", "").unwrap().status, 200, "{what}: {port}");
            }
        };
        let _ = folder.run(MIDOFORM, &["plan", "--detailed-exitcode", "."]).expect_code(0);
        // A change of the tenant: a bridge more, a static port on the pods' bridge, and all of it gone again.
        let port = "[[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\n\
            mac = \"02:00:00:00:00:01\"\naddress = \"10.20.0.7\"\n";
        for more in ["[[bridge]]\nname = \"db\"\n", port, ""] {
            folder.write("acme.toml", format!("{spec}{more}"));
            let _ = folder.run(MIDOFORM, &["apply", "--yes", "."]).expect_code(0);
            there("apply");
        }
        let destroyed = folder.run(MIDOFORM, &["destroy", "--yes", "."]);
        assert_ne!(destroyed.code, 0, "a destroy while pods are attached is refused: {}", destroyed.stderr);
        there("destroy");
        let _: Uuid = ports[0].rsplit('/').next().unwrap().parse().unwrap();
    }
}

#[test]
fn a_network_in_use_is_not_pulled_away() {
    for (dialect, version) in [(Dialect::V1, "1.7"), (Dialect::V5, "5.8")] {
        let folder = TestFolder::default();
        let served = Served::with_node(&folder, dialect, version);
        let spec =
            |web: &str| format!("name = \"acme\"\n{web}[[bridge]]\nname = \"db\"\ncidr = \"10.30.0.0/24\"\n");
        let web = |more: &str| format!("[[bridge]]\nname = \"web\"\n{more}");
        let start = spec(&web("cidr = \"10.20.0.0/24\"\n"));
        folder.write("acme.toml", &start);
        let _ = folder.run(MIDOFORM, &["apply", "--yes", "."]).expect_code(0);
        let _ = ["c1", "c2"].map(|container| attach(&served, dialect, container, 6));
        for (what, changed) in [
            ("gone", spec("")),
            ("another network", spec(&web("cidr = \"10.21.0.0/24\"\n"))),
            ("a larger network", spec(&web("cidr = \"10.20.0.0/23\"\n"))),
            ("another gateway", spec(&web("cidr = \"10.20.0.0/24\"\ngateway = \"first\"\n"))),
        ] {
            folder.write("acme.toml", changed);
            for format in ["text", "markdown", "json"] {
                let plan = folder.run(MIDOFORM, &["plan", ".", "--format", format]).expect_code(0).stdout;
                for words in ["vifc1", "vifc2", "acme/bridge/web"] {
                    assert!(plan.contains(words), "{version} {what} {format}: {plan}");
                }
                assert!(format == "json" || plan.contains("network changes: 2"), "{version} {what}: {plan}");
            }
            let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
            for refused in [
                &["apply", ".", "--yes", "--allow-mass-delete"][..],
                &["apply", "plan.json", "--yes", "--allow-mass-delete"],
            ] {
                let refused = folder.run(MIDOFORM, refused).expect_code(6);
                for words in ["2 pods", "vifc1", "vifc2", "--cut-pods"] {
                    assert!(refused.stderr.contains(words), "{version} {what}: {}", refused.stderr);
                }
            }
        }
        // A change of something else cuts off nobody.
        folder.write("acme.toml", start.replace("10.30.0.0", "10.31.0.0"));
        let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        folder.write("acme.toml", spec(""));
        let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
        let cut = ["apply", "plan.json", "--yes", "--cut-pods", "--allow-mass-delete"];
        let _ = folder.run(MIDOFORM, &cut).expect_code(0);
        let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]).expect_code(0);
    }
}

#[test]
fn an_undo_does_not_pull_a_network_away() {
    let folder = TestFolder::default();
    let served = Served::with_node(&folder, Dialect::V5, "5.8");
    folder.write("acme.toml", "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/24\"\n");
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    let _ = folder.run(MIDOFORM, &["apply", "plan.json", "--yes"]).expect_code(0);
    let _ = attach(&served, Dialect::V5, "c1", 6);
    let refused = folder.run(MIDOFORM, &["undo", "plan.json", "--yes"]).expect_code(6);
    assert!(
        refused.stderr.contains("1 pod would be cut off") && refused.stderr.contains("vifc1"),
        "{}",
        refused.stderr
    );
    let _ = folder.run(MIDOFORM, &["undo", "plan.json", "--yes", "--cut-pods"]).expect_code(0);
}

/// Without the lock file, a static port that is no longer in the spec is an unknown port on 5.x, and no pod.
#[test]
fn a_port_that_is_not_known_is_not_called_a_pod() {
    for (dialect, version) in [(Dialect::V5, "5.0"), (Dialect::V5, "5.8")] {
        let folder = TestFolder::default();
        let served = Served::with_node(&folder, dialect, version);
        let spec = "name = \"acme\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.30.0.0/24\"\n";
        let web = "[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/24\"\n";
        let port = "[[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\n\
            mac = \"02:00:00:00:00:01\"\naddress = \"10.20.0.7\"\n";
        folder.write("acme.toml", format!("{spec}{web}{port}"));
        let _ = folder.run(MIDOFORM, &["apply", "--yes", "."]).expect_code(0);
        std::fs::remove_file(folder.path().join("midoform.lock")).unwrap();
        folder.write("acme.toml", spec);
        let plan = folder.run(MIDOFORM, &["plan", "."]).expect_code(0).stdout;
        assert!(plan.contains("Ports that are cut off") && plan.contains("network changes: 1"), "{plan}");
        let apply = ["apply", ".", "--yes", "--allow-mass-delete"];
        let refused = folder.run(MIDOFORM, &apply).expect_code(6).stderr;
        assert!(refused.contains("1 port would be cut off") && !refused.contains("1 pod"), "{refused}");
        let _ = attach(&served, dialect, "c1", 6);
        let refused = folder.run(MIDOFORM, &apply).expect_code(6).stderr;
        assert!(refused.contains("2 pods and ports would be cut off"), "{refused}");
    }
}
