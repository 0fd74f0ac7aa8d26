//! Everything that can be wrong with a spec: each case with its text, as people read it.

use midoform_testutil::{SITE, TestFolder, snapshot_settings};

use crate::MIDOFORM;

/// Validates a folder and compares what is said.
#[track_caller]
fn says(name: &str, code: i32, files: &[(&str, &[u8])]) {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE);
    for (file, content) in files {
        folder.write(file, content);
    }
    let ran = folder.run(MIDOFORM, &["validate", "."]).expect_code(code);
    assert_eq!(ran.stdout, "", "data goes to standard output, words to standard error");
    snapshot_settings("diagnostics").bind(|| insta::assert_snapshot!(name, ran.stderr));
    let machine = folder.run(MIDOFORM, &["validate", ".", "--json"]).expect_code(code);
    assert!(machine.stdout.contains("\"findings\""), "{}", machine.stdout);
}

/// One tenant file, and an error.
macro_rules! errors {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            says(stringify!($name), 3, &[("acme.toml", $text.as_bytes())]);
        }
    )*};
}

/// Several files, and an error.
macro_rules! errors_of_files {
    ($($name:ident: $files:expr;)*) => {$(
        #[test]
        fn $name() {
            let files: Vec<(&str, &[u8])> = $files.iter().map(|(name, text): &(&'static str, &'static str)| (*name, text.as_bytes())).collect();
            says(stringify!($name), 3, &files);
        }
    )*};
}

/// One tenant file, and a warning.
macro_rules! warnings {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            says(stringify!($name), 0, &[("acme.toml", $text.as_bytes())]);
        }
    )*};
}

