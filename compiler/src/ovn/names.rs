//! The names of rows. A row's name is its site and its key, so it is unique where OVN wants that (the ports of all switches have
//! one set of names, and the ports of all routers another), also if two sites share one OVN.

use uuid::Uuid;

use crate::topology::key::{Key, Namespace};
use crate::values::MacAddress;

/// The beginning of the names of sets.
const PREFIX: &str = "midoform";

/// Returns the name of the row with this key.
pub fn name(site: &str, key: &Key) -> String {
    format!("{site}:{key}")
}

/// Returns the name of the set with this key. Matches name sets, so it has only letters, digits, `_` and `.`: a `.` stands between
/// the parts, and a character that is not a letter or a digit is written as `_` and a letter. No two keys have one name.
pub fn set_name(site: &str, key: &Key) -> String {
    let mut name = String::from(PREFIX);
    for part in std::iter::once(site).chain(key.as_str().split('/')) {
        name.push('.');
        for character in part.chars() {
            match character {
                '_' => name.push_str("__"),
                '-' => name.push_str("_h"),
                '.' => name.push_str("_d"),
                other if other.is_ascii_alphanumeric() => name.push(other),
                other => name.push_str(&format!("_x{:x}_", u32::from(other))),
            }
        }
    }
    name
}

/// Returns the MAC address of a router's port. It follows from the port's key, so it stays when the port is made again.
pub fn mac(site: &str, port: &Key) -> MacAddress {
    mac_in(Namespace::of_site(site), port)
}

/// Returns the MAC address of a router's port in the namespace of its site.
pub(super) fn mac_in(namespace: Namespace, port: &Key) -> MacAddress {
    let id: Uuid = namespace.id(port);
    let [first, second, third, fourth, fifth, sixth, ..] = *id.as_bytes();
    // A locally administered address of one interface.
    MacAddress([first & 0xfc | 0x02, second, third, fourth, fifth, sixth])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sets_are_identifiers_and_different() {
        let keys = [
            "a/address-group/x",
            "a/address-group/x_y",
            "a/address-group/x-y",
            "a/address-group/x.y",
            "a-b/c",
            "a/b/c",
        ];
        let names: std::collections::BTreeSet<String> =
            keys.iter().map(|key| set_name("s", &Key::from(*key))).collect();
        assert_eq!(names.len(), keys.len());
        assert!(
            names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b)))
        );
        assert_eq!(
            set_name("gz-1", &Key::from("a/address-group/x_y")),
            "midoform.gz_h1.a.address_hgroup.x__y"
        );
    }

    #[test]
    fn mac_addresses_are_those_of_one_interface() {
        let mac = mac("s", &Key::from("acme/uplink/port"));
        assert!(!mac.is_group());
        assert_eq!(mac.0[0] & 2, 2);
    }
}
