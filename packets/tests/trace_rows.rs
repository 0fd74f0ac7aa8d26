//! Traces of single packets through OVN's rows.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use midoform_compiler::ovn::lower::lower;
use midoform_compiler::ovn::lower::pod::BridgeSecurity;
use midoform_compiler::source::{Locations, Source};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::values::ethertype;
use midoform_compiler::{Allocated, Compiled, Input};
use midoform_packets::ovn::network::Fault;
use midoform_packets::semantics::ARP_REQUEST;
use midoform_packets::trace::{
    Ending, Endpoint, HeldAddresses, Probe, Surroundings, TraceError, TraceReport, mermaid, text, trace,
};
use serde_json::{Value, json};

use crate::samples::Project;

const SITE: &str = "name = \"s\"\nunderlay_mtu = 1600\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\n\
    [[host]]\nname = \"gw1\"\nid = \"11111111-2222-3333-4444-555555555555\"\n";
const OVN: &str =
    "\n[ovn]\nnorthbound = \"unix:nb.sock\"\nmanaged = true\ngateway_chassis = [\"gw1\", \"gw2\"]\n";
const LOCALNET: &str = "[ovn.localnet]\nnetwork = \"physnet1\"\naddress = \"198.51.100.2\"\nprefix = 24\ngateway = \"198.51.100.254\"\n";
const ACME: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.0.1.0/24\"\n\
    [[expose]]\npublic = \"203.0.113.1:443\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 8443 }\n\
    [[rule]]\nname = \"no-ssh\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 22 }\naction = \"reject\"\n\
    [[rule]]\nname = \"no-udp\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", udp = true }\naction = \"drop\"\n\
    [[port]]\nname = \"fw\"\nbridge = \"web\"\nhost = \"gw1\"\ninterface = \"vif0\"\nmac = \"0a:00:00:00:06:05\"\naddress = \"10.0.0.6\"\n\
    [[route]]\ndestination = \"10.60.0.0/16\"\nvia = \"10.0.0.7\"\n[[route]]\ndestination = \"10.99.0.0/16\"\ntype = \"blackhole\"\n";
const BETA: &str = "name = \"beta\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.8.0/24\"\n";

/// A network, and what is known of its hosts.
struct Lab {
    rows: Topology,
    around: Surroundings,
}

fn lab_of(project: &Project) -> Lab {
    let compiled: Compiled = project.compile();
    let input = Input { site: &project.site, allocated: Allocated::Nothing, tenants: &project.tenants };
    let rows = lower(&compiled.site, &compiled.tenants, &Locations::new(input.sources().into_iter()));
    let ports = compiled.tenants.iter().flat_map(|tenant| {
        tenant
            .ports
            .iter()
            .map(|port| (Key::tenant(&tenant.name).port(&port.name).device(), (port.address, port.mac)))
    });
    let security = BridgeSecurity::of_tenants(&compiled.tenants);
    let around = Surroundings { static_ports: ports.collect(), security, ..Surroundings::default() };
    Lab { rows, around }
}

