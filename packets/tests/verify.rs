//! The verifier: what a change opens and closes, and its checks.

use midoform_compiler::plan::reachability::Reachability;
use midoform_packets::verify::compare;

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
    let line = |change: &midoform_compiler::plan::reachability::ReachabilityChange| format!("{change}\n");
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

/// Returns the violations of every group of tenants, as lines.
fn violations(site: &str, tenants: &[&str]) -> Vec<String> {
    use midoform_packets::verify::{Subject, check_group, check_provider, groups};
    let names: Vec<String> = (0..tenants.len()).map(|at| format!("t{at}.toml")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(tenants.iter().copied()).collect();
    let compiled = Project::of_text(site, &files).compile();
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let subject = Subject { topology: &compiled.topology, tenants: &compiled.tenants, links: &links };
    let mut lines: Vec<String> = Vec::new();
    for group in groups(&compiled.topology) {
        let answers = check_group(subject, &group);
        assert_eq!(answers.unproven, []);
        for violation in answers.violations {
            let source = violation.source.map(|source| source.to_string()).unwrap_or_default();
            let trace = violation.trace.map(|trace| format!("\n  {}: {}", trace.packet, trace.ending));
            lines.push(format!(
                "{:?} {}: {} ({source}){}",
                violation.check,
                violation.tenant,
                violation.message,
                trace.unwrap_or_default()
            ));
        }
    }
    lines.extend(check_provider(&compiled.topology).into_iter().map(|violation| violation.message));
    lines
}

const BETA: &str = "name = \"beta\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n";

#[test]
fn strict_holds_and_rainbond_does_not() {
    assert_eq!(violations(SITE, &[ACME, BETA]), Vec::<String>::new());
    let open = |tenant: &str| format!("profile = \"rainbond\"\n{tenant}");
    insta::assert_snapshot!(violations(SITE, &[&open(ACME), &open(BETA)]).join("\n"));
}

#[test]
fn a_violation_has_a_line_of_the_tenant_that_it_is_about() {
    // The packet ends at a rule of the other tenant.
    let found = violations(SITE, &[&format!("profile = \"rainbond\"\n{ACME}"), BETA]);
    let links: Vec<&String> = found.iter().filter(|line| line.starts_with("Links acme")).collect();
    assert_eq!(links.len(), 2, "{found:?}");
    assert!(links.iter().all(|line| line.contains("(t0.toml:")), "{links:?}");
}

#[test]
fn every_example_holds_in_strict() {
    for name in crate::samples::EXAMPLES {
        let project = Project::example(name);
        let files: Vec<(String, String)> = project
            .tenants
            .iter()
            .map(|source| {
                (
                    source.name.to_string(),
                    source.text().replace("profile = \"rainbond\"", "profile = \"strict\""),
                )
            })
            .collect();
        let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
        println!("{name}");
        let found = violations(&project.site.text().replace("\"rainbond\"", "\"strict\""), &texts);
        assert_eq!(found, Vec::<String>::new(), "{name}");
    }
}

/// Returns the violations of a topology from which some objects were taken, or that was changed.
fn violations_without(taken: &[&str], more: &str) -> Vec<(String, String)> {
    use midoform_packets::verify::{Subject, check_group, groups};
    let acme = match more.strip_prefix("anti_spoof = \"port\"\n") {
        Some(more) => format!("{}{more}", ACME.replacen('\n', "\nanti_spoof = \"port\"\n", 1)),
        None => format!("{ACME}{more}"),
    };
    let compiled = Project::of_text(SITE, &[("acme.toml", &acme), ("beta.toml", BETA)]).compile();
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let before = compiled.topology.len();
    let topology = compiled.topology.filtered(|entry| !taken.contains(&entry.key.as_str()));
    assert_eq!(topology.len() + taken.len(), before, "{taken:?} are all there");
    let subject = Subject { topology: &topology, tenants: &compiled.tenants, links: &links };
    let found = groups(&topology).into_iter().flat_map(|group| check_group(subject, &group).violations);
    found.map(|violation| (format!("{:?}", violation.check), violation.message)).collect()
}

#[test]
fn each_check_finds_its_violation() {
    let exposed = "[[expose]]\npublic = \"198.51.100.1:443\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 8443 }\n";
    let cases: [(&[&str], &str, &str, &str); 13] = [
        (&["acme/bridge/web/chain/rule/ethertypes"], "", "Closed", "such as IPv6, pass acme/web"),
        (&["acme/chain/untagged/rule/tagged"], "", "Closed", "frames with a VLAN tag pass acme/db"),
        (
            &["acme/bridge/web/chain/rule/gateway-arp"],
            "",
            "Spoofing",
            "a pod of acme/web can claim the gateway's address",
        ),
        (&["acme/bridge/web/chain/rule/arp"], "", "Connected", "ARP between the pods of acme/web is lost"),
        (
            &["acme/chain/in/rule/rev-hairpin"],
            exposed,
            "Connected",
            "exposed port of a pod there arrives, but the reply is lost",
        ),
        (
            &["acme/chain/out/rule/hairpin/web"],
            exposed,
            "Connected",
            "exposed port of a pod there arrives, but the reply is lost",
        ),
        (&["acme/bridge/db/route"], "", "Connected", "acme/web to acme/db"),
        (&["acme/bridge/web/chain/rule/source"], "", "Spoofing", "acme/web can send with a foreign source"),
        (&["acme/chain/in/rule/links/172.16.0.0-16"], "", "Links", "reaches link addresses"),
        (&["acme/chain/policy/rule/nothing-else-to-db"], ONLY_POSTGRES, "Closed", "acme/web to acme/db"),
        (&["acme/uplink/default-route"], "", "Outside", "acme/web to the world"),
        (&["acme/chain/in/rule/rev-snat"], "", "Outside", "the reply is lost"),
        (&["acme/chain/in/rule/closed"], exposed, "Loops", "back and forth"),
    ];
    for (taken, more, check, message) in cases {
        let found = violations_without(taken, more);
        let there = found.iter().any(|(found, said)| found == check && said.contains(message));
        assert!(there, "without {taken:?}: {found:?}");
    }
}

#[test]
fn an_untranslated_tenant_without_its_door_is_open_to_every_other() {
    let acme = "name = \"acme\"\negress = \"none\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.7.0.0/24\"\n";
    assert_eq!(violations(SITE, &[acme, BETA]), Vec::<String>::new());
    let open = violations(SITE, &[&format!("profile = \"rainbond\"\n{acme}"), BETA]);
    assert!(
        open.iter().any(|line| line
            .starts_with("Isolation acme: the world, and therefore every other tenant, reaches acme/web")),
        "{open:?}"
    );
}

#[test]
fn a_rule_that_can_never_match_is_named_with_its_line() {
    let rules = "[[rule]]\nname = \"low\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = \"1-100\" }\naction = \"drop\"\n[[rule]]\nname = \"high\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = \"101-65535\" }\naction = \"drop\"\n[[rule]]\nname = \"both\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = \"50-200\" }\naction = \"accept\"\n";
    let found = violations(SITE, &[&format!("{ACME}{rules}")]);
    assert_eq!(
        found,
        [
            "Dead acme: the rule acme/chain/policy/rule/both can never match: the ones before it match every packet (t0.toml:19)"
        ]
    );
}

#[test]
fn equal_routes_to_two_tenants_are_named_with_a_packet_and_a_line() {
    use midoform_compiler::topology::kinds::Object;
    use midoform_packets::verify::check_provider;
    let open = |name: &str, cidr: &str| {
        format!("name = \"{name}\"\negress = \"none\"\n[[bridge]]\nname = \"web\"\ncidr = \"{cidr}\"\n")
    };
    let (acme, beta) = (open("acme", "10.7.0.0/24"), open("beta", "10.8.0.0/24"));
    let compiled = Project::of_text(SITE, &[("acme.toml", &acme), ("beta.toml", &beta)]).compile();
    assert!(check_provider(&compiled.topology).is_empty());
    let mut entries = compiled.topology.entries().to_vec();
    for entry in &mut entries {
        if let Object::Route(route) = &mut entry.object
            && entry.key.owner() == "beta"
            && route.destination == "10.8.0.0/24".parse().unwrap()
            && route.router.key().is_some_and(|router| router.owner() == "site")
        {
            route.destination = "10.7.0.0/24".parse().unwrap();
        }
    }
    let found = check_provider(&midoform_compiler::topology::Topology::new(entries));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].message, "the provider router has equal routes to 10.7.0.0/24 for acme and beta");
    assert_eq!(found[0].source.as_ref().unwrap().to_string(), "beta.toml:4");
    let trace = found[0].trace.as_ref().unwrap();
    assert!(trace.packet.to_string().contains("10.7.0."), "{}", trace.packet);
}

