//! Tenants with peers: each is made by its own first pod, and the second of two links them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::lab::{Container, DIALECTS, Lab, Ran, skipped_without_root};

const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n\
    [[peer]]\ntenant = \"beta\"\nbridges = [\"db\"]\n[[peer]]\ntenant = \"later\"\n\
    [[rule]]\nname = \"from-beta\"\nfrom = { peer = \"beta\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n\
    [[rule]]\nname = \"shut\"\nfrom = { peer = \"beta\" }\naction = \"drop\"\n\
    [[assert]]\nfrom = { peer = \"beta\" }\nto = { bridge = \"web\" }\nallowed = false\n";
const BETA: &str = "name = \"beta\"\n[[bridge]]\nname = \"app\"\ncidr = \"10.20.0.0/29\"\n\
    [[peer]]\ntenant = \"acme\"\n[[peer]]\ntenant = \"elsewhere\"\n";

pub(crate) fn of(tenant: &str, lab: &Lab) -> Value {
    let mut config = lab.config();
    config["tenant"] = json!(tenant);
    config
}

pub(crate) fn specs(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// Returns the number of ports of tenants' routers that are linked with another tenant's router.
pub(crate) fn links_between_tenants(lab: &Lab) -> usize {
    let routers: BTreeMap<String, String> = lab
        .objects("Router")
        .iter()
        .map(|router| (text(&router["id"]), text(&router["name"])))
        .filter(|(_, name)| !name.contains("provider"))
        .collect();
    let ports = lab.objects("Port");
    let of_tenants = |id: &Value| {
        let port = ports.iter().find(|port| port["id"] == *id)?;
        routers.get(&text(&port["routerId"])).or_else(|| routers.get(&text(&port["deviceId"])))
    };
    let is_between = |port: &&Value| match (of_tenants(&port["id"]), of_tenants(&port["peerId"])) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    };
    ports.iter().filter(is_between).count() / 2
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn each_tenant_is_made_by_its_first_pod_and_the_second_one_is_linked() {
    if skipped_without_root() {
        return;
    }
    for lab in Lab::each() {
        lab.push("acme", ACME);
        lab.push("beta", BETA);
        let (first, second) = (Container::new(), Container::new());
        lab.run("ADD", &first, &of("acme", &lab)).ok();
        assert_eq!((lab.objects("Router").len(), links_between_tenants(&lab)), (2, 0), "beta is not made");
        assert_eq!(lab.changes(&specs(&[("acme", ACME)])), Vec::<String>::new());

        lab.run("ADD", &second, &of("beta", &lab)).ok();
        assert_eq!((lab.objects("Router").len(), links_between_tenants(&lab)), (3, 1));
        assert_eq!(lab.changes(&specs(&[("acme", ACME), ("beta", BETA)])), Vec::<String>::new());
        for (container, tenant) in [(&first, "acme"), (&second, "beta")] {
            lab.run("CHECK", container, &of(tenant, &lab)).ok();
            lab.run("DEL", container, &of(tenant, &lab)).ok();
        }
        lab.expect_nothing_left(&[&first, &second]);
    }
}

#[test]
fn what_is_added_to_a_tenant_is_added_to_its_peers_routes() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        lab.push("acme", ACME);
        lab.push("beta", BETA);
        let pods: Vec<Container> = (0..8).map(|_| Container::new()).collect();
        let acme = Container::new();
        lab.run("ADD", &acme, &of("acme", &lab)).ok();
        for pod in &pods {
            lab.run("ADD", pod, &of("beta", &lab)).ok();
        }
        assert_eq!(lab.objects("Network").len(), 4, "five fit into the first one");
        assert!(lab.store()["given/tenant/beta"]["grown"]["app-2"].is_string());
        assert_eq!(lab.changes(&specs(&[("acme", ACME), ("beta", BETA)])), Vec::<String>::new());
    }
}

/// A spec that was pushed and not applied does not describe the network: pods of its tenant and of its peers are still
/// attached.
#[test]
fn a_peer_with_a_new_spec_waits_for_apply() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        let alone = BETA.split("[[peer]]").next().unwrap();
        lab.push("beta", alone);
        let pods: Vec<Container> = (0..6).map(|_| Container::new()).collect();
        for pod in &pods[..5] {
            lab.run("ADD", pod, &of("beta", &lab)).ok();
        }
        lab.push("acme", ACME);
        lab.push("beta", BETA);
        let acme = Container::new();
        lab.run("ADD", &acme, &of("acme", &lab)).ok();
        assert_eq!(links_between_tenants(&lab), 0);
        assert_eq!(lab.changes(&specs(&[("acme", ACME), ("beta", alone)])), Vec::<String>::new());

        let error = lab.run("ADD", &pods[5], &of("beta", &lab)).error(102);
        assert!(error.to_string().contains("midoform apply"), "{error}");
        lab.run("DEL", &pods[4], &of("beta", &lab)).ok();
        lab.run("ADD", &pods[5], &of("beta", &lab)).ok();
    }
}

#[test]
fn a_hub_and_its_spokes_are_made_by_pods_that_come_at_once() {
    if skipped_without_root() {
        return;
    }
    const SPOKES: usize = 10;
    for lab in Lab::each() {
        if lab.etcd.is_some() && lab.dialect() == 1 {
            continue;
        }
        let peer = |name: &str| format!("[[peer]]\ntenant = \"{name}\"\n");
        let mut specs = BTreeMap::new();
        let spokes: String = (0..SPOKES).map(|number| peer(&format!("spoke{number}"))).collect();
        specs.insert("hub".to_owned(), format!("name = \"hub\"\n[[bridge]]\nname = \"services\"\n{spokes}"));
        for number in 0..SPOKES {
            let name = format!("spoke{number}");
            let text = format!("name = \"{name}\"\n[[bridge]]\nname = \"web\"\n{}", peer("hub"));
            specs.insert(name, text);
        }
        specs.iter().for_each(|(name, text)| lab.push(name, text));
        // Two tenants may use the same network, unless one router must reach both.
        lab.add_to_site("[pools]\nbridges = \"10.77.0.0/24\"\nbridge_prefix = 28\nshared = true\n");
        let pods: Vec<(Container, Value)> =
            specs.keys().chain(specs.keys()).map(|name| (Container::new(), of(name, &lab))).collect();
        let children: Vec<_> = pods
            .iter()
            .map(|(container, config)| {
                let mut config = config.clone();
                config["add_timeout"] = json!(240);
                lab.start("ADD", container, &config)
            })
            .collect();
        for child in children {
            drop(Ran::from(child).ok());
        }
        assert_eq!((lab.objects("Router").len(), links_between_tenants(&lab)), (SPOKES + 2, SPOKES));
        assert_eq!(lab.changes(&specs), Vec::<String>::new());
        for (container, config) in &pods {
            lab.run("DEL", container, config).ok();
        }
        lab.expect_nothing_left(&[]);
    }
}
