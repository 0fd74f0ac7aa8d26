//! Names that follow from an endpoint, so that every run finds what another run made.

use midoform_compiler::values::MacAddress;
use sha2::{Digest as _, Sha256};

use crate::protocol::request::Endpoint;

/// The longest alias of an interface that the kernel stores, in bytes.
const LONGEST_ALIAS: usize = 255;

/// Returns the name of the host's end: `vif` as in the Go plugin, and a hash.
///
/// The Go plugin uses the first twelve characters of the container id. But an id may be shorter, two ids may begin alike,
/// and a container may have several interfaces.
pub(crate) fn host_interface_name(endpoint: &Endpoint) -> String {
    let digits = hex::encode(hash_of(endpoint));
    format!("vif{}", digits.get(..12).unwrap_or_default())
}

/// Returns the MAC address of the host's end. It is locally administered.
pub(crate) fn host_mac(endpoint: &Endpoint) -> MacAddress {
    let [.., a, b, c, d, e] = hash_of(endpoint);
    MacAddress([0x0e, a, b, c, d, e])
}

fn hash_of(endpoint: &Endpoint) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(endpoint.container.as_bytes());
    hash.update([0]);
    hash.update(endpoint.interface.as_bytes());
    hash.finalize().into()
}

/// Returns the alias of the host's end, which names the owner in full: `NETWORK/CONTAINER/INTERFACE`.
pub(crate) fn alias_of(network: &str, endpoint: &Endpoint) -> String {
    let Endpoint { container, interface } = endpoint;
    shortened(format!("{network}/{container}/{interface}"))
}

/// Returns an alias as the kernel can store it. A long one gets a hash instead of its end.
pub(super) fn shortened(alias: String) -> String {
    if alias.len() <= LONGEST_ALIAS {
        return alias;
    }
    let hash = hex::encode(Sha256::digest(&alias));
    let end = (0..=180).rev().find(|end| alias.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…{}", alias.get(..end).unwrap_or_default(), hash.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_fits_and_differs_between_owners() {
        let alias = |network: &str, container: &str| {
            let endpoint = Endpoint { container: container.to_owned(), interface: "eth0".to_owned() };
            alias_of(network, &endpoint)
        };
        assert_eq!(alias("lab", "c1"), "lab/c1/eth0");
        let (one, other) = ("a".repeat(256), format!("{}b", "a".repeat(255)));
        assert_ne!(alias("lab", &one), alias("lab", &other));
        assert!(alias(&"n".repeat(255), &one).len() <= LONGEST_ALIAS);
    }

    #[test]
    fn interface_names_differ_for_short_ids_similar_ids_and_several_interfaces() {
        let name = |container: &str, interface: &str| {
            host_interface_name(&Endpoint {
                container: container.to_owned(),
                interface: interface.to_owned(),
            })
        };
        assert_eq!(name("default-c9", "eth0").len(), 15);
        assert_ne!(name("default-c9", "eth0"), name("default-c9", "eth1"));
        let (one, other) = (format!("{}1", "a".repeat(40)), format!("{}2", "a".repeat(40)));
        assert_ne!(name(&one, "eth0"), name(&other, "eth0"));
    }
}
