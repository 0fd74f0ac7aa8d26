//! Names that follow from an endpoint, so that every run finds what another run made.

use midoform_compiler::values::MacAddress;
use midoform_store::ipam::Owner;
use sha2::{Digest as _, Sha256};

use crate::protocol::request::Endpoint;

/// The longest alias of an interface that the kernel stores, in bytes.
const LONGEST_ALIAS: usize = 255;

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

/// Returns the alias of the host's end, which names the owner in full: `NETWORK/CONTAINER/INTERFACE`. The end is found by it,
/// since its name is new with every attachment.
pub(crate) fn alias_of(owner: &Owner) -> String {
    let Owner { network, container, interface } = owner;
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
            alias_of(&Owner {
                network: network.to_owned(),
                container: container.to_owned(),
                interface: "eth0".to_owned(),
            })
        };
        assert_eq!(alias("lab", "c1"), "lab/c1/eth0");
        let (one, other) = ("a".repeat(256), format!("{}b", "a".repeat(255)));
        assert_ne!(alias("lab", &one), alias("lab", &other));
        assert!(alias(&"n".repeat(255), &one).len() <= LONGEST_ALIAS);
    }
}
