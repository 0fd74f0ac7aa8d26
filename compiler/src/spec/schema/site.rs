//! The site file, and policies.

use serde_json::{Value, json};

use super::{
    address, anti_spoof, boolean, dns, document, integer, limits, list, mtu, name, network, one_or_list,
    profile, string, table, text, uuid, words,
};

/// The schema of a site file.
#[allow(clippy::too_many_lines, reason = "the file's tables, one after another")]
pub fn site() -> Value {
    let midonet = table(
        "How MidoNet is reached.",
        &[],
        &[
            ("url", text("The API's base URL.", "^https?://")),
            ("embedded", boolean("Use the MidoNet API inside midoform.")),
            (
                "version",
                json!({"description": "The dialect: 1 for MidoNet 1.x, 5 for 5.x (the default).", "enum": [1, 5]}),
            ),
            ("provider_router", uuid("The router that leads outside.")),
            ("managed", boolean("midoform makes the provider router.")),
        ],
    );
    let pools = table(
        "What addresses may be given out.",
        &[],
        &[
            (
                "links",
                one_or_list(
                    "Networks for links: a /30 for each tenant and each pair of peers.",
                    network("A network."),
                ),
            ),
            ("bridges", one_or_list("Networks for bridges without a cidr.", network("A network."))),
            ("bridge_prefix", integer("The prefix length of such a bridge's network.", 8, 29)),
            ("shared", boolean("Every tenant may use the whole pool of bridges.")),
        ],
    );
    let endpoints = one_or_list("The members' client URLs.", string("A URL."));
    let etcd = table(
        "The store in a cluster.",
        &["endpoints"],
        &[
            ("endpoints", endpoints),
            ("ca", string("The file with the certificates that vouch for the members (PEM).")),
            ("cert", string("The file with one's own certificate (PEM).")),
            ("key", string("The file with its private key (PEM).")),
            ("timeout", integer("How many seconds one call may take.", 1, 600)),
        ],
    );
    let path = string("The file; a relative path is one from the site file's folder.");
    let store = table("The store on one machine: an embedded database.", &["path"], &[("path", path)]);
    let defaults = table(
        "What tenants get that don't say otherwise.",
        &[],
        &[
            ("profile", profile()),
            ("anti_spoof", anti_spoof()),
            ("mtu", mtu()),
            ("dns", dns()),
            ("gateway", words("Which address of its network a bridge's gateway has.", &["first", "last"])),
        ],
    );
    let host = table(
        "A host that static ports may be bound on.",
        &["name", "id"],
        &[
            ("name", name("The name that static ports use.")),
            ("id", uuid("The id that its MidoNet agent registered.")),
            ("tunnel_address", address("Where its tunnels end.")),
        ],
    );
    let zone = table(
        "The tunnel zone that midoform makes for the hosts.",
        &["name"],
        &[("name", name("Its name.")), ("type", words("How it wraps packets.", &["gre", "vxlan"]))],
    );
    let whole = table(
        "What serves every tenant of a site.",
        &["name", "midonet"],
        &[
            ("name", name("The site's name: the namespace of all ids. Renaming it makes a new world.")),
            ("midonet", midonet),
            ("pools", pools),
            ("etcd", etcd),
            ("store", store),
            ("keystone", keystone()),
            ("defaults", defaults),
            ("host", list("Hosts.", host)),
            ("tunnel_zone", zone),
            ("policy", policy_table()),
        ],
    );
    document("midoform site file", whole)
}

/// The schema of a policy file.
pub fn policy() -> Value {
    document("midoform policy file", policy_table())
}

fn policy_table() -> Value {
    let labels = |description: &str| json!({"type": "object", "description": description, "additionalProperties": {"type": "string"}});
    let names = ["tenant", "bridge", "port", "rule", "address_group", "port_group"];
    let patterns = names.map(|key| (key, string("A regular expression that the whole name has to match.")));
    let port = json!({"oneOf": [
        integer("A port.", 1, 65535),
        text("A port or a range.", "^ *[0-9]{1,5} *(- *[0-9]{1,5} *)?$"),
    ]});
    let every = json!({"description": "All tenants, or those with these labels, are protected.", "oneOf": [
        {"type": "boolean"},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ]});
    table(
        "What every tenant has to keep to; what is absent allows everything.",
        &[],
        &[
            ("limits", limits("At most so many of each, in one tenant.")),
            ("allowed_public_ports", one_or_list("The only ports that may be exposed.", port.clone())),
            ("forbidden_public_ports", one_or_list("Ports that may not be exposed.", port)),
            (
                "allowed_public_addresses",
                one_or_list("Where addresses that are exposed or translated to lie.", network("A network.")),
            ),
            (
                "allowed_bridge_networks",
                one_or_list("Where the networks of bridges lie that name one.", network("A network.")),
            ),
            ("allowed_profiles", one_or_list("The only profiles.", profile())),
            ("allowed_anti_spoof", one_or_list("The only values of `anti_spoof`.", anti_spoof())),
            ("required_labels", one_or_list("Labels that a tenant has to have.", string("A label."))),
            ("label_values", labels("Regular expressions that whole values of labels have to match.")),
            ("names", table("What names look like.", &[], &patterns)),
            (
                "forbid_accept_from_anywhere",
                boolean("No rule accepts from the world, from 0.0.0.0/0, or from a group that holds it."),
            ),
            (
                "forbid_accept_to_anywhere",
                boolean(
                    "No rule accepts to the world, to 0.0.0.0/0, to a group that holds it, or to no place by name.",
                ),
            ),
            ("require_protect", every),
        ],
    )
}

fn keystone() -> Value {
    let fields = [
        (
            "url",
            text(
                "Where Keystone is, without a version; where `OS_AUTH_URL` says, if absent.",
                "^https?://[^@]*$",
            ),
        ),
        ("version", json!({"description": "The Identity API: 2 (v2.0) or 3 (the default).", "enum": [2, 3]})),
        ("domain", string("The domain of the projects, by name (version 3; `Default` where absent).")),
        ("create", boolean("Make the projects that are missing.")),
    ];
    table("Who knows the tenants' projects: a tenant's `tenant_id` is its project's id.", &[], &fields)
}