fn asserted(asserts: &str) -> Result<(), Vec<String>> {
    use midoform_compiler::source::Source;
    use midoform_compiler::{Allocated, Input, compile};
    let site = Source::new("site.toml", SITE);
    let text = format!("{ACME}{ONLY_POSTGRES}{asserts}");
    let line_of = |at: u32| text[..at as usize].lines().count() + 1;
    let tenants = [Source::new("acme.toml", text.clone())];
    let input = Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants };
    compile(input).and_then(midoform_packets::verify::enforce_assertions).map(drop).map_err(|found| {
        found
            .iter()
            .map(|d| format!("{}:{} {} [{}]", d.code, line_of(d.span().start), d.message, d.help.join("; ")))
            .collect()
    })
}

#[test]
fn assertions_hold_or_are_errors_with_their_line_a_packet_and_the_rule() {
    let end = |from: &str, to: &str, allowed: bool| {
        format!("[[assert]]\nfrom = {from}\nto = {to}\nallowed = {allowed}\n")
    };
    let web = "{ bridge = \"web\" }";
    let world = "{ world = true }";
    for holds in [
        end(web, "{ bridge = \"db\", tcp = 5432 }", true),
        end(web, "{ bridge = \"db\", tcp = 22 }", false),
        end(web, "{ bridge = \"db\", udp = true }", false),
        end(web, "{ world = true, tcp = 443 }", true),
        end(world, "{ bridge = \"db\" }", false),
        end("{ cidr = \"10.0.0.7/32\" }", "{ cidr = \"10.0.1.0/28\", tcp = 1 }", false),
        end(web, "{ bridge = \"web\" }", true),
    ] {
        assert_eq!(asserted(&holds), Ok(()), "{holds}");
    }
    let fails = [
        end(web, "{ bridge = \"db\", tcp = 5432 }", false),
        end(web, "{ bridge = \"db\", tcp = 5433 }", true),
        end(world, "{ bridge = \"web\", tcp = 443 }", true),
        end(web, "{ world = true }", false),
    ];
    let said: Vec<String> = fails.iter().map(|fails| asserted(fails).unwrap_err().join("\n")).collect();
    insta::assert_snapshot!(said.join("\n"));
}

