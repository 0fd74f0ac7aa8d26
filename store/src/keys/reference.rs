//! The keys and their values in words, and the test that writes them into `docs/store.md`. It compares them with the kinds of keys and
//! with the fields of the records.

use std::fmt::Write as _;

use midoform_compiler::network::allocation::{LinkAddresses, TenantAllocation};
use midoform_testutil::documentation::expect_generated;
use serde::de::value::Error as Nothing;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

use super::{AllocationKey, KeyKind};
use crate::allocation::records::{Generation, Ids, Pools, ZoneHost};
use crate::ipam::attachment::{AddressRecord, Attachment, Freed};
use crate::ipam::mac::MacRecord;
use crate::ipam::ports::PortDeletion;
use crate::locks::LockRecord;
use crate::ready::Ready;
use crate::tenants::PushedFile;

/// A kind of key.
struct Described {
    /// The key, with names in capitals.
    form: &'static str,
    /// What its value is.
    value: &'static str,
    /// The fields of the value, besides `version`, each with its meaning.
    fields: &'static [(&'static str, &'static str)],
}

/// A file that `midoform push` stored.
const FILE: &[(&str, &str)] =
    &[("file", "the file's path"), ("text", "its text"), ("sha256", "the SHA-256 of the text")];

/// Every kind of key, in the order in which the reference has them.
const DESCRIBED: &[Described] = &[
    Described { form: "site", value: "the site file, as `midoform push` stored it", fields: FILE },
    Described { form: "spec/TENANT", value: "the tenant's spec, in the same form", fields: FILE },
    Described {
        form: "given/tenant/TENANT",
        value: "the tenant's allocations",
        fields: &[
            ("applied", "a plan with these addresses was applied, or an apply of it has begun"),
            ("unfinished", "a run goes on, or the last one was interrupted"),
            (
                "first_generation",
                "the generation of its first ids, if there was a tenant of this name before",
            ),
            ("protect", "its spec said `protect = true` when it was applied"),
            ("tenant_id", "the id of its project in Keystone, if MidoNet's `tenantId` comes from there"),
            ("project_made", "midoform made the project"),
            ("link", "the addresses of the link to the provider router: `provider`, `tenant`"),
            ("ports", "the names of the static ports that exist"),
            ("making", "the objects that an interrupted run was creating, by key (MidoNet 1.x)"),
            ("moved", "the `[[moved]]` of chains and circles that these allocations follow already"),
            ("bridges", "the network of each bridge"),
            ("grown", "the bridges that were added, each with the full one"),
        ],
    },
    Described {
        form: "given/ids/TENANT",
        value: "the ids that don't follow from the object keys: chosen by the server (MidoNet 1.x), adopted, or of an object that \
                was made by a later run",
        fields: &[("ids", "by object key, the id")],
    },
    Described {
        form: "given/zone-host/ID",
        value: "a host that midoform put into the site's tunnel zone (`docs/apply.md`)",
        fields: &[("name", "the host's name")],
    },
    Described {
        form: "given/generation/OWNER",
        value: "the generation of ids of a tenant, also of one that is gone, or of an object of the site (`docs/apply.md`)",
        fields: &[("last", "the last generation")],
    },
    Described {
        form: "given/peer/ONE/OTHER",
        value: "the addresses of the link between two peers",
        fields: &[("provider", "the first one's end"), ("tenant", "the other one's end")],
    },
    Described {
        form: "given/pools",
        value: "a counter, compared and written with each allocation: two runs at once can't allocate the same addresses",
        fields: &[("given", "the number of allocations so far")],
    },
    Described {
        form: "ready/TENANT",
        value: "the tenant is ready for pods",
        fields: &[
            ("tenant", "the tenant's name"),
            ("tenant_id", "MidoNet's `tenantId`"),
            ("spec", "the SHA-256 of the spec"),
            ("bridges", "its bridges with ids, networks and gateways"),
            ("ports", "its static ports"),
            ("mtu", "the MTU inside pods"),
            ("nameservers", "the name servers of pods"),
            ("search", "the search domains of pods"),
            ("port_anti_spoof", "each port checks its own addresses"),
            ("anti_spoof", "the checks of source addresses"),
            ("untagged", "the chain that drops frames with a VLAN tag"),
        ],
    },
    Described {
        form: "pod/TENANT/address/SPREAD",
        value: "an address that was allocated at least once",
        fields: &[
            ("holder", "who has the address; without one it is free"),
            ("since", "the time of the claim or of the release"),
            ("last", "the last holder of a free address"),
            ("interfaces", "the host's interfaces that the last holder had"),
        ],
    },
    Described {
        form: "pod/TENANT/free/SINCE/SPREAD",
        value: "a second key of each free address: these keys are in the order of the releases",
        fields: &[],
    },
    Described {
        form: "mac/TENANT/MAC/BRIDGE",
        value: "the holder of a MAC address in a bridge, if it does not follow from the pod's address",
        fields: &[("holder", "the holder")],
    },
    Described {
        form: "reclaim/HOST/NETWORK/CONTAINER/INTERFACE",
        value: "the port that the container left is being deleted: the container is not attached again meanwhile",
        fields: &[("port", "the port's id"), ("since", "the start of the deletion")],
    },
    Described {
        form: "attachment/HOST/NETWORK/CONTAINER/INTERFACE",
        value: "the attachment of a container's interface, and its progress",
        fields: &[
            ("owner", "network, container, and its interface"),
            ("host", "the host's id"),
            ("tenant", "the tenant"),
            ("bridge", "the bridge"),
            ("bridge_id", "its id"),
            ("address", "the pod's address"),
            ("cidr", "the bridge's network"),
            ("gateway", "the bridge's gateway"),
            ("mac", "the pod's MAC address"),
            ("host_interface", "the interface on the host"),
            ("earlier_interfaces", "its names in earlier ADDs that did not end"),
            ("port", "the port's id; absent until the server has chosen it"),
            ("state", "`intent` or `done`"),
            ("since", "the time of the claim"),
            ("pod", "the pod as `namespace/name`"),
            ("extra", "further values of the plugin"),
        ],
    },
    Described {
        form: "lock/NAME",
        value: "the holder of a lock, under a lease. The lock of a tenant is `lock/tenant:TENANT`",
        fields: &[
            ("by", "the command"),
            ("process", "its process"),
            ("since", "the time at which it got the lock"),
            ("nonce", "differs each time the lock is taken"),
        ],
    },
];

