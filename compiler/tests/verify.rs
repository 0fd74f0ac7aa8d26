//! What a change opens and closes.

use midoform_compiler::verify::{Reachability, compare};

use crate::samples::Project;

const SITE: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\nshared = true\n";
const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.0.1.0/24\"\n";

fn change(before: &[&str], after: &[&str]) -> Reachability {
    let topology = |tenants: &[&str]| {
        let names: Vec<String> = (0..tenants.len()).map(|at| format!("t{at}.toml")).collect();
        let files: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(tenants.iter().copied()).collect();
        Project::of_text(SITE, &files).compile().topology
    };
    compare(&topology(before), &topology(after))
}

fn lines(reachability: &Reachability) -> String {
    let line = |change: &midoform_compiler::verify::ReachabilityChange| format!("{change}\n");
    reachability.changes.iter().map(line).collect()
}

const ONLY_POSTGRES: &str = "[[rule]]\nname = \"web-to-db\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n[[rule]]\nname = \"nothing-else-to-db\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";

#[test]
fn a_new_rule_closes_what_it_drops_and_says_by_which_line() {
    let closed = change(&[ACME], &[&format!("{ACME}{ONLY_POSTGRES}")]);
    insta::assert_snapshot!(lines(&closed));
    let opened = change(
        &[&format!("{ACME}{ONLY_POSTGRES}")],
        &[&format!("{ACME}{}", ONLY_POSTGRES.replace("5432", "[5432, \"6000-6010\"]"))],
    );
    insta::assert_snapshot!(lines(&opened));
    assert!(change(&[ACME], &[ACME]).is_empty());
}

#[test]
fn an_exposed_port_is_opened_to_the_world() {
    let expose = "[[expose]]\npublic = \"198.51.100.1:443\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 8443 }\n";
    let opened = change(&[ACME], &[&format!("{ACME}{expose}")]);
    insta::assert_snapshot!(lines(&opened));
    let new = change(&[], &[&format!("{ACME}{expose}")]);
    assert_eq!(new.new_tenants, ["acme"]);
    insta::assert_snapshot!(lines(&new));
}

#[test]
fn peers_are_opened_to_each_other() {
    let beta = "name = \"beta\"\n[[bridge]]\nname = \"logs\"\ncidr = \"10.0.8.0/24\"\n";
    let acme = format!("{ACME}[[peer]]\ntenant = \"beta\"\nbridges = [\"db\"]\n");
    let opened = change(&[ACME, beta], &[&acme, &format!("{beta}[[peer]]\ntenant = \"acme\"\n")]);
    insta::assert_snapshot!(lines(&opened));
}
