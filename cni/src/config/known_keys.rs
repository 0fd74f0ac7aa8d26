//! The keys that a network configuration may have, each with its meaning: the tables in `docs/cni.md` are made from these lists.

/// A key and its meaning.
type KnownKey = (&'static str, &'static str);

/// The keys of midonet-cni, in the order in which the documentation has them.
const OWN: &[KnownKey] = &[
    (
        "site",
        "the path of the site file (`docs/spec.md`), or its content as JSON; `[midonet] url` or `[ovn]` is required",
    ),
    ("engine", "`midonet` or `ovn`, if the site has the tables of both; otherwise MidoNet"),
    (
        "open_vswitch",
        "on OVN, the address of the host's own Open vSwitch database; otherwise the site's `[ovn] open_vswitch`, otherwise \
         `unix:/var/run/openvswitch/db.sock`",
    ),
    (
        "host_uuid",
        "this host's id in MidoNet; otherwise `host_uuid=…` of `/etc/midolman/host_uuid.properties`, otherwise of \
         `/etc/midonet_host_id.properties`",
    ),
    ("tenant", "the tenant of pods whose request names none"),
    ("bridge", "the bridge of the pods; otherwise the first of the tenant's spec"),
    ("profile", "`strict` or `rainbond`: the layout of tenants without a spec; otherwise the site's"),
    (
        "mtu",
        "the MTU in the container; otherwise the spec's, the site's, or the one that fits the tunnels (`docs/spec.md`). More than the \
         tunnels carry is an error",
    ),
    (
        "routes",
        "`[{\"dst\": \"10.96.0.0/12\", \"gw\": \"…\"}]`: routes besides the default route. The next hop is `gw`, or the bridge's gateway",
    ),
    (
        "rename_existing",
        "`true`: if an interface with the requested name exists, it is renamed to `eth1`, whoever made it",
    ),
    (
        "login",
        "`{\"username\", \"password\", \"project\"}` or `{\"token\"}`; otherwise `MIDONET_…` of the environment",
    ),
    ("login_file", "the path of a file with the same, instead of `login`"),
    ("etcd_login", "`{\"username\", \"password\"}`, if the etcd of the site file requires them"),
    ("etcd_login_file", "the path of a file with the same, instead of `etcd_login`"),
    (
        "store",
        "the file of the embedded store, if the site names no etcd; otherwise the path in the site's `[store]`, relative to `state_dir`; \
         otherwise `store.db` in `state_dir`",
    ),
    (
        "state_dir",
        "the folder of journal, locks, token and store; otherwise `/var/lib/midonet-cni`. Two sites on one host need a folder each. Folders \
         that the plugin makes have the mode 0700",
    ),
    (
        "log_file",
        "the file of the log, which has one JSON object a line; otherwise the log goes to standard error, which runtimes pass to journald. It \
         never goes to standard output, even if `log_file` names it, nor to a device other than `/dev/null`",
    ),
    ("log_level", "the level of the log"),
    ("timeout", "the time limit of one call, in seconds; otherwise 3"),
    ("add_timeout", "the time limit of an ADD, in seconds; otherwise 20. Every other verb ends after 8"),
];

/// The keys of the specification and of libcni that midonet-cni knows. Those of IPAM and of other plugins are known, and have no effect.
const OF_THE_SPECIFICATION: &[KnownKey] = &[
    ("cniVersion", "the version of the configuration and of the result"),
    ("cniVersions", "further versions, which the runtime chooses from"),
    ("name", "the network's name"),
    ("type", "`midonet-cni`"),
    ("args", "values for one run: `args.cni` may have `tenant`, `bridge`, `ips`, `mac`"),
    ("capabilities", "what the runtime may ask for: `ips`, `mac`, `dns`, `portMappings`"),
    ("runtimeConfig", "what it asks for"),
    ("dns", "name resolution, for tenants without a `dns` of their own"),
    ("prevResult", "the result of the previous plugin"),
    ("disableCheck", "the runtime does not run CHECK"),
    ("disableGC", "`true`: GC does nothing"),
    ("loadOnlyInlinedPlugins", "libcni's own"),
    ("ipMasq", "of other plugins; no effect"),
    ("ipam", "of other plugins; no effect"),
];

/// Returns true for a key that a configuration may have. Any other one is a warning.
pub(super) fn contains(key: &str) -> bool {
    OWN.iter().chain(OF_THE_SPECIFICATION).any(|(known, _)| *known == key)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use midoform_testutil::documentation::expect_generated;
    use serde_json::json;

    use super::*;
    use crate::config::parse;
    use crate::config::settings::{STATE_FOLDER, Timeouts};
    use crate::protocol::error::Code;
    use crate::protocol::request::Verb;

    fn table(keys: &[KnownKey]) -> String {
        let mut text = "| Key | Meaning |\n|-|-|\n".to_owned();
        for (key, meaning) in keys {
            let _ = writeln!(text, "| `{key}` | {meaning} |");
        }
        text
    }

    #[test]
    fn the_documentation_of_the_keys_is_current() {
        let parts =
            [("keys of the plugin", table(OWN)), ("keys of the specification", table(OF_THE_SPECIFICATION))];
        expect_generated("docs/cni.md", &parts);
    }

    /// No key is described that nothing reads: a value that no key may have is an error, which names the key.
    #[test]
    fn every_own_key_is_read() {
        let site =
            json!({"name": "n", "midonet": {"url": "http://127.0.0.1:8181/midonet-api", "managed": true}});
        for (key, _) in OWN {
            let mut configuration =
                json!({"cniVersion": "1.1.0", "name": "n", "type": "midonet-cni", "site": site});
            configuration[*key] = json!([[1]]);
            let error = parse(&configuration.to_string(), Verb::Add, &|_| None).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfiguration, "{key}: {error:?}");
            assert!(error.in_full().contains(key), "{key}: {error:?}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_code() {
        let meaning =
            |name: &str| OWN.iter().find(|(key, _)| *key == name).map(|(_, meaning)| *meaning).unwrap();
        let usual = Timeouts::default();
        assert!(meaning("timeout").ends_with(&format!("otherwise {}", usual.call.as_secs())));
        let ends = format!(
            "otherwise {}. Every other verb ends after {}",
            usual.add.as_secs(),
            usual.other.as_secs()
        );
        assert!(meaning("add_timeout").ends_with(&ends), "{ends}");
        assert!(meaning("state_dir").contains(&format!("otherwise `{STATE_FOLDER}`")));
    }
}