errors! {
    syntax: "name = \"acme\"\n[[bridge]\nname = \"web\"\n";
    two_syntax_errors: "name = acme\n[[bridge]]\nname = \"web\ncidr = 5\n";
    moved_to_nothing: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[moved]]\nbridge = \"db\"\nto = \"data\"\n";
    moved_and_still_there: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n[[moved]]\nbridge = \"db\"\nto = \"web\"\n";
    moved_twice: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[moved]]\nbridge = \"a\"\nto = \"web\"\n[[moved]]\nbridge = \"b\"\nto = \"web\"\n";
    moved_what: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[moved]]\nto = \"web\"\n[[moved]]\nbridge = \"a\"\nrule = \"r\"\nto = \"web\"\n[[moved]]\nbridge = 5\nto = \"web\"\n";
    icmp_code_zero: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[rule]]\nname = \"ping\"\nto = { bridge = \"web\", icmp = { type = 8, code = 0 } }\naction = \"accept\"\n[[rule]]\nname = \"pong\"\nto = { bridge = \"web\", icmp = { type = 0 } }\naction = \"drop\"\n";
    unknown_key: "name = \"acme\"\n\n[[brigde]]\nname = \"web\"\n\n[[bridge]]\nname = \"db\"\ncird = \"10.0.0.0/24\"\n";
    unknown_key_like_nothing: "name = \"acme\"\nxylophone = true\n";
    missing_name: "[[bridge]]\nname = \"web\"\n";
    wrong_types: "name = 5\nprotect = \"yes\"\nmtu = \"big\"\nbridge = \"web\"\nlabels = { a = 1 }\n";
    mtu_above_the_tunnels: "name = \"acme\"\nmtu = 1500\n[[bridge]]\nname = \"web\"\n";
    ethertypes_that_are_none: "name = \"acme\"\nethertypes = [\"ipv6\", \"ipx\", 1500, 0x88cc, \"0x1\"]\n[[bridge]]\nname = \"web\"\n";
    name_too_long: format!("name = \"{}\"\n", "a".repeat(64));
    name_with_a_slash: "name = \"acme/web\"\n";
    name_with_control_characters: "name = \"acme\"\n[[bridge]]\nname = \"w\\u0007b\"\n";
    name_that_is_hidden: "name = \".acme\"\n";
    name_empty: "name = \"\"\n";
    name_not_ascii: "name = \"租户\"\n";
    name_reserved: "name = \"site\"\n";
    overlapping_networks: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/16\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.0.1.0/24\"\n";
    host_bits: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.7/24\"\n";
    cidr_too_small: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/31\"\n";
    cidr_too_large: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"0.0.0.0/0\"\n";
    cidr_that_is_none: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0/24\"\n";
    cidr_of_multicast: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"224.0.0.0/24\"\n";
    cidr_in_the_link_pool: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"172.16.0.0/24\"\n";
    ipv6_network: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"fd00::/64\"\n";
    ipv6_address: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[expose]]\npublic = \"[2001:db8::1]:443\"\nto = { bridge = \"web\", address = \"fd00::1\", tcp = 1 }\n";
    gateway_outside: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\ngateway = \"10.0.1.1\"\n";
    gateway_is_the_network: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\ngateway = \"10.0.0.0\"\n";
    gateway_is_the_broadcast: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\ngateway = \"10.0.0.255\"\n";
    duplicate_bridges: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"web\"\n";
    port_address_outside: port("10.0.1.5", "02:00:00:00:00:01", "tap0");
    port_address_is_the_gateway: port("10.0.0.254", "02:00:00:00:00:01", "tap0");
    port_address_is_the_broadcast: port("10.0.0.255", "02:00:00:00:00:01", "tap0");
    port_mac_bad: port("10.0.0.5", "02:00:00:00:00", "tap0");
    port_mac_of_a_group: port("10.0.0.5", "01:00:5e:00:00:01", "tap0");
    port_interface_bad: port("10.0.0.5", "02:00:00:00:00:01", "an interface that is too long");
    port_on_an_unknown_host: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"node9\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.0.0.5\"\n";
    ports_that_clash: format!("{}[[port]]\nname = \"q\"\nbridge = \"web\"\nhost = \"11111111-2222-3333-4444-555555555555\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.0.0.5\"\n", port("10.0.0.5", "02:00:00:00:00:01", "tap0"));
    rule_names_what_is_not_there: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[rule]]\nname = \"r\"\nfrom = { bridge = \"wed\" }\nto = { address_group = \"office\" }\naction = \"accept\"\n[[rule]]\nname = \"s\"\nfrom = { port_group = \"fronts\" }\nto = { peer = \"beta\" }\naction = \"drop\"\n";
    rule_without_action: "name = \"acme\"\n[[rule]]\nname = \"r\"\n";
    rule_with_an_unknown_action: "name = \"acme\"\n[[rule]]\nname = \"r\"\naction = \"allow\"\n";
    rule_with_two_places: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[rule]]\nname = \"r\"\nfrom = { bridge = \"web\", cidr = \"10.0.0.0/8\" }\naction = \"drop\"\n";
    rule_with_bad_ports: "name = \"acme\"\n[[rule]]\nname = \"r\"\nto = { tcp = [0, 70000, \"9-1\", \"http\"] }\naction = \"drop\"\n";
    rule_with_a_bad_protocol: "name = \"acme\"\n[[rule]]\nname = \"r\"\nto = { protocol = 256 }\naction = \"drop\"\n";
    rule_with_protocols_that_disagree: "name = \"acme\"\n[[rule]]\nname = \"r\"\nfrom = { tcp = 80 }\nto = { udp = 53 }\naction = \"drop\"\n";
    duplicate_rules: "name = \"acme\"\n[[rule]]\nname = \"r\"\naction = \"drop\"\n[[rule]]\nname = \"r\"\naction = \"accept\"\n";
    stateless_after_stateful: "name = \"acme\"\n[[rule]]\nname = \"a\"\nto = { tcp = 1 }\naction = \"drop\"\n[[rule]]\nname = \"b\"\nto = { tcp = 2 }\nstateful = false\naction = \"drop\"\n";
    expose_outside: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"web\", address = \"10.0.9.9\", tcp = 80 }\n";
    expose_incomplete: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[expose]]\npublic = \"203.0.113.1\"\nto = { bridge = \"web\", tcp = 80, udp = 80 }\n";
    expose_twice: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 80 }\n[[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"web\", address = \"10.0.0.8\", tcp = 81 }\n";
    expose_in_the_link_pool: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[expose]]\npublic = \"172.16.3.3:80\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 80 }\n";
    route_without_a_target: "name = \"acme\"\n[[route]]\ndestination = \"10.9.0.0/16\"\n";
    route_with_a_next_hop_outside: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[route]]\ndestination = \"10.9.0.0/16\"\nvia = \"10.1.0.1\"\n";
    route_to_its_own_gateway: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[route]]\ndestination = \"10.9.0.0/16\"\nvia = \"10.0.0.254\"\n";
    route_to_a_bridge: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[route]]\ndestination = \"10.0.0.0/24\"\ntype = \"blackhole\"\n";
    duplicate_routes: "name = \"acme\"\n[[route]]\ndestination = \"10.9.0.0/16\"\ntype = \"blackhole\"\n[[route]]\ndestination = \"10.9.0.0/16\"\ntype = \"blackhole\"\n";
    egress_unknown: "name = \"acme\"\negress = \"nat\"\n";
    egress_range_backwards: "name = \"acme\"\negress = { snat = \"203.0.113.9-203.0.113.1\" }\n";
    link_pinned_outside: "name = \"acme\"\nlink = { provider = \"10.9.9.1\", tenant = \"10.9.9.2\" }\n";
    link_pinned_to_no_pair: "name = \"acme\"\nlink = { provider = \"172.16.0.2\", tenant = \"172.16.0.9\" }\n";
    quota_exceeded: "name = \"acme\"\nquotas = { bridges = 1 }\n[[bridge]]\nname = \"a\"\n[[bridge]]\nname = \"b\"\n";
    tenant_id_bad: "name = \"acme\"\ntenant_id = \"with a space\"\n";
    peer_of_itself: "name = \"acme\"\n[[peer]]\ntenant = \"acme\"\n";
    peer_unknown: "name = \"acme\"\n[[peer]]\ntenant = \"beta\"\n";
    many_errors_at_once: "name = \"acme\"\ncolour = \"red\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/33\"\n[[rule]]\nname = \"r\"\nto = { bridge = \"db\" }\naction = \"maybe\"\n";
}