fn lab_with(site: &str, acme: &str) -> Lab {
    let site = format!("{SITE}{OVN}{site}");
    lab_of(&Project::of_text(&site, &[("acme.toml", &format!("{ACME}{acme}")), ("beta.toml", BETA)]))
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn pod(tenant: &str, bridge: &str, at: &str) -> Endpoint {
    Endpoint::Pod(Key::tenant(tenant).bridge(bridge).device(), address(at))
}

fn world(at: &str) -> Endpoint {
    Endpoint::World(address(at))
}

fn probe(from: Endpoint, to: Endpoint, carried: (u8, u16, u16)) -> Probe {
    Probe { from, to, source: None, carried, ethertype: ethertype::IPV4, vlan: None }
}

fn tcp(from: Endpoint, to: Endpoint, port: u16) -> Probe {
    probe(from, to, (6, 40_000, port))
}

const PING: (u8, u16, u16) = (1, 8, 0);

impl Lab {
    fn trace(&self, probe: &Probe) -> TraceReport {
        trace(&self.rows, &self.around, probe).unwrap()
    }

    /// Returns the ends of a packet and of its reply, in words.
    fn ends(&self, probe: &Probe) -> String {
        let report = self.trace(probe);
        let reply = report.reply.map(|reply| format!("; {}", reply.ending)).unwrap_or_default();
        format!("{}{reply}", report.ending)
    }

    /// Changes the row with a key.
    fn change(&mut self, key: &str, change: impl FnOnce(&mut midoform_compiler::topology::kinds::Row)) {
        let mut entries: Vec<Entry> = self.rows.entries().to_vec();
        let entry = entries.iter_mut().find(|entry| entry.key.as_str() == key).unwrap();
        let Object::Row(row) = &mut entry.object else { panic!("{key} is no row") };
        change(row);
        self.rows = Topology::new(entries);
    }
}

fn shown(report: &TraceReport) -> String {
    let mut out = Vec::new();
    text(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_trace_names_the_rows_that_decide() {
    let lab = lab_with(LOCALNET, "");
    let report = lab.trace(&tcp(pod("acme", "web", "10.0.0.5"), pod("acme", "db", "10.0.1.7"), 22));
    insta::assert_snapshot!("rejected", shown(&report));
    let json = serde_json::to_value(&report).unwrap();
    let rules = json["hops"][2]["rules"].as_array().unwrap();
    let rule = rules.last().unwrap();
    assert_eq!(rule["rule"], "acme/bridge/db/acl/to/rule/no-ssh");
    assert_eq!((&rule["row"]["table"], &rule["row"]["action"]), (&json!("ACL"), &json!("reject")));
    assert!(
        rule["row"]["priority"].is_i64() && rule["row"]["match"].as_str().unwrap().contains("tcp.dst == 22")
    );
    assert_eq!(rule["source"]["file"], "acme.toml");
    assert_eq!(json["ending"]["reset"], true);
}

#[test]
fn traces_of_the_examples() {
    for name in ["seed", "policy", "shared-networks", "many-bridges", "fleet"] {
        let mut project = Project::example(name);
        project.site = Source::new("site.toml", format!("underlay_mtu = 1600\n{}{OVN}", project.site.text()));
        let lab = lab_of(&project);
        let bridges: Vec<Endpoint> = lab
            .around
            .security
            .iter()
            .map(|(key, own)| Endpoint::Pod(key.clone(), (u32::from(own.cidr.network()) + 9).into()))
            .collect();
        // From the first bridge to the next one of its tenant, to the outside, and from there to a public address.
        let (from, to) = (bridges[0].clone(), bridges[bridges.len() / 2].clone());
        let public = lab.rows.rows().find_map(|(_, row)| Some(row.map_of("vips")?.iter().next()?.0.clone()));
        let mut all = shown(&lab.trace(&tcp(from.clone(), to, 5432)));
        all += &format!("\n---\n\n{}", shown(&lab.trace(&tcp(from.clone(), world("8.8.8.8"), 443))));
        if let Some((at, port)) = public.as_deref().and_then(|public| public.split_once(':')) {
            let inwards = tcp(world("8.8.8.8"), world(at), port.parse().unwrap());
            all += &format!("\n---\n\n{}", shown(&lab.trace(&inwards)));
        }
        let mut drawn = Vec::new();
        mermaid(&lab.trace(&probe(from, world("8.8.8.8"), PING)), &mut drawn).unwrap();
        all += &format!("\n---\n\n{}", String::from_utf8(drawn).unwrap());
        insta::assert_snapshot!(format!("example_{name}"), all);
    }
}

#[test]
fn packets_end_where_ovn_sends_them() {
    for site in ["", LOCALNET] {
        let lab = lab_with(site, "");
        let web = || pod("acme", "web", "10.0.0.5");
        let cases = [
            (
                tcp(web(), pod("acme", "web", "10.0.0.8"), 80),
                "delivered to acme/web/10.0.0.8; delivered to acme/web/10.0.0.5",
            ),
            (
                tcp(web(), world("10.0.1.7"), 80),
                "delivered to acme/db/10.0.1.7; delivered to acme/web/10.0.0.5",
            ),
            (tcp(web(), world("8.8.8.8"), 443), "delivered to world; delivered to acme/web/10.0.0.5"),
            (
                tcp(web(), world("203.0.113.1"), 443),
                "delivered to acme/web/10.0.0.9; delivered to acme/web/10.0.0.5",
            ),
            (
                tcp(world("8.8.4.4"), world("203.0.113.1"), 443),
                "delivered to acme/web/10.0.0.9; delivered to world",
            ),
            (
                tcp(pod("beta", "web", "10.0.8.5"), world("203.0.113.1"), 443),
                "delivered to acme/web/10.0.0.9; delivered to beta/web/10.0.8.5",
            ),
            (
                probe(web(), world("10.0.0.254"), PING),
                "consumed by acme/router, which replies; delivered to acme/web/10.0.0.5",
            ),
            (
                tcp(web(), world("10.60.1.1"), 80),
                "delivered to acme/web/10.0.0.7; delivered to acme/web/10.0.0.5",
            ),
            (tcp(web(), world("10.0.0.6"), 80), "delivered to acme/port/fw; delivered to acme/web/10.0.0.5"),
        ];
        for (probe, ends) in cases {
            assert_eq!(lab.ends(&probe), ends, "{probe:?}");
        }
        let ends = lab.ends(&tcp(web(), world("10.99.1.1"), 80));
        assert!(ends.starts_with("dropped at acme/router by the rule acme/route/10.99.0.0-16/"), "{ends}");
        let spoofed = Probe { source: Some(address("10.0.1.9")), ..tcp(web(), world("8.8.8.8"), 443) };
        let ends = lab.ends(&spoofed);
        assert!(ends.starts_with("dropped at acme/bridge/web: port security"), "{ends}");
        let udp = probe(web(), world("10.0.1.7"), (17, 40_000, 53));
        let ends = lab.ends(&udp);
        assert!(ends.contains("by the rule acme/bridge/db/acl/to/rule/no-udp (acme.toml:"), "{ends}");
    }
}

#[test]
fn a_router_answers_for_itself() {
    let report = lab_with("", "").trace(&probe(pod("acme", "web", "10.0.0.5"), world("10.0.1.254"), PING));
    insta::assert_snapshot!("answered", shown(&report));
}

#[test]
fn arp_is_answered_by_the_switch() {
    let asks = Probe {
        ethertype: ethertype::ARP,
        ..probe(pod("acme", "web", "10.0.0.5"), world("10.0.0.254"), (ARP_REQUEST, 0, 0))
    };
    assert_eq!(lab_with("", "").ends(&asks), "consumed by acme/bridge/web, which replies");
}

#[test]
fn where_all_rows_are_known_only_their_ports_have_hosts() {
    let mut lab = lab_with("", "");
    lab.around.held = Some(HeldAddresses::default());
    let from = || {
        Endpoint::Port(
            Key::tenant("acme").port("fw").device(),
            address("10.0.0.6"),
            "0a:00:00:00:06:05".parse().unwrap(),
        )
    };
    for to in [world("10.0.1.7"), pod("acme", "db", "10.0.1.7"), world("10.0.0.9"), world("203.0.113.1")] {
        let report = lab.trace(&tcp(from(), to.clone(), 443));
        assert!(matches!(report.ending, Ending::Unanswered { .. }), "{to:?}: {}", report.ending);
    }
    // A port of which nobody knows the addresses may have it.
    let mut entries = lab.rows.entries().to_vec();
    let fixed = lab.rows.get("acme/port/fw").unwrap();
    let Object::Row(row) = &fixed.object else { panic!() };
    let row = row
        .as_ref()
        .clone()
        .text("name", "somebody")
        .texts("addresses", ["unknown".to_owned()])
        .texts("port_security", []);
    let key = Key::tenant("acme").bridge("web").device().foreign(uuid::Uuid::from_u128(7));
    entries.push(Entry { key, object: row.into(), provenance: None });
    lab.rows = Topology::new(entries);
    let report = lab.trace(&tcp(from(), world("10.0.0.9"), 80));
    assert!(report.ending.is_delivered(), "{}", report.ending);
}

#[test]
fn an_end_that_is_not_there_is_an_error() {
    let lab = lab_with("", "");
    let unknown = |from| trace(&lab.rows, &lab.around, &tcp(from, world("8.8.8.8"), 80));
    let error = unknown(pod("acme", "nowhere", "10.0.0.5")).unwrap_err();
    assert_eq!(error.to_string(), "there is no acme/bridge/nowhere");
    let nowhere = Endpoint::Port(
        Key::tenant("acme").port("gone").device(),
        address("10.0.0.6"),
        "0a:00:00:00:06:05".parse().unwrap(),
    );
    assert!(matches!(unknown(nowhere), Err(TraceError::Unknown(_))));
}

/// Nobody knows what a row does that can't be read: a packet that comes there has no trace, and another one has.
#[test]
fn a_row_that_cannot_be_read_is_named() {
    let mut lab = lab_with("", "");
    lab.change("acme/bridge/db/acl/to/rule/no-ssh", |row| {
        *row = row.clone().text("match", "ip4 && ip4.src == $nothing");
    });
    let web = pod("acme", "web", "10.0.0.5");
    let error = trace(&lab.rows, &lab.around, &tcp(web.clone(), world("10.0.1.7"), 80)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ACL acme/bridge/db/acl/to/rule/no-ssh") && text.contains("$nothing"), "{text}");
    assert_eq!(
        lab.ends(&tcp(web.clone(), world("8.8.8.8"), 80)),
        "delivered to world; delivered to acme/web/10.0.0.5"
    );
    // What others than the interpreter could not read, of a route, of a gateway chassis and of a load balancer.
    let lab = lab_with("", "");
    for key in [
        "acme/uplink/default-route",
        "acme/uplink/port/gateway-chassis/gw1",
        "acme/expose/203.0.113.1/tcp/443",
    ] {
        assert!(lab.rows.get(key).is_some(), "{key}");
        let unread = vec![Fault { key: Key::from(key), reason: "`tier`".to_owned() }];
        let around =
            Surroundings { unread, security: lab.around.security.clone(), ..Surroundings::default() };
        let to = |at: &str| trace(&lab.rows, &around, &tcp(web.clone(), world(at), 80));
        assert!(matches!(to("10.0.1.7"), Err(TraceError::Unread { .. })), "{key}");
        assert_eq!(to("10.0.0.8").is_err(), key.contains("expose"), "{key}");
    }
}

/// ACLs of a port group are in the switches of its ports. Somebody else may write such rows.
#[test]
fn lists_of_port_groups_are_evaluated() {
    use midoform_compiler::topology::kinds::row::Holder;
    use midoform_compiler::topology::kinds::row::schema::Table;
    use midoform_compiler::topology::kinds::{Reference, Row};
    let lab = lab_with("", "");
    let group = Key::new("site/foreign/@00000000-0000-0000-0000-000000000001");
    let port = Key::tenant("acme").port("fw").device();
    let row = Row::new(Table::PortGroup).text("name", "theirs").references("ports", [Reference::from(&port)]);
    let acl = Row::new(Table::Acl)
        .text("action", "drop")
        .text("direction", "to-lport")
        .text("match", "outport == @theirs && ip4")
        .integer("priority", 32767)
        .held_by(Holder { row: Reference::from(&group), table: Table::PortGroup, column: "acls" });
    let key = group.foreign(uuid::Uuid::from_u128(2));
    let more = [(group, row), (key.clone(), acl)];
    let more = more.map(|(key, row)| Entry { key, object: row.into(), provenance: None });
    let rows = Topology::new(lab.rows.entries().iter().cloned().chain(more).collect());
    let to =
        |at: &str| trace(&rows, &lab.around, &tcp(pod("acme", "web", "10.0.0.5"), world(at), 80)).unwrap();
    let Ending::Dropped { rule, .. } = to("10.0.0.6").ending else { panic!() };
    assert_eq!(rule.as_deref(), Some(key.as_str()));
    assert!(shown(&to("10.0.0.6")).contains("which is not midoform's"));
    assert!(to("10.0.0.8").ending.is_delivered());
}

#[test]
fn the_report_is_that_of_midonet() {
    let lab = lab_with("", "");
    let report = lab.trace(&tcp(world("8.8.4.4"), world("203.0.113.1"), 443));
    let value = serde_json::to_value(&report).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&value), ["answer", "ending", "from", "hops", "packet", "packet_at_end"]);
    assert_eq!(value["from"], "world");
    assert_eq!(value["packet_at_end"]["destination_port"], 8443);
    let balanced: BTreeMap<&str, &Value> = value["hops"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|hop| hop["rules"].as_array().unwrap())
        .filter(|rule| rule["rewrites"].is_object())
        .map(|rule| (rule["rule"].as_str().unwrap(), &rule["row"]["table"]))
        .collect();
    assert_eq!(balanced, BTreeMap::from([("acme/expose/203.0.113.1/tcp/443", &json!("Load_Balancer"))]));
    assert_eq!(value["answer"]["packet_at_end"]["source"], "203.0.113.1");
}
