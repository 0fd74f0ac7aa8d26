//! Addresses: IPv4, MAC, interfaces, UUIDs.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value as Json;
use uuid::Uuid;

use super::ports::number_of;
use super::text::{pattern, string};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::grammar::{Reader, Shape, TomlValue, Value};
use crate::spec::special_addresses;
use crate::values::MacAddress;

const OCTET: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

/// Returns the pattern of an IPv4 address, without anchors.
pub(super) fn address_pattern() -> String {
    format!("({OCTET}\\.){{3}}{OCTET}")
}

/// Declares a form that is read from a string.
macro_rules! from_string {
    ($(#[$doc:meta])* $form:ident: $output:ty, $wanted:literal, $pattern:expr, $read:ident) => {
        $(#[$doc])*
        pub(crate) struct $form;

        impl Shape for $form {
            fn wanted(&self) -> String {
                $wanted.to_owned()
            }

            fn schema(&self) -> Json {
                pattern(&$pattern)
            }
        }

        impl Value for $form {
            type Output<'a> = $output;

            fn read<'a>(&'static self, reader: &mut Reader<'_>, key: &'a str, value: &'a TomlValue<'a>) -> Option<$output> {
                let text = string(reader, key, value, self)?;
                $read(reader, &text)
            }
        }
    };
}

from_string! {
    /// An IPv4 address.
    Address: Spanned<Ipv4Addr>, "an IPv4 address", format!("^{}$", address_pattern()), address_of
}

from_string! {
    /// An IPv4 network. A lone address is a network of one address.
    Network: Spanned<Ipv4Net>, "an IPv4 network", format!("^{}(/(3[0-2]|[12]?[0-9]))?$", address_pattern()), network_of
}

from_string! {
    /// An IPv4 network with its prefix length.
    SizedNetwork: Spanned<Ipv4Net>, "an IPv4 network", format!("^{}/(3[0-2]|[12]?[0-9])$", address_pattern()), sized_network_of
}

from_string! {
    /// One address, or a range of 1 to 256 addresses: `A-B`.
    AddressRange: (Ipv4Addr, Ipv4Addr), "an IPv4 address or a range of addresses",
    format!("^{0}( *- *{0})?$", address_pattern()), range_of
}

from_string! {
    /// A public address with a port: `ADDRESS:PORT`.
    PublicEnd: (Spanned<Ipv4Addr>, u16), "an IPv4 address with a port",
    format!("^{}:[1-9][0-9]{{0,4}}$", address_pattern()), public_end
}

from_string! {
    /// The MAC address of one interface.
    Mac: Spanned<MacAddress>, "a MAC address", "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$", mac_of
}

from_string! {
    /// The name of a network interface.
    Interface: Spanned<String>, "the name of an interface", "^[!-$&-.0-9;-~]{1,15}$", interface_of
}

from_string! {
    /// A UUID.
    UuidText: Spanned<Uuid>, "a UUID", "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$", uuid_of
}

fn ipv6(span: Span, text: &str) -> Diagnostic {
    let message = format!("`{text}` is IPv6, which this layout does not support");
    let help = "MidoNet's NAT, and with it the tenant layout, is IPv4 only: use an IPv4 address";
    Diagnostic::error(Code::Ipv6, span, message).help(help)
}

/// Reads an address from a string.
pub(super) fn address_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<Ipv4Addr>> {
    match text.value.parse::<IpAddr>() {
        Ok(IpAddr::V4(value)) => return Some(Spanned { value, span: text.span }),
        Ok(IpAddr::V6(_)) => reader.push(ipv6(text.span, &text.value)),
        Err(_) => {
            let message = format!("`{}` is not an IPv4 address", text.value);
            let help = "write four numbers from 0 to 255, such as 192.168.0.10";
            reader.push(Diagnostic::error(Code::BadAddress, text.span, message).help(help));
        }
    }
    None
}

fn network_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<Ipv4Net>> {
    match parsed_network(&text.value) {
        Some(IpNet::V4(value)) if value.trunc() == value => return Some(Spanned { value, span: text.span }),
        Some(IpNet::V4(value)) => {
            let message = format!("`{value}` has bits set behind its prefix");
            let help = format!("write `{}`", value.trunc());
            reader.push(Diagnostic::error(Code::HostBits, text.span, message).help(help));
        }
        Some(IpNet::V6(_)) => reader.push(ipv6(text.span, &text.value)),
        None => {
            let message = format!("`{}` is not a network", text.value);
            let help = "write an address and a prefix length, such as 10.20.0.0/24";
            reader.push(Diagnostic::error(Code::BadNetwork, text.span, message).help(help));
        }
    }
    None
}

/// Parses a network; a lone address is a network of one address. No number has leading zeros: some programs read these
/// as octal.
fn parsed_network(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse::<u8>().ok().filter(|number| is_number && number.to_string() == length)?;
    IpNet::new(address.parse::<IpAddr>().ok()?, length).ok()
}

fn sized_network_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<Ipv4Net>> {
    let network = network_of(reader, text)?;
    if text.value.contains('/') {
        return Some(network);
    }
    let message = format!("`{}` is an address: a network has a prefix length", text.value);
    let help = format!(
        "write the length as well, such as `{}/24` for 256 addresses, or `/32` for this one",
        text.value
    );
    reader.push(Diagnostic::error(Code::BadNetwork, text.span, message).help(help));
    None
}

fn range_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (first, last) = text.value.split_once('-').unwrap_or((&text.value, &text.value));
    let part = |part: &str| Spanned { value: part.trim().to_owned(), span: text.span };
    let first = address_of(reader, &part(first))?.value;
    let last = address_of(reader, &part(last))?.value;
    let wide = u32::from(last).wrapping_sub(u32::from(first));
    if last < first || wide > 255 {
        let message = format!("`{}` is not a range of 1 to 256 addresses, lowest first", text.value);
        reader.push(Diagnostic::error(Code::BadRange, text.span, message));
        return None;
    }
    let ends = [first, last].map(|end| special_addresses::of_host("the address", end, text.span));
    if let Some(error) = ends.into_iter().flatten().next() {
        reader.push(error);
        return None;
    }
    Some((first, last))
}