fn port(address: &str, mac: &str, interface: &str) -> String {
    format!(
        "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[port]]\nname = \"p\"\nbridge = \"web\"\nhost = \"11111111-2222-3333-4444-555555555555\"\ninterface = \"{interface}\"\nmac = \"{mac}\"\naddress = \"{address}\"\n"
    )
}

const PEER_A_TO_B: &str =
    "name = \"a\"\n[[bridge]]\nname = \"x\"\ncidr = \"10.0.0.0/24\"\n[[peer]]\ntenant = \"b\"\n";

errors_of_files! {
    two_tenants_of_one_name: [("a.toml", "name = \"acme\"\n"), ("b.toml", "name = \"acme\"\n")];
    errors_of_two_files: [("a.toml", "name = \"a\"\nmut = 5\n"), ("b.toml", "name = \"b\"\nprotect = 1\n")];
    peer_that_does_not_answer: [("a.toml", PEER_A_TO_B), ("b.toml", "name = \"b\"\n")];
    peers_in_a_circle: [
        ("a.toml", "name = \"a\"\n[[peer]]\ntenant = \"b\"\n"),
        ("b.toml", "name = \"b\"\n[[peer]]\ntenant = \"c\"\n"),
        ("c.toml", "name = \"c\"\n[[peer]]\ntenant = \"a\"\n"),
    ];
    peers_with_networks_that_overlap: [
        ("site.toml", "name = \"test\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nshared = true\n"),
        ("a.toml", PEER_A_TO_B),
        ("b.toml", "name = \"b\"\n[[bridge]]\nname = \"y\"\ncidr = \"10.0.0.0/16\"\n[[peer]]\ntenant = \"a\"\n"),
    ];
    tenants_with_networks_that_overlap: [
        ("a.toml", "name = \"a\"\n[[bridge]]\nname = \"x\"\ncidr = \"10.0.0.0/24\"\n"),
        ("b.toml", "name = \"b\"\n[[bridge]]\nname = \"y\"\ncidr = \"10.0.0.0/16\"\n"),
    ];
    untranslated_networks_that_overlap: [
        ("site.toml", "name = \"test\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nshared = true\n"),
        ("a.toml", "name = \"a\"\negress = \"none\"\n[[bridge]]\nname = \"x\"\ncidr = \"10.0.0.0/24\"\n"),
        ("b.toml", "name = \"b\"\negress = \"none\"\n[[bridge]]\nname = \"y\"\ncidr = \"10.0.0.0/24\"\n"),
    ];
    one_public_port_of_two_tenants: [
        ("a.toml", "name = \"a\"\n[[bridge]]\nname = \"x\"\ncidr = \"10.0.0.0/24\"\n[[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"x\", address = \"10.0.0.1\", tcp = 80 }\n"),
        ("b.toml", "name = \"b\"\n[[bridge]]\nname = \"y\"\ncidr = \"10.1.0.0/24\"\n[[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"y\", address = \"10.1.0.1\", tcp = 80 }\n"),
    ];
    one_public_address_of_two_tenants: [
        ("a.toml", "name = \"a\"\n[[bridge]]\nname = \"x\"\ncidr = \"10.0.0.0/24\"\n[[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"x\", address = \"10.0.0.1\", tcp = 80 }\n"),
        ("b.toml", "name = \"b\"\negress = { snat = \"203.0.113.0-203.0.113.3\" }\n"),
    ];
    link_pinned_twice: [
        ("a.toml", "name = \"a\"\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n"),
        ("b.toml", "name = \"b\"\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n"),
    ];
    link_pool_full: [
        ("site.toml", "name = \"test\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/30\"\n"),
        ("a.toml", "name = \"a\"\n"),
        ("b.toml", "name = \"b\"\n"),
    ];
    bridge_pool_full: [
        ("site.toml", "name = \"test\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nbridges = \"192.168.0.0/24\"\n"),
        ("a.toml", "name = \"a\"\n[[bridge]]\nname = \"x\"\n[[bridge]]\nname = \"y\"\n"),
    ];
    site_incomplete: [("site.toml", "[midonet]\nversion = 2\n"), ("a.toml", "name = \"a\"\n")];
    site_without_midonet: [("site.toml", "name = \"x\"\n"), ("a.toml", "name = \"a\"\n")];
    site_with_bad_pools: [
        ("site.toml", "name = \"x\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = [\"10.0.0.0/8\", \"172.16.0.0/31\"]\nbridges = \"10.1.0.0/16\"\nbridge_prefix = 12\n"),
        ("a.toml", "name = \"a\"\n"),
    ];
    site_with_a_bad_router: [
        ("site.toml", "name = \"x\"\n[midonet]\nurl = \"midonet-api:8181\"\nprovider_router = \"12\"\nmanaged = true\n"),
        ("a.toml", "name = \"a\"\n"),
    ];
    site_with_hosts_that_clash: [
        ("site.toml", "name = \"x\"\n[midonet]\nembedded = true\nmanaged = true\n[[host]]\nname = \"n\"\nid = \"11111111-2222-3333-4444-555555555555\"\n[[host]]\nname = \"n\"\nid = \"11111111-2222-3333-4444-555555555555\"\n"),
        ("a.toml", "name = \"a\"\n"),
    ];
    policy_with_mistakes: [
        ("site.toml", "name = \"x\"\n[midonet]\nembedded = true\nmanaged = true\n[policy]\nlimits = { bridgs = 1 }\nforbidden_public_ports = [0, \"9-1\"]\nallowed_profiles = [\"open\"]\nallowed_bridge_networks = \"10.0.0.1/8\"\nnames = { bridge = \"[a-\" }\nrequire_protect = 1\n"),
        ("a.toml", "name = \"a\"\n"),
    ];
    policy_limits: [
        ("site.toml", "name = \"x\"\n[midonet]\nembedded = true\nmanaged = true\n[policy]\nlimits = { bridges = 1, exposes = 0, rules = 9 }\n"),
        ("a.toml", "name = \"a\"\n[[bridge]]\nname = \"one\"\ncidr = \"10.0.0.0/24\"\n[[bridge]]\nname = \"two\"\n[[bridge]]\nname = \"three\"\n[[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"one\", address = \"10.0.0.9\", tcp = 80 }\n"),
    ];
    policy_of_public_ends: [
        ("site.toml", "name = \"x\"\n[midonet]\nembedded = true\nmanaged = true\n[policy]\nallowed_public_ports = [443, \"8000-8100\"]\nforbidden_public_ports = 8022\nallowed_public_addresses = [\"203.0.113.0/25\", \"203.0.113.128/25\"]\n"),
        ("a.toml", "name = \"a\"\negress = { snat = \"203.0.113.250-203.0.114.1\" }\n[[bridge]]\nname = \"one\"\ncidr = \"10.0.0.0/24\"\n[[expose]]\npublic = \"203.0.113.1:22\"\nto = { bridge = \"one\", address = \"10.0.0.9\", tcp = 22 }\n[[expose]]\npublic = \"198.51.100.1:8022\"\nto = { bridge = \"one\", address = \"10.0.0.9\", tcp = 22 }\n"),
        ("b.toml", "name = \"b\"\negress = { snat = \"203.0.113.120-203.0.113.140\" }\n"),
    ];
    policy_of_labels_and_names: [
        ("site.toml", "name = \"x\"\n[midonet]\nembedded = true\nmanaged = true\n[policy]\nrequired_labels = [\"team\", \"stage\"]\nlabel_values = { stage = \"test|production\" }\nnames = { tenant = \"[a-z]+\", bridge = \"net-.*\", rule = \"[a-z-]+\" }\nrequire_protect = { stage = \"production\" }\n"),
        ("a.toml", "name = \"a1\"\nlabels = { stage = \"productions\" }\n[[bridge]]\nname = \"web\"\n[[rule]]\nname = \"Rule\"\naction = \"drop\"\n"),
        ("b.toml", "name = \"b\"\nlabels = { stage = \"production\", team = \"x\" }\n"),
    ];
    policy_of_layouts: [
        ("site.toml", "name = \"x\"\n[midonet]\nembedded = true\nmanaged = true\n[defaults]\nprofile = \"rainbond\"\n[policy]\nallowed_profiles = \"strict\"\nallowed_anti_spoof = [\"bridge\", \"port\"]\nallowed_bridge_networks = \"10.0.0.0/8\"\n"),
        ("a.toml", "name = \"a\"\n[[bridge]]\nname = \"one\"\ncidr = \"192.168.0.0/24\"\n"),
        ("b.toml", "name = \"b\"\nprofile = \"strict\"\nanti_spoof = \"none\"\n"),
        ("c.toml", "name = \"c\"\nprofile = \"rainbond\"\nanti_spoof = \"port\"\n"),
    ];
    policy_of_rules: [
        ("site.toml", "name = \"x\"\n[midonet]\nembedded = true\nmanaged = true\n[policy]\nforbid_accept_from_anywhere = true\nforbid_accept_to_anywhere = true\n"),
        ("a.toml", "name = \"a\"\n[[bridge]]\nname = \"w\"\n[[address_group]]\nname = \"halves\"\naddresses = [\"0.0.0.0/1\", \"128.0.0.0/1\"]\n[[rule]]\nname = \"world\"\nfrom = { world = true }\nto = { bridge = \"w\", tcp = 1 }\naction = \"accept\"\n[[rule]]\nname = \"all\"\nfrom = { cidr = \"0.0.0.0/0\" }\nto = { bridge = \"w\", tcp = 2 }\naction = \"accept\"\n[[rule]]\nname = \"group\"\nfrom = { address_group = \"halves\" }\nto = { bridge = \"w\", tcp = 3 }\naction = \"accept\"\n[[rule]]\nname = \"inside\"\nto = { bridge = \"w\", tcp = 4 }\naction = \"accept\"\n[[rule]]\nname = \"out\"\nfrom = { bridge = \"w\" }\nto = { tcp = 5 }\naction = \"accept\"\n[[rule]]\nname = \"shut\"\nfrom = { world = true }\naction = \"drop\"\n"),
        ("b.toml", "name = \"b\"\nprofile = \"rainbond\"\n[[bridge]]\nname = \"w\"\n[[rule]]\nname = \"open\"\nto = { bridge = \"w\", tcp = 4 }\naction = \"accept\"\n"),
    ];
    lock_with_conflict_marks: [
        ("midoform.lock", "version = 1\n<<<<<<< ours\n[tenant.a]\n=======\n[tenant.b]\n>>>>>>> theirs\n"),
        ("a.toml", "name = \"a\"\n"),
    ];
    lock_damaged: [
        ("midoform.lock", "version = 1\n[tenant.a]\napplied = true\n[tenant.a.bridge]\nweb = \"10.0.0\"\n"),
        ("a.toml", "name = \"a\"\n"),
    ];
    lock_without_a_version: [("midoform.lock", "versio = 1\n"), ("a.toml", "name = \"a\"\n")];
    lock_of_a_newer_version: [("midoform.lock", "version = 9\n"), ("a.toml", "name = \"a\"\n")];
    lock_that_gives_one_link_twice: [
        ("midoform.lock", "version = 1\n[tenant.a]\napplied = true\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n[tenant.b]\napplied = false\nlink = { provider = \"172.16.0.5\", tenant = \"172.16.0.6\" }\n"),
        ("a.toml", "name = \"a\"\n"),
        ("b.toml", "name = \"b\"\n"),
    ];
}

