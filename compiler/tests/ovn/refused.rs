//! What OVN can't do is an error at the line of the spec.

use midoform_compiler::{Allocated, Input, Policies, compile, compile_under};

use super::samples::SITE;
use crate::samples::Project;

/// Returns the codes of what is wrong with a tenant, each with its line.
fn problems(site: &str, tenant: &str) -> Vec<(String, usize)> {
    let text = format!("name = \"acme\"\n{tenant}");
    let project = Project::of_text(site, &[("acme.toml", &text)]);
    let input = Input { site: &project.site, allocated: Allocated::Nothing, tenants: &project.tenants };
    let found = compile(input).err().unwrap_or_default();
    let line = |at: u32, text: &str| text[..at as usize].lines().count().max(1);
    found
        .iter()
        .map(|found| {
            let span = found.span();
            let source = if span.source.0 == 0 { project.site.text() } else { &text };
            (found.code.name().to_owned(), line(span.start + 1, source))
        })
        .collect()
}

const BRIDGES: &str =
    "[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n";

fn with(head: &str, tail: &str) -> String {
    format!("{head}{BRIDGES}{tail}")
}

#[test]
fn a_spec_that_ovn_can_not_express_is_an_error() {
    let rule = |from: &str, to: &str, rest: &str| {
        format!("[[rule]]\nname = \"r\"\nfrom = {{ {from} }}\nto = {{ {to} }}\n{rest}\n")
    };
    let drop = "action = \"drop\"";
    let web = "bridge = \"web\"";
    let cases = [
        (with("anti_spoof = \"none\"\n", &rule(web, "bridge = \"db\"", drop)), "ovn-anti-spoof"),
        (with("anti_spoof = \"none\"\n", &rule("world = true", web, drop)), "ovn-anti-spoof"),
        (with("", &rule(web, "bridge = \"db\"", "action = \"reject\"\nstateful = false")), "ovn-stateless"),
        (
            with("", &rule(web, "cidr = \"10.1.0.7/32\"", "action = \"drop\"\nstateful = false")),
            "ovn-stateless",
        ),
        (with("ethertypes = [\"ipv6\"]\n", ""), "ovn-ethertype"),
        (with("ethertypes = [\"0x88b5\"]\n", ""), "ovn-ethertype"),
        (with("", "[[route]]\ndestination = \"10.9.0.0/16\"\nbridge = \"web\"\n"), "ovn-route"),
        (with("", "[[route]]\ndestination = \"0.0.0.0/0\"\nvia = \"10.1.0.5\"\nweight = 1\n"), "ovn-route"),
        (
            with(
                "",
                "[[route]]\ndestination = \"10.9.0.0/16\"\nvia = \"10.1.0.5\"\n[[route]]\ndestination = \"10.9.0.0/16\"\ntype = \"blackhole\"\n",
            ),
            "ovn-route",
        ),
        (
            with(
                "",
                "[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"11111111-2222-3333-4444-555555555555\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.9\"\n",
            ),
            "ovn-chassis",
        ),
    ];
    let without = SITE.split("[ovn]").next().unwrap();
    for (text, code) in cases {
        let found: Vec<String> = problems(SITE, &text).into_iter().map(|(code, _)| code).collect();
        assert!(found.contains(&code.to_owned()), "{code}: {found:?}\n{text}");
        let elsewhere = problems(without, &text);
        assert!(!elsewhere.iter().any(|(code, _)| code.starts_with("ovn-")), "{elsewhere:?}");
    }
}

/// A tenant that OVN can't have may still be looked at, and destroyed.
#[test]
fn who_ignores_policies_meets_no_error_of_ovn() {
    let text = with("name = \"acme\"\nethertypes = [\"ipv6\"]\n", "");
    let project = Project::of_text(SITE, &[("acme.toml", &text)]);
    let input = Input { site: &project.site, allocated: Allocated::Nothing, tenants: &project.tenants };
    assert!(compile(input).is_err());
    assert!(compile_under(input, Policies::Ignored).is_ok());
}

