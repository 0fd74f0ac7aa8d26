//! JSON Schema (draft 2020-12) of the site file and of a tenant file: the grammar that [`crate::spec::parse`] accepts.
//!
//! A test gives every table of the parser an unknown key and compares the keys that it then names with the
//! properties here, so that the two can't drift apart.

mod site;

use serde_json::{Map, Value, json};

pub use site::{policy, site};

/// A name: what becomes part of keys.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
const OCTET: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

fn address_pattern() -> String {
    format!("({OCTET}\\.){{3}}{OCTET}")
}

fn text(description: &str, pattern: &str) -> Value {
    json!({"type": "string", "description": description, "pattern": pattern})
}

fn name(description: &str) -> Value {
    text(description, NAME)
}

fn address(description: &str) -> Value {
    text(description, &format!("^{}$", address_pattern()))
}

fn network(description: &str) -> Value {
    text(description, &format!("^{}(/(3[0-2]|[12]?[0-9]))?$", address_pattern()))
}

fn uuid(description: &str) -> Value {
    text(description, "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
}

fn string(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn boolean(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn integer(description: &str, least: i64, most: i64) -> Value {
    json!({"type": "integer", "description": description, "minimum": least, "maximum": most})
}

fn words(description: &str, words: &[&str]) -> Value {
    json!({"description": description, "enum": words})
}

fn list(description: &str, items: Value) -> Value {
    json!({"type": "array", "description": description, "items": items})
}

fn one_or_list(description: &str, item: Value) -> Value {
    json!({"description": description, "oneOf": [item.clone(), {"type": "array", "items": item}]})
}

/// A table with these keys and no others.
fn table(description: &str, required: &[&str], properties: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    json!({
        "type": "object",
        "description": description,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The same table, of which exactly one of these keys has to be given.
fn with_one_of(mut table: Value, keys: &[&[&str]]) -> Value {
    let choices: Vec<Value> = keys.iter().map(|keys| json!({"required": keys})).collect();
    if let Some(fields) = table.as_object_mut() {
        fields.insert("oneOf".to_owned(), Value::Array(choices));
    }
    table
}

fn document(title: &str, mut table: Value) -> Value {
    if let Some(fields) = table.as_object_mut() {
        fields.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        fields.insert("title".to_owned(), json!(title));
    }
    table
}

fn profile() -> Value {
    words(
        "The layout: `strict` (the default) closes what `rainbond`, the layout of the Go plugin, leaves open.",
        &["rainbond", "strict"],
    )
}

fn anti_spoof() -> Value {
    words(
        "Where sources are checked: a bridge lets in only its own network's (the default of `strict`), or besides each port only its own address and MAC, or nowhere.",
        &["bridge", "port", "none"],
    )
}

fn mtu() -> Value {
    integer("The MTU inside pods.", 576, 65535)
}

fn dns() -> Value {
    let servers = list("Name servers.", address("A name server."));
    let search = list("Search domains.", string("A domain."));
    table("Name resolution inside pods.", &[], &[("nameservers", servers), ("search", search)])
}

fn gateway() -> Value {
    let pattern = format!("^(first|last|{})$", address_pattern());
    text("The gateway's address: `first` or `last` (the default) of the network, or this one.", &pattern)
}

/// The schema of a tenant file.
pub fn tenant() -> Value {
    let whole = table(
        "A tenant: a router of its own behind the provider router, with bridges, rules, and what it shows of itself.",
        &["name"],
        &[
            ("name", name("Its name: the first segment of all its keys.")),
            (
                "tenant_id",
                text("MidoNet's tenantId (a Keystone project id); the name where absent.", "^[!-~]{1,64}$"),
            ),
            ("profile", profile()),
            (
                "labels",
                json!({"type": "object", "description": "Labels.", "additionalProperties": {"type": "string"}}),
            ),
            ("protect", boolean("May not be destroyed.")),
            ("mtu", mtu()),
            ("dns", dns()),
            ("quotas", quotas()),
            ("link", link()),
            ("anti_spoof", anti_spoof()),
            ("egress", egress()),
            ("bridge", list("Bridges.", bridge())),
            ("port", list("Ports that are there before anything is attached to them.", port())),
            ("route", list("Routes.", route())),
            ("rule", list("Rules, asked in order.", rule())),
            ("address_group", list("Groups of addresses, for rules.", address_group())),
            ("port_group", list("Groups of static ports.", port_group())),
            ("expose", list("Public ports that lead to pods.", expose())),
            ("peer", list("Tenants that this one may talk to; both sides name each other.", peer())),
            ("moved", list("What was renamed, and is not to be made again for that.", moved())),
            ("assert", list("What has to hold, whatever the rules say; `validate` checks it.", assertion())),
        ],
    );
    document("midoform tenant file", whole)
}

fn quotas() -> Value {
    limits("Limits.")
}

fn limits(description: &str) -> Value {
    let limits = ["bridges", "ports", "routes", "rules", "exposes", "peers"];
    let limits: Vec<(&str, Value)> =
        limits.map(|key| (key, integer("At most so many.", 0, 1_000_000))).to_vec();
    table(description, &[], &limits)
}

fn link() -> Value {
    let ends = [
        ("provider", address("The provider router's address.")),
        ("tenant", address("The tenant router's address.")),
        (
            "prefix",
            integer("The prefix length of both ports' network, where it is not the profile's.", 8, 30),
        ),
    ];
    table("The addresses of the link to the provider router, pinned.", &["provider", "tenant"], &ends)
}

fn egress() -> Value {
    let pattern = format!("^{0}( *- *{0})?$", address_pattern());
    let range =
        table("Translate to these.", &["snat"], &[("snat", text("An address or a range.", &pattern))]);
    let plain = words("Translate to the link address (the default), or not at all.", &["snat", "none"]);
    json!({"description": "How pods reach the world.", "oneOf": [plain, range]})
}

fn bridge() -> Value {
    let cidr = network("Its network; allocated where absent.");
    table("A bridge.", &["name"], &[("name", name("Its name.")), ("cidr", cidr), ("gateway", gateway())])
}

fn port() -> Value {
    table(
        "A port for an interface of a host.",
        &["name", "bridge", "host", "interface", "mac", "address"],
        &[
            ("name", name("Its name.")),
            ("bridge", name("Its bridge.")),
            ("host", string("The host: its name in the site file, or its id.")),
            ("interface", text("The interface on that host.", "^[!-.0-9;-~]{1,15}$")),
            ("mac", text("The MAC address behind it.", "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$")),
            ("address", address("The address behind it.")),
        ],
    )
}

fn route() -> Value {
    let route = table(
        "A route.",
        &["destination"],
        &[
            ("destination", network("Which destinations it is for.")),
            ("via", address("The next hop: an address in one of the tenant's bridges.")),
            ("bridge", name("The destination itself is on this bridge.")),
            ("type", words("Nowhere, silently or with an ICMP error.", &["blackhole", "reject"])),
            (
                "weight",
                integer(
                    "Of routes with the same destination the lowest wins; 100 where absent.",
                    0,
                    2_147_483_647,
                ),
            ),
        ],
    );
    with_one_of(route, &[&["via"], &["bridge"], &["type"]])
}

fn ports(description: &str) -> Value {
    let port = integer("A port.", 1, 65535);
    let range = text("A port or a range.", "^ *[0-9]{1,5} *(- *[0-9]{1,5} *)?$");
    let one = json!({"oneOf": [port, range]});
    json!({
        "description": description,
        "oneOf": [port, range, {"const": true}, {"type": "array", "items": one, "minItems": 1}],
    })
}

/// The keys of both ends of a rule.
fn end_keys(here: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("bridge", name("A bridge of the tenant.")),
        ("address_group", name("An address group of the tenant.")),
        ("port_group", name("A port group of the tenant.")),
        ("peer", name("A peer of the tenant.")),
        ("cidr", network("Addresses.")),
        ("world", json!({"description": "What lies behind the provider router.", "const": true})),
        ("tcp", ports(&format!("TCP {here} ports."))),
        ("udp", ports(&format!("UDP {here} ports."))),
    ]
}

/// The two ends of a rule or an assertion.
fn ends() -> [Value; 2] {
    let from = table("Where a connection comes from; anywhere where absent.", &[], &end_keys("source"));
    let mut keys = end_keys("destination");
    let kind = [("type", integer("The type.", 0, 255)), ("code", integer("The code.", 0, 255))];
    let icmp = table("One type of ICMP.", &["type"], &kind);
    keys.push(("icmp", json!({"description": "ICMP.", "oneOf": [{"const": true}, icmp]})));
    let names = words("A protocol's name.", &["icmp", "tcp", "udp", "gre", "esp", "ah", "sctp"]);
    let protocol =
        json!({"description": "An IP protocol.", "oneOf": [integer("Its number.", 1, 255), names]});
    keys.push(("protocol", protocol));
    [from, table("Where a connection goes; anywhere where absent.", &[], &keys)]
}

fn assertion() -> Value {
    let [from, to] = ends();
    let allowed = boolean("Whether all of these connections have to pass, or none of them.");
    table(
        "An assertion about new connections.",
        &["from", "to", "allowed"],
        &[("from", from), ("to", to), ("allowed", allowed)],
    )
}

fn rule() -> Value {
    let [from, to] = ends();
    table(
        "A rule.",
        &["name", "action"],
        &[
            ("name", name("Its name.")),
            ("from", from),
            ("to", to),
            ("action", words("What happens.", &["accept", "drop", "reject"])),
            (
                "stateful",
                boolean(
                    "Answers pass without being asked (the default). Rules that see answers too come first.",
                ),
            ),
        ],
    )
}

fn address_group() -> Value {
    let addresses = list("Addresses and networks.", network("An address or a network."));
    table(
        "A group of addresses.",
        &["name", "addresses"],
        &[("name", name("Its name.")), ("addresses", addresses)],
    )
}

fn port_group() -> Value {
    let ports = list("Static ports, by name.", name("A port."));
    let stateful = boolean("Whether MidoNet shares flow state among them.");
    table(
        "A group of ports.",
        &["name", "ports"],
        &[("name", name("Its name.")), ("ports", ports), ("stateful", stateful)],
    )
}

fn expose() -> Value {
    let public = text("The public address and port.", &format!("^{}:[0-9]{{1,5}}$", address_pattern()));
    let to = table(
        "The pod: a bridge and an address on it, or a static port; and its TCP or UDP port.",
        &[],
        &[
            ("bridge", name("The pod's bridge.")),
            ("address", address("The pod's address.")),
            ("port", name("The static port.")),
            ("tcp", integer("The pod's TCP port.", 1, 65535)),
            ("udp", integer("The pod's UDP port.", 1, 65535)),
        ],
    );
    let choices: [&[&str]; 4] =
        [&["bridge", "address", "tcp"], &["bridge", "address", "udp"], &["port", "tcp"], &["port", "udp"]];
    let to = with_one_of(to, &choices);
    table("A public port.", &["public", "to"], &[("public", public), ("to", to)])
}

fn moved() -> Value {
    let old = string("The old name.");
    let moved = table(
        "Something that was renamed.",
        &["to"],
        &[("bridge", old.clone()), ("rule", old.clone()), ("port", old), ("to", name("The new name."))],
    );
    with_one_of(moved, &[&["bridge"], &["rule"], &["port"]])
}

fn peer() -> Value {
    let bridges = list("Which of the own bridges it may reach; all where absent.", name("A bridge."));
    table("A peer.", &["tenant"], &[("tenant", name("The other tenant.")), ("bridges", bridges)])
}
