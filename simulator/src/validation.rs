//! The constraints on fields, and the messages about violations (02-router 8 and 9, 05-router-port 6 and 7, 07-route 9
//! to 14, 09-nat-rules 13 and 14).

use crate::object::{Fields, NatTarget, Value};
use crate::resources::fields;
use crate::schema::{Check, DefaultValue, Kind};
use crate::version::Version;

/// A violated constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) property: String,
    pub(crate) message: String,
}

impl Violation {
    pub(crate) fn new(property: &str, message: &str) -> Violation {
        Violation { property: property.to_owned(), message: message.to_owned() }
    }
}

/// The message with MidoNet's regular expression for addresses, for fields that have no other message.
const ADDRESS_PATTERN: &str = r#"must match "^(([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\.){3}([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])$""#;

/// The message about a bad MAC mask.
pub(crate) const MAC_MASK: &str = "MAC mask must consist of three sets of four hexadecimal digits separated by periods, \
                                   e.g. \"ffff.ff00.0000\".";

/// Returns the constraints that the fields of a new or changed object violate, in the order of the kind's table.
pub(crate) fn violations(kind: Kind, version: Version, type_name: &str, set: &Fields) -> Vec<Violation> {
    let mut found = Vec::new();
    for field in fields(kind, version, type_name) {
        let value = set.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value);
        for (versions, check) in field.checks {
            if !versions.has(version) {
                continue;
            }
            // A list that was not set is empty, not null (09-nat-rules, step 13).
            if *check == Check::NotNull && value.is_none() && field.default == DefaultValue::EmptyList {
                continue;
            }
            if let Some(message) = broken(*check, value) {
                found.push(Violation { property: field.name.to_owned(), message });
            }
        }
    }
    found
}

/// Returns the message if a value violates a constraint. A missing value violates [`Check::NotNull`] and the length of
/// a list only.
fn broken(check: Check, value: Option<&Value>) -> Option<String> {
    let value = match (check, value) {
        (Check::NotNull, None | Some(Value::Null)) => return Some("may not be null".to_owned()),
        (Check::ListLength(least), None) if least > 0 => return Some(sizes(least, i32::MAX as usize)),
        (_, None) => return None,
        (_, Some(value)) => value,
    };
    match (check, value) {
        (Check::AtLeast(least), Value::Number(number)) if *number < least => {
            Some(format!("must be greater than or equal to {least}"))
        }
        (Check::AtMost(most), Value::Number(number)) if *number > most => {
            Some(format!("must be less than or equal to {most}"))
        }
        (Check::Address, Value::Text(text)) if !is_address(text) => {
            Some("is an invalid IP format".to_owned())
        }
        (Check::AddressPattern, Value::Text(text)) if !is_address(text) => Some(ADDRESS_PATTERN.to_owned()),
        (Check::Ipv4(message), Value::Text(text)) if !is_address(text) => Some(message.to_owned()),
        (Check::Ipv6(message), Value::Text(text)) if text.parse::<std::net::Ipv6Addr>().is_err() => {
            Some(message.to_owned())
        }
        (Check::Length(least, most), Value::Text(text)) => {
            let length = text.encode_utf16().count();
            (length < least || length > most).then(|| sizes(least, most))
        }
        (Check::ListLength(least), Value::NatTargets(targets)) if targets.len() < least => {
            Some(sizes(least, i32::MAX as usize))
        }
        (Check::Mac, Value::Text(text)) if !is_mac(text) => {
            Some("MAC address string must be 6 words of 1 or 2 hex digits joined with 5 ':'".to_owned())
        }
        (Check::MacMask, Value::Text(text)) if !is_mac_mask(text) => Some(MAC_MASK.to_owned()),
        (Check::PortRange, Value::Range(start, end)) if !(1 <= *start && start <= end && *end <= 0xFFFF) => {
            Some("{midokura.javarx.RangeNotValid.message}".to_owned())
        }
        (Check::Pattern(words), Value::Text(text)) if !words.contains(&&**text) => {
            Some(format!("must match \"{}\"", words.join("|")))
        }
        (Check::OneOf(words), Value::Text(text)) if !words.contains(&&**text) => {
            Some(format!("Must be one of [{}].", words.join(", ")))
        }
        _ => None,
    }
}

fn sizes(least: usize, most: usize) -> String {
    format!("size must be between {least} and {most}")
}

/// Returns true for four numbers up to 255 without leading zeros.
pub(crate) fn is_address(text: &str) -> bool {
    let mut parts = 0;
    text.split('.').all(|part| {
        parts += 1;
        let digits = !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits
            && (part.len() == 1 || !part.starts_with('0'))
            && part.parse::<u16>().is_ok_and(|number| number <= 255)
    }) && parts == 4
}

pub(crate) fn is_mac(text: &str) -> bool {
    let mut words = 0;
    text.split(':').all(|word| {
        words += 1;
        matches!(word.len(), 1 | 2) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    }) && words == 6
}

pub(crate) fn is_mac_mask(text: &str) -> bool {
    let mut words = 0;
    text.split('.').all(|word| {
        words += 1;
        word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    }) && words == 3
}

/// Returns true if both addresses of a NAT target are valid: the storage can't store others (09-nat-rules, step 15).
pub(crate) fn is_storable(target: &NatTarget) -> bool {
    let fine = |address: &Option<Box<str>>| {
        address.as_deref().is_some_and(|text| is_address(text) || text.parse::<std::net::Ipv6Addr>().is_ok())
    };
    fine(&target.address_from) && fine(&target.address_to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_four_small_numbers() {
        for good in ["0.0.0.0", "10.0.0.254", "255.255.255.255"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "172.16.0.300",
            "01.2.3.4",
            "a.b.c.d",
            "1.2.3.",
            " 1.2.3.4",
            "1.2.3.-4",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn mac_addresses_have_six_words() {
        assert!(is_mac("02:00:0:00:00:aF"));
        assert!(!is_mac("02:00:00:00:00"));
        assert!(!is_mac("02:00:00:00:00:0g"));
        assert!(is_mac_mask("ffff.ff00.0000"));
        assert!(!is_mac_mask("ffff.ff00"));
    }
}
