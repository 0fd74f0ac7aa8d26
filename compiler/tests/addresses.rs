//! Addresses that can't work are errors where they stand, and one mistake is one error.

use midoform_compiler::diagnostic::Severity;
use midoform_compiler::source::Source;
use midoform_compiler::{Allocated, Input, compile};

const MIDONET: &str = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";
const WEB: &str = "[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n";

/// Returns the errors of a site with these tenants, as messages with their lines.
fn errors(site: &str, tenants: &[String]) -> Vec<String> {
    let site = Source::new("site.toml", site);
    let tenants: Vec<Source> = tenants
        .iter()
        .enumerate()
        .map(|(at, text)| Source::new(format!("t{at}.toml"), text.clone()))
        .collect();
    let input = Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants };
    let found = compile(input).err().unwrap_or_default();
    let errors = found.into_iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(|diagnostic| diagnostic.message).collect()
}

#[track_caller]
fn one_error(site: &str, tenant: &str, says: &str) {
    let found = errors(site, &[format!("name = \"t\"\n{tenant}")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(says), "{found:#?}");
}

#[test]
fn a_wrong_pool_is_one_error_for_300_tenants() {
    let tenants: Vec<String> =
        (0..300).map(|at| format!("name = \"t{at}\"\n[[bridge]]\nname = \"web\"\n")).collect();
    for pool in [
        "127.0.0.0/8",
        "0.0.0.0/0",
        "0.0.0.0/8",
        "0.0.0.0/31",
        "169.254.0.0/16",
        "224.0.0.0/8",
        "240.0.0.0/8",
        "255.255.0.0/16",
    ] {
        for key in ["links", "bridges"] {
            let found = errors(&format!("{MIDONET}[pools]\n{key} = \"{pool}\"\n"), &tenants);
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(found[0].contains(pool), "{found:#?}");
        }
    }
    for wrong in ["10.0.0.1/8", "010.020.0.0/16", "10.0.0.0", "10.0.0.0/016"] {
        let found = errors(&format!("{MIDONET}[pools]\nbridges = \"{wrong}\"\n"), &tenants);
        assert_eq!(found.len(), 1, "{found:#?}");
    }
}

#[test]
fn a_full_pool_is_one_error() {
    let tenants: Vec<String> =
        (0..300).map(|at| format!("name = \"t{at}\"\n[[bridge]]\nname = \"web\"\n")).collect();
    let found = errors(&format!("{MIDONET}[pools]\nbridges = \"10.0.0.0/20\"\n"), &tenants);
    assert_eq!(found.len(), 1, "{found:#?}");
    let found =
        errors(&format!("{MIDONET}[pools]\nlinks = \"172.16.0.0/24\"\nbridges = \"10.0.0.0/8\"\n"), &tenants);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn special_addresses_are_errors_in_every_place() {
    let bridge = |cidr: &str| format!("[[bridge]]\nname = \"web\"\ncidr = \"{cidr}\"\n");
    let expose = |public: &str| {
        format!(
            "{WEB}[[expose]]\npublic = \"{public}:80\"\nto = {{ bridge = \"web\", address = \"10.0.0.9\", tcp = 80 }}\n"
        )
    };
    for address in ["0.0.0.9", "127.0.0.9", "169.254.0.9", "224.0.0.9", "240.0.0.9", "255.255.255.255"] {
        one_error(MIDONET, &expose(address), address);
        one_error(MIDONET, &format!("egress = {{ snat = \"{address}\" }}\n{WEB}"), address);
        let link = format!("link = {{ provider = \"{address}\", tenant = \"172.16.0.6\" }}\n");
        one_error(MIDONET, &link, address);
        let host = "[[host]]\nname = \"h\"\nid = \"11111111-2222-3333-4444-555555555555\"\n";
        one_error(&format!("{MIDONET}{host}tunnel_address = \"{address}\"\n"), "", address);
    }
    for network in ["0.1.0.0/16", "127.1.0.0/16", "169.254.1.0/24", "224.1.0.0/16", "240.1.0.0/16"] {
        one_error(MIDONET, &bridge(network), network);
    }
    for server in ["0.0.0.53", "224.0.0.251", "255.255.255.255"] {
        one_error(MIDONET, &format!("dns = {{ nameservers = [\"{server}\"] }}\n"), server);
    }
    // Resolvers listen there: on the host itself, and beside each pod.
    for server in ["127.0.0.53", "169.254.20.10"] {
        let tenant = format!("name = \"t\"\ndns = {{ nameservers = [\"{server}\"] }}\n");
        assert_eq!(errors(MIDONET, &[tenant]), Vec::<String>::new());
    }
}

#[test]
fn a_gateway_is_not_exposed() {
    let tenant = format!(
        "{WEB}[[expose]]\npublic = \"203.0.113.1:80\"\nto = {{ bridge = \"web\", address = \"10.0.0.254\", tcp = 80 }}\n"
    );
    one_error(MIDONET, &tenant, "is the gateway of `web`");
}

#[test]
fn a_network_has_a_length_and_no_number_has_leading_zeros() {
    one_error(MIDONET, "[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0\"\n", "a network has a prefix length");
    let route =
        |destination: &str| format!("{WEB}[[route]]\ndestination = \"{destination}\"\nvia = \"10.0.0.9\"\n");
    one_error(MIDONET, &route("10.9.0.0"), "a network has a prefix length");
    one_error(MIDONET, &route("010.9.0.0/16"), "is not a network");
    let group = |address: &str| format!("[[address_group]]\nname = \"g\"\naddresses = [\"{address}\"]\n");
    one_error(MIDONET, &group("198.051.100.0/24"), "is not a network");
    one_error(MIDONET, &group("198.51.100.007"), "is not a network");
    let tenant = format!("name = \"t\"\n{}", group("198.51.100.7"));
    assert_eq!(errors(MIDONET, &[tenant]), Vec::<String>::new());
}

#[test]
fn an_interface_is_one_that_a_port_can_have() {
    for (name, works) in [
        ("lo", false),
        ("all", false),
        ("default", false),
        ("bonding_masters", false),
        ("eth%d", false),
        ("%", false),
        ("eth1", true),
        ("lo1", true),
        ("default1", true),
    ] {
        let tenant = format!(
            "name = \"t\"\n{WEB}[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"11111111-2222-3333-4444-555555555555\"\ninterface = \"{name}\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.0.0.9\"\n"
        );
        assert_eq!(errors(MIDONET, &[tenant]).is_empty(), works, "{name}");
    }
}

/// Returns the errors with their places and helps, of one tenant.
fn details(tenant: &str) -> Vec<midoform_compiler::diagnostic::Diagnostic> {
    let site = Source::new("site.toml", MIDONET);
    let tenants = [Source::new("t.toml", tenant)];
    compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants }).err().unwrap_or_default()
}