fn public_end(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<(Spanned<Ipv4Addr>, u16)> {
    let (address, port) = text.value.rsplit_once(':').unwrap_or((&text.value, ""));
    let port = number_of(port).and_then(|port| u16::try_from(port).ok());
    let Some(port) = port.filter(|port| *port > 0) else {
        let message = format!("`{}` is not a public address with a port", text.value);
        let help = "write \"203.0.113.10:443\"";
        reader.push(Diagnostic::error(Code::BadPublic, text.span, message).help(help));
        return None;
    };
    let bare = address.trim_start_matches('[').trim_end_matches(']').to_owned();
    let address = address_of(reader, &Spanned { value: bare, span: text.span })?;
    Some((address, port))
}

fn mac_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<MacAddress>> {
    let problem = match text.value.parse::<MacAddress>() {
        Ok(value) if !value.is_group() && value.0 != [0; 6] => {
            return Some(Spanned { value, span: text.span });
        }
        Ok(_) => format!("`{}` is not the address of one interface: it is a group's, or zero", text.value),
        Err(problem) => problem,
    };
    reader.push(Diagnostic::error(Code::BadMac, text.span, problem).help("write it as 02:00:00:00:00:0a"));
    None
}

/// The names that no interface of a host can have, or only one that is the host's own, each with the reason. The kernel has files
/// of its own with these names beside those of the interfaces.
const RESERVED: [(&str, &str); 4] = [
    ("lo", "is the host's own loopback interface: nothing can be bound to it"),
    ("all", "stands for all interfaces of a host in the kernel's settings: no interface has this name"),
    (
        "default",
        "stands for future interfaces of a host in the kernel's settings: no interface has this name",
    ),
    ("bonding_masters", "is a file of the kernel's beside the interfaces: no interface has this name"),
];

/// Checks a Linux interface's name: at most 15 bytes, no white space, no slash, neither `.` nor `..`. A `%` is a template
/// for Linux (`eth%d`).
fn interface_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<String>> {
    let name = text.value.as_str();
    if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
        let message = format!("`{name}` {reason}");
        let help = "name the interface that the port is for, such as `eth1`";
        reader.push(Diagnostic::error(Code::BadInterface, text.span, message).help(help));
        return None;
    }
    let bad_byte = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'/' | b':' | b'%');
    if (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && !name.bytes().any(bad_byte) {
        return Some(text.clone());
    }
    let message = format!("`{name}` can't be the name of a network interface");
    let help = "Linux allows 1 to 15 characters without white space, `/`, `:` and `%`";
    reader.push(Diagnostic::error(Code::BadInterface, text.span, message).help(help));
    None
}

fn uuid_of(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<Uuid>> {
    if let Ok(value) = Uuid::try_parse(&text.value) {
        return Some(Spanned { value, span: text.span });
    }
    let message = format!("`{}` is not a UUID", text.value);
    let help = "write it as 11111111-2222-3333-4444-555555555555";
    reader.push(Diagnostic::error(Code::BadUuid, text.span, message).help(help));
    None
}
