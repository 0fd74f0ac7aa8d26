//! Links between tenants while one of them is changed, was left half-made, or is locked by another run.

use std::time::{Duration, Instant};

use midoform_store::Transaction;
use serde_json::json;

use crate::lab::{Container, DIALECTS, Lab, Ran, skipped_without_root};
use crate::peers::{links_between_tenants, of, specs};

const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.30.0.0/29\"\n[[peer]]\ntenant = \"beta\"\n\
    [[rule]]\nname = \"never\"\nstateful = false\nfrom = { bridge = \"web\" }\nto = { peer = \"beta\" }\naction = \"drop\"\n\
    [[rule]]\nname = \"else\"\nstateful = false\nfrom = { bridge = \"web\" }\naction = \"accept\"\n";
const BETA: &str = "name = \"beta\"\n[[bridge]]\nname = \"app\"\ncidr = \"10.20.0.0/24\"\n[[bridge]]\nname = \"own\"\n\
    [[peer]]\ntenant = \"acme\"\nbridges = [\"app\"]\n";

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Pushes both specs, and makes `beta` by its first pod. Returns that pod.
fn beta_is_made(lab: &Lab) -> Container {
    lab.push("acme", ACME);
    lab.push("beta", BETA);
    let pod = Container::new();
    lab.run("ADD", &pod, &of("beta", lab)).ok();
    pod
}

/// Links both tenants, and attaches five pods of `acme`, so that its bridge is full. Returns the pod of `beta`.
fn linked_and_full(lab: &Lab) -> Container {
    let pod = beta_is_made(lab);
    for _ in 0..5 {
        lab.run("ADD", &Container::new(), &of("acme", lab)).ok();
    }
    pod
}

#[test]
fn a_growth_that_dies_before_the_old_rules_go_is_finished_by_the_next_pod() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let undisturbed = Lab::new(dialect);
        linked_and_full(&undisturbed);
        undisturbed.run("ADD", &Container::new(), &of("acme", &undisturbed)).ok();

        let lab = Lab::new(dialect);
        linked_and_full(&lab);
        let full = lab.objects("Rule").len();
        lab.fault(&json!({"fault": "delay", "milliseconds": 3000, "method": "DELETE", "path": "/rules/*", "times": 0}));
        let pod = Container::new();
        let mut child = lab.start("ADD", &pod, &of("acme", &lab));
        let grown = undisturbed.objects("Rule").len();
        until("new rules stand beside the old ones", || lab.objects("Rule").len() > grown);
        std::thread::sleep(Duration::from_millis(500));
        child.kill().unwrap();
        child.wait().unwrap();
        lab.clear_faults();
        std::thread::sleep(Duration::from_millis(3000));
        lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        assert_eq!((full < grown, lab.objects("Rule").len()), (true, grown), "dialect {}", dialect.0);
        assert_eq!(lab.changes(&specs(&[("acme", ACME), ("beta", BETA)])), Vec::<String>::new());
    }
}

/// If a peer is left out, its rules are left out too. So a peer whose link is up is never left out.
#[test]
fn a_tenant_that_is_linked_with_a_changed_one_does_not_grow() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        linked_and_full(&lab);
        let before = (lab.objects("Rule"), lab.store()["given/tenant/acme"].clone());
        lab.push("beta", &format!("{BETA}# changed\n"));
        let error = lab.run("ADD", &Container::new(), &of("acme", &lab)).error(102);
        assert!(error.to_string().contains("midoform apply"), "{error}");
        assert_eq!((lab.objects("Rule"), lab.store()["given/tenant/acme"].clone()), before);
        lab.push("beta", BETA);
        lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        assert_eq!(lab.changes(&specs(&[("acme", ACME), ("beta", BETA)])), Vec::<String>::new());
    }
}

#[test]
fn a_link_comes_up_behind_its_rules() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        beta_is_made(&lab);
        let slow = json!({"fault": "delay", "milliseconds": 40, "method": "POST", "path": "/chains/*/rules", "times": 0});
        lab.fault(&slow);
        let pod = Container::new();
        let child = lab.start("ADD", &pod, &of("acme", &lab));
        until("it is linked", || links_between_tenants(&lab) == 1);
        let rules = lab.objects("Rule").len();
        let _ = Ran::from(child).ok();
        assert_eq!(rules, lab.objects("Rule").len(), "all are there when the link comes up");
    }
}

#[test]
fn a_link_goes_with_the_spec_that_wanted_it() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        beta_is_made(&lab);
        let pod = Container::new();
        lab.run("ADD", &pod, &of("acme", &lab)).ok();
        lab.run("DEL", &pod, &of("acme", &lab)).ok();
        assert_eq!(links_between_tenants(&lab), 1);
        // As if the run had died just before it published the tenant.
        lab.commit(&Transaction::default().delete("ready/acme"));
        let alone = ACME.split("[[peer]]").next().unwrap();
        lab.push("acme", alone);
        lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        assert_eq!(links_between_tenants(&lab), 0);
        let left = lab.changes(&specs(&[("acme", alone), ("beta", BETA)]));
        // A chain that nothing jumps to any more may stay.
        let is_harmless = |change: &String| change.starts_with("Delete acme/chain/stateless:");
        let own = left.iter().filter(|change| change.contains(" acme/") && !is_harmless(change));
        let own: Vec<&String> = own.collect();
        assert_eq!(own, Vec::<&String>::new());
    }
}