#[test]
fn a_byte_order_mark_does_not_move_what_is_marked() {
    let text = "name = \"t\"\ncolour = 1\n";
    let marked = |text: &str| {
        let found = details(text);
        let span = found[0].labels[0].span;
        let source = Source::new("t.toml", text);
        source.text()[span.start as usize..span.end as usize].to_owned()
    };
    assert_eq!(marked(text), "colour");
    assert_eq!(marked(&format!("\u{feff}{text}")), "colour");
}

#[test]
fn an_action_of_another_program_is_asked_for_its_meaning() {
    for (word, meant) in [("allow", "accept"), ("Accept", "accept"), ("deny", "drop"), ("acept", "accept")] {
        let tenant = format!(
            "name = \"t\"\n{WEB}[[rule]]\nname = \"r\"\nto = {{ bridge = \"web\" }}\naction = \"{word}\"\n"
        );
        let help = format!("{:?}", details(&tenant)[0].help);
        assert!(help.contains("did you mean") && help.contains(meant), "{word}: {help}");
    }
}

#[test]
fn an_unknown_peer_does_not_suggest_the_tenant_itself() {
    let found = details("name = \"acme\"\n[[peer]]\ntenant = \"acme2\"\n");
    assert!(!format!("{:?}", found[0].help).contains("did you mean"), "{found:#?}");
}

