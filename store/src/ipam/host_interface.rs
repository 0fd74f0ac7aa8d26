//! The names of the host's interfaces of pods: new with every attachment, because MidoNet's agent does not bind an
//! interface whose name comes back.
//!
//! A name is `vif`, five characters that follow from container and interface, and a tag of seven random characters. The
//! keys of the attachment's objects in MidoNet have the same tag, so the ids of its port and chain follow from the name.
//! midoform made names without a tag before: `vif` and twelve hexadecimal digits of the hash.

use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::builder::PodKeys;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::owner::Owner;

/// The first characters of the name of every pod's interface, as in the Go plugin.
pub const POD_INTERFACE: &str = "vif";
/// The number of characters that follow from container and interface.
const HASHED: usize = 5;
/// The number of characters of a tag.
const TAG: usize = 7;
/// The characters of names: lower-case digits of base 32.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Returns a name for a new attachment of this owner. No attachment had it before: it has 35 random bits.
pub fn new_host_interface(owner: &Owner) -> String {
    let tag = digits(fastrand::u64(..), TAG);
    host_interface_with_tag(&owner.container, &owner.interface, &tag)
}

/// Returns the name of the attachment of this container and interface that has this tag.
pub fn host_interface_with_tag(container: &str, interface: &str, tag: &str) -> String {
    format!("{}{tag}", beginning(container, interface))
}

/// Returns the name that midoform gave to all attachments of this owner before names had tags.
pub fn host_interface_without_tag(owner: &Owner) -> String {
    let hash = hex::encode(hash_of(&owner.container, &owner.interface));
    format!("{POD_INTERFACE}{}", hash.get(..HASHED + TAG).unwrap_or_default())
}

/// Returns the tag in the name of an owner's interface. A name that midoform made before, or somebody else, has none.
pub fn tag_of<'n>(owner: &Owner, host_interface: &'n str) -> Option<&'n str> {
    let tag = host_interface.strip_prefix(&beginning(&owner.container, &owner.interface))?;
    let is_tag = tag.len() == TAG && tag.bytes().all(|digit| DIGITS.contains(&digit));
    (is_tag && *host_interface != host_interface_without_tag(owner)).then_some(tag)
}

/// Returns the keys of the objects of an attachment, which follow from its owner and from the name of its interface.
pub fn pod_keys<'k>(tenant: &'k str, host: Uuid, owner: &'k Owner, host_interface: &'k str) -> PodKeys<'k> {
    Key::tenant(tenant).pod(host, &owner.container, &owner.interface).tagged(tag_of(owner, host_interface))
}

/// Returns true if an interface is named like the host's interface of a pod.
pub(crate) fn is_named_like_a_pods(name: &str) -> bool {
    let rest = name.strip_prefix(POD_INTERFACE);
    rest.is_some_and(|rest| rest.len() == HASHED + TAG && rest.bytes().all(|digit| DIGITS.contains(&digit)))
}

fn beginning(container: &str, interface: &str) -> String {
    let [a, b, c, d, e, f, g, h, ..] = hash_of(container, interface);
    format!("{POD_INTERFACE}{}", digits(u64::from_be_bytes([a, b, c, d, e, f, g, h]), HASHED))
}

/// Writes the lowest bits of a number in base 32.
fn digits(number: u64, count: usize) -> String {
    let digit = |at: usize| DIGITS.get(usize::try_from((number >> (5 * at)) & 31).unwrap_or_default());
    (0..count).filter_map(digit).map(|digit| char::from(*digit)).collect()
}

fn hash_of(container: &str, interface: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(container.as_bytes());
    hash.update([0]);
    hash.update(interface.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(container: &str, interface: &str) -> Owner {
        Owner { network: "lab".to_owned(), container: container.to_owned(), interface: interface.to_owned() }
    }

    #[test]
    fn every_attachment_has_a_new_name_that_the_kernel_can_store() {
        let one = owner("default-c9", "eth0");
        let mut names: Vec<String> = (0..1000).map(|_| new_host_interface(&one)).collect();
        assert!(names.iter().all(|name| name.len() == 15 && is_named_like_a_pods(name)), "{names:?}");
        assert!(names.iter().all(|name| tag_of(&one, name).is_some_and(|tag| name.ends_with(tag))));
        assert!(names.iter().all(|name| tag_of(&owner("default-c9", "eth1"), name).is_none()));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1000);
    }

    #[test]
    fn a_name_of_before_has_no_tag() {
        let similar = format!("{}1", "a".repeat(40));
        let one = owner(&similar, "eth0");
        let name = host_interface_without_tag(&one);
        assert_eq!(name, format!("vif{}", &hex::encode(hash_of(&one.container, &one.interface))[..12]));
        assert!(is_named_like_a_pods(&name));
        assert_eq!(tag_of(&one, &name), None);
        assert_eq!(tag_of(&one, "tap3"), None);
        assert_ne!(name, host_interface_without_tag(&owner(&format!("{}2", "a".repeat(40)), "eth0")));
        assert_ne!(name, host_interface_without_tag(&owner(&similar, "eth1")));
    }
}