/// Returns the description of a kind. A new kind needs one.
fn form_of(kind: &KeyKind) -> &'static str {
    match kind {
        KeyKind::Site => "site",
        KeyKind::Spec(_) => "spec/TENANT",
        KeyKind::Ready(_) => "ready/TENANT",
        KeyKind::Lock => "lock/NAME",
        KeyKind::Allocation(AllocationKey::Tenant(_)) => "given/tenant/TENANT",
        KeyKind::Allocation(AllocationKey::Ids(_)) => "given/ids/TENANT",
        KeyKind::Allocation(AllocationKey::Peer(_)) => "given/peer/ONE/OTHER",
        KeyKind::Allocation(AllocationKey::Generation(_)) => "given/generation/OWNER",
        KeyKind::Allocation(AllocationKey::ZoneHost(_)) => "given/zone-host/ID",
        KeyKind::Allocation(AllocationKey::Pools) => "given/pools",
        KeyKind::Address(..) => "pod/TENANT/address/SPREAD",
        KeyKind::Freed { .. } => "pod/TENANT/free/SINCE/SPREAD",
        KeyKind::Mac(_) => "mac/TENANT/MAC/BRIDGE",
        KeyKind::Attachment => "attachment/HOST/NETWORK/CONTAINER/INTERFACE",
        KeyKind::PortDeletion => "reclaim/HOST/NETWORK/CONTAINER/INTERFACE",
    }
}

