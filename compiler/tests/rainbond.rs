//! Profile `rainbond` is the layout of the Go plugin, object for object and rule for rule: the calls recorded
//! from it, played beside ours.

use std::collections::BTreeMap;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::plan::Step;
use midoform_testutil::root;
use serde_json::Value;

use crate::samples::Project;

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nprovider_router = \"9f1c0000-0000-4000-8000-000000000001\"\n[pools]\nlinks = \"172.16.9.0/24\"\nbridges = \"192.168.0.0/24\"\nshared = true\n";
const TENANT: &str = "name = \"tenant1\"\nprofile = \"rainbond\"\nlink = { provider = \"172.16.9.2\", tenant = \"172.16.9.3\" }\n[[bridge]]\nname = \"bridge0\"\n";

/// Returns a call with ids named by the order of their appearance, so that two lists can be compared.
fn normal(path: &str, body: &Value, names: &mut BTreeMap<String, String>) -> String {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        // Said by the recorded body, and what the server takes for granted.
        for field in ["deviceId", "routerId", "chainId"] {
            fields.remove(field);
        }
        fields.retain(|_, value| !value.is_null());
    }
    let mut text = format!("{path} {body}");
    let found: Vec<(String, String)> = names.iter().map(|(id, name)| (id.clone(), name.clone())).collect();
    for (id, name) in found {
        text = text.replace(&id, &name);
    }
    text
}

/// Gives every object's id a name by what the object is.
fn name_of(path: &str, body: &Value) -> String {
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "chains" | "routers" | "bridges" => text("name"),
        "ports" if body["type"] == "Router" => format!("port {}", text("portAddress")),
        "ports" => "bridge port".to_owned(),
        "routes" => format!("route {}/{}", text("dstNetworkAddr"), body["dstNetworkLength"]),
        "rules" => format!("rule {} {}", text("type"), body["position"]),
        other => other.to_owned(),
    }
}

fn normalised(calls: &[(String, Value)], provider: &str) -> Vec<String> {
    let mut names = BTreeMap::from([(provider.to_owned(), "provider router".to_owned())]);
    for (path, body) in calls {
        if let Some(id) = body["id"].as_str() {
            names.insert(id.to_owned(), format!("<{}>", name_of(path, body)));
        }
    }
    let mut lines: Vec<String> = calls.iter().map(|(path, body)| normal(path, body, &mut names)).collect();
    lines.sort();
    lines
}

#[test]
fn the_calls_are_those_that_the_go_plugin_made() {
    let recorded = std::fs::read_to_string(root().join("compiler/testdata/predecessor-calls.json")).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let theirs: Vec<(String, Value)> = recorded["first_add"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["path"] != "/midonet-api/login")
        .map(|call| {
            (
                call["path"].as_str().unwrap().trim_start_matches("/midonet-api").to_owned(),
                call["body"].clone(),
            )
        })
        .collect();
    // The last two are the pod's: its port and its binding.
    let (theirs, pod) = theirs.split_at(theirs.len() - 2);
    assert!(pod[1].0.starts_with("/hosts/"));
    let plan = Project::of_text(SITE, &[("tenant1.toml", TENANT)]).plan(Dialect::V5);
    let ours: Vec<(String, Value)> = plan
        .steps
        .iter()
        .flat_map(Step::http_calls)
        .map(|call| (call.path.clone(), serde_json::from_str(call.body.as_ref().unwrap().get()).unwrap()))
        .collect();
    let ours = normalised(&ours, "9f1c0000-0000-4000-8000-000000000001");
    let theirs = normalised(theirs, "${id:5}");
    assert_eq!(ours, theirs);
}

#[test]
fn the_media_types_are_those_that_the_go_plugin_sent() {
    let recorded = std::fs::read_to_string(root().join("compiler/testdata/predecessor-calls.json")).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let kinds = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let theirs: BTreeMap<String, String> = recorded["first_add"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|call| Some((kinds(call["path"].as_str()?), call["type"].as_str()?.to_owned())))
        .filter(|(kind, kind_type)| !(kind == "ports" && kind_type.contains("HostInterfacePort")))
        .collect();
    let plan = Project::of_text(SITE, &[("tenant1.toml", TENANT)]).plan(Dialect::V5);
    for call in plan.steps.iter().flat_map(Step::http_calls) {
        assert_eq!(
            call.content_type.as_deref(),
            theirs.get(&kinds(&call.path)).map(String::as_str),
            "{}",
            call.path
        );
    }
}