#[test]
fn an_empty_lock_file_says_so() {
    for text in ["", "\n \n", "# a comment\n", "\u{feff}"] {
        let (site, lock) = (Source::new("site.toml", MIDONET), Source::new("midoform.lock", text));
        let input = Input { site: &site, allocated: Allocated::LockFile(&lock), tenants: &[] };
        let found = compile(input).err().unwrap_or_default();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].message.contains("the lock file is empty"), "{found:#?}");
    }
}

/// Returns a tenant whose bridge `web` has these lines, and that uses the bridge in every way.
fn user_of(bridge: &str) -> String {
    let host = "11111111-2222-3333-4444-555555555555";
    let ports: Vec<String> = (1..=200)
        .map(|at| {
            format!(
                "[[port]]\nname = \"p{at}\"\nbridge = \"web\"\nhost = \"{host}\"\ninterface = \"eth{at}\"\nmac = \"02:00:00:00:01:{at:02x}\"\naddress = \"10.1.0.{at}\"\n"
            )
        })
        .collect();
    let other = "[[bridge]]\nname = \"other\"\ncidr = \"10.7.0.0/24\"\n\
                 [[rule]]\nname = \"r\"\nfrom = { bridge = \"other\" }\nto = { bridge = \"web\", tcp = 80 }\naction = \"accept\"\n\
                 [[route]]\ndestination = \"10.8.0.0/16\"\nvia = \"10.1.0.201\"\n\
                 [[route]]\ndestination = \"10.9.0.0/16\"\nbridge = \"web\"\n\
                 [[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"web\", address = \"10.1.0.1\", tcp = 80 }\n\
                 [[expose]]\npublic = \"203.0.113.1:81\"\nto = { port = \"p2\", tcp = 80 }\n\
                 [[port_group]]\nname = \"g\"\nports = [\"p1\", \"p2\"]\n\
                 [[rule]]\nname = \"s\"\nfrom = { port_group = \"g\" }\nto = { bridge = \"other\" }\naction = \"drop\"\n\
                 [[assert]]\nfrom = { bridge = \"web\" }\nto = { bridge = \"other\" }\nallowed = false\n";
    format!("name = \"t\"\n[[bridge]]\nname = \"web\"\n{bridge}\n{}{other}", ports.concat())
}

#[test]
fn a_wrong_bridge_is_one_error_whatever_uses_it() {
    let right = details(&user_of("cidr = \"10.1.0.0/24\""));
    assert_eq!(right, [], "the bridge itself is right");
    for wrong in [
        "cidr = \"10.1.0.0\"",
        "cidr = \"127.3.4.0/24\"",
        "cidr = \"10.020.0.0/16\"",
        "cidr = \"10.1.0.7/24\"",
        "cidr = \"::1/64\"",
        "cidr = \"10.1.0.0/33\"",
        "cidr = \"10.1.0.0/31\"",
        "cidr = \"10.0.0.0/7\"",
        "cidr = 7",
        "cidr = \"10.1.0.0/24\"\ngateway = \"10.1.0.300\"",
        "cidr = \"10.1.0.0/24\"\ngateway = \"middle\"",
    ] {
        let found = details(&user_of(wrong));
        assert_eq!(found.len(), 1, "{wrong}: {found:#?}");
    }
    let nameless = user_of("cidr = \"10.1.0.0/24\"").replace("name = \"web\"", "name = \"we/b\"");
    let found = details(&nameless.replace("bridge = \"web\"", "bridge = \"we/b\""));
    assert_eq!(found.iter().filter(|found| found.message.contains("there is no")).count(), 0, "{found:#?}");
}