/// Returns a key of a form.
fn example(form: &str) -> String {
    let uuid = "11111111-2222-3333-4444-555555555555";
    let values = [
        ("TENANT", "acme"),
        ("ONE", "acme"),
        ("OTHER", "beta"),
        ("OWNER", "acme"),
        ("SPREAD", "7cd81503"),
        ("SINCE", "0000000000000001"),
        ("MAC", "0a:58:c0:a8:1b:35"),
        ("HOST", uuid),
        ("BRIDGE", uuid),
        ("ID", uuid),
    ];
    let value = |part: &str| {
        values.iter().find(|(name, _)| *name == part).map_or("x", |(_, value)| *value).to_owned()
    };
    let filled = |part: &str| match part.chars().all(|c| c.is_ascii_uppercase()) {
        true => value(part),
        false => part.to_owned(),
    };
    form.split('/').map(filled).collect::<Vec<_>>().join("/")
}

/// Finds out which fields a struct is read from: a deserializer that takes note of them, and has no value.
#[derive(Default)]
struct Fields(std::cell::Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for &Fields {
    type Error = Nothing;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Nothing> {
        Err(Nothing::custom("there is no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Nothing> {
        self.0.set(fields);
        Err(Nothing::custom("there is no value"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

fn fields_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let fields = Fields::default();
    assert!(T::deserialize(&fields).is_err());
    fields.0.get()
}

/// Returns the fields that the record behind a form is read from.
fn fields_in_code(form: &str) -> Vec<&'static str> {
    let fields = match form {
        "site" | "spec/TENANT" => fields_of::<PushedFile>(),
        "given/tenant/TENANT" => fields_of::<TenantAllocation>(),
        "given/ids/TENANT" => fields_of::<Ids>(),
        "given/peer/ONE/OTHER" => fields_of::<LinkAddresses>(),
        "given/generation/OWNER" => fields_of::<Generation>(),
        "given/zone-host/ID" => fields_of::<ZoneHost>(),
        "given/pools" => fields_of::<Pools>(),
        "ready/TENANT" => fields_of::<Ready>(),
        "pod/TENANT/address/SPREAD" => fields_of::<AddressRecord>(),
        "pod/TENANT/free/SINCE/SPREAD" => fields_of::<Freed>(),
        "mac/TENANT/MAC/BRIDGE" => fields_of::<MacRecord>(),
        "reclaim/HOST/NETWORK/CONTAINER/INTERFACE" => fields_of::<PortDeletion>(),
        "attachment/HOST/NETWORK/CONTAINER/INTERFACE" => fields_of::<Attachment>(),
        "lock/NAME" => fields_of::<LockRecord>(),
        other => panic!("{other} has no record"),
    };
    // Other names of two fields, from older lock files; and the ids, which have a key of their own.
    let is_left_out = |field: &&str| form == "given/tenant/TENANT" && ["bridge", "id", "ids"].contains(field);
    fields.iter().copied().filter(|field| !is_left_out(field)).collect()
}

#[test]
fn every_kind_of_key_is_described() {
    let mut forms: Vec<&str> = DESCRIBED.iter().map(|described| described.form).collect();
    for form in &forms {
        let kind = KeyKind::of(&example(form)).unwrap_or_else(|| panic!("{form} is no key"));
        assert_eq!(form_of(&kind), *form);
    }
    forms.sort_unstable();
    forms.dedup();
    assert_eq!(forms.len(), KINDS);
}

/// The number of kinds: of the lines in `form_of`.
const KINDS: usize = 15;

#[test]
fn every_field_is_described() {
    for described in DESCRIBED {
        let mut named: Vec<&str> = described.fields.iter().map(|(name, _)| *name).collect();
        let mut found = fields_in_code(described.form);
        named.sort_unstable();
        found.sort_unstable();
        assert_eq!(named, found, "{}", described.form);
    }
}

#[test]
fn the_documentation_of_the_keys_is_current() {
    let mut text = "| Key | Value | Fields |\n|-|-|-|\n".to_owned();
    for Described { form, value, fields } in DESCRIBED {
        let fields: Vec<String> =
            fields.iter().map(|(name, meaning)| format!("`{name}`: {meaning}")).collect();
        let _ = writeln!(text, "| `{form}` | {value} | {} |", fields.join("; "));
    }
    expect_generated("docs/store.md", &[("keys of the store", text)]);
}