/// A host has another site file, or somebody changed a peer by hand: the pods of one tenant change no other tenant.
#[test]
fn a_peer_that_is_not_as_its_spec_says_is_not_touched() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        beta_is_made(&lab);
        let ports = lab.objects("Port");
        let site = lab.folder.read("site.toml");
        lab.add_to_site("[defaults]\ngateway = \"first\"\n");
        let error = lab.run("ADD", &Container::new(), &of("acme", &lab)).error(101);
        assert!(error.to_string().contains("midoform apply"), "{error}");
        assert_eq!(lab.objects("Port"), ports);

        lab.folder.write("site.toml", site);
        let mut beta = lab.store()["given/tenant/beta"].clone();
        beta["bridges"]["extra"] = json!("10.99.0.0/24");
        lab.commit(&Transaction::default().put("given/tenant/beta", beta.to_string()));
        let error = lab.run("ADD", &Container::new(), &of("acme", &lab)).error(101);
        assert!(error.to_string().contains("midoform apply"), "{error}");
        assert_eq!(lab.store()["given/tenant/beta"], beta, "the allocation of another run stays");
    }
}

#[test]
fn a_tenant_that_is_made_anew_is_reached_where_it_is_now() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        let pod = linked_and_full(&lab);
        lab.run("DEL", &pod, &of("beta", &lab)).ok();
        // As if the tenant had been destroyed, and its peer's part of the link left behind.
        lab.commit(&Transaction::default().delete("ready/beta"));
        let elsewhere = BETA.replace("10.20.", "10.21.");
        lab.push("beta", &elsewhere);
        lab.run("ADD", &Container::new(), &of("beta", &lab)).ok();
        assert_eq!(lab.changes(&specs(&[("acme", ACME), ("beta", &elsewhere)])), Vec::<String>::new());
    }
}

#[test]
fn who_is_named_and_does_not_answer_is_not_kept_waiting() {
    if skipped_without_root() {
        return;
    }
    let lab = Lab::new(DIALECTS[1]);
    lab.push("victim", "name = \"victim\"\n[[bridge]]\nname = \"web\"\n");
    lab.push("acme", "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[peer]]\ntenant = \"victim\"\n");
    lab.while_locked("victim", || {
        lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        let mut config = of("victim", &lab);
        config["add_timeout"] = json!(3);
        let error = lab.run("ADD", &Container::new(), &config).error(11);
        assert!(error.to_string().contains("a test"), "who has it is said: {error}");
    });
    lab.run("ADD", &Container::new(), &of("victim", &lab)).ok();
}

/// etcd was restored from yesterday's copy: objects that pods use stay, even if the store does not know of them.
#[test]
fn a_store_that_forgot_a_tenant_takes_nothing_from_its_pods() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        linked_and_full(&lab);
        lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        let routers = lab.objects("Router");
        let router = routers.iter().find(|router| router["name"].as_str().unwrap().contains("acme")).unwrap();
        let routes = |lab: &Lab| {
            let routes = lab.objects("Route");
            routes.iter().filter(|route| route["routerId"] == router["id"]).count()
        };
        let before = (routes(&lab), lab.objects("Network").len(), links_between_tenants(&lab));
        assert!(before.0 > 3, "{before:?}");
        lab.commit(&Transaction::default().delete("ready/acme").delete("given/tenant/acme"));
        lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        assert_eq!((routes(&lab), lab.objects("Network").len(), links_between_tenants(&lab)), before);
    }
}

#[test]
fn a_growth_whose_deletions_fail_is_finished_by_the_next_pod() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        linked_and_full(&lab);
        lab.fault(
            &json!({"fault": "unavailable-before", "method": "DELETE", "path": "/rules/*", "times": 0}),
        );
        let failed = lab.run("ADD", &Container::new(), &of("acme", &lab));
        assert_ne!(failed.code, 0);
        lab.clear_faults();
        lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        let undisturbed = Lab::new(dialect);
        linked_and_full(&undisturbed);
        undisturbed.run("ADD", &Container::new(), &of("acme", &undisturbed)).ok();
        assert_eq!(lab.objects("Rule").len(), undisturbed.objects("Rule").len(), "dialect {}", dialect.0);
        assert_eq!(lab.changes(&specs(&[("acme", ACME), ("beta", BETA)])), Vec::<String>::new());
    }
}

/// One host's site file differs from the others'.
#[test]
fn what_pods_are_attached_to_stays_under_them() {
    if skipped_without_root() {
        return;
    }
    for dialect in DIALECTS {
        let lab = Lab::new(dialect);
        let alone = ACME.split("[[peer]]").next().unwrap();
        lab.push("acme", alone);
        for _ in 0..5 {
            lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        }
        let before = (lab.objects("Port"), lab.objects("TunnelZone"));
        let site = lab.folder.read("site.toml");
        let others = [
            ("acme", format!("{site}[defaults]\ngateway = \"first\"\n")),
            ("next", site.replace("[tunnel_zone]\n", "[tunnel_zone]\ntype = \"gre\"\n")),
        ];
        for (tenant, other) in others {
            lab.folder.write("site.toml", &other);
            let error = lab.run("ADD", &Container::new(), &of(tenant, &lab)).error(101);
            assert!(error.to_string().contains("midoform apply"), "{error}");
            assert_eq!((lab.objects("Port"), lab.objects("TunnelZone")), before, "{tenant}");
        }
        lab.folder.write("site.toml", site);
        lab.run("ADD", &Container::new(), &of("acme", &lab)).ok();
        assert_eq!(lab.changes(&specs(&[("acme", alone)])), Vec::<String>::new());
    }
}