#[test]
fn not_utf8() {
    says("not_utf8", 3, &[("acme.toml", b"name = \"acme\"\n# caf\xe9\n")]);
}

#[test]
fn a_file_of_100_megabytes() {
    let mut text = b"name = \"acme\"\n#".to_vec();
    text.resize(100_000_000, b'x');
    says("a_file_of_100_megabytes", 3, &[("acme.toml", &text)]);
}

#[test]
fn a_byte_order_mark_is_no_error() {
    says("a_byte_order_mark", 0, &[("acme.toml", "\u{feff}name = \"acme\"\n".as_bytes())]);
}

warnings! {
    shadowed_rule: "name = \"acme\"\n[[bridge]]\nname = \"web\"\n[[rule]]\nname = \"all\"\nto = { bridge = \"web\" }\naction = \"drop\"\n[[rule]]\nname = \"ssh\"\nto = { bridge = \"web\", tcp = 22 }\naction = \"accept\"\n";
    unused_groups: "name = \"acme\"\n[[address_group]]\nname = \"office\"\naddresses = []\n[[port_group]]\nname = \"front\"\nports = []\n";
    bridge_without_a_free_address: "name = \"acme\"\n[[bridge]]\nname = \"tiny\"\ncidr = \"10.0.0.0/30\"\n[[port]]\nname = \"p\"\nbridge = \"tiny\"\nhost = \"11111111-2222-3333-4444-555555555555\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.0.0.1\"\n";
    expose_that_a_rule_shuts: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[rule]]\nname = \"shut\"\nto = { bridge = \"web\" }\naction = \"drop\"\n[[expose]]\npublic = \"203.0.113.1:80\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 80 }\n";
    routes_of_equal_weight: "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[route]]\ndestination = \"0.0.0.0/0\"\nvia = \"10.0.0.5\"\n[[route]]\ndestination = \"10.9.0.0/16\"\nvia = \"10.0.0.5\"\n[[route]]\ndestination = \"10.9.0.0/16\"\nvia = \"10.0.0.6\"\n";
    idle_rule: "name = \"acme\"\n[[rule]]\nname = \"r\"\nfrom = { world = true }\nto = { world = true }\naction = \"drop\"\n";
}