#[test]
fn what_names_a_wrong_table_is_not_wrong_too() {
    let right = user_of("cidr = \"10.1.0.0/24\"");
    for (text, wrong) in [
        ("mac = \"02:00:00:00:01:02\"", "mac = \"02:00\""),
        ("address = \"10.1.0.2\"\n", "address = \"10.1.0.02\"\n"),
        ("interface = \"eth2\"", "interface = \"lo\""),
    ] {
        let found = details(&right.replacen(text, wrong, 1));
        assert_eq!(found.len(), 1, "{wrong}: {found:#?}");
    }
    let group = "[[address_group]]\nname = \"g\"\naddresses = [\"198.51.100.007\"]\n\
                 [[rule]]\nname = \"r\"\nfrom = { address_group = \"g\" }\nto = { bridge = \"web\" }\naction = \"drop\"\n";
    let found = details(&format!("name = \"t\"\n{WEB}{group}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    // A host of the site with an error, and ports that are for it.
    let site = format!("{MIDONET}[[host]]\nname = \"h1\"\nid = \"7\"\n");
    let found = errors(&site, &[right.replace("11111111-2222-3333-4444-555555555555", "h1")]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn ports_have_no_leading_zeros() {
    let expose = |public: &str| {
        format!(
            "{WEB}[[expose]]\npublic = \"{public}\"\nto = {{ bridge = \"web\", address = \"10.0.0.9\", tcp = 80 }}\n"
        )
    };
    for public in ["203.0.113.10:0443", "203.0.113.10:+443", "203.0.113.10:00"] {
        one_error(MIDONET, &expose(public), "is not a public address with a port");
    }
    for ports in ["080-0090", "080", "80-090", "+80", "-80"] {
        let rule = format!(
            "{WEB}[[rule]]\nname = \"r\"\nto = {{ bridge = \"web\", tcp = \"{ports}\" }}\naction = \"accept\"\n"
        );
        one_error(MIDONET, &rule, "port");
    }
}

#[test]
fn two_hosts_have_no_tunnel_address_in_common() {
    let host = |number: u8, address: &str| {
        format!(
            "[[host]]\nname = \"n{number}\"\nid = \"11111111-2222-4333-8444-00000000000{number}\"\ntunnel_address = \"{address}\"\n"
        )
    };
    let zone = "[tunnel_zone]\nname = \"z\"\n";
    let site = |second: &str| format!("{MIDONET}{zone}{}{}", host(1, "10.0.0.1"), host(2, second));
    one_error(&site("10.0.0.1"), WEB, "two hosts have the tunnel address 10.0.0.1");
    assert_eq!(errors(&site("10.0.0.2"), &[format!("name = \"t\"\n{WEB}")]), Vec::<String>::new());
}

/// MidoNet 1.7 answers 500 to a `tenantId` with a slash (README 18); 5.x takes it.
#[test]
fn the_first_dialect_has_no_slash_in_a_tenant_id() {
    let tenant = format!("tenant_id = \"a/b\"\n{WEB}");
    one_error(&format!("{MIDONET}version = 1\n"), &tenant, "no `tenant_id` with a slash");
    assert_eq!(
        errors(&format!("{MIDONET}version = 5\n"), &[format!("name = \"t\"\n{tenant}")]),
        Vec::<String>::new()
    );
}

#[test]
fn a_character_that_toml_forbids_is_one_error() {
    for text in ["na\0me = \"t\"\n", "name = \"t\0\"\n", "name = \"t\" # \0\n", "name = \"t\u{1}\"\n"] {
        let found = errors(MIDONET, &[format!("{text}{WEB}")]);
        assert_eq!(found.len(), 1, "{text:?}: {found:#?}");
    }
}

#[test]
fn a_name_server_has_an_address_that_a_host_can_have() {
    for (address, works) in
        [("10.0.0.0", false), ("10.0.0.255", false), ("10.0.0.7", true), ("10.0.1.0", true)]
    {
        let dns = format!("dns = {{ nameservers = [\"{address}\"] }}\n");
        let found = errors(MIDONET, &[format!("name = \"t\"\n{dns}{WEB}")]);
        assert_eq!(found.is_empty(), works, "{address}: {found:#?}");
        let site = format!("{MIDONET}[defaults]\n{dns}");
        assert_eq!(errors(&site, &[format!("name = \"t\"\n{WEB}")]).is_empty(), works, "{address}");
    }
}