#[test]
fn more_rules_than_priorities_are_an_error() {
    let rule = |at: usize| {
        format!(
            "[[rule]]\nname = \"r{at}\"\nto = {{ bridge = \"web\", tcp = {} }}\naction = \"drop\"\n",
            1 + at
        )
    };
    let rules: String = (0..=10_000).map(rule).collect();
    let found = problems(SITE, &with("", &rules));
    assert_eq!(found.iter().filter(|(code, _)| code == "ovn-many-rules").count(), 1, "{found:?}");
}

#[test]
fn a_stateless_rule_that_drops_both_ways_is_taken() {
    let text = "[[rule]]\nname = \"r\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"web\" }\naction = \"drop\"\nstateful = false\n";
    assert_eq!(problems(SITE, &with("", text)), []);
}

#[test]
fn a_wrong_table_is_an_error() {
    let site =
        |ovn: &str| format!("name = \"lab\"\n[midonet]\nembedded = true\nmanaged = true\n[ovn]\n{ovn}");
    let right = "northbound = \"unix:nb.sock\"\ngateway_chassis = \"gw1\"\n";
    let localnet = "[ovn.localnet]\nnetwork = \"p\"\nprefix = 24\n";
    let cases = [
        (right.to_owned(), "provider-router"),
        (format!("{right}managed = true\nprovider_router = \"prov\"\n"), "provider-router"),
        (
            format!(
                "{right}provider_router = \"prov\"\n{localnet}address = \"198.51.100.1\"\ngateway = \"198.51.100.2\"\n"
            ),
            "provider-router",
        ),
        (format!("{right}managed = true\nca = \"ca.pem\"\n"), "bad-url"),
        (format!("{right}managed = true\ncertificate = \"c.pem\"\n"), "missing-key"),
        ("northbound = \"ssl:h:6641\"\ngateway_chassis = \"g\"\nmanaged = true\n".to_owned(), "missing-key"),
        ("northbound = \"h:6641\"\ngateway_chassis = \"g\"\nmanaged = true\n".to_owned(), "bad-url"),
        ("northbound = \"tcp:h\"\ngateway_chassis = \"g\"\nmanaged = true\n".to_owned(), "bad-url"),
        (
            "northbound = \"tcp:fd00::1:6641\"\ngateway_chassis = \"g\"\nmanaged = true\n".to_owned(),
            "bad-url",
        ),
        ("northbound = []\ngateway_chassis = \"g\"\nmanaged = true\n".to_owned(), "missing-key"),
        ("northbound = \"unix:x\"\ngateway_chassis = []\nmanaged = true\n".to_owned(), "missing-key"),
        (
            "northbound = \"unix:x\"\ngateway_chassis = [\"g\", \"g\"]\nmanaged = true\n".to_owned(),
            "duplicate-name",
        ),
        (
            format!(
                "{right}managed = true\n{localnet}address = \"198.51.100.1\"\ngateway = \"198.51.101.2\"\n"
            ),
            "outside-network",
        ),
        (
            format!(
                "{right}managed = true\n{localnet}address = \"198.51.100.1\"\ngateway = \"198.51.100.1\"\n"
            ),
            "next-hop-self",
        ),
        (format!("{right}managed = true\ndefaults = {{ mtu = 1450 }}\n"), "unknown-key"),
    ];
    for (ovn, code) in cases {
        let found: Vec<String> = problems(&site(&ovn), BRIDGES).into_iter().map(|(code, _)| code).collect();
        assert!(found.contains(&code.to_owned()), "{code}: {found:?}\n{ovn}");
    }
    assert_eq!(problems(&site(&format!("{right}managed = true\n")), BRIDGES), []);
    assert_eq!(
        problems(
            &site(
                "northbound = [\"ssl:[fd00::1]:6641\", \"ssl:h:6641\"]\nca = \"ca.pem\"\ngateway_chassis = \"g\"\nprovider_router = \"prov\"\n"
            ),
            BRIDGES
        ),
        []
    );
}

#[test]
fn the_mtu_inside_pods_fits_the_tunnels_of_both_engines() {
    let found = problems(SITE, "mtu = 1443\n");
    assert_eq!(found, [("mtu-too-large".to_owned(), 2)]);
    assert_eq!(problems(SITE, "mtu = 1442\n"), []);
}