const VM: &str = "[[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"11111111-2222-4333-8444-555555555555\"\ninterface = \"tap0\"\nmac = \"02:98:00:00:00:77\"\naddress = \"10.0.0.7\"\n";

#[test]
fn a_static_port_sends_only_as_itself() {
    for (taken, message) in [
        ("acme/port/vm/chain/rule/arp", "vm can send ARP that claims another address"),
        ("acme/port/vm/chain/rule/address", "vm can send with another source address"),
        ("acme/port/vm/chain/rule/mac", "vm can send with another MAC address"),
    ] {
        let found = violations_without(&[taken], &format!("anti_spoof = \"port\"\n{VM}"));
        let there = found.iter().any(|(check, said)| check == "Spoofing" && said.contains(message));
        assert!(there, "without {taken}: {found:?}");
    }
}

#[test]
fn frames_that_the_spec_names_are_no_violation_and_1x_has_no_condition_on_tags() {
    let named = ACME.replacen('\n', "\nethertypes = [\"ipv6\", \"vlan\", 0x88b5]\n", 1);
    assert_eq!(violations(SITE, &[&named]), Vec::<String>::new());
    let site = SITE.replace("[midonet]\n", "[midonet]\nversion = 1\n");
    assert_eq!(violations(&site, &[ACME]), Vec::<String>::new());
}

#[test]
fn the_number_of_threads_makes_no_difference() {
    use midoform_packets::verify::{Subject, check_all};
    let bridge = |at: usize| format!("[[bridge]]\nname = \"b{at}\"\ncidr = \"10.0.{at}.0/24\"\n");
    let bridges: String = (0..20).map(bridge).collect();
    for profile in ["strict", "rainbond"] {
        let tenant = format!("name = \"t\"\nprofile = \"{profile}\"\n{bridges}");
        let compiled = Project::of_text(SITE, &[("t.toml", &tenant)]).compile();
        let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
        let subject = Subject { topology: &compiled.topology, tenants: &compiled.tenants, links: &links };
        let on = |threads: usize| serde_json::to_value(check_all(subject, threads, &|_| ())).unwrap();
        let found = on(1);
        assert_eq!(found["violations"].as_array().unwrap().is_empty(), profile == "strict");
        assert_eq!(on(3), found);
    }
}

#[test]
fn in_a_large_tenant_a_violation_is_shown_for_the_first_of_the_bridges_that_are_alike() {
    let reaching_links = |count: usize| {
        let bridge = |at: usize| format!("[[bridge]]\nname = \"b{at}\"\ncidr = \"10.0.{at}.0/24\"\n");
        let bridges: String = (0..count).map(bridge).collect();
        let found = violations(SITE, &[&format!("name = \"t\"\nprofile = \"rainbond\"\n{bridges}")]);
        found.iter().filter(|line| line.contains("reaches link addresses")).count()
    };
    assert_eq!(reaching_links(4), 4);
    assert_eq!(reaching_links(65), 1);
}
